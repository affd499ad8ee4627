//! What is wrong with a dataset, before anything is trained on it.

use super::error::Problem;
use super::extract::{ApiPath, ApiQuery};
use super::hyperparameters::default_recipe;
use super::order;
use super::state::AppState;
use crate::checks::Finding;
use crate::jobs;
use crate::nn::Mode;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChecksQuery {
    /// Check the samples this mode makes of the rows with its defaults: `nn` shows features with labels of other rows.
    /// Without it, the rows as they are stored.
    #[param(inline)]
    mode: Option<Mode>,
}

/// What the checks of a dataset found.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChecksView {
    pub dataset: String,
    pub digest: String,
    /// Whose samples were checked; absent for the rows as they are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    pub checks: Vec<Finding>,
    /// How many of them warn.
    pub warnings: u32,
}

/// Check a dataset.
///
/// Labels against those of neighbours (confident learning, Northcutt et al. 2021), balance of the classes, duplicates,
/// constant features, order of the rows. A training makes the same checks of its own samples before its first epoch, and
/// tells its warnings as alerts.
#[utoipa::path(get, path = "/datasets/{name}/checks", tag = "datasets",
    params(("name" = String, Path, description = "The dataset"), ChecksQuery),
    responses((status = 200, description = "What was found", body = ChecksView)))]
pub async fn get_dataset_checks(
    State(app): State<AppState>,
    ApiPath(name): ApiPath<String>,
    ApiQuery(query): ApiQuery<ChecksQuery>,
) -> Result<Json<ChecksView>, Problem> {
    let dataset = order::open_dataset(&app, &name).await?;
    let recipe = query.mode.map(default_recipe);
    let (name, digest) = (dataset.name.clone(), dataset.digest.clone());
    let checked = tokio::task::spawn_blocking(move || {
        let mut on = || ControlFlow::Continue(());
        jobs::findings(&dataset, recipe.as_ref(), NonZeroUsize::MIN, &mut on)
    });
    let checks = checked.await.map_err(Problem::internal)?.map_err(Problem::internal)?.to_vec();
    let warnings = checks.iter().filter(|finding| finding.is_warning()).count() as u32;
    Ok(Json(ChecksView { dataset: name, digest, mode: query.mode, checks, warnings }))
}
