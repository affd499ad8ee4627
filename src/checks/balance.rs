//! Are there enough rows of every class?

use super::stats::count;
use serde::Serialize;
use utoipa::ToSchema;

/// A class with less than a tenth of the commonest's rows is neglected: the smallest ratio of the study by Buda, Maki &
/// Mazurowski 2018 (Neural Networks 106, arXiv:1710.05381), which found imbalance to cost accuracy.
const LEAST_RATIO: f64 = 0.1;

/// Samples of each class.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = BalanceCheck)]
pub struct Balance {
    pub rows_by_class: Vec<u32>,
    /// The first of those with fewest samples, and with most.
    pub rarest: u32,
    pub commonest: u32,
    /// Samples of the rarest for each of the commonest.
    pub ratio: f64,
    /// Classes without any.
    pub n_empty: u32,
}

impl Balance {
    pub(super) fn of(labels: &[u32], n_classes: usize) -> Self {
        let mut rows_by_class = vec![0_u32; n_classes];
        for &label in labels {
            rows_by_class[label as usize] += 1;
        }
        let by_rows = |class: &u32| rows_by_class[*class as usize];
        let classes = 0..n_classes as u32;
        let rarest = classes.clone().min_by_key(by_rows).unwrap_or_default();
        // of several the last comes from `max_by_key`
        let commonest = classes.rev().max_by_key(by_rows).unwrap_or_default();
        let most = rows_by_class.get(commonest as usize).copied().unwrap_or_default();
        let least = rows_by_class.get(rarest as usize).copied().unwrap_or_default();
        let ratio = if most == 0 { 0.0 } else { f64::from(least) / f64::from(most) };
        let n_empty = rows_by_class.iter().filter(|&&n| n == 0).count() as u32;
        Self { rows_by_class, rarest, commonest, ratio, n_empty }
    }

    pub(super) fn judge(&self) -> (bool, String) {
        let rows = |class: u32| self.rows_by_class.get(class as usize).map_or(0, |&n| n as usize);
        let mut detail = format!(
            "the rarest class, {}, has {}, the commonest, {}, {}",
            self.rarest,
            count(rows(self.rarest), "sample"),
            self.commonest,
            count(rows(self.commonest), "sample")
        );
        if self.n_empty > 0 {
            detail += &format!("; {} of {} classes have none", self.n_empty, self.rows_by_class.len());
        }
        (self.ratio < LEAST_RATIO, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarest_and_the_commonest_are_told_with_their_ratio() {
        let balance = Balance::of(&[0, 0, 0, 0, 1, 1, 2, 2, 2, 2], 3);
        assert_eq!(balance.rows_by_class, [4, 2, 4]);
        assert_eq!((balance.rarest, balance.commonest, balance.ratio, balance.n_empty), (1, 0, 0.5, 0));
        let (warns, detail) = balance.judge();
        assert!(!warns);
        assert_eq!(detail, "the rarest class, 1, has 2 samples, the commonest, 0, 4 samples");
    }

    #[test]
    fn a_class_with_less_than_a_tenth_or_without_rows_is_a_warning() {
        let labels: Vec<u32> = (0..110).map(|row| u32::from(row >= 100)).collect();
        assert!(!Balance::of(&labels, 2).judge().0, "a tenth is enough");
        assert!(Balance::of(&labels[..109], 2).judge().0);
        let (warns, detail) = Balance::of(&[0, 1], 3).judge();
        assert!(warns && detail.ends_with("; 1 of 3 classes have none"), "{detail}");
        assert!(Balance::of(&[], 3).judge().0);
    }
}
