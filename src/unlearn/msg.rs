//! MSG: forget the weights on which retained and forget rows agree least, learn them again.

use super::context::Context;
use super::guard::Watch;
use super::method::{About, BATCH_SIZE, Claim, Domain, EMPIRICAL, EPOCHS, Field, LEARNING_RATE, Unlearner};
use super::pass::{Course, MOMENTUM, Plan, train_on_retained};
use super::saliency::mean_gradient;
use super::{Observer, UnlearnError, Unlearned, go_on};
use crate::nn::Mlp;
use crate::nn::hash::{Purpose, sample_rows};
use crate::nn::init::reset_layer;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Msg {
    pub epochs: u32,
    pub batch_size: usize,
    pub learning_rate: f64,
    /// Part of each layer's weights that is drawn anew.
    pub reset_fraction: f64,
}

impl Default for Msg {
    fn default() -> Self {
        Self { epochs: 5, batch_size: 128, learning_rate: 0.2, reset_fraction: 0.98 }
    }
}

impl Unlearner for Msg {
    const ABOUT: About = About {
        claim: Claim::Empirical,
        summary: "draws most weights anew, all but those with the largest gradient between retained and forget rows, then trains on the \
                  retained rows",
        equation: "G = ∇[mean CE(retain sample) − mean CE(forget)]; in each layer the part of W with the smallest |G| ~ N(0, 2/fan_in), b ← 0; \
                   then SGD on CE(retain), momentum 0.9, rate falling linearly to zero",
        access: &["forget", "retain"],
        guarantee: EMPIRICAL,
        cost: "half a training by default",
        known_failure: "is little else than a short retraining: with a smaller part reset the membership signal comes back (AUC 0.56 at 90 %, \
                        0.58 with slower steps for the kept weights)",
        source: "NeurIPS 2023 machine unlearning challenge, third-placed method (kookmin), as described by Cadet et al. 2024 (Deep Unlearn); \
                 fraction and schedule from measurements",
    };
    const FIELDS: &'static [Field] = &[
        EPOCHS,
        BATCH_SIZE,
        LEARNING_RATE,
        Field::new(
            "reset_fraction",
            Domain::Real { min: 0.0, max: 1.0 },
            "Part of each layer's weights that is drawn anew.",
        ),
    ];

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        go_on(observer.on_phase("select", "finding the weights that tell retained and forget rows apart"))?;
        let start = reset(context, self.reset_fraction);
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

/// The parent with all but the most telling weights drawn anew.
pub(super) fn reset(context: &Context<'_>, fraction: f64) -> Mlp {
    let task = context.task;
    let sample = sample_rows(&context.retain, task.forget.len(), task.seed, Purpose::RetainSample, 1);
    let mut telling = task.parent.clone();
    let retained = mean_gradient(task.parent, task.train, &sample);
    let forgotten = mean_gradient(task.parent, task.train, task.forget);
    for ((g, &r), &f) in telling.params_mut().iter_mut().zip(&retained).zip(&forgotten) {
        *g = r - f;
    }
    let mut mlp = task.parent.clone();
    for l in 0..mlp.n_layers() {
        let (kept, gradient) = (mlp.row_major(l), telling.row_major(l));
        reset_layer(&mut mlp, l, task.seed ^ (l as u64 + 1));
        let mut weights = mlp.row_major(l);
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_unstable_by(|&a, &b| gradient[a].abs().total_cmp(&gradient[b].abs()).then(a.cmp(&b)));
        let n_reset = (fraction * weights.len() as f64).round() as usize;
        for &place in &order[n_reset..] {
            weights[place] = kept[place];
        }
        let bias = vec![0.0; mlp.shape().widths[l + 1]];
        mlp.set_layer(l, &weights, &bias);
    }
    mlp
}
