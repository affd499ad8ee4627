//! Softmax cross-entropy, fused with its gradient, one row at a time.
//!
//! ```text
//! loss  = ln Σⱼ exp(zⱼ) − z_t      computed as  m − z_t + ln Σⱼ exp(zⱼ − m),  m = maxⱼ zⱼ
//! ∂/∂zⱼ = softmax(z)ⱼ − [j = t]
//! ```
//!
//! Subtracting the row's own maximum keeps every exponent at or below zero: nothing overflows, and
//! the sum is at least 1.

/// Turns logits into probabilities in place and returns `(max, Σ exp(z − max))`.
pub fn softmax(z: &mut [f32]) -> (f32, f32) {
    let max = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0f32;
    for z in z.iter_mut() {
        *z = libm::expf(*z - max);
        sum += *z;
    }
    for z in z.iter_mut() {
        *z /= sum;
    }
    (max, sum)
}

/// Replaces logits by the gradient of the loss and returns the loss in nats.
///
/// # Panics
///
/// If `target` is not an index of `z`.
pub fn cross_entropy_in_place(z: &mut [f32], target: u32) -> f32 {
    let target = target as usize;
    let z_target = z[target];
    let (max, sum) = softmax(z);
    z[target] -= 1.0;
    max - z_target + libm::logf(sum)
}

/// The loss alone, in nats.
pub fn cross_entropy(z: &[f32], target: u32) -> f32 {
    let max = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = z.iter().map(|&z| libm::expf(z - max)).sum();
    max - z[target as usize] + libm::logf(sum)
}

/// Index of the greatest value; the first one of several equals, as the reference programs choose.
pub fn argmax(z: &[f32]) -> u32 {
    let mut best = 0;
    for (i, &value) in z.iter().enumerate() {
        if value > z[best] {
            best = i;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition in f64.
    fn loss_f64(z: &[f64], target: u32) -> f64 {
        let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        max - z[target as usize] + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln()
    }

    #[test]
    fn the_gradient_matches_central_differences() {
        let logits = [[0.3f32, -1.2, 2.5, 0.0], [5.0, 5.0, -5.0, 4.9], [-0.1, -0.2, -0.3, -0.4]];
        for (row, target) in logits.iter().zip([2, 0, 3]) {
            let mut grad = *row;
            cross_entropy_in_place(&mut grad, target);
            let wide: Vec<f64> = row.iter().map(|&z| z.into()).collect();
            for i in 0..4 {
                let h = 1e-5;
                let (mut up, mut down) = (wide.clone(), wide.clone());
                up[i] += h;
                down[i] -= h;
                let numeric = (loss_f64(&up, target) - loss_f64(&down, target)) / (2.0 * h);
                // h² of the difference quotient plus a few roundings of probabilities in f32
                assert!((f64::from(grad[i]) - numeric).abs() < 1e-6, "{i}: {} vs {numeric}", grad[i]);
            }
        }
    }

    #[test]
    fn extreme_logits_stay_finite_and_right() {
        for row in [[-100.0f32, 5.0], [1e4, -1e4], [-2e4, -20_001.0], [88.8, 88.8], [3e38, -3e38]] {
            for target in [0, 1] {
                let mut grad = row;
                let loss = cross_entropy_in_place(&mut grad, target);
                let want = loss_f64(&row.map(f64::from), target);
                assert!(
                    (f64::from(loss) - want).abs() <= 1e-6 * want.max(1.0)
                        || loss.is_infinite() && want > 3e38
                );
                assert!(grad.iter().all(|g| g.is_finite() && g.abs() <= 1.0), "{row:?}: {grad:?}");
                assert_eq!(cross_entropy(&row, target), loss);
            }
        }
    }

    #[test]
    fn not_a_number_is_passed_on_instead_of_hidden() {
        assert!(cross_entropy_in_place(&mut [f32::NAN, 1.0], 1).is_nan());
    }

    #[test]
    fn the_first_of_equal_maxima_wins() {
        assert_eq!(argmax(&[0.0, 2.0, 2.0]), 1);
        assert_eq!(argmax(&[0.0, 0.0]), 0);
    }
}
