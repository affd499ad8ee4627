//! Stochastic gradient descent with momentum, and its learning-rate schedules.

use super::batch::{Batch, Rates};
use super::buffer::Buffer;
pub use super::kernels::elementwise::add_scaled;
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
    velocity: Buffer,
    momentum: f32,
    weight_decay: f32,
}

impl Sgd {
    pub fn new(mlp: &Mlp, momentum: f64, weight_decay: f64) -> Self {
        let velocity = Buffer::zeroed(mlp.params().len());
        Self { velocity, momentum: momentum as f32, weight_decay: weight_decay as f32 }
    }

    /// One step along the batch's weighted gradient.
    pub fn step(&mut self, mlp: &mut Mlp, batch: &mut Batch, learning_rate: f64) {
        let rates = Rates {
            momentum: self.momentum,
            learning_rate: learning_rate as f32,
            weight_decay: self.weight_decay,
        };
        batch.descend(mlp, &mut self.velocity, rates);
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
    fn a_long_gradient_is_shortened_and_a_short_one_left_alone() {
        let mut gradient = [3.0, 4.0];
        assert_eq!(clip_norm(&mut gradient, 1.0), 5.0);
        assert!((norm(&gradient) - 1.0).abs() < 1e-6);
        let mut gradient = [0.3, 0.4];
        clip_norm(&mut gradient, 1.0);
        assert_eq!(gradient, [0.3, 0.4]);
    }
}
