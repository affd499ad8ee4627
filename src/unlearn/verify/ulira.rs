//! Likelihood-ratio attacks on single rows, calibrated with banks of networks.
//!
//! U-LiRA (Hayes et al. 2025, SaTML, arXiv:2403.01218): for every row a Gaussian is fitted to the margins of unlearned networks and
//! one to those of retrained ones; a network is called unlearned where the former is likelier. Each network is judged by
//! fits it had no part in. 0.5 is indistinguishable; attacks on the average of many rows, such as a loss threshold,
//! overestimate how well was forgotten.

use super::margins::Pooled;
use super::membership::{Scored, attack};

/// Least variance of a fit: margins of saturated networks may all be equal.
const LEAST_VARIANCE: f64 = 1e-6;

/// Sums over the margins of some networks, shifted by a common number.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    n: f64,
    sum: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, x: f64) {
        self.n += 1.0;
        self.sum += x;
        self.squares += x * x;
    }

    fn without(&self, x: f64) -> Self {
        Self { n: self.n - 1.0, sum: self.sum - x, squares: self.squares - x * x }
    }

    /// `ln N(x; mean, variance)` up to a constant.
    fn ln_likelihood(&self, x: f64) -> f64 {
        let mean = self.sum / self.n;
        let variance = ((self.squares - self.sum * mean) / (self.n - 1.0)).max(LEAST_VARIANCE);
        -0.5 * (libm::log(variance) + (x - mean) * (x - mean) / variance)
    }
}

/// What the attack came to over all pairs of a row and a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ulira {
    /// Part of the pairs in which the network was told to be of its own group; ties count half.
    pub(super) accuracy: f64,
    pub(super) auc: f64,
    pub(super) tpr_at_1pct_fpr: f64,
}

/// Attacks every network of the pooled banks, grouped by `is_first`.
pub(super) fn ulira(pooled: &Pooled, is_first: &[bool]) -> Ulira {
    let n_pairs = pooled.n_rows() * pooled.n();
    let (mut first, mut second): (Vec<Scored>, Vec<Scored>) =
        (Vec::with_capacity(n_pairs), Vec::with_capacity(n_pairs));
    let mut right = 0.0;
    for margins in pooled.rows() {
        // shifted, so that squares keep their digits
        let shift = margins.iter().sum::<f64>() / margins.len() as f64;
        let (mut of_first, mut of_second) = (Sums::default(), Sums::default());
        for (margin, &is_first) in margins.iter().zip(is_first) {
            if is_first { &mut of_first } else { &mut of_second }.add(margin - shift);
        }
        for (margin, &is_first) in margins.iter().zip(is_first) {
            let x = margin - shift;
            let ratio = if is_first {
                of_first.without(x).ln_likelihood(x) - of_second.ln_likelihood(x)
            } else {
                of_first.ln_likelihood(x) - of_second.without(x).ln_likelihood(x)
            };
            let side = if is_first { ratio } else { -ratio };
            right += if side > 0.0 {
                1.0
            } else if side == 0.0 {
                0.5
            } else {
                0.0
            };
            // the attack takes less for a member of the first group
            if is_first { &mut first } else { &mut second }.push((-ratio, 1.0));
        }
    }
    let (auc, tpr_at_1pct_fpr) =
        attack(&first, &second).map_or((f64::NAN, f64::NAN), |found| (found.auc, found.tpr_at_1pct_fpr));
    Ulira { accuracy: right / (2 * n_pairs) as f64, auc, tpr_at_1pct_fpr }
}

