//! The frame around every request: its id, its span, its one log line, and the body of its problem.

use super::error::{Code, Problem};
use super::state::AppState;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A caller's own request id longer than this is replaced.
const MAX_REQUEST_ID: usize = 128;

/// Outermost middleware.
pub async fn frame(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let request_id = request_id(&request);
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", id = %request_id, method = %request.method(), path = %path);
    let started = Instant::now();
    let in_flight = InFlight::enter(&app);

    async {
        let mut response = next.run(request).await;
        if response.status().is_client_error() || response.status().is_server_error() {
            response = with_problem_body(response, &path, &request_id);
        }
        log(&response, &route, started);
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        drop(in_flight);
        response
    }
    .instrument(span)
    .await
}

/// Counts a request until its answer is ready, so that shutdown knows what it waits for.
struct InFlight<'a>(&'a AppState);

impl<'a> InFlight<'a> {
    fn enter(app: &'a AppState) -> Self {
        app.in_flight.fetch_add(1, Ordering::SeqCst);
        Self(app)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A panicking handler becomes a problem like any other.
#[expect(clippy::needless_pass_by_value, reason = "the signature the panic layer wants")]
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    Problem::internal(std::io::Error::other(format!("handler panicked: {text}"))).into_response()
}

/// The caller's own id if it is printable and short, so that logs of several services can be joined.
fn request_id(request: &Request) -> String {
    request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| !id.is_empty() && id.len() <= MAX_REQUEST_ID)
        .filter(|id| id.bytes().all(|b| b.is_ascii_graphic()))
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// Errors made by the framework itself (405, 413, 408, …) have no problem attached: their status names one.
fn with_problem_body(response: Response, path: &str, request_id: &str) -> Response {
    let (mut parts, _) = response.into_parts();
    let problem = parts
        .extensions
        .get::<Arc<Problem>>()
        .cloned()
        .unwrap_or_else(|| Arc::new(problem_of_status(parts.status)));
    parts.extensions.insert(Arc::clone(&problem));
    parts.status = problem.code.status();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    Response::from_parts(parts, Body::from(problem.to_body(path, request_id)))
}

fn problem_of_status(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => {
            Problem::new(Code::RouteNotFound, "nothing lives at this address; `/docs` lists what there is")
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(Code::MethodNotAllowed, "use one of the methods named in the `Allow` header")
        }
        StatusCode::REQUEST_TIMEOUT => Problem::new(
            Code::RequestTimeout,
            "the request was not complete or not answered in time; send it again",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(Code::PayloadTooLarge, "send a smaller body, or several requests")
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::new(Code::UnsupportedMediaType, "send `content-type: application/json`")
        }
        StatusCode::NOT_ACCEPTABLE => {
            Problem::new(Code::NotAcceptable, "accept one of the types this address offers")
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            Problem::new(Code::Unavailable, "try again in a moment").retry_after(2)
        }
        status if status.is_client_error() => {
            Problem::new(Code::BadRequest, "the request could not be understood")
        }
        status => Problem::internal(std::io::Error::other(format!("bare {status} from a layer"))),
    }
}

/// One line a request: with the cause when the server is to blame.
fn log(response: &Response, route: &str, started: Instant) {
    let status = response.status().as_u16();
    let elapsed_ms = started.elapsed().as_micros() as f64 / 1e3;
    let problem = response.extensions().get::<Arc<Problem>>();
    let code = problem.map_or("", |problem| problem.code.name());
    match problem.and_then(|problem| problem.cause.as_ref()) {
        Some(cause) => {
            let cause = causes(cause.as_ref());
            tracing::error!(route, status, code, elapsed_ms, %cause, "answered");
        }
        None => tracing::info!(route, status, code, elapsed_ms, "answered"),
    }
}

/// An error with everything that led to it, on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::state::tests::idle_app;
    use axum::Router;
    use axum::routing::get;
    use serde_json::Value;
    use std::time::Duration;
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;
    use tower_http::timeout::TimeoutLayer;

    async fn ask(path: &str) -> (StatusCode, Value, usize) {
        let (app, _dir) = idle_app().await;
        let boom = || async { panic!("password=hunter2") as &str };
        let router = Router::new()
            .route("/boom", get(boom))
            .route("/slow", get(std::future::pending::<&str>))
            .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_millis(5)))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(axum::middleware::from_fn_with_state(app.clone(), frame));
        let answer = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap(), app.in_flight.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing() {
        let (status, body, in_flight) = ask("/boom").await;
        assert_eq!((status.as_u16(), &body["code"], in_flight), (500, &Value::from("internal"), 0));
        assert!(!body.to_string().contains("hunter2"), "{body}");
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_a_problem() {
        let (status, body, in_flight) = ask("/slow").await;
        assert_eq!((status.as_u16(), &body["code"], in_flight), (408, &Value::from("request_timeout"), 0));
    }
}
