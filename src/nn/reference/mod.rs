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
use super::train::{BatchReport, EpochReport, Observer, Problem, TrainError, Trained};
use super::{Recipe, Reference, Split};
pub(super) use trainer::size_bytes;
use trainer::{Sums, Trainer};

pub(super) fn train(
    whole: &Recipe,
    recipe: &Reference,
    problem: &Problem<'_>,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    let samples = problem.train;
    let split = Split::new(whole, samples.n_rows(), problem.excluded);
    let mut order = split.train.clone();
    if order.is_empty() {
        return Err(TrainError::NoRows);
    }
    if !recipe.faults.no_shuffle {
        // once, before the first epoch: where the reference programs call their shuffle
        order_rows(&mut order, &mut Vec::new(), recipe.seed, Purpose::Order, 0);
    }
    let mut mlp = init(whole, samples.n_features(), samples.n_classes());
    let prints_training_accuracy = matches!(whole, Recipe::Debug(_));
    let mut trainer = Trainer::new(recipe, &mlp, prints_training_accuracy);
    let mut evaluator = Evaluator::new(mlp.shape());
    let (test, test_rows) = if split.tests_on_held_out {
        (samples, split.held_out)
    } else {
        (problem.test, (0..problem.test.n_rows() as u32).collect())
    };

    let batches = order.len().div_ceil(recipe.batch_size) as u64;
    for epoch in 1..=recipe.epochs {
        let (mut sums, mut grad_norm, mut number) = (Sums::default(), 0.0, 0);
        for rows in order.chunks(trainer.window()) {
            trainer.open(samples, rows);
            for rows in rows.chunks(recipe.batch_size) {
                number += 1;
                trainer.step(samples, rows, &mut sums);
                if !sums.loss.is_finite() {
                    return Err(TrainError::NonFinite { epoch, batch: number });
                }
                if number == batches {
                    grad_norm = trainer.grad_norm();
                }
                let seen = sums.seen as f64;
                let report = BatchReport {
                    epoch,
                    batch: number,
                    batches,
                    loss: sums.loss / seen,
                    accuracy: sums.hits as f64 / seen,
                };
                if observer.on_batch(&report).is_break() {
                    trainer.close();
                    trainer.write_to(&mut mlp);
                    return Ok(Trained { model: mlp, best_epoch: epoch, completed: false });
                }
            }
            trainer.close();
        }
        trainer.write_to(&mut mlp);
        if !mlp.is_finite() {
            return Err(TrainError::NonFinite { epoch, batch: batches });
        }
        let tested = evaluator.evaluate(&mlp, test, &test_rows);
        let seen = sums.seen as f64;
        let report = EpochReport {
            epoch,
            epochs: recipe.epochs,
            train_loss: sums.loss / seen,
            train_accuracy: sums.hits as f64 / seen,
            test_loss: tested.loss,
            test_accuracy: tested.accuracy,
            holdout_loss: None,
            holdout_accuracy: None,
            reported_accuracy: if prints_training_accuracy {
                sums.hits_after_update as f64 / seen
            } else {
                tested.accuracy
            },
            learning_rate: recipe.learning_rate,
            grad_norm,
            n_samples: sums.seen,
        };
        if observer.on_epoch(&report, &mlp).is_break() {
            return Ok(Trained { model: mlp, best_epoch: epoch, completed: false });
        }
    }
    Ok(Trained { model: mlp, best_epoch: recipe.epochs, completed: true })
}
