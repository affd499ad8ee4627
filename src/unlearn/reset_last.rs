//! A new output layer on hidden ones that are partly drawn anew, then a short training of all on the retained rows.

use super::context::Context;
use super::guard::Watch;
use super::method::{About, BATCH_SIZE, Claim, EMPIRICAL, EPOCHS, Field, LEARNING_RATE, SHRINK, Unlearner};
use super::pass::{Course, MOMENTUM, Plan, train_on_retained};
use super::{Observer, UnlearnError, Unlearned};
use crate::nn::init::{reset_layer, shrink_perturb};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResetLast {
    pub epochs: u32,
    pub batch_size: usize,
    pub learning_rate: f64,
    /// Part of the original's hidden weights it starts from.
    #[serde(default = "super::method::whole")]
    pub shrink: f64,
}

impl Default for ResetLast {
    fn default() -> Self {
        Self { epochs: 3, batch_size: 96, learning_rate: 0.1, shrink: 0.8 }
    }
}

impl Unlearner for ResetLast {
    const ABOUT: About = About {
        claim: Claim::Empirical,
        summary: "draws a new output layer and a part of the hidden weights, then trains all layers on the retained rows for a few epochs",
        equation: "θ ← λθ + (1 − λ)φ, φ new weights; W_L ~ N(0, 2/fan_in), b_L ← 0; then SGD on CE(retain), momentum 0.9, rate falling linearly to zero",
        access: &["retain"],
        guarantee: EMPIRICAL,
        cost: "three tenths of a training by default",
        known_failure: "the hidden layers start from what the forget set taught them: single memorised rows keep a membership signal",
        source: "Goel et al. 2022 (arXiv:2201.06640), EU-k with k = 1, but with all layers trained afterwards; λ as in Ash & Adams 2020 \
                 (arXiv:1910.08475), its value from measurements",
    };
    const FIELDS: &'static [Field] = &[EPOCHS, BATCH_SIZE, LEARNING_RATE, SHRINK];

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        let task = context.task;
        let mut start = shrink_perturb(task.parent, self.shrink, task.seed);
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
