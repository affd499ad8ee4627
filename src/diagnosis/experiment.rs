//! The variants of a training, and their trials.

use super::report::Diagnosis;
use super::trial::{Reach, Trial, Watch};
use super::verdict::judge;
use super::{DiagnosisError, Observer, Suspect};
use crate::health::Data;
use crate::nn::{self, Problem, Recipe, Split, TrainError};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

/// What is to be found out.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// How the training in question is done; its seed is not used.
    pub recipe: Recipe,
    /// Every variant is trained with these, at least two. The training in question, with which all are compared, is
    /// trained with those that follow the last one too: see [`diagnose`].
    pub seeds: Vec<u64>,
    /// How far trials go at most; not further than the recipe itself, whose schedule they follow.
    pub epochs: u32,
    /// Training rows whose labels are probably wrong, sorted; `None` if that is not in question.
    pub suspected_rows: Option<&'a [u32]>,
    /// Whether there is evidence of wrong labels besides, which counts where not all of them can be found.
    pub labels_look_wrong: bool,
}

impl Order<'_> {
    /// The seeds of a variant, where so many are compared with the training in question.
    fn seeds_of(&self, variant: Variant, n_compared: usize) -> Vec<u64> {
        let mut seeds = self.seeds.clone();
        if let (Variant::AsIs, Some(last)) = (variant, seeds.last().copied()) {
            let n_more = n_controls(seeds.len(), n_compared) - seeds.len();
            seeds.extend((1..=n_more as u64).map(|i| last.wrapping_add(i)));
        }
        seeds
    }
}

/// Trainings of the one with which `k` others of `n` trainings each are compared: `√k` times as many give the narrowest
/// intervals for the work (Dunnett 1955, J. Am. Stat. Assoc. 50:1096).
fn n_controls(n: usize, k: usize) -> usize {
    libm::ceil(n as f64 * libm::sqrt(k.max(1) as f64)) as usize
}

/// A training beside the one in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "variant", content = "fault", rename_all = "snake_case")]
pub enum Variant {
    /// The one in question.
    AsIs,
    /// Everything doubtful mended.
    Mended,
    /// This alone mended: leave one out.
    Without(Suspect),
    /// Everything else that is doubtful mended: one at a time.
    Only(Suspect),
}

impl Variant {
    /// Every variant of a training by `recipe` there is for these suspects, without repetition; those with one doubtful
    /// suspect alone apart. With one such suspect, to mend it is to mend all, and to keep it alone is to keep all.
    fn all(suspects: &[Suspect], recipe: &Recipe) -> (Vec<Self>, Vec<Self>) {
        let mut first = vec![Self::AsIs];
        first.extend(suspects.iter().map(|&suspect| Self::Without(suspect)));
        let doubtful: Vec<Suspect> =
            suspects.iter().copied().filter(|suspect| suspect.is_doubtful(recipe)).collect();
        if doubtful.len() < 2 {
            return (first, vec![]);
        }
        first.push(Self::Mended);
        (first, doubtful.into_iter().map(Self::Only).collect())
    }

    /// Which of `suspects` are mended in it.
    pub(super) fn mends(self, suspects: &[Suspect], recipe: &Recipe) -> Vec<Suspect> {
        let is_mended = |suspect: &Suspect| match self {
            Self::AsIs => false,
            Self::Mended => suspect.is_doubtful(recipe),
            Self::Without(one) => *suspect == one,
            Self::Only(one) => *suspect != one && suspect.is_doubtful(recipe),
        };
        suspects.iter().copied().filter(is_mended).collect()
    }
}

/// One training to be done.
struct Job {
    variant: Variant,
    seed: u64,
    recipe: Recipe,
    without_suspected_rows: bool,
    reach: Reach,
}

