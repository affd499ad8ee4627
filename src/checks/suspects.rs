//! Which training rows probably have a wrong label?

use super::confident::Confident;
use super::stats::count;
use crate::nn::hash::{Purpose, keyed_hash};
use crate::nn::{
    BatchReport, Evaluator, Features, Problem, Recipe, Samples, Standard, Teller, TrainError, probabilities,
    run_all, train,
};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// Networks that are trained, each without one part of the rows.
const N_FOLDS: usize = 2;
/// Few: right labels are learned before wrong ones are learned by heart (Arpit et al. 2017, ICML, arXiv:1706.05394).
const EPOCHS: u32 = 3;
const HIDDEN: usize = 64;
/// Rounds of cross-validation where many rows are suspected, at most.
const MOST_ROUNDS: usize = 4;
/// Many: as large a share of the rows. With fewer wrong labels another round finds hardly more of them, and doubts more
/// right ones.
const MANY: f64 = 0.25;

/// Rows whose labels are suspected to be wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspects {
    /// Sorted.
    pub rows: Vec<u32>,
    /// Estimated share of wrong labels, with its 95 % confidence interval.
    pub noise: f64,
    pub noise_interval: (f64, f64),
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum SuspectError {
    /// It was asked to stop.
    #[error("stopped")]
    Interrupted,
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// Finds, among `rows` (sorted), those whose label a network that was not trained on them finds unlikely.
///
/// Cross-validation gives every row probabilities by a network that has not seen it, and confident learning (Northcutt,
/// Jiang & Chuang 2021, arXiv:1911.00068; "prune by noise rate") says how many labels are wrong and which. Each row falls
/// into one of [`N_FOLDS`] parts by keyed hash of (`seed`, row).
///
/// Where many are found, they are left out and the rest is trained on again, up to [`MOST_ROUNDS`] times (as Chen et al.
/// 2019, ICML, arXiv:1905.05040, iterate cross-validation): networks that saw fewer wrong labels know better.
///
/// The same arguments give the same bits on any number of threads. `keep_going` hears of mini-batches, though not of
/// every one.
///
/// # Errors
///
/// [`SuspectError::Interrupted`] when `keep_going` says stop, [`SuspectError::Train`] when a training diverges or a part
/// has no rows.
pub fn suspects(
    samples: Samples<'_>,
    rows: &[u32],
    seed: u64,
    n_threads: NonZeroUsize,
    keep_going: &mut dyn FnMut(&BatchReport) -> ControlFlow<()>,
) -> Result<Suspects, SuspectError> {
    let mut found = round(samples, rows, &[], seed, n_threads, keep_going)?;
    for _ in 1..MOST_ROUNDS {
        if (found.rows.len() as f64) < MANY * rows.len() as f64 {
            break;
        }
        found = round(samples, rows, &found.rows, seed, n_threads, keep_going)?;
    }
    Ok(found)
}

/// As [`suspects`], by networks that are trained without the rows `left_out` (sorted).
fn round(
    samples: Samples<'_>,
    rows: &[u32],
    left_out: &[u32],
    seed: u64,
    n_threads: NonZeroUsize,
    keep_going: &mut dyn FnMut(&BatchReport) -> ControlFlow<()>,
) -> Result<Suspects, SuspectError> {
    let n_rows = u32::try_from(samples.n_rows()).expect("row ids fit u32");
    let jobs: Vec<Job> = (0..N_FOLDS)
        .map(|fold| {
            let (own, others): (Vec<u32>, Vec<u32>) =
                rows.iter().copied().partition(|row| fold_of(seed, *row) == fold);
            let is_trained_on =
                |row: &u32| others.binary_search(row).is_ok() && left_out.binary_search(row).is_err();
            let excluded = (0..n_rows).filter(|row| !is_trained_on(row)).collect();
            Job { recipe: recipe(keyed_hash(seed, Purpose::Fold, fold as u32 + 1, 0)), own, excluded }
        })
        .collect();
    let answers = run_all(&jobs, n_threads, keep_going, |job, teller| answers_without(job, samples, teller));
    let n_classes = samples.n_classes();
    let mut known: Vec<(u32, Vec<f32>)> = Vec::with_capacity(rows.len());
    for (job, answers) in jobs.iter().zip(answers) {
        let answers = answers?;
        known.extend(job.own.iter().copied().zip(answers.chunks_exact(n_classes).map(<[f32]>::to_vec)));
    }
    known.sort_unstable_by_key(|&(row, _)| row);
    let labels: Vec<u32> = known.iter().map(|&(row, _)| samples.label(row as usize)).collect();
    let probabilities: Vec<f32> = known.iter().flat_map(|(_, answer)| answer).copied().collect();
    let found = Confident::of(&labels, &probabilities, n_classes);
    let wrong = found.wrong(&labels, &probabilities);
    let noise = found.noise();
    Ok(Suspects {
        rows: wrong.into_iter().map(|place| known[place].0).collect(),
        noise: noise.share,
        noise_interval: noise.interval,
    })
}

/// A network, and the rows it is asked about because it is not trained on them.
struct Job {
    recipe: Recipe,
    own: Vec<u32>,
    /// Every row it is not trained on. Sorted.
    excluded: Vec<u32>,
}

fn recipe(seed: u64) -> Recipe {
    Recipe::Standard(Standard { hidden: vec![HIDDEN], epochs: EPOCHS, holdout: 0.0, ..Standard::new(seed) })
}

/// Trains the job's network; the probabilities it gives to the classes of the job's own rows, row after row.
fn answers_without(
    job: &Job,
    samples: Samples<'_>,
    teller: &mut Teller<'_>,
) -> Result<Vec<f32>, SuspectError> {
    // nobody looks at how well it does
    let no_test = Samples::new(Features::U8(&[]), &[], samples.n_features(), samples.n_classes());
    let problem = Problem { train: samples, excluded: &job.excluded, test: no_test };
    let trained = train(&job.recipe, &problem, teller)?;
    if !trained.completed {
        return Err(SuspectError::Interrupted);
    }
    let n_classes = samples.n_classes();
    let mut answers = Vec::with_capacity(job.own.len() * n_classes);
    Evaluator::new(trained.model.shape())
        .for_each(&trained.model, samples, &job.own, |_, logits| answers.extend_from_slice(logits));
    probabilities(&mut answers, n_classes);
    Ok(answers)
}

fn fold_of(seed: u64, row: u32) -> usize {
    // the top bits of a uniform number
    ((u128::from(keyed_hash(seed, Purpose::Fold, 0, row)) * N_FOLDS as u128) >> 64) as usize
}

impl Suspects {
    /// What was found, as a sentence.
    pub fn detail(&self, n_rows: usize) -> String {
        format!(
            "{} of {} have labels that a network not trained on them finds unlikely",
            self.rows.len(),
            count(n_rows, "row")
        )
    }
}
