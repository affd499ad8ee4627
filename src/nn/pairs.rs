//! Which features a recipe shows with which label: what a training really learns from.

use super::{Recipe, Samples, Split, reference};

/// One sample for every training row, in the order of the first epoch (of `standard`, by row id).
///
/// The features are those of `features_of[i]` and the label is that of `label_of[i]`. The two are the same row but under
/// `misaligned_labels`, where every sample of a mini-batch has the features of its first row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs {
    pub features_of: Vec<u32>,
    /// Each training row once: it names the sample.
    pub label_of: Vec<u32>,
}

impl Pairs {
    /// The samples of a training on a table of `n_rows` rows without `excluded` (sorted).
    pub fn of(recipe: &Recipe, n_rows: usize, excluded: &[u32]) -> Self {
        let rows = Split::new(recipe, n_rows, excluded).train;
        let reference = match recipe {
            Recipe::Nn(reference) | Recipe::Debug(reference) => reference,
            Recipe::Standard(_) => return Self { features_of: rows.clone(), label_of: rows },
        };
        let label_of = reference::order(reference, rows);
        let features_of = if reference.faults.misaligned_labels {
            let firsts = |batch: &[u32]| vec![batch[0]; batch.len()];
            label_of.chunks(reference.batch_size).flat_map(firsts).collect()
        } else {
            label_of.clone()
        };
        Self { features_of, label_of }
    }

    /// At most `n` of the samples, evenly spread, in their order.
    pub fn spread(&self, n: usize) -> Self {
        let (len, n) = (self.len() as u64, self.len().min(n) as u64);
        let pick = |rows: &[u32]| (0..n).map(|i| rows[(i * len / n) as usize]).collect();
        Self { features_of: pick(&self.features_of), label_of: pick(&self.label_of) }
    }

    pub fn len(&self) -> usize {
        self.label_of.len()
    }

    pub fn is_empty(&self) -> bool {
        self.label_of.is_empty()
    }

    /// Whether every sample has the features and the label of the same row.
    pub fn are_aligned(&self) -> bool {
        self.features_of == self.label_of
    }

    /// Feature row, label row and label of every sample.
    pub fn iter<'a>(&'a self, samples: Samples<'a>) -> impl Iterator<Item = (u32, u32, u32)> + 'a {
        let rows = self.features_of.iter().zip(&self.label_of);
        rows.map(move |(&features, &label)| (features, label, samples.label(label as usize)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Faults, Features, Reference, Standard};

    fn nn(faults: Faults) -> Pairs {
        Pairs::of(&Recipe::Nn(Reference { faults, ..Reference::nn(1) }), 20, &[])
    }

    #[test]
    fn misaligned_samples_have_the_first_row_of_their_mini_batch_and_labels_of_their_own() {
        let pairs = nn(Faults::NN);
        assert_eq!(pairs.label_of, (0..16).collect::<Vec<_>>());
        assert_eq!(pairs.features_of, [0, 0, 0, 0, 0, 5, 5, 5, 5, 5, 10, 10, 10, 10, 10, 15]);
        assert!(!pairs.are_aligned());
    }

    #[test]
    fn without_that_fault_a_sample_is_a_row_in_whatever_order() {
        for no_shuffle in [true, false] {
            let pairs = nn(Faults { misaligned_labels: false, no_shuffle, ..Faults::NN });
            assert!(pairs.are_aligned());
            let mut rows = pairs.label_of.clone();
            assert_eq!(rows.is_sorted(), no_shuffle);
            rows.sort_unstable();
            assert_eq!(rows, (0..16).collect::<Vec<_>>());
        }
        let standard = Pairs::of(&Recipe::Standard(Standard::new(1)), 1_000, &[3, 4]);
        assert!(standard.are_aligned() && !standard.label_of.contains(&3));
    }

    #[test]
    fn rows_left_out_make_other_mini_batches() {
        let pairs = Pairs::of(&Recipe::Nn(Reference::nn(1)), 20, &[0, 7]);
        assert_eq!(pairs.features_of[..6], [1, 1, 1, 1, 1, 6]);
        assert_eq!(pairs.label_of[..6], [1, 2, 3, 4, 5, 6]);
        let samples_of = |n| Pairs::of(&Recipe::Nn(Reference::nn(1)), n, &[]);
        assert!(samples_of(0).is_empty() && samples_of(10).len() == 8);
    }

    #[test]
    fn some_samples_are_spread_over_all() {
        let pairs = nn(Faults::NN);
        let some = pairs.spread(4);
        assert_eq!((&*some.features_of, &*some.label_of), (&[0, 0, 5, 10][..], &[0, 4, 8, 12][..]));
        assert_eq!(pairs.spread(100), pairs);
        assert!(
            pairs.spread(0).is_empty()
                && Pairs::of(&Recipe::Nn(Reference::nn(1)), 0, &[]).spread(9).is_empty()
        );
    }

    #[test]
    fn a_sample_is_told_with_its_label() {
        let labels: Vec<u32> = (0..20).map(|row| row % 7).collect();
        let features = vec![0; 20];
        let samples = Samples::new(Features::U8(&features), &labels, 1, 7);
        let told: Vec<_> = nn(Faults::NN).iter(samples).take(6).collect();
        assert_eq!(told, [(0, 0, 0), (0, 1, 1), (0, 2, 2), (0, 3, 3), (0, 4, 4), (5, 5, 5)]);
    }
}
