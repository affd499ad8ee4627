//! What every way of asking for predictions shares: from a reference to a version in memory, from rows to answers.

use super::error::{Code, FieldError, Problem};
use super::models;
use super::state::AppState;
use crate::data::InputSpec;
use crate::formats::{Fault, Values};
use crate::inference::{Loaded, Outputs, Overloaded, Rows};
use crate::nn::BYTE_SCALE;
use std::sync::Arc;

/// The version a reference means, ready to answer; or a 404, or a 410 that names the replacement.
pub async fn served(app: &AppState, reference: &str) -> Result<Arc<Loaded>, Problem> {
    let generation = app.engine.store.registry_generation();
    if let Some(loaded) = app.engine.inference.recall(reference, generation) {
        return Ok(loaded);
    }
    // rare, and half of what every request would carry about
    Box::pin(looked_up(app, reference, generation)).await
}

/// The same, from the registry of this generation or a later one.
async fn looked_up(app: &AppState, reference: &str, generation: u64) -> Result<Arc<Loaded>, Problem> {
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

/// 422, with every fault.
pub fn refusal(faults: Vec<Fault>) -> Problem {
    let errors = faults.into_iter().map(|Fault { pointer, detail }| FieldError { pointer, detail });
    Problem::invalid(errors.collect())
}

/// Numbers as the network sees them: floats that are pixels are scaled, bytes are scaled by the network itself.
pub fn as_seen(values: Values, input: &InputSpec) -> Rows {
    match values {
        Values::U8(values) => Rows::U8(values),
        Values::F32(mut values) => {
            if matches!(input, InputSpec::Image { .. }) {
                values.iter_mut().for_each(|value| *value *= BYTE_SCALE);
            }
            Rows::F32(values)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn pixels_are_scaled_as_in_training_and_vectors_are_not() {
        let floats = || Values::F32(vec![0.0, 255.0, 51.0]);
        let image = InputSpec::Image { height: 1, width: 3 };
        assert_eq!(as_seen(floats(), &image), Rows::F32(vec![0.0, 1.0, 51.0 * BYTE_SCALE]));
        let vector = InputSpec::Vector { n_features: 3, columns: None };
        assert_eq!(as_seen(floats(), &vector), Rows::F32(vec![0.0, 255.0, 51.0]));
        let bytes = Bytes::from_static(&[0, 255, 51]);
        assert_eq!(as_seen(Values::U8(bytes.clone()), &image), Rows::U8(bytes));
    }
}
