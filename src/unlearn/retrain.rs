//! Exact unlearning: train again, without the rows.

use super::context::Context;
use super::method::{About, Claim, Field, Unlearner};
use super::{Observer, UnlearnError, Unlearned};
use crate::nn::{self, BatchReport, EpochReport, Mlp, Problem, Recipe, TrainError, Trained};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// Without numbers of its own: everything is in the parent's recipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retrain {}

impl Unlearner for Retrain {
    const ABOUT: About = About {
        claim: Claim::Exact,
        summary: "trains a new network by the parent's recipe on the retained rows only",
        equation: "θ ← train(recipe, D ∖ forget, fresh seed)",
        access: &["retain"],
        guarantee: "exact: the rows decide no bit of the result, and the training can be replayed",
        cost: "one full training",
        known_failure: "only exact if nothing else was derived from the rows: hyperparameters tuned on them stay tuned",
        source: "Cao & Yang 2015 (IEEE S&P); Bourtoule et al. 2021 (IEEE S&P), the definition of exact unlearning",
    };
    const FIELDS: &'static [Field] = &[];

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        let seed = context.task.seed;
        let mut watch = Reporting { context, observer };
        let model = train_without(watch.context.task, seed, &mut watch)?;
        Ok(model.into())
    }
}

/// Trains by the parent's recipe with another seed, leaving out everything forgotten so far and now.
pub(super) fn train_without(
    task: &super::Task<'_>,
    seed: u64,
    observer: &mut dyn nn::Observer,
) -> Result<Mlp, UnlearnError> {
    let excluded = excluded(task);
    let problem = Problem { train: task.train, excluded: &excluded, test: task.test };
    finished(nn::train(&with_seed(task.recipe, seed), &problem, observer))
}

/// The parent's own training with another seed: on everything it was trained on, the forget set too.
pub(super) fn train_with(
    task: &super::Task<'_>,
    seed: u64,
    observer: &mut dyn nn::Observer,
) -> Result<Mlp, UnlearnError> {
    let problem = Problem { train: task.train, excluded: task.excluded, test: task.test };
    finished(nn::train(&with_seed(task.recipe, seed), &problem, observer))
}

/// [`train_without`] for several seeds, side by side.
pub(super) fn train_all_without(
    task: &super::Task<'_>,
    seeds: &[u64],
    observer: &mut dyn Observer,
) -> Result<Vec<Mlp>, UnlearnError> {
    let excluded = excluded(task);
    let problem = Problem { train: task.train, excluded: &excluded, test: task.test };
    let orders: Vec<_> = seeds.iter().map(|&seed| (with_seed(task.recipe, seed), problem)).collect();
    train_side_by_side(&orders, observer)
}

/// Trains every recipe on its problem, as many at a time as the observer has threads.
pub(super) fn train_side_by_side(
    orders: &[(Recipe, Problem<'_>)],
    observer: &mut dyn Observer,
) -> Result<Vec<Mlp>, UnlearnError> {
    let threads = observer.threads();
    let mut answer = ControlFlow::Continue(());
    let trained = nn::train_all(orders, threads, &mut |report| {
        answer = observer.on_batch(report);
        answer
    });
    // it may have come too late to stop anything
    super::go_on(answer)?;
    trained.into_iter().map(finished).collect()
}

/// Everything forgotten so far and now. Sorted.
pub(super) fn excluded(task: &super::Task<'_>) -> Vec<u32> {
    let mut excluded = [task.excluded, task.forget].concat();
    excluded.sort_unstable();
    excluded
}

fn finished(trained: Result<Trained, TrainError>) -> Result<Mlp, UnlearnError> {
    let trained = trained?;
    if trained.completed { Ok(trained.model) } else { Err(UnlearnError::Interrupted) }
}

pub(super) fn with_seed(recipe: &Recipe, seed: u64) -> Recipe {
    let mut recipe = recipe.clone();
    match &mut recipe {
        Recipe::Nn(numbers) | Recipe::Debug(numbers) => numbers.seed = seed,
        Recipe::Standard(numbers) => numbers.seed = seed,
    }
    recipe
}

/// Reports a training as the passes of an unlearning method.
struct Reporting<'c, 'a> {
    context: &'c mut Context<'a>,
    observer: &'c mut dyn Observer,
}

impl nn::Observer for Reporting<'_, '_> {
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        self.observer.on_batch(report)
    }

    fn on_epoch(&mut self, report: &EpochReport, model: &Mlp) -> ControlFlow<()> {
        let epoch =
            self.context.epoch(model, report.epoch, report.epochs, report.learning_rate, report.n_samples);
        self.observer.on_epoch(&epoch)
    }

    fn threads(&mut self) -> NonZeroUsize {
        self.observer.threads()
    }
}
