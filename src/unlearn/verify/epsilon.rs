//! Forgetting quality: how well a test tells unlearned from retrained networks by their margin on a row.
//!
//! ```text
//! ε_x = max over tests of max( ln(1−δ−FPR) − ln FNR,  ln(1−δ−FNR) − ln FPR ),   δ = 1e-5
//! ```
//!
//! (Triantafillou et al. 2024, arXiv:2406.09073: the measure of the NeurIPS 2023 unlearning challenge.) An (ε, δ)-forgetting method
//! allows no test both bounds of which ε would break, so it is the larger that counts. Tests call a network
//! unlearned when its margin lies within, or outside, an interval, open or closed to either side. Every interval that ends between
//! two neighbouring margins is tried; there is no grid to fall through. One error rate of zero alone says that there
//! are too few networks and is left out; both zero tell all networks apart: ε is infinite then, and `ln(N−1)`, the
//! most that `N` networks of each kind can otherwise show, where it enters a mean.

use super::margins::{Pooled, percentile};

const DELTA: f64 = 1e-5;

/// Width of the score's buckets: each is worth half of the one before.
const BUCKET: f64 = 0.5;

/// The larger of the two bounds an (ε, δ) guarantee puts on a test's error rates; infinite when there are no
/// errors, 0 where nothing can be said.
pub(super) fn bound(fpr: f64, fnr: f64) -> f64 {
    if fpr <= 0.0 && fnr <= 0.0 {
        return f64::INFINITY;
    }
    if fpr <= 0.0 || fnr <= 0.0 {
        return 0.0;
    }
    let one = |a: f64, b: f64| {
        let left = 1.0 - DELTA - a;
        if left > 0.0 { libm::log(left) - libm::log(b) } else { 0.0 }
    };
    one(fpr, fnr).max(one(fnr, fpr)).max(0.0)
}

/// Rows' margins in order, ready for any grouping of the networks.
pub(super) struct Epsilons {
    n: usize,
    /// For every row the networks by rising margin, and whether a test may end before each of them: equal margins
    /// cannot be told apart.
    order: Vec<(usize, bool)>,
    /// ε of a test that covers `a` networks of the first group and `b` of the second, at `a·(n+1) + b`.
    of_covered: Vec<f64>,
}

/// What is reported of the rows' ε.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Summary {
    pub(super) mean: f64,
    pub(super) median: f64,
    pub(super) p95: f64,
    /// Mean of 1 for ε < ½, ½ for ε < 1, ¼ …, 0 beyond `⌈ln(N−1)⌉`: 1 is ideal.
    pub(super) score: f64,
}

impl Epsilons {
    pub(super) fn new(pooled: &Pooled) -> Self {
        let n = pooled.n();
        let mut order = Vec::with_capacity(pooled.n_rows() * 2 * n);
        for margins in pooled.rows() {
            let start = order.len();
            order.extend((0..2 * n).map(|network| (network, true)));
            let row = &mut order[start..];
            row.sort_unstable_by(|a, b| margins[a.0].total_cmp(&margins[b.0]).then(a.0.cmp(&b.0)));
            for i in 1..row.len() {
                row[i].1 = margins[row[i - 1].0] < margins[row[i].0];
            }
        }
        let rate = |count: usize| count as f64 / n as f64;
        let covered = (0..=n).flat_map(|a| (0..=n).map(move |b| (a, b)));
        let of_covered =
            covered.map(|(a, b)| bound(rate(b), rate(n - a)).max(bound(rate(n - b), rate(a)))).collect();
        Self { n, order, of_covered }
    }

    /// The most a row's ε can be short of infinite.
    pub(super) fn cap(&self) -> f64 {
        libm::log((self.n.max(2) - 1) as f64)
    }

    /// ε of every row; infinite where the groups are told apart without error.
    pub(super) fn of_rows(&self, is_first: &[bool]) -> Vec<f64> {
        let mut cuts: Vec<(usize, usize)> = Vec::with_capacity(2 * self.n + 1);
        let rows = self.order.chunks_exact((2 * self.n).max(1));
        rows.map(|row| {
            cuts.clear();
            let (mut a, mut b) = (0, 0);
            for &(network, may_end) in row {
                if may_end {
                    cuts.push((a, b));
                }
                if is_first[network] { a += 1 } else { b += 1 }
            }
            cuts.push((a, b));
            let mut most = 0.0f64;
            for (i, from) in cuts.iter().enumerate() {
                for to in &cuts[i + 1..] {
                    let (a, b) = (to.0 - from.0, to.1 - from.1);
                    most = most.max(self.of_covered[a * (self.n + 1) + b]);
                }
            }
            most
        })
        .collect()
    }

