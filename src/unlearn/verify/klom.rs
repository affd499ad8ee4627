//! KLOM: the KL divergence between the margins of unlearned and of retrained networks, row by row.
//!
//! Georgiev et al. 2024 (arXiv:2410.23232, "Attribute-to-delete"): margins clipped to ±100, histograms of 20 bins over
//! the range both banks cover, empty bins of the retrained bank counted as 1e-5.

use super::margins::{Pooled, percentile};

const N_BINS: usize = 20;
const SMOOTHING: f64 = 1e-5;

/// Rows' margins in bins, ready for any grouping of the networks.
pub(super) struct Histograms {
    n: usize,
    /// Each network's bin, row after row.
    bins: Vec<u8>,
    /// `p·ln(p/q)` of a bin with `a` networks of the first group and `b` of the second, at `a·(n+1) + b`.
    terms: Vec<f64>,
}

impl Histograms {
    pub(super) fn new(pooled: &Pooled) -> Self {
        let n = pooled.n();
        let mut bins = Vec::with_capacity(pooled.n_rows() * 2 * n);
        for margins in pooled.rows() {
            let least = margins.iter().copied().fold(f64::INFINITY, f64::min);
            let most = margins.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let bin = |&margin: &f64| {
                let place = (margin - least) / (most - least) * N_BINS as f64;
                // equal margins have no range: all in one bin
                if place.is_finite() { (place as usize).min(N_BINS - 1) as u8 } else { 0 }
            };
            bins.extend(margins.iter().map(bin));
        }
        let term = |(a, b): (usize, usize)| {
            let (p, q) = (a as f64 / n as f64, b as f64 / n as f64);
            if a == 0 { 0.0 } else { p * libm::log(p / q.max(SMOOTHING)) }
        };
        let terms = (0..=n).flat_map(|a| (0..=n).map(move |b| (a, b))).map(term).collect();
        Self { n, bins, terms }
    }

    /// `KL(first ‖ second)` of every row in nats.
    pub(super) fn of_rows(&self, is_first: &[bool]) -> Vec<f64> {
        let rows = self.bins.chunks_exact((2 * self.n).max(1));
        rows.map(|row| {
            let mut counts = [(0usize, 0usize); N_BINS];
            for (&bin, &is_first) in row.iter().zip(is_first) {
                let count = &mut counts[usize::from(bin)];
                if is_first { count.0 += 1 } else { count.1 += 1 }
            }
            let kl: f64 = counts.iter().map(|&(a, b)| self.terms[a * (self.n + 1) + b]).sum();
            kl.max(0.0)
        })
        .collect()
    }

    /// The 95th percentile over the rows.
    pub(super) fn p95(&self, is_first: &[bool]) -> f64 {
        percentile(self.of_rows(is_first), 0.95)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, without tables.
    fn by_definition(first: &[f64], second: &[f64]) -> f64 {
        let all = [first, second].concat();
        let least = all.iter().copied().fold(f64::INFINITY, f64::min);
        let width = (all.iter().copied().fold(f64::NEG_INFINITY, f64::max) - least) / 20.0;
        let share = |of: &[f64], bin: usize| {
            let within = |x: f64| ((x - least) / width).floor().min(19.0) as usize == bin;
            of.iter().filter(|&&x| within(x)).count() as f64 / of.len() as f64
        };
        let bins = (0..20).map(|bin| (share(first, bin), share(second, bin)));
        bins.filter(|&(p, _)| p > 0.0).map(|(p, q)| p * (p / q.max(1e-5)).ln()).sum::<f64>().max(0.0)
    }

    fn klom(first: &[f64], second: &[f64]) -> f64 {
        let bank = |margins: &[f64]| margins.iter().map(|&margin| vec![margin]).collect::<Vec<_>>();
        let pooled = Pooled::of(&bank(first), &bank(second));
        Histograms::new(&pooled).of_rows(&pooled.banks())[0]
    }

    proptest! {
        #[test]
        fn the_table_gives_what_the_definition_gives(
            // sixteenths of the range, so that no margin lies on the edge of a bin by rounding
            values in prop::collection::vec((0u8..16, 0u8..16), 2..20),
        ) {
            let (mut first, mut second): (Vec<f64>, Vec<f64>) =
                values.into_iter().map(|(a, b)| (f64::from(a), f64::from(b))).unzip();
            first.push(0.0);
            second.push(16.0);
            prop_assert!((klom(&first, &second) - by_definition(&first, &second)).abs() < 1e-9);
        }
    }

    #[test]
    fn equal_banks_are_zero_apart_and_disjoint_ones_as_far_as_the_smoothing_allows() {
        assert_eq!(klom(&[1.0, 2.0, 3.0], &[3.0, 1.0, 2.0]), 0.0);
        assert_eq!(klom(&[7.0; 4], &[7.0; 4]), 0.0);
        assert!((klom(&[0.0; 4], &[9.0; 4]) - 1e5f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn the_order_of_the_banks_matters() {
        let (narrow, wide) = ([5.0, 5.0, 5.0, 5.0], [0.0, 5.0, 10.0, 5.0]);
        assert!(klom(&wide, &narrow) > klom(&narrow, &wide));
    }
}
