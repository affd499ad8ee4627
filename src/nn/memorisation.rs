//! Whether a network knows the rule or the labels it was shown: early learning and memorisation, told apart.
//!
//! A network answers wrong labels by their true ones first and memorises what it was told later (Arpit et al. 2017,
//! arXiv:1706.05394; Liu et al. 2020, arXiv:2007.00151, whose three curves these are). One that is shown other features
//! than those its labels belong to learns in the same way.

use super::loss::argmax;
use super::{Evaluator, Mlp, Pairs, Samples};

/// Samples looked at, at most: a share of so many is right to 1.1 points with 95 % confidence.
const N_SAMPLES: usize = 8_192;

/// Looks at always the same samples, evenly spread over the training, as it pairs them.
#[derive(Debug)]
pub struct Memorisation {
    /// Those whose truth is known.
    pairs: Pairs,
    /// The true label of each.
    truth: Vec<u32>,
}

/// What was seen; `None` where there was no such sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memorised {
    /// Share of the samples with a right label whose label is answered.
    pub clean_accuracy: Option<f64>,
    /// Share of the samples with a wrong label whose true label is answered.
    pub mislabelled_accuracy: Option<f64>,
    /// Share of the samples with a wrong label whose wrong label, the one trained with, is answered.
    pub memorised: Option<f64>,
}

impl Memorisation {
    /// `truth_of` a row is what its features show, if that is known.
    pub fn new(pairs: &Pairs, truth_of: impl Fn(u32) -> Option<u32>) -> Self {
        let spread = pairs.spread(N_SAMPLES);
        let mut known = Self { pairs: Pairs { features_of: vec![], label_of: vec![] }, truth: vec![] };
        for (&features, &label) in spread.features_of.iter().zip(&spread.label_of) {
            if let Some(truth) = truth_of(features) {
                known.pairs.features_of.push(features);
                known.pairs.label_of.push(label);
                known.truth.push(truth);
            }
        }
        known
    }

    pub fn look(&self, evaluator: &mut Evaluator, mlp: &Mlp, samples: Samples<'_>) -> Memorised {
        let (mut clean, mut true_of_wrong, mut memorised) =
            (Share::default(), Share::default(), Share::default());
        let mut truth = self.truth.iter();
        evaluator.for_each_pair(mlp, samples, &self.pairs, |label_row, logits| {
            let (label, answer) = (samples.label(label_row as usize), argmax(logits));
            let truth = *truth.next().expect("one for every sample");
            if label == truth {
                clean.add(answer == label);
            } else {
                true_of_wrong.add(answer == truth);
                memorised.add(answer == label);
            }
        });
        Memorised {
            clean_accuracy: clean.value(),
            mislabelled_accuracy: true_of_wrong.value(),
            memorised: memorised.value(),
        }
    }
}

#[derive(Default)]
struct Share {
    n: u32,
    n_hits: u32,
}

impl Share {
    fn add(&mut self, hit: bool) {
        self.n += 1;
        self.n_hits += u32::from(hit);
    }

    fn value(&self) -> Option<f64> {
        (self.n > 0).then(|| f64::from(self.n_hits) / f64::from(self.n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Faults, Features, Recipe, Reference, Shape};

    /// Answers class 0 for features below zero and class 1 above; class 2 never.
    fn sign() -> Mlp {
        let shape = Shape { widths: vec![1, 3], output_relu: false };
        Mlp::from_params(shape, &[-1.0, 1.0, 0.0, 0.0, 0.0, -9.0])
    }

    fn look(pairs: &Pairs, features: &[f32], labels: &[u32], truth: &[Option<u32>]) -> Memorised {
        let samples = Samples::new(Features::F32(features), labels, 1, 3);
        let mlp = sign();
        let memorisation = Memorisation::new(pairs, |row| truth[row as usize]);
        memorisation.look(&mut Evaluator::new(mlp.shape()), &mlp, samples)
    }

    fn aligned(rows: &[u32]) -> Pairs {
        Pairs { features_of: rows.to_vec(), label_of: rows.to_vec() }
    }

    #[test]
    fn right_and_wrong_labels_are_counted_apart() {
        let features = [-1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0];
        let labels = [0, 1, 1, 0, 1, 2, 2];
        // what the signs show, but for row 5, in truth 0; of row 6 nobody knows
        let truth = [Some(0), Some(0), Some(1), Some(1), Some(0), Some(0), None];
        let seen = look(&aligned(&[0, 1, 2, 3, 4, 5, 6]), &features, &labels, &truth);
        assert_eq!(seen.clean_accuracy, Some(1.0));
        // rows 1, 3, 4 and 5 are labelled wrong: the truth is answered for all but the last
        assert_eq!((seen.mislabelled_accuracy, seen.memorised), (Some(0.75), Some(0.0)));
        let memorised = look(&aligned(&[5, 6]), &features, &[1; 7], &[Some(0); 7]);
        let expected =
            Memorised { clean_accuracy: None, mislabelled_accuracy: Some(0.0), memorised: Some(1.0) };
        assert_eq!(memorised, expected);
        assert_eq!(look(&aligned(&[]), &features, &labels, &truth), Memorised::default());
    }

    #[test]
    fn in_a_misaligned_mini_batch_the_truth_is_that_of_the_features_shown() {
        let features = [-1.0, 1.0, 1.0, -1.0, 1.0];
        let labels = [0, 0, 1, 1, 0];
        let truth = labels.map(Some);
        let pairs = Pairs::of(&Recipe::Nn(Reference { faults: Faults::NN, ..Reference::nn(1) }), 6, &[]);
        assert_eq!((&*pairs.features_of, &*pairs.label_of), (&[0; 4][..], &[0, 1, 2, 3][..]));
        let seen = look(&pairs, &features, &labels, &truth);
        let expected =
            Memorised { clean_accuracy: Some(1.0), mislabelled_accuracy: Some(1.0), memorised: Some(0.0) };
        assert_eq!(seen, expected);
    }

    #[test]
    fn of_many_samples_some_are_looked_at_all_over_the_training() {
        let n = 20_000;
        let rows: Vec<u32> = (0..n).collect();
        let memorisation = Memorisation::new(&aligned(&rows), Some);
        assert_eq!(memorisation.truth.len(), N_SAMPLES);
        assert!(memorisation.truth.is_sorted_by(|a, b| a < b));
        assert_eq!((memorisation.truth[0], memorisation.truth[N_SAMPLES / 2]), (0, n / 2));
    }
}
