//! One training of one variant with one seed, as far as its question needs.

use super::{LEAST_EFFECT, Variant};
use crate::health::{Code, Data, Observed, Watcher};
use crate::nn::{BatchReport, EpochReport, Mlp, Observer, Teller};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// What came of one training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    #[serde(flatten)]
    pub variant: Variant,
    pub seed: u64,
    /// On rows never trained on, at the end of each epoch it was trained.
    pub test_accuracy: Vec<f64>,
    /// In which epoch it was seen to learn backwards (the alert of that name), if it was.
    pub fell_in: Option<u32>,
    /// Whether its loss stopped being a finite number behind the last of these epochs.
    pub diverged: bool,
}

impl Trial {
    /// Epochs it was trained.
    pub fn epochs(&self) -> u32 {
        self.test_accuracy.len() as u32
    }

    /// Test accuracy at the end of an epoch; `chance` where its weights are no numbers any more. What it ended with,
    /// past its last epoch.
    pub(super) fn accuracy_at(&self, epoch: u32, chance: f64) -> f64 {
        match (self.test_accuracy.get(epoch.saturating_sub(1) as usize), self.diverged) {
            (Some(accuracy), _) => *accuracy,
            (None, true) => chance,
            (None, false) => self.test_accuracy.last().copied().unwrap_or(chance),
        }
    }
}

/// How far a trial goes.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    /// The last epoch.
    pub(super) epochs: u32,
    /// Whether it is settled once it has been seen to learn backwards.
    pub(super) until_it_falls: bool,
    /// It is settled from this epoch on once it is no worse than this curve, by what matters.
    pub(super) until_as_good_as: Option<(u32, Vec<f64>)>,
}

impl Reach {
    /// Whether a training that is here has come far enough.
    fn is_enough(&self, epoch: u32, accuracy: f64, has_fallen: bool) -> bool {
        let is_as_good = self.until_as_good_as.as_ref().is_some_and(|(from, curve)| {
            let other = curve.get(epoch as usize - 1);
            epoch >= *from && other.is_some_and(|other| accuracy > other - LEAST_EFFECT)
        });
        epoch >= self.epochs || (self.until_it_falls && has_fallen) || is_as_good
    }
}

/// Sees the epochs of a trial and ends it when it is settled.
pub(super) struct Watch<'a, 'b> {
    teller: &'a mut Teller<'b>,
    health: Watcher,
    reach: &'a Reach,
    pub(super) test_accuracy: Vec<f64>,
    pub(super) fell_in: Option<u32>,
    pub(super) is_settled: bool,
}

impl<'a, 'b> Watch<'a, 'b> {
    pub(super) fn new(teller: &'a mut Teller<'b>, data: Data, reach: &'a Reach) -> Self {
        Self {
            teller,
            health: Watcher::new(data),
            reach,
            test_accuracy: Vec::new(),
            fell_in: None,
            is_settled: false,
        }
    }
}

impl Observer for Watch<'_, '_> {
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        self.teller.on_batch(report)
    }

    fn on_epoch(&mut self, report: &EpochReport, _: &Mlp) -> ControlFlow<()> {
        self.test_accuracy.push(report.test_accuracy);
        let alerts = self.health.see(Observed {
            epoch: report.epoch,
            train_loss: report.train_loss,
            test_loss: report.test_loss,
            test_accuracy: report.test_accuracy,
            probe_accuracy: None,
            dead_units: None,
        });
        if alerts.iter().any(|alert| alert.code == Code::LearningBackwards) {
            self.fell_in = Some(report.epoch);
        }
        if self.reach.is_enough(report.epoch, report.test_accuracy, self.fell_in.is_some()) {
            self.is_settled = true;
            return ControlFlow::Break(());
        }
        self.teller.answer()
    }
}
