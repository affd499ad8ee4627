//! How far two weighted distributions lie apart: the check that forget rows do not stand out, by too little loss
//! or by too much.

use super::membership::{Scored, effective};

/// A distance with what chance alone makes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Distance {
    /// `sup |F(x) − G(x)|`, from 0 to 1.
    pub(super) value: f64,
    /// What so many rows of one distribution exceed in one case of twenty.
    pub(super) resolution: f64,
}

/// Factor of the two-sample Kolmogorov–Smirnov test at 5 % (Smirnov 1948, Ann. Math. Statist. 19).
const CRITICAL: f64 = 1.358;

/// The two-sample Kolmogorov–Smirnov distance of weighted rows; the effective number of rows is Kish's. `None`
/// if either side is empty.
pub(super) fn distance(first: &[Scored], second: &[Scored]) -> Option<Distance> {
    let total = |rows: &[Scored]| rows.iter().map(|&(_, weight)| weight).sum::<f64>();
    let (total_first, total_second) = (total(first), total(second));
    if total_first <= 0.0 || total_second <= 0.0 {
        return None;
    }
    let mut steps: Vec<(f64, f64)> = first.iter().map(|&(x, weight)| (x, weight / total_first)).collect();
    steps.extend(second.iter().map(|&(x, weight)| (x, -weight / total_second)));
    steps.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let (mut difference, mut value) = (0.0f64, 0.0f64);
    for tied in steps.chunk_by(|a, b| a.0 == b.0) {
        difference += tied.iter().map(|step| step.1).sum::<f64>();
        value = value.max(difference.abs());
    }
    let resolution = CRITICAL * (1.0 / effective(first) + 1.0 / effective(second)).sqrt();
    Some(Distance { value: value.min(1.0), resolution })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_definition(first: &[Scored], second: &[Scored]) -> f64 {
        let below = |rows: &[Scored], x: f64| {
            let total: f64 = rows.iter().map(|row| row.1).sum();
            rows.iter().filter(|row| row.0 <= x).map(|row| row.1).sum::<f64>() / total
        };
        let at = first.iter().chain(second).map(|row| (below(first, row.0) - below(second, row.0)).abs());
        at.fold(0.0, f64::max)
    }

    proptest! {
        #[test]
        fn the_walk_finds_the_supremum(
            first in prop::collection::vec((0u8..20, 1u8..5), 1..40),
            second in prop::collection::vec((0u8..20, 1u8..5), 1..40),
        ) {
            let wide = |rows: Vec<(u8, u8)>| rows.into_iter().map(|(x, w)| (f64::from(x), f64::from(w))).collect::<Vec<_>>();
            let (first, second) = (wide(first), wide(second));
            let found = distance(&first, &second).unwrap();
            prop_assert!((found.value - by_definition(&first, &second)).abs() < 1e-12);
            prop_assert!((found.value - distance(&second, &first).unwrap().value).abs() < 1e-12);
        }
    }

    #[test]
    fn rows_apart_in_either_direction_are_one_apart_and_equal_ones_not_at_all() {
        let (low, high) = ([(0.1, 1.0), (0.2, 1.0)], [(1.0, 1.0), (2.0, 1.0)]);
        assert_eq!(distance(&low, &high).unwrap().value, 1.0);
        assert_eq!(distance(&high, &low).unwrap().value, 1.0);
        assert_eq!(distance(&low, &low).unwrap().value, 0.0);
    }

    #[test]
    fn more_rows_resolve_more() {
        let rows = |n: u32| (0..n).map(|i| (f64::from(i), 2.0)).collect::<Vec<_>>();
        let found = distance(&rows(600), &rows(600)).unwrap().resolution;
        assert!((found - 1.358 * (2.0f64 / 600.0).sqrt()).abs() < 1e-12);
        assert!(found < distance(&rows(60), &rows(60)).unwrap().resolution);
    }

    #[test]
    fn nobody_to_compare_with_is_no_result() {
        assert_eq!(distance(&[(1.0, 1.0)], &[]), None);
    }
}
