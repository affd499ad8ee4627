//! Runs: start a training, list, look, cancel, delete.

use super::error::{Code, Problem};
use super::extract::{ApiJson, ApiPath, ApiQuery, DEFAULT_LIMIT, checked_limit, optional_object};
use super::hyperparameters::{self, DEFAULT_SEED, FaultsRequest, HyperparametersRequest, SEED};
use super::idempotency::NewId;
use super::number::{Checker, Number};
use super::order::{self, Found};
use super::state::AppState;
use super::view::{PageView, RunView};
use crate::config::human_bytes;
use crate::domain::{Kind, Priority, Progress, Run, Status, Train, Work};
use crate::nn::{self, Mode, Recipe, Solver, Split};
use crate::store::{Page, RunFilter, StoreError};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

const MAX_LIMIT: u32 = 200;
/// Of a run's file with the losses of its samples: 4,473 epochs of MNIST.
const MAX_TRACKED_BYTES: u64 = 1 << 30;

/// A training order as requested.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainRequest {
    /// Which training arithmetic; `GET /modes` describes them.
    mode: Mode,
    /// Which data; `GET /datasets` lists them.
    dataset: String,
    /// The model that gets the trained version; `{mode}-{dataset}` without it.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    model: Option<String>,
    #[serde(default, deserialize_with = "optional_object")]
    hyperparameters: Option<HyperparametersRequest>,
    /// Defects of the reference trainers, `true` reproduces one; `nn` and `debug` only.
    #[serde(default, deserialize_with = "optional_object")]
    faults: Option<FaultsRequest>,
    /// The same seed, data and hyperparameters give the same bits.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 0, maximum = 9007199254740991_i64, default = 1)]
    seed: Option<Number>,
    /// Which of the waiting runs goes first; among equals it is the oldest.
    #[serde(default)]
    #[schema(default = "interactive")]
    priority: Priority,
    /// Keeps the loss of every training sample at the end of every epoch: `GET /runs/{id}/losses`. The weights are the
    /// same with it and without.
    #[serde(default)]
    track_samples: bool,
    /// Seconds after which a run that has not ended fails.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 604800)]
    deadline_s: Option<Number>,
    /// Up to 16 names (1 to 64 characters) with values (up to 512).
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

impl TrainRequest {
    /// Checks everything that can be checked before the run is stored.
    fn check(self, found: &Found, memory_limit: u64) -> Result<Run, Problem> {
        let mut checker = Checker::default();
        let seed = checker.whole("/seed", self.seed, SEED, DEFAULT_SEED);
        let recipe = hyperparameters::resolve(
            self.mode,
            self.hyperparameters.as_ref(),
            self.faults,
            seed,
            &mut checker,
        );
        let memory_bytes = check_sizes(&recipe, found, memory_limit, &mut checker);
        check_tracking(self.track_samples, &recipe, found, &mut checker);
        let default_model = format!("{}-{}", self.mode.name(), self.dataset);
        let model = self.model.unwrap_or(default_model);
        order::check_model(&model, &mut checker);
        let deadline_s = order::check_deadline(self.deadline_s, &mut checker);
        let tags = order::check_tags(self.tags, &mut checker);
        checker.finish(Run {
            progress: Progress { epoch: 0, epochs: recipe.epochs() },
            priority: self.priority,
            memory_bytes,
            tags,
            deadline_s,
            ..Run::queued(
                Work::Train(Train { recipe, forked_from: None, track_samples: self.track_samples }),
                model,
                found.reference.clone(),
                seed,
            )
        })
    }
}

