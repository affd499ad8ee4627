//! `auto`: exact where retraining is quick, else the best of several methods now and the exact one behind it.
//!
//! Whether retraining is quick is for whoever has a clock; here is the choice among the methods.

use super::context::Context;
use super::method::{About, Claim, Domain, EMPIRICAL, Field, Unlearner};
use super::verify::{Standing, dormant_accuracy};
use super::{
    GradientAscent, Known, Method, MethodName, Msg, NegGradPlus, Observer, ResetLast, Task, UnlearnEpoch,
    UnlearnError, Unlearned, go_on, unlearn,
};
use crate::nn::{self, BatchReport, Recipe, Solver, Teller, run_all};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Auto {
    /// Predicted seconds of a retraining up to which it is done at once.
    pub threshold_s: f64,
}

impl Default for Auto {
    fn default() -> Self {
        Self { threshold_s: 30.0 }
    }
}

impl Unlearner for Auto {
    const ABOUT: About = About {
        claim: Claim::Empirical,
        summary: "retrains at once where that is predicted to be quick; else forgets now by the best of several methods, while an exact run \
                  follows behind",
        equation: "exact (`convex`, `sisa` or `retrain`, whichever the model allows) if the predicted time ≤ threshold; else the method with \
                   the least 100·|AUC − AUC₀| + points of lost retain accuracy + percent of a class still known or back after an epoch, all \
                   against held-out rows, never against a retrained model; AUC₀ is what `msg` shows, which keeps least of the original, \
                   and ½ for a class",
        access: &["forget", "retain", "held_out"],
        guarantee: EMPIRICAL,
        cost: "that of an exact method, or of the slowest candidate now and of an exact method later",
        known_failure: "the choice among approximate methods rests on membership statistics that have no power on rows a network generalises \
                        to; the report says what was chosen and why, and the exact run behind it does not rest on them",
        source: "our own: measured on MNIST an exact retraining beats every approximate method whenever there is time for it",
    };
    const FIELDS: &'static [Field] = &[Field::new(
        "threshold_s",
        Domain::Real { min: 0.0, max: 604_800.0 },
        "Predicted seconds of an exact method up to which it is done at once.",
    )];

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        best_of(context.task, observer).map(|best| best.outcome)
    }
}

/// The exact method for models trained by `recipe`: the quickest there is.
pub fn exact_method(recipe: &Recipe) -> Method {
    let is_optimum = match recipe {
        Recipe::Standard(standard) => matches!(standard.solver, Solver::Optimum { .. }),
        Recipe::Nn(_) | Recipe::Debug(_) => false,
    };
    match recipe.shards() {
        _ if is_optimum => Method::CONVEX,
        0 | 1 => Method::RETRAIN,
        _ => Method::SISA,
    }
}

/// The chosen method, what it made, and what it was chosen from.
#[derive(Clone, Debug)]
pub struct Best {
    pub method: Method,
    pub outcome: Unlearned,
    pub candidates: Vec<Candidate>,
}

/// How one method did, by statistics that need no retrained model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    pub method: &'static str,
    /// Less is better; see [`Auto`].
    pub score: f64,
    /// Of the membership attack on the forget set against rows like them that no model was trained on.
    pub mia_auc: Option<f64>,
    pub forget_accuracy: f64,
    pub retain_accuracy: f64,
    /// Of a class: what is back after one epoch on the others.
    pub dormant_accuracy: Option<f64>,
    /// The guard stepped in: taken only if it did for all.
    pub stopped: bool,
}

fn candidates(task: &Task<'_>) -> Vec<Method> {
    let mut all = vec![
        Method::GradientAscent(GradientAscent::default()),
        Method::NegGradPlus(NegGradPlus::default()),
        Method::ResetLast(ResetLast::default()),
    ];
    if task.class.is_none() {
        all.push(Method::Msg(Msg::default()));
    }
    all
}

/// Runs several methods side by side, one thread each, and picks the best by matched held-out statistics.
///
/// # Errors
///
/// [`UnlearnError::Interrupted`] when the observer stops it.
pub fn best_of(task: &Task<'_>, observer: &mut dyn Observer) -> Result<Best, UnlearnError> {
    let methods = candidates(task);
    let names: Vec<&str> = methods.iter().map(Method::name).collect();
    go_on(observer.on_phase("select", &format!("trying {} side by side", names.join(", "))))?;
    let nothing = Known::default();
    let before = Standing::of(&mut Context::new(task), task.parent, task.known.unwrap_or(&nothing));
    let threads = observer.threads();
    let mut answer = ControlFlow::Continue(());
    let mut on_batch = |report: &BatchReport| {
        answer = observer.on_batch(report);
        answer
    };
    let all =
        run_all(&methods, threads, &mut on_batch, |method, teller| attempt(task, method, &before, teller));
    // it may have come too late to stop anything
    go_on(answer)?;
    let mut tried: Vec<(Candidate, Unlearned)> = all.into_iter().collect::<Result<_, _>>()?;
    let usual = usual_auc(tried.iter().map(|(candidate, _)| candidate));
    for (candidate, _) in &mut tried {
        candidate.score += candidate.mia_auc.map_or(0.0, |auc| 100.0 * (auc - usual).abs());
    }
    let rank = |candidate: &Candidate| (candidate.stopped, candidate.score);
    let chosen = (0..tried.len())
        .min_by(|&a, &b| {
            let (a, b) = (rank(&tried[a].0), rank(&tried[b].0));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        })
        .expect("there are candidates");
    let candidates = tried.iter().map(|(candidate, _)| candidate.clone()).collect();
    let outcome = tried.swap_remove(chosen).1;
    let mut context = Context::new(task);
    let epoch = context.epoch(&outcome.model, 1, 1, 0.0, task.forget.len() as u64);
    go_on(observer.on_epoch(&epoch))?;
    Ok(Best { method: methods[chosen].clone(), outcome, candidates })
}

