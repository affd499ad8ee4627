//! What an epoch has come to so far, in numbers: the material of its reports.

use super::evaluate::Evaluation;
use super::train::{BatchReport, EpochReport, TrainError};
use serde::{Deserialize, Serialize};

/// Running sums over an epoch's mini-batches, of one network or of several.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// From 1.
    pub(super) epoch: u32,
    /// Mini-batches in the epoch.
    pub(super) batches: u64,
    /// Those of them that are done.
    pub(super) batch: u64,
    loss: f64,
    hits: u64,
    hits_after_update: u64,
    seen: u64,
    learning_rate: f64,
    /// Of the L2 norms of the networks' last gradients.
    squares: f64,
}

impl Running {
    pub(super) fn new(epoch: u32, batches: u64) -> Self {
        Self {
            epoch,
            batches,
            batch: 0,
            loss: 0.0,
            hits: 0,
            hits_after_update: 0,
            seen: 0,
            learning_rate: 0.0,
            squares: 0.0,
        }
    }

    /// Counts a mini-batch of `n_rows` rows by the sum of their losses and how many it got right.
    pub(super) fn add(&mut self, loss: f64, hits: u64, n_rows: usize) -> Result<(), TrainError> {
        self.batch += 1;
        self.loss += loss;
        self.hits += hits;
        self.seen += n_rows as u64;
        if self.loss.is_finite() { Ok(()) } else { Err(self.not_finite()) }
    }

    /// Counts rows of the last mini-batch that were right when looked at again behind the update on them.
    pub(super) fn add_hits_after_update(&mut self, hits: u64) {
        self.hits_after_update += hits;
    }

    /// Notes the last mini-batch of a network: its learning rate and the norm of its gradient.
    pub(super) fn end(&mut self, learning_rate: f64, grad_norm: f64) {
        self.learning_rate = learning_rate;
        self.squares += grad_norm * grad_norm;
    }

    pub(super) fn is_over(&self) -> bool {
        self.batch == self.batches
    }

    pub(super) fn not_finite(&self) -> TrainError {
        TrainError::NonFinite { epoch: self.epoch, batch: self.batch }
    }

    pub(super) fn batch_report(&self) -> BatchReport {
        let seen = self.seen as f64;
        BatchReport {
            epoch: self.epoch,
            batch: self.batch,
            batches: self.batches,
            loss: self.loss / seen,
            accuracy: self.hits as f64 / seen,
        }
    }

    pub(super) fn epoch_report(
        &self,
        epochs: u32,
        test: Evaluation,
        holdout: Option<Evaluation>,
    ) -> EpochReport {
        EpochReport {
            epoch: self.epoch,
            epochs,
            train_loss: self.loss / self.seen as f64,
            train_accuracy: self.hits as f64 / self.seen as f64,
            test_loss: test.loss,
            test_accuracy: test.accuracy,
            holdout_loss: holdout.map(|h| h.loss),
            holdout_accuracy: holdout.map(|h| h.accuracy),
            reported_accuracy: test.accuracy,
            learning_rate: self.learning_rate,
            grad_norm: self.squares.sqrt(),
            n_samples: self.seen,
        }
    }

    /// Of the samples looked at again, the part that was right.
    pub(super) fn accuracy_after_update(&self) -> f64 {
        self.hits_after_update as f64 / self.seen as f64
    }

    /// At the last mini-batch.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// Samples trained on.
    pub fn n_samples(&self) -> u64 {
        self.seen
    }
}
