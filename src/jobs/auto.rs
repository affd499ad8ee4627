//! Method `auto`: what is done at once, what follows behind it, and why.

use super::executor::Failure;
use super::unlearn::Watch;
use crate::domain::{Priority, Run, Status, Unlearn, Work};
use crate::nn::{self, BatchReport, Problem};
use crate::unlearn::{Auto, Candidate, Method, Task, Unlearned, best_of, exact_method, unlearn};
use chrono::Utc;
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a retraining is watched to see how fast it goes.
const TRIAL: Duration = Duration::from_millis(300);

/// What was done of an order, and what was decided on the way.
pub(super) struct Done {
    pub(super) method: Method,
    pub(super) outcome: Unlearned,
    /// For the report; `None` unless the choice was ours.
    pub(super) choice: Option<Value>,
    /// The exact run that is to follow.
    pub(super) exact: Option<Box<Run>>,
}

/// Does what was ordered: with `auto`, what suits the model and the time it would take.
pub(super) fn carry_out(
    run: &Run,
    order: &Unlearn,
    task: &Task<'_>,
    watch: &mut Watch<'_, '_>,
) -> Result<Done, Failure> {
    let Method::Auto(Auto { threshold_s }) = order.method else {
        let outcome = unlearn(&order.method, task, watch)?;
        return Ok(Done { method: order.method.clone(), outcome, choice: None, exact: None });
    };
    let exact = exact_method(task.recipe);
    let predicted_s = predicted_s(task, &exact, watch.threads);
    let told = |why: String, exact_run: Option<Uuid>, candidates: &[Candidate], chosen: &Method| {
        json!({
            "chosen": chosen.name(),
            "why": why,
            "predicted_exact_s": predicted_s,
            "threshold_s": threshold_s,
            "exact_run": exact_run,
            "candidates": candidates,
        })
    };
    if predicted_s <= threshold_s {
        let outcome = unlearn(&exact, task, watch)?;
        let why = format!(
            "`{}` is exact and predicted to take {predicted_s:.1} s, no more than the threshold of {threshold_s} s",
            exact.name()
        );
        return Ok(Done { choice: Some(told(why, None, &[], &exact)), method: exact, outcome, exact: None });
    }
    let best = best_of(task, watch)?;
    let follower = follower(run, order, exact.clone());
    let why = format!(
        "`{}` is predicted to take {predicted_s:.1} s, more than the threshold of {threshold_s} s: it follows as run {}; until then `{}`, the best of {} methods \
         by their membership statistics against held-out rows",
        exact.name(),
        follower.id,
        best.method.name(),
        best.candidates.len()
    );
    let choice = told(why, Some(follower.id), &best.candidates, &best.method);
    Ok(Done {
        method: best.method,
        outcome: best.outcome,
        choice: Some(choice),
        exact: Some(Box::new(follower)),
    })
}

/// The order without what only the exact run behind it may do: an interim version revokes nothing.
pub(super) fn interim(order: &Unlearn, done: &Done) -> Unlearn {
    Unlearn {
        method: done.method.clone(),
        revoke_parent: order.revoke_parent && done.exact.is_none(),
        ..order.clone()
    }
}

/// The same order by an exact method, of the same parent.
fn follower(run: &Run, order: &Unlearn, method: Method) -> Run {
    let mut tags = run.tags.clone();
    tags.insert("interim_run".to_owned(), run.id.to_string());
    Run {
        id: Uuid::now_v7(),
        status: Status::Queued,
        // what was asked for is forgotten already: the proof behind it must not keep the next request waiting
        priority: run.priority.max(Priority::Interactive),
        tags,
        created_at: Utc::now(),
        work: Work::Unlearn(Unlearn { method, ..order.clone() }),
        ..run.clone()
    }
}

/// Seconds an exact method will take, from its first mini-batches.
fn predicted_s(task: &Task<'_>, exact: &Method, threads: NonZeroUsize) -> f64 {
    if *exact == Method::CONVEX {
        // a few passes from where the parent is: beside any training it is nothing
        return 0.0;
    }
    let mut excluded = [task.excluded, task.forget].concat();
    excluded.sort_unstable();
    let problem = Problem { train: task.train, excluded: &excluded, test: task.test };
    let mut trial = Trial { started: Instant::now(), threads, last: None };
    // how it ends does not matter: it is stopped on the way
    drop(nn::train(task.recipe, &problem, &mut trial));
    let spent = trial.started.elapsed().as_secs_f64();
    let done = trial.last.map_or(1.0, |report| {
        let within = report.batch as f64 / report.batches.max(1) as f64;
        f64::from(report.epoch - 1) + within
    });
    spent * f64::from(task.recipe.epochs()) / done.max(1e-9)
}

/// Watches a training for a moment.
struct Trial {
    started: Instant,
    threads: NonZeroUsize,
    last: Option<BatchReport>,
}

impl nn::Observer for Trial {
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        self.last = Some(*report);
        if self.started.elapsed() < TRIAL { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn threads(&mut self) -> NonZeroUsize {
        self.threads
    }
}
