//! A server process with models for the clients to ask.

use reqwest::Method;
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
        let run = self.send(Method::POST, "/runs", &order).await;
        assert_eq!(run["status"], "succeeded", "{run}");
    }

    /// The JSON that this is answered with, once the work it starts is done.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Value {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request =
            http.request(method, format!("{}{path}", self.url)).header("prefer", "wait=60").json(body);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }
}
