//! Teaching wrong answers on the forget set, drawn anew every epoch.

use super::context::Context;
use super::guard::{Advice, Watch};
use super::method::{About, BATCH_SIZE, Claim, EMPIRICAL, EPOCHS, Field, LEARNING_RATE, Unlearner};
use super::pass::{Course, MOMENTUM, Plan, Rows, cross_entropy};
use super::{Observer, Task, UnlearnError, Unlearned};
use crate::nn::Samples;
use crate::nn::hash::{Purpose, keyed_hash};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RandomLabel {
    pub epochs: u32,
    pub batch_size: usize,
    pub learning_rate: f64,
}

impl Default for RandomLabel {
    fn default() -> Self {
        Self { epochs: 2, batch_size: 64, learning_rate: 0.01 }
    }
}

impl Unlearner for RandomLabel {
    const ABOUT: About = About {
        claim: Claim::Empirical,
        summary: "trains on the forget rows with random wrong labels, then on the retained rows, epoch after epoch",
        equation: "each epoch: SGD on CE(forget with labels drawn evenly from the other classes), then on CE(retain); momentum 0.9, rate \
                   falling linearly to zero",
        access: &["forget", "retain"],
        guarantee: EMPIRICAL,
        cost: "a fifth of a training by default",
        known_failure: "teaches answers instead of removing them: on clean rows worse than doing nothing, since their high loss gives them \
                        away; on a class the answers lie far from a retrained network's",
        source: "Golatkar et al. 2020 (CVPR), random labels; Graves et al. 2021 (AAAI)",
    };
    const FIELDS: &'static [Field] = &[EPOCHS, BATCH_SIZE, LEARNING_RATE];

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        relabel_and_train(self, context, observer, None)
    }
}

/// The method, with every step scaled in each parameter by its factor, if there are any.
pub(super) fn relabel_and_train(
    numbers: &RandomLabel,
    context: &mut Context<'_>,
    observer: &mut dyn Observer,
    factors: Option<Vec<f32>>,
) -> Result<Unlearned, UnlearnError> {
    let task = context.task;
    let mut retain = Rows::new(&context.retain, numbers.batch_size, task.seed);
    let mut forget = Rows::new(task.forget, numbers.batch_size, task.seed);
    let plan = Plan {
        epochs: numbers.epochs,
        capacity: numbers.batch_size,
        momentum: MOMENTUM,
        watch: Watch::AtTheEnd,
    };
    let mut course = Course::new(context, observer, task.parent.clone(), plan);
    if let Some(factors) = factors {
        course.scale_steps(factors);
    }
    for epoch in 1..=numbers.epochs {
        retain.shuffle(epoch);
        forget.shuffle(epoch);
        let labels = wrong_labels(task, epoch);
        let relabelled =
            Samples::new(task.train.features(), &labels, task.train.n_features(), task.train.n_classes());
        let batches = [forget.all(), retain.all()].concat();
        let rate = |progress: f64| numbers.learning_rate * (1.0 - progress);
        if course.epoch(&batches, rate, &mut cross_entropy(relabelled))? == Advice::Stop {
            break;
        }
    }
    Ok(course.finish())
}

/// All labels, those of the forget set replaced by others, each drawn by keyed hash of (seed, epoch, row).
fn wrong_labels(task: &Task<'_>, epoch: u32) -> Vec<u32> {
    let mut labels = task.train.labels().to_vec();
    let n_classes = task.train.n_classes() as u64;
    for &row in task.forget {
        let label = &mut labels[row as usize];
        let step = 1 + keyed_hash(task.seed, Purpose::WrongLabel, epoch, row) % (n_classes - 1).max(1);
        *label = ((u64::from(*label) + step) % n_classes) as u32;
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::super::tests::World;
    use super::*;

    #[test]
    fn wrong_labels_are_wrong_even_and_new_every_epoch() {
        let world = World::rows(4_000);
        let task = world.task();
        let (first, second) = (wrong_labels(&task, 1), wrong_labels(&task, 2));
        assert_ne!(first, second);
        let mut steps = [0u32; 4];
        for (row, &label) in world.samples().labels().iter().enumerate() {
            if world.forget.binary_search(&(row as u32)).is_ok() {
                assert_ne!(first[row], label);
                steps[((first[row] + 4 - label) % 4) as usize] += 1;
            } else {
                assert_eq!(first[row], label);
            }
        }
        // a third each, six standard deviations
        let n = f64::from(steps.iter().sum::<u32>());
        for &count in &steps[1..] {
            assert!((f64::from(count) - n / 3.0).abs() < 6.0 * (n * 2.0 / 9.0).sqrt(), "{steps:?}");
        }
    }
}
