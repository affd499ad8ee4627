//! Is a training going well? Rules over its curves, each of which can raise one alert.
//!
//! Pure: what was measured at the end of each epoch comes in, alerts come out, and the same measures give the same
//! alerts whenever they are seen. `docs/ALERTS.md` says what each rule is for and what it was tried on.

mod rules;
#[cfg(test)]
mod tests;

use serde::Serialize;
use std::fmt;

/// What may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Accuracy on rows never trained on falls while the training loss falls.
    LearningBackwards,
    /// The loss on rows never trained on rises while the training loss falls.
    Overfitting,
    /// The loss is far above that of guessing, or no number any more.
    Diverged,
    /// The loss stands still, and little has been learned.
    Plateau,
    /// Most units of a hidden layer answer nothing to anything.
    DeadUnits,
    /// Rows never trained on are recognised better than the ones trained on, or labels contradict those of neighbours
    /// before anything is trained.
    LabelNoiseSuspected,
    /// Before the first epoch: a class has hardly any rows.
    ClassImbalance,
    /// Before the first epoch: rows are there twice, contradict each other, or are tested on as well.
    DuplicateRows,
    /// Before the first epoch: hardly a feature ever changes.
    ConstantFeatures,
    /// Before the first epoch: rows are visited in an order that tells their labels.
    RowsInOrder,
}

impl Code {
    pub const fn name(self) -> &'static str {
        match self {
            Self::LearningBackwards => "learning_backwards",
            Self::Overfitting => "overfitting",
            Self::Diverged => "diverged",
            Self::Plateau => "plateau",
            Self::DeadUnits => "dead_units",
            Self::LabelNoiseSuspected => "label_noise_suspected",
            Self::ClassImbalance => "class_imbalance",
            Self::DuplicateRows => "duplicate_rows",
            Self::ConstantFeatures => "constant_features",
            Self::RowsInOrder => "rows_in_order",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One alert: each code comes at most once in a training.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub code: Code,
    /// Behind this epoch it was raised; behind this one it began. 0 is before the first.
    pub epoch: u32,
    pub since_epoch: u32,
    /// What was seen, as a sentence.
    pub detail: String,
}

impl Alert {
    /// That a number stopped being one.
    pub fn of_no_number(epoch: u32) -> Self {
        let detail = format!("a measure stopped being a finite number in epoch {epoch}");
        Self { code: Code::Diverged, epoch, since_epoch: epoch, detail }
    }
}

/// What was measured at the end of an epoch. Losses in nats, accuracies and shares from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    pub epoch: u32,
    /// Mean over the epoch's mini-batches, each before its step.
    pub train_loss: f64,
    pub test_loss: f64,
    pub test_accuracy: f64,
    /// On some of the rows trained on, with the weights the epoch ended with.
    pub probe_accuracy: Option<f64>,
    /// Share of units that are zero for all of these rows, in the hidden layer that has most of them.
    pub dead_units: Option<f64>,
}

impl Observed {
    /// From measures by their names in an `epoch` event. `None` if one that every training has is missing.
    pub fn from_measures(epoch: u32, measure: impl Fn(&str) -> Option<f64>) -> Option<Self> {
        Some(Self {
            epoch,
            train_loss: measure("train_loss")?,
            test_loss: measure("test_loss")?,
            test_accuracy: measure("test_accuracy")?,
            probe_accuracy: measure("probe_accuracy"),
            dead_units: measure("dead_units"),
        })
    }
}

/// What the rules have to know of the data.
#[derive(Clone, Copy, Debug)]
pub struct Data {
    pub n_classes: usize,
    pub n_test: usize,
    /// Rows that `probe_accuracy` is measured on.
    pub n_probe: usize,
}

/// Sees a training epoch by epoch.
#[derive(Clone, Debug)]
pub struct Watcher {
    data: Data,
    epochs: Vec<Observed>,
    raised: Vec<Code>,
}

impl Watcher {
    pub fn new(data: Data) -> Self {
        Self { data, epochs: Vec::new(), raised: Vec::new() }
    }

    /// As [`new`](Self::new), where alerts of these codes have been raised already, by others.
    pub fn behind(data: Data, raised: Vec<Code>) -> Self {
        Self { raised, ..Self::new(data) }
    }

    /// The alerts that the next epoch gives rise to.
    pub fn see(&mut self, observed: Observed) -> Vec<Alert> {
        self.epochs.push(observed);
        let mut alerts = Vec::new();
        for (code, rule) in rules::RULES {
            if self.raised.contains(code) {
                continue;
            }
            if let Some(rules::Finding { since_epoch, detail }) = rule(&self.epochs, &self.data) {
                self.raised.push(*code);
                alerts.push(Alert { code: *code, epoch: observed.epoch, since_epoch, detail });
            }
        }
        alerts
    }
}
