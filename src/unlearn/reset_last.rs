//! A new output layer, then a short training of the whole network on the retained rows.

use super::context::Context;
use super::guard::Watch;
use super::method::{About, BATCH_SIZE, Claim, EMPIRICAL, EPOCHS, Field, LEARNING_RATE, Unlearner};
use super::pass::{Course, MOMENTUM, Plan, train_on_retained};
use super::{Observer, UnlearnError, Unlearned};
use crate::nn::init::reset_layer;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResetLast {
    pub epochs: u32,
    pub batch_size: usize,
    pub learning_rate: f64,
}

impl Default for ResetLast {
    fn default() -> Self {
        Self { epochs: 2, batch_size: 128, learning_rate: 0.2 }
    }
}

impl Unlearner for ResetLast {
    const ABOUT: About = About {
        claim: Claim::Empirical,
        summary: "draws a new output layer, then trains all layers on the retained rows for a few epochs",
        equation: "W_L ~ N(0, 2/fan_in), b_L ← 0; then SGD on CE(retain), momentum 0.9, rate falling linearly to zero",
        access: &["retain"],
        guarantee: EMPIRICAL,
        cost: "a quarter of a training by default",
        known_failure: "the hidden layers start from what the forget set taught them: single memorised rows keep a membership signal",
        source: "Goel et al. 2022 (arXiv:2201.06640), EU-k with k = 1, but with all layers trained afterwards",
    };
    const FIELDS: &'static [Field] = &[EPOCHS, BATCH_SIZE, LEARNING_RATE];

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        let task = context.task;
        let mut start = task.parent.clone();
        let last = start.n_layers() - 1;
        reset_layer(&mut start, last, task.seed);
        let plan = Plan {
            epochs: self.epochs,
            capacity: self.batch_size,
            momentum: MOMENTUM,
            watch: Watch::AtTheEnd,
        };
        let mut course = Course::new(context, observer, start, plan);
        train_on_retained(&mut course, self.epochs, self.batch_size, self.learning_rate)?;
        Ok(course.finish())
    }
}
