//! `POST /predict`: rows in, classes out.

mod rows;

use super::body::PredictBytes;
use super::error::{Code, FieldError, Problem};
use super::extract::{ApiPath, ApiQuery, ContentType, Object, from_json};
use super::number::{Checker, Number, Whole};
use super::order::ascii;
use super::serving;
use super::state::AppState;
use super::telemetry::Spent;
use crate::inference::{Loaded, Prediction, Rows};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use rows::JsonRows;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Classes in `top` when the request does not say.
const DEFAULT_TOP_K: usize = 3;
const TOP_K: Whole = Whole { min: 1, max: 1_000_000 };

/// Rows as JSON.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PredictRequest {
    /// `name`, `name@alias`, `name:version` or a version's id; at `/models/{ref}/predict` the address says it.
    #[serde(default)]
    model: Option<String>,
    inputs: JsonRows,
    /// How many classes `top` names, 3 without it.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, default = 3)]
    top_k: Option<Number>,
}

/// How raw numbers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    #[default]
    U8,
    F32,
}

/// For bodies that cannot say it themselves.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PredictQuery {
    /// The model, at `/predict`.
    model: Option<String>,
    /// How raw numbers are written: `u8` without it, or little-endian `f32`.
    #[param(inline)]
    dtype: Option<Dtype>,
    /// How many classes `top` names, 3 without it.
    #[param(minimum = 1)]
    top_k: Option<u32>,
}

/// Which version answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnsweredBy {
    pub name: String,
    pub version: u32,
    pub id: Uuid,
    pub digest: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PredictView {
    pub model: AnsweredBy,
    /// One for each row, in order.
    pub predictions: Vec<PredictionView>,
}

/// One row's answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct PredictionView {
    /// The most probable class; the lowest of equals.
    pub label: u32,
    /// Its probability.
    pub confidence: f32,
    /// Of every class.
    pub probabilities: Vec<f32>,
    /// The most probable classes as `[class, probability]`, best first.
    #[schema(value_type = Vec<Vec<f32>>)]
    pub top: Vec<(u32, f32)>,
}

impl From<Prediction> for PredictionView {
    fn from(prediction: Prediction) -> Self {
        let Prediction { label, confidence, probabilities, top } = prediction;
        Self { label, confidence, probabilities, top }
    }
}

/// Ask a model, named in the body (JSON) or in `?model=`.
#[utoipa::path(post, path = "/predict", tag = "predict", params(PredictQuery),
    request_body(content((PredictRequest = "application/json"), (Vec<u8> = "application/octet-stream"),
                         (Vec<u8> = "image/png")),
                 description = "JSON rows; raw rows, u8 or `?dtype=f32`; or one picture of the model's size"),
    responses((status = 200, description = "One answer a row", body = PredictView,
               headers(("Server-Timing" = String, description = "Milliseconds to parse, load and infer")))))]
pub async fn predict(
    State(app): State<AppState>,
    ApiQuery(query): ApiQuery<PredictQuery>,
    headers: HeaderMap,
    PredictBytes(body): PredictBytes,
) -> Result<Response, Problem> {
    answer(&app, None, query, &headers, body).await
}

/// Ask the model the address names.
#[utoipa::path(post, path = "/models/{ref}/predict", tag = "predict",
    params(("ref" = String, Path, description = "`name`, `name@alias`, `name:version` or a version's id"), PredictQuery),
    request_body(content((PredictRequest = "application/json"), (Vec<u8> = "application/octet-stream"),
                         (Vec<u8> = "image/png")),
                 description = "JSON rows; raw rows, u8 or `?dtype=f32`; or one picture of the model's size"),
    responses((status = 200, description = "One answer a row", body = PredictView,
               headers(("Server-Timing" = String, description = "Milliseconds to parse, load and infer")))))]
pub async fn predict_model(
    State(app): State<AppState>,
    ApiPath(reference): ApiPath<String>,
    ApiQuery(query): ApiQuery<PredictQuery>,
    headers: HeaderMap,
    PredictBytes(body): PredictBytes,
) -> Result<Response, Problem> {
    answer(&app, Some(reference), query, &headers, body).await
}

/// A body as far as it can be read without knowing the model.
enum Input {
    Json(JsonRows),
    Raw(Bytes, Dtype),
    Png(Bytes),
}

