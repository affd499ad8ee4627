//! Stochastic gradient descent with momentum, and its learning-rate schedules.

use super::batch::Batch;
use super::simd::{Simd, vectorised};
use super::{Mlp, Schedule};

/// Velocity of SGD with momentum:
///
/// ```text
/// v ← μ·v + ∇ + λ·w        (λ on weights only, not on biases)
/// w ← w − η·v
/// ```
///
/// Source: Sutskever et al. 2013 (ICML), eq. 1 and 2, with the learning rate outside the velocity, as
/// today's libraries have it. No Nesterov step, no dampening.
#[derive(Clone, Debug)]
pub struct Sgd {
    velocity: Vec<f32>,
    momentum: f32,
    weight_decay: f32,
}

impl Sgd {
    pub fn new(n_params: usize, momentum: f64, weight_decay: f64) -> Self {
        Self { velocity: vec![0.0; n_params], momentum: momentum as f32, weight_decay: weight_decay as f32 }
    }

    /// One step along the batch's weighted gradient.
    pub fn step(&mut self, mlp: &mut Mlp, batch: &mut Batch, learning_rate: f64) {
        batch.backward(mlp, self.momentum, &mut self.velocity);
        if self.weight_decay != 0.0 {
            for l in 0..mlp.n_layers() {
                let (weights, _) = mlp.shape().layer_ranges(l);
                add_scaled(self.weight_decay, &mlp.params()[weights.clone()], &mut self.velocity[weights]);
            }
        }
        add_scaled(-learning_rate as f32, &self.velocity, mlp.params_mut());
    }
}

vectorised! {
    /// `y += a · x`.
    pub fn add_scaled(a: f32, x: &[f32], y: &mut [f32]) = add_scaled_body;
}

#[inline(always)]
fn add_scaled_body<S: Simd>(a: f32, x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = S::mul_add(a, x, *y);
    }
}

/// Shrinks `gradient` to norm `limit` if it is longer; returns its former L2 norm.
pub fn clip_norm(gradient: &mut [f32], limit: f64) -> f64 {
    let norm = norm(gradient);
    if norm > limit {
        let scale = (limit / norm) as f32;
        gradient.iter_mut().for_each(|g| *g *= scale);
    }
    norm
}

/// L2 norm, summed in f64.
pub fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt()
}

impl Schedule {
    /// The learning rate of mini-batch `step` (from 0) of `steps`, `steps_per_epoch` to an epoch.
    pub fn learning_rate(self, base: f64, step: u64, steps: u64, steps_per_epoch: u64) -> f64 {
        match self {
            Self::Constant => base,
            Self::Step { every_epochs, factor } => {
                let drops = step / steps_per_epoch / u64::from(every_epochs);
                base * libm::pow(factor, drops as f64)
            }
            Self::Cosine => {
                let progress = step as f64 / steps as f64;
                base * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::simd::tests::on_every_isa;

    #[test]
    fn schedules_start_at_the_base_rate_and_end_where_they_should() {
        let rate = |schedule: Schedule, step| schedule.learning_rate(0.1, step, 1000, 100);
        assert_eq!(rate(Schedule::Constant, 999), 0.1);
        assert_eq!(rate(Schedule::Cosine, 0), 0.1);
        assert!((rate(Schedule::Cosine, 500) - 0.05).abs() < 1e-12);
        assert!(rate(Schedule::Cosine, 999) < 1e-6 && rate(Schedule::Cosine, 999) > 0.0);
        let step = Schedule::Step { every_epochs: 3, factor: 0.5 };
        assert_eq!((rate(step, 299), rate(step, 300), rate(step, 600)), (0.1, 0.05, 0.025));
    }

    #[test]
    fn adding_gives_the_same_bits_on_every_instruction_set() {
        let x: Vec<f32> = (0..77).map(|i| libm::sinf(i as f32)).collect();
        let sums = on_every_isa(|| {
            let mut y: Vec<f32> = x.iter().rev().copied().collect();
            add_scaled(0.3, &x, &mut y);
            y
        });
        assert!(sums.iter().all(|sum| *sum == sums[0]));
    }

    #[test]
    fn a_long_gradient_is_shortened_and_a_short_one_left_alone() {
        let mut gradient = [3.0, 4.0];
        assert_eq!(clip_norm(&mut gradient, 1.0), 5.0);
        assert!((norm(&gradient) - 1.0).abs() < 1e-6);
        let mut gradient = [0.3, 0.4];
        clip_norm(&mut gradient, 1.0);
        assert_eq!(gradient, [0.3, 0.4]);
    }
}
