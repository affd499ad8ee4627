//! The course of a run: cancel, pause, resume.

use super::error::{Code, Problem};
use super::extract::ApiPath;
use super::order;
use super::state::AppState;
use super::view::RunView;
use crate::domain::{Run, Status};
use crate::jobs::Asked;
use crate::store::StoreError;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

/// Cancel a run.
///
/// A queued or paused run is canceled at once (200), a running one within a mini-batch (202).
#[utoipa::path(post, path = "/runs/{id}/cancel", tag = "runs",
    params(("id" = Uuid, Path, description = "The run")),
    responses((status = 200, description = "Canceled", body = RunView),
              (status = 202, description = "It stops within a mini-batch", body = RunView)))]
pub async fn cancel_run(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
) -> Result<Response, Problem> {
    let asked = app.engine.cancel(id).await;
    answer(&app, id, asked, |run| {
        let detail = format!("run `{id}` has already {}; there is nothing to cancel", run.status.name());
        Problem::new(Code::RunTerminal, detail).with("run_status", run.status.name())
    })
}

/// Pause a run.
///
/// A queued run is paused at once (200). A running one stops as soon as it has written down what it can be gone on with
/// from, within a mini-batch and 50 ms (202); a training goes on from there to the same bits, other work begins anew.
/// A run that ends before it stops keeps its own ending. The clock of its deadline goes on.
#[utoipa::path(post, path = "/runs/{id}/pause", tag = "runs",
    params(("id" = Uuid, Path, description = "The run")),
    responses((status = 200, description = "Paused", body = RunView),
              (status = 202, description = "It is about to stop", body = RunView)))]
pub async fn pause_run(State(app): State<AppState>, ApiPath(id): ApiPath<Uuid>) -> Result<Response, Problem> {
    let asked = app.engine.pause(id).await;
    answer(&app, id, asked, |run| wrong_state(&run, "paused", &[Status::Queued, Status::Running]))
}

/// Resume a paused run.
///
/// It goes back into the queue, by its priority and age.
#[utoipa::path(post, path = "/runs/{id}/resume", tag = "runs",
    params(("id" = Uuid, Path, description = "The run")),
    responses((status = 202, description = "It is in the queue", body = RunView)))]
pub async fn resume_run(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
) -> Result<Response, Problem> {
    let asked = app.engine.resume(id).await;
    answer(&app, id, asked, |run| wrong_state(&run, "resumed", &[Status::Paused]))
}

fn answer(
    app: &AppState,
    id: Uuid,
    asked: Result<Asked, StoreError>,
    refusal: impl FnOnce(Run) -> Problem,
) -> Result<Response, Problem> {
    let (status, run) = match asked {
        Ok(Asked::Done(run)) => (StatusCode::OK, run),
        Ok(Asked::Underway(run)) => (StatusCode::ACCEPTED, run),
        Ok(Asked::Refused(run)) => return Err(refusal(run)),
        Err(StoreError::NotFound) => return Err(Problem::run_not_found(id)),
        Err(other) => return Err(other.into()),
    };
    Ok((status, [(header::ETAG, order::etag(&run))], Json(app.present(&run))).into_response())
}

fn wrong_state(run: &Run, what: &str, from: &[Status]) -> Problem {
    let names: Vec<&str> = from.iter().map(|status| status.name()).collect();
    let detail = format!(
        "run `{}` is {}; only one that is {} can be {what}",
        run.id,
        run.status.name(),
        names.join(" or ")
    );
    Problem::new(Code::WrongState, detail).with("run_status", run.status.name()).with("allowed_from", names)
}
