//! Measuring what unlearning did.
//!
//! `quick` looks at the original and the new model. With retrained models every number stands beside
//! what a network that never saw the rows would show, and beside how far two such networks differ:
//! accuracies alone certify failures (a hidden class, a remembered row), distances without a noise floor
//! certify anything. `thorough` also compares banks of models row by row.

mod bank;
mod closeness;
#[cfg(test)]
mod conformance;
mod divergence;
mod epsilon;
mod exchange;
mod finding;
mod klom;
mod kolmogorov;
mod looks;
mod margins;
mod measures;
mod membership;
mod probes;
mod responses;
mod scores;
#[cfg(test)]
mod tests;
mod thorough;
mod ulira;
mod verdict;

use super::context::Context;
use super::method::Method;
use super::report::Report;
use super::retrain::train_all_without;
use super::{Observer, Task, UnlearnError, Unlearned, go_on};
use crate::nn::Mlp;
use crate::nn::hash::{Purpose, keyed_hash};
use closeness::Closeness;
use looks::{Look, Looks};
use measures::{Wording, findings};
use probes::{dormant_accuracy, relearn_steps};
use responses::Answers;
use verdict::Case;

/// Networks trained without the forget set, for comparison and for how far two such differ.
pub const N_RETRAINED: usize = 2;

/// Networks in each bank of [`Level::Thorough`] unless said otherwise.
pub const N_BANK: u32 = 16;

/// How thoroughly a result is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The original and the new model: forget rows, non-members, test rows and a fixed probe of the retained rows.
    Quick,
    /// Also two models trained without the forget set, on all retained rows, with probes for hidden knowledge.
    Standard,
    /// Also banks of `n` original, unlearned and retrained models, row by row. `n` is brought into 8 to 64: fewer
    /// show nothing at the level tested, more than that costs and adds little.
    Thorough { n: u32 },
}

/// Measures `outcome`, which `method` made of the task's parent.
///
/// # Errors
///
/// [`UnlearnError::Interrupted`] when the observer stops it, [`UnlearnError::Train`] when a retraining
/// diverges, and what the method itself answers when [`Level::Thorough`] repeats it.
pub fn verify(
    task: &Task<'_>,
    method: &Method,
    outcome: &Unlearned,
    level: Level,
    observer: &mut dyn Observer,
) -> Result<Report, UnlearnError> {
    let mut context = Context::new(task);
    context.set_threads(observer.threads());
    let wording = Wording {
        of_class: task.class.is_some(),
        every_retained: level != Level::Quick,
        lookalikes: task.lookalikes.is_some(),
    };
    let case = Case { method, of_class: wording.of_class, stopped: outcome.stopped.as_ref() };
    let looks = match level {
        Level::Quick => before_and_after(&mut context, outcome, observer)?,
        Level::Standard | Level::Thorough { .. } => beside_retrained(&mut context, outcome, observer)?,
    };
    let mut found = findings(wording, &looks);
    if let Level::Thorough { n } = level {
        found.extend(thorough::findings(&mut context, method, outcome, n, observer)?);
    }
    Ok(verdict::report(case, &looks, found))
}

fn before_and_after(
    context: &mut Context<'_>,
    outcome: &Unlearned,
    observer: &mut dyn Observer,
) -> Result<Looks, UnlearnError> {
    go_on(observer.on_phase("measure", "measuring the original and the new model"))?;
    let parent = context.task.parent;
    let mut look = |mlp| Look::of(&Answers::of(context, mlp, false));
    Ok(Looks { before: look(parent), after: look(&outcome.model), retrained: None })
}

fn beside_retrained(
    context: &mut Context<'_>,
    outcome: &Unlearned,
    observer: &mut dyn Observer,
) -> Result<Looks, UnlearnError> {
    let task = context.task;
    let detail = format!("training {N_RETRAINED} networks without the forget set");
    go_on(observer.on_phase("retrain", &detail))?;
    // seeds of their own, unrelated to the one a retraining method used
    let seeds: Vec<u64> =
        (1..=N_RETRAINED as u32).map(|number| keyed_hash(task.seed, Purpose::Probe, number, 0)).collect();
    let models = train_all_without(task, &seeds, observer)?;
    let mut see = |mlp: &Mlp, which: &str| Seen::of(context, mlp, which, observer);
    let mut before = see(task.parent, "the original model")?;
    let mut after = see(&outcome.model, "the new model")?;
    let mut first = see(&models[0], "the first retrained model")?;
    let mut second = see(&models[1], "the second retrained model")?;

    let own = Closeness::between([first.as_of(), second.as_of()]);
    for seen in [&mut before, &mut after] {
        seen.look.closeness = Some(Closeness::to_pair(seen.as_of(), [first.as_of(), second.as_of()]));
    }
    let usual = f64::from(first.relearn_steps + second.relearn_steps) / 2.0;
    for seen in [&mut before, &mut after, &mut first, &mut second] {
        // what retrained networks know already cannot be relearned
        seen.look.relearn_ratio = (usual > 0.0).then(|| f64::from(seen.relearn_steps) / usual);
    }
    for seen in [&mut first, &mut second] {
        seen.look.closeness = Some(own);
    }
    Ok(Looks { before: before.look, after: after.look, retrained: Some([first.look, second.look]) })
}

/// A network's answers, what was measured in them, and what probing it showed.
struct Seen {
    answers: Answers,
    look: Look,
    relearn_steps: u32,
}

impl Seen {
    fn of(
        context: &mut Context<'_>,
        mlp: &Mlp,
        which: &str,
        observer: &mut dyn Observer,
    ) -> Result<Self, UnlearnError> {
        go_on(observer.on_phase("probe", &format!("looking for dormant knowledge in {which}")))?;
        let dormant = dormant_accuracy(context, mlp, observer)?;
        let relearn_steps = relearn_steps(context, mlp, observer)?;
        go_on(observer.on_phase("measure", &format!("measuring {which}")))?;
        let answers = Answers::of(context, mlp, true);
        let look = Look { dormant_accuracy: Some(dormant), ..Look::with_every_attack(&answers) };
        Ok(Self { answers, look, relearn_steps })
    }

    fn as_of(&self) -> closeness::Of<'_> {
        (&self.answers, self.look.figures())
    }
}