/// What can only be checked against the data: batches that fit the rows, and memory, of which it gives back what the run
/// is predicted to need.
pub fn check_sizes(recipe: &Recipe, found: &Found, memory_limit: u64, checker: &mut Checker) -> u64 {
    let n_rows = found.entry.n_train as usize;
    let n_trained = Split::new(recipe, n_rows, &[]).train.len();
    if batch_size(recipe) > n_trained {
        let detail = format!("must be at most {n_trained}, the rows of `{}` trained on", found.entry.name);
        checker.fail("/hyperparameters/batch_size", detail);
    }
    let n_parts = found.entry.n_subjects.map_or(n_trained, |n_subjects| n_trained.min(n_subjects as usize));
    if recipe.shards() as usize > n_parts {
        let what = if n_parts < n_trained { "subjects" } else { "rows trained on" };
        let detail = format!("must be at most {n_parts}, the {what} of `{}`", found.entry.name);
        checker.fail("/hyperparameters/shards", detail);
    }
    let (n_features, n_classes) = (found.entry.input.n_features(), found.entry.class_names.len());
    // a checkpoint is a copy of the state, and a file's bytes
    let checkpoint = 2 * nn::state_bytes(recipe, n_features, n_classes);
    let predicted = nn::predicted_bytes(recipe, n_rows, n_features, n_classes) + checkpoint;
    if !checker.has_failed() && predicted > u128::from(memory_limit) {
        let detail = format!(
            "needs about {} of memory, above this server's limit of {}; use narrower layers or smaller batches",
            human_bytes(predicted),
            human_bytes(u128::from(memory_limit)),
        );
        checker.fail("/hyperparameters/hidden", detail.clone());
        checker.fail("/hyperparameters/batch_size", detail.clone());
        if recipe.shards() > 1 {
            checker.fail("/hyperparameters/shards", detail);
        }
    }
    order::accepted_bytes(predicted)
}

/// The losses of a tracked training must fit a file of bounded size.
pub fn check_tracking(is_tracked: bool, recipe: &Recipe, found: &Found, checker: &mut Checker) {
    let n_losses = u64::from(found.entry.n_train) * u64::from(recipe.epochs());
    let n_bytes = u128::from(n_losses) * size_of::<f32>() as u128;
    if is_tracked && n_bytes > u128::from(MAX_TRACKED_BYTES) {
        let detail = format!(
            "needs {} on disk, a loss of 4 bytes for each of {} rows in each of {} epochs, above the limit of {}; use \
             fewer epochs",
            human_bytes(n_bytes),
            found.entry.n_train,
            recipe.epochs(),
            human_bytes(u128::from(MAX_TRACKED_BYTES)),
        );
        checker.fail("/track_samples", detail);
    }
}

const fn batch_size(recipe: &Recipe) -> usize {
    match recipe {
        Recipe::Nn(reference) | Recipe::Debug(reference) => reference.batch_size,
        Recipe::Standard(standard) => match standard.solver {
            Solver::Sgd => standard.batch_size,
            // it has none
            Solver::Optimum { .. } => 0,
        },
    }
}

/// Start a training.
///
/// Answers when the run is durable, not when it has ended. With `Prefer: wait=N` the answer waits up to
/// N ≤ 60 seconds for the end and is then 201.
#[utoipa::path(post, path = "/runs", tag = "runs", request_body = TrainRequest,
    params(("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N ≤ 60 seconds for the end")),
    responses(
        (status = 202, description = "Accepted and durable", body = RunView,
         headers(("Location" = String, description = "The run"), ("ETag" = String))),
        (status = 201, description = "Ended within the time waited", body = RunView,
         headers(("Location" = String, description = "The run"), ("ETag" = String)))))]
pub async fn create_run(
    State(app): State<AppState>,
    NewId(id): NewId,
    headers: HeaderMap,
    ApiJson(request): ApiJson<TrainRequest>,
) -> Result<Response, Problem> {
    let wait = order::preferred_wait(&headers)?;
    let found = order::find_dataset(&app, &request.dataset).await.map_err(|problem| {
        if problem.code == Code::DatasetNotFound { at_dataset(problem) } else { problem }
    })?;
    let run = Run { id, ..request.check(&found, app.memory_limit.0)? };
    order::submit(&app, run, wait).await
}