/// LiRA on one network (Carlini et al. 2022, IEEE S&P, online attack): the part of the rows whose margin in it is
/// likelier under the first bank than under the second. `left_out` is the network's own number in the pool.
pub(super) fn members(pooled: &Pooled, margins: &[f64], left_out: Option<usize>) -> f64 {
    let mut n_members = 0usize;
    for (row, &margin) in pooled.rows().zip(margins) {
        let (mut of_first, mut of_second) = (Sums::default(), Sums::default());
        for (network, other) in row.iter().enumerate() {
            if left_out != Some(network) {
                let sums = if network < pooled.n() { &mut of_first } else { &mut of_second };
                sums.add(other - margin);
            }
        }
        n_members += usize::from(of_first.ln_likelihood(0.0) > of_second.ln_likelihood(0.0));
    }
    n_members as f64 / margins.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums of twelve uniform numbers are near enough to Gaussian.
    fn bank(n: usize, n_rows: usize, mean: f64, seed: u64) -> Vec<Vec<f64>> {
        use rand::{Rng, SeedableRng};
        let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
        let mut one = || (0..12).map(|_| f64::from(rng.next_u32()) / f64::from(u32::MAX)).sum::<f64>() - 6.0;
        (0..n).map(|_| (0..n_rows).map(|_| mean + one()).collect()).collect()
    }

    /// The definition: fits made anew without the network in question.
    fn accuracy_by_definition(pooled: &Pooled, is_first: &[bool]) -> f64 {
        let density = |sample: &[f64], x: f64| {
            let n = sample.len() as f64;
            let mean = sample.iter().sum::<f64>() / n;
            let variance = sample.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / (n - 1.0);
            (-0.5 * (x - mean).powi(2) / variance).exp() / variance.sqrt()
        };
        let (mut right, mut all) = (0.0, 0.0);
        for row in pooled.rows() {
            for target in 0..row.len() {
                let others = |wanted: bool| -> Vec<f64> {
                    (0..row.len()).filter(|&m| m != target && is_first[m] == wanted).map(|m| row[m]).collect()
                };
                let called = density(&others(true), row[target]) > density(&others(false), row[target]);
                right += f64::from(u8::from(called == is_first[target]));
                all += 1.0;
            }
        }
        right / all
    }

    #[test]
    fn the_attack_follows_its_definition() {
        let pooled = Pooled::of(&bank(8, 40, 0.8, 1), &bank(8, 40, 0.0, 2));
        for groups in [pooled.banks(), (0..16).map(|network| network % 2 == 0).collect()] {
            let found = ulira(&pooled, &groups).accuracy;
            assert!((found - accuracy_by_definition(&pooled, &groups)).abs() < 1e-12);
        }
    }

    #[test]
    fn gaussians_a_known_distance_apart_are_told_apart_as_often_as_they_should_be() {
        // the best test of N(0, 1) against N(2, 1) is right in Φ(1) = 84.1 % of the cases, with AUC Φ(√2) = 92.1 %
        let pooled = Pooled::of(&bank(64, 100, 2.0, 1), &bank(64, 100, 0.0, 2));
        let found = ulira(&pooled, &pooled.banks());
        assert!((found.accuracy - 0.841).abs() < 0.015, "{}", found.accuracy);
        assert!((found.auc - 0.921).abs() < 0.015, "{}", found.auc);
        assert!((0.2..0.6).contains(&found.tpr_at_1pct_fpr), "{}", found.tpr_at_1pct_fpr);
    }

    #[test]
    fn banks_of_one_distribution_are_not_told_apart() {
        let pooled = Pooled::of(&bank(16, 200, 0.0, 1), &bank(16, 200, 0.0, 2));
        let found = ulira(&pooled, &pooled.banks());
        assert!((found.accuracy - 0.5).abs() < 0.03 && (found.auc - 0.5).abs() < 0.03, "{found:?}");
    }

    #[test]
    fn equal_margins_of_saturated_networks_say_nothing() {
        let pooled = Pooled::of(&vec![vec![100.0; 3]; 8], &vec![vec![100.0; 3]; 8]);
        assert_eq!(ulira(&pooled, &pooled.banks()).accuracy, 0.5);
    }

    #[test]
    fn a_network_of_either_kind_is_known_for_what_it_is() {
        let (first, second) = (bank(16, 100, 3.0, 1), bank(16, 100, 0.0, 2));
        let pooled = Pooled::of(&first, &second);
        assert!(members(&pooled, &bank(1, 100, 3.0, 3)[0], None) > 0.8);
        assert!(members(&pooled, &bank(1, 100, 0.0, 4)[0], None) < 0.2);
        assert!(members(&pooled, &second[5], Some(16 + 5)) < 0.2);
    }

    #[test]
    fn a_network_has_no_part_in_the_fit_it_is_judged_by() {
        // two networks that agree, and a third that lies alone: left out it is nearer to the first bank
        let pooled = Pooled::of(&[vec![4.0], vec![6.0], vec![5.0]], &[vec![0.0], vec![0.1], vec![5.0]]);
        assert_eq!(members(&pooled, &[5.0], Some(5)), 1.0);
    }
}
