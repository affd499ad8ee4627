//! A run of kind `unlearn`: a version, rows to forget, a method; a child version and a report.

use super::auto;
use super::executor::{Failure, Product, Workshop};
use super::forget::{invalid, lookalikes, settle};
use super::journal::{Epoch, Journal};
use super::lineage::{Lineage, LineageError};
use super::report::{self, Judged, Seconds, Told};
use super::train;
use crate::artifacts::Model;
use crate::data::{Dataset, resolve_forget_set};
use crate::domain::{ModelName, ModelRef, Run, Unlearn, Verify, Version, Work};
use crate::nn::{BatchReport, kernel_family};
use crate::store::StoreError;
use crate::unlearn::{self, GuardReport, Level, N_BANK, Task, UnlearnEpoch, UnlearnError};
use serde_json::json;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

pub(super) fn execute(
    workshop: &Workshop,
    run: &Run,
    order: &Unlearn,
    journal: &mut Journal<'_>,
) -> Result<Product, Failure> {
    let (parent, lineage) = family(order, journal)?;
    let weights = workshop.artifacts.models.get(parent.id, &parent.digest)?;
    let dataset = train::open(workshop, &run.dataset, journal)?;
    let rows = lineage.rows(&dataset)?;
    let as_work = |forget| Work::Unlearn(Unlearn { forget, ..order.clone() });
    let settled = settle(&order.forget, &dataset, &lineage, &rows, journal, as_work)?;
    let forget = resolve_forget_set(&settled, &dataset, &rows.trained).map_err(|error| invalid(&error))?;
    let lookalikes = lookalikes(&dataset, &lineage.recipe, &forget);
    let excluded = rows.excluded_beside(&forget);
    let known = workshop.known.of(parent.id);
    let task = Task {
        parent: &weights.mlp,
        known: Some(&known),
        recipe: &lineage.recipe,
        train: dataset.train(),
        test: dataset.test(),
        excluded: &excluded,
        parent_is_exact: lineage.is_exact(),
        forget: &forget,
        lookalikes: lookalikes.as_ref().map(|made| dataset.samples(made)),
        class: whole_class(&dataset, &rows.trained, &forget),
        seed: run.seed,
    };

    let threads = journal.threads();
    let mut watch = Watch { verifying: false, ..Watch::aside(journal) };
    let started = Instant::now();
    let done = auto::carry_out(run, order, &task, &mut watch)?;
    let unlearn_s = started.elapsed().as_secs_f64();
    let order = &auto::interim(order, &done);
    let outcome = &done.outcome;

    watch.verifying = true;
    watch.journal.expect_nothing();
    let started = Instant::now();
    let measured = unlearn::verify(&task, Some(&order.method), outcome, level(order.verify), &mut watch)?;
    watch.retrain.stop();
    let verify_s = (started.elapsed().saturating_sub(watch.retrain.total)).as_secs_f64();
    let seconds = Seconds { unlearn: unlearn_s, verify: verify_s, retrain: watch.retrain.of_one_s(threads) };
    go(watch.journal.halted())?;

    let judged = Judged::of(order, outcome, &measured);
    let forget_digest = report::rows_digest(&forget);
    let told = Told { run, order, forget: &forget, digest: &forget_digest, seconds };
    let child = Model {
        mlp: outcome.model.clone(),
        input: weights.input,
        class_names: weights.class_names,
        lineage: BTreeMap::from([
            ("run".into(), run.id.to_string()),
            ("model".into(), run.model.clone()),
            ("dataset".into(), dataset.name.clone()),
            ("dataset_digest".into(), dataset.digest.clone()),
            ("recipe".into(), json!(lineage.recipe).to_string()),
            ("kernel_family".into(), kernel_family().into()),
            ("parent".into(), parent.id.to_string()),
            ("parent_digest".into(), parent.digest.clone()),
            ("method".into(), json!(order.method).to_string()),
            ("forget_digest".into(), forget_digest.clone()),
            ("claim".into(), report::claim_name(order.method.claim()).into()),
            ("verdict".into(), report::verdict_name(measured.verdict).into()),
        ]),
    };
    let kept = workshop.keep(&child)?;
    let mut metrics = report::metrics(order, outcome, &measured);
    metrics["weights_digest"] = json!(child.weights_digest());
    let mut report = report::report(&told, outcome, &measured, &judged);
    report["auto"] = json!(done.choice);
    workshop.known.add(kept.version, done.outcome.known);
    Ok(Product {
        version: kept.version,
        parent: Some(parent.id),
        digest: kept.digest,
        size_bytes: kept.size_bytes,
        metrics,
        report: Some(report),
        promote: judged.promoted_alias(order).map(alias).transpose()?,
        revoke_parent: judged.revokes(),
        followed_by: done.exact,
    })
}