    pub(super) fn summary(&self, is_first: &[bool]) -> Summary {
        let all = self.of_rows(is_first);
        let cap = self.cap();
        let n_buckets = cap.ceil() / BUCKET;
        let points = |epsilon: f64| {
            let bucket = (epsilon / BUCKET).floor();
            if bucket < n_buckets { libm::exp2(-bucket) } else { 0.0 }
        };
        let n_rows = all.len() as f64;
        let capped: Vec<f64> = all.iter().map(|epsilon| epsilon.min(cap)).collect();
        Summary {
            mean: capped.iter().sum::<f64>() / n_rows,
            score: all.into_iter().map(points).sum::<f64>() / n_rows,
            median: percentile(capped.clone(), 0.5),
            p95: percentile(capped, 0.95),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: every interval between midpoints of margins, counted anew.
    fn by_definition(first: &[f64], second: &[f64]) -> f64 {
        let mut values: Vec<f64> = [first, second].concat();
        values.sort_unstable_by(f64::total_cmp);
        values.dedup();
        let mut ends = vec![f64::NEG_INFINITY];
        ends.extend(values.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0));
        ends.push(f64::INFINITY);
        let mut most = 0.0f64;
        for &low in &ends {
            for &high in ends.iter().filter(|&&high| high > low) {
                for within_is_first in [true, false] {
                    let is_called_first = |x: f64| (x > low && x < high) == within_is_first;
                    let share = |of: &[f64], called: bool| {
                        of.iter().filter(|&&x| is_called_first(x) == called).count() as f64 / of.len() as f64
                    };
                    let (fpr, fnr) = (share(second, true), share(first, false));
                    if fpr == 0.0 && fnr == 0.0 {
                        return f64::INFINITY;
                    }
                    if fpr > 0.0 && fnr > 0.0 {
                        let one = (1.0 - 1e-5 - fpr).ln() - fnr.ln();
                        let other = (1.0 - 1e-5 - fnr).ln() - fpr.ln();
                        // `max` passes over what is not a number
                        most = most.max(one).max(other);
                    }
                }
            }
        }
        most
    }

    fn epsilons(first: &[f64], second: &[f64]) -> Epsilons {
        let bank = |margins: &[f64]| margins.iter().map(|&margin| vec![margin]).collect::<Vec<_>>();
        Epsilons::new(&Pooled::of(&bank(first), &bank(second)))
    }

    fn epsilon(first: &[f64], second: &[f64]) -> f64 {
        let banks: Vec<bool> = (0..2 * first.len()).map(|network| network < first.len()).collect();
        epsilons(first, second).of_rows(&banks)[0]
    }

    proptest! {
        #[test]
        fn the_table_finds_what_trying_every_threshold_finds(
            values in prop::collection::vec((0u8..12, 0u8..12), 2..9),
        ) {
            let (first, second): (Vec<f64>, Vec<f64>) =
                values.into_iter().map(|(a, b)| (f64::from(a), f64::from(b))).unzip();
            let (found, want) = (epsilon(&first, &second), by_definition(&first, &second));
            prop_assert!(found == want || (found - want).abs() < 1e-9, "{found} {want}");
        }
    }

    #[test]
    fn networks_told_apart_are_infinitely_far_and_count_as_the_cap() {
        let (low, high) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
        assert_eq!(epsilon(&low, &high), f64::INFINITY);
        // one bank between two halves of the other: only an interval tells them apart
        assert_eq!(epsilon(&[4.0, 4.1, 4.2, 4.3], &[1.0, 2.0, 7.0, 8.0]), f64::INFINITY);
        let found = epsilons(&low, &high).summary(&[true, true, true, true, false, false, false, false]);
        assert!((found.mean - 3.0f64.ln()).abs() < 1e-12 && (found.median - 3.0f64.ln()).abs() < 1e-12);
        assert_eq!(found.score, 0.0);
    }

    #[test]
    fn short_of_that_no_epsilon_exceeds_the_cap() {
        // one error of each kind in eight
        let first = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 20.0];
        let second = [0.5, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0];
        let found = epsilon(&first, &second);
        assert!(found > 1.9 && found <= 7.0f64.ln(), "{found}");
    }

    #[test]
    fn equal_margins_cannot_be_told_apart() {
        assert_eq!(epsilon(&[1.0; 4], &[1.0; 4]), 0.0);
        let found =
            epsilons(&[1.0; 4], &[1.0; 4]).summary(&[true, false, true, false, true, false, true, false]);
        assert_eq!((found.mean, found.score), (0.0, 1.0));
    }
}
