//! Bad teaching: answers of an untrained network on the forget set, the original's on some of the rest.

use super::context::Context;
use super::guard::{Advice, Watch};
use super::method::{About, BATCH_SIZE, Claim, Domain, EMPIRICAL, EPOCHS, Field, LEARNING_RATE, Unlearner};
use super::pass::{Course, MOMENTUM, Plan, Rows, n_forget_beside, n_retained};
use super::retrain::with_seed;
use super::teacher::{Teacher, divergence};
use super::{Observer, UnlearnError, Unlearned};
use crate::nn::hash::{Purpose, sample_rows};
use crate::nn::init::init;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BadTeacher {
    pub epochs: u32,
    pub batch_size: usize,
    pub learning_rate: f64,
    /// Part of the retained rows the competent teacher is asked about.
    pub retain_fraction: f64,
}

impl Default for BadTeacher {
    fn default() -> Self {
        Self { epochs: 1, batch_size: 64, learning_rate: 0.002, retain_fraction: 0.3 }
    }
}

impl Unlearner for BadTeacher {
    const ABOUT: About = About {
        claim: Claim::Empirical,
        summary: "imitates an untrained network on the forget set and the original on a part of the retained rows",
        equation: "SGD on mean KL(p₀ ‖ p) over retain + mean KL(p_random ‖ p) over forget, momentum 0.9, rate falling linearly to zero",
        access: &["forget", "retain"],
        guarantee: EMPIRICAL,
        cost: "a sixteenth of a training by default",
        known_failure: "forces even answers where a retrained network would be sure of one: it over-forgets, stands out, and a third of a \
                        class comes back after one epoch on other rows",
        source: "Chundawat et al. 2023 (AAAI), 30 % of the retained rows as published; SGD instead of Adam, rate from a grid on MNIST",
    };
    const FIELDS: &'static [Field] = &[
        EPOCHS,
        BATCH_SIZE,
        LEARNING_RATE,
        Field::new(
            "retain_fraction",
            Domain::Real { min: 0.001, max: 1.0 },
            "Part of the retained rows on which the original is imitated.",
        ),
    ];

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        let task = context.task;
        let n_forget = n_forget_beside(self.batch_size);
        let n_asked = ((self.retain_fraction * context.retain.len() as f64).ceil() as usize).max(1);
        let asked = sample_rows(&context.retain, n_asked, task.seed, Purpose::RetainSample, 0);
        let mut retain = Rows::new(&asked, self.batch_size, task.seed);
        let mut forget = Rows::new(task.forget, n_forget, task.seed);
        let capacity = self.batch_size + n_forget;
        let untrained =
            init(&with_seed(task.recipe, task.seed ^ 1), task.train.n_features(), task.train.n_classes());
        let mut competent = Teacher::new(task.parent.clone(), capacity);
        let mut incompetent = Teacher::new(untrained, capacity);
        let plan = Plan { epochs: self.epochs, capacity, momentum: MOMENTUM, watch: Watch::AtTheEnd };
        let n_classes = task.train.n_classes();
        let mut course = Course::new(context, observer, task.parent.clone(), plan);
        for epoch in 1..=self.epochs {
            retain.shuffle(epoch);
            forget.shuffle(epoch);
            let rate = |progress: f64| self.learning_rate * (1.0 - progress);
            let advice = course.epoch(&retain.beside(&forget), rate, &mut |batch, mlp, rows| {
                let n_kept = n_retained(task, rows);
                let (kept, forgotten) = rows.split_at(n_kept);
                let wanted =
                    [competent.ask(task.train, kept), incompetent.ask(task.train, forgotten)].concat();
                batch.load(task.train, rows);
                batch.forward(mlp);
                batch.loss_by(|i, _, logits| divergence(&wanted[i * n_classes..][..n_classes], logits, 1.0));
                let (keep, forget) = (1.0 / kept.len() as f32, 1.0 / forgotten.len() as f32);
                batch.weigh(|i, _| if i < n_kept { keep } else { forget });
                n_kept
            })?;
            if advice == Advice::Stop {
                break;
            }
        }
        Ok(course.finish())
    }
}
