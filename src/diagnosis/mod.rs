//! Which fault makes a training learn backwards? Found out by experiment, not by argument.
//!
//! What may be wrong with a training ([`Suspect`]) is mended one at a time (leave one out), kept one at a time in a
//! training whose other suspects are mended (one at a time), all at once and not at all ([`Variant`]). Each variant is
//! trained over the same seeds, many at a time, only until its question is settled ([`Trial`]). Accuracies on rows never
//! trained on are compared seed by seed; [`judge`](verdict::judge) holds the rule that names causes and clears the rest.
//!
//! Pure: recipes and rows come in, findings come out. `docs/decisions/0019-diagnosis.md` says why this rule.

mod experiment;
mod interval;
mod report;
mod suspect;
#[cfg(test)]
mod tests;
mod trial;
mod verdict;

pub use experiment::{Order, Variant, diagnose, n_trials};
pub use interval::Interval;
pub use report::{Diagnosis, Finding, OnItsOwn, Row, SeedCurve};
pub use suspect::Suspect;
pub use trial::Trial;
pub use verdict::{LEAST_EFFECT, Symptom};

use crate::nn::TrainError;
use std::ops::ControlFlow;

/// Watches over a diagnosis.
pub trait Observer {
    /// Now and then while something trains: whether to go on.
    fn answer(&mut self) -> ControlFlow<()>;

    /// A trial has ended. `done` of `all` epochs lie behind, those of trials ended early counted whole.
    fn on_trial(&mut self, trial: &Trial, done: u32, all: u32) -> ControlFlow<()>;
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum DiagnosisError {
    #[error("the observer said stop")]
    Interrupted,
    #[error(transparent)]
    Train(#[from] TrainError),
}
