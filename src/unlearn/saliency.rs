//! SalUn: random labels, but only where the forget set's gradient is large, and the mask really holds.

use super::context::Context;
use super::method::{About, BATCH_SIZE, Claim, Domain, EMPIRICAL, EPOCHS, Field, LEARNING_RATE, Unlearner};
use super::random_label::{RandomLabel, relabel_and_train};
use super::{Observer, UnlearnError, Unlearned, go_on};
use crate::nn::Mlp;
use crate::nn::batch::Batch;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saliency {
    pub epochs: u32,
    pub batch_size: usize,
    pub learning_rate: f64,
    /// Part of the parameters that may move.
    pub fraction: f64,
}

impl Default for Saliency {
    fn default() -> Self {
        Self { epochs: 2, batch_size: 64, learning_rate: 0.01, fraction: 0.5 }
    }
}

/// Rows whose gradients are added up at a time.
pub(super) const CHUNK: usize = 256;

impl Unlearner for Saliency {
    const ABOUT: About = About {
        claim: Claim::Empirical,
        summary: "random labels, moving only the parameters in which the forget set's gradient is largest",
        equation: "G = ∇ mean CE(forget; θ₀), mask = |G| among the largest part; then `random_label` with every gradient masked before the \
                   velocity, so that what lies outside the mask stays bit for bit",
        access: &["forget", "retain"],
        guarantee: EMPIRICAL,
        cost: "a fifth of a training by default",
        known_failure: "as `random_label`; published figures come from a version whose mask momentum and weight decay walked past",
        source: "Fan et al. 2024 (ICLR), SalUn, fraction 0.5 as published",
    };
    const FIELDS: &'static [Field] = &[
        EPOCHS,
        BATCH_SIZE,
        LEARNING_RATE,
        Field::new("fraction", Domain::Real { min: 0.0, max: 1.0 }, "Part of the parameters that may move."),
    ];

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        go_on(
            observer
                .on_phase("select", "finding the parameters in which the forget set's gradient is largest"),
        )?;
        let mask = mask(context, self.fraction);
        let numbers = RandomLabel {
            epochs: self.epochs,
            batch_size: self.batch_size,
            learning_rate: self.learning_rate,
        };
        relabel_and_train(&numbers, context, observer, Some(mask))
    }
}

/// One for the parameters whose gradient on the forget set is among the largest `fraction`, zero for the others.
pub(super) fn mask(context: &Context<'_>, fraction: f64) -> Vec<f32> {
    let task = context.task;
    let gradient = mean_gradient(task.parent, task.train, task.forget);
    let (mut sizes, size) = (parameters(task.parent, &gradient), |g: &f32| g.abs());
    sizes.iter_mut().for_each(|g| *g = size(g));
    sizes.sort_unstable_by(|a, b| b.total_cmp(a));
    let n_moving = (fraction * sizes.len() as f64).round() as usize;
    let least = n_moving.checked_sub(1).map_or(f32::INFINITY, |last| sizes[last]);
    gradient.iter().map(|g| if size(g) >= least { 1.0 } else { 0.0 }).collect()
}

/// The gradient of the mean cross-entropy of `rows`, in the layout of the parameter buffer.
pub(super) fn mean_gradient(mlp: &Mlp, samples: crate::nn::Samples<'_>, rows: &[u32]) -> Vec<f32> {
    let mut batch = Batch::new(mlp.shape(), CHUNK);
    let mut gradient = vec![0.0; mlp.params().len()];
    let mean = 1.0 / rows.len() as f32;
    for (number, chunk) in rows.chunks(CHUNK).enumerate() {
        batch.score(mlp, samples, chunk);
        batch.weigh(|_, _| mean);
        batch.backward(mlp, if number == 0 { 0.0 } else { 1.0 }, &mut gradient);
    }
    gradient
}

/// The numbers that belong to parameters, without the buffer's padding.
fn parameters(mlp: &Mlp, numbers: &[f32]) -> Vec<f32> {
    let mut holder = mlp.clone();
    holder.params_mut().copy_from_slice(numbers);
    holder.to_params()
}
