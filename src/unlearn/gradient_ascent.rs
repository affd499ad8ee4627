//! Gradient ascent on the forget set, bounded (the default) or plain.

use super::context::Context;
use super::guard::{Advice, Guard, LOOKS_PER_EPOCH, Target, Watch};
use super::method::{About, GradientAscent, Variant};
use super::pass::{Descent, Rows, Running};
use super::{Observer, UnlearnError, Unlearned, go_on};
use crate::nn::batch::Batch;

pub(super) const ABOUT: About = About {
    summary: "climbs the loss on the forget rows; `bounded` descends it on the retained rows at the same time",
    equation: "bounded: θ ← θ − η·clip(∇[mean CE(retain) − w·mean CE(forget rows with CE < τ)]), \
               τ = ln C for a class, the matched held-out loss for rows; \
               plain: θ ← θ + η·clip(∇ mean CE(forget)), no momentum",
    access: &["forget", "retain"],
    guarantee: "empirical: only what the report measures",
    cost: "bounded: about a quarter of a training; plain: a pass over the forget set",
    known_failure: "plain ascent hides a class (much of it returns after one epoch on other rows) or breaks the network before it \
                    has forgotten; on mislabelled rows even the bounded form leaves a membership signal",
    source: "plain: Golatkar et al. 2020 (CVPR), NegGrad; bounded: hinge on the ascent as in Zhang et al. 2024 (NPO, \
             arXiv:2404.05868) in spirit, with our own bound, weight and schedule from measurements",
};

/// Momentum of the bounded form, whose retained rows keep it stable.
const MOMENTUM: f64 = 0.9;

/// The bounded form's rate falls to this part of itself by the last epoch.
const LAST_RATE: f64 = 0.4;

/// Forget rows in a step, as a part of the retained ones: a pass over the retained rows then costs only
/// a quarter more, and still meets the forget set several times.
const FORGET_SHARE: usize = 4;

/// A class counts as forgotten when nothing of it is recognised any more, as after retraining.
const FORGOTTEN_CLASS_ACCURACY: f64 = 0.0;

pub(super) fn run(
    numbers: &GradientAscent,
    context: &mut Context<'_>,
    observer: &mut dyn Observer,
) -> Result<Unlearned, UnlearnError> {
    match numbers.variant {
        Variant::Bounded => bounded(numbers, context, observer),
        Variant::Plain => plain(numbers, context, observer),
    }
}

fn bounded(
    numbers: &GradientAscent,
    context: &mut Context<'_>,
    observer: &mut dyn Observer,
) -> Result<Unlearned, UnlearnError> {
    let task = context.task;
    let mut mlp = task.parent.clone();
    let bound = match task.class {
        Some(_) => guessing_loss(task.train.n_classes()),
        None => rows_target(context),
    } as f32;
    let n_forget = (numbers.batch_size / FORGET_SHARE).max(1);
    let mut retain = Rows::new(&context.retain, numbers.batch_size, task.seed);
    let mut forget = Rows::new(task.forget, n_forget, task.seed);
    let mut batch = Batch::new(mlp.shape(), numbers.batch_size + n_forget);
    let mut rows = Vec::with_capacity(numbers.batch_size + n_forget);
    let mut descent = Descent::new(&mlp, MOMENTUM);
    let mut guard = Guard::new(Watch::AtTheEnd, context.probe_accuracy(&mlp));

    for epoch in 1..=numbers.epochs {
        let progress = f64::from(epoch - 1) / f64::from((numbers.epochs - 1).max(1));
        let learning_rate = numbers.learning_rate * (1.0 - (1.0 - LAST_RATE) * progress);
        retain.shuffle(epoch);
        forget.shuffle(epoch);
        let mut running = Running::default();
        let batches = retain.batches();
        for number in 0..batches {
            let (kept, forgotten) = (retain.batch(number), forget.batch(number));
            rows.clear();
            rows.extend_from_slice(kept);
            rows.extend_from_slice(forgotten);
            batch.score(&mlp, task.train, &rows);
            running.add(&batch, kept.len());
            let descend = 1.0 / kept.len() as f32;
            let ascend = -numbers.ascent_weight as f32 / forgotten.len() as f32;
            batch.weigh(|i, loss| match (i < kept.len(), loss < bound) {
                (true, _) => descend,
                (false, true) => ascend,
                (false, false) => 0.0,
            });
            descent.step(&mut mlp, &mut batch, learning_rate);
            go_on(observer.on_batch(&running.report(epoch, number + 1, batches)))?;
        }
        if guard.look(context, &mlp) == Advice::Stop {
            break;
        }
        let report = context.epoch(&mlp, epoch, numbers.epochs, learning_rate, running.seen);
        go_on(observer.on_epoch(&report))?;
    }
    Ok(guard.finish(context, mlp))
}

fn plain(
    numbers: &GradientAscent,
    context: &mut Context<'_>,
    observer: &mut dyn Observer,
) -> Result<Unlearned, UnlearnError> {
    let task = context.task;
    let mut mlp = task.parent.clone();
    let target = match task.class {
        Some(_) => Target::Accuracy(FORGOTTEN_CLASS_ACCURACY),
        None => Target::Loss(rows_target(context)),
    };
    let mut forget = Rows::new(task.forget, numbers.batch_size, task.seed);
    let mut batch = Batch::new(mlp.shape(), numbers.batch_size);
    let mut descent = Descent::new(&mlp, 0.0);
    let mut guard = Guard::new(Watch::Throughout(target), context.probe_accuracy(&mlp));
    let batches = forget.batches();
    let steps_between_looks = (batches / LOOKS_PER_EPOCH).max(1);
    let mut steps = 0;
    // before the first step: there may be nothing to do, and there is something to roll back to
    let mut advice = guard.look(context, &mlp);

    for epoch in 1..=numbers.epochs {
        if advice == Advice::Stop {
            break;
        }
        forget.shuffle(epoch);
        let mut running = Running::default();
        for number in 0..batches {
            let rows = forget.batch(number);
            batch.score(&mlp, task.train, rows);
            running.add(&batch, rows.len());
            let ascend = -1.0 / rows.len() as f32;
            batch.weigh(|_, _| ascend);
            descent.step(&mut mlp, &mut batch, numbers.learning_rate);
            go_on(observer.on_batch(&running.report(epoch, number + 1, batches)))?;
            steps += 1;
            if steps % steps_between_looks == 0 {
                advice = guard.look(context, &mlp);
                if advice == Advice::Stop {
                    break;
                }
            }
        }
        let report = context.epoch(&mlp, epoch, numbers.epochs, numbers.learning_rate, running.seen);
        if mlp.is_finite() {
            go_on(observer.on_epoch(&report))?;
        }
    }
    Ok(guard.finish(context, mlp))
}

/// Loss of a network that guesses evenly: `ln C`.
fn guessing_loss(n_classes: usize) -> f64 {
    libm::log(n_classes as f64)
}

/// The loss single rows should end at: that of held-out rows like them, or guessing where there are none.
fn rows_target(context: &mut Context<'_>) -> f64 {
    let task = context.task;
    context.matched_held_out_loss(task.parent).unwrap_or_else(|| guessing_loss(task.train.n_classes()))
}
