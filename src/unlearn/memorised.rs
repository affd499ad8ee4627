//! Which rows a network has memorised: those it answers only because it was trained on them.

use super::retrain::{train_side_by_side, with_seed};
use super::{Observer, UnlearnError, go_on};
use crate::nn::hash::{Purpose, keyed_hash};
use crate::nn::loss::softmax;
use crate::nn::team::Team;
use crate::nn::{Evaluator, Problem, Recipe, Split};

/// Parts the rows fall into; a network is trained without each.
pub const N_FOLDS: usize = 4;

/// How far each trained row is memorised: the probability networks trained with it give to its label, less that
/// of a network trained without it; −1 … 1, in the order of the rows.
///
/// Memorisation as Feldman & Zhang 2020 (NeurIPS, "What neural networks memorize and why") define it, estimated
/// from [`N_FOLDS`] networks: every row falls into one of as many folds by keyed hash of (`seed`, row), and each
/// network is trained by `recipe`, with a seed of its own, without one fold. `with` is the mean over the three that
/// had the row, `without` the fourth. Rows of `problem.excluded` are in no network and have no score.
///
/// The same arguments give the same bits, on any number of threads.
///
/// # Errors
///
/// [`UnlearnError::Interrupted`] when the observer stops it, [`UnlearnError::Train`] when a training diverges or
/// has no rows left.
pub fn memorisation(
    recipe: &Recipe,
    problem: &Problem<'_>,
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<Vec<(u32, f64)>, UnlearnError> {
    let detail = format!("training {N_FOLDS} networks, each without a part of the rows");
    go_on(observer.on_phase("select", &detail))?;
    let rows = Split::new(recipe, problem.train.n_rows(), problem.excluded).train;
    let folds: Vec<usize> = rows.iter().map(|&row| fold_of(seed, row)).collect();
    let excluded: [Vec<u32>; N_FOLDS] = std::array::from_fn(|fold| {
        let left_out = rows.iter().zip(&folds).filter(|&(_, &own)| own == fold).map(|(&row, _)| row);
        let mut all: Vec<u32> = problem.excluded.iter().copied().chain(left_out).collect();
        all.sort_unstable();
        all
    });
    let orders: Vec<(Recipe, Problem<'_>)> = (1..)
        .zip(&excluded)
        .map(|(number, excluded)| {
            let own_seed = keyed_hash(seed, Purpose::Fold, number, 0);
            (with_seed(recipe, own_seed), Problem { excluded, ..*problem })
        })
        .collect();
    let models = train_side_by_side(&orders, observer)?;

    go_on(observer.on_phase("select", "looking for the rows only networks trained on them know"))?;
    let mut scores: Vec<(u32, f64)> = rows.iter().map(|&row| (row, 0.0)).collect();
    for (fold, model) in models.iter().enumerate() {
        let mut evaluator = Evaluator::new(model.shape());
        evaluator.set_team(Team::of(observer.threads()));
        let mut scored = scores.iter_mut().zip(&folds);
        let mut probabilities = vec![0.0; problem.train.n_classes()];
        evaluator.for_each(model, problem.train, &rows, |row, logits| {
            probabilities.copy_from_slice(logits);
            softmax(&mut probabilities);
            let known = f64::from(probabilities[problem.train.label(row as usize) as usize]);
            if let Some(((_, score), &own)) = scored.next() {
                *score += if own == fold { -known } else { known / (N_FOLDS - 1) as f64 };
            }
        });
    }
    Ok(scores)
}

/// The `n_rows` most memorised rows, sorted by id; of rows as memorised as each other, those of lower ids. All of
/// them if there are fewer. See [`memorisation`] for the measure and the errors.
pub fn most_memorised(
    recipe: &Recipe,
    problem: &Problem<'_>,
    n_rows: usize,
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<Vec<u32>, UnlearnError> {
    let mut scores = memorisation(recipe, problem, seed, observer)?;
    scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut rows: Vec<u32> = scores.into_iter().take(n_rows).map(|(row, _)| row).collect();
    rows.sort_unstable();
    Ok(rows)
}

fn fold_of(seed: u64, row: u32) -> usize {
    // the top bits of a uniform number
    ((u128::from(keyed_hash(seed, Purpose::Fold, 0, row)) * N_FOLDS as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::super::tests::Silent;
    use super::*;
    use crate::nn::twin::{Net, image, problem_data, softmax as softmax_f64};
    use crate::nn::{BatchReport, Features, Samples, Standard, train};
    use crate::unlearn::UnlearnEpoch;
    use std::num::NonZeroUsize;
    use std::ops::ControlFlow;

    const WIDTH: usize = 40;
    const N_ROWS: usize = 300;

    fn recipe() -> Recipe {
        Recipe::Standard(Standard {
            hidden: vec![32],
            epochs: 40,
            batch_size: 16,
            learning_rate: 0.1,
            holdout: 0.1,
            ..Standard::new(5)
        })
    }

    /// Rows a network learns, every 25th with the label of another class.
    fn noisy() -> (Vec<u8>, Vec<u32>) {
        let (pixels, mut labels) = problem_data(N_ROWS, WIDTH, 4);
        labels.iter_mut().step_by(25).for_each(|label| *label = (*label + 2) % 4);
        (pixels, labels)
    }

    fn samples<'a>((pixels, labels): &'a (Vec<u8>, Vec<u32>)) -> Samples<'a> {
        Samples::new(Features::U8(pixels), labels, WIDTH, 4)
    }

    /// The definition, one network and one row at a time.
    fn by_definition(problem: &Problem<'_>, seed: u64) -> Vec<(u32, f64)> {
        let rows = Split::new(&recipe(), N_ROWS, problem.excluded).train;
        let nets: Vec<Net> = (0..4)
            .map(|fold| {
                let left_out = |row: &u32| {
                    keyed_hash(seed, Purpose::Fold, 0, *row) >> 62 == fold || problem.excluded.contains(row)
                };
                let excluded: Vec<u32> = (0..N_ROWS as u32).filter(left_out).collect();
                let own = with_seed(&recipe(), keyed_hash(seed, Purpose::Fold, fold as u32 + 1, 0));
                let problem = Problem { excluded: &excluded, ..*problem };
                Net::of(&train(&own, &problem, &mut Silent).unwrap().model)
            })
            .collect();
        let score = |row: u32| {
            let label = problem.train.label(row as usize) as usize;
            let known =
                |net: &Net| softmax_f64(net.forward(&image(problem.train, row)).last().unwrap())[label];
            let fold = (keyed_hash(seed, Purpose::Fold, 0, row) >> 62) as usize;
            let with: Vec<f64> =
                (0..4).filter(|&other| other != fold).map(|other| known(&nets[other])).collect();
            with.iter().sum::<f64>() / 3.0 - known(&nets[fold])
        };
        rows.into_iter().map(|row| (row, score(row))).collect()
    }

    #[test]
    fn the_score_is_its_definition() {
        let data = noisy();
        let excluded = [3, 50, 51, 200];
        let problem = Problem { train: samples(&data), excluded: &excluded, test: samples(&data) };
        let found = memorisation(&recipe(), &problem, 7, &mut Silent).unwrap();
        let wanted = by_definition(&problem, 7);
        assert_eq!(found.len(), wanted.len());
        for ((row, score), (other, definition)) in found.iter().zip(&wanted) {
            assert_eq!(row, other);
            assert!(!excluded.contains(row));
            assert!((score - definition).abs() < 1e-4, "row {row}: {score}, {definition}");
        }
    }

    #[test]
    fn rows_with_a_wrong_label_are_the_most_memorised() {
        let data = noisy();
        let problem = Problem { train: samples(&data), excluded: &[], test: samples(&data) };
        let wrong: Vec<u32> =
            Split::new(&recipe(), N_ROWS, &[]).train.into_iter().filter(|row| row % 25 == 0).collect();
        let found = most_memorised(&recipe(), &problem, wrong.len(), 7, &mut Silent).unwrap();
        assert_eq!(found.len(), wrong.len());
        assert!(found.is_sorted());
        let n_found = found.iter().filter(|row| wrong.contains(row)).count();
        // by chance it would be one of twelve
        assert!(2 * n_found >= wrong.len(), "{n_found} of {}: {found:?}", wrong.len());
    }

    /// Looks on with so many threads, and stops at the given mini-batch.
    struct Watcher {
        n_threads: usize,
        batches_left: u32,
    }

    impl Observer for Watcher {
        fn on_batch(&mut self, _: &BatchReport) -> ControlFlow<()> {
            self.batches_left = self.batches_left.saturating_sub(1);
            if self.batches_left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        fn on_epoch(&mut self, _: &UnlearnEpoch) -> ControlFlow<()> {
            unreachable!("choosing rows is no method's pass")
        }
        fn on_phase(&mut self, phase: &str, _: &str) -> ControlFlow<()> {
            assert_eq!(phase, "select");
            ControlFlow::Continue(())
        }
        fn threads(&mut self) -> NonZeroUsize {
            NonZeroUsize::new(self.n_threads).unwrap()
        }
    }

    #[test]
    fn threads_decide_no_bit_and_the_seed_does() {
        let data = noisy();
        let problem = Problem { train: samples(&data), excluded: &[], test: samples(&data) };
        let scores = |n_threads, seed| {
            let mut watcher = Watcher { n_threads, batches_left: u32::MAX };
            memorisation(&recipe(), &problem, seed, &mut watcher).unwrap()
        };
        assert_eq!(scores(1, 7), scores(3, 7));
        assert_ne!(scores(1, 7), scores(1, 8));
    }

    #[test]
    fn choosing_stops_when_told_to() {
        let data = noisy();
        let problem = Problem { train: samples(&data), excluded: &[], test: samples(&data) };
        let mut watcher = Watcher { n_threads: 2, batches_left: 5 };
        let stopped = most_memorised(&recipe(), &problem, 10, 7, &mut watcher);
        assert_eq!(stopped, Err(UnlearnError::Interrupted));
    }
}
