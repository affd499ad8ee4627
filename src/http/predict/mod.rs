//! `POST /predict`: rows in, classes out.

mod answer;
mod bulk;
mod input;
mod picture;
mod request;

use super::body::PredictBytes;
use super::error::{Code, Problem};
use super::extract::{ApiPath, ApiQuery, ContentType, Object, from_json, negotiate};
use super::order::ascii;
use super::serving;
use super::state::AppState;
use super::telemetry::{SERVER_TIMING, Stopwatch};
use crate::inference::Loaded;
use answer::{PredictView, PredictionView, Predictions};
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bulk::{Incoming, Outgoing};
use input::Input;
use request::{PredictQuery, PredictRequest, Wanted, one_model};

const JSON: &str = "application/json";
const NPY: &str = "application/x-npy";
const RAW: &str = "application/octet-stream";
const PNG: &str = "image/png";
const NDJSON: &str = "application/x-ndjson";

/// Which version answered, where the body has no place for it: `name:version`.
const MODEL_VERSION: HeaderName = HeaderName::from_static("x-model-version");

const BODY: &str = "JSON rows; raw rows, u8 or `?dtype=f32`; rows as numpy saves them; one picture, which `?prepare=` \
    has made like those of the training; or a row a line, as a list or `{\"inputs\": …, \"id\": …}`, as many as there are";
const ANSWER: &str = "One answer a row. Lines are answered in lines while they are sent, and so are npy files where the \
    answer is lines or npy itself: read while you send. What is wrong behind the first row ends the answer: lines with \
    `{\"problem\": …}` as the last, npy before its `Content-Length`";

/// Ask a model, named in the body (JSON) or in `?model=`.
#[utoipa::path(post, path = "/predict", tag = "predict", params(PredictQuery),
    request_body(content((PredictRequest = "application/json"), (Vec<u8> = "application/octet-stream"),
                         (Vec<u8> = "application/x-npy"), (Vec<u8> = "image/png"), (String = "application/x-ndjson")),
                 description = BODY),
    responses((status = 200, description = ANSWER,
               content((PredictView = "application/json"), (Vec<u8> = "application/x-npy"),
                       (PredictionView = "application/x-ndjson")),
               headers(("Server-Timing" = String, description = "Milliseconds to parse, load and infer"),
                       ("X-Model-Version" = String, description = "`name:version`, where the body does not say it")))))]
pub async fn predict(
    State(app): State<AppState>,
    ApiQuery(query): ApiQuery<PredictQuery>,
    exchange: Exchange,
    body: Body,
) -> Result<Response, Problem> {
    answer(&app, None, query, exchange, body).await
}

/// Ask the model the address names.
#[utoipa::path(post, path = "/models/{ref}/predict", tag = "predict",
    params(("ref" = String, Path, description = "`name`, `name@alias`, `name:version` or a version's id"), PredictQuery),
    request_body(content((PredictRequest = "application/json"), (Vec<u8> = "application/octet-stream"),
                         (Vec<u8> = "application/x-npy"), (Vec<u8> = "image/png"), (String = "application/x-ndjson")),
                 description = BODY),
    responses((status = 200, description = ANSWER,
               content((PredictView = "application/json"), (Vec<u8> = "application/x-npy"),
                       (PredictionView = "application/x-ndjson")),
               headers(("Server-Timing" = String, description = "Milliseconds to parse, load and infer"),
                       ("X-Model-Version" = String, description = "`name:version`, where the body does not say it")))))]
pub async fn predict_model(
    State(app): State<AppState>,
    ApiPath(reference): ApiPath<String>,
    ApiQuery(query): ApiQuery<PredictQuery>,
    exchange: Exchange,
    body: Body,
) -> Result<Response, Problem> {
    answer(&app, Some(reference), query, exchange, body).await
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Whole(Format),
    /// One after another, without end.
    Lines,
}

/// What is read as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Raw,
    /// Unless the answer can be written while it is read.
    Npy,
    Png,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let content_type = ContentType::of(headers)?;
        match content_type.as_str() {
            RAW => Ok(Self::Whole(Format::Raw)),
            NPY => Ok(Self::Whole(Format::Npy)),
            PNG => Ok(Self::Whole(Format::Png)),
            NDJSON => Ok(Self::Lines),
            _ if content_type.is_json() => Ok(Self::Whole(Format::Json)),
            _ => {
                let detail = format!(
                    "the body is {content_type}; send `{JSON}`, `{RAW}`, `{NPY}`, `{PNG}` or `{NDJSON}`"
                );
                Err(Problem::new(Code::UnsupportedMediaType, detail))
            }
        }
    }

    /// What its rows may be answered as, the usual first.
    const fn offers(self) -> &'static [&'static str] {
        match self {
            Self::Whole(Format::Json | Format::Raw | Format::Png) => &[JSON, NPY],
            Self::Whole(Format::Npy) => &[JSON, NPY, NDJSON],
            Self::Lines => &[NDJSON],
        }
    }
}

