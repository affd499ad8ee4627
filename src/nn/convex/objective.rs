//! The objective, its gradient, and products with its Hessian.

use super::parts::{self, parts_of};
use super::product::{add_outer, add_scaled, dot, for_classes, norm, row_times};
use super::rows::SparseRows;
use crate::nn::Samples;
use std::num::NonZeroUsize;

/// What stands beside the mean loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Penalty {
    /// `λ` of `λ/2·‖W‖²`, above 0, on biases too.
    pub weight_decay: f64,
    /// The linear term, as long as `W`; `None` is zero.
    pub noise: Option<Vec<f64>>,
}

/// `L` over some rows of a dataset.
#[derive(Debug)]
pub struct Objective {
    pub(super) rows: SparseRows,
    labels: Vec<u32>,
    pub(super) n_classes: usize,
    penalty: Penalty,
    pub(super) n_threads: NonZeroUsize,
}

/// `L` at some weights, with everything that is needed to leave them.
#[derive(Clone, Debug)]
pub struct Point {
    pub weights: Vec<f64>,
    /// `L`.
    pub value: f64,
    /// Mean cross-entropy in nats, without the penalty.
    pub loss: f64,
    pub accuracy: f64,
    /// `∇L`.
    pub gradient: Vec<f64>,
    /// `‖∇L‖`; over `λ` it bounds the distance to the optimum.
    pub gradient_norm: f64,
    /// `n × C`.
    logits: Vec<f64>,
    /// `n × C`.
    pub(super) probabilities: Vec<f64>,
}

/// One part's share of a [`Point`].
struct Share {
    loss: f64,
    hits: usize,
    gradient: Vec<f64>,
    logits: Vec<f64>,
    probabilities: Vec<f64>,
}

impl Objective {
    /// `L` over `rows` of `samples`, of which it keeps its own copy without zeros.
    ///
    /// # Panics
    ///
    /// If there are no rows, the decay is not above 0, or the noise is not as long as `W`.
    pub fn new(samples: Samples<'_>, rows: &[u32], penalty: Penalty, n_threads: NonZeroUsize) -> Self {
        assert!(!rows.is_empty(), "a mean over no rows");
        assert!(penalty.weight_decay > 0.0, "without decay the optimum is not unique");
        let n_classes = samples.n_classes();
        let n_params = (samples.n_features() + 1) * n_classes;
        let fits = penalty.noise.as_ref().is_none_or(|noise| noise.len() == n_params);
        assert!(fits, "noise does not fit {n_params} parameters");
        let labels = rows.iter().map(|&row| samples.label(row as usize)).collect();
        Self { rows: SparseRows::new(samples, rows, n_threads), labels, n_classes, penalty, n_threads }
    }

    pub fn n_rows(&self) -> usize {
        self.rows.len()
    }

    /// Numbers in `W`.
    pub fn n_params(&self) -> usize {
        self.rows.n_columns() * self.n_classes
    }

    pub fn weight_decay(&self) -> f64 {
        self.penalty.weight_decay
    }

    /// How many threads compute from now on. It decides speed, not bits.
    pub fn set_threads(&mut self, n_threads: NonZeroUsize) {
        self.n_threads = n_threads;
    }

    /// Looks at `weights`: two products with the rows.
    pub fn at(&self, weights: Vec<f64>) -> Point {
        assert_eq!(weights.len(), self.n_params(), "weights do not fit");
        let ranges = parts_of(self.n_rows());
        let shares = parts::map(self.n_threads, ranges.len(), |part| {
            for_classes!(self.n_classes, self.share(ranges[part].clone(), &weights))
        });
        let n = self.n_rows() as f64;
        let (mut loss, mut hits) = (0.0, 0);
        let mut gradient = vec![0.0; self.n_params()];
        let mut logits = Vec::with_capacity(self.n_rows() * self.n_classes);
        let mut probabilities = Vec::with_capacity(logits.capacity());
        for share in shares {
            loss += share.loss;
            hits += share.hits;
            add_scaled(&mut gradient, 1.0 / n, &share.gradient);
            logits.extend(share.logits);
            probabilities.extend(share.probabilities);
        }
        add_scaled(&mut gradient, self.penalty.weight_decay, &weights);
        if let Some(noise) = &self.penalty.noise {
            add_scaled(&mut gradient, 1.0 / n, noise);
        }
        let loss = loss / n;
        Point {
            value: loss + self.penalty_at(&weights),
            loss,
            accuracy: hits as f64 / n,
            gradient_norm: norm(&gradient),
            weights,
            gradient,
            logits,
            probabilities,
        }
    }

    fn share<const N: usize>(&self, rows: std::ops::Range<usize>, weights: &[f64]) -> Share {
        let c = self.n_classes;
        let (mut loss, mut hits) = (0.0, 0);
        let mut gradient = vec![0.0; self.n_params()];
        let mut logits = vec![0.0; rows.len() * c];
        let mut probabilities = vec![0.0; rows.len() * c];
        let mut residual = vec![0.0; c];
        let outputs = logits.chunks_exact_mut(c).zip(probabilities.chunks_exact_mut(c));
        for (row, (z, p)) in rows.zip(outputs) {
            let (x, label) = (self.rows.row(row), self.labels[row] as usize);
            row_times::<N>(x, weights, z);
            loss += softmax_and_loss(z, label, p);
            hits += usize::from(first_of_greatest(z) == label);
            residual.copy_from_slice(p);
            residual[label] -= 1.0;
            add_outer::<N>(x, &residual, &mut gradient);
        }
        Share { loss, hits, gradient, logits, probabilities }
    }

