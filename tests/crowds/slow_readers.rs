//! Readers of events who do not read.

use crate::client::{answered, sent, stream_of};
use crate::health::Watch;
use crate::kernel::{n_open_files, socket_bytes};
use crate::server::Server;
use crate::{ANY_PORT, crowd, lethe, serve};
use lethe::domain::EventKind;
use lethe::store::{NewEvent, RunChange, Store};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

const MEASURED: Duration = Duration::from_secs(60);
/// Within which those who do not read at all are gone.
const GONE: Duration = Duration::from_secs(45);
const LOOK: Duration = Duration::from_millis(500);
/// Of what they cost, each. Resident is a page of events, and what hyper takes of it ahead of the socket.
const MOST_SOCKET_BYTES: u64 = 250_000;
const MOST_RESIDENT_BYTES: f64 = 100_000.0;
/// Of those who do not read: what they hold themselves is on this machine, too.
const RECEIVE_BUFFER: u32 = 8_192;
const MOST_P99_MS: f64 = 20.0;

/// A training without an end, with a log far longer than sockets hold; its events are as long as those of epochs.
async fn long_log(data_dir: &Path) -> String {
    let (server, address) = serve(lethe(), data_dir, ANY_PORT);
    let order = json!({ "mode": "standard", "dataset": "digits", "model": "m", "seed": 1,
                        "hyperparameters": { "hidden": [4], "epochs": 10_000 } });
    let run = answered(address, "POST", "/runs", &order).await["id"].as_str().unwrap().to_owned();
    drop(server);
    let store = Store::open(&data_dir.join("lethe.sqlite")).await.unwrap();
    let phase =
        |n: usize| NewEvent { kind: EventKind::Phase, data: json!({ "phase": "x".repeat(300), "n": n }) };
    store
        .advance(run.parse().unwrap(), None, RunChange::default(), (0..20_000).map(phase).collect())
        .await
        .unwrap();
    store.close().await;
    run
}

/// Epochs a second.
async fn pace(address: SocketAddr, run: &str, lasting: Duration) -> f64 {
    let epoch = async || {
        let run = answered(address, "GET", &format!("/runs/{run}"), &Value::Null).await;
        run["progress"]["epoch"].as_f64().unwrap()
    };
    let (began, before) = (Instant::now(), epoch().await);
    tokio::time::sleep(lasting).await;
    (epoch().await - before) / began.elapsed().as_secs_f64()
}

/// A client that has asked for the stream and has little room for it.
async fn narrow(address: SocketAddr, head: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
}

/// Reads a KB a second until the server has had enough; how much that was.
async fn sip(mut stream: TcpStream) -> usize {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let (mut sip, mut n_read) = ([0; 1_024], 0);
    loop {
        ticks.tick().await;
        match stream.read(&mut sip).await {
            Ok(n @ 1..) => n_read += n,
            _ => return n_read,
        }
    }
}

struct Costs {
    resident_mb: f64,
    socket_bytes: u64,
    until_gone: Option<Duration>,
}

/// Looks at the server until the time is over.
async fn watch(server: &Server, n_files_when_gone: usize) -> Costs {
    let began = Instant::now();
    let mut costs = Costs { resident_mb: 0.0, socket_bytes: 0, until_gone: None };
    let mut ticks = tokio::time::interval(LOOK);
    while began.elapsed() < MEASURED {
        ticks.tick().await;
        costs.resident_mb = costs.resident_mb.max(server.resident_mb());
        costs.socket_bytes = costs.socket_bytes.max(socket_bytes());
        if costs.until_gone.is_none() && n_open_files(server.process()) <= n_files_when_gone {
            costs.until_gone = Some(began.elapsed());
        }
    }
    costs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; `make torture` runs it"]
async fn readers_that_do_not_read_are_let_go_cost_little_and_hold_nobody_up() {
    let n_each = crowd(1_000, 1_000) / 3;
    let dir = tempfile::tempdir().unwrap();
    let run = long_log(dir.path()).await;
    let (server, address) = serve(lethe(), dir.path(), ANY_PORT);
    let alone = pace(address, &run, Duration::from_secs(15)).await;
    let (resident_mb, held, n_files) = (server.resident_mb(), socket_bytes(), n_open_files(server.process()));

    let head = stream_of(&run, 0);
    let (mut silent, mut sipping) = (Vec::new(), JoinSet::new());
    for _ in 0..n_each {
        silent.push(narrow(address, &head).await);
        let mut stopped = narrow(address, &head).await;
        read_head(&mut stopped).await;
        silent.push(stopped);
        sipping.spawn(sip(sent(address, head.as_bytes()).await));
    }
    let n_readers = silent.len() + sipping.len();
    let health = Watch::begin(address);
    // those who sip, and the health check
    let n_files_when_gone = n_files + n_each + 2;
    let (costs, crowded) = tokio::join!(watch(&server, n_files_when_gone), pace(address, &run, MEASURED));
    let mut health = health.end().await;
    let n_sipping = sipping.len() - std::iter::from_fn(|| sipping.try_join_next()).count();

    let resident = (costs.resident_mb - resident_mb) * 1e6 / n_readers as f64;
    let in_sockets = costs.socket_bytes.saturating_sub(held) / n_readers as u64;
    println!(
        "{n_readers} readers: {} that do not read gone after {:?}, {n_sipping} of {n_each} that sip still there; \
         {:.0} KB resident and {} KB in sockets each; /livez p99 {:.1} ms of {}, {} failed; \
         {alone:.2} epochs/s alone, {crowded:.2} with them",
        silent.len(),
        costs.until_gone,
        resident / 1e3,
        in_sockets / 1_000,
        health.p99_ms(),
        health.n_answered(),
        health.n_failed,
    );
    assert!(costs.until_gone.is_some_and(|after| after < GONE));
    assert_eq!(n_sipping, n_each);
    assert!(resident < MOST_RESIDENT_BYTES && in_sockets < MOST_SOCKET_BYTES);
    assert!(health.n_failed == 0 && health.p99_ms() < MOST_P99_MS);
    // what others do to a shared machine is more than the bar of a twentieth
    assert!(crowded > 0.8 * alone);
}
