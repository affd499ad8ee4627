//! A new output layer, then a short training of the whole network on the retained rows.

use super::context::Context;
use super::guard::{Guard, Watch};
use super::method::{About, ResetLast};
use super::pass::{Descent, Rows, Running};
use super::{Observer, UnlearnError, Unlearned, go_on};
use crate::nn::batch::Batch;
use crate::nn::init::reset_layer;

pub(super) const ABOUT: About = About {
    summary: "draws a new output layer, then trains all layers on the retained rows for a few epochs",
    equation: "W_L ~ N(0, 2/fan_in), b_L ← 0; then SGD on CE(retain), momentum 0.9, rate falling linearly to zero",
    access: &["retain"],
    guarantee: "empirical: only what the report measures",
    cost: "a third of a training by default",
    known_failure: "the hidden layers start from what the forget set taught them: single memorised rows keep a membership signal",
    source: "Goel et al. 2022 (arXiv:2201.06640), EU-k with k = 1, but with all layers trained afterwards",
};

const MOMENTUM: f64 = 0.9;

pub(super) fn run(
    numbers: &ResetLast,
    context: &mut Context<'_>,
    observer: &mut dyn Observer,
) -> Result<Unlearned, UnlearnError> {
    let task = context.task;
    let mut mlp = task.parent.clone();
    let guard = Guard::new(Watch::AtTheEnd, context.probe_accuracy(&mlp));
    let last = mlp.n_layers() - 1;
    reset_layer(&mut mlp, last, task.seed);

    let mut retain = Rows::new(&context.retain, numbers.batch_size, task.seed);
    let mut batch = Batch::new(mlp.shape(), numbers.batch_size);
    let mut descent = Descent::new(&mlp, MOMENTUM);
    let batches = retain.batches();
    let steps = batches * u64::from(numbers.epochs);
    for epoch in 1..=numbers.epochs {
        retain.shuffle(epoch);
        let mut running = Running::default();
        let mut learning_rate = 0.0;
        for number in 0..batches {
            let rows = retain.batch(number);
            batch.score(&mlp, task.train, rows);
            running.add(&batch, rows.len());
            batch.weigh_mean();
            let done = (u64::from(epoch - 1) * batches + number) as f64 / steps as f64;
            learning_rate = numbers.learning_rate * (1.0 - done);
            descent.step(&mut mlp, &mut batch, learning_rate);
            go_on(observer.on_batch(&running.report(epoch, number + 1, batches)))?;
        }
        let report = context.epoch(&mlp, epoch, numbers.epochs, learning_rate, running.seen);
        go_on(observer.on_epoch(&report))?;
    }
    Ok(guard.finish(context, mlp))
}
