//! A server killed without warning loses nothing it acknowledged, and ends its work as if nothing had happened.

#![expect(clippy::unwrap_used, reason = "a test")]

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server process on a free port. Dropping it kills it, as `kill -9` does.
struct Server {
    process: Child,
    url: String,
    http: reqwest::Client,
}

impl Server {
    fn start(data_dir: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_lethe"))
            .args(["serve", "--listen", "127.0.0.1:0", "--train-threads", "1", "--data-dir"])
            .arg(data_dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("the first line says where").to_owned();
        // a second installation, by another test of this process, changes nothing
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { process, url, http }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.http.post(format!("{}{path}", self.url)).json(body).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        answer.json().await.unwrap()
    }

    /// Reads the run's event stream until it has seen `wanted` of its epochs, or the end.
    async fn follow(&self, run: &str, wanted: usize) {
        let request = self.http.get(format!("{}/runs/{run}/events", self.url));
        let mut stream = request.header("accept", "text/event-stream").send().await.unwrap();
        let mut seen = String::new();
        while let Some(chunk) = stream.chunk().await.unwrap() {
            seen += &String::from_utf8_lossy(&chunk);
            if seen.matches("event: epoch").count() >= wanted || seen.contains("event: done") {
                return;
            }
        }
    }

    async fn events(&self, run: &str) -> Vec<Value> {
        let request = self.http.get(format!("{}/runs/{run}/events", self.url));
        let answer = request.header("accept", "application/x-ndjson").send().await.unwrap();
        let text = answer.error_for_status().unwrap().text().await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

const EPOCHS: u64 = 6;

fn order() -> Value {
    json!({
        "mode": "standard", "dataset": "digits", "model": "killed", "seed": 3,
        "hyperparameters": { "hidden": [16], "epochs": EPOCHS },
    })
}

/// The measures of every epoch, without their timings.
async fn history(server: &Server, run: &str) -> Vec<(u64, f64, f64)> {
    let history = server.events(run).await;
    let epochs = history.iter().filter(|event| event["event"] == "epoch").map(|event| &event["data"]);
    epochs
        .map(|epoch| {
            let number = |key: &str| epoch[key].as_f64().unwrap();
            (epoch["epoch"].as_u64().unwrap(), number("train_loss"), number("test_accuracy"))
        })
        .collect()
}

#[tokio::test]
async fn a_killed_server_takes_its_runs_up_again_and_ends_them_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let whole = server.post("/runs", &order()).await["id"].as_str().unwrap().to_owned();
    server.follow(&whole, usize::MAX).await;
    let parted = server.post("/runs", &order()).await["id"].as_str().unwrap().to_owned();
    let waiting = server.post("/runs", &order()).await["id"].as_str().unwrap().to_owned();
    server.follow(&parted, 2).await;
    let acknowledged = server.events(&parted).await;
    drop(server);

    let server = Server::start(dir.path());
    server.follow(&parted, usize::MAX).await;
    server.follow(&waiting, usize::MAX).await;
    let expected = history(&server, &whole).await;
    assert_eq!(expected.iter().map(|epoch| epoch.0).collect::<Vec<_>>(), (1..=EPOCHS).collect::<Vec<_>>());
    let mut digests = Vec::new();
    for run in [&whole, &parted, &waiting] {
        let object = server.get(&format!("/runs/{run}")).await;
        assert_eq!(object["status"], "succeeded", "{object}");
        let events = server.events(run).await;
        let numbers: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=object["last_seq"].as_u64().unwrap()).collect::<Vec<_>>());
        assert_eq!(history(&server, run).await, expected);
        let version = &object["version"]["version"];
        let version = server.get(&format!("/models/killed/versions/{version}")).await;
        digests.push(version["metrics"]["weights_digest"].clone());
    }
    assert!(digests[0].as_str().is_some_and(|digest| digest.starts_with("sha256:")));
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    let log = server.events(&parted).await;
    assert_eq!(log[..acknowledged.len()], acknowledged, "what was read before the kill is still there");
    assert!(log.iter().any(|event| event["data"]["reason"] == "server_restarted"));
    assert!(
        log.iter().any(|event| event["data"]["phase"] == "resume"),
        "it went on, and did not begin again"
    );
}

/// More kills than a run may cost its process: each time it has come further.
#[tokio::test]
async fn a_training_killed_after_every_epoch_comes_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let order = |model: &str| {
        json!({ "mode": "debug", "dataset": "digits", "model": model, "seed": 3,
                "hyperparameters": { "hidden": [16], "epochs": 10 } })
    };
    let mut server = Server::start(dir.path());
    let whole = server.post("/runs", &order("whole")).await["id"].as_str().unwrap().to_owned();
    server.follow(&whole, usize::MAX).await;
    let parted = server.post("/runs", &order("parted")).await["id"].as_str().unwrap().to_owned();
    for n_epochs in 1..=7 {
        server.follow(&parted, n_epochs).await;
        drop(server);
        server = Server::start(dir.path());
    }
    server.follow(&parted, usize::MAX).await;
    let object = server.get(&format!("/runs/{parted}")).await;
    assert_eq!(object["status"], "succeeded", "{object}");
    assert!(object["attempt"].as_u64().unwrap() > 1, "it was met at work: {object}");
    assert_eq!(history(&server, &parted).await, history(&server, &whole).await);
    let mut digests = Vec::new();
    for model in ["whole", "parted"] {
        let version = server.get(&format!("/models/{model}/versions/1")).await;
        digests.push(version["metrics"]["weights_digest"].clone());
    }
    assert_eq!(digests[0], digests[1]);
    let numbers: Vec<u64> =
        server.events(&parted).await.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=object["last_seq"].as_u64().unwrap()).collect::<Vec<_>>());
}
