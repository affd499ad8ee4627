//! Descent on the retained rows and ascent on the forgotten ones in one step.

use super::context::Context;
use super::guard::{Advice, Watch, loss_bound};
use super::method::{
    About, BATCH_SIZE, Claim, Domain, EMPIRICAL, EPOCHS, Field, LEARNING_RATE, SHRINK, Unlearner,
};
use super::pass::{Course, MOMENTUM, Plan, Rows, ascent_share, n_forget_beside, n_retained};
use super::{Observer, UnlearnError, Unlearned};
use crate::nn::init::shrink_perturb;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NegGradPlus {
    pub epochs: u32,
    pub batch_size: usize,
    pub learning_rate: f64,
    /// Part of the original's weights it starts from.
    #[serde(default = "super::method::whole")]
    pub shrink: f64,
    /// Weight `α` of the retained rows; the forgotten ones have `1 − α`.
    pub retain_weight: f64,
}

impl Default for NegGradPlus {
    fn default() -> Self {
        Self { epochs: 2, batch_size: 96, learning_rate: 0.1, shrink: 0.65, retain_weight: 0.95 }
    }
}

impl Unlearner for NegGradPlus {
    const ABOUT: About = About {
        claim: Claim::Empirical,
        summary: "draws a part of the weights anew, then descends the loss on retained rows and climbs it on forget rows in the same step, \
                  while the latter is below a bound",
        equation: "θ ← λθ + (1 − λ)φ, φ new weights; then θ ← θ − η·clip(∇[α·mean CE(retain) − (1 − α)·mean CE(forget)]), the second term only while a mini-batch's mean \
                   CE(forget) < τ, τ and its weight on few rows as in `gradient_ascent`; momentum 0.9, rate falling linearly to zero",
        access: &["forget", "retain", "held_out"],
        guarantee: EMPIRICAL,
        cost: "a quarter of a training by default",
        known_failure: "the right α depends on the forget set: a little too high and nothing happens, a little too low and it needs the guard",
        source: "Kurmanji et al. 2023 (NeurIPS), NegGrad+ with its α; the bound is ours, λ as in Ash & Adams 2020 (arXiv:1910.08475), its value \
                 from measurements",
    };
    const FIELDS: &'static [Field] = &[
        EPOCHS,
        BATCH_SIZE,
        LEARNING_RATE,
        SHRINK,
        Field::new(
            "retain_weight",
            Domain::Real { min: 0.0, max: 1.0 },
            "Weight α of the retained rows' loss; the forget rows' has 1 − α.",
        ),
    ];

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        let task = context.task;
        let bound = loss_bound(context);
        let n_forget = n_forget_beside(self.batch_size);
        let mut retain = Rows::new(&context.retain, self.batch_size, task.seed);
        let mut forget = Rows::new(task.forget, n_forget, task.seed);
        let weight = (1.0 - self.retain_weight) * ascent_share(&retain, &forget);
        let plan = Plan {
            epochs: self.epochs,
            capacity: self.batch_size + n_forget,
            momentum: MOMENTUM,
            watch: Watch::AtTheEnd,
        };
        let start = shrink_perturb(task.parent, self.shrink, task.seed);
        let mut course = Course::new(context, observer, start, plan);
        for epoch in 1..=self.epochs {
            retain.shuffle(epoch);
            forget.shuffle(epoch);
            let rate = |progress: f64| self.learning_rate * (1.0 - progress);
            let advice = course.epoch(&retain.beside(&forget), rate, &mut |batch, mlp, rows| {
                batch.score(mlp, task.train, rows);
                let n_kept = n_retained(task, rows);
                let forgotten = &batch.losses()[n_kept..];
                let loss = forgotten.iter().map(|&l| f64::from(l)).sum::<f64>() / forgotten.len() as f64;
                let descend = (self.retain_weight / n_kept as f64) as f32;
                let ascend = match loss < bound {
                    true => (-weight / forgotten.len() as f64) as f32,
                    false => 0.0,
                };
                batch.weigh(|i, _| if i < n_kept { descend } else { ascend });
                n_kept
            })?;
            if advice == Advice::Stop {
                break;
            }
        }
        Ok(course.finish())
    }
}
