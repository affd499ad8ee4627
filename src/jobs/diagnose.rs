//! A run of kind `diagnose`: the training in question beside variants of it; a report, and nothing else changed.

use super::checks::findings;
use super::executor::{Failure, Workshop};
use super::journal::Journal;
use super::train;
use super::unlearn::go;
use crate::checks::{self, Check, Interrupted, SuspectError, Suspects};
use crate::data::Dataset;
use crate::diagnosis::{self, Diagnosis, DiagnosisError, Observer, Order, Trial, Variant};
use crate::domain::{Diagnose, Run};
use crate::nn::{self, Problem, Recipe, Split};
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

pub(super) fn execute(
    workshop: &Workshop,
    run: &Run,
    order: &Diagnose,
    journal: &mut Journal<'_>,
) -> Result<Value, Failure> {
    let dataset = train::open(workshop, &run.dataset, journal)?;
    let started = Instant::now();
    let data = look_at(order, run, &dataset, journal)?;
    let seeds: Vec<u64> = (0..u64::from(order.n_seeds)).map(|i| run.seed.wrapping_add(i)).collect();
    let asked = Order {
        recipe: order.recipe.clone(),
        seeds,
        epochs: order.epochs,
        suspected_rows: data.suspects.as_ref().map(|suspects| suspects.rows.as_slice()),
        labels_look_wrong: data.labels_look_wrong,
    };
    let problem = Problem { train: dataset.train(), excluded: &[], test: dataset.test() };
    let known = journal.known_trials();
    go(journal.phase("variants", "training variants of it side by side"))?;
    journal.begin_trials(known.len() as u32 * order.epochs);
    let n_threads = threads(run, order, &dataset, journal);
    let found = diagnosis::diagnose(&asked, &problem, &known, n_threads, &mut Watch { journal })?;
    Ok(report(run, order, &data, &found, started.elapsed().as_secs_f64()))
}

/// What the data look like, and which rows may be mislabelled.
struct Data {
    /// Of the samples as the recipe pairs them.
    findings: Arc<[checks::Finding]>,
    /// As they are stored: a recipe's own misaligned labels are not in the data.
    labels_look_wrong: bool,
    /// Looked for where it is in question.
    suspects: Option<Suspects>,
}

/// Checks the data, and looks for wrong labels where the recipe brings none of its own or the stored ones look bad.
fn look_at(
    order: &Diagnose,
    run: &Run,
    dataset: &Dataset,
    journal: &mut Journal<'_>,
) -> Result<Data, Failure> {
    go(journal.phase("checks", "looking at the data"))?;
    let n_threads = journal.threads();
    let mut check = |recipe| {
        findings(dataset, recipe, n_threads, &mut || journal.halted()).map_err(|Interrupted| Failure::Stopped)
    };
    let shown = check(Some(&order.recipe))?;
    let is_warning =
        |finding: &checks::Finding| finding.is_warning() && matches!(finding.check, Check::Labels(_));
    let labels_look_wrong = check(None)?.iter().any(is_warning);
    let suspects = if labels_look_wrong || matches!(order.recipe, Recipe::Standard(_)) {
        go(journal.phase("labels", "looking for labels that are probably wrong"))?;
        let train = dataset.train();
        let rows = Split::new(&order.recipe, train.n_rows(), &[]).train;
        let found = checks::suspects(train, &rows, run.seed, n_threads, &mut |_| journal.halted());
        // nothing to leave out, nothing to try
        Some(found?).filter(|suspects| !suspects.rows.is_empty())
    } else {
        None
    };
    Ok(Data { findings: shown, labels_look_wrong, suspects })
}

/// As many trainings at a time as the run was predicted to have memory for, and has threads for.
fn threads(run: &Run, order: &Diagnose, dataset: &Dataset, journal: &Journal<'_>) -> NonZeroUsize {
    let one =
        trial_bytes(&order.recipe, dataset.train.n_rows(), dataset.input.n_features(), dataset.n_classes());
    let fitting = u128::from(run.memory_bytes) / one.max(1);
    let most = journal.threads();
    NonZeroUsize::new(usize::try_from(fitting).unwrap_or(usize::MAX)).unwrap_or(NonZeroUsize::MIN).min(most)
}

/// Memory that one training of a diagnosis is predicted to need.
pub fn trial_bytes(recipe: &Recipe, n_rows: usize, n_features: usize, n_classes: usize) -> u128 {
    // and its list of rows to leave out
    nn::predicted_bytes(recipe, n_rows, n_features, n_classes) + 4 * n_rows as u128
}

struct Watch<'a, 'b> {
    journal: &'a mut Journal<'b>,
}

impl Observer for Watch<'_, '_> {
    fn answer(&mut self) -> ControlFlow<()> {
        self.journal.halted()
    }

    fn on_trial(&mut self, trial: &Trial, done: u32, all: u32) -> ControlFlow<()> {
        self.journal.trial(trial, &sentence(trial), done, all)
    }
}

/// `without misaligned_labels, seed 2: 97.68 % at epoch 10`
fn sentence(trial: &Trial) -> String {
    let what = match trial.variant {
        Variant::AsIs => "as it is".to_owned(),
        Variant::Mended => "everything doubtful mended".to_owned(),
        Variant::Without(suspect) => format!("without {}", suspect.name()),
        Variant::Only(suspect) => format!("{} alone", suspect.name()),
    };
    let end = match trial.test_accuracy.last() {
        Some(accuracy) => format!("{:.2} % at epoch {}", 100.0 * accuracy, trial.epochs()),
        None => "no epoch".to_owned(),
    };
    let fate = match (trial.fell_in, trial.diverged) {
        (_, true) => ", then diverged",
        (Some(_), _) => ", falling",
        (None, _) => "",
    };
    format!("{what}, seed {}: {end}{fate}", trial.seed)
}

fn report(run: &Run, order: &Diagnose, data: &Data, found: &Diagnosis, seconds: f64) -> Value {
    let mut report = json!(found);
    let suspects = data.suspects.as_ref().map(|suspects| {
        json!({
            "rows": suspects.rows.len(),
            "noise": suspects.noise,
            "ci": [suspects.noise_interval.0, suspects.noise_interval.1],
        })
    });
    report["run"] = json!(run.id);
    report["diagnosed"] = json!(order.diagnosed);
    report["mode"] = json!(order.recipe.mode().name());
    report["dataset"] = json!(run.dataset);
    report["checks"] = json!(*data.findings);
    report["suspected_labels"] = json!(suspects);
    report["seconds"] = json!(seconds);
    report
}

impl From<SuspectError> for Failure {
    fn from(error: SuspectError) -> Self {
        match error {
            SuspectError::Interrupted => Self::Stopped,
            SuspectError::Train(error) => error.into(),
        }
    }
}

impl From<DiagnosisError> for Failure {
    fn from(error: DiagnosisError) -> Self {
        match error {
            DiagnosisError::Interrupted => Self::Stopped,
            DiagnosisError::Train(error) => error.into(),
        }
    }
}
