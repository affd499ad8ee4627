//! Unlearning: methods that remove the influence of rows from a trained network, and their measures.
//!
//! Depends on `nn` alone. One file a method ([`retrain`], [`convex`], [`newton`], [`gradient_ascent`], [`reset_last`]); every
//! approximate one runs inside the same [`guard`]. [`verify()`] measures what came of it.

mod certificate;
mod context;
mod convex;
mod gradient_ascent;
mod guard;
mod method;
mod newton;
mod pass;
mod report;
mod reset_last;
mod retrain;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;
mod verify;

pub use certificate::{Certificate, budget, perturbation_for};
pub use method::{About, Claim, GradientAscent, Method, Newton, ResetLast, Variant};
pub use report::{Measure, Report, Verdict};
pub use verify::{N_RETRAINED, verify};

use crate::nn::{BatchReport, Mlp, Recipe, Samples, TrainError};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// What is to be forgotten, by which network, trained how.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    pub parent: &'a Mlp,
    /// How the parent was first trained: retraining repeats it.
    pub recipe: &'a Recipe,
    pub train: Samples<'a>,
    pub test: Samples<'a>,
    /// Rows of `train` an ancestor has already forgotten. Sorted.
    pub excluded: &'a [u32],
    /// Rows of `train` to forget now, all among the rows the parent was trained on. Sorted.
    pub forget: &'a [u32],
    /// The class when the forget set is exactly a whole class: measures then leave it out of
    /// `test_accuracy`.
    pub class: Option<u32>,
    pub seed: u64,
}

/// A finished pass of an unlearning method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnlearnEpoch {
    /// From 1.
    pub epoch: u32,
    pub epochs: u32,
    pub forget_loss: f64,
    pub forget_accuracy: f64,
    /// On a fixed probe of the retain set.
    pub retain_accuracy: f64,
    /// Of the remaining classes when a class is forgotten.
    pub test_loss: f64,
    pub test_accuracy: f64,
    pub learning_rate: f64,
    pub n_samples: u64,
}

/// Watches unlearning and verification; any answer may stop it at once.
pub trait Observer {
    /// After every mini-batch, of the method and of the trainings verification does.
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()>;
    /// After every pass of the method (not of verification).
    fn on_epoch(&mut self, report: &UnlearnEpoch) -> ControlFlow<()>;
    /// What begins now, as a machine-readable word and a sentence: `unlearn`, `measure`, `retrain`, `probe`.
    fn on_phase(&mut self, phase: &str, detail: &str) -> ControlFlow<()>;

    /// How many threads may be used. It decides speed, not bits.
    fn threads(&mut self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }
}

/// What a method produced.
#[derive(Clone, Debug)]
pub struct Unlearned {
    pub model: Mlp,
    /// Set when the guard ended the method before it had done its work.
    pub stopped: Option<Stopped>,
    /// What certified removal can promise.
    pub certificate: Option<Certificate>,
}

/// Why the guard stepped in, and what it gave back.
#[derive(Clone, Debug, PartialEq)]
pub struct Stopped {
    /// One sentence for the report.
    pub reason: String,
    /// Whether the weights are an earlier, safe state instead of the last ones.
    pub rolled_back: bool,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum UnlearnError {
    /// The observer asked to stop.
    #[error("stopped")]
    Interrupted,
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The method cannot keep its promise for this model; says why.
    #[error("{0}")]
    NotApplicable(String),
}

/// The observer's `Break` as an error, so that `?` ends the work.
fn go_on(answer: ControlFlow<()>) -> Result<(), UnlearnError> {
    match answer {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(UnlearnError::Interrupted),
    }
}

/// Runs `method`. The same task gives the same bits.
///
/// # Errors
///
/// [`UnlearnError::Interrupted`] when the observer stops it, [`UnlearnError::Train`] when a retraining
/// diverges, [`UnlearnError::NotApplicable`] when the method cannot keep its promise for this parent. An approximate method that diverges is no error: the guard rolls it back.
pub fn unlearn(
    method: &Method,
    task: &Task<'_>,
    observer: &mut dyn Observer,
) -> Result<Unlearned, UnlearnError> {
    go_on(observer.on_phase("unlearn", method.about().summary))?;
    let mut context = context::Context::new(task);
    match method {
        Method::Retrain => retrain::run(&mut context, observer),
        Method::GradientAscent(numbers) => gradient_ascent::run(numbers, &mut context, observer),
        Method::ResetLast(numbers) => reset_last::run(numbers, &mut context, observer),
        Method::Convex => convex::run(&mut context, observer),
        Method::Newton(numbers) => newton::run(numbers, &mut context, observer),
    }
}
