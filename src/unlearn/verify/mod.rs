//! Measuring what unlearning did.
//!
//! `quick` looks at the original and the new model. With retrained models every number stands beside
//! what a network that never saw the rows would show, and beside how far two such networks differ:
//! accuracies alone certify failures (a hidden class, a remembered row), distances without a noise floor
//! certify anything. `thorough` also compares banks of models row by row.

mod answers;
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
mod scores;
#[cfg(test)]
mod tests;
mod thorough;
mod ulira;
mod verdict;

use super::context::Context;
use super::known::Known;
use super::method::Method;
use super::report::Report;
use super::retrain::train_all_without;
use super::{Observer, Task, UnlearnError, Unlearned, go_on};
use crate::nn::Mlp;
use crate::nn::hash::{Purpose, keyed_hash};
use answers::Answers;
use closeness::Closeness;
use looks::{Look, Looks};
use measures::{Wording, findings};
pub(super) use probes::dormant_accuracy;
use probes::relearn_steps;
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

/// Measures `outcome`, which `method` made of the task's parent; without a method it is a network nothing was done to.
///
/// # Errors
///
/// [`UnlearnError::Interrupted`] when the observer stops it, [`UnlearnError::Train`] when a retraining
/// diverges, and what the method itself answers when [`Level::Thorough`] repeats it.
pub fn verify(
    task: &Task<'_>,
    method: Option<&Method>,
    outcome: &Unlearned,
    level: Level,
    observer: &mut dyn Observer,
) -> Result<Report, UnlearnError> {
    Verifier::new(task, level, observer)?.report(method, outcome, observer)
}

/// What can be said of a network without any to compare it with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// Of the membership attack on the forget set against the non-members.
    pub(super) auc: Option<f64>,
    pub(super) forget_accuracy: f64,
    /// On a probe.
    pub(super) retain_accuracy: f64,
}

impl Standing {
    pub(super) fn of(context: &mut Context<'_>, mlp: &Mlp, known: &Known) -> Self {
        let look = Look::of(&Answers::of(context, mlp, known, false));
        Self {
            auc: look.attack.map(|attack| attack.auc),
            forget_accuracy: look.forget.accuracy,
            retain_accuracy: look.retain_accuracy,
        }
    }
}

/// What results for one task are measured beside: the original and the retrained models, looked at once for any number
/// of results.
pub struct Verifier<'a> {
    context: Context<'a>,
    level: Level,
    before: Look,
    retrained: Option<[Seen; 2]>,
}

impl<'a> Verifier<'a> {
    /// # Errors
    ///
    /// [`UnlearnError::Interrupted`] when the observer stops it, [`UnlearnError::Train`] when a retraining diverges.
    pub fn new(task: &'a Task<'a>, level: Level, observer: &mut dyn Observer) -> Result<Self, UnlearnError> {
        let mut context = Context::new(task);
        context.set_threads(observer.threads());
        let nothing = Known::default();
        let known = task.known.unwrap_or(&nothing);
        let (before, retrained) = match level {
            Level::Quick => {
                go_on(observer.on_phase("measure", "measuring the original and the new model"))?;
                (Look::of(&Answers::of(&mut context, task.parent, known, false)), None)
            }
            Level::Standard | Level::Thorough { .. } => {
                let (before, pair) = beside_retrained(&mut context, known, observer)?;
                (before, Some(pair))
            }
        };
        Ok(Self { context, level, before, retrained })
    }

