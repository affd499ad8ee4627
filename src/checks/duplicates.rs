//! Are rows there more than once, with several labels, or in the test as well?

use super::Subject;
use super::stats::{count, percent, share};
use crate::nn::{Features, Samples};
use serde::Serialize;
use utoipa::ToSchema;

/// A part of the rows, of each kind, that is no accident any more.
const MOST: f64 = 0.01;

/// Rows with the same features, bit for bit, each with its own label.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = DuplicatesCheck)]
pub struct Duplicates {
    pub n_rows: u32,
    /// Training rows that an earlier training row is equal to.
    pub n_duplicates: u32,
    /// Training rows that equal one with another label.
    pub n_contradicting: u32,
    pub n_tested: u32,
    /// Test rows that a training row is equal to: what is measured on them is memory.
    pub n_tested_in_training: u32,
}

impl Duplicates {
    /// Of the rows whose labels are learned, whatever features the recipe shows with them.
    pub(super) fn of(subject: &Subject<'_>) -> Self {
        let (train, test) = (Table(subject.train), Table(subject.test));
        let mut rows: Vec<(u64, u32)> =
            subject.pairs.label_of.iter().map(|&row| (train.hash(row), row)).collect();
        rows.sort_unstable();
        let (mut n_duplicates, mut n_contradicting) = (0, 0);
        for same_hash in rows.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1) {
            for equal in groups(train, same_hash) {
                n_duplicates += equal.len() - 1;
                let label = |row: u32| subject.train.label(row as usize);
                if equal.iter().any(|&row| label(row) != label(equal[0])) {
                    n_contradicting += equal.len();
                }
            }
        }
        let is_in_training = |&row: &u32| {
            let hash = test.hash(row);
            let from = rows.partition_point(|&(other, _)| other < hash);
            let same_hash = rows[from..].iter().take_while(|&&(other, _)| other == hash);
            let mut rows = same_hash.map(|&(_, row)| row);
            rows.any(|other| test.equals(row, train, other))
        };
        Self {
            n_rows: rows.len() as u32,
            n_duplicates: n_duplicates as u32,
            n_contradicting: n_contradicting as u32,
            n_tested: subject.tested.len() as u32,
            n_tested_in_training: subject.tested.iter().filter(|row| is_in_training(row)).count() as u32,
        }
    }

    pub(super) fn judge(&self) -> (bool, String) {
        let of_rows = |n: u32| share(n as usize, self.n_rows as usize);
        let leaked = share(self.n_tested_in_training as usize, self.n_tested as usize);
        let warns = [of_rows(self.n_duplicates), of_rows(self.n_contradicting), leaked];
        let detail = format!(
            "{} of {} ({}) repeat an earlier one, {} contradict another's label; {} of {} ({}) are among those trained on",
            self.n_duplicates,
            count(self.n_rows as usize, "training row"),
            percent(warns[0]),
            self.n_contradicting,
            self.n_tested_in_training,
            count(self.n_tested as usize, "test row"),
            percent(leaked)
        );
        (warns.iter().any(|&share| share > MOST), detail)
    }
}

