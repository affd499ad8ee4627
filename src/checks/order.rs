//! Does a row's place tell its label?

use super::stats::{BEYOND_CHANCE, chi_square_bound, percent, share};
use serde::Serialize;
use utoipa::ToSchema;

const N_BLOCKS: usize = 10;
/// Neighbours in the file that have the same label more, or less, often than by chance by so much are worth a warning.
const LEAST_EXCESS: f64 = 0.05;
/// So is an association of block and label above this, a small one by Cohen 1988 ("Statistical Power Analysis for the
/// Behavioral Sciences").
const LEAST_DRIFT: f64 = 0.1;
/// Rows expected of every class in every block, below which χ² is not to be trusted (Cochran 1954, Biometrics 10).
const LEAST_EXPECTED: f64 = 1.0;

/// How far the order of the rows and their labels depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = OrderCheck)]
pub struct Order {
    /// Share of rows with the label of the row before them.
    pub agreement: f64,
    /// What that would be if the same rows were in a random order.
    pub expected_agreement: f64,
    /// By how many standard deviations it is more.
    pub z: f64,
    /// χ² of independence of label and tenth of the file; absent where there are too few rows.
    pub chi_square: Option<f64>,
    /// What chance exceeds one time in 30,000.
    pub chi_square_bound: Option<f64>,
    /// Cramér's V of the same table: 0 where the tenths are alike, 1 where they share no label.
    pub drift: Option<f64>,
    /// Whether the rows are visited in another order, so that this does not matter.
    pub shuffled: bool,
}

impl Order {
    pub(super) fn of(labels: &[u32], n_classes: usize, shuffled: bool) -> Self {
        let mut counts = vec![0_usize; n_classes];
        for &label in labels {
            counts[label as usize] += 1;
        }
        let joins = labels.windows(2).filter(|pair| pair[0] == pair[1]).count();
        let (expected, deviation) = joins_by_chance(&counts);
        let z = if deviation > 0.0 { (joins as f64 - expected) / deviation } else { 0.0 };
        let n_joints = labels.len().saturating_sub(1);
        let drift = Drift::of(labels, &counts);
        Self {
            agreement: share(joins, n_joints),
            expected_agreement: if n_joints == 0 { 0.0 } else { expected / n_joints as f64 },
            z,
            chi_square: drift.map(|drift| drift.chi_square),
            chi_square_bound: drift.map(|drift| drift.bound),
            drift: drift.map(|drift| drift.v),
            shuffled,
        }
    }

    pub(super) fn judge(&self) -> (bool, String) {
        let joins =
            self.z.abs() > BEYOND_CHANCE && (self.agreement - self.expected_agreement).abs() > LEAST_EXCESS;
        let beyond = self.chi_square.zip(self.chi_square_bound).is_some_and(|(found, bound)| found > bound);
        let drifts = beyond && self.drift.is_some_and(|drift| drift > LEAST_DRIFT);
        let tells = joins || drifts;
        let mut detail = format!(
            "{} of the rows have the label of the row before, in a random order it would be {}",
            percent(self.agreement),
            percent(self.expected_agreement)
        );
        if let Some(drift) = self.drift {
            detail += &format!(
                "; from tenth to tenth of the file the shares of the classes vary by {drift:.3} (Cramér's V)"
            );
        }
        detail += match (self.shuffled, tells) {
            (true, _) => "; the rows are shuffled, so this does not matter",
            (false, true) => "; it matters to trainings that visit rows in the order of the file",
            (false, false) => "",
        };
        (tells && !self.shuffled, detail)
    }
}

/// Mean and standard deviation of the number of neighbours with the same label over all orders of so many rows of each
/// class (Barton & David 1957, Biometrika 44, "Multiple runs").
fn joins_by_chance(counts: &[usize]) -> (f64, f64) {
    let n: f64 = counts.iter().map(|&count| count as f64).sum();
    if n < 2.0 {
        return (0.0, 0.0);
    }
    let of_each = |power: fn(f64) -> f64| counts.iter().map(|&count| power(count as f64)).sum::<f64>();
    let (squares, cubes) = (of_each(|n| n * n), of_each(|n| n * n * n));
    let mean = (squares - n) / n;
    let variance = (squares * (squares + n * (n + 1.0)) - 2.0 * n * cubes - n * n * n) / (n * n * (n - 1.0));
    (mean, variance.max(0.0).sqrt())
}

#[derive(Clone, Copy)]
struct Drift {
    chi_square: f64,
    bound: f64,
    v: f64,
}