/// A dataset named in a body is a field of it, not an address.
pub fn at_dataset(problem: Problem) -> Problem {
    Problem::invalid(vec![super::error::FieldError::new("/dataset", problem.detail)])
}

/// Which runs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RunsQuery {
    /// Runs on the page, 20 without it.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
    /// One or more states, separated by commas.
    #[param(example = "queued,running")]
    status: Option<String>,
    kind: Option<Kind>,
    /// Runs that publish to this model.
    model: Option<String>,
}

/// List runs, newest first.
#[utoipa::path(get, path = "/runs", tag = "runs", params(RunsQuery),
    responses((status = 200, description = "A page of runs", body = PageView<RunView>)))]
pub async fn list_runs(
    State(app): State<AppState>,
    ApiQuery(query): ApiQuery<RunsQuery>,
) -> Result<Json<PageView<RunView>>, Problem> {
    let limit = checked_limit(query.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let after = query.after.map(|after| Uuid::parse_str(&after)).transpose().map_err(|_| {
        Problem::new(Code::InvalidCursor, "`after` must be the `next` of the page before: a run's id")
    })?;
    let filter = RunFilter {
        status: query.status.as_deref().map(parse_statuses).transpose()?,
        kind: query.kind,
        model: query.model,
    };
    let runs = app.engine.store.runs(&filter, &Page { limit, after }).await?;
    let views = runs.iter().map(|run| app.present(run)).collect();
    Ok(Json(PageView::new(views, limit, |run: &RunView| run.id.to_string())))
}

fn parse_statuses(list: &str) -> Result<Vec<Status>, Problem> {
    list.split(',')
        .map(|name| {
            let found = Status::ALL.into_iter().find(|status| status.name() == name.trim());
            found.ok_or_else(|| {
                let known: Vec<_> = Status::ALL.iter().map(|status| status.name()).collect();
                Problem::parameter(
                    "?status",
                    format!("`{name}` is not a state; they are {}", known.join(", ")),
                )
            })
        })
        .collect()
}

/// Look at a run.
#[utoipa::path(get, path = "/runs/{id}", tag = "runs",
    params(("id" = Uuid, Path, description = "The run"),
           ("If-None-Match" = Option<String>, Header, description = "An `ETag` seen before")),
    responses((status = 200, description = "The run", body = RunView, headers(("ETag" = String))),
              (status = 304, description = "Nothing has happened since")))]
pub async fn get_run(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = load(&app, id).await?;
    let etag = order::etag(&run);
    if is_unchanged(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    Ok(([(header::ETAG, etag)], Json(app.present(&run))).into_response())
}

fn is_unchanged(headers: &HeaderMap, etag: &header::HeaderValue) -> bool {
    let tag = etag.to_str().unwrap_or_default();
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|candidate| candidate.trim().trim_start_matches("W/"))
        .any(|candidate| candidate == tag || candidate == "*")
}

/// Delete a run that has ended, with its events.
///
/// The versions it published stay.
#[utoipa::path(delete, path = "/runs/{id}", tag = "runs",
    params(("id" = Uuid, Path, description = "The run")),
    responses((status = 204, description = "Deleted")))]
pub async fn delete_run(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
) -> Result<StatusCode, Problem> {
    match app.engine.delete_run(id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(StoreError::NotFound) => Err(Problem::run_not_found(id)),
        Err(StoreError::WrongState { actual }) => {
            let detail = format!("run `{id}` is {}; cancel it first, then delete it", actual.name());
            Err(Problem::new(Code::RunNotTerminal, detail).with("run_status", actual.name()))
        }
        Err(other) => Err(other.into()),
    }
}

/// The run, or a 404 that names it.
pub async fn load(app: &AppState, id: Uuid) -> Result<Run, Problem> {
    match app.engine.store.run(id).await {
        Ok(run) => Ok(run),
        Err(StoreError::NotFound) => Err(Problem::run_not_found(id)),
        Err(other) => Err(other.into()),
    }
}
