//! Stochastic gradient descent with momentum, and its learning-rate schedules.

use super::batch::{Batch, Rates};
use super::buffer::Buffer;
use super::kernels::elementwise::{descend, sum_squares};
use super::team::{Team, shares, take_front};
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

    /// Lies as the parameters do.
    pub fn velocity(&self) -> &[f32] {
        &self.velocity
    }

    pub fn velocity_mut(&mut self) -> &mut [f32] {
        &mut self.velocity
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

/// Descent along a gradient that is shortened to a norm where it is longer, then followed with momentum:
///
/// ```text
/// v ← μ·v + ∇·min(1, limit/‖∇‖)
/// w ← w − η·v
/// ```
///
/// Source: Pascanu et al. 2013 (ICML), algorithm 1, for the clipping.
#[derive(Clone, Debug)]
pub struct ClippedSgd {
    velocity: Buffer,
    /// Of the gradient's squares, a chunk each: whoever adds up which, the sum stays the same.
    sums: Vec<f64>,
    momentum: f32,
    limit: f64,
}

impl ClippedSgd {
    pub fn new(mlp: &Mlp, momentum: f64, limit: f64) -> Self {
        let n = mlp.params().len();
        let sums = vec![0.0; n.div_ceil(CHUNK)];
        Self { velocity: Buffer::zeroed(n), sums, momentum: momentum as f32, limit }
    }

    /// One step along `gradient`, which lies as the parameter buffer does, by the threads of `team`; returns its norm.
    pub fn step(&mut self, mlp: &mut Mlp, gradient: &[f32], learning_rate: f64, team: &mut Team) -> f64 {
        let n_chunks = self.sums.len();
        let mut sums = &mut self.sums[..];
        let pieces =
            shares(n_chunks, team.n_pieces()).map(|chunks| (take_front(&mut sums, chunks.len()), chunks));
        team.each(pieces, |(sums, chunks)| {
            for (sum, chunk) in sums.iter_mut().zip(chunks) {
                *sum = sum_squares(&gradient[chunk * CHUNK..gradient.len().min((chunk + 1) * CHUNK)]);
            }
        });
        let norm = self.sums.iter().sum::<f64>().sqrt();
        let scale = if norm > self.limit { (self.limit / norm) as f32 } else { 1.0 };
        let (momentum, learning_rate) = (self.momentum, learning_rate as f32);
        let (mut velocity, mut weights, mut rest) = (&mut self.velocity[..], mlp.params_mut(), gradient);
        let pieces = shares(n_chunks, team.n_pieces()).map(|chunks| {
            let len = rest.len().min(chunks.len() * CHUNK);
            let (gradient, tail) = rest.split_at(len);
            rest = tail;
            (gradient, take_front(&mut velocity, len), take_front(&mut weights, len))
        });
        team.each(pieces, |(gradient, velocity, weights)| {
            descend(gradient, scale, momentum, learning_rate, velocity, weights);
        });
        norm
    }
}

/// Parameters that are stepped over together.
const CHUNK: usize = 16_384;

/// L2 norm, summed in f64.
pub fn norm(values: &[f32]) -> f64 {
    sum_squares(values).sqrt()
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
    use crate::nn::Shape;

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
        let shape = Shape { widths: vec![1, 1], output_relu: false };
        let step = |gradient: [f32; 2], momentum| {
            let mut mlp = Mlp::from_params(shape.clone(), &[1.0, 1.0]);
            let mut padded = vec![0.0; mlp.params().len()];
            padded[0] = gradient[0];
            padded[mlp.params().len() / 2] = gradient[1];
            let mut sgd = ClippedSgd::new(&mlp, momentum, 1.0);
            let norm = sgd.step(&mut mlp, &padded, 0.5, &mut Team::alone());
            sgd.step(&mut mlp, &padded, 0.5, &mut Team::alone());
            (norm, mlp.to_params())
        };
        let (norm, params) = step([3.0, 4.0], 0.0);
        assert!(
            norm == 5.0 && (params[0] - 0.4).abs() < 1e-6 && (params[1] - 0.2).abs() < 1e-6,
            "{params:?}"
        );
        let (norm, params) = step([0.25, 0.0], 0.5);
        // 0.125, then half of that velocity again and the gradient
        assert_eq!((norm, params[0]), (0.25, 1.0 - 0.125 - 0.1875));
    }

    #[test]
    fn a_norm_is_its_definition_at_every_length() {
        for n in [0, 1, 15, 16, 17, 100, 1000] {
            let values: Vec<f32> = (0..n).map(|i| libm::sinf(i as f32) * 3.0).collect();
            let want = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            assert!((norm(&values) - want).abs() <= 1e-12 * want.max(1.0), "{n}");
        }
    }
}