impl Drift {
    fn of(labels: &[u32], counts: &[usize]) -> Option<Self> {
        let n = labels.len();
        let present = counts.iter().copied().filter(|&count| count > 0);
        let (n_present, rarest) = (present.clone().count(), present.min()?);
        if n_present < 2 || (rarest as f64) < LEAST_EXPECTED * N_BLOCKS as f64 {
            return None;
        }
        let mut chi_square = 0.0;
        for block in 0..N_BLOCKS {
            let rows = &labels[n * block / N_BLOCKS..n * (block + 1) / N_BLOCKS];
            let mut seen = vec![0_usize; counts.len()];
            for &label in rows {
                seen[label as usize] += 1;
            }
            for (&seen, &count) in seen.iter().zip(counts).filter(|(_, count)| **count > 0) {
                let expected = count as f64 * rows.len() as f64 / n as f64;
                chi_square += (seen as f64 - expected) * (seen as f64 - expected) / expected;
            }
        }
        let freedom = ((N_BLOCKS - 1) * (n_present - 1)) as f64;
        let least_side = (N_BLOCKS - 1).min(n_present - 1) as f64;
        let v = (chi_square / (n as f64 * least_side)).sqrt();
        Some(Self { chi_square, bound: chi_square_bound(freedom), v })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::hash::{Purpose, keyed_hash};

    fn random(n: u32, seed: u64) -> Vec<u32> {
        (0..n).map(|row| (keyed_hash(seed, Purpose::Check, 0, row) % 5) as u32).collect()
    }

    #[test]
    fn the_expected_agreement_is_the_mean_over_all_orders() {
        fn orders(rest: &mut Vec<u32>, order: &mut Vec<u32>, joins: &mut Vec<f64>) {
            if rest.is_empty() {
                joins.push(order.windows(2).filter(|pair| pair[0] == pair[1]).count() as f64);
            }
            for i in 0..rest.len() {
                order.push(rest.remove(i));
                orders(rest, order, joins);
                rest.insert(i, order.pop().unwrap());
            }
        }
        let mut joins = Vec::new();
        orders(&mut vec![0, 0, 0, 1, 1, 2, 2], &mut Vec::new(), &mut joins);
        let mean = joins.iter().sum::<f64>() / joins.len() as f64;
        let variance = joins.iter().map(|n| (n - mean) * (n - mean)).sum::<f64>() / joins.len() as f64;
        let (expected, deviation) = joins_by_chance(&[3, 2, 2]);
        assert!((expected - mean).abs() < 1e-9, "{expected} {mean}");
        assert!((deviation - variance.sqrt()).abs() < 1e-9, "{deviation} {}", variance.sqrt());
    }

    #[test]
    fn labels_in_a_random_order_are_no_warning_whatever_the_seed() {
        for seed in 0..50 {
            let order = Order::of(&random(2_000, seed), 5, false);
            assert!(!order.judge().0 && order.z.abs() < 4.0, "{seed}: {order:?}");
            assert!(order.chi_square < order.chi_square_bound, "{seed}: {order:?}");
        }
    }

    #[test]
    fn sorted_drifting_and_alternating_labels_are_told() {
        let mut sorted = random(2_000, 1);
        sorted.sort_unstable();
        let found = Order::of(&sorted, 5, false);
        let (warns, detail) = found.judge();
        assert!(warns && detail.contains("in the order of the file"), "{detail}");
        assert!(found.agreement > 0.99 && found.drift.unwrap() > 0.7, "{found:?}");
        // no neighbour agrees more than by chance, but the file begins with other classes than it ends with
        let drifting: Vec<u32> = random(2_000, 2)
            .into_iter()
            .zip(0..)
            .map(|(label, i)| if i < 1_000 { label / 2 } else { label })
            .collect();
        assert!(Order::of(&drifting, 5, false).judge().0);
        let alternating: Vec<u32> = (0..2_000).map(|i| i % 5).collect();
        let found = Order::of(&alternating, 5, false);
        assert!(found.judge().0 && found.z < -4.0, "{found:?}");
    }

    #[test]
    fn a_recipe_that_shuffles_need_not_care() {
        let sorted: Vec<u32> = (0..2_000).map(|i| i / 400).collect();
        let (warns, detail) = Order::of(&sorted, 5, true).judge();
        assert!(!warns && detail.ends_with("so this does not matter"), "{detail}");
    }

    #[test]
    fn few_rows_say_little_and_nothing_breaks() {
        for labels in [&[][..], &[1], &[1, 1], &[0, 1, 2, 3, 4]] {
            let order = Order::of(labels, 5, false);
            assert!(!order.judge().0 && order.drift.is_none() && order.z.is_finite(), "{order:?}");
        }
    }
}
