//! Gradient ascent: climbing the loss on the forget set, bounded and beside training, or plain.

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
pub struct GradientAscent {
    pub variant: Variant,
    pub epochs: u32,
    pub batch_size: usize,
    pub learning_rate: f64,
    /// Part of the original's weights it starts from (`bounded` only).
    #[serde(default = "super::method::whole")]
    pub shrink: f64,
    /// Weight `w` of the ascent beside the retained rows' loss (`bounded` only).
    pub ascent_weight: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Retained rows' cross-entropy, plus ascent only on forget rows whose loss is below a bound.
    Bounded,
    /// Bare ascent on the forget rows: what people try first.
    Plain,
}

impl GradientAscent {
    pub const BOUNDED: Self = Self {
        variant: Variant::Bounded,
        epochs: 2,
        batch_size: 96,
        learning_rate: 0.1,
        shrink: 0.65,
        ascent_weight: 0.05,
    };
    pub const PLAIN: Self = Self {
        variant: Variant::Plain,
        epochs: 5,
        batch_size: 64,
        learning_rate: 0.01,
        shrink: 1.0,
        ascent_weight: 1.0,
    };
}

impl Default for GradientAscent {
    fn default() -> Self {
        Self::BOUNDED
    }
}

impl Unlearner for GradientAscent {
    const ABOUT: About = About {
        claim: Claim::Empirical,
        summary: "climbs the loss on the forget rows; `bounded` draws a part of the weights anew before and descends the loss on the retained \
                  rows at the same time",
        equation: "bounded: θ ← λθ + (1 − λ)φ, φ new weights; then θ ← θ − η·clip(∇[mean CE(retain) − w·mean CE(forget rows with CE < τ)]), \
                   τ = the loss of the class on held-out rows of other classes for a class, the matched held-out loss for rows; w is less in \
                   the measure in which the forget rows come by more than 12 times a pass; momentum 0.9, rate falling linearly to zero; plain: θ ← θ + η·clip(∇ mean CE(forget)), no momentum",
        access: &["forget", "retain", "held_out"],
        guarantee: EMPIRICAL,
        cost: "bounded: about a quarter of a training; plain: a pass over the forget set",
        known_failure: "plain ascent hides a class (much of it returns after one epoch on other rows) or breaks the network before it \
                        has forgotten; on mislabelled rows even the bounded form leaves a membership signal",
        source: "plain: Golatkar et al. 2020 (CVPR), NegGrad; bounded: hinge on the ascent as in Zhang et al. 2024 (NPO, \
                 arXiv:2404.05868) in spirit, λ as in Ash & Adams 2020 (arXiv:1910.08475); bound, weights and schedule from measurements",
    };
    const FIELDS: &'static [Field] = &[
        Field::new(
            "variant",
            Domain::Choice(&["bounded", "plain"]),
            "`bounded` (ascent only below a loss bound, beside training on the retained rows) or `plain` (bare ascent).",
        ),
        EPOCHS,
        BATCH_SIZE,
        LEARNING_RATE,
        Field { only_with: Some("bounded"), ..SHRINK },
        Field {
            only_with: Some("bounded"),
            ..Field::new(
                "ascent_weight",
                Domain::Real { min: 0.0, max: 100.0 },
                "Weight of the ascent beside the retained rows' loss (`bounded` only).",
            )
        },
    ];

    fn of_variant(variant: &str) -> Self {
        if variant == "plain" { Self::PLAIN } else { Self::BOUNDED }
    }

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        match self.variant {
            Variant::Bounded => bounded(self, context, observer),
            Variant::Plain => plain(self, context, observer),
        }
    }
}

fn bounded(
    numbers: &GradientAscent,
    context: &mut Context<'_>,
    observer: &mut dyn Observer,
) -> Result<Unlearned, UnlearnError> {
    let task = context.task;
    let bound = loss_bound(context) as f32;
    let n_forget = n_forget_beside(numbers.batch_size);
    let mut retain = Rows::new(&context.retain, numbers.batch_size, task.seed);
    let mut forget = Rows::new(task.forget, n_forget, task.seed);
    let weight = numbers.ascent_weight * ascent_share(&retain, &forget);
    let plan = Plan {
        epochs: numbers.epochs,
        capacity: numbers.batch_size + n_forget,
        momentum: MOMENTUM,
        watch: Watch::AtTheEnd,
    };
    let start = shrink_perturb(task.parent, numbers.shrink, task.seed);
    let mut course = Course::new(context, observer, start, plan);
    for epoch in 1..=numbers.epochs {
        retain.shuffle(epoch);
        forget.shuffle(epoch);
        let rate = |progress: f64| numbers.learning_rate * (1.0 - progress);
        let advice = course.epoch(&retain.beside(&forget), rate, &mut |batch, mlp, rows| {
            batch.score(mlp, task.train, rows);
            let n_kept = n_retained(task, rows);
            let descend = 1.0 / n_kept as f32;
            let ascend = -weight as f32 / (rows.len() - n_kept) as f32;
            batch.weigh(|i, loss| match (i < n_kept, loss < bound) {
                (true, _) => descend,
                (false, true) => ascend,
                (false, false) => 0.0,
            });
            n_kept
        })?;
        if advice == Advice::Stop {
            break;
        }
    }
    Ok(course.finish())
}

fn plain(
    numbers: &GradientAscent,
    context: &mut Context<'_>,
    observer: &mut dyn Observer,
) -> Result<Unlearned, UnlearnError> {
    let task = context.task;
    let mut forget = Rows::new(task.forget, numbers.batch_size, task.seed);
    let plan = Plan {
        epochs: numbers.epochs,
        capacity: numbers.batch_size,
        momentum: 0.0,
        watch: Watch::Throughout,
    };
    let mut course = Course::new(context, observer, task.parent.clone(), plan);
    let mut advice = course.look_at_original()?;
    for epoch in 1..=numbers.epochs {
        if advice == Advice::Stop {
            break;
        }
        forget.shuffle(epoch);
        let rate = |_| numbers.learning_rate;
        advice = course.epoch(&forget.all(), rate, &mut |batch, mlp, rows| {
            batch.score(mlp, task.train, rows);
            let ascend = -1.0 / rows.len() as f32;
            batch.weigh(|_, _| ascend);
            rows.len()
        })?;
    }
    Ok(course.finish())
}
