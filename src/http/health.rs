//! Whether the process lives, whether it can work, and which build it is.

use super::error::{Code, Problem};
use super::state::AppState;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct HealthView {
    #[schema(value_type = String)]
    pub status: &'static str,
}

/// Is the process alive? Looks at nothing else.
#[utoipa::path(get, path = "/livez", tag = "operations",
    responses((status = 200, description = "Alive", body = HealthView)))]
pub async fn get_livez() -> Json<HealthView> {
    Json(HealthView { status: "ok" })
}

/// Can it work? 503 while the database does not answer or the server is ending.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, description = "Ready", body = HealthView)))]
pub async fn get_readyz(State(app): State<AppState>) -> Result<Json<HealthView>, Problem> {
    ready(&app).await?;
    Ok(Json(HealthView { status: "ok" }))
}

/// A problem while the server cannot work.
pub async fn ready(app: &AppState) -> Result<(), Problem> {
    if app.shutdown.is_cancelled() {
        return Err(Problem::new(Code::Unavailable, "the server is ending").retry_after(5));
    }
    app.engine.store.ping().await.map_err(|error| {
        Problem::new(Code::Unavailable, "the database does not answer").retry_after(5).caused_by(error)
    })
}

/// What every other address answers while no connection is free.
pub async fn too_many_connections() -> Problem {
    Problem::new(Code::Unavailable, "there are too many connections; come back").retry_after(5)
}

#[derive(Debug, Serialize, ToSchema)]
pub struct VersionInfo {
    #[schema(value_type = String)]
    pub name: &'static str,
    #[schema(value_type = String)]
    pub version: &'static str,
    /// Which matrix kernels this machine runs; results agree bit for bit within a family, to rounding
    /// across them.
    #[schema(value_type = String)]
    pub kernels: &'static str,
}

/// Which build is this?
#[utoipa::path(get, path = "/version", tag = "operations",
    responses((status = 200, description = "The build", body = VersionInfo)))]
pub async fn get_version_info() -> Json<VersionInfo> {
    Json(VersionInfo {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        kernels: crate::nn::kernel_family(),
    })
}
