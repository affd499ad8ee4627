//! Measuring what unlearning did.
//!
//! `quick` looks at the original and the new model. With retrained models every number stands beside
//! what a network that never saw the rows would show, and beside how far two such networks differ:
//! accuracies alone certify failures (a hidden class, a remembered row), distances without a noise floor
//! certify anything.

mod divergence;
mod looks;
mod measures;
mod membership;
mod verdict;

use super::context::Context;
use super::method::Method;
use super::pass::train_one_epoch;
use super::report::Report;
use super::retrain::train_all_without;
use super::{Observer, Task, UnlearnError, Unlearned, go_on};
use crate::nn::Mlp;
use crate::nn::hash::{Purpose, keyed_hash};
use looks::{Look, Yardsticks};

/// Batch size, learning rate and momentum of the one epoch the dormant-knowledge probe trains.
const PROBE: (usize, f64, f64) = (64, 0.05, 0.9);

/// Networks trained without the forget set, for comparison and for how far two such differ.
pub const N_RETRAINED: usize = 2;

/// Measures `outcome`; with `retrained` beside two models trained without the forget set.
///
/// # Errors
///
/// [`UnlearnError::Interrupted`] when the observer stops it, [`UnlearnError::Train`] when a retraining
/// diverges.
pub fn verify(
    task: &Task<'_>,
    method: &Method,
    outcome: &Unlearned,
    retrained: bool,
    observer: &mut dyn Observer,
) -> Result<Report, UnlearnError> {
    let mut context = Context::new(task);
    if !retrained {
        go_on(observer.on_phase("measure", "measuring the original and the new model"))?;
        let before = Look::at(&mut context, task.parent, None);
        let after = Look::at(&mut context, &outcome.model, None);
        return Ok(verdict::report(method, task, outcome, &before, &after, None));
    }
    let detail = format!("training {N_RETRAINED} networks without the forget set");
    go_on(observer.on_phase("retrain", &detail))?;
    // seeds of their own, unrelated to the one a retraining method used
    let seeds: Vec<u64> =
        (1..=N_RETRAINED as u32).map(|number| keyed_hash(task.seed, Purpose::Probe, number, 0)).collect();
    let models = train_all_without(task, &seeds, observer)?;
    let mut look = |mlp: &Mlp, which: &str, observer: &mut dyn Observer| {
        go_on(observer.on_phase("probe", &format!("looking for dormant knowledge in {which}")))?;
        let dormant = dormant_accuracy(&mut context, mlp, observer)?;
        go_on(observer.on_phase("measure", &format!("measuring {which}")))?;
        let mut look = Look::at(&mut context, mlp, Some(&models[0]));
        look.dormant_accuracy = Some(dormant);
        Ok::<Look, UnlearnError>(look)
    };
    let before = look(task.parent, "the original model", observer)?;
    let after = look(&outcome.model, "the new model", observer)?;
    let first = look(&models[0], "the first retrained model", observer)?;
    let second = look(&models[1], "the second retrained model", observer)?;
    let yardsticks = Yardsticks { first, second };
    Ok(verdict::report(method, task, outcome, &before, &after, Some(&yardsticks)))
}

/// Accuracy on the forget set after one epoch of training on the retained rows only: knowledge that was
/// hidden rather than removed comes back (arXiv:2505.22310).
fn dormant_accuracy(
    context: &mut Context<'_>,
    mlp: &Mlp,
    observer: &mut dyn Observer,
) -> Result<f64, UnlearnError> {
    let task = context.task;
    let mut mlp = mlp.clone();
    train_one_epoch(&mut mlp, task.train, &context.retain, PROBE, task.seed, observer)?;
    Ok(context.forget(&mlp).accuracy)
}
