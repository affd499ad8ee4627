//! Boundary shrink: each forget row gives way to the class across its nearest boundary.

use super::context::Context;
use super::guard::{Advice, Watch};
use super::method::{About, BATCH_SIZE, Claim, Domain, EMPIRICAL, EPOCHS, Field, LEARNING_RATE, Unlearner};
use super::pass::{Course, Plan, Rows, cross_entropy};
use super::saliency::CHUNK;
use super::{Observer, Task, UnlearnError, Unlearned, go_on};
use crate::nn::batch::Batch;
use crate::nn::{Evaluator, Features, Samples};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoundaryShrink {
    pub epochs: u32,
    pub batch_size: usize,
    pub learning_rate: f64,
    /// Length `ε` of the step towards the boundary, in each feature as the network sees it.
    pub step: f64,
}

impl Default for BoundaryShrink {
    fn default() -> Self {
        Self { epochs: 10, batch_size: 64, learning_rate: 0.005, step: 0.1 }
    }
}

impl Unlearner for BoundaryShrink {
    const ABOUT: About = About {
        claim: Claim::Empirical,
        summary: "teaches each forget row the wrong class that an adversarial step from it finds nearest; reads no retained row to train",
        equation: "x' = x + ε·sign(∂CE/∂x), y' = argmax over j ≠ y of f(x'; θ₀)_j; SGD on CE(x, y') over forget, no momentum, until the guard's \
                   target",
        access: &["forget", "held_out"],
        guarantee: EMPIRICAL,
        cost: "a pass over the forget set an epoch",
        known_failure: "moves the boundary, not the features: much of a class comes back after an epoch on other rows, and nothing repairs the \
                        retained rows it hurts",
        source: "Chen et al. 2023 (CVPR), boundary shrink, ε = 0.1 as published",
    };
    const FIELDS: &'static [Field] = &[
        EPOCHS,
        BATCH_SIZE,
        LEARNING_RATE,
        Field::new(
            "step",
            Domain::Real { min: 1e-6, max: 10.0 },
            "Length of the step towards the boundary, in each feature as the network sees it.",
        ),
    ];

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        let task = context.task;
        go_on(
            observer.on_phase("select", "looking for the class across each forget row's nearest boundary"),
        )?;
        let labels = nearest_other_labels(task, self.step as f32);
        let relabelled =
            Samples::new(task.train.features(), &labels, task.train.n_features(), task.train.n_classes());
        let mut forget = Rows::new(task.forget, self.batch_size, task.seed);
        let plan =
            Plan { epochs: self.epochs, capacity: self.batch_size, momentum: 0.0, watch: Watch::Throughout };
        let mut course = Course::new(context, observer, task.parent.clone(), plan);
        let mut advice = course.look_at_original()?;
        for epoch in 1..=self.epochs {
            if advice == Advice::Stop {
                break;
            }
            forget.shuffle(epoch);
            let rate = |_| self.learning_rate;
            advice = course.epoch(&forget.all(), rate, &mut cross_entropy(relabelled))?;
        }
        Ok(course.finish())
    }
}

/// All labels, those of the forget set replaced by the likeliest other class after a step against the true one.
fn nearest_other_labels(task: &Task<'_>, step: f32) -> Vec<u32> {
    let (samples, d) = (task.train, task.train.n_features());
    let mut batch = Batch::new(task.parent.shape(), CHUNK);
    let mut evaluator = Evaluator::new(task.parent.shape());
    let mut labels = samples.labels().to_vec();
    for chunk in task.forget.chunks(CHUNK) {
        batch.score(task.parent, samples, chunk);
        let mut moved = batch.input_gradients(task.parent);
        let mut row_as_seen = vec![0.0; d];
        for (x, &row) in moved.chunks_exact_mut(d).zip(chunk) {
            samples.copy_row(row as usize, &mut row_as_seen);
            for (x, &seen) in x.iter_mut().zip(&row_as_seen) {
                let sign = if *x == 0.0 { 0.0 } else { x.signum() };
                *x = seen + step * sign;
            }
        }
        let true_labels: Vec<u32> = chunk.iter().map(|&row| samples.label(row as usize)).collect();
        let moved = Samples::new(Features::F32(&moved), &true_labels, d, samples.n_classes());
        let places: Vec<u32> = (0..chunk.len() as u32).collect();
        evaluator.for_each(task.parent, moved, &places, |place, logits| {
            labels[chunk[place as usize] as usize] = likeliest_other(logits, true_labels[place as usize]);
        });
    }
    labels
}

/// The class with the greatest logit but for one; that one if there is no other.
fn likeliest_other(logits: &[f32], except: u32) -> u32 {
    let others = (0..logits.len() as u32).filter(|&class| class != except);
    others
        .reduce(|best, class| if logits[class as usize] > logits[best as usize] { class } else { best })
        .unwrap_or(except)
}

#[cfg(test)]
mod tests {
    use super::super::tests::World;
    use super::*;

    #[test]
    fn every_forget_row_gives_way_to_another_class_and_no_other_row_does() {
        let world = World::class(600);
        let labels = nearest_other_labels(&world.task(), 0.1);
        for (row, (&new, &old)) in labels.iter().zip(world.samples().labels()).enumerate() {
            let is_forgotten = world.forget.binary_search(&(row as u32)).is_ok();
            assert_eq!(new != old, is_forgotten, "row {row}");
        }
    }

    #[test]
    fn the_likeliest_other_class_is_never_the_excepted_one() {
        assert_eq!(likeliest_other(&[0.1, 3.0, 2.0], 1), 2);
        assert_eq!(likeliest_other(&[0.1, 3.0, 2.0], 0), 1);
        assert_eq!(likeliest_other(&[1.0, 1.0, 1.0], 0), 1);
    }
}
