//! Which features say nothing, because they are the same in every row?

use super::stats::{count, percent, share};
use crate::nn::{Features, Samples};
use serde::Serialize;
use utoipa::ToSchema;

/// Pictures have margins; but where more features than this never change, something was lost on the way.
const MOST_CONSTANT: f64 = 0.9;

/// Features with the same value in every row shown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = ConstantsCheck)]
pub struct Constants {
    pub n_constant: u32,
    pub n_features: u32,
    /// Of all features.
    pub share: f64,
}

impl Constants {
    pub(super) fn of(samples: Samples<'_>, rows: &[u32]) -> Self {
        let d = samples.n_features();
        let n_constant = if rows.is_empty() {
            0
        } else {
            match samples.features() {
                Features::U8(values) => constant(values, d, rows),
                Features::F32(values) => constant(values, d, rows),
            }
        };
        Self { n_constant: n_constant as u32, n_features: d as u32, share: share(n_constant, d) }
    }

    pub(super) fn judge(&self) -> (bool, String) {
        let of = count(self.n_features as usize, "feature");
        let detail =
            format!("{} of {of} ({}) have the same value in every row", self.n_constant, percent(self.share));
        (self.share > MOST_CONSTANT, detail)
    }
}

fn constant<T: PartialEq>(values: &[T], d: usize, rows: &[u32]) -> usize {
    let row = |row: u32| &values[row as usize * d..][..d];
    let first = row(rows[0]);
    let mut left: Vec<usize> = (0..d).collect();
    for &other in &rows[1..] {
        let other = row(other);
        left.retain(|&feature| other[feature] == first[feature]);
    }
    left.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_that_never_change_are_counted_among_the_rows_shown() {
        let values = [1.0, 2.0, 3.0, 1.0, 0.0, 3.0, 1.0, 2.0, 9.0];
        let samples = Samples::new(Features::F32(&values), &[0, 1, 0], 3, 2);
        assert_eq!(Constants::of(samples, &[0, 1, 2]).n_constant, 1);
        assert_eq!(Constants::of(samples, &[0, 1]).n_constant, 2);
        let alone = Constants::of(samples, &[2]);
        assert_eq!((alone.n_constant, alone.share), (3, 1.0));
        assert!(alone.judge().0 && !Constants::of(samples, &[0, 1]).judge().0);
        assert_eq!(Constants::of(samples, &[]).n_constant, 0);
    }
}
