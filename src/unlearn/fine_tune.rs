//! Going on training without the forget set, and waiting for it to fade.

use super::context::Context;
use super::guard::Watch;
use super::method::{About, BATCH_SIZE, Claim, EMPIRICAL, EPOCHS, Field, LEARNING_RATE, Unlearner};
use super::pass::{Course, MOMENTUM, Plan, train_on_retained};
use super::{Observer, UnlearnError, Unlearned};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FineTune {
    pub epochs: u32,
    pub batch_size: usize,
    pub learning_rate: f64,
}

impl Default for FineTune {
    fn default() -> Self {
        Self { epochs: 2, batch_size: 64, learning_rate: 0.05 }
    }
}

impl Unlearner for FineTune {
    const ABOUT: About = About {
        claim: Claim::Empirical,
        summary: "trains on the retained rows for a few epochs more, in the hope that the others fade",
        equation: "SGD on CE(retain) from θ₀, momentum 0.9, rate falling linearly to zero",
        access: &["retain"],
        guarantee: EMPIRICAL,
        cost: "a fifth of a training by default",
        known_failure: "a class stays known whole, memorised rows keep most of their membership signal: catastrophic forgetting is slow",
        source: "Golatkar et al. 2020 (CVPR) and Warnecke et al. 2021 (arXiv:2108.11577) as a baseline; rate from a grid on MNIST",
    };
    const FIELDS: &'static [Field] = &[EPOCHS, BATCH_SIZE, LEARNING_RATE];

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        let plan = Plan {
            epochs: self.epochs,
            capacity: self.batch_size,
            momentum: MOMENTUM,
            watch: Watch::AtTheEnd,
        };
        let start = context.task.parent.clone();
        let mut course = Course::new(context, observer, start, plan);
        train_on_retained(&mut course, self.epochs, self.batch_size, self.learning_rate)?;
        Ok(course.finish())
    }
}
