//! A server process with models for the clients to ask.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// On a free port and with a folder of its own; ended with the test.
pub struct Server {
    process: Child,
    pub url: String,
    _data_dir: TempDir,
}

impl Server {
    pub fn start() -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_lethe"))
            .env_clear()
            .args(["serve", "--listen", "127.0.0.1:0", "--train-threads", "1", "--data-dir"])
            .arg(data_dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url =
            line.trim().strip_prefix("listening on ").expect("a server says where it listens").to_owned();
        // a second installation, by another test of this process, changes nothing
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { process, url, _data_dir: data_dir }
    }

    /// Trains `model` on `digits` in that mode, and waits until it is published.
    pub async fn train(&self, model: &str, mode: &str, hyperparameters: &Value) {
        let order = json!({ "mode": mode, "dataset": "digits", "model": model, "seed": 5,
                            "hyperparameters": hyperparameters });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.post(format!("{}/runs", self.url)).header("prefer", "wait=60").json(&order);
        let run: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(run["status"], "succeeded", "{run}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }
}
