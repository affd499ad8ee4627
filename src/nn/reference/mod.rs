//! The two reference trainers, `nn` and `debug`: their arithmetic, reorganised.
//!
//! What one mini-batch of `B` samples does, in the order of the reference programs
//! (`docs/decisions/0002-reference-modes.md`; each `faults` switch names its place):
//!
//! 1. forward all samples: `h = max(0, b₁ + x·W₁)`, `z = b₂ + h·W₂`, clipped at zero under `output_relu`;
//!    `dz = softmax(z) − onehot`;
//! 2. for each sample in turn, output layer: `dh = W₂·dz`, then `v₂ = μ·v₂ + η·h⊗dz`, `W₂ −= v₂`, then under
//!    `doubled_hidden_gradient` `dh += W₂·dz` with the new weights;
//! 3. `dh = 0` where `h ≤ 0`;
//! 4. for each sample in turn, hidden layer: `v₁ = μ·v₁ + η·x⊗dh`, `W₁ −= v₁`.
//!
//! Without `per_sample_momentum` the mini-batch's gradients are summed first and momentum decays once.
//!
//! Step 4 touches every weight for every sample, yet most pixels are zero. The rows of `W₁` are
//! independent of each other and every step is linear in `(v, W, dh)`, so [`hidden`] does three things in
//! closed form: all updates of a row by one mini-batch or several, the pure decay of a row whose pixel has been
//! dark, and what updates not yet made on the weights do to the activations of an image. [`images`] finds the lit
//! pixels, [`rows`] and [`mod@gram`] hold the inner loops.

mod decay;
mod gram;
mod hidden;
mod images;
mod output;
mod rows;
mod trainer;

use super::evaluate::Evaluator;
use super::hash::{Purpose, order_rows};
use super::init::init;
use super::running::Running;
use super::state::State;
use super::train::{Observer, Problem, TrainError, Trained};
use super::{Recipe, Reference, Split};
use trainer::Trainer;
pub(super) use trainer::size_bytes;

/// The order in which the training rows are visited, epoch after epoch.
pub(super) fn order(recipe: &Reference, mut rows: Vec<u32>) -> Vec<u32> {
    if !recipe.faults.no_shuffle {
        // once, before the first epoch: where the reference programs call their shuffle
        order_rows(&mut rows, &mut Vec::new(), recipe.seed, Purpose::Order, 0);
    }
    rows
}

pub(super) fn train(
    whole: &Recipe,
    recipe: &Reference,
    problem: &Problem<'_>,
    from: Option<State>,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    let samples = problem.train;
    let split = Split::new(whole, samples.n_rows(), problem.excluded);
    let order = order(recipe, split.train);
    if order.is_empty() {
        return Err(TrainError::NoRows);
    }
    let batches = order.len().div_ceil(recipe.batch_size) as u64;
    let mut mlp = init(whole, samples.n_features(), samples.n_classes());
    let prints_training_accuracy = matches!(whole, Recipe::Debug(_));
    let mut trainer = Trainer::new(recipe, &mlp, prints_training_accuracy);
    let (mut begun, mut given) = (None, None);
    if let Some(mut state) = from {
        begun = Some(state.running(recipe.epochs, batches)?);
        given = state.cursor.report;
        trainer.restore(&mut state)?;
        state.finish()?;
    }
    let mut evaluator = Evaluator::new(mlp.shape());
    let (test, test_rows) = if split.tests_on_held_out {
        (samples, split.held_out)
    } else {
        (problem.test, (0..problem.test.n_rows() as u32).collect())
    };

    for epoch in begun.map_or(1, |running| running.epoch)..=recipe.epochs {
        let mut running = begun.take().unwrap_or_else(|| Running::new(epoch, batches));
        // an epoch that is over may have had smaller mini-batches
        let done = if running.is_over() { order.len() } else { running.batch as usize * recipe.batch_size };
        for rows in order[done..].chunks(trainer.window()) {
            trainer.open(samples, rows);
            for rows in rows.chunks(recipe.batch_size) {
                trainer.step(samples, rows, &mut running)?;
                if running.is_over() {
                    running.end(recipe.learning_rate, trainer.grad_norm());
                }
                if observer.on_batch(&running.batch_report()).is_break() {
                    trainer.close();
                    trainer.write_to(&mut mlp);
                    return Ok(Trained { model: mlp, report: given, completed: false });
                }
            }
            trainer.close();
            let state = || {
                let mut state = State::new(running, given);
                trainer.save(&mut state);
                state
            };
            if observer.on_boundary(&running.batch_report(), &state).is_break() {
                trainer.write_to(&mut mlp);
                return Ok(Trained { model: mlp, report: given, completed: false });
            }
        }
        trainer.write_to(&mut mlp);
        if !mlp.is_finite() {
            return Err(running.not_finite());
        }
        let tested = evaluator.evaluate(&mlp, test, &test_rows);
        let mut report = running.epoch_report(recipe.epochs, tested, None);
        if prints_training_accuracy {
            report.reported_accuracy = running.accuracy_after_update();
        }
        given = Some(report);
        if observer.on_epoch(&report, &mlp).is_break() {
            return Ok(Trained { model: mlp, report: given, completed: false });
        }
    }
    Ok(Trained { model: mlp, report: given, completed: true })
}
