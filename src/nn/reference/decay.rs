//! What pure momentum decay does to a weight over many updates, in closed form.

/// Updates remembered in the table; longer waits are computed when they happen.
const TABLE: usize = 4096;

/// After `k` updates without a gradient a weight `w` with velocity `v` has become
///
/// ```text
/// v' = v·μᵏ
/// w' = w − v·(μ + μ² + … + μᵏ) = w − v·μ(1 − μᵏ)/(1 − μ)
/// ```
///
/// Computed in f64, rounded once to f32.
#[derive(Debug)]
pub(super) struct Decay {
    momentum: f64,
    table: Vec<(f32, f32)>,
}

impl Decay {
    /// `momentum` in `[0, 1)`.
    pub(super) fn new(momentum: f64) -> Self {
        let table = (0..TABLE).map(|k| after(momentum, k as u64)).collect();
        Self { momentum, table }
    }

    /// `(μᵏ, μ + μ² + … + μᵏ)`.
    pub(super) fn over(&self, updates: u64) -> (f32, f32) {
        match self.table.get(usize::try_from(updates).unwrap_or(usize::MAX)) {
            Some(&factors) => factors,
            None => after(self.momentum, updates),
        }
    }
}

fn after(momentum: f64, updates: u64) -> (f32, f32) {
    let power = libm::pow(momentum, updates as f64);
    (power as f32, (momentum * (1.0 - power) / (1.0 - momentum)) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_form_equals_one_update_after_another() {
        for momentum in [0.0, 0.5, 0.9, 0.999] {
            let decay = Decay::new(momentum);
            let (mut power, mut sum) = (1.0f64, 0.0f64);
            for k in 0..10_000u64 {
                let (p, s) = decay.over(k);
                assert!((f64::from(p) - power).abs() <= 1e-6 * power + 1e-30, "μ = {momentum}, k = {k}");
                assert!((f64::from(s) - sum).abs() <= 1e-6 * sum + 1e-30, "μ = {momentum}, k = {k}");
                power *= momentum;
                sum += power;
            }
        }
    }
}
