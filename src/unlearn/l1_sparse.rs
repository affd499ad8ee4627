//! Fine-tuning under an l1 penalty: sparser networks remember less.

use super::context::Context;
use super::guard::{Advice, Watch};
use super::method::{About, BATCH_SIZE, Claim, Domain, EMPIRICAL, EPOCHS, Field, LEARNING_RATE, Unlearner};
use super::pass::{Course, MOMENTUM, Plan, Rows, cross_entropy};
use super::{Observer, UnlearnError, Unlearned};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct L1Sparse {
    pub epochs: u32,
    pub batch_size: usize,
    pub learning_rate: f64,
    /// `γ` of the penalty in the first epoch.
    pub l1: f64,
}

impl Default for L1Sparse {
    fn default() -> Self {
        Self { epochs: 3, batch_size: 64, learning_rate: 0.02, l1: 2e-4 }
    }
}

impl Unlearner for L1Sparse {
    const ABOUT: About = About {
        claim: Claim::Empirical,
        summary: "trains on the retained rows under an l1 penalty that fades out",
        equation: "SGD on CE(retain) + γ_t·‖W‖₁ from θ₀, γ_t = γ·(1 − t/T) by epoch, momentum 0.9, rate falling linearly to zero",
        access: &["retain"],
        guarantee: EMPIRICAL,
        cost: "a third of a training by default",
        known_failure: "a class largely stays (a fifth of it returns in the dormant probe); costs accuracy when γ is large",
        source: "Jia et al. 2023 (NeurIPS), l1-sparse; γ from a grid on MNIST (5e-4 was published)",
    };
    const FIELDS: &'static [Field] = &[
        EPOCHS,
        BATCH_SIZE,
        LEARNING_RATE,
        Field::new(
            "l1",
            Domain::Real { min: 0.0, max: 1.0 },
            "Strength γ of the penalty on ‖W‖₁ in the first epoch.",
        ),
    ];

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        let task = context.task;
        let plan = Plan {
            epochs: self.epochs,
            capacity: self.batch_size,
            momentum: MOMENTUM,
            watch: Watch::AtTheEnd,
        };
        let mut retain = Rows::new(&context.retain, self.batch_size, task.seed);
        let mut course = Course::new(context, observer, task.parent.clone(), plan);
        for epoch in 1..=self.epochs {
            retain.shuffle(epoch);
            course.shrink(self.l1 * (1.0 - f64::from(epoch - 1) / f64::from(self.epochs)));
            let rate = |progress: f64| self.learning_rate * (1.0 - progress);
            if course.epoch(&retain.all(), rate, &mut cross_entropy(task.train))? == Advice::Stop {
                break;
            }
        }
        Ok(course.finish())
    }
}