    fn penalty_at(&self, weights: &[f64]) -> f64 {
        let decay = 0.5 * self.penalty.weight_decay * dot(weights, weights);
        let noise = self.penalty.noise.as_ref().map_or(0.0, |noise| dot(noise, weights));
        decay + noise / self.n_rows() as f64
    }

    /// `∇²L·v`, with the Hessian at `point`: `1/n · Σᵢ xᵢ (Sᵢ Vᵀxᵢ)ᵀ + λV`, `S = diag(p) − ppᵀ`.
    pub fn hessian_times(&self, point: &Point, v: &[f64]) -> Vec<f64> {
        let ranges = parts_of(self.n_rows());
        let shares = parts::map(self.n_threads, ranges.len(), |part| {
            for_classes!(self.n_classes, self.share_of_product(ranges[part].clone(), point, v))
        });
        let mut product = vec![0.0; self.n_params()];
        for share in shares {
            add_scaled(&mut product, 1.0 / self.n_rows() as f64, &share);
        }
        add_scaled(&mut product, self.penalty.weight_decay, v);
        product
    }

    fn share_of_product<const N: usize>(
        &self,
        rows: std::ops::Range<usize>,
        point: &Point,
        v: &[f64],
    ) -> Vec<f64> {
        let c = self.n_classes;
        let mut product = vec![0.0; self.n_params()];
        let mut t = vec![0.0; c];
        for row in rows {
            let (x, p) = (self.rows.row(row), &point.probabilities[row * c..][..c]);
            row_times::<N>(x, v, &mut t);
            let mean: f64 = p.iter().zip(&t).map(|(p, u)| p * u).sum();
            t.iter_mut().zip(p).for_each(|(t, p)| *t = p * (*t - mean));
            add_outer::<N>(x, &t, &mut product);
        }
        product
    }

    /// `xᵢᵀV` of every row: `n × C`.
    pub(super) fn logits_of(&self, v: &[f64]) -> Vec<f64> {
        let ranges = parts_of(self.n_rows());
        let shares = parts::map(self.n_threads, ranges.len(), |part| {
            for_classes!(self.n_classes, self.share_of_logits(ranges[part].clone(), v))
        });
        shares.concat()
    }

    fn share_of_logits<const N: usize>(&self, rows: std::ops::Range<usize>, v: &[f64]) -> Vec<f64> {
        let mut logits = vec![0.0; rows.len() * self.n_classes];
        for (row, z) in rows.zip(logits.chunks_exact_mut(self.n_classes)) {
            row_times::<N>(self.rows.row(row), v, z);
        }
        logits
    }

    /// `φ(step) = L(W + step·V)` and `φ'(step)`, without another product with the rows: `moved` is
    /// [`logits_of`](Self::logits_of) `V`.
    pub(super) fn along(&self, point: &Point, direction: &[f64], moved: &[f64], step: f64) -> (f64, f64) {
        let c = self.n_classes;
        let ranges = parts_of(self.n_rows());
        let shares = parts::map(self.n_threads, ranges.len(), |part| {
            let (mut loss, mut slope) = (0.0, 0.0);
            let (mut z, mut p) = (vec![0.0; c], vec![0.0; c]);
            for row in ranges[part].clone() {
                let (from, by) = (&point.logits[row * c..][..c], &moved[row * c..][..c]);
                z.iter_mut().zip(from).zip(by).for_each(|((z, from), by)| *z = from + step * by);
                let label = self.labels[row] as usize;
                loss += softmax_and_loss(&z, label, &mut p);
                slope += p.iter().zip(by).map(|(p, by)| p * by).sum::<f64>() - by[label];
            }
            (loss, slope)
        });
        let (loss, slope) =
            shares.into_iter().fold((0.0, 0.0), |sum, share| (sum.0 + share.0, sum.1 + share.1));
        let mut weights = point.weights.clone();
        add_scaled(&mut weights, step, direction);
        let n = self.n_rows() as f64;
        let noise = self.penalty.noise.as_ref().map_or(0.0, |noise| dot(noise, direction));
        let penalty_slope = self.penalty.weight_decay * dot(&weights, direction) + noise / n;
        (loss / n + self.penalty_at(&weights), slope / n + penalty_slope)
    }
}

/// `p ← softmax(z)`; returns the loss in nats.
fn softmax_and_loss(z: &[f64], label: usize, p: &mut [f64]) -> f64 {
    let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for (p, z) in p.iter_mut().zip(z) {
        *p = libm::exp(z - max);
        sum += *p;
    }
    p.iter_mut().for_each(|p| *p /= sum);
    max - z[label] + libm::log(sum)
}

fn first_of_greatest(z: &[f64]) -> usize {
    (1..z.len()).fold(0, |best, class| if z[class] > z[best] { class } else { best })
}
