//! Which rows of the training file a recipe trains on, and which it keeps for measuring.

use super::Recipe;
use super::hash::{Purpose, falls_within, keyed_hash};

/// The parts of the training file, each a sorted list of row ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    pub train: Vec<u32>,
    /// Rows never trained on. Empty when the recipe trains on the whole file.
    pub held_out: Vec<u32>,
    /// Whether `test_accuracy` is measured on `held_out` instead of the official test set.
    pub tests_on_held_out: bool,
}

impl Split {
    /// Splits a training file of `n_rows` rows; `excluded` (sorted) are left out of `train`.
    ///
    /// `nn` trains on the first four fifths and tests on the rest; `debug` trains on everything;
    /// `standard` holds a part out, decided for each row by itself.
    pub fn new(recipe: &Recipe, n_rows: usize, excluded: &[u32]) -> Self {
        let rows = 0..u32::try_from(n_rows).expect("row ids fit u32");
        let wanted = |row: &u32| excluded.binary_search(row).is_err();
        match recipe {
            Recipe::Nn(_) => {
                let boundary = (n_rows as u64 * 4 / 5) as u32;
                Self {
                    train: (0..boundary).filter(wanted).collect(),
                    held_out: (boundary..rows.end).collect(),
                    tests_on_held_out: true,
                }
            }
            Recipe::Debug(_) => {
                Self { train: rows.filter(wanted).collect(), held_out: Vec::new(), tests_on_held_out: false }
            }
            Recipe::Standard(recipe) => {
                // by one key for all seeds: models trained with different seeds, a retrained one beside its
                // original, must agree on who is a non-member
                let is_held_out =
                    |row: &u32| falls_within(keyed_hash(0, Purpose::Holdout, 0, *row), recipe.holdout);
                let (held_out, train): (Vec<u32>, Vec<u32>) = rows.partition(is_held_out);
                let train = train.into_iter().filter(wanted).collect();
                Self { train, held_out, tests_on_held_out: false }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Reference, Standard};

    #[test]
    fn nn_trains_on_four_fifths_and_tests_on_the_rest() {
        let split = Split::new(&Recipe::Nn(Reference::nn(1)), 60_000, &[]);
        assert_eq!(split.train, (0..48_000).collect::<Vec<_>>());
        assert_eq!(split.held_out, (48_000..60_000).collect::<Vec<_>>());
        assert!(split.tests_on_held_out);
    }

    #[test]
    fn excluding_rows_takes_them_from_training_and_moves_no_other() {
        let recipe = Recipe::Standard(Standard::new(5));
        let whole = Split::new(&recipe, 10_000, &[]);
        let excluded: Vec<u32> = whole.train.iter().copied().step_by(3).collect();
        let rest = Split::new(&recipe, 10_000, &excluded);
        assert_eq!(rest.held_out, whole.held_out);
        assert_eq!(rest.train.len() + excluded.len(), whole.train.len());
        assert!(rest.train.iter().all(|row| excluded.binary_search(row).is_err()));
    }

    #[test]
    fn every_seed_holds_out_the_same_rows() {
        let held_out = |seed| Split::new(&Recipe::Standard(Standard::new(seed)), 10_000, &[]).held_out;
        assert_eq!(held_out(1), held_out(2));
    }

    #[test]
    fn a_twentieth_is_held_out_and_never_trained_on() {
        let split = Split::new(&Recipe::Standard(Standard::new(5)), 60_000, &[]);
        assert_eq!(split.train.len() + split.held_out.len(), 60_000);
        assert!((2_790..=3_210).contains(&split.held_out.len()), "{}", split.held_out.len());
        assert!(split.held_out.iter().all(|row| split.train.binary_search(row).is_err()));
    }
}
