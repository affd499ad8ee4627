//! All readers come back at once, as they do when a server was restarted.

use crate::client::{answered, ask, stream_of};
use crate::kernel::n_overflows;
use crate::{ANY_PORT, crowd, is_torture, lethe, serve};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Within which everybody is served again.
const SERVED: Duration = Duration::from_secs(30);

/// A reader of one run, as browsers are: comes back where it was, after the time it was told and a little chance.
struct Reader {
    address: SocketAddr,
    run: String,
    last: u64,
    retry_ms: u64,
    rng: ChaCha8Rng,
    /// Told of every connection on which there was an event.
    served: mpsc::UnboundedSender<()>,
}

impl Reader {
    async fn read_for_ever(mut self) {
        loop {
            // that it ends, and how, is what is provoked
            let _ = self.read().await;
            let wait = self.retry_ms / 2 + self.rng.random_range(0..self.retry_ms);
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }

    async fn read(&mut self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(stream_of(&self.run, self.last).as_bytes()).await?;
        let mut lines = BufReader::new(stream).lines();
        let mut is_served = false;
        while let Some(line) = lines.next_line().await? {
            if let Some(id) = line.strip_prefix("id: ") {
                let id = id.parse().unwrap();
                assert_eq!(id, self.last + 1, "no event is missed or told twice");
                self.last = id;
                if !std::mem::replace(&mut is_served, true) {
                    self.served.send(()).unwrap();
                }
            } else if let Some(retry) = line.strip_prefix("retry: ") {
                self.retry_ms = retry.parse().unwrap();
            }
        }
        Ok(())
    }
}

/// Asks for predictions until told to stop; how many there were, none of which may fail.
async fn predict(address: SocketAddr, over: Arc<AtomicBool>) -> usize {
    let row = json!({ "inputs": [vec![0; 784]] });
    let mut n_answered = 0;
    while !over.load(Ordering::Relaxed) {
        let (status, answer) = ask(address, "POST", "/models/served/predict", &row).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        n_answered += 1;
    }
    n_answered
}

fn training(model: &str, epochs: u32) -> Value {
    json!({ "mode": "standard", "dataset": "digits", "model": model, "seed": 1,
            "hyperparameters": { "hidden": [4], "epochs": epochs } })
}

async fn all_served(served: &mut mpsc::UnboundedReceiver<()>, n_readers: usize) {
    for _ in 0..n_readers {
        served.recv().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_all_come_back_at_once_are_served_where_they_were_and_predictions_go_on() {
    let n_readers = crowd(1_000, 100);
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = serve(lethe(), dir.path(), ANY_PORT);
    let first = answered(address, "POST", "/runs", &training("served", 1)).await;
    let path = format!("/runs/{}/events", first["id"].as_str().unwrap());
    // it ends with the run
    ask(address, "GET", &format!("{path}?after=0"), &Value::Null).await.unwrap();
    let run = answered(address, "POST", "/runs", &training("long", 10_000)).await;
    let run = run["id"].as_str().unwrap().to_owned();

    let (sender, mut served) = mpsc::unbounded_channel();
    let mut readers = JoinSet::new();
    for n in 0..n_readers {
        let rng = ChaCha8Rng::seed_from_u64(n as u64);
        let (run, served) = (run.clone(), sender.clone());
        readers.spawn(Reader { address, run, last: 0, retry_ms: 2_000, rng, served }.read_for_ever());
    }
    all_served(&mut served, n_readers).await;
    let overflows = n_overflows();
    drop(server);

    let (server, again) = serve(lethe(), dir.path(), &address.to_string());
    let began = Instant::now();
    assert_eq!(again, address);
    let over = Arc::new(AtomicBool::new(false));
    let predicting = tokio::spawn(predict(address, Arc::clone(&over)));
    tokio::select! {
        waited = tokio::time::timeout(SERVED, all_served(&mut served, n_readers)) => waited.expect("all are served in time"),
        Some(reader) = readers.join_next() => panic!("a reader gave up: {reader:?}"),
    }
    let took = began.elapsed();
    over.store(true, Ordering::Relaxed);
    let n_predictions = predicting.await.unwrap();
    let n_turned_away = n_overflows() - overflows;
    println!(
        "{n_readers} readers served again after {took:.1?}; {n_turned_away} connections turned away, {n_predictions} \
         predictions answered, none failed"
    );
    assert!(n_predictions > 0);
    // others on this machine may overflow, too
    assert!(n_turned_away == 0 || !is_torture());
    drop(server);
}
