//! Sharded ensembles: members that have seen different rows, so that forgetting some rows concerns few members.
//!
//! Source: Bourtoule et al. 2021 (IEEE S&P), "Machine unlearning" (SISA), without slices, aggregated by the mean of
//! the logits; see `docs/decisions/0007-sisa.md`.

mod joint;
mod shards;
#[cfg(test)]
mod tests;

pub use joint::{Joint, joint_hidden};
pub use shards::{Shards, shard_of};

use super::state::State;
use super::team::Team;
use super::train::{Observer, Problem, TrainError, Trained};
use super::{Evaluator, Mlp, Standard};

/// Trains every member; an epoch is reported when all have finished it.
///
/// Loss and accuracy of the training rows are those of the members, each on its own rows; everything else is
/// the ensemble's. Under early stopping each member stops by itself, and the ensemble is always made of their
/// best weights so far, so its best epoch is the last.
pub(super) fn train(
    recipe: &Standard,
    problem: &Problem<'_>,
    from: Option<State>,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    let samples = problem.train;
    let all: Vec<u32> = (0..recipe.shards).collect();
    let mut shards = Shards::new(recipe, problem, &all)?;
    let (mut begun, mut report) = (None, None);
    if let Some(state) = from {
        report = state.cursor.report;
        begun = Some(shards.restore(recipe.epochs, state)?);
    }
    let joint = Joint::of(recipe, samples.n_features(), samples.n_classes());
    let mut model = Mlp::zeroed(joint.shape());
    shards.place(&mut model);
    let mut evaluator = Evaluator::new(model.shape());
    let mut team = 1;
    let test_rows: Vec<u32> = (0..problem.test.n_rows() as u32).collect();
    for epoch in begun.map_or(1, |running| running.epoch)..=recipe.epochs {
        let n_threads = observer.threads();
        if n_threads.get() != team {
            team = n_threads.get();
            evaluator.set_team(Team::of(n_threads));
        }
        let running = match begun.take() {
            Some(running) => Some(running),
            None => {
                shards.pass(epoch, n_threads, &mut |report| observer.on_batch(report))?.filter(|running| {
                    let state = || shards.save(*running, report);
                    observer.on_boundary(&running.batch_report(), &state).is_continue()
                })
            }
        };
        shards.place(&mut model);
        let Some(running) = running else { return Ok(Trained { model, report, completed: false }) };
        let test = evaluator.evaluate(&model, problem.test, &test_rows);
        let held_out = shards.held_out();
        let holdout = (!held_out.is_empty()).then(|| evaluator.evaluate(&model, samples, held_out));
        let measured = running.epoch_report(recipe.epochs, test, holdout);
        report = Some(measured);
        if observer.on_epoch(&measured, &model).is_break() {
            return Ok(Trained { model, report, completed: false });
        }
        if shards.are_over() {
            break;
        }
    }
    Ok(Trained { model, report, completed: true })
}
