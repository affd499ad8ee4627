//! What every way of asking for predictions shares: from a reference to a version in memory, from rows to answers.

use super::error::Problem;
use super::models;
use super::state::AppState;
use crate::inference::{Loaded, Outputs, Rows};
use std::sync::Arc;

/// Multiplications above which an answer is computed off the async threads: about a millisecond.
const INLINE_COST: usize = 4_000_000;

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

/// Answers rows: inline while it is short, for a hop to another thread costs as much as the network itself.
pub async fn infer(loaded: &Arc<Loaded>, rows: Rows) -> Result<Outputs, Problem> {
    if loaded.n_rows(&rows).saturating_mul(loaded.cost_per_row()) <= INLINE_COST {
        return Ok(loaded.answer(&rows));
    }
    let loaded = Arc::clone(loaded);
    tokio::task::spawn_blocking(move || loaded.answer(&rows)).await.map_err(Problem::internal)
}
