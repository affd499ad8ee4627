//! A body into what the network sees.

use super::super::error::{FieldError, Problem};
use super::super::state::AppState;
use super::picture;
use crate::data::InputSpec;
use crate::formats::json::JsonRows;
use crate::formats::picture::Prepare;
use crate::formats::{Dtype, Fault, Values, npy, raw};
use crate::inference::{Loaded, Rows};
use bytes::Bytes;

/// How an image's bytes become what the network sees, as in training.
const BYTE_SCALE: f32 = 1.0 / 255.0;

/// A body as far as it can be read without knowing the model.
#[derive(Debug)]
pub enum Input {
    Json(JsonRows),
    Raw(Bytes, Dtype),
    Npy(Bytes),
    Png(Bytes, Option<Prepare>),
}

impl Input {
    /// Whole rows the model can answer.
    pub async fn check(self, app: &AppState, loaded: &Loaded) -> Result<Values, Problem> {
        let input = &loaded.model.input;
        match self {
            Self::Json(rows) => rows.check("/inputs", input).map_err(refusal),
            Self::Raw(_, Dtype::U8) if matches!(input, InputSpec::Vector { .. }) => {
                let detail =
                    "this model takes floats; send them as little-endian f32 with `?dtype=f32`, or as JSON";
                Err(Problem::invalid(vec![FieldError::new("?dtype", detail)]))
            }
            Self::Raw(body, dtype) => raw::decode(body, dtype, input).map_err(|fault| refusal(vec![fault])),
            Self::Npy(body) => npy::decode(body, input).map_err(|fault| refusal(vec![fault])),
            Self::Png(body, prepare) => picture::pixels(app, body, prepare, loaded).await,
        }
    }
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
