//! Whether the server lives and can work, in the protocol's words.

use super::super::error::Problem;
use super::super::health::ready;
use super::super::state::AppState;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct LiveView {
    live: bool,
}

/// The protocol's own schema says `live` here too; its text, and its servers, say `ready`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadyView {
    live: bool,
    ready: bool,
}

/// Is the server alive? Looks at nothing else.
#[utoipa::path(get, path = "/v2/health/live", tag = "v2",
    responses((status = 200, description = "Alive", body = LiveView)))]
pub async fn get_v2_live() -> Json<LiveView> {
    Json(LiveView { live: true })
}

/// Can the server work? 503 while the database does not answer or the server is ending.
#[utoipa::path(get, path = "/v2/health/ready", tag = "v2",
    responses((status = 200, description = "Ready", body = ReadyView)))]
pub async fn get_v2_ready(State(app): State<AppState>) -> Result<Json<ReadyView>, Problem> {
    ready(&app).await?;
    Ok(Json(ReadyView { live: true, ready: true }))
}
