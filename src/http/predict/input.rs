//! A body into what the network sees.

use super::super::error::{FieldError, Problem};
use super::super::serving::refusal;
use super::super::state::AppState;
use super::picture;
use crate::data::InputSpec;
use crate::formats::json::JsonRows;
use crate::formats::picture::Prepare;
use crate::formats::{Dtype, Values, npy, raw};
use crate::inference::Loaded;
use bytes::Bytes;

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
            Self::Png(body, prepare) => Box::pin(picture::pixels(app, body, prepare, loaded)).await,
        }
    }
}
