//! `POST /diagnoses`: find out which fault makes a training learn backwards.

use super::error::{Code, FieldError, Problem};
use super::extract::{ApiJson, optional_object};
use super::hyperparameters::{self, DEFAULT_SEED, FaultsRequest, HyperparametersRequest, SEED};
use super::idempotency::NewId;
use super::metrics::events_of;
use super::number::{Checker, Number, Whole};
use super::order::{self, Found};
use super::runs;
use super::state::AppState;
use super::view::RunView;
use crate::diagnosis;
use crate::domain::{Diagnose, EventKind, Priority, Progress, Run, Work};
use crate::health;
use crate::jobs::trial_bytes;
use crate::nn::{Mode, Recipe, Solver};
use crate::store::StoreError;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// Two have an interval; three have one that is of use.
const SEEDS: Whole = Whole { min: 2, max: 10 };
const DEFAULT_SEEDS: u64 = 3;
/// The reference trainer falls far in fewer.
const EPOCHS: Whole = Whole { min: 1, max: 100 };
const DEFAULT_EPOCHS: u64 = 10;
/// Epochs past the one in which a run was seen to learn backwards: a variant may take a little longer.
const MARGIN: u64 = 3;

/// A diagnosis as requested: of a run, or of what a run of that mode would be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiagnosisRequest {
    /// The training run to diagnose; its mode, data, hyperparameters, faults and seed are taken from it.
    #[serde(default)]
    run: Option<Uuid>,
    /// Which training arithmetic, where no run is named.
    #[serde(default)]
    mode: Option<Mode>,
    /// Which data, where no run is named.
    #[serde(default)]
    dataset: Option<String>,
    #[serde(default, deserialize_with = "optional_object")]
    hyperparameters: Option<HyperparametersRequest>,
    /// Defects of the reference trainers, `true` reproduces one; `nn` and `debug` only. Those that are on are suspected.
    #[serde(default, deserialize_with = "optional_object")]
    faults: Option<FaultsRequest>,
    /// The first of the seeds; the others follow it. The same seed, data and hyperparameters give the same findings.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 0, maximum = 9007199254740991_i64, default = 1)]
    seed: Option<Number>,
    /// How many seeds every variant is trained with; the training as it is, with which all are compared, has about twice as
    /// many.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 2, maximum = 10, default = 3)]
    seeds: Option<Number>,
    /// How far variants are trained at most, by a schedule that goes on to the end of the training. Without it 10, or, for a
    /// run that was seen to learn backwards, three more than that took.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 100)]
    epochs: Option<Number>,
    /// Which of the waiting runs goes first; among equals it is the oldest.
    #[serde(default)]
    #[schema(default = "interactive")]
    priority: Priority,
    /// Seconds after which a run that has not ended fails.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 604800)]
    deadline_s: Option<Number>,
    /// Up to 16 names (1 to 64 characters) with values (up to 512).
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// The training that is in question.
struct Patient {
    recipe: Recipe,
    seed: u64,
    diagnosed: Option<Uuid>,
    model: String,
    found: Found,
    /// How far to go if nobody says.
    epochs: u64,
}

impl DiagnosisRequest {
    /// Finds what is to be diagnosed; what else is wrong is noted in `checker`.
    async fn patient(&self, app: &AppState, checker: &mut Checker) -> Result<Patient, Problem> {
        match (self.run, self.mode, &self.dataset) {
            (Some(run), ..) => {
                self.refuse_beside_run(checker);
                of_run(app, run).await
            }
            (None, Some(mode), Some(dataset)) => self.of_mode(app, mode, dataset, checker).await,
            (None, mode, _) => {
                let missing = if mode.is_none() { "/mode" } else { "/dataset" };
                let detail = "is needed where no `run` is named";
                Err(Problem::invalid(vec![FieldError::new(missing, detail.to_owned())]))
            }
        }
    }

    fn refuse_beside_run(&self, checker: &mut Checker) {
        let given = [
            ("/mode", self.mode.is_some()),
            ("/dataset", self.dataset.is_some()),
            ("/hyperparameters", self.hyperparameters.is_some()),
            ("/faults", self.faults.is_some()),
            ("/seed", self.seed.is_some()),
        ];
        for (pointer, is_given) in given {
            if is_given {
                checker.fail(pointer, "is taken from the run; remove this, or `run`");
            }
        }
    }

    async fn of_mode(
        &self,
        app: &AppState,
        mode: Mode,
        dataset: &str,
        checker: &mut Checker,
    ) -> Result<Patient, Problem> {
        let found = order::find_dataset(app, dataset).await.map_err(|problem| {
            if problem.code == Code::DatasetNotFound { runs::at_dataset(problem) } else { problem }
        })?;
        let seed = checker.whole("/seed", self.seed, SEED, DEFAULT_SEED);
        let recipe =
            hyperparameters::resolve(mode, self.hyperparameters.as_ref(), self.faults, seed, checker);
        let model = format!("{}-{dataset}", mode.name());
        Ok(Patient { recipe, seed, diagnosed: None, model, found, epochs: DEFAULT_EPOCHS })
    }

