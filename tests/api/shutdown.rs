//! Ending with open streams, on real sockets.

use crate::support::{config, endless_training, queued_run};
use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use lethe::domain::{EventKind, Status};
use lethe::http::serve::Server;
use lethe::jobs::Notice;
use lethe::store::{NewEvent, RunChange};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Live {
    url: String,
    address: std::net::SocketAddr,
    state: lethe::http::AppState,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
    _data_dir: TempDir,
}

impl Live {
    async fn start() -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let shutdown = CancellationToken::new();
        let server = Server::open(&config(&data_dir), shutdown.clone()).await.unwrap();
        let (url, address, state) = (server.url(), server.address(), server.state().clone());
        let serving = tokio::spawn(async move { server.run().await });
        Self { url, address, state, shutdown, serving, _data_dir: data_dir }
    }

    /// Ends the server; how long that took.
    async fn end(self) -> Duration {
        let started = Instant::now();
        self.shutdown.cancel();
        self.serving.await.unwrap();
        started.elapsed()
    }
}

fn client() -> reqwest::Client {
    // the error means that another test was first
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

#[tokio::test]
async fn a_hundred_open_streams_and_a_running_run_end_within_a_second() {
    let live = Live::start().await;
    let client = client();
    let run: Value = client
        .post(format!("{}/runs", live.url))
        .json(&endless_training())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let path = format!("{}{}", live.url, run["links"]["events"].as_str().unwrap());
    let mut streams = Vec::new();
    for _ in 0..100 {
        let mut stream = client.get(&path).send().await.unwrap().bytes_stream();
        stream.next().await.unwrap().unwrap();
        streams.push(stream);
    }
    let store = live.state.engine.store.clone();
    let took = live.end().await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    // every stream is closed, not left hanging
    for mut stream in streams {
        while let Some(Ok(_)) = stream.next().await {}
    }
    drop(store);
}

#[tokio::test]
async fn a_reader_that_has_stopped_reading_holds_nobody_back() {
    let live = Live::start().await;
    let store = &live.state.engine.store;
    // nobody takes the run up
    live.state.engine.shutdown().await;
    let (run, _) = store.insert_run(queued_run()).await.unwrap();
    // far more than the buffers of a socket hold
    let events = (0..4_000)
        .map(|_| NewEvent { kind: EventKind::Phase, data: json!({ "phase": "x".repeat(8_000) }) })
        .collect();
    store.advance(run.id, None, RunChange::to(Status::Running), events).await.unwrap();

    let mut socket = TcpStream::connect(live.address).await.unwrap();
    let request = format!("GET /runs/{}/events HTTP/1.1\r\nhost: x\r\n\r\n", run.id);
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 64];
    socket.read_exact(&mut first).await.unwrap();
    assert!(first.starts_with(b"HTTP/1.1 200"));

    let took = live.end().await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_run_is_given_back_at_once_while_a_slow_request_is_waited_for() {
    let live = Live::start().await;
    let client = client();
    let order = endless_training();
    let run: Value =
        client.post(format!("{}/runs", live.url)).json(&order).send().await.unwrap().json().await.unwrap();
    let path = format!("{}{}", live.url, run["links"]["events"].as_str().unwrap());
    let mut events = client.get(&path).send().await.unwrap().bytes_stream().eventsource();
    while !events.next().await.unwrap().unwrap().data.contains(r#""running""#) {}

    let mut slow = TcpStream::connect(live.address).await.unwrap();
    let head = "POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                expect: 100-continue\r\ncontent-length: 100\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    // the server says this when it begins to wait for the body
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");

    let store = live.state.engine.store.clone();
    let id = run["id"].as_str().unwrap().parse().unwrap();
    let mut notices = live.state.engine.subscribe(id);
    let ending = tokio::spawn(live.end());
    let given_back = async { while notices.recv().await.is_ok_and(|notice| !is_queued(&notice)) {} };
    tokio::time::timeout(Duration::from_secs(3), given_back).await.expect("the run is given back at once");
    assert!(!ending.is_finished(), "the slow request is still waited for");
    assert_eq!(store.run(id).await.unwrap().status, Status::Queued);
    drop(slow);
    ending.await.unwrap();
}

fn is_queued(notice: &Notice) -> bool {
    matches!(notice, Notice::Durable(event) if event.data["status"] == "queued")
}

#[tokio::test]
async fn another_parser_of_event_streams_reads_the_same() {
    let live = Live::start().await;
    let client = client();
    let order = crate::support::small_training("digits", 2);
    let run: Value =
        client.post(format!("{}/runs", live.url)).json(&order).send().await.unwrap().json().await.unwrap();
    let path = format!("{}{}", live.url, run["links"]["events"].as_str().unwrap());
    let mut events = client.get(&path).send().await.unwrap().bytes_stream().eventsource();
    let (mut ids, mut names) = (Vec::new(), Vec::new());
    while let Some(event) = events.next().await {
        let event = event.unwrap();
        let data: Value = serde_json::from_str(&event.data).unwrap();
        if !["snapshot", "batch", "ping"].contains(&event.event.as_str()) {
            assert_eq!(data["seq"].to_string(), event.id);
            ids.push(event.id.parse::<u64>().unwrap());
            names.push(event.event);
        }
    }
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
    assert_eq!(names.last().map(String::as_str), Some("done"));
    assert_eq!(names.iter().filter(|name| *name == "epoch").count(), 2);

    let stop = client.get(&path).header("last-event-id", ids.len()).send().await.unwrap();
    assert_eq!(stop.status().as_u16(), 204);
    live.end().await;
}

#[tokio::test]
async fn a_server_that_is_ending_is_not_ready() {
    let live = Live::start().await;
    let router = lethe::http::router(live.state.clone());
    live.end().await;
    let request = axum::http::Request::get("/readyz").body(axum::body::Body::empty()).unwrap();
    let answer = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert_eq!(answer.status().as_u16(), 503);
    assert!(answer.headers().contains_key("retry-after"));
}