/// How many trainings a diagnosis of `recipe` takes at most.
pub fn n_trials(recipe: &Recipe, are_rows_suspected: bool, n_seeds: usize) -> usize {
    let suspects = Suspect::of(recipe, are_rows_suspected);
    let (first, second) = Variant::all(&suspects, recipe);
    (first.len() - 1 + second.len()) * n_seeds + n_controls(n_seeds, suspects.len())
}

/// Trains the variants of a training, up to `n_threads` at a time, and says what they differ in.
///
/// The training in question has `√k` times the seeds of each of the `k` it is compared with first.
///
/// What comes of it does not depend on the threads. Trials found in `known` are not trained again: they must be of the
/// same order and problem.
///
/// First the training as it is, without each suspect and without all of them; those seen to learn backwards end there, but
/// the one in question, with which all are compared. Then with each doubtful suspect alone: until it falls too, or until
/// it has gone as far as the one in question took to fall with every seed and is none the worse for it.
///
/// # Errors
///
/// [`DiagnosisError::Interrupted`] when the observer says stop; [`TrainError::NoRows`] if a variant has no rows left.
///
/// # Panics
///
/// If there are not as many seeds as an interval needs.
pub fn diagnose(
    order: &Order<'_>,
    problem: &Problem<'_>,
    known: &[Trial],
    n_threads: NonZeroUsize,
    observer: &mut dyn Observer,
) -> Result<Diagnosis, DiagnosisError> {
    let suspects = Suspect::of(&order.recipe, order.suspected_rows.is_some());
    let (first, second) = Variant::all(&suspects, &order.recipe);
    let n_trials = n_trials(&order.recipe, order.suspected_rows.is_some(), order.seeds.len());
    let mut lab = Lab {
        order,
        problem,
        suspects: &suspects,
        known,
        n_threads,
        data: data_of(&order.recipe, problem),
        trials: Vec::new(),
        n_trials,
    };
    lab.run(&first, observer)?;
    lab.run(&second, observer)?;
    let n_suspected = order.suspected_rows.map_or(0, <[u32]>::len);
    Ok(judge(order, &suspects, &lab.trials, lab.data.n_classes, n_suspected))
}

/// What the health rules have to know: on how many rows accuracy is measured.
fn data_of(recipe: &Recipe, problem: &Problem<'_>) -> Data {
    let split = Split::new(recipe, problem.train.n_rows(), problem.excluded);
    let n_test = if split.tests_on_held_out { split.held_out.len() } else { problem.test.n_rows() };
    Data { n_classes: problem.train.n_classes(), n_test, n_probe: 0 }
}

struct Lab<'a> {
    order: &'a Order<'a>,
    problem: &'a Problem<'a>,
    suspects: &'a [Suspect],
    known: &'a [Trial],
    n_threads: NonZeroUsize,
    data: Data,
    trials: Vec<Trial>,
    n_trials: usize,
}

