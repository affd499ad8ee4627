//! Exact unlearning of an ensemble: the members that saw the rows are trained again, without them.

mod board;
#[cfg(test)]
mod tests;

use super::context::Context;
use super::method::{About, Claim, Field, Unlearner};
use super::retrain::excluded;
use super::{Observer, Task, UnlearnEpoch, UnlearnError, Unlearned, go_on};
use crate::nn::sisa::{Joint, Shards, shard_of};
use crate::nn::{Problem, Recipe, Running, Standard};
use board::Boards;
use serde::{Deserialize, Serialize};

/// Without numbers of its own: everything is in the parent's recipe. Members whose shard has no rows left stay in their
/// places with weights of zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sisa {}

impl Unlearner for Sisa {
    const ABOUT: About = About {
        claim: Claim::Exact,
        summary: "trains again, without the rows, only the members of an ensemble that saw them",
        equation: "θ = (θ₁ … θ_S), z(x) = mean of z(x; θ_s); for each shard s that holds forget rows: \
                   θ_s ← train(recipe, D_s ∖ forget, the member's seed), velocity 0",
        access: &["retain"],
        guarantee: "exact: the same bits as training the whole ensemble without the rows; not against someone who chooses \
                    what to delete by what the model answers (Gupta et al. 2021, arXiv:2106.04378)",
        cost: "the part of the shards that are hit of a training: K rows or subjects hit S(1−(1−1/S)^K) of S shards on average",
        known_failure: "a class, or a few hundred rows of many subjects, hit every shard and cost a whole training; members see \
                        less data, so the ensemble is a little less accurate than one network",
        source: "Bourtoule et al. 2021 (IEEE S&P), SISA, without slices; the mean of logits for the vote",
    };
    const FIELDS: &'static [Field] = &[];

    fn applies_to(&self, recipe: &Recipe) -> Result<(), String> {
        recipe_of(recipe).map(drop).map_err(|error| error.to_string())
    }

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        let task = context.task;
        let recipe = recipe_of(task.recipe)?;
        let joint = Joint::of(recipe, task.train.n_features(), task.train.n_classes());
        if *task.parent.shape() != joint.shape() {
            let reason = "the network does not have the shape of the ensemble its recipe trains";
            return Err(UnlearnError::NotApplicable(reason.to_owned()));
        }
        let hit = shards_to_train(recipe, task);
        let detail = format!("training {} of {} members again", hit.len(), recipe.shards);
        go_on(observer.on_phase("unlearn", &detail))?;
        let excluded = excluded(task);
        let problem = Problem { train: task.train, excluded: &excluded, test: task.test };
        let mut shards = Shards::new(recipe, &problem, &hit)?;
        let mut boards = Boards::new(context, &joint, &hit, observer.threads());
        for epoch in 1..=recipe.epochs {
            if shards.are_over() {
                break;
            }
            let threads = observer.threads();
            let running = shards.pass(epoch, threads, &mut |report| observer.on_batch(report))?;
            let running = running.ok_or(UnlearnError::Interrupted)?;
            go_on(observer.on_epoch(&report(epoch, recipe.epochs, &running, &mut boards, &shards)))?;
        }
        let mut model = task.parent.clone();
        shards.place(&mut model);
        Ok(model.into())
    }
}

/// The recipe of an ensemble.
///
/// # Errors
///
/// [`UnlearnError::NotApplicable`] for the recipe of a single network.
pub(super) fn recipe_of(recipe: &Recipe) -> Result<&Standard, UnlearnError> {
    match recipe {
        Recipe::Standard(standard) if standard.shards > 1 => Ok(standard),
        Recipe::Standard(_) | Recipe::Nn(_) | Recipe::Debug(_) => Err(UnlearnError::NotApplicable(
            "`sisa` needs a model trained with `shards` of at least 2; `retrain` forgets exactly in every model"
                .to_owned(),
        )),
    }
}

/// Sorted, without duplicates. All of them where an approximate method may have told any member about any row.
fn shards_to_train(recipe: &Standard, task: &Task<'_>) -> Vec<u32> {
    if !task.parent_is_exact {
        return (0..recipe.shards).collect();
    }
    let mut hit: Vec<u32> = task.forget.iter().map(|&row| shard_of(task.train, recipe.shards, row)).collect();
    hit.sort_unstable();
    hit.dedup();
    hit
}

fn report(
    epoch: u32,
    epochs: u32,
    running: &Running,
    boards: &mut Boards<'_>,
    shards: &Shards<'_>,
) -> UnlearnEpoch {
    let [forget, retain, test] = boards.evaluate(shards);
    UnlearnEpoch {
        epoch,
        epochs,
        forget_loss: forget.loss,
        forget_accuracy: forget.accuracy,
        retain_accuracy: retain.accuracy,
        test_loss: test.loss,
        test_accuracy: test.accuracy,
        learning_rate: running.learning_rate(),
        n_samples: running.n_samples(),
    }
}
