//! What a run can be gone on with from, and runs that begin there.

use super::error::{Code, FieldError, Problem};
use super::extract::{ApiJson, ApiPath, optional_object};
use super::hyperparameters::{self, FaultsRequest, HyperparametersRequest};
use super::idempotency::NewId;
use super::number::{Checker, Number};
use super::state::AppState;
use super::view::{CheckpointView, RunView};
use super::{order, runs};
use crate::artifacts::ArtifactError;
use crate::domain::{Checkpoint, Fork, Priority, Progress, Run, Train, Work};
use crate::jobs::StartError;
use crate::store::StoreError;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// Every checkpoint of a run: there are never many.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckpointsView {
    data: Vec<CheckpointView>,
}

/// List a run's checkpoints, oldest first.
///
/// A training writes one at the end of an epoch and every ten seconds within one, as long as that takes at most a tenth
/// of its time. The newest two are kept, and up to eight older ends of epochs, spread over the run.
#[utoipa::path(get, path = "/runs/{id}/checkpoints", tag = "runs",
    params(("id" = Uuid, Path, description = "The run")),
    responses((status = 200, description = "Its checkpoints", body = CheckpointsView)))]
pub async fn list_checkpoints(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
) -> Result<Json<CheckpointsView>, Problem> {
    runs::load(&app, id).await?;
    let checkpoints = app.engine.store.checkpoints(id).await?;
    Ok(Json(CheckpointsView { data: checkpoints.iter().map(CheckpointView::of).collect() }))
}

/// Where a new training is to begin, and what is to be different from there on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForkRequest {
    /// One of the run's checkpoints at the end of an epoch; the newest without it.
    #[serde(default)]
    checkpoint: Option<Uuid>,
    /// What changes; everything else is as in the run. `hidden`, `holdout`, `shards` and `solver` cannot.
    /// `"early_stopping": null` lets it train to its last epoch.
    #[serde(default, deserialize_with = "optional_object")]
    hyperparameters: Option<HyperparametersRequest>,
    /// What changes, of `nn` and `debug`; `output_relu` cannot.
    #[serde(default, deserialize_with = "optional_object")]
    faults: Option<FaultsRequest>,
    /// The model that gets the trained version; that of the run without it.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    model: Option<String>,
    /// Which of the waiting runs goes first; among equals it is the oldest.
    #[serde(default)]
    #[schema(default = "interactive")]
    priority: Priority,
    /// Whether the loss of every training sample is kept, as in the run without it. Those of epochs before the fork are
    /// `NaN`.
    #[serde(default)]
    track_samples: Option<bool>,
    /// Seconds after which a run that has not ended fails.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 604800)]
    deadline_s: Option<Number>,
    /// Up to 16 names (1 to 64 characters) with values (up to 512).
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

impl ForkRequest {
    fn check(
        self,
        parent: &Run,
        train: &Train,
        from: &Checkpoint,
        found: &order::Found,
        memory_limit: u64,
    ) -> Result<Run, Problem> {
        let mut checker = Checker::default();
        let changes = self.hyperparameters.as_ref();
        let recipe = hyperparameters::change(&train.recipe, changes, self.faults, &mut checker);
        if recipe.epochs() < from.epoch {
            let detail = format!("must be at least {}, the epoch it begins behind", from.epoch);
            checker.fail("/hyperparameters/epochs", detail);
        }
        let memory_bytes = runs::check_sizes(&recipe, found, memory_limit, &mut checker);
        let track_samples = self.track_samples.unwrap_or(train.track_samples);
        runs::check_tracking(track_samples, &recipe, found, &mut checker);
        let model = self.model.unwrap_or_else(|| parent.model.clone());
        order::check_model(&model, &mut checker);
        let deadline_s = order::check_deadline(self.deadline_s, &mut checker);
        let tags = order::check_tags(self.tags, &mut checker);
        checker.finish(())?;
        let forked_from = Fork { run: parent.id, checkpoint: from.id, epoch: from.epoch };
        Ok(Run {
            progress: Progress { epoch: 0, epochs: recipe.epochs() },
            priority: self.priority,
            memory_bytes,
            tags,
            deadline_s,
            ..Run::queued(
                Work::Train(Train { recipe, forked_from: Some(forked_from), track_samples }),
                model,
                parent.dataset.clone(),
                parent.seed,
            )
        })
    }
}

/// Start a training where another one was at the end of an epoch.
///
/// It reports that epoch again and goes on from there: to the bits of the run it came from if nothing changes. The run
/// it came from may be at work, paused or over, and be deleted: the new one has its own copy.
#[utoipa::path(post, path = "/runs/{id}/fork", tag = "runs", request_body = ForkRequest,
    params(("id" = Uuid, Path, description = "The run to begin from"),
           ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N ≤ 60 seconds for the end")),
    responses(
        (status = 202, description = "Accepted and durable", body = RunView,
         headers(("Location" = String, description = "The new run"), ("ETag" = String))),
        (status = 201, description = "Ended within the time waited", body = RunView,
         headers(("Location" = String, description = "The new run"), ("ETag" = String)))))]
pub async fn fork_run(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
    NewId(new): NewId,
    headers: HeaderMap,
    ApiJson(request): ApiJson<ForkRequest>,
) -> Result<Response, Problem> {
    let wait = order::preferred_wait(&headers)?;
    let parent = runs::load(&app, id).await?;
    let Work::Train(train) = &parent.work else { return Err(no_checkpoint(&parent)) };
    let from = choose(&parent, app.engine.store.checkpoints(id).await?, request.checkpoint)?;
    let found = order::find_dataset(&app, &parent.dataset.name).await?;
    let run = Run { id: new, ..request.check(&parent, train, &from, &found, app.memory_limit.0)? };
    let notices = app.engine.subscribe(run.id);
    let run = app.engine.fork(run, from).await.map_err(|error| match error {
        StartError::Store(StoreError::NotFound)
        | StartError::Artifacts(ArtifactError::Missing { .. } | ArtifactError::Damaged { .. }) => {
            no_checkpoint(&parent).caused_by(error)
        }
        StartError::Store(error) => error.into(),
        other => Problem::internal(other),
    })?;
    order::answer(&app, run, notices, wait).await
}

/// The checkpoint that is asked for, or the newest there is.
fn choose(run: &Run, checkpoints: Vec<Checkpoint>, wanted: Option<Uuid>) -> Result<Checkpoint, Problem> {
    let mut ends = checkpoints.into_iter().filter(Checkpoint::is_at_end_of_epoch);
    match wanted {
        None => ends.next_back().ok_or_else(|| no_checkpoint(run)),
        Some(id) => ends.find(|checkpoint| checkpoint.id == id).ok_or_else(|| {
            let detail = format!(
                "must be a checkpoint of this run at the end of an epoch; `GET /runs/{}/checkpoints` lists them",
                run.id
            );
            Problem::invalid(vec![FieldError::new("/checkpoint", detail)])
        }),
    }
}

fn no_checkpoint(run: &Run) -> Problem {
    let detail = format!(
        "run `{}` has no checkpoint at the end of an epoch; only trainings have, in mini-batches, whose version was not \
         revoked",
        run.id
    );
    Problem::new(Code::NoCheckpoint, detail).with("run_status", run.status.name())
}
