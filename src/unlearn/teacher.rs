//! Answers of a frozen network, and how far a student's lie from them.

use crate::nn::batch::Batch;
use crate::nn::loss::softmax;
use crate::nn::{Mlp, Samples};

/// A frozen network that is asked mini-batch by mini-batch: its answers to all rows would not fit for large data.
pub(super) struct Teacher {
    mlp: Mlp,
    batch: Batch,
    logits: Vec<f32>,
}

impl Teacher {
    pub(super) fn new(mlp: Mlp, capacity: usize) -> Self {
        let batch = Batch::new(mlp.shape(), capacity);
        let logits = vec![0.0; capacity * mlp.shape().n_classes()];
        Self { mlp, batch, logits }
    }

    /// The rows' logits, row after row.
    pub(super) fn ask(&mut self, samples: Samples<'_>, rows: &[u32]) -> &[f32] {
        self.batch.load(samples, rows);
        self.batch.forward(&self.mlp);
        let n_classes = self.mlp.shape().n_classes();
        for (i, logits) in self.logits.chunks_exact_mut(n_classes).take(rows.len()).enumerate() {
            self.batch.copy_logits(i, logits);
        }
        &self.logits[..rows.len() * n_classes]
    }
}

/// `T²·KL(softmax(teacher/T) ‖ softmax(z/T))` in nats; turns the student's logits `z` into its gradient,
/// `T·(softmax(z/T) − softmax(teacher/T))`.
///
/// Source: Hinton et al. 2015 (arXiv:1503.02531), §2: the factor T² keeps gradients of a size as T varies.
pub(super) fn divergence(teacher: &[f32], z: &mut [f32], temperature: f32) -> f32 {
    let mut wanted: Vec<f32> = teacher.iter().map(|&z| z / temperature).collect();
    softmax(&mut wanted);
    z.iter_mut().for_each(|z| *z /= temperature);
    softmax(z);
    let apart: f64 = wanted.iter().zip(&*z).map(|(&p, &q)| f64::from(p) * (log(p) - log(q))).sum();
    z.iter_mut().zip(&wanted).for_each(|(q, &p)| *q = temperature * (*q - p));
    (f64::from(temperature).powi(2) * apart.max(0.0)) as f32
}

/// The logarithm of a probability that may have been rounded to zero.
fn log(p: f32) -> f64 {
    libm::log(f64::from(p).max(1e-30))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(teacher: &[f64], z: &[f64], t: f64) -> f64 {
        let softmax = |z: &[f64]| {
            let sum: f64 = z.iter().map(|z| (z / t).exp()).sum();
            z.iter().map(|z| (z / t).exp() / sum).collect::<Vec<_>>()
        };
        let (p, q) = (softmax(teacher), softmax(z));
        t * t * p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum::<f64>()
    }

    #[test]
    fn a_student_is_told_the_gradient_of_its_divergence() {
        let (teacher, student) = ([2.0f32, -1.0, 0.5], [0.25f32, 1.5, -0.5]);
        for t in [0.5, 1.0, 4.0] {
            let mut gradient = student;
            let got = divergence(&teacher, &mut gradient, t);
            let wide = |z: [f32; 3]| z.map(f64::from);
            let want = loss(&wide(teacher), &wide(student), f64::from(t));
            assert!((f64::from(got) - want).abs() < 1e-5 * want.max(1.0), "{got} {want}");
            for i in 0..3 {
                let moved = |by: f64| {
                    let mut z = wide(student);
                    z[i] += by;
                    loss(&wide(teacher), &z, f64::from(t))
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((f64::from(gradient[i]) - slope).abs() < 1e-5, "{} {slope}", gradient[i]);
            }
        }
    }

    #[test]
    fn who_answers_alike_is_not_apart_and_certainty_stays_finite() {
        let mut z = [3.0, -2.0];
        assert_eq!(divergence(&[3.0, -2.0], &mut z, 2.0), 0.0);
        assert_eq!(z, [0.0, 0.0]);
        let mut z = [-300.0, 300.0];
        let apart = divergence(&[300.0, -300.0], &mut z, 1.0);
        assert!(apart.is_finite() && apart > 50.0 && z == [-1.0, 1.0]);
    }
}
