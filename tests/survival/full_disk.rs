//! A disk that really fills up: file systems in memory of every size, from too small to start to large enough.

use crate::ledger::Ledger;
use crate::mounted::{Mounted, mount};
use crate::server::{Server, training, weights_of};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

const SMALLEST_KIB: usize = 64;
/// Sizes grow with the square of their number.
const STEP_KIB: usize = 12;
const N_SIZES: usize = 24;
const ROOMY: &str = "64m";
/// Orders until the disk is full, or certainly large enough.
const N_ORDERS: usize = 6;

struct Disk {
    /// Before the folder it is in: they go in this order.
    _mounted: Mounted,
    dir: TempDir,
}

impl Disk {
    fn new(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let how = ["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"];
        let mounted = Mounted::new(&how, dir.path()).expect("mounting file systems needs root");
        Self { _mounted: mounted, dir }
    }

    fn grow(&self) {
        assert!(mount(&["-o", &format!("remount,size={ROOMY}")], self.dir.path()));
    }
}

/// How a disk of this size was met.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Met {
    TooSmallToStart,
    Full,
    LargeEnough,
}

async fn fill(size_kib: usize, expected: &str) -> Met {
    let disk = Disk::new(&format!("{size_kib}k"));
    let dir = disk.dir.path().join("data");
    if std::fs::create_dir(&dir).is_err() {
        return Met::TooSmallToStart;
    }
    let mut ledger = Ledger::default();
    let mut met = Met::LargeEnough;
    let Some(server) = Server::quiet(&dir) else { return Met::TooSmallToStart };
    for n in 0..N_ORDERS {
        let order = training("m", &n.to_string());
        let (status, answer) = server.ask(Method::POST, "/runs", &order).await.unwrap();
        match status {
            202 => {
                ledger.acknowledge(&answer);
                let id = answer["id"].as_str().unwrap();
                // its end may be what cannot be written: then it is still there when there is room again
                let followed = server.follow(id, usize::MAX);
                if tokio::time::timeout(std::time::Duration::from_secs(16), followed).await.is_err() {
                    met = Met::Full;
                    break;
                }
                let run = server.get(&format!("/runs/{id}")).await;
                if run["status"] != "succeeded" {
                    assert_eq!(run["error"]["code"], "disk_full", "{size_kib} KiB: {run}");
                    met = Met::Full;
                }
            }
            507 => met = Met::Full,
            _ => panic!("{size_kib} KiB: {status} {answer}"),
        }
        assert_eq!(server.ask(Method::GET, "/livez", &Value::Null).await.unwrap().0, 200);
        server.get("/runs").await;
    }
    drop(server);
    disk.grow();
    let server = Server::start(&dir);
    ledger.check(&server).await;
    for run in crate::ledger::pages(&server, "/runs").await {
        let id = run["id"].as_str().unwrap();
        server.follow(id, usize::MAX).await;
        let run = server.get(&format!("/runs/{id}")).await;
        if run["status"] == "succeeded" {
            assert_eq!(weights_of(&server, &run).await, expected, "{size_kib} KiB");
        }
    }
    ledger.check(&server).await;
    met
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "mounts file systems, which needs root; `make torture` runs it"]
async fn a_disk_of_any_size_fills_up_without_losing_what_was_acknowledged() {
    let roomy = tempfile::tempdir().unwrap();
    let server = Server::start(roomy.path());
    let run = server.post("/runs", &training("m", "whole")).await;
    let id = run["id"].as_str().unwrap();
    server.follow(id, usize::MAX).await;
    let expected = weights_of(&server, &server.get(&format!("/runs/{id}")).await).await;
    drop(server);
    let mut met = Vec::new();
    for i in 0..N_SIZES {
        let size_kib = SMALLEST_KIB + i * i * STEP_KIB;
        met.push(fill(size_kib, &expected).await);
    }
    let count = |wanted: Met| met.iter().filter(|met| **met == wanted).count();
    println!(
        "{N_SIZES} disks: {} too small to start on, {} that filled up, {} large enough",
        count(Met::TooSmallToStart),
        count(Met::Full),
        count(Met::LargeEnough)
    );
    assert!(count(Met::Full) > 0);
}