/// The AUC of a network that never saw the rows, as far as one can know without training one: what the candidate has that keeps
/// least of the original. One half would be right for rows drawn at random; rows chosen for being hard have less in any network.
fn usual_auc<'c>(mut candidates: impl Iterator<Item = &'c Candidate>) -> f64 {
    let nearly_new = candidates.find(|candidate| candidate.method == MethodName::Msg.name());
    nearly_new.filter(|candidate| !candidate.stopped).and_then(|candidate| candidate.mia_auc).unwrap_or(0.5)
}

/// What comes of one candidate; its score without what the attack says.
fn attempt(
    task: &Task<'_>,
    method: &Method,
    before: &Standing,
    teller: &mut Teller<'_>,
) -> Result<(Candidate, Unlearned), UnlearnError> {
    let mut worker = Worker(teller);
    let outcome = unlearn(method, task, &mut worker)?;
    let mut context = Context::new(task);
    let standing = Standing::of(&mut context, &outcome.model, &outcome.known);
    let dormant = match task.class {
        Some(_) => Some(dormant_accuracy(&mut context, &outcome.model, &mut worker)?),
        None => None,
    };
    let known = task.class.map_or(0.0, |_| standing.forget_accuracy);
    let lost = (before.retain_accuracy - standing.retain_accuracy).max(0.0);
    let candidate = Candidate {
        method: method.name(),
        score: 100.0 * (lost + known + dormant.unwrap_or(0.0)),
        mia_auc: standing.auc,
        forget_accuracy: standing.forget_accuracy,
        retain_accuracy: standing.retain_accuracy,
        dormant_accuracy: dormant,
        stopped: outcome.stopped.is_some(),
    };
    Ok((candidate, outcome))
}

/// A method at work beside others.
pub(super) struct Worker<'t, 'a>(pub(super) &'t mut Teller<'a>);

impl Observer for Worker<'_, '_> {
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        nn::Observer::on_batch(self.0, report)
    }

    fn on_epoch(&mut self, _: &UnlearnEpoch) -> ControlFlow<()> {
        self.0.answer()
    }

    fn on_phase(&mut self, _: &str, _: &str) -> ControlFlow<()> {
        self.0.answer()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Silent, World};
    use super::*;

    #[test]
    fn the_best_is_the_candidate_with_the_least_score_and_the_same_bits_as_alone() {
        let world = World::class(1500);
        let task = world.task();
        let best = best_of(&task, &mut Silent).unwrap();
        let alone = unlearn(&best.method, &task, &mut Silent).unwrap();
        assert!(best.outcome.model == alone.model);
        let chosen = best.candidates.iter().find(|c| c.method == best.method.name()).unwrap();
        assert!(
            best.candidates.iter().all(|c| c.stopped || chosen.score <= c.score),
            "{:?}",
            best.candidates
        );
        assert_eq!(best.candidates.len(), 3);
    }

    #[test]
    fn the_usual_auc_is_that_of_the_candidate_that_keeps_least_of_the_original() {
        let candidate = |method: MethodName, auc, stopped| Candidate {
            method: method.name(),
            score: 0.0,
            mia_auc: auc,
            forget_accuracy: 0.0,
            retain_accuracy: 1.0,
            dormant_accuracy: None,
            stopped,
        };
        let usual = |of_msg| usual_auc([candidate(MethodName::ResetLast, Some(0.7), false), of_msg].iter());
        assert_eq!(usual(candidate(MethodName::Msg, Some(0.02), false)), 0.02);
        assert_eq!(usual(candidate(MethodName::Msg, Some(0.02), true)), 0.5);
        assert_eq!(usual(candidate(MethodName::Msg, None, false)), 0.5);
        assert_eq!(usual(candidate(MethodName::GradientAscent, Some(0.02), false)), 0.5);
    }

    #[test]
    fn each_recipe_has_its_quickest_exact_method() {
        use crate::nn::Standard;
        let of = |standard| exact_method(&Recipe::Standard(standard));
        assert_eq!(of(Standard::new(1)), Method::RETRAIN);
        assert_eq!(of(Standard { shards: 3, ..Standard::new(1) }), Method::SISA);
        assert_eq!(of(Standard::optimum(1, 0.0)), Method::CONVEX);
    }
}