async fn answer(
    app: &AppState,
    reference: Option<String>,
    query: PredictQuery,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let started = Instant::now();
    let content_type = ContentType::of(headers)?;
    let query_top_k = query.top_k.map(|top_k| Number::Integer(i128::from(top_k)));
    let (input, body_model, body_top_k) = match content_type.as_str() {
        "application/octet-stream" => (Input::Raw(body, query.dtype.unwrap_or_default()), None, None),
        "image/png" => (Input::Png(body), None, None),
        _ if content_type.is_json() => {
            let Object(request): Object<PredictRequest> = from_json(&body)?;
            (Input::Json(request.inputs), request.model, request.top_k)
        }
        _ => {
            let detail = format!(
                "the body is {content_type}; send `application/json`, `application/octet-stream` or `image/png`"
            );
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
    };
    let reference = one_model(reference, body_model, query.model)?;
    let parsed = started.elapsed();

    let loaded = serving::served(app, &reference).await?;
    let ready = started.elapsed();

    let top_k = checked_top_k(body_top_k.or(query_top_k), body_top_k.is_some(), &loaded)?;
    let rows = check(input, &loaded)?;
    let checked = started.elapsed();
    let outputs = serving::infer(&loaded, rows).await?;
    let inferred = started.elapsed();

    let spent = Spent { parse: parsed + (checked - ready), load: ready - parsed, infer: inferred - checked };
    app.telemetry.predicted(outputs.n_rows(), spent);
    let timing = server_timing(&[("parse", spent.parse), ("load", spent.load), ("infer", spent.infer)]);
    let version = &loaded.version;
    let view = PredictView {
        model: AnsweredBy {
            name: version.model.clone(),
            version: version.version,
            id: version.id,
            digest: version.digest.clone(),
        },
        predictions: outputs.predictions(top_k).map(PredictionView::from).collect(),
    };
    Ok(([("server-timing", ascii(&timing))], Json(view)).into_response())
}

/// The one place that names the model; two that disagree are an error.
fn one_model(path: Option<String>, body: Option<String>, query: Option<String>) -> Result<String, Problem> {
    let mut named = [path, body, query].into_iter().flatten();
    let Some(first) = named.next() else {
        let detail = "name the model: `\"model\": \"digits@prod\"` in JSON, or `?model=digits@prod`";
        return Err(Problem::invalid(vec![FieldError::new("/model", detail)]));
    };
    match named.find(|other| *other != first) {
        None => Ok(first),
        Some(other) => {
            let detail = format!("says `{other}`, but the request also names `{first}`; keep one of them");
            Err(Problem::invalid(vec![FieldError::new("/model", detail)]))
        }
    }
}

fn checked_top_k(top_k: Option<Number>, in_body: bool, loaded: &Loaded) -> Result<usize, Problem> {
    let n_classes = loaded.model.mlp.shape().n_classes();
    let mut checker = Checker::default();
    let domain = Whole { max: TOP_K.max.min(n_classes as u64), ..TOP_K };
    let default = DEFAULT_TOP_K.min(n_classes) as u64;
    let pointer = if in_body { "/top_k" } else { "?top_k" };
    let top_k = checker.whole(pointer, top_k, domain, default);
    checker.finish(top_k as usize)
}

fn check(input: Input, loaded: &Loaded) -> Result<Rows, Problem> {
    let spec = &loaded.model.input;
    match input {
        Input::Json(rows) => rows.check(spec),
        Input::Raw(body, Dtype::U8) => rows::from_bytes(body, spec),
        Input::Raw(body, Dtype::F32) => rows::from_floats(&body, spec),
        Input::Png(body) => rows::from_png(&body, spec),
    }
}

/// `Server-Timing`, in milliseconds.
fn server_timing(parts: &[(&str, Duration)]) -> String {
    let parts: Vec<_> =
        parts.iter().map(|(name, spent)| format!("{name};dur={:.3}", spent.as_secs_f64() * 1e3)).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_may_be_named_once_or_twice_the_same() {
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(one_model(some("a"), None, None).unwrap(), "a");
        assert_eq!(one_model(some("a"), some("a"), None).unwrap(), "a");
        assert_eq!(one_model(some("a"), some("b"), None).unwrap_err().errors[0].pointer, "/model");
        assert_eq!(one_model(None, None, None).unwrap_err().errors[0].pointer, "/model");
    }

    #[test]
    fn timings_are_in_milliseconds() {
        assert_eq!(server_timing(&[("parse", Duration::from_micros(1500))]), "parse;dur=1.500");
    }
}