/// The parent, if it may still be used, and how it came to be.
fn family(order: &Unlearn, journal: &Journal<'_>) -> Result<(Version, Lineage), Failure> {
    let store = journal.store();
    let parent = journal.wait(store.version(&ModelRef::Id(order.parent.id), false)).map_err(|e| match e {
        StoreError::NotFound => {
            Failure::failed("parent_not_found", &format_args!("there is no version {}", order.parent.id))
        }
        other => Failure::Store(other),
    })?;
    let lineage = journal.wait(Lineage::of(store, &parent))?;
    Ok((parent, lineage))
}

pub(super) const fn level(verify: Verify) -> Level {
    match verify {
        Verify::Quick => Level::Quick,
        Verify::Standard => Level::Standard,
        Verify::Thorough => Level::Thorough { n: N_BANK },
    }
}

fn alias(name: &str) -> Result<ModelName, Failure> {
    name.parse().map_err(|error| Failure::failed("alias_invalid", &format_args!("alias `{name}` {error}")))
}

/// The class, if `forget` is all that was trained on of one.
pub(super) fn whole_class(dataset: &Dataset, trained: &[u32], forget: &[u32]) -> Option<u32> {
    let label = |row: &u32| dataset.train.labels[*row as usize];
    let class = label(forget.first()?);
    let n_trained = trained.iter().filter(|row| label(row) == class).count();
    (n_trained == forget.len() && forget.iter().all(|row| label(row) == class)).then_some(class)
}

pub(super) fn go(flow: ControlFlow<()>) -> Result<(), Failure> {
    if flow.is_break() { Err(Failure::Stopped) } else { Ok(()) }
}

impl From<UnlearnError> for Failure {
    fn from(error: UnlearnError) -> Self {
        match error {
            UnlearnError::Interrupted => Self::Stopped,
            UnlearnError::Train(error) => error.into(),
            UnlearnError::NotApplicable(_) => Self::failed("method_not_applicable", &error),
        }
    }
}

impl From<LineageError> for Failure {
    fn from(error: LineageError) -> Self {
        match error {
            LineageError::Store(error) => Self::Store(error),
            LineageError::Imported { .. } | LineageError::Broken { .. } | LineageError::Forgotten { .. } => {
                Self::failed("lineage_broken", &error)
            }
        }
    }
}

/// Passes an unlearning and its verification on to the journal.
pub(super) struct Watch<'a, 'b> {
    pub(super) journal: &'a mut Journal<'b>,
    /// The mini-batches are those of a retraining then, which is nobody's progress.
    verifying: bool,
    pub(super) retrain: Stopwatch,
    /// The run's share when it began.
    pub(super) threads: NonZeroUsize,
}

impl<'a, 'b> Watch<'a, 'b> {
    /// For work beside the method's own: its mini-batches are nobody's progress.
    pub(super) fn aside(journal: &'a mut Journal<'b>) -> Self {
        let threads = journal.threads();
        Self { journal, verifying: true, retrain: Stopwatch::default(), threads }
    }
}

impl unlearn::Observer for Watch<'_, '_> {
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        if self.verifying { self.journal.halted() } else { self.journal.batch(report) }
    }

    fn on_epoch(&mut self, report: &UnlearnEpoch) -> ControlFlow<()> {
        if self.verifying {
            return self.journal.halted();
        }
        self.journal.epoch(&Epoch {
            epoch: report.epoch,
            epochs: report.epochs,
            n_samples: report.n_samples,
            measures: vec![
                ("test_loss", finite(report.test_loss)),
                ("test_accuracy", finite(report.test_accuracy)),
                ("forget_loss", finite(report.forget_loss)),
                ("forget_accuracy", finite(report.forget_accuracy)),
                ("retain_accuracy", finite(report.retain_accuracy)),
                ("lr", finite(report.learning_rate)),
            ],
            main: None,
        })
    }

    fn on_guard(&mut self, report: &GuardReport) -> ControlFlow<()> {
        self.journal.guard(report)
    }

    fn on_phase(&mut self, phase: &str, detail: &str) -> ControlFlow<()> {
        self.retrain.stop();
        if phase == "retrain" {
            self.retrain.since = Some(Instant::now());
        }
        self.journal.phase(phase, detail)
    }

    fn threads(&mut self) -> NonZeroUsize {
        self.threads
    }
}

/// An ascent may take a loss beyond all numbers: the guard deals with that, and the log shows none.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// Time spent retraining.
#[derive(Debug, Default)]
pub(super) struct Stopwatch {
    since: Option<Instant>,
    pub(super) total: Duration,
}

impl Stopwatch {
    pub(super) fn stop(&mut self) {
        self.total += self.since.take().map(|since| since.elapsed()).unwrap_or_default();
    }

    /// Of one of the retrained models, which are trained side by side on so many threads, one each.
    pub(super) fn of_one_s(&self, threads: NonZeroUsize) -> Option<f64> {
        let rounds = unlearn::N_RETRAINED.div_ceil(threads.get());
        (!self.total.is_zero()).then(|| self.total.as_secs_f64() / rounds as f64)
    }
}