impl Lab<'_> {
    /// Trains some variants with every seed, in this order.
    fn run(&mut self, variants: &[Variant], observer: &mut dyn Observer) -> Result<(), DiagnosisError> {
        let mut jobs = Vec::new();
        let mut found: Vec<(Variant, u64, Option<Trial>)> = Vec::new();
        for &variant in variants {
            for seed in self.order.seeds_of(variant, self.suspects.len()) {
                let known = self.known.iter().find(|trial| trial.variant == variant && trial.seed == seed);
                if known.is_none() {
                    jobs.push(self.job(variant, seed));
                }
                found.push((variant, seed, known.cloned()));
            }
        }
        let mut n_done = self.trials.len() + found.len() - jobs.len();
        let trials = self.train(&jobs, &mut n_done, observer)?;
        for (variant, seed, known) in found {
            let trial = known.or_else(|| {
                trials.iter().find(|trial| trial.variant == variant && trial.seed == seed).cloned()
            });
            self.trials.push(trial.expect("what was not known was trained"));
        }
        Ok(())
    }

    fn job(&self, variant: Variant, seed: u64) -> Job {
        let mut recipe = self.order.recipe.clone();
        match &mut recipe {
            Recipe::Nn(reference) | Recipe::Debug(reference) => reference.seed = seed,
            Recipe::Standard(standard) => {
                standard.seed = seed;
                // the whole curve is wanted
                standard.early_stopping = None;
            }
        }
        let mended = variant.mends(self.suspects, &self.order.recipe);
        mended.iter().for_each(|suspect| suspect.mend(&mut recipe));
        Job {
            variant,
            seed,
            recipe,
            without_suspected_rows: mended.contains(&Suspect::LabelNoise),
            reach: self.reach(variant, seed),
        }
    }

    fn reach(&self, variant: Variant, seed: u64) -> Reach {
        let mut reach = Reach {
            epochs: self.order.epochs,
            until_it_falls: variant != Variant::AsIs,
            until_as_good_as: None,
        };
        if let (Variant::Only(_), Some(epoch)) = (variant, self.settled_by()) {
            let mended =
                self.trials.iter().find(|trial| trial.variant == Variant::Mended && trial.seed == seed);
            let curve = mended.map(|trial| trial.test_accuracy.clone());
            reach.until_as_good_as = curve.map(|curve| (epoch, curve));
        }
        reach
    }

    fn train(
        &self,
        jobs: &[Job],
        n_done: &mut usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Trial>, DiagnosisError> {
        let ended: Mutex<Vec<Trial>> = Mutex::default();
        let all = self.n_trials as u32 * self.order.epochs;
        let mut tell = |observer: &mut dyn Observer| {
            let trials = std::mem::take(&mut *ended.lock().unwrap_or_else(PoisonError::into_inner));
            for trial in &trials {
                *n_done += 1;
                observer.on_trial(trial, *n_done as u32 * self.order.epochs, all)?;
            }
            observer.answer()
        };
        let results = nn::run_all(jobs, self.n_threads, &mut |_| tell(&mut *observer), |job, teller| {
            let trial = self.trial(job, teller)?;
            ended.lock().unwrap_or_else(PoisonError::into_inner).extend(trial.clone());
            Ok::<_, TrainError>(trial)
        });
        // those that ended last, unless it was stopped
        let flow = tell(&mut *observer);
        let trials = results.into_iter().collect::<Result<Option<Vec<Trial>>, TrainError>>()?;
        match (flow, trials) {
            (ControlFlow::Continue(()), Some(trials)) => Ok(trials),
            _ => Err(DiagnosisError::Interrupted),
        }
    }

    /// `None` if it was stopped before it was settled.
    fn trial(&self, job: &Job, teller: &mut nn::Teller<'_>) -> Result<Option<Trial>, TrainError> {
        let excluded = match self.order.suspected_rows {
            Some(rows) if job.without_suspected_rows => union(self.problem.excluded, rows),
            _ => self.problem.excluded.to_vec(),
        };
        if teller.answer().is_break() {
            return Ok(None);
        }
        let problem = Problem { excluded: &excluded, ..*self.problem };
        let mut watch = Watch::new(teller, self.data, &job.reach);
        let diverged = match nn::train(&job.recipe, &problem, &mut watch) {
            Ok(trained) if trained.completed || watch.is_settled => false,
            Ok(_) => return Ok(None),
            Err(TrainError::NonFinite { .. }) => true,
            Err(error) => return Err(error),
        };
        let Watch { test_accuracy, fell_in, .. } = watch;
        Ok(Some(Trial { variant: job.variant, seed: job.seed, test_accuracy, fell_in, diverged }))
    }

    /// The epoch by which the training in question had been seen to learn backwards with every seed.
    fn settled_by(&self) -> Option<u32> {
        let as_is = self.trials.iter().filter(|trial| trial.variant == Variant::AsIs);
        let fell: Option<Vec<u32>> = as_is.map(|trial| trial.fell_in).collect();
        fell?.into_iter().max()
    }
}

/// Both sorted lists as one.
fn union(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut all = [a, b].concat();
    all.sort_unstable();
    all.dedup();
    all
}
