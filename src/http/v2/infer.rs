//! `POST …/infer`.

use super::super::body::PredictBytes;
use super::super::error::{Code, Problem};
use super::super::extract::{ApiPath, ContentType, negotiate};
use super::super::order::ascii;
use super::super::serving;
use super::super::state::AppState;
use super::super::telemetry::{SERVER_TIMING, Stopwatch};
use super::answer::{InferResponse, write};
use super::body::{Framing, HEADER, HEADER_NAME};
use super::request::{InferRequest, Request};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

const JSON: &str = "application/json";
const BINARY: &str = "application/octet-stream";

/// Ask a model for tensors.
///
/// The input is one tensor, `input`, of numbers as everywhere: 0–255 for each pixel of an image, or floats. It stands in
/// the JSON, or little-endian behind it (`binary_data_size`); outputs likewise (`binary_data`, `binary_data_output`).
/// `Inference-Header-Content-Length: 0` sends the numbers alone, `UINT8` for images and `FP32` for vectors; the
/// answer is then binary, or JSON by `Accept`.
#[utoipa::path(post, path = "/v2/models/{ref}/infer", tag = "v2",
    params(("ref" = String, Path, description = "`name`, `name@alias`, `name:version` or a version's id"),
           ("Inference-Header-Content-Length" = Option<u64>, Header,
            description = "Bytes of the body that are JSON, if tensors follow; 0 if there is no JSON")),
    request_body(content((InferRequest = "application/json"), (Vec<u8> = "application/octet-stream"))),
    responses((status = 200, description = "The tensors",
               content((InferResponse = "application/json"), (Vec<u8> = "application/octet-stream")),
               headers(("Inference-Header-Content-Length" = u64, description = "Where tensors follow the JSON"),
                       ("Server-Timing" = String, description = "Milliseconds to parse, load and infer")))))]
pub async fn infer(
    State(app): State<AppState>,
    ApiPath(reference): ApiPath<String>,
    headers: HeaderMap,
    PredictBytes(body): PredictBytes,
) -> Result<Response, Problem> {
    answer(&app, &reference, &headers, body).await
}

/// Ask a version for tensors.
#[utoipa::path(post, path = "/v2/models/{name}/versions/{v}/infer", tag = "v2",
    params(("name" = String, Path, description = "The model"), ("v" = u32, Path, description = "Number of the version"),
           ("Inference-Header-Content-Length" = Option<u64>, Header,
            description = "Bytes of the body that are JSON, if tensors follow; 0 if there is no JSON")),
    request_body(content((InferRequest = "application/json"), (Vec<u8> = "application/octet-stream"))),
    responses((status = 200, description = "The tensors",
               content((InferResponse = "application/json"), (Vec<u8> = "application/octet-stream")),
               headers(("Inference-Header-Content-Length" = u64, description = "Where tensors follow the JSON"),
                       ("Server-Timing" = String, description = "Milliseconds to parse, load and infer")))))]
pub async fn infer_version(
    State(app): State<AppState>,
    ApiPath((name, number)): ApiPath<(String, u32)>,
    headers: HeaderMap,
    PredictBytes(body): PredictBytes,
) -> Result<Response, Problem> {
    answer(&app, &format!("{name}:{number}"), &headers, body).await
}

async fn answer(
    app: &AppState,
    reference: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let mut watch = Stopwatch::start();
    let request = read(headers, body)?;
    watch.parsed();
    let loaded = serving::served(app, reference).await?;
    watch.loaded();
    let wanted = request.wanted(loaded.n_classes())?;
    let id = request.id.clone();
    let input = &loaded.model.input;
    let rows = serving::as_seen(request.rows(input)?, input);
    watch.parsed();
    let outputs = serving::infer(&loaded, rows).await?;
    watch.inferred();
    let spent = watch.spent;
    app.telemetry.predicted(outputs.n_rows(), spent);
    let body = write(&loaded.version, &loaded.model.class_names, id, &outputs, &wanted);
    let media_type = HeaderValue::from_static(if body.json_length.is_some() { BINARY } else { JSON });
    let headers = [(header::CONTENT_TYPE, media_type), (SERVER_TIMING, spent.server_timing())];
    let mut response = (headers, Body::from(body.bytes)).into_response();
    if let Some(length) = body.json_length {
        response.headers_mut().insert(HEADER_NAME, ascii(&length.to_string()));
    }
    Ok(response)
}

/// Triton's clients state no type or `application/octet-stream`, whatever they send; where the header is, it says
/// what the body is.
fn read(headers: &HeaderMap, body: Bytes) -> Result<Request, Problem> {
    let content_type = ContentType::of(headers)?;
    match Framing::of(headers)? {
        Framing::Json if content_type.is_json() || matches!(content_type.as_str(), "" | BINARY) => {
            Request::read(&body, None)
        }
        Framing::Json => {
            let detail =
                format!("the body is {content_type}; send JSON, or say with `{HEADER}` where tensors begin");
            Err(Problem::new(Code::UnsupportedMediaType, detail))
        }
        Framing::Split(json_length) => Request::read(&body, Some(json_length)),
        Framing::Raw => Ok(Request::raw(body, negotiate(headers, &[BINARY, JSON])? == BINARY)),
    }
}
