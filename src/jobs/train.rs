//! A run of kind `train`: a dataset, a recipe, a version.

use super::checks::findings;
use super::executor::{Failure, Product, Workshop};
use super::journal::{Epoch, Journal};
use super::samples::SampleWatch;
use crate::artifacts::Model;
use crate::checks::{Check, Interrupted};
use crate::data::{DataError, Dataset, DownloadProgress};
use crate::domain::{DatasetRef, Run, Train};
use crate::health::{Alert, Code, Data};
use crate::nn::{self, BatchReport, EpochReport, Mlp, Probe, Problem, Samples, State, TrainError, Trained};
use crate::store::StoreError;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two durable `phase` events of one download.
const DOWNLOAD_INTERVAL: Duration = Duration::from_secs(5);

pub(super) fn execute(
    workshop: &Workshop,
    run: &Run,
    order: &Train,
    journal: &mut Journal<'_>,
) -> Result<Product, Failure> {
    let dataset = open(workshop, &run.dataset, journal)?;
    let problem = Problem { train: dataset.train(), excluded: &[], test: dataset.test() };
    let raised = check(&dataset, order, journal)?;
    journal.watch_health(health_data(&problem), raised);
    journal.begin();
    let watch = SampleWatch::new(order, run.id, &dataset, &workshop.artifacts.losses);
    let trained = train(order, &problem, watch, journal)?;
    if !trained.completed {
        return Err(Failure::Stopped);
    }
    let model = Model {
        mlp: trained.model,
        input: dataset.input.clone(),
        class_names: dataset.class_names.clone(),
        lineage: BTreeMap::from([
            ("run".into(), run.id.to_string()),
            ("model".into(), run.model.clone()),
            ("dataset".into(), dataset.name.clone()),
            ("dataset_digest".into(), dataset.digest.clone()),
            ("recipe".into(), json!(order.recipe).to_string()),
            ("kernel_family".into(), nn::kernel_family().into()),
        ]),
    };
    let kept = workshop.keep(&model)?;
    Ok(Product {
        version: kept.version,
        parent: None,
        digest: kept.digest,
        size_bytes: kept.size_bytes,
        metrics: metrics(trained.report.as_ref(), &model),
        report: None,
        promote: None,
        revoke_parent: false,
        followed_by: None,
    })
}

/// Looks at the samples the training will be shown, and raises an alert for every warning; tells of which codes.
fn check(dataset: &Dataset, order: &Train, journal: &mut Journal<'_>) -> Result<Vec<Code>, Failure> {
    let n_threads = journal.threads();
    let found = findings(dataset, Some(&order.recipe), n_threads, &mut || journal.halted());
    let found = found.map_err(|Interrupted| Failure::Stopped)?;
    let mut raised = Vec::new();
    for finding in found.iter().filter(|finding| finding.is_warning()) {
        let code = alert_code(&finding.check);
        raised.push(code);
        let alert = Alert { code, epoch: 0, since_epoch: 0, detail: finding.detail.clone() };
        if journal.alert(&alert).is_break() {
            return Err(Failure::Stopped);
        }
    }
    Ok(raised)
}

const fn alert_code(check: &Check) -> Code {
    match check {
        Check::Labels(_) => Code::LabelNoiseSuspected,
        Check::Balance(_) => Code::ClassImbalance,
        Check::Duplicates(_) => Code::DuplicateRows,
        Check::Constants(_) => Code::ConstantFeatures,
        Check::Order(_) => Code::RowsInOrder,
    }
}

/// What the health rules have to know.
fn health_data(problem: &Problem<'_>) -> Data {
    Data {
        n_classes: problem.train.n_classes(),
        n_test: problem.test.n_rows(),
        n_probe: Probe::n_rows_of(problem.train.n_rows()),
    }
}

/// Goes on from the newest checkpoint that fits; a run without one begins at the beginning, unless it is a fork, which
/// has none.
fn train(
    order: &Train,
    problem: &Problem<'_>,
    each_sample: Option<SampleWatch<'_>>,
    journal: &mut Journal<'_>,
) -> Result<Trained, Failure> {
    let mut watch = Watch { journal, probe: None, samples: problem.train, each_sample, failure: None };
    while let Some(state) = watch.journal.resume() {
        match nn::resume(&order.recipe, problem, state, &mut watch) {
            Err(error @ TrainError::Misfit(_)) => {
                tracing::warn!(%error, "a checkpoint cannot be gone on with");
                watch.journal.give_up_newest();
            }
            other => return watch.outcome(other),
        }
    }
    if order.forked_from.is_some() {
        return Err(Failure::failed(
            "checkpoint_lost",
            &"what the run was to go on from cannot be read any more",
        ));
    }
    let trained = nn::train(&order.recipe, problem, &mut watch);
    watch.outcome(trained)
}

