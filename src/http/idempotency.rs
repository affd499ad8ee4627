//! `Idempotency-Key`: a request that is sent again is not done again.
//!
//! The key is reserved durably before the handler runs, together with the id of what the request will make. A
//! request that comes again gets the answer that was kept; if there is none, because the process died or the answer
//! was an error of the server, it gets the run that has that id, or is tried again under the same id.

use super::body::ApiBytes;
use super::error::{Code, FieldError, Problem};
use super::order;
use super::state::AppState;
use crate::store::{KeptAnswer, KeyedRequest, Reservation, StoreError};
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::Instrument;
use uuid::Uuid;

/// The header's name, as it is spelt.
pub const HEADER: &str = "Idempotency-Key";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const MAX_KEY: usize = 255;
/// A larger answer is not kept; what it tells of is looked up again.
const MAX_KEPT: usize = 256 << 10;
/// Headers of an answer that belong to what was done, not to the request that asked for it.
const KEPT_HEADERS: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::LOCATION, header::ETAG, HeaderName::from_static("preference-applied")];

/// Innermost middleware of everything that changes something by `POST`.
pub async fn idempotent(State(app): State<AppState>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    answer_once(&app, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer_once(app: &AppState, request: Request, next: Next) -> Result<Response, Problem> {
    let key = key_of(request.headers())?;
    let (parts, body) = request.into_parts();
    let ApiBytes(body) = ApiBytes::from_request(Request::from_parts(parts.clone(), body), app).await?;
    let keyed = KeyedRequest {
        key,
        operation: format!("{} {}", parts.method, parts.uri.path()),
        fingerprint: fingerprint(parts.uri.query().unwrap_or_default(), &body),
    };
    let request = Request::from_parts(parts, Body::from(body));
    let at_work = app.keys.enter(&keyed)?;
    let app = app.clone();
    // to its end even if the client goes away: what is done is also kept
    let work = async move {
        let _at_work = at_work;
        answer_reserved(&app, &keyed, request, next).await
    };
    let task = tokio::spawn(work.in_current_span());
    task.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

async fn answer_reserved(
    app: &AppState,
    keyed: &KeyedRequest,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (made, is_again) = match app.engine.store.reserve_key(keyed, Utc::now()).await? {
        Reservation::New(made) => (made, false),
        Reservation::Unanswered(made) => (made, true),
        Reservation::Answered(kept) => return replay(kept),
        Reservation::Taken => return Err(key_reused(&keyed.key)),
    };
    if is_again {
        match app.engine.store.run(made).await {
            Ok(run) => {
                let mut response = keep(app, keyed, order::present(app, &run)).await;
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
                return Ok(response);
            }
            Err(StoreError::NotFound) => {}
            Err(other) => return Err(other.into()),
        }
    }
    request.extensions_mut().insert(NewId(made));
    let response = next.run(request).await;
    Ok(keep(app, keyed, response).await)
}

/// Keeps the answer if it is final. An error of the server leaves the key as it is: whether something was done is
/// found out when the request comes again.
async fn keep(app: &AppState, keyed: &KeyedRequest, response: Response) -> Response {
    if response.status().is_server_error() {
        return response;
    }
    let (kept, response) = match kept_of(response).await {
        Ok(found) => found,
        Err(problem) => return problem.into_response(),
    };
    if let Some(kept) = &kept
        && let Err(error) = app.engine.store.keep_answer(keyed, kept).await
    {
        tracing::warn!(%error, "an answer could not be kept; should its request come again, it is made anew");
    }
    response
}

async fn kept_of(response: Response) -> Result<(Option<KeptAnswer>, Response), Problem> {
    let status = response.status().as_u16();
    if let Some(problem) = response.extensions().get::<Arc<Problem>>() {
        let body = serde_json::to_string(&KeptProblem::of(problem)).expect("a problem has string keys only");
        return Ok((Some(KeptAnswer { status, headers: BTreeMap::new(), body }), response));
    }
    let is_small = response.body().size_hint().upper().is_some_and(|size| size <= MAX_KEPT as u64);
    if !response.status().is_success() || !is_small {
        return Ok((None, response));
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, MAX_KEPT).await.map_err(Problem::internal)?;
    let headers = KEPT_HEADERS.into_iter().filter_map(|name| {
        let value = parts.headers.get(&name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    let headers = headers.collect();
    let kept = String::from_utf8(body.to_vec()).ok().map(|body| KeptAnswer { status, headers, body });
    Ok((kept, Response::from_parts(parts, Body::from(body))))
}

fn replay(kept: KeptAnswer) -> Result<Response, Problem> {
    let mut response = if kept.status >= 400 {
        let problem: KeptProblem = serde_json::from_str(&kept.body).map_err(Problem::internal)?;
        problem.into_problem().into_response()
    } else {
        let mut response = Response::new(Body::from(kept.body));
        *response.status_mut() = StatusCode::from_u16(kept.status).map_err(Problem::internal)?;
        for (name, value) in &kept.headers {
            let name = HeaderName::try_from(name).map_err(Problem::internal)?;
            response.headers_mut().insert(name, HeaderValue::try_from(value).map_err(Problem::internal)?);
        }
        response
    };
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// A problem without what belongs to one request alone.
#[derive(Serialize, Deserialize)]
struct KeptProblem {
    code: String,
    detail: String,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    retry_after_s: Option<u32>,
}

impl KeptProblem {
    fn of(problem: &Problem) -> Self {
        Self {
            code: problem.code.name().to_owned(),
            detail: problem.detail.clone(),
            errors: problem.errors.clone(),
            members: problem.members.clone(),
            retry_after_s: problem.retry_after_s,
        }
    }

    fn into_problem(self) -> Problem {
        // a code of another release
        let code = Code::ALL.iter().copied().find(|code| code.name() == self.code);
        Problem {
            errors: self.errors,
            members: self.members,
            retry_after_s: self.retry_after_s,
            ..Problem::new(code.unwrap_or(Code::BadRequest), self.detail)
        }
    }
}

/// The id of what a request makes: reserved under its key, or a new one.
#[derive(Clone, Copy, Debug)]
pub struct NewId(pub Uuid);

impl<S: Sync> FromRequestParts<S> for NewId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_else(|| Self(Uuid::now_v7())))
    }
}

/// The keys of requests at work, by key and operation, with the request's fingerprint.
#[derive(Debug, Default)]
pub struct Keys(Mutex<HashMap<(String, String), String>>);

impl Keys {
    /// Holds the key until what is returned is dropped.
    fn enter(self: &Arc<Self>, keyed: &KeyedRequest) -> Result<AtWork, Problem> {
        let name = (keyed.key.clone(), keyed.operation.clone());
        let mut at_work = self.lock();
        match at_work.get(&name) {
            None => {
                at_work.insert(name.clone(), keyed.fingerprint.clone());
                Ok(AtWork { keys: Arc::clone(self), name })
            }
            Some(fingerprint) if *fingerprint == keyed.fingerprint => Err(Problem::new(
                Code::IdempotencyKeyInUse,
                "the first request with this key is still being answered; send it again in a moment",
            )
            .retry_after(1)),
            Some(_) => Err(key_reused(&keyed.key)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), String>> {
        // every change is a single map operation: a panic elsewhere leaves nothing half done
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct AtWork {
    keys: Arc<Keys>,
    name: (String, String),
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.keys.lock().remove(&self.name);
    }
}

fn key_reused(key: &str) -> Problem {
    let detail =
        format!("`{key}` was sent with another request to this address; make a new key for this one");
    let errors = vec![FieldError::new(HEADER, "must be new for every request that is not a repetition")];
    Problem { errors, ..Problem::new(Code::IdempotencyKeyReused, detail) }
}

/// The key: a structured-field string (RFC 9651), or the same without its quotes, as many clients send it.
fn key_of(headers: &HeaderMap) -> Result<String, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let one = values.next().filter(|_| values.next().is_none());
    let text = one.and_then(|value| value.to_str().ok()).map(str::trim);
    let key = text.and_then(|text| match text.strip_prefix('"') {
        Some(quoted) => unquote(quoted),
        None => text.bytes().all(is_bare).then(|| text.to_owned()),
    });
    key.filter(|key| !key.is_empty() && key.len() <= MAX_KEY).ok_or_else(|| {
        let detail =
            format!("must be one string of 1 to {MAX_KEY} printable ASCII characters, as in `\"8e03978e\"`");
        let errors = vec![FieldError::new(HEADER, detail.clone())];
        Problem { errors, ..Problem::new(Code::InvalidHeader, format!("`{HEADER}` {detail}")) }
    })
}

const fn is_bare(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b',' | b';')
}

/// What stands between the quotes, the first of which is gone already.
fn unquote(quoted: &str) -> Option<String> {
    let mut key = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return characters.as_str().is_empty().then_some(key),
            '\\' => key.push(characters.next().filter(|c| matches!(c, '"' | '\\'))?),
            character if character == ' ' || character.is_ascii_graphic() => key.push(character),
            _ => return None,
        }
    }
}

fn fingerprint(query: &str, body: &[u8]) -> String {
    // a query holds no line break
    let hash = Sha256::new().chain_update(query).chain_update("\n").chain_update(body).finalize();
    hex::encode(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: &str) -> Result<String, Problem> {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        key_of(&HeaderMap::from_iter([(IDEMPOTENCY_KEY, value)]))
    }

    #[test]
    fn a_key_is_read_with_and_without_quotes() {
        for (value, expected) in [
            ("\"8e03978e-40d5\"", "8e03978e-40d5"),
            ("8e03978e-40d5", "8e03978e-40d5"),
            ("  order/7=a  ", "order/7=a"),
            (r#""a b, \"c\" \\d;e""#, r#"a b, "c" \d;e"#),
        ] {
            assert_eq!(key(value).unwrap(), expected, "{value}");
        }
        assert_eq!(key(&"k".repeat(255)).unwrap().len(), 255);
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        let long = "k".repeat(256);
        for value in [
            "",
            " ",
            "\"\"",
            "\"",
            "\"a",
            "a\"",
            "\"a\"b",
            "\"a\";p=1",
            "a b",
            "a,b",
            "a;b",
            "\"\\a\"",
            "ä",
            "\"ä\"",
            &long,
        ] {
            let problem = key(value).unwrap_err();
            assert_eq!((problem.code, &*problem.errors[0].pointer), (Code::InvalidHeader, HEADER), "{value}");
        }
        let mut twice = HeaderMap::new();
        twice.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        twice.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        assert!(key_of(&twice).is_err());
    }

    #[test]
    fn the_fingerprint_tells_query_and_body_apart() {
        assert_eq!(fingerprint("a=1", b"{}"), fingerprint("a=1", b"{}"));
        assert_ne!(fingerprint("a=1", b"{}"), fingerprint("", b"a=1{}"));
        assert_ne!(fingerprint("", b"{}"), fingerprint("", b"{ }"));
    }
}
