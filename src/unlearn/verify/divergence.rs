//! How differently two networks answer.

/// Jensen–Shannon divergence in bits: 0 for equal, 1 for disjoint distributions.
///
/// `½·KL(p ‖ m) + ½·KL(q ‖ m)`, `m = (p + q)/2` (Lin 1991, IEEE Trans. Inf. Theory 37).
pub(super) fn js_bits(p: &[f32], q: &[f32]) -> f64 {
    let half = |a: &[f32], b: &[f32]| -> f64 {
        let terms = a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
        terms.map(|(a, b)| if a > 0.0 { a * libm::log2(2.0 * a / (a + b)) } else { 0.0 }).sum()
    };
    (0.5 * half(p, q) + 0.5 * half(q, p)).clamp(0.0, 1.0)
}

/// Kullback–Leibler divergence `KL(p ‖ q)` in nats, probabilities clamped at 1e-12.
pub(super) fn kl_nats(p: &[f32], q: &[f32]) -> f64 {
    let terms = p.iter().zip(q).map(|(&p, &q)| (f64::from(p).max(1e-12), f64::from(q).max(1e-12)));
    terms.map(|(p, q)| p * libm::log(p / q)).sum::<f64>().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_answers_are_zero_apart_and_disjoint_ones_one_bit() {
        assert_eq!(js_bits(&[0.2, 0.8], &[0.2, 0.8]), 0.0);
        assert_eq!(js_bits(&[1.0, 0.0], &[0.0, 1.0]), 1.0);
        assert_eq!(kl_nats(&[0.2, 0.8], &[0.2, 0.8]), 0.0);
    }

    #[test]
    fn the_order_matters_for_kl_and_not_for_js() {
        let (p, q) = ([0.9, 0.1], [0.4, 0.6]);
        assert_eq!(js_bits(&p, &q), js_bits(&q, &p));
        let want = 0.9 * (0.9f64 / 0.4).ln() + 0.1 * (0.1f64 / 0.6).ln();
        assert!((kl_nats(&p, &q) - want).abs() < 1e-6);
        assert!((kl_nats(&p, &q) - kl_nats(&q, &p)).abs() > 0.01);
    }

    #[test]
    fn certainty_of_opposite_answers_stays_finite() {
        assert!(kl_nats(&[1.0, 0.0], &[0.0, 1.0]).is_finite());
    }
}