/// Opens exactly the rows a run was accepted for, downloading them if need be.
pub(super) fn open(
    workshop: &Workshop,
    accepted: &DatasetRef,
    journal: &mut Journal<'_>,
) -> Result<Arc<Dataset>, Failure> {
    let mut last: Option<(String, Instant)> = None;
    let mut progress = |step: DownloadProgress<'_>| {
        let is_told = |(file, at): &(String, Instant)| file == step.file && at.elapsed() < DOWNLOAD_INTERVAL;
        if last.as_ref().is_some_and(is_told) {
            return journal.halted();
        }
        last = Some((step.file.to_owned(), Instant::now()));
        let total = step.total.map(|total| format!(" of {total}")).unwrap_or_default();
        journal.phase("download", &format!("`{}`: {}{total} bytes", step.file, step.done))
    };
    let dataset = workshop.catalogue.open_ref(accepted, &mut progress).map_err(|error| match error {
        DataError::Canceled => Failure::Stopped,
        DataError::Damaged { .. } => Failure::failed("dataset_damaged", &error),
        DataError::Changed { .. } => Failure::failed("dataset_changed", &error),
        DataError::Unknown(_) | DataError::Unavailable(_) | DataError::Io(_) => {
            Failure::failed("dataset_unavailable", &error)
        }
    })?;
    if journal.halted().is_break() { Err(Failure::Stopped) } else { Ok(dataset) }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::NonFinite { .. } => {
                Self::failed("diverged", &format_args!("{error}; a lower learning rate may help"))
            }
            TrainError::NoRows => Self::failed("no_rows", &error),
            TrainError::Misfit(_) => Self::failed("checkpoint_lost", &error),
        }
    }
}

/// Passes a training on to the journal.
struct Watch<'a, 'b> {
    journal: &'a mut Journal<'b>,
    /// Made when the network's shape is known.
    probe: Option<Probe>,
    samples: Samples<'a>,
    each_sample: Option<SampleWatch<'a>>,
    /// Why it was stopped, if not by the journal.
    failure: Option<Failure>,
}

impl Watch<'_, '_> {
    fn outcome(self, result: Result<Trained, TrainError>) -> Result<Trained, Failure> {
        if let Err(TrainError::NonFinite { epoch, .. }) = &result {
            // the run ends whatever comes of telling
            let _ = self.journal.alert(&Alert::of_no_number(*epoch));
        }
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(result?),
        }
    }
}

impl nn::Observer for Watch<'_, '_> {
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        self.journal.batch(report)
    }

    fn on_epoch(&mut self, report: &EpochReport, model: &Mlp) -> ControlFlow<()> {
        let probe = self.probe.get_or_insert_with(|| Probe::new(model.shape(), self.samples.n_rows()));
        let seen = probe.look(model, self.samples);
        let mut measures = vec![
            ("train_loss", Some(report.train_loss)),
            ("train_accuracy", Some(report.train_accuracy)),
            ("test_loss", Some(report.test_loss)),
            ("test_accuracy", Some(report.test_accuracy)),
            ("reported_accuracy", Some(report.reported_accuracy)),
            ("lr", Some(report.learning_rate)),
            ("grad_norm", Some(report.grad_norm)),
            ("probe_accuracy", Some(seen.accuracy)),
            ("dead_units", seen.dead_units),
        ];
        if report.holdout_loss.is_some() {
            measures.push(("holdout_loss", report.holdout_loss));
            measures.push(("holdout_accuracy", report.holdout_accuracy));
        }
        if let Some(each_sample) = &mut self.each_sample {
            match each_sample.look(report.epoch, model, self.journal.threads()) {
                Ok(seen) => measures.extend(seen),
                Err(error) => {
                    self.failure = Some(not_kept(&error));
                    return ControlFlow::Break(());
                }
            }
        }
        self.journal.epoch(&Epoch {
            epoch: report.epoch,
            epochs: report.epochs,
            n_samples: report.n_samples,
            measures,
            main: Some(("test_accuracy", report.test_accuracy)),
        })
    }

    fn on_boundary(&mut self, at: &BatchReport, state: &dyn Fn() -> State) -> ControlFlow<()> {
        self.journal.boundary(at, state)
    }

    fn threads(&mut self) -> NonZeroUsize {
        self.journal.threads()
    }
}

fn not_kept(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::StorageFull => Failure::Store(StoreError::Full),
        _ => Failure::failed("storage_failed", &format_args!("cannot keep the losses of samples: {error}")),
    }
}

/// What a list of versions shows of this one. `published` is absent for a training of no epochs.
fn metrics(published: Option<&EpochReport>, model: &Model) -> Value {
    let mut metrics = json!({ "weights_digest": model.weights_digest() });
    if let Some(report) = published {
        metrics["epoch"] = json!(report.epoch);
        metrics["train_loss"] = json!(report.train_loss);
        metrics["train_accuracy"] = json!(report.train_accuracy);
        metrics["test_loss"] = json!(report.test_loss);
        metrics["test_accuracy"] = json!(report.test_accuracy);
        metrics["reported_accuracy"] = json!(report.reported_accuracy);
    }
    metrics
}
