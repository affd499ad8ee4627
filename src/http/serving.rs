//! What every way of asking for predictions shares: from a reference to a version in memory, from rows to answers.

use super::error::{Code, Problem};
use super::models;
use super::state::AppState;
use crate::inference::{Loaded, Outputs, Overloaded, Rows};
use std::sync::Arc;

/// The version a reference means, ready to answer; or a 404, or a 410 that names the replacement.
pub async fn served(app: &AppState, reference: &str) -> Result<Arc<Loaded>, Problem> {
    let generation = app.engine.store.registry_generation();
    if let Some(loaded) = app.engine.inference.recall(reference, generation) {
        return Ok(loaded);
    }
    let version = models::resolve(app, reference).await?;
    let loaded = models::load(app, &version).await?;
    app.engine.inference.remember(reference, generation, &loaded);
    Ok(loaded)
}

/// Answers rows; 503 when too many wait for the same network already.
pub async fn infer(loaded: &Loaded, rows: Rows) -> Result<Outputs, Problem> {
    loaded.ask(rows).await.map_err(|Overloaded| {
        let detail = "too many requests wait for this model already; come back, or ask another server";
        Problem::new(Code::Overloaded, detail).retry_after(1)
    })
}
