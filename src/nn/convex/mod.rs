//! Multinomial logistic regression solved to its optimum: the one kind of network here whose training has exactly one
//! answer, so that forgetting has one too.
//!
//! ```text
//! L(W) = 1/n · Σᵢ CE(softmax(Wᵀxᵢ), yᵢ)  +  λ/2 · ‖W‖²  +  1/n · ⟨noise, W⟩
//! ```
//!
//! `W` is `(D + 1) × C`, row-major; its last row is the bias, whose feature is 1. **Biases are penalised too** (the
//! mini-batch trainer leaves them alone): softmax does not change when every class's logit moves by the same amount,
//! so without a penalty on all parameters the optimum would not be unique. With `λ > 0` the objective is `λ`-strongly
//! convex, and any `W` is within `‖∇L(W)‖ / λ` of the optimum.
//!
//! `noise` perturbs the objective (Chaudhuri, Monteleoni & Sarwate 2011, JMLR 12), as certified removal needs (Guo et
//! al. 2020, ICML, arXiv:1911.03030).
//!
//! Everything is f64. Sums over rows are taken in [fixed parts](parts), each in row order, and added in the order of
//! the parts: the same bits on any number of threads.

mod bound;
mod cholesky;
mod newton;
mod objective;
mod parts;
mod precondition;
mod product;
mod rows;
#[cfg(test)]
mod tests;
mod train;

pub use newton::{MAX_ITERATIONS, Newton, Step, TOLERANCE};
pub use objective::{Objective, Penalty, Point};
pub(super) use train::train;

use super::{Mlp, Shape};

/// `W` of a network without hidden layers.
///
/// # Panics
///
/// If it has hidden layers.
pub fn weights_of(mlp: &Mlp) -> Vec<f64> {
    assert_eq!(mlp.n_layers(), 1, "only a network without hidden layers has a convex loss");
    mlp.to_params().into_iter().map(f64::from).collect()
}

/// The network of `W`, each number rounded to f32.
///
/// # Panics
///
/// If `weights` is not `(D + 1) × C`.
pub fn network_of(weights: &[f64], n_features: usize, n_classes: usize) -> Mlp {
    let params: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
    Mlp::from_params(Shape { widths: vec![n_features, n_classes], output_relu: false }, &params)
}

/// Bytes an [`Objective`] and its [`Newton`] iteration hold at most, beside the dataset.
pub fn size_bytes(n_rows: usize, n_features: usize, n_classes: usize) -> u128 {
    let (n, d, c) = (n_rows as u128, n_features as u128 + 1, n_classes as u128);
    let numbers = size_of::<f64>() as u128;
    // features with their columns; logits and probabilities of a point, of its successor and of its parts
    let rows = n * d * 8 + n * c * 7 * numbers;
    let vectors = (parts::MAX_PARTS as u128 + 12) * d * c * numbers;
    let factor = if d <= precondition::MAX_FACTOR as u128 { d * d * numbers } else { 0 };
    rows + vectors + factor
}
