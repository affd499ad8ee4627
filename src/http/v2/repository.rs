//! The index of Triton's model repository extension. Loading and unloading are not offered: models are loaded
//! when they are asked, and revoked where they are managed.

use super::super::body::ApiBytes;
use super::super::error::{FieldError, Problem};
use super::super::extract::{Object, from_json};
use super::super::state::AppState;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Versions in an index, at most: the protocol has no pages.
const MAX_VERSIONS: usize = 10_000;
/// Models read at a time.
const PAGE: u32 = 200;

#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct IndexRequest {
    /// Whether to leave out versions that cannot be asked.
    #[serde(default)]
    ready: Option<bool>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct IndexEntry {
    name: String,
    version: String,
    state: VersionState,
    /// Why it is in that state.
    #[schema(value_type = String)]
    reason: &'static str,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum VersionState {
    Ready,
    Unavailable,
}

/// List every version of every model.
#[utoipa::path(post, path = "/v2/repository/index", tag = "v2",
    request_body(content = Option<IndexRequest>, description = "May be empty"),
    responses((status = 200, description = "Models by name, their versions by number", body = Vec<IndexEntry>)))]
pub async fn list_v2_index(
    State(app): State<AppState>,
    ApiBytes(body): ApiBytes,
) -> Result<Json<Vec<IndexEntry>>, Problem> {
    // whatever type it says it is: Triton's client posts nothing, of no type
    let Object(request) = if body.is_empty() { Object(IndexRequest::default()) } else { from_json(&body)? };
    let only_ready = request.ready.unwrap_or(false);
    let mut entries = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let names = app.engine.store.models(after.as_deref(), PAGE).await?;
        for name in &names {
            for version in app.engine.store.versions(name).await?.iter().rev() {
                let is_ready = version.revoked_at.is_none();
                if is_ready || !only_ready {
                    let (state, reason) = if is_ready {
                        (VersionState::Ready, "")
                    } else {
                        (VersionState::Unavailable, "revoked")
                    };
                    entries.push(IndexEntry {
                        name: name.to_string(),
                        version: version.number.to_string(),
                        state,
                        reason,
                    });
                }
            }
            if entries.len() > MAX_VERSIONS {
                return Err(too_many());
            }
        }
        match names.last() {
            Some(last) => after = Some(last.to_string()),
            None => return Ok(Json(entries)),
        }
    }
}

fn too_many() -> Problem {
    let detail = format!("the index would have more than {MAX_VERSIONS} entries; `GET /models` has pages");
    Problem::invalid(vec![FieldError::new("", detail)])
}
