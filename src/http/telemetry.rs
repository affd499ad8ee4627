//! What is counted, and how Prometheus and its kin read it (OpenMetrics 1.0).
//!
//! Names follow Prometheus's conventions: one prefix, base units, no label whose values have no end (never a run or a
//! version).

use super::error::Problem;
use super::order::ascii;
use super::state::AppState;
use axum::extract::{MatchedPath, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// The parts of a prediction's time in milliseconds (W3C Server Timing).
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Everything that is counted.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    requests: Family<Request, Histogram, Buckets>,
    parse: Histogram,
    load: Histogram,
    infer: Histogram,
    rows: Histogram,
    runs: Family<RunLabel, Gauge>,
    streams: Gauge,
    models: Gauge,
    model_bytes: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: Route,
    status: u16,
}

/// A route's pattern, shared with the router.
#[derive(Clone, Debug)]
struct Route(Option<MatchedPath>);

impl Route {
    fn as_str(&self) -> &str {
        self.0.as_ref().map_or("-", MatchedPath::as_str)
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Route {}

impl Hash for Route {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabel {
    status: &'static str,
}

#[derive(Clone, Debug)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        seconds()
    }
}

/// From 15 µs to 14 s: what is usual for HTTP begins at 5 ms, where a prediction is long over.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(15e-6, 1.5, 35))
}

/// What a prediction's time went to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Reading the body and checking it against the model's input.
    pub parse: Duration,
    /// Finding the model, and reading it if it was not in memory.
    pub load: Duration,
    /// Waiting for a thread, where rows take long, and computing.
    pub infer: Duration,
}

impl Spent {
    /// As [`SERVER_TIMING`] tells it.
    pub fn server_timing(&self) -> HeaderValue {
        let mut timing = String::with_capacity(64);
        for (name, spent) in [("parse", self.parse), ("load", self.load), ("infer", self.infer)] {
            let separator = if timing.is_empty() { "" } else { ", " };
            // more than an hour: a request does not take so long
            let micros = u32::try_from(spent.as_micros()).unwrap_or(u32::MAX);
            timing.extend([separator, name, ";dur=", itoa::Buffer::new().format(micros / 1_000), "."]);
            timing.extend([100, 10, 1].map(|place| char::from(b'0' + (micros / place % 10) as u8)));
        }
        ascii(&timing)
    }
}

/// Tells the parts of a prediction's time apart: each goes from the end of the one before.
#[derive(Debug)]
pub struct Stopwatch {
    since: Instant,
    pub spent: Spent,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { since: Instant::now(), spent: Spent::default() }
    }

    pub fn parsed(&mut self) {
        let lap = self.lap();
        self.spent.parse += lap;
    }

    pub fn loaded(&mut self) {
        let lap = self.lap();
        self.spent.load += lap;
    }

    pub fn inferred(&mut self) {
        let lap = self.lap();
        self.spent.infer += lap;
    }

    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.since, now)
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        let mut all = Registry::with_prefix("lethe");
        let build =
            Info::new([("version", env!("CARGO_PKG_VERSION")), ("kernels", crate::nn::kernel_family())]);
        all.register("build", "Which build this is", build);
        let requests = Family::<Request, Histogram, Buckets>::new_with_constructor(Buckets);
        let help = "From the head of a request to the head of its answer";
        all.register_with_unit("http_request_duration", help, Unit::Seconds, requests.clone());
        let mut part = |name: &str, help: &str| {
            let histogram = seconds();
            all.register_with_unit(name, help, Unit::Seconds, histogram.clone());
            histogram
        };
        let parse = part("predict_parse", "Reading a prediction's body and checking it");
        let load = part("predict_load", "Finding a prediction's model");
        let infer = part("predict_infer", "Waiting for a thread, where rows take long, and computing");
        let rows = Histogram::new(exponential_buckets(1.0, 2.0, 21));
        all.register("predict_rows", "Rows of a request for predictions", rows.clone());
        let runs = Family::<RunLabel, Gauge>::default();
        all.register("runs", "Runs by status", runs.clone());
        let mut gauge = |name: &str, help: &str| {
            let gauge: Gauge = Gauge::default();
            all.register(name, help, gauge.clone());
            gauge
        };
        let streams = gauge("sse_subscribers", "Event streams that are open");
        let models = gauge("models_loaded", "Versions in memory");
        let model_bytes = gauge("model_bytes", "Bytes of the weights of versions in memory");
        Self { registry: all, requests, parse, load, infer, rows, runs, streams, models, model_bytes }
    }
}

impl Telemetry {
    pub fn answered(
        &self,
        method: &Method,
        route: Option<&MatchedPath>,
        status: StatusCode,
        spent: Duration,
    ) {
        let request =
            Request { method: known(method), route: Route(route.cloned()), status: status.as_u16() };
        self.requests.get_or_create(&request).observe(spent.as_secs_f64());
    }

    pub fn predicted(&self, n_rows: usize, spent: Spent) {
        self.parse.observe(spent.parse.as_secs_f64());
        self.load.observe(spent.load.as_secs_f64());
        self.infer.observe(spent.infer.as_secs_f64());
        self.rows.observe(n_rows as f64);
    }
}

/// Clients may make up methods: those are one label together.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|&known| known == method.as_str()).unwrap_or("other")
}

/// Counts and times, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "OpenMetrics text", body = String,
               content_type = "application/openmetrics-text")))]
pub async fn get_metrics(State(app): State<AppState>) -> Result<Response, Problem> {
    let telemetry = &app.telemetry;
    for (status, n) in app.engine.store.run_counts().await? {
        telemetry.runs.get_or_create(&RunLabel { status: status.name() }).set(n);
    }
    telemetry.streams.set(app.open_streams() as i64);
    let (n_models, bytes) = app.engine.inference.in_memory();
    telemetry.models.set(n_models as i64);
    telemetry.model_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    let mut body = String::new();
    text::encode(&mut body, &telemetry.registry).map_err(Problem::internal)?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_are_in_milliseconds() {
        let spent = Spent {
            parse: Duration::from_micros(1_507),
            load: Duration::from_nanos(900),
            infer: Duration::from_millis(12_340),
        };
        assert_eq!(spent.server_timing(), "parse;dur=1.507, load;dur=0.000, infer;dur=12340.000");
    }
}
