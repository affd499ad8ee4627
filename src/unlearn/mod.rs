//! Unlearning: methods that remove the influence of rows from a trained network, and their measures.
//!
//! Depends on `nn` alone. One file a method, all of them [`method::Unlearner`]s in one table; every
//! approximate one runs inside the same [`guard`]. [`verify()`] measures what came of it.

mod auto;
mod bad_teacher;
mod boundary_shrink;
mod certificate;
mod context;
mod convex;
mod fine_tune;
mod gradient_ascent;
mod guard;
mod known;
mod l1_sparse;
mod memorised;
mod method;
mod msg;
mod neggrad_plus;
mod newton;
mod pass;
mod random_label;
mod report;
mod reset_last;
mod responses;
mod retrain;
mod saliency;
mod scrub;
mod selective_dampening;
mod sisa;
mod teacher;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;
mod verify;

pub use auto::{Best, Candidate, best_of, exact_method};
pub use certificate::{Certificate, budget, perturbation_for};
pub use gradient_ascent::Variant;
pub use known::Known;
pub use memorised::{N_FOLDS, memorisation, most_memorised};
pub use method::*;
pub use report::{ClassAccuracy, Measure, Report, Verdict};
pub use verify::{Level, N_BANK, N_RETRAINED, Verifier, verify};

use crate::nn::{BatchReport, Mlp, Recipe, Samples, TrainError};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// What is to be forgotten, by which network, trained how.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    pub parent: &'a Mlp,
    /// What the parent is known to answer, and where it is kept what it is found to. `None` keeps nothing.
    pub known: Option<&'a Known>,
    /// How the parent was first trained: retraining repeats it.
    pub recipe: &'a Recipe,
    pub train: Samples<'a>,
    pub test: Samples<'a>,
    /// Rows of `train` an ancestor has already forgotten. Sorted.
    pub excluded: &'a [u32],
    /// Whether no bit of the parent depends on the `excluded` rows: it was trained without them, or comes from such
    /// a network by exact methods alone. Where not, no part of it can be kept by an exact method.
    pub parent_is_exact: bool,
    /// Rows of `train` to forget now, all among the rows the parent was trained on. Sorted.
    pub forget: &'a [u32],
    /// The class when the forget set is exactly a whole class: measures then leave it out of
    /// `test_accuracy`.
    pub class: Option<u32>,
    /// Rows made like the forget set that no model was ever trained on, all of them: what planted rows are
    /// compared with. Without them it is the held-out rows.
    pub lookalikes: Option<Samples<'a>>,
    pub seed: u64,
}

/// A finished pass of an unlearning method, measured on fixed probes of up to 2,000 rows of the forget set and of the retained
/// rows and 1,000 test rows: verification looks at all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnlearnEpoch {
    /// From 1.
    pub epoch: u32,
    pub epochs: u32,
    pub forget_loss: f64,
    pub forget_accuracy: f64,
    pub retain_accuracy: f64,
    /// Of the remaining classes when a class is forgotten.
    pub test_loss: f64,
    pub test_accuracy: f64,
    pub learning_rate: f64,
    pub n_samples: u64,
}

/// What the guard sees when it looks at a method at work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GuardReport {
    /// Steps the method has taken.
    pub step: u64,
    /// On a fixed probe of the forget set, as is the accuracy.
    pub forget_loss: f64,
    pub forget_accuracy: f64,
    /// The loss at which rows count as forgotten; a class counts by its accuracy.
    pub target_loss: Option<f64>,
    /// On a fixed probe of the retained rows.
    pub retain_accuracy: f64,
    /// The least that may be.
    pub retain_floor: f64,
}

/// Watches unlearning and verification; any answer may stop it at once.
pub trait Observer {
    /// After every mini-batch, of the method and of the trainings verification does.
    fn on_batch(&mut self, _report: &BatchReport) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// After every pass of the method (not of verification).
    fn on_epoch(&mut self, _report: &UnlearnEpoch) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// What begins now, as a machine-readable word and a sentence: `select`, `unlearn`, `measure`, `retrain`,
    /// `probe`, `bank`.
    fn on_phase(&mut self, _phase: &str, _detail: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// After every step of a method that goes by mini-batches, with the network it made and the rows trained on up to here.
    fn on_step(&mut self, _network: &Mlp, _n_rows: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Whenever the guard has looked at a method at work.
    fn on_guard(&mut self, _report: &GuardReport) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

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
    /// What the model is known to answer, once [`verify()`] has looked at it.
    pub known: Known,
}

impl From<Mlp> for Unlearned {
    /// A method that went through to its end with it.
    fn from(model: Mlp) -> Self {
        Self { model, stopped: None, certificate: None, known: Known::default() }
    }
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
    /// The method cannot forget in such a network; why, in a sentence.
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
/// diverges, [`UnlearnError::NotApplicable`] when the method is not made for such a network. An approximate method that diverges is no error: the guard rolls it back.
pub fn unlearn(
    method: &Method,
    task: &Task<'_>,
    observer: &mut dyn Observer,
) -> Result<Unlearned, UnlearnError> {
    method.applies_to(task.recipe).map_err(UnlearnError::NotApplicable)?;
    go_on(observer.on_phase("unlearn", method.id().about().summary))?;
    let mut context = context::Context::new(task);
    context.set_threads(observer.threads());
    let outcome = method.run(&mut context, observer)?;
    Ok(nothing_done(method, task, outcome))
}

/// A method that moved no parameter has forgotten nothing, whatever it says of itself.
fn nothing_done(method: &Method, task: &Task<'_>, outcome: Unlearned) -> Unlearned {
    if outcome.stopped.is_some() || method.claim() == Claim::Exact || outcome.model != *task.parent {
        return outcome;
    }
    let reason = "the method changed no parameter: the forget set already looks as rows do that no network was trained on".to_owned();
    Unlearned { stopped: Some(Stopped { reason, rolled_back: false }), ..outcome }
}
