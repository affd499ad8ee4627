//! A server as a process, which can be killed, or told where to fail.

use reqwest::{Error, Method};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// More than any answer takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

const SIGABRT: i32 = 6;

/// A server process on a free port. Dropping it kills it, as `kill -9` does.
pub struct Server {
    process: Child,
    url: String,
    http: reqwest::Client,
}

impl Server {
    pub fn start(data_dir: &Path) -> Self {
        Self::with_faults(data_dir, "").expect("a server without faults starts")
    }

    /// With faults as `lethe::faults` reads them. `None` if it ended before it listened.
    pub fn with_faults(data_dir: &Path, faults: &str) -> Option<Self> {
        Self::spawn(command(data_dir, faults))
    }

    /// With a short memory for events of runs that have ended.
    pub fn with_short_log(data_dir: &Path, faults: &str) -> Option<Self> {
        let mut command = command(data_dir, faults);
        command.env("LETHE_KEEP_EVENTS", "1");
        Self::spawn(command)
    }

    /// Without a log, which would need room on the same disk.
    pub fn quiet(data_dir: &Path) -> Option<Self> {
        let mut command = command_of(data_dir);
        command.stderr(Stdio::null());
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Option<Self> {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(url) = line.trim().strip_prefix("listening on ").map(str::to_owned) else {
            process.wait().unwrap();
            return None;
        };
        // a second installation, by another test of this process, changes nothing
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Some(Self { process, url, http })
    }

    /// With its log elsewhere than its data.
    pub fn with_log(data_dir: &Path, log: &Path) -> Option<Self> {
        let mut command = command_of(data_dir);
        command.stderr(appending_to(log));
        Self::spawn(command)
    }

    /// Starts a server and kills it after so long, likely before it listens.
    pub async fn kill_while_starting(data_dir: &Path, after: Duration) {
        let starting = Starting::begin(data_dir, &data_dir.join("server.log"));
        tokio::time::sleep(after).await;
        drop(starting);
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(mut self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
    }

    /// It did not answer: that must be because its process ended itself, or is about to.
    pub fn has_aborted(mut self) {
        let ending = self.process.wait().unwrap();
        assert_eq!(ending.signal(), Some(SIGABRT), "{ending}");
    }

    fn end(&mut self) {
        // it may have ended by itself
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }

    /// Status and body, `null` if there is none. An error if the server ended instead of answering.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<(u16, Value), Error> {
        self.ask_under(None, method, path, body).await
    }

    /// With an `Idempotency-Key`.
    pub async fn ask_under(
        &self,
        key: Option<&str>,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<(u16, Value), Error> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = if body.is_null() { request } else { request.json(body) };
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    }

    /// Under an `Idempotency-Key`; status and body as [`ask`](Self::ask) gives them.
    pub async fn send_file(&self, path: &str, key: &str, file: &[u8]) -> Result<(u16, Value), Error> {
        let request = self.http.post(format!("{}{path}", self.url)).header("idempotency-key", key);
        let request = request.header("content-type", "application/octet-stream").body(file.to_vec());
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    }

    pub async fn download(&self, path: &str) -> Result<Vec<u8>, Error> {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await?;
        Ok(answer.error_for_status()?.bytes().await?.to_vec())
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, &Value::Null).await.unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, body) = self.ask(Method::POST, path, body).await.unwrap();
        assert_eq!(status, 202, "{path}: {body}");
        body
    }

    /// Reads the run's event stream until it has seen `wanted` of its epochs, or the end.
    pub async fn follow(&self, run: &str, wanted: usize) {
        self.try_follow(run, wanted).await.unwrap();
    }

    /// Whether it came so far; not so if the stream ended before, or the run is paused.
    pub async fn try_follow(&self, run: &str, wanted: usize) -> Result<bool, Error> {
        let request = self.http.get(format!("{}/runs/{run}/events", self.url));
        let mut stream = request.header("accept", "text/event-stream").send().await?;
        let mut seen = String::new();
        while let Some(chunk) = stream.chunk().await? {
            seen += &String::from_utf8_lossy(&chunk);
            if seen.matches("event: epoch").count() >= wanted || seen.contains("event: done") {
                return Ok(true);
            }
            let last = |status: &str| seen.rfind(&format!("\"status\":\"{status}\""));
            if last("paused") > last("queued") {
                return Ok(false);
            }
        }
        Ok(false)
    }

    pub async fn events(&self, run: &str) -> Vec<Value> {
        self.try_events(run).await.unwrap()
    }

    pub async fn try_events(&self, run: &str) -> Result<Vec<Value>, Error> {
        let request = self.http.get(format!("{}/runs/{run}/events", self.url));
        let answer = request.header("accept", "application/x-ndjson").send().await?;
        let text = answer.error_for_status()?.text().await?;
        Ok(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A server of which nobody knows how far it has come. Dropping it kills it.
pub struct Starting(Child);

impl Starting {
    pub fn begin(data_dir: &Path, log: &Path) -> Self {
        let mut command = command_of(data_dir);
        Self(command.stdout(Stdio::null()).stderr(appending_to(log)).spawn().unwrap())
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

fn appending_to(log: &Path) -> File {
    File::options().create(true).append(true).open(log).unwrap()
}

fn command(data_dir: &Path, faults: &str) -> Command {
    let mut command = command_of(data_dir);
    command.env("LETHE_FAULTS", faults).stderr(appending_to(&data_dir.join("server.log")));
    command
}

fn command_of(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--train-threads", "1", "--webhook-private", "--data-dir"])
        .arg(data_dir);
    command
}

/// A training of under a second, always to the same weights and losses.
pub fn training(model: &str, tag: &str) -> Value {
    json!({
        "mode": "standard", "dataset": "digits", "model": model, "seed": 3, "tags": { "order": tag },
        "track_samples": true, "hyperparameters": { "hidden": [4], "epochs": 3 },
    })
}

/// The losses of a run's samples, as they are taken home.
pub async fn losses_of(server: &Server, run: &Value) -> Vec<u8> {
    let id = run["id"].as_str().unwrap();
    server.download(&format!("/runs/{id}/losses")).await.unwrap()
}

/// What the weights of a run's version hash to.
pub async fn weights_of(server: &Server, run: &Value) -> String {
    assert_eq!(run["status"], "succeeded", "{run}");
    let (model, version) = (run["model"].as_str().unwrap(), &run["version"]["version"]);
    let version = server.get(&format!("/models/{model}/versions/{version}")).await;
    version["metrics"]["weights_digest"].as_str().unwrap().to_owned()
}
