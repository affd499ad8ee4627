//! Softmax cross-entropy, fused with its gradient, one row at a time.
//!
//! ```text
//! loss  = ln Σⱼ exp(zⱼ) − z_t      computed as  m − z_t + ln Σⱼ exp(zⱼ − m),  m = maxⱼ zⱼ
//! ∂/∂zⱼ = softmax(z)ⱼ − [j = t]
//! ```
//!
//! Subtracting the row's own maximum keeps every exponent at or below zero: nothing overflows, and
//! the sum is at least 1.

use super::simd::{LANES, Simd, vectorised};

vectorised! {
    /// Turns logits into probabilities in place and returns `(max, Σ exp(z − max))`.
    pub fn softmax(z: &mut [f32]) -> (f32, f32) = softmax_body;
}

#[inline(always)]
fn softmax_body<S: Simd>(_: S, z: &mut [f32]) -> (f32, f32) {
    let max = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum = sum_exp::<S, _>(max, z.chunks_mut(LANES), |z, powers| z.copy_from_slice(powers));
    for z in z.iter_mut() {
        *z /= sum;
    }
    (max, sum)
}

vectorised! {
    /// `(max, Σ exp(z − max))`, as [`softmax`] gives them.
    fn max_and_sum(z: &[f32]) -> (f32, f32) = max_and_sum_body;
}

#[inline(always)]
fn max_and_sum_body<S: Simd>(_: S, z: &[f32]) -> (f32, f32) {
    let max = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (max, sum_exp::<S, _>(max, z.chunks(LANES), |_, _| {}))
}

/// `Σ exp(z − max)`, in as many parts as there are lanes; `each` gets every chunk with its powers.
#[inline(always)]
fn sum_exp<S: Simd, Z: std::ops::Deref<Target = [f32]>>(
    max: f32,
    chunks: impl Iterator<Item = Z>,
    mut each: impl FnMut(Z, &[f32]),
) -> f32 {
    let mut parts = [0.0f32; LANES];
    for z in chunks {
        // what is missing to a whole lane has power zero
        let mut powers = [f32::NEG_INFINITY; LANES];
        powers[..z.len()].copy_from_slice(&z);
        for lane in 0..LANES {
            powers[lane] = exp_of_nonpositive::<S>(powers[lane] - max);
            parts[lane] += powers[lane];
        }
        let len = z.len();
        each(z, &powers[..len]);
    }
    parts.iter().sum()
}

/// `exp(x)` for `x ≤ 0`, to two units in the last place; below `e⁻⁸⁰` zero, of NaN NaN. So the gradient of a mean
/// over a batch has no subnormal numbers, on which arithmetic is slow.
///
/// `x = n·ln 2 + r`, `|r| ≤ ln 2 / 2`, with `ln 2` in two parts (Cody & Waite 1980, "Software Manual for the
/// Elementary Functions"); `exp r` by its Taylor polynomial of degree 7, which leaves 5·10⁻⁹. Written out so that
/// it runs in lanes and gives the same bits everywhere.
#[inline(always)]
fn exp_of_nonpositive<S: Simd>(x: f32) -> f32 {
    /// Adding it rounds to an integer, which is then in the low bits.
    const TO_INTEGER: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const LEAST: f32 = -80.0;

    let shifted = S::mul_add(x, std::f32::consts::LOG2_E, TO_INTEGER);
    let n = shifted - TO_INTEGER;
    let r = S::mul_add(n, -LN_2_LOW, S::mul_add(n, -LN_2_HIGH, x));
    let mut power = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        power = S::mul_add(power, r, coefficient);
    }
    let exponent = shifted.to_bits().wrapping_sub(TO_INTEGER.to_bits()).wrapping_add(127);
    let scaled = power * f32::from_bits(exponent << 23);
    if x < LEAST { 0.0 } else { scaled }
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
    let (max, sum) = max_and_sum(z);
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
    use crate::nn::simd::Fused;
    use crate::nn::simd::tests::on_every_isa;

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
    fn powers_are_right_to_two_units_in_the_last_place_on_every_instruction_set() {
        let n = 200_000;
        let exponents: Vec<f32> = (0..=n).map(|i| -80.0 * i as f32 / n as f32).collect();
        let powers = on_every_isa(|| {
            // the first number is the maximum, so the others come out as they are, over their sum
            exponents
                .chunks(1000)
                .map(|chunk| {
                    let mut z = [&[0.0], chunk].concat();
                    let (_, sum) = softmax(&mut z);
                    (z, sum)
                })
                .collect::<Vec<_>>()
        });
        assert!(powers.iter().all(|other| *other == powers[0]));
        for (&x, got) in exponents.iter().zip(exponents.iter().map(|&x| exp_of_nonpositive::<Fused>(x))) {
            let want = f64::from(x).exp();
            let bound = 2.0 * f64::from(f32::EPSILON) * want;
            assert!((f64::from(got) - want).abs() <= bound, "exp({x}) = {got}, want {want}");
        }
        assert_eq!(exp_of_nonpositive::<Fused>(0.0), 1.0);
        assert_eq!(exp_of_nonpositive::<Fused>(-81.0), 0.0);
        assert_eq!(exp_of_nonpositive::<Fused>(f32::NEG_INFINITY), 0.0);
        assert!(exp_of_nonpositive::<Fused>(f32::NAN).is_nan());
    }

    #[test]
    fn probabilities_sum_to_one_for_any_number_of_classes() {
        for n_classes in [1, 2, 10, 15, 16, 17, 100] {
            let logits: Vec<f32> = (0..n_classes).map(|i| libm::sinf(i as f32) * 9.0).collect();
            let mut p = logits.clone();
            softmax(&mut p);
            let total: f64 = p.iter().map(|&p| f64::from(p)).sum();
            assert!((total - 1.0).abs() < 1e-6, "{n_classes}: {total}");
            let want = loss_f64(&logits.iter().map(|&z| z.into()).collect::<Vec<f64>>(), 0);
            assert!((f64::from(cross_entropy(&logits, 0)) - want).abs() < 1e-5);
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
