//! What every method and every measure looks at: the rows of a task, sorted into their parts.

use super::known::Known;
use super::responses::Responses;
use super::{Task, UnlearnEpoch};
use crate::nn::hash::{Purpose, sample_rows};
use crate::nn::loss::cross_entropy;
use crate::nn::team::Team;
use crate::nn::{Evaluation, Evaluator, Mlp, Samples, Split};
use std::num::NonZeroUsize;

/// Rows of a set looked at while a method runs; all of them are measured at the end.
const PROBE_ROWS: usize = 2_000;

/// Test rows looked at after each pass: nothing is decided by them.
const TEST_PROBE_ROWS: usize = 1_000;

/// What the probes show of a network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probed {
    pub(super) forget: Evaluation,
    pub(super) retain_accuracy: f64,
}

pub(super) struct Context<'a> {
    pub(super) task: &'a Task<'a>,
    /// Training rows that stay. Sorted.
    pub(super) retain: Vec<u32>,
    /// A fixed part of `retain`.
    pub(super) probe: Vec<u32>,
    /// A fixed part of the forget set.
    pub(super) forget_probe: Vec<u32>,
    /// A fixed part of `test`.
    pub(super) test_probe: Vec<u32>,
    /// Rows no model of this recipe trains on: held-out rows of the training file or, where the recipe
    /// keeps none, the official test set.
    pub(super) held_out: (Samples<'a>, Vec<u32>),
    /// What forget rows are compared with: rows made like them that no model was ever trained on or, where
    /// there are none, the held-out rows.
    pub(super) non_members: (Samples<'a>, Vec<u32>),
    /// Rows the report's `test_accuracy` is measured on: without a forgotten class.
    pub(super) test: (Samples<'a>, Vec<u32>),
    /// With it.
    whole_test: Vec<u32>,
    pub(super) evaluator: Evaluator,
}

impl<'a> Context<'a> {
    pub(super) fn new(task: &'a Task<'a>) -> Self {
        let split = Split::new(task.recipe, task.train.n_rows(), task.excluded);
        let is_forgotten = |row: &u32| task.forget.binary_search(row).is_ok();
        let retain: Vec<u32> = split.train.into_iter().filter(|row| !is_forgotten(row)).collect();
        let probe = probe_of(&retain, task.seed);
        let forget_probe = probe_of(task.forget, task.seed);

        let official: Vec<u32> = (0..task.test.n_rows() as u32).collect();
        let test = if split.tests_on_held_out {
            (task.train, split.held_out.clone())
        } else {
            (task.test, official.clone())
        };
        let held_out =
            if split.held_out.is_empty() { (task.test, official) } else { (task.train, split.held_out) };
        let non_members = match task.lookalikes {
            Some(lookalikes) => (lookalikes, (0..lookalikes.n_rows() as u32).collect()),
            None => held_out.clone(),
        };
        let (test_samples, whole_test) = test;
        let is_of_class = |row: u32| Some(test_samples.label(row as usize)) == task.class;
        let test_rows: Vec<u32> = whole_test.iter().copied().filter(|&row| !is_of_class(row)).collect();
        let test_probe = part_of(&test_rows, TEST_PROBE_ROWS, task.seed);
        Self {
            task,
            retain,
            probe,
            forget_probe,
            test_probe,
            held_out,
            non_members,
            test: (test_samples, test_rows),
            whole_test,
            evaluator: Evaluator::new(task.parent.shape()),
        }
    }

    /// Looks at rows on so many threads from now on.
    pub(super) fn set_threads(&mut self, threads: NonZeroUsize) {
        self.evaluator.set_team(Team::of(threads));
    }

    pub(super) fn forget(&mut self, mlp: &Mlp) -> Evaluation {
        self.evaluator.evaluate(mlp, self.task.train, self.task.forget)
    }

    pub(super) fn forget_probe(&mut self, mlp: &Mlp) -> Evaluation {
        self.evaluator.evaluate(mlp, self.task.train, &self.forget_probe)
    }

    pub(super) fn probe_accuracy(&mut self, mlp: &Mlp) -> f64 {
        self.evaluator.evaluate(mlp, self.task.train, &self.probe).accuracy
    }

    /// A network's answers to the non-members.
    pub(super) fn answers_to_non_members(&mut self, mlp: &Mlp, known: &Known) -> Responses {
        let (samples, rows) = (self.non_members.0, &self.non_members.1);
        let mut look = || Responses::of(&mut self.evaluator, mlp, samples, rows);
        // rows made like the forget set are those of this task alone
        if self.task.lookalikes.is_some() { look() } else { known.held_out.get_or_init(look).clone() }
    }

    /// A network's answers to the test set, a forgotten class included.
    pub(super) fn answers_to_test<'k>(&mut self, mlp: &Mlp, known: &'k Known) -> &'k Responses {
        known.test.get_or_init(|| Responses::of(&mut self.evaluator, mlp, self.test.0, &self.whole_test))
    }

    /// The original's mean loss on the non-members, weighted to the forget set's mix of classes; classes without any
    /// are left out. `None` when nothing matches.
    pub(super) fn matched_held_out_loss(&mut self) -> Option<f64> {
        self.matched_held_out(|answers| answers.losses.clone())
    }

    /// The original's accuracy on them, weighted likewise.
    pub(super) fn matched_held_out_accuracy(&mut self) -> Option<f64> {
        self.matched_held_out(|answers| answers.hits().map(|(_, hit)| f64::from(u8::from(hit))).collect())
    }

    /// The original's mean loss on the held-out rows of other classes, were they labelled `class`. `None` when there are none.
    pub(super) fn strangeness(&mut self, class: u32) -> Option<f64> {
        let (samples, rows) = (self.non_members.0, &self.non_members.1);
        let (mut sum, mut n) = (0.0f64, 0u32);
        self.evaluator.for_each(self.task.parent, samples, rows, |row, logits| {
            if samples.label(row as usize) != class {
                sum += f64::from(cross_entropy(logits, class));
                n += 1;
            }
        });
        (n > 0).then(|| sum / f64::from(n))
    }

    fn matched_held_out(&mut self, of: impl Fn(&Responses) -> Vec<f64>) -> Option<f64> {
        let n_classes = self.task.train.n_classes();
        let mut wanted = vec![0.0f64; n_classes];
        for &row in self.task.forget {
            wanted[self.task.train.label(row as usize) as usize] += 1.0;
        }
        let (mut sums, mut counts) = (vec![0.0f64; n_classes], vec![0.0f64; n_classes]);
        let nothing = Known::default();
        let answers = self.answers_to_non_members(self.task.parent, self.task.known.unwrap_or(&nothing));
        for (&label, value) in answers.labels.iter().zip(of(&answers)) {
            sums[label as usize] += value;
            counts[label as usize] += 1.0;
        }
        let matched = || (0..n_classes).filter(|&class| counts[class] > 0.0);
        let weight: f64 = matched().map(|class| wanted[class]).sum();
        let total: f64 = matched().map(|class| wanted[class] * sums[class] / counts[class]).sum();
        (weight > 0.0).then(|| total / weight)
    }

    /// Looks at the probes of the rows to forget and of those to keep.
    pub(super) fn probe(&mut self, mlp: &Mlp) -> Probed {
        Probed { forget: self.forget_probe(mlp), retain_accuracy: self.probe_accuracy(mlp) }
    }

    /// The report of a finished pass.
    pub(super) fn epoch(
        &mut self,
        mlp: &Mlp,
        epoch: u32,
        epochs: u32,
        learning_rate: f64,
        n_samples: u64,
    ) -> UnlearnEpoch {
        let probed = self.probe(mlp);
        self.epoch_of(probed, mlp, (epoch, epochs), learning_rate, n_samples)
    }

    /// The same of a network whose probes have been looked at.
    pub(super) fn epoch_of(
        &mut self,
        probed: Probed,
        mlp: &Mlp,
        (epoch, epochs): (u32, u32),
        learning_rate: f64,
        n_samples: u64,
    ) -> UnlearnEpoch {
        let test = self.evaluator.evaluate(mlp, self.test.0, &self.test_probe);
        UnlearnEpoch {
            epoch,
            epochs,
            forget_loss: probed.forget.loss,
            forget_accuracy: probed.forget.accuracy,
            retain_accuracy: probed.retain_accuracy,
            test_loss: test.loss,
            test_accuracy: test.accuracy,
            learning_rate,
            n_samples,
        }
    }
}

/// Up to [`PROBE_ROWS`] of the rows, chosen by keyed hash.
pub(super) fn probe_of(rows: &[u32], seed: u64) -> Vec<u32> {
    part_of(rows, PROBE_ROWS, seed)
}

fn part_of(rows: &[u32], n: usize, seed: u64) -> Vec<u32> {
    let mut probe = sample_rows(rows, n, seed, Purpose::Probe, 0);
    probe.sort_unstable();
    probe
}
