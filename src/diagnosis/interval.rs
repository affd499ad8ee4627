//! What a few seeds say of all seeds.

use serde::{Deserialize, Serialize};

/// A mean over seeds, and the interval that holds the mean over all seeds 95 times of a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub mean: f64,
    /// Lower and upper bound.
    pub ci: [f64; 2],
}

/// Quantile 0.975 of Student's t with 1, 2, … degrees of freedom (any table; here to five digits). With more it is less than
/// the last.
const T: [f64; 20] = [
    12.706, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604,
    2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
];

fn t(freedom: usize) -> f64 {
    T[freedom.min(T.len()) - 1]
}

impl Interval {
    /// Of values that are normally distributed around their mean, as those of trainings that differ in nothing but the
    /// seed nearly are: `x̄ ± t·s/√n` (Student 1908).
    ///
    /// # Panics
    ///
    /// If there are fewer than two values.
    pub fn of(values: &[f64]) -> Self {
        let (mean, square) = mean_and_square(values);
        Self::around(mean, t(values.len() - 1) * libm::sqrt(square))
    }

    /// Of the mean of some values less that of others, whose variances need not be the same: `x̄ − ȳ ± t·√(s²/n + s'²/n')`
    /// with the degrees of freedom of Welch (1947), rounded down.
    ///
    /// # Panics
    ///
    /// As [`of`](Self::of), for either.
    pub fn of_difference(values: &[f64], others: &[f64]) -> Self {
        let ((x, a), (y, b)) = (mean_and_square(values), mean_and_square(others));
        let (n, m) = (values.len() as f64 - 1.0, others.len() as f64 - 1.0);
        let least = n.min(m);
        let squares = a * a / n + b * b / m;
        // what rounds below its bound is its bound; where nothing varies any will do
        let freedom = if squares > 0.0 { ((a + b) * (a + b) / squares).max(least) } else { least };
        Self::around(x - y, t(freedom as usize) * libm::sqrt(a + b))
    }

    fn around(mean: f64, half: f64) -> Self {
        Self { mean, ci: [mean - half, mean + half] }
    }

    pub fn low(&self) -> f64 {
        self.ci[0]
    }

    /// Half of its width.
    pub fn half(&self) -> f64 {
        (self.ci[1] - self.ci[0]) / 2.0
    }

    /// Whether both hold some number.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.ci[0] <= other.ci[1] && other.ci[0] <= self.ci[1]
    }
}

/// The mean, and the square of its standard error.
fn mean_and_square(values: &[f64]) -> (f64, f64) {
    let n = values.len();
    assert!(n >= 2, "an interval of {n} values");
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (mean, squares / (n - 1) as f64 / n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_values_have_the_interval_of_the_textbook() {
        let interval = Interval::of(&[1.0, 2.0, 3.0]);
        assert!((interval.mean - 2.0).abs() < 1e-15);
        // 4.3027 · 1 / √3
        assert!((interval.half() - 2.4842).abs() < 1e-4, "{interval:?}");
        assert_eq!(Interval::of(&[0.5; 4]).ci, [0.5, 0.5]);
    }

    #[test]
    fn a_difference_of_means_has_the_interval_of_welch() {
        // both means err by 1/√3; four degrees of freedom: 2.7764 · √(2/3)
        let interval = Interval::of_difference(&[1.0, 2.0, 3.0], &[5.0, 6.0, 4.0]);
        assert!((interval.mean + 3.0).abs() < 1e-15);
        assert!((interval.half() - 2.2669).abs() < 1e-4, "{interval:?}");
        // one of them alone varies: two degrees
        let interval = Interval::of_difference(&[1.0, 2.0, 3.0], &[0.0; 3]);
        assert!((interval.half() - 2.4842).abs() < 1e-4, "{interval:?}");
        assert_eq!(Interval::of_difference(&[1.0; 3], &[0.25; 3]).ci, [0.75, 0.75]);
        assert!(
            Interval::of_difference(&[0.1, 0.7, 0.9, 0.2, 0.5, 0.3, 0.3, 0.8, 0.6, 0.4], &[0.5; 10]).half()
                > 0.0
        );
    }

    #[test]
    fn intervals_that_touch_overlap() {
        let of = |low, high| Interval { mean: 0.0, ci: [low, high] };
        assert!(of(0.0, 1.0).overlaps(&of(1.0, 2.0)));
        assert!(of(0.0, 3.0).overlaps(&of(1.0, 2.0)) && of(1.0, 2.0).overlaps(&of(0.0, 3.0)));
        assert!(!of(0.0, 1.0).overlaps(&of(1.1, 2.0)));
    }

    #[test]
    fn the_interval_holds_the_mean_as_often_as_it_says() {
        // sums of twelve uniform draws are close to normal
        let mut state = 1_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
        for n in [2, 3, 10, 25] {
            let (mut holds, mut holds_of_two) = (0, 0);
            for _ in 0..4_000 {
                let values: Vec<f64> = (0..n).map(|_| normal()).collect();
                let others: Vec<f64> = (0..n).map(|_| 3.0 * normal()).collect();
                let holds_none = |interval: Interval| interval.ci[0] > 0.0 || interval.ci[1] < 0.0;
                holds += usize::from(!holds_none(Interval::of(&values)));
                holds_of_two += usize::from(!holds_none(Interval::of_difference(&values, &others)));
            }
            let [one, two] = [holds, holds_of_two].map(|n| n as f64 / 4_000.0);
            assert!((one - 0.95).abs() < 0.015, "{n} values: {one}");
            // rounding down makes it wider
            assert!(two > 0.935, "{n} values beside others: {two}");
        }
    }
}
