//! Clients that take for ever to ask.

use crate::client::{sent, until_closed};
use crate::health::Watch;
use crate::{ANY_PORT, crowd, lethe, serve};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The server's bounds for a head and for a whole request, and time to do something about it.
const HEAD: Duration = Duration::from_secs(10 + 2);
const REQUEST: Duration = Duration::from_secs(30 + 2);

/// How long until the server has had enough of a client that says nothing more.
async fn say_no_more(stream: TcpStream) -> Duration {
    let said = Instant::now();
    until_closed(stream).await;
    said.elapsed()
}

const HALF_A_HEAD: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ";
const HEAD_OF_A_BODY: &[u8] =
    b"POST /runs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";

/// Sends a body a byte a second; how long until the server has had enough, and what it says.
async fn drip(stream: TcpStream) -> (Duration, String) {
    let (mut reading, mut writing) = stream.into_split();
    let began = Instant::now();
    let dripping = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            if writing.write_all(b" ").await.is_err() {
                break;
            }
        }
    });
    let mut answer = Vec::new();
    // a reset is an end, too
    let _ = reading.read_to_end(&mut answer).await;
    let took = began.elapsed();
    dripping.abort();
    (took, String::from_utf8(answer).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes as long as a client may take; `make torture` runs it"]
async fn clients_that_take_for_ever_to_ask_are_let_go_and_keep_nobody_out() {
    let n_all = crowd(4_500, 4_500);
    let (n_heads, n_bodies) = (n_all * 4 / 9, n_all / 9);
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = serve(lethe(), dir.path(), ANY_PORT);
    let health = Watch::begin(address);
    let (mut heads, mut bodies) = (JoinSet::new(), JoinSet::new());
    // one after the other: what the kernel turns away because it comes too fast, the server never sees
    for _ in 0..n_heads {
        heads.spawn(say_no_more(sent(address, b"").await));
        heads.spawn(say_no_more(sent(address, HALF_A_HEAD).await));
    }
    for _ in 0..n_bodies {
        bodies.spawn(drip(sent(address, HEAD_OF_A_BODY).await));
    }
    let heads = tokio::time::timeout(2 * REQUEST, heads.join_all()).await.expect("all are let go");
    let heads = heads.into_iter().max().unwrap();
    let bodies = tokio::time::timeout(2 * REQUEST, bodies.join_all()).await.expect("all are let go");
    let mut health = health.end().await;
    let n_told = bodies.iter().filter(|(_, answer)| answer.starts_with("HTTP/1.1 408")).count();
    let bodies = bodies.into_iter().map(|(took, _)| took).max().unwrap();
    println!(
        "{n_heads} silent and {n_heads} with half a head gone after {heads:.1?} at most, {n_bodies} with a byte of body a \
         second after {bodies:.1?}, {n_told} of them told why; /livez p99 {:.1} ms of {}, {} failed",
        health.p99_ms(),
        health.n_answered(),
        health.n_failed,
    );
    assert!(heads < HEAD && bodies < REQUEST);
    assert_eq!(n_told, n_bodies);
    assert_eq!(health.n_failed, 0);
}
