//! A server killed at random moments of a busy life, also while it starts.

use crate::client::{Client, seed};
use crate::server::Server;
use rand::RngExt;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_random_moments_keeps_all_it_acknowledged() {
    let n_kills = if crate::is_torture() { 120 } else { 10 };
    let seed = seed();
    println!("{n_kills} kills, LETHE_TORTURE_SEED={seed}");
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::new(seed);
    let mut n_while_starting = 0;
    for _ in 0..n_kills {
        if client.rng.random_bool(0.15) {
            let moment = Duration::from_millis(client.rng.random_range(0..100));
            Server::kill_while_starting(dir.path(), moment).await;
            n_while_starting += 1;
            continue;
        }
        client.live(&Server::start(dir.path())).await;
    }
    let told = client.conclude(&Server::start(dir.path()), dir.path()).await;
    println!("{n_while_starting} of the kills while starting; {told}");
}
