//! Intervals, bounds and words for shares.

/// A normal quantile: of a 95 % interval, two-sided.
const Z_95: f64 = 1.959_963_985;

/// Standard deviations beyond which chance is not believed: one time in 16,000.
pub(super) const BEYOND_CHANCE: f64 = 4.0;

/// The 95 % confidence interval of a share found to be `share` among `n` (Wilson 1927, Journal of the American
/// Statistical Association 22, "Probable inference, the law of succession, and statistical inference").
pub(super) fn wilson(share: f64, n: f64) -> (f64, f64) {
    if n <= 0.0 {
        return (0.0, 1.0);
    }
    let z2 = Z_95 * Z_95;
    let centre = share + z2 / (2.0 * n);
    let half = Z_95 * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0))
}

/// What a χ² of `freedom` degrees of freedom exceeds as seldom as a normal variable exceeds [`BEYOND_CHANCE`] (Wilson
/// & Hilferty 1931, PNAS 17, "The distribution of chi-square").
pub(super) fn chi_square_bound(freedom: f64) -> f64 {
    let ninth = 2.0 / (9.0 * freedom);
    let root = 1.0 - ninth + BEYOND_CHANCE * ninth.sqrt();
    freedom * root * root * root
}

/// `part / whole`, and 0 of nothing.
pub(super) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A number of things with commas at the thousands: `48,000 rows`.
pub(super) fn count(n: usize, what: &str) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if n == 1 { format!("{text} {what}") } else { format!("{text} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_that_of_its_formula_and_never_leaves_the_shares() {
        // 81 of 263: Newcombe 1998 (Statistics in Medicine 17), table I
        let (low, high) = wilson(81.0 / 263.0, 263.0);
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
        let (low, high) = wilson(0.0, 20.0);
        assert!(low == 0.0 && (high - 0.1611).abs() < 5e-5, "{high}");
        assert_eq!(wilson(0.5, 0.0), (0.0, 1.0));
    }

    #[test]
    fn a_chi_square_seldom_comes_to_its_bound() {
        // sums of squares of 81 uniform numbers brought to variance 1 by sums of twelve
        let mut state = 1_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
        let sums = (0..2_000).map(|_| (0..81).map(|_| normal().powi(2)).sum::<f64>());
        let most = sums.fold(0.0, f64::max);
        assert!(most < chi_square_bound(81.0) && most > 110.0, "{most}");
        // the exact quantiles, from the series of the incomplete gamma function
        assert!((chi_square_bound(81.0) - 142.178).abs() < 0.2, "{}", chi_square_bound(81.0));
        assert!((chi_square_bound(9.0) - 36.549).abs() < 0.6, "{}", chi_square_bound(9.0));
    }

    #[test]
    fn numbers_have_commas_and_things_their_plural() {
        assert_eq!(count(1, "row"), "1 row");
        assert_eq!(count(0, "row"), "0 rows");
        assert_eq!(count(1_234_567, "row"), "1,234,567 rows");
        assert_eq!(percent(share(1, 3)), "33.3 %");
    }
}
