//! A server of one's own for every test, and short ways to ask it.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt;
use lethe::artifacts::Artifacts;
use lethe::config::{ByteSize, Config};
use lethe::data::Catalogue;
use lethe::domain::{DatasetRef, Progress, Run, Source, Status, Train, Work};
use lethe::http::{self, AppState, Bounds};
use lethe::jobs::{Engine, Limits};
use lethe::nn::{Recipe, Standard};
use lethe::store::{NewEvent, RunChange, Store};
use lethe::webhooks::{Reach, Sender};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

/// More than any answer here has.
const ANSWER_LIMIT: usize = 64 << 20;

/// Event streams a server here has room for.
pub const MAX_STREAMS: usize = 1_000;

pub struct TestApp {
    pub state: AppState,
    router: Router,
    pub data_dir: TempDir,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::with_memory_limit("2GiB").await
    }

    /// Its webhooks cannot reach a test's receivers.
    pub async fn with_public_webhooks() -> Self {
        Self::with("2GiB", Reach::Public).await
    }

    pub async fn with_memory_limit(limit: &str) -> Self {
        Self::with(limit, Reach::Anywhere).await
    }

    async fn with(limit: &str, reach: Reach) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let store = Store::open(&data_dir.path().join("lethe.sqlite")).await.unwrap();
        let artifacts = Artifacts::open(data_dir.path()).unwrap();
        // no `mnist` here or there: it would have to be downloaded
        let catalogue = Catalogue::new(None, data_dir.path().join("datasets"));
        let engine =
            Engine::start(store, artifacts, catalogue, Limits { train_threads: 1, memory: u64::MAX })
                .await
                .unwrap();
        let limit: ByteSize = limit.parse().unwrap();
        let bounds = Bounds { memory: limit, streams: MAX_STREAMS };
        let state = AppState::new(engine, bounds, Sender::new(reach), CancellationToken::new());
        Self { router: http::router(state.clone()), state, data_dir }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, ANSWER_LIMIT).await.unwrap().to_vec();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send(Request::get(path).header(header::ACCEPT, accept).body(Body::empty()).unwrap()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Request::delete(path).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(json_request(Method::POST, path, body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(json_request(Method::PUT, path, body)).await
    }

    pub async fn post_as(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, content_type);
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Posts, and accepts one type of answer.
    pub async fn exchange(
        &self,
        path: &str,
        content_type: &str,
        accept: &str,
        body: impl Into<Body>,
    ) -> Answer {
        let request =
            Request::post(path).header(header::CONTENT_TYPE, content_type).header(header::ACCEPT, accept);
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Posts, and leaves the body of the answer to be read as it comes.
    pub async fn open(&self, path: &str, content_type: &str, accept: &str, body: Body) -> Response {
        let request =
            Request::post(path).header(header::CONTENT_TYPE, content_type).header(header::ACCEPT, accept);
        self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap()
    }

    /// Posts and waits for the run to end.
    pub async fn finish(&self, path: &str, body: &Value) -> Value {
        let mut request = json_request(Method::POST, path, body);
        request.headers_mut().insert("prefer", "wait=60".parse().unwrap());
        let answer = self.send(request).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// Trains a small network on `digits`.
    pub async fn train(&self, model: &str, epochs: u32) -> Value {
        let run = self.finish("/runs", &small_training(model, epochs)).await;
        assert_eq!(run["status"], "succeeded", "{run}");
        run
    }

    /// A run that says it is running and never ends, with `events` in its log. No run is worked on from
    /// then on.
    pub async fn parked_run(&self, events: Vec<NewEvent>) -> Uuid {
        self.state.engine.shutdown().await;
        let store = &self.state.engine.store;
        let (run, _) = store.insert_run(queued_run()).await.unwrap();
        store.advance(run.id, None, RunChange::to(Status::Running), events).await.unwrap();
        run.id
    }

    /// An open event stream.
    pub async fn stream(&self, path: &str, last_event_id: Option<u64>) -> (StatusCode, Frames) {
        let mut request = Request::get(path).header(header::ACCEPT, "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id.to_string());
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        (status, Frames { body: response.into_body().into_data_stream(), buffer: String::new() })
    }

    /// A server with `digits:1`, a small network after one epoch.
    pub async fn with_model() -> Self {
        let app = Self::start().await;
        app.train("digits", 1).await;
        app
    }

    /// Pixels and label of a test row of `digits`.
    pub async fn test_row(&self, row: u32) -> (Vec<u8>, u64) {
        let row = self.get(&format!("/datasets/digits/rows/{row}?split=test")).await.json();
        let pixels = row["features"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u8).collect();
        (pixels, row["label"].as_u64().unwrap())
    }

    pub async fn pixels(&self, row: u32) -> Vec<u8> {
        self.test_row(row).await.0
    }

    /// The run's log, as the table has it.
    pub async fn log(&self, run: &str) -> Vec<Value> {
        let page = self.get_as(&format!("/runs/{run}/events?limit=1000"), "application/json").await.json();
        page["data"].as_array().unwrap().clone()
    }
}

pub fn json_request(method: Method, path: &str, body: &Value) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

pub fn small_training(model: &str, epochs: u32) -> Value {
    json!({ "mode": "standard", "dataset": "digits", "model": model,
            "hyperparameters": { "hidden": [16], "epochs": epochs, "batch_size": 128 } })
}

/// Hours of work, if nobody cancels it.
pub fn endless_training() -> Value {
    small_training("endless", 10_000)
}

pub fn queued_run() -> Run {
    let recipe = Recipe::Standard(Standard::new(1));
    let dataset = DatasetRef {
        name: "digits".into(),
        version: 1,
        digest: "sha256:00".into(),
        source: Source::Embedded,
    };
    Run {
        progress: Progress { epoch: 0, epochs: recipe.epochs() },
        ..Run::queued(
            Work::Train(Train { recipe, forked_from: None, track_samples: false }),
            "parked",
            dataset,
            1,
        )
    }
}

/// Settings of a real server on a free port.
pub fn config(data_dir: &TempDir) -> Config {
    Config {
        listen: "127.0.0.1:0".into(),
        data_dir: data_dir.path().to_owned(),
        datasets_dir: None::<PathBuf>,
        train_threads: Some(1),
        memory_limit: ByteSize(1 << 30),
        max_streams: 1_000,
        keep_events: 1_000_000,
        keep_events_days: None,
        webhook_private: false,
        log: "info".into(),
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The answer as a whole and well-formed problem document with this status and code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:lethe:problem:{code}"));
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        for member in ["title", "detail", "instance"] {
            assert!(!problem[member].as_str().unwrap().is_empty(), "{member} of {problem}");
        }
        assert!(problem["errors"].is_array());
        problem
    }

    /// A 422 that points at exactly these places.
    #[track_caller]
    pub fn pointers(&self, expected: &[&str]) {
        let problem = self.problem(422, "invalid_request");
        let pointers: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
        assert_eq!(pointers, expected, "{problem}");
    }
}

/// One frame of an event stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    pub id: Option<u64>,
    pub event: String,
    pub data: Value,
    pub comment: String,
    pub retry: Option<u64>,
}

/// The frames of an open stream; dropping it is what a client does that goes away.
pub struct Frames {
    body: axum::body::BodyDataStream,
    buffer: String,
}

impl Frames {
    /// The next frame; `None` when the server has closed the stream.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let frame = parse_frame(&self.buffer[..end]);
                self.buffer.drain(..end + 2);
                return Some(frame);
            }
            let chunk = self.body.next().await?.unwrap();
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next frame that carries an event, whatever comments lie before it.
    pub async fn next_event(&mut self) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if !frame.event.is_empty() {
                return Some(frame);
            }
        }
    }

    /// The next durable event.
    pub async fn next_durable(&mut self) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.id.is_some() {
                return Some(frame);
            }
        }
    }

    /// Everything until the server closes the stream.
    pub async fn rest(mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

fn parse_frame(text: &str) -> Frame {
    let mut frame = Frame::default();
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap();
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => frame.comment = value.to_owned(),
            "id" => frame.id = Some(value.parse().unwrap()),
            "event" => frame.event = value.to_owned(),
            "retry" => frame.retry = Some(value.parse().unwrap()),
            "data" => frame.data = serde_json::from_str(value).unwrap(),
            other => panic!("unknown field {other}"),
        }
    }
    frame
}

/// A server process, killed when the test ends.
pub struct ServerProcess {
    process: Child,
    pub url: String,
}

impl ServerProcess {
    /// On a free port; `faults` is what `LETHE_FAULTS` says.
    pub fn start(data_dir: &Path, faults: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_lethe"))
            .env_clear()
            .env("LETHE_FAULTS", faults)
            .args(["serve", "--listen", "127.0.0.1:0", "--webhook-private", "--data-dir"])
            .arg(data_dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("the first line says where").to_owned();
        Self { process, url }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // an error means that it has ended already
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }
}

/// For a real server.
pub fn client() -> reqwest::Client {
    // a second installation, by another test of this process, changes nothing
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}