    /// Measures one result; without a method, that of doing nothing.
    ///
    /// # Errors
    ///
    /// As [`verify`].
    pub fn report(
        &mut self,
        method: Option<&Method>,
        outcome: &Unlearned,
        observer: &mut dyn Observer,
    ) -> Result<Report, UnlearnError> {
        let task = self.context.task;
        let wording = Wording {
            of_class: task.class.is_some(),
            every_retained: self.level != Level::Quick,
            lookalikes: task.lookalikes.is_some(),
        };
        let case = Case { method, of_class: wording.of_class, stopped: outcome.stopped.as_ref() };
        let after = match &self.retrained {
            None => Look::of(&Answers::of(&mut self.context, &outcome.model, &outcome.known, false)),
            Some(pair) => {
                let (model, known) = (&outcome.model, &outcome.known);
                let seen = Seen::of(&mut self.context, model, known, "the new model", observer)?;
                seen.beside(pair)
            }
        };
        let retrained =
            self.retrained.as_ref().map(|[first, second]| [first.look.clone(), second.look.clone()]);
        let looks = Looks { before: self.before.clone(), after, retrained };
        let mut found = findings(wording, &looks);
        if let Level::Thorough { n } = self.level {
            found.extend(thorough::findings(&mut self.context, method, outcome, n, observer)?);
        }
        Ok(verdict::report(case, &looks, found))
    }
}

impl std::fmt::Debug for Verifier<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("level", &self.level).finish_non_exhaustive()
    }
}

/// The original beside two retrained models, and these.
fn beside_retrained(
    context: &mut Context<'_>,
    known: &Known,
    observer: &mut dyn Observer,
) -> Result<(Look, [Seen; 2]), UnlearnError> {
    let task = context.task;
    let detail = format!("training {N_RETRAINED} networks without the forget set");
    go_on(observer.on_phase("retrain", &detail))?;
    // seeds of their own, unrelated to the one a retraining method used
    let seeds: Vec<u64> =
        (1..=N_RETRAINED as u32).map(|number| keyed_hash(task.seed, Purpose::Probe, number, 0)).collect();
    let models = train_all_without(task, &seeds, observer)?;
    let before = Seen::of(context, task.parent, known, "the original model", observer)?;
    let mut see = |mlp: &Mlp, which: &str| Seen::of(context, mlp, &Known::default(), which, observer);
    let mut pair =
        [see(&models[0], "the first retrained model")?, see(&models[1], "the second retrained model")?];
    let own = Closeness::between([pair[0].as_of(), pair[1].as_of()]);
    let usual = usual_steps(&pair);
    for seen in &mut pair {
        seen.look.closeness = Some(own);
        seen.look.relearn_ratio = seen.relearn_ratio(usual);
    }
    Ok((before.beside(&pair), pair))
}

fn usual_steps([first, second]: &[Seen; 2]) -> f64 {
    f64::from(first.relearn_steps + second.relearn_steps) / 2.0
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
        known: &Known,
        which: &str,
        observer: &mut dyn Observer,
    ) -> Result<Self, UnlearnError> {
        go_on(observer.on_phase("probe", &format!("looking for dormant knowledge in {which}")))?;
        let dormant = dormant_accuracy(context, mlp, observer)?;
        let relearn_steps = relearn_steps(context, mlp, observer)?;
        go_on(observer.on_phase("measure", &format!("measuring {which}")))?;
        let answers = Answers::of(context, mlp, known, true);
        let look = Look { dormant_accuracy: Some(dormant), ..Look::with_every_attack(&answers) };
        Ok(Self { answers, look, relearn_steps })
    }

    /// What was seen, compared with a retrained pair.
    fn beside(self, pair: &[Self; 2]) -> Look {
        let closeness = Closeness::to_pair(self.as_of(), [pair[0].as_of(), pair[1].as_of()]);
        let relearn_ratio = self.relearn_ratio(usual_steps(pair));
        Look { closeness: Some(closeness), relearn_ratio, ..self.look }
    }

    /// What retrained networks know already cannot be relearned.
    fn relearn_ratio(&self, usual: f64) -> Option<f64> {
        (usual > 0.0).then(|| f64::from(self.relearn_steps) / usual)
    }

    fn as_of(&self) -> closeness::Of<'_> {
        (&self.answers, self.look.figures())
    }
}
