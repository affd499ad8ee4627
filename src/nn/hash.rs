//! Keyed hashing of row ids: every random choice about a row depends on that row alone.
//!
//! Because a row's place never depends on which other rows exist, removing rows leaves the order of
//! the others as it was. That is what makes a retrained model comparable, and a run repeatable.

/// What a hash is for; different purposes give independent values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The order of rows in an epoch.
    Order,
    /// Whether a row is kept out of training.
    Holdout,
    /// Whether a row is in a random forget set.
    ForgetSample,
    /// The order of rows in an unlearning method's pass.
    UnlearnOrder,
    /// Which rows a probe looks at.
    Probe,
    /// Which wrong label a row is taught.
    WrongLabel,
    /// Which rows a method draws from the retained ones.
    RetainSample,
    /// Which member of an ensemble a row, or everything of its subject, is shown to.
    Shard,
    /// The seed of a member of an ensemble.
    Member,
    /// The seeds of a bank's networks.
    Bank,
    /// Which networks change places in an exchange test.
    Exchange,
    /// Rows planted into a dataset. Its number is fixed: published digests hang on it.
    Planted = 64,
    /// Rows made like planted ones, for comparison; never trained on.
    Lookalike = 65,
    /// Which part of the rows a row falls into when models are trained without each part in turn.
    Fold = 66,
    /// Which samples a check of the data looks at.
    Check = 67,
}

/// A 64-bit hash of `(seed, purpose, epoch, row)`, uniform in each argument; [`keyed_hash_wide`] of a row id.
pub fn keyed_hash(seed: u64, purpose: Purpose, epoch: u32, row: u32) -> u64 {
    keyed_hash_wide(seed, purpose, epoch, u64::from(row))
}

/// A 64-bit hash of `(seed, purpose, epoch, id)`, uniform in each argument, of ids wider than a row's: subjects.
///
/// Three rounds of the SplitMix64 finaliser (Steele, Lea & Flood 2014, OOPSLA, "Fast splittable
/// pseudorandom number generators"), one for each word absorbed.
pub fn keyed_hash_wide(seed: u64, purpose: Purpose, epoch: u32, id: u64) -> u64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let key = finalise(seed.wrapping_add(GOLDEN.wrapping_mul(purpose as u64 + 1)));
    let key = finalise(key ^ u64::from(epoch).wrapping_add(GOLDEN));
    finalise(key ^ id.wrapping_add(GOLDEN))
}

const fn finalise(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Whether the hash falls into the first `fraction` of its range.
pub fn falls_within(hash: u64, fraction: f64) -> bool {
    // 53 bits are exact in f64
    ((hash >> 11) as f64) < fraction * (1u64 << 53) as f64
}

/// Puts `rows` into the order of their hashes.
pub fn order_rows(rows: &mut [u32], scratch: &mut Vec<(u64, u32)>, seed: u64, purpose: Purpose, epoch: u32) {
    scratch.clear();
    scratch.extend(rows.iter().map(|&row| (keyed_hash(seed, purpose, epoch, row), row)));
    scratch.sort_unstable();
    for (slot, &(_, row)) in rows.iter_mut().zip(scratch.iter()) {
        *slot = row;
    }
}

/// The `n` of `rows` with the least hashes, in the order of these; all of them if there are no more.
pub fn sample_rows(rows: &[u32], n: usize, seed: u64, purpose: Purpose, epoch: u32) -> Vec<u32> {
    let mut hashed: Vec<(u64, u32)> =
        rows.iter().map(|&row| (keyed_hash(seed, purpose, epoch, row), row)).collect();
    if n < hashed.len() {
        hashed.select_nth_unstable(n);
        hashed.truncate(n);
    }
    hashed.sort_unstable();
    hashed.into_iter().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(mut rows: Vec<u32>, epoch: u32) -> Vec<u32> {
        order_rows(&mut rows, &mut Vec::new(), 7, Purpose::Order, epoch);
        rows
    }

    #[test]
    fn removing_rows_does_not_reorder_the_others() {
        let all = ordered((0..1000).collect(), 3);
        let without: Vec<u32> = all.iter().copied().filter(|row| row % 7 != 0).collect();
        assert_eq!(ordered((0..1000).filter(|row| row % 7 != 0).collect(), 3), without);
    }

    #[test]
    fn every_epoch_has_an_order_of_its_own() {
        assert_ne!(ordered((0..100).collect(), 1), ordered((0..100).collect(), 2));
    }

    #[test]
    fn a_sample_is_the_beginning_of_the_order_and_loses_only_rows_that_are_removed() {
        let rows: Vec<u32> = (0..1000).collect();
        let sample = |rows: &[u32], n| sample_rows(rows, n, 7, Purpose::Order, 3);
        let order = ordered(rows.clone(), 3);
        for n in [0, 1, 99, 1000, 2000] {
            assert_eq!(sample(&rows, n), order[..n.min(1000)]);
        }
        let kept: Vec<u32> = rows.into_iter().filter(|row| row % 7 != 0).collect();
        let before: Vec<u32> = order[..100].iter().copied().filter(|row| row % 7 != 0).collect();
        assert!(sample(&kept, 100).starts_with(&before));
    }

    #[test]
    fn a_fraction_of_the_rows_falls_within_it() {
        for fraction in [0.0, 0.05, 0.5, 1.0] {
            let hit = |row| falls_within(keyed_hash(1, Purpose::Holdout, 0, row), fraction);
            let share = (0..100_000).filter(|&row| hit(row)).count() as f64 / 1e5;
            // four standard deviations of a binomial share
            let bound = 4.0 * (fraction * (1.0 - fraction) / 1e5).sqrt();
            assert!((share - fraction).abs() <= bound, "{share} of {fraction}");
        }
    }

    #[test]
    fn hashes_stay_as_they_are_across_builds() {
        // from a separate implementation with unbounded integers
        assert_eq!(keyed_hash(0, Purpose::Order, 0, 0), 18152189527315630385);
        assert_eq!(keyed_hash(42, Purpose::Holdout, 3, 59_999), 5483503927836901606);
    }
}
