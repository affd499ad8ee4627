//! How far the gradient after a step can be from what its linear model says: the data-dependent bound of certified
//! removal, for softmax.
//!
//! **Claim.** Let `G = n·∇L` and `Δ` any change of the weights. With `δᵢ = Δᵀxᵢ`, `Rᵢ = max δᵢ − min δᵢ` over the classes,
//! and `X` the rows with their constant feature,
//!
//! ```text
//! ‖G(W + Δ) − G(W) − n·∇²L(W)·Δ‖  ≤  √2/16 · ‖X‖₂ · (Σᵢ Rᵢ⁴)^½
//! ```
//!
//! **Proof.** Decay and noise are linear in `W` and cancel. What is left is `Σᵢ xᵢeᵢᵀ = XᵀE` with
//! `eᵢ = ∫₀¹∫₀ᵗ T(zᵢ + sδᵢ) ds dt`, where `T(z) = d²/ds² softmax(z + sδ)` at `s = 0`, so `‖XᵀE‖ ≤ ‖X‖₂·‖E‖` and
//! `‖eᵢ‖ ≤ ½·sup‖T‖`.
//!
//! With `p = softmax(z)`, `v = δ − ⟨p, δ⟩` and `V = Σ p·v²`, `T_k = p_k·(v_k² − V)`. The `T_k` sum to zero; so their positive and
//! their negative parts both sum to `m = Σ p_k·(V − v_k²)₊`, and `‖T‖² ≤ 2m²`.
//!
//! Let `−a` and `b` be the least and greatest `v`, `a + b = R`, and `b ≥ a` (else change signs). `x ↦ (V − x)₊` is convex, so
//! on `[0, b²]` below its chord: `m ≤ V(1 − V/b²)`, which rises in `V` up to `b²/2`, where it is `b²/4`. And `V ≤ ab` (Bhatia &
//! Davis 2000). If `a ≤ b/2`, then `ab ≤ b²/2`, so `m ≤ a(b − a) = a(R − 2a) ≤ R²/8`. If not, `b < 2R/3`, so
//! `m ≤ b²/4 < R²/9`. Hence `‖T‖ ≤ √2/8·R²`. ∎
//!
//! For two classes the best constant in place of `√2/8 ≈ 0.177` is `√2/(6√3) ≈ 0.136`. Guo et al. 2020 have
//! `γ‖X‖₂·‖Δ‖·‖XΔ‖` (their corollary 1, for one logit and rows of norm at most 1), which bounds each `|δᵢ|` once more by
//! `‖Δ‖`; keeping the sum is tighter and costs the same pass over the rows.

use super::objective::Objective;
use super::parts::{self, parts_of};

/// Iterations that tighten the bound of `‖X‖₂`; the first few do nearly all of it.
const TIGHTENINGS: usize = 16;

impl Objective {
    /// The right-hand side of the claim above, in the scale of `n·L`.
    pub fn curvature_bound(&self, change: &[f64]) -> f64 {
        let constant = std::f64::consts::SQRT_2 / 16.0;
        let fourth_power = |row: &[f64]| {
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let min = row.iter().copied().fold(f64::INFINITY, f64::min);
            (max - min).powi(4)
        };
        let moved = self.logits_of(change);
        let sum: f64 = moved.chunks_exact(self.n_classes).map(fourth_power).sum();
        constant * self.norm_bound() * sum.sqrt()
    }

    /// An upper bound of `‖X‖₂`, rows with their constant feature.
    ///
    /// `‖X‖₂² ≤ ρ(|X|ᵀ|X|) ≤ maxⱼ (|X|ᵀ|X|v)ⱼ / vⱼ` for every positive `v` (Collatz 1942, Wielandt 1950). Power iterations
    /// lower that bound, where they would approach `‖X‖₂` itself from below, and so certify too much.
    pub fn norm_bound(&self) -> f64 {
        let mut v = vec![1.0; self.rows.n_columns()];
        let mut least = f64::INFINITY;
        for _ in 0..TIGHTENINGS {
            let product = self.gram_of_magnitudes_times(&v);
            let bound = product.iter().zip(&v).map(|(u, v)| u / v).fold(0.0, f64::max);
            least = least.min(bound);
            let greatest = product.iter().copied().fold(0.0, f64::max);
            // a feature that is always zero has a product of zero, whatever stands there
            v = product.iter().map(|&u| if u > 0.0 { u / greatest } else { 1.0 }).collect();
        }
        // far above what rounding can have taken away
        least.sqrt() * (1.0 + 1e-9)
    }

    /// `|X|ᵀ|X|v`
    fn gram_of_magnitudes_times(&self, v: &[f64]) -> Vec<f64> {
        let ranges = parts_of(self.n_rows());
        let shares = parts::map(self.n_threads, ranges.len(), |part| {
            let mut share = vec![0.0; v.len()];
            for row in ranges[part].clone() {
                let row = self.rows.row(row);
                let entries = || row.columns.iter().zip(row.values).map(|(&column, x)| (column, x.abs()));
                let sum: f64 = entries().map(|(column, x)| f64::from(x) * v[column as usize]).sum();
                entries().for_each(|(column, x)| share[column as usize] += f64::from(x) * sum);
            }
            share
        });
        let mut product = vec![0.0; v.len()];
        for share in shares {
            super::product::add_scaled(&mut product, 1.0, &share);
        }
        product
    }
}
