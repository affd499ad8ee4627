//! Knowledge that accuracies do not show: what comes back by itself, and what comes back fast.

use crate::nn::Mlp;
use crate::nn::batch::Batch;
use crate::unlearn::context::Context;
use crate::unlearn::pass::{Descent, Rows, Running, train_one_epoch};
use crate::unlearn::{Observer, UnlearnError, go_on};

/// Batch size, learning rate and momentum of the probes' training.
const PROBE: (usize, f64, f64) = (64, 0.05, 0.9);

/// The forget set counts as relearned this far below the original's accuracy on it.
const RELEARN_MARGIN: f64 = 0.05;

/// Steps after which a network counts as not relearning.
pub(super) const MAX_RELEARN_STEPS: u32 = 512;

/// So many steps are looked at one by one, later ones every [`LATER`].
const FIRST: u32 = 64;
const LATER: u32 = 8;

/// Accuracy on the forget set after one epoch of training on the retained rows only: knowledge that was
/// hidden rather than removed comes back (arXiv:2505.22310).
pub(in crate::unlearn) fn dormant_accuracy(
    context: &mut Context<'_>,
    mlp: &Mlp,
    observer: &mut dyn Observer,
) -> Result<f64, UnlearnError> {
    let task = context.task;
    let mut mlp = mlp.clone();
    train_one_epoch(&mut mlp, task.train, &context.retain, PROBE, task.seed, observer)?;
    Ok(context.forget(&mlp).accuracy)
}

/// Steps of training on the forget set until it is known as well as by the original, less a margin of five points; 0 if
/// it is already, at most [`MAX_RELEARN_STEPS`].
///
/// Divided by the same of a retrained network this is the anamnesis index of Chundawat et al. 2023 (IEEE TIFS 18,
/// "Zero-shot machine unlearning"): 1 is ideal, less is knowledge that was left.
pub(super) fn relearn_steps(
    context: &mut Context<'_>,
    mlp: &Mlp,
    observer: &mut dyn Observer,
) -> Result<u32, UnlearnError> {
    let task = context.task;
    let wanted = context.forget_probe(task.parent).accuracy - RELEARN_MARGIN;
    let (batch_size, learning_rate, momentum) = PROBE;
    let mut mlp = mlp.clone();
    let mut rows = Rows::new(task.forget, batch_size, task.seed);
    let mut batch = Batch::new(mlp.shape(), batch_size);
    let mut descent = Descent::new(&mlp, momentum);
    let mut running = Running::default();
    let batches = rows.batches();
    for step in 0..MAX_RELEARN_STEPS {
        let is_looked_at = step <= FIRST || step % LATER == 0;
        if is_looked_at && context.forget_probe(&mlp).accuracy >= wanted {
            return Ok(step);
        }
        let (epoch, number) = (u64::from(step) / batches, u64::from(step) % batches);
        if number == 0 {
            rows.shuffle(epoch as u32);
        }
        let chosen = rows.batch(number);
        batch.score(&mlp, task.train, chosen);
        batch.weigh_mean();
        descent.step(&mut mlp, &mut batch, learning_rate);
        running.add(&batch, chosen.len());
        go_on(observer.on_batch(&running.report(epoch as u32 + 1, number + 1, batches)))?;
    }
    Ok(MAX_RELEARN_STEPS)
}
