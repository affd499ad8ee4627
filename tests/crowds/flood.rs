//! More connections than there may be.

use crate::client::sent;
use crate::health::Watch;
use crate::kernel::{cpu_seconds, n_open_files};
use crate::{ANY_PORT, crowd, is_torture, log_of, serve};
use std::process::Command;
use std::time::{Duration, Instant};

/// What the server may open, and the streams for which it has 1,024 connections.
const N_FILES: usize = 2_048;
const N_STREAMS: &str = "488";
/// Answers that show the reserve is free for health checks again; silent clients keep it full for two seconds.
const N_ANSWERS: usize = 50;
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_is_turned_away_and_health_stays_reachable() {
    let n_clients = crowd(5_000, 1_500);
    let dir = tempfile::tempdir().unwrap();
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--nofile={N_FILES}:{N_FILES}")).arg(env!("CARGO_BIN_EXE_lethe"));
    limited.args(["--max-streams", N_STREAMS]);
    let (server, address) = serve(limited, dir.path(), ANY_PORT);
    let (began, before) = (Instant::now(), cpu_seconds(server.process()));
    let mut health = Watch::begin(address);
    let mut clients = Vec::new();
    for _ in 0..n_clients {
        clients.push(sent(address, b"").await);
    }
    let flooding = began.elapsed();
    let n_files = n_open_files(server.process());
    let healthy = tokio::time::timeout(10 * LONGEST_SILENCE, health.answered(N_ANSWERS)).await;
    healthy.expect("health is reachable while the flood stands");
    let mut health = health.end().await;
    let cores = (cpu_seconds(server.process()) - before) / began.elapsed().as_secs_f64();
    println!(
        "{n_clients} connections in {flooding:.1?}: the server had {n_files} files open and used {cores:.2} cores; \
         /livez answered {} of {} times, p99 {:.1} ms, never silent for longer than {:.1?}",
        health.n_answered(),
        health.n_answered() + health.n_failed,
        health.p99_ms(),
        health.longest_silence,
    );
    assert!(n_files < N_FILES);
    assert!(health.longest_silence < LONGEST_SILENCE);
    assert!(cores < 0.5 || !is_torture(), "it does not run in circles");
    let log = std::fs::read_to_string(log_of(dir.path())).unwrap();
    assert!(!log.contains("open files"), "{log}");
}