/// How rows come, and how answers are to go, by the head of a request.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    kind: Kind,
    accepted: &'static str,
}

impl<S: Send + Sync> FromRequestParts<S> for Exchange {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let kind = Kind::of(&parts.headers)?;
        let accepted = negotiate(&parts.headers, kind.offers())?;
        Ok(Self { kind, accepted })
    }
}

async fn answer(
    app: &AppState,
    reference: Option<String>,
    query: PredictQuery,
    Exchange { kind, accepted }: Exchange,
    body: Body,
) -> Result<Response, Problem> {
    // what is rare is boxed below: it would make the state of every request larger, which is moved about
    fits(&query, accepted)?;
    let format = match kind {
        Kind::Lines => {
            let bulk = answer_in_bulk(app, reference, query, Incoming::lines(), accepted, body);
            return Box::pin(bulk).await;
        }
        Kind::Whole(Format::Npy) if accepted != JSON => {
            let bulk = answer_in_bulk(app, reference, query, Incoming::npy(), accepted, body);
            return Box::pin(bulk).await;
        }
        Kind::Whole(format) => format,
    };

    let PredictBytes(body) = PredictBytes::read(body, app).await?;
    let mut watch = Stopwatch::start();
    let (input, body_model, body_wants) = match format {
        Format::Raw => (Input::Raw(body, query.dtype.unwrap_or_default()), None, None),
        Format::Npy => (Input::Npy(body), None, None),
        Format::Png => (Input::Png(body, query.prepare), None, None),
        Format::Json => {
            let Object(request): Object<PredictRequest> = from_json(&body)?;
            (Input::Json(request.inputs), request.model, Some((request.top_k, request.r#return)))
        }
    };
    let wanted = Wanted::of(&query, body_wants)?;
    let reference = one_model(reference, body_model, query.model)?;
    watch.parsed();

    let loaded = serving::served(app, &reference).await?;
    watch.loaded();

    let parts = wanted.check(&loaded)?;
    let spec = &loaded.model.input;
    let values = input.check(app, &loaded).await?;
    let seen = parts.seen.then(|| values.clone());
    let rows = serving::as_seen(values, spec);
    watch.parsed();
    let outputs = serving::infer(&loaded, rows).await?;
    watch.inferred();

    let spent = watch.spent;
    app.telemetry.predicted(outputs.n_rows(), spent);
    let body = if accepted == NPY {
        answer::npy(&outputs, query.output.unwrap_or_default())
    } else {
        answer::json(&loaded, Predictions { outputs: &outputs, seen: seen.as_ref(), parts, input: spec })
    };
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static(accepted)), (SERVER_TIMING, spent.server_timing())];
    let mut response = (headers, Body::from(body)).into_response();
    if accepted == NPY {
        response.headers_mut().extend([model_version(&loaded)]);
    }
    Ok(response)
}

/// Rows that are answered as they come.
async fn answer_in_bulk(
    app: &AppState,
    reference: Option<String>,
    query: PredictQuery,
    incoming: Incoming,
    accepted: &str,
    body: Body,
) -> Result<Response, Problem> {
    let wanted = Wanted::of(&query, None)?;
    let loaded = serving::served(app, &one_model(reference, None, query.model)?).await?;
    let parts = wanted.check(&loaded)?;
    let outgoing = match accepted {
        NPY => Outgoing::Npy(query.output.unwrap_or_default()),
        _ => Outgoing::Lines(parts),
    };
    bulk::answer(app, loaded, incoming, outgoing, body).await
}

fn model_version(loaded: &Loaded) -> (HeaderName, HeaderValue) {
    (MODEL_VERSION, ascii(&format!("{}:{}", loaded.version.model, loaded.version.version)))
}

/// Whether what is asked for can stand in an answer of this type.
fn fits(query: &PredictQuery, accepted: &str) -> Result<(), Problem> {
    let (pointer, detail) = match accepted {
        NPY if query.r#return.is_some() => {
            ("?return", "is for answers in JSON; an npy file holds one array, which `?output=` names")
        }
        JSON | NDJSON if query.output.is_some() => {
            ("?output", "is for answers as npy; accept `application/x-npy`, or name parts in `?return=`")
        }
        _ => return Ok(()),
    };
    Err(Problem::parameter(pointer, detail))
}
