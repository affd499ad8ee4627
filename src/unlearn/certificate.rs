//! What certified removal promises, in numbers.

use serde::{Deserialize, Serialize};

/// Evidence that weights cannot be told from retrained ones, (ε, δ)-wise (Guo et al. 2020, ICML, arXiv:1911.03030,
/// definition in §2, theorem 3): for every set `T` of models, with `A` training by a perturbed objective and `M` the
/// removal,
///
/// ```text
/// P(M ∈ T) ≤ e^ε · P(A(retained) ∈ T) + δ     and     P(A(retained) ∈ T) ≤ e^ε · P(M ∈ T) + δ
/// ```
///
/// It holds when the gradient that is left, `‖n·∇L(w)‖` over the retained rows, noise included, is at most `budget`.
/// The probability is over the noise, so it holds against those who do not know the noise, nor the seed it was drawn
/// from; and for the weights alone, not for what else was derived from the rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Certificate {
    pub epsilon: f64,
    pub delta: f64,
    /// Deviation of the noise in the parent's objective.
    pub sigma: f64,
    /// `‖n·∇L‖` at the published weights, f32 as they are, measured over all retained rows.
    pub residual: f64,
    /// What the last step's data-dependent bound allowed the residual to be: computed without looking at the new
    /// gradient, and far above it.
    pub bound: f64,
    /// `σε / √(2·ln(1.5/δ))`: the largest residual that is certified.
    pub budget: f64,
    /// Newton steps it took.
    pub steps: u32,
}

/// The largest residual that noise of deviation `sigma` hides.
pub fn budget(sigma: f64, epsilon: f64, delta: f64) -> f64 {
    sigma * epsilon / (2.0 * libm::log(1.5 / delta)).sqrt()
}

/// The least deviation of noise that hides `residual`: what to train with when ε is given. Smaller ε needs more
/// noise, which costs accuracy.
pub fn perturbation_for(residual: f64, epsilon: f64, delta: f64) -> f64 {
    residual * (2.0 * libm::log(1.5 / delta)).sqrt() / epsilon
}
