//! The frame around every request: its id, its span, its one log line, and the body of its problem.

use super::error::{Code, Problem};
use super::state::AppState;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::CatchUnwind;
use pin_project_lite::pin_project;
use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tower::{Layer, Service};
use tracing::instrument::Instrumented;
use tracing::{Instrument, Level, Span};
use uuid::{Builder, Uuid};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// Routes whose successes are counted, and written down only where the log is to show every detail.
const QUIET: [&str; 4] =
    ["/predict", "/models/{ref}/predict", "/v2/models/{ref}/infer", "/v2/models/{name}/versions/{v}/infer"];
/// A caller's own request id longer than this is replaced.
const MAX_REQUEST_ID: usize = 128;

/// Puts the frame around routes: the outermost layer.
#[derive(Clone, Debug)]
pub struct Frame(AppState);

impl Frame {
    pub fn new(app: AppState) -> Self {
        Self(app)
    }
}

impl<S> Layer<S> for Frame {
    type Service = Framed<S>;

    fn layer(&self, routes: S) -> Framed<S> {
        Framed { app: self.0.clone(), routes }
    }
}

/// Routes within the frame.
#[derive(Clone, Debug)]
pub struct Framed<S> {
    app: AppState,
    routes: S,
}

impl<S> Service<Request> for Framed<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.routes.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Answering<S::Future> {
        let in_flight = InFlight::enter(self.app.clone());
        let seen = Seen::of(&request);
        // a line for every prediction would cost more than the prediction
        let is_quiet = QUIET.contains(&seen.route());
        let span = if is_quiet { Span::none() } else { seen.span() };
        // a panic leaves nothing behind but what locks, atomics and transactions guard
        let answer = AssertUnwindSafe(self.routes.call(request)).catch_unwind();
        Answering { answer: answer.instrument(span), around: Around { in_flight, seen, is_quiet } }
    }
}

pin_project! {
    /// A request on its way to its answer. A named type, as it lives in every request: what `async` makes would be boxed.
    #[derive(Debug)]
    pub struct Answering<F> {
        #[pin]
        answer: Instrumented<CatchUnwind<AssertUnwindSafe<F>>>,
        around: Around,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Answering<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answer = ready!(this.answer.as_mut().poll(context));
        let response = answer.unwrap_or_else(|panic| Ok(panicked(&*panic)));
        Poll::Ready(response.map(|response| this.around.close(response, this.answer.span())))
    }
}

/// What a request has around it.
#[derive(Debug)]
struct Around {
    in_flight: InFlight,
    seen: Seen,
    is_quiet: bool,
}

impl Around {
    /// Makes an answer out of what a route said, and tells of it.
    fn close(&self, mut response: Response, span: &Span) -> Response {
        let Self { in_flight: InFlight(app), seen, is_quiet } = self;
        let is_error = response.status().is_client_error() || response.status().is_server_error();
        if is_error {
            response = with_problem_body(response, seen.uri.path(), seen.id());
        }
        app.telemetry.answered(&seen.method, seen.route.as_ref(), response.status(), seen.started.elapsed());
        if !is_quiet {
            span.in_scope(|| log(&response, seen));
        } else if is_error || tracing::enabled!(Level::DEBUG) {
            seen.span().in_scope(|| log(&response, seen));
        }
        let headers = response.headers_mut();
        headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(NOSNIFF);
        headers.insert(REQUEST_ID, seen.id.clone());
        response
    }
}

/// What is told of a request behind its answer.
#[derive(Debug)]
struct Seen {
    id: HeaderValue,
    method: Method,
    uri: Uri,
    route: Option<MatchedPath>,
    started: Instant,
}

impl Seen {
    fn of(request: &Request) -> Self {
        Self {
            id: request_id(request.headers()),
            method: request.method().clone(),
            uri: request.uri().clone(),
            route: request.extensions().get().cloned(),
            started: Instant::now(),
        }
    }

    fn id(&self) -> &str {
        self.id.to_str().expect("it was made of printable characters")
    }

    fn route(&self) -> &str {
        self.route.as_ref().map_or("-", MatchedPath::as_str)
    }

    fn span(&self) -> Span {
        tracing::info_span!("request", id = %self.id(), method = %self.method, path = %self.uri.path())
    }
}

/// Counts a request until its answer is ready, so that shutdown knows what it waits for.
#[derive(Debug)]
struct InFlight(AppState);

impl InFlight {
    fn enter(app: AppState) -> Self {
        app.in_flight.fetch_add(1, Ordering::SeqCst);
        Self(app)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    Problem::internal(std::io::Error::other(format!("handler panicked: {text}"))).into_response()
}

/// The caller's own id if it is printable and short, so that logs of several services can be joined.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_fine = |id: &&HeaderValue| {
        !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(is_fine).cloned().unwrap_or_else(|| {
        let mut buffer = Uuid::encode_buffer();
        let id = new_id().hyphenated().encode_lower(&mut buffer);
        HeaderValue::from_str(id).expect("digits and hyphens")
    })
}

/// A UUIDv7 whose random part was drawn once and then counts: asking the system for random numbers takes as long as
/// routing the request.
fn new_id() -> Uuid {
    static RANDOM: LazyLock<(u16, AtomicU64)> = LazyLock::new(|| {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        (high as u16, AtomicU64::new(low))
    });
    let (fixed, counter) = &*RANDOM;
    let mut random = [0; 10];
    random[..2].copy_from_slice(&fixed.to_be_bytes());
    random[2..].copy_from_slice(&counter.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Builder::from_unix_timestamp_millis(now.as_millis() as u64, &random).into_uuid()
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
fn log(response: &Response, seen: &Seen) {
    let (route, status) = (seen.route(), response.status().as_u16());
    let elapsed_ms = seen.started.elapsed().as_micros() as f64 / 1e3;
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
    use tower_http::timeout::TimeoutLayer;

    async fn ask(path: &str) -> (StatusCode, Value, usize) {
        let (app, _dir) = idle_app().await;
        let boom = || async { panic!("password=hunter2") as &str };
        let router = Router::new()
            .route("/boom", get(boom))
            .route("/slow", get(std::future::pending::<&str>))
            .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_millis(5)))
            .layer(Frame::new(app.clone()));
        let answer = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap(), app.in_flight.load(Ordering::SeqCst))
    }

    #[test]
    fn ids_are_uuids_of_now_and_never_the_same() {
        let ids: std::collections::BTreeSet<Uuid> = (0..10_000).map(|_| new_id()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids {
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        }
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