    /// Checks everything that can be checked before the run is stored.
    fn check(
        self,
        patient: Patient,
        memory_limit: u64,
        n_threads: usize,
        mut checker: Checker,
    ) -> Result<Run, Problem> {
        let Patient { recipe, seed, diagnosed, model, found, epochs: default_epochs } = patient;
        if matches!(&recipe, Recipe::Standard(standard) if standard.solver != Solver::Sgd) {
            let pointer = if diagnosed.is_some() { "/run" } else { "/hyperparameters/solver" };
            checker.fail(pointer, "training to the optimum takes no steps that could go backwards");
        }
        let n_seeds = checker.whole("/seeds", self.seeds, SEEDS, DEFAULT_SEEDS);
        let all = u64::from(recipe.epochs());
        let reach = Whole { max: EPOCHS.max.min(all), ..EPOCHS };
        let epochs = checker.whole("/epochs", self.epochs, reach, default_epochs.clamp(reach.min, reach.max));
        let one = runs::check_sizes(&recipe, &found, memory_limit, &mut checker);
        let deadline_s = order::check_deadline(self.deadline_s, &mut checker);
        let tags = order::check_tags(self.tags, &mut checker);
        // label noise may turn out to be in question
        let all_trials = diagnosis::n_trials(&recipe, true, n_seeds as usize);
        let (n_rows, entry) = (found.entry.n_train as usize, &found.entry);
        let trial = trial_bytes(&recipe, n_rows, entry.input.n_features(), entry.class_names.len());
        let at_once = u128::from(memory_limit) / trial.max(1);
        let at_once = at_once.clamp(1, n_threads.min(all_trials) as u128);
        checker.finish(Run {
            progress: Progress { epoch: 0, epochs: all_trials as u32 * epochs as u32 },
            priority: self.priority,
            memory_bytes: order::accepted_bytes(at_once * trial).max(one),
            tags,
            deadline_s,
            ..Run::queued(
                Work::Diagnose(Diagnose {
                    recipe,
                    diagnosed,
                    n_seeds: n_seeds as u32,
                    epochs: epochs as u32,
                }),
                model,
                found.reference,
                seed,
            )
        })
    }
}

/// A run named in a body.
async fn of_run(app: &AppState, id: Uuid) -> Result<Patient, Problem> {
    let wrong = |detail: String| Problem::invalid(vec![FieldError::new("/run", detail)]);
    let run = match app.engine.store.run(id).await {
        Ok(run) => run,
        Err(StoreError::NotFound) => return Err(wrong(format!("there is no run `{id}`"))),
        Err(other) => return Err(other.into()),
    };
    let Work::Train(train) = run.work else {
        return Err(wrong(format!("run `{id}` is no training; only trainings learn, or fail to")));
    };
    if train.forked_from.is_some() {
        return Err(wrong(format!("run `{id}` goes on from another one; diagnose that one")));
    }
    let found = order::find_dataset(app, &run.dataset.name).await?;
    let fell = fell_in(app, id).await?;
    Ok(Patient {
        recipe: train.recipe,
        seed: run.seed,
        diagnosed: Some(id),
        model: run.model,
        found: Found { reference: run.dataset, ..found },
        epochs: fell.map_or(DEFAULT_EPOCHS, |epoch| epoch + MARGIN),
    })
}

/// In which epoch a run was seen to learn backwards, as far as its log is kept.
async fn fell_in(app: &AppState, run: Uuid) -> Result<Option<u64>, Problem> {
    let alerts = events_of(app, run, EventKind::Alert).await?;
    let fell = alerts.iter().find(|alert| alert.data["code"] == health::Code::LearningBackwards.name());
    Ok(fell.and_then(|alert| alert.data["epoch"].as_u64()))
}

/// Find out which fault makes a training learn backwards.
///
/// Trains it as it is, without each suspected fault, with each alone and with all mended, over several seeds; what alone
/// restores learning, or alone spoils it, is a cause, and the rest is cleared, each with its effect on test accuracy and a
/// 95 % interval. Suspected are the faults of `nn` and `debug` that are on; of `standard` the learning rate, momentum, size
/// of mini-batches and wrong labels. Nothing is published: the run ends with a report. Answers when the run is durable; with
/// `Prefer: wait=N` it waits up to N ≤ 60 seconds for the end and is then 201.
#[utoipa::path(post, path = "/diagnoses", tag = "runs", request_body = DiagnosisRequest,
    params(("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N ≤ 60 seconds for the end")),
    responses(
        (status = 202, description = "Accepted and durable", body = RunView,
         headers(("Location" = String, description = "The run"), ("ETag" = String))),
        (status = 201, description = "Ended within the time waited", body = RunView,
         headers(("Location" = String, description = "The run"), ("ETag" = String)))))]
pub async fn create_diagnosis(
    State(app): State<AppState>,
    NewId(id): NewId,
    headers: HeaderMap,
    ApiJson(request): ApiJson<DiagnosisRequest>,
) -> Result<Response, Problem> {
    let wait = order::preferred_wait(&headers)?;
    let mut checker = Checker::default();
    let patient = request.patient(&app, &mut checker).await?;
    let run = request.check(patient, app.memory_limit.0, app.engine.train_threads(), checker)?;
    order::submit(&app, Run { id, ..run }, wait).await
}