/// Rows of the same hash by what they really are, as lists of equal ones.
fn groups(table: Table<'_>, same_hash: &[(u64, u32)]) -> Vec<Vec<u32>> {
    let mut groups: Vec<Vec<u32>> = Vec::new();
    for &(_, row) in same_hash {
        match groups.iter_mut().find(|group| table.equals(group[0], table, row)) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

#[derive(Clone, Copy)]
struct Table<'a>(Samples<'a>);

impl Table<'_> {
    fn features(&self, row: u32) -> Features<'_> {
        let d = self.0.n_features();
        self.0.features().slice(row as usize * d..(row as usize + 1) * d)
    }

    /// Of a row's bits: words taken in by multiplication and rotation, good enough to tell rows apart that nobody made to
    /// collide. What it takes for equal is compared.
    fn hash(&self, row: u32) -> u64 {
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        let absorb = |state: u64, word: u64| (state ^ word).wrapping_mul(MULTIPLIER).rotate_left(29);
        match self.features(row) {
            Features::U8(bytes) => {
                let (words, rest) = bytes.as_chunks::<8>();
                let state = words.iter().fold(1, |state, word| absorb(state, u64::from_le_bytes(*word)));
                rest.iter().fold(state, |state, &byte| absorb(state, u64::from(byte)))
            }
            Features::F32(values) => {
                values.iter().fold(2, |state, value| absorb(state, u64::from(value.to_bits())))
            }
        }
    }

    fn equals(&self, row: u32, other: Table<'_>, other_row: u32) -> bool {
        match (self.features(row), other.features(other_row)) {
            (Features::U8(a), Features::U8(b)) => a == b,
            (Features::F32(a), Features::F32(b)) => {
                a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits()))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(train: Features<'_>, labels: &[u32], test: Features<'_>, d: usize) -> Duplicates {
        let test_labels = vec![0; test.len() / d];
        let subject =
            Subject::as_stored(Samples::new(train, labels, d, 3), Samples::new(test, &test_labels, d, 3));
        Duplicates::of(&subject)
    }

    #[test]
    fn copies_contradictions_and_leaks_are_counted_as_by_looking_at_every_pair() {
        const D: usize = 11;
        // few different rows, so that there are many of each
        let row = |i: usize| (0..D).map(move |j| ((i * i + 3 * i) % 17 * (j + 1)) as u8);
        let train: Vec<u8> = (0..40).flat_map(row).collect();
        let labels: Vec<u32> = (0..40).map(|i| (i / 7 % 3) as u32).collect();
        let test: Vec<u8> = (38..60).flat_map(row).chain([255; D]).collect();
        let found = of(Features::U8(&train), &labels, Features::U8(&test), D);
        let at = |i: usize| &train[i * D..][..D];
        let copies = (0..40).filter(|&i| (0..i).any(|j| at(i) == at(j))).count();
        let contradicting =
            (0..40).filter(|&i| (0..40).any(|j| at(i) == at(j) && labels[i] != labels[j])).count();
        let leaked =
            test.chunks_exact(D).filter(|row| train.chunks_exact(D).any(|other| other == *row)).count();
        assert!(copies > 5 && contradicting > 5 && leaked > 5, "{found:?}");
        // `n_contradicting` counts whole groups in which labels differ: every one of them meets another label
        assert_eq!((found.n_duplicates as usize, found.n_tested_in_training as usize), (copies, leaked));
        assert_eq!(found.n_contradicting as usize, contradicting);
        assert_eq!((found.n_rows, found.n_tested), (40, 23));
        assert!(found.judge().0);
    }

    #[test]
    fn floats_are_the_same_when_their_bits_are() {
        let found =
            of(Features::F32(&[0.0, 1.0, -0.0, 1.0, 0.0, 1.0]), &[0, 0, 0], Features::F32(&[0.0, 1.0]), 2);
        assert_eq!((found.n_duplicates, found.n_contradicting, found.n_tested_in_training), (1, 0, 1));
    }

    #[test]
    fn rows_that_only_share_a_hash_are_not_taken_for_equal() {
        let bytes = [1, 2, 1, 3, 1, 2];
        let table = Table(Samples::new(Features::U8(&bytes), &[0, 0, 0], 2, 1));
        assert_eq!(groups(table, &[(5, 0), (5, 1), (5, 2)]), [vec![0, 2], vec![1]]);
    }

    #[test]
    fn one_copy_among_many_rows_is_no_warning() {
        let train: Vec<u8> = (0..200).map(|i| i.min(198)).collect();
        let found = of(Features::U8(&train), &[0; 200], Features::U8(&[255]), 1);
        let (warns, detail) = found.judge();
        assert!(!warns);
        assert_eq!(
            detail,
            "1 of 200 training rows (0.5 %) repeat an earlier one, 0 contradict another's label; 0 of 1 test row (0.0 %) \
             are among those trained on"
        );
    }
}
