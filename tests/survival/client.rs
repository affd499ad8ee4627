//! A client with a busy life, which outlives every server.

use crate::ledger::{Ledger, check_files, pages};
use crate::server::{Server, training, weights_of};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use reqwest::{Error, Method};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// Runs that are not over; beyond that the client watches.
const MOST_PENDING: usize = 4;
/// What is done in a life before its last moments begin, at most, and how long those are.
const MOST_ACTIONS: usize = 8;
const LAST_MOMENTS_MS: u64 = 400;

/// What the client knows.
pub struct Client {
    pub rng: ChaCha8Rng,
    pub ledger: Ledger,
    /// Runs in the order they were acknowledged, and how each was last seen to stand.
    runs: Vec<(String, Value)>,
    n_orders: usize,
    /// Models that were sent, and of the last one its file while its answer is owed.
    n_sent: usize,
    unanswered: Option<Vec<u8>>,
    n_acknowledged: usize,
    by_action: BTreeMap<&'static str, usize>,
}

impl Client {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            ledger: Ledger::default(),
            runs: Vec::new(),
            n_orders: 0,
            n_sent: 0,
            unanswered: None,
            n_acknowledged: 0,
            by_action: BTreeMap::new(),
        }
    }

    /// Looks whether everything is there, and works until a random moment, at which it leaves the server with a request
    /// on its way.
    pub async fn live(&mut self, server: &Server) {
        self.ledger.check(server).await;
        let at_work = pages(server, "/runs").await;
        let n_at_work = at_work.iter().filter(|run| run["status"] == "running").count();
        assert!(n_at_work <= 1, "there is one thread to work: {at_work:?}");
        if self.unanswered.is_some() {
            self.send(server).await.unwrap();
        }
        for _ in 0..self.rng.random_range(0..MOST_ACTIONS) {
            self.act(server).await.unwrap();
        }
        let moment = Duration::from_millis(self.rng.random_range(0..LAST_MOMENTS_MS));
        if let Ok(ended) = tokio::time::timeout(moment, self.work(server)).await {
            panic!("the server ended by itself: {ended:?}");
        }
    }

    /// Works with the server until that ends.
    async fn work(&mut self, server: &Server) -> Result<(), Error> {
        loop {
            self.act(server).await?;
        }
    }

    async fn act(&mut self, server: &Server) -> Result<(), Error> {
        let n_pending = self.runs.iter().filter(|(_, run)| run["finished_at"].is_null()).count();
        let action = if n_pending >= MOST_PENDING { 100 } else { self.rng.random_range(0..100) };
        match action {
            0..30 => {
                self.n_orders += 1;
                let model = format!("m{}", self.n_orders % 3);
                self.order(server, "train", "/runs", &training(&model, &self.n_orders.to_string())).await
            }
            30..45 => {
                let model = format!("m{}", self.rng.random_range(0..3));
                let order = json!({ "model": model, "forget": { "class": 3 }, "method": "gradient_ascent",
                                    "verify": "quick", "promote": { "alias": "prod" }, "revoke_parent": true });
                self.order(server, "unlearn", "/unlearn", &order).await
            }
            45..50 => {
                let model = format!("m{}", self.rng.random_range(0..3));
                let order = json!({ "model": model, "forget": { "class": 3 }, "verify": "quick" });
                self.order(server, "audit", "/audits", &order).await
            }
            50..55 => {
                let Some(id) = self.any_run() else { return Ok(()) };
                let body = json!({ "model": "forked", "hyperparameters": { "epochs": 4 } });
                self.order(server, "fork", &format!("/runs/{id}/fork"), &body).await
            }
            55..60 => self.tell(server, "cancel").await,
            60..67 => self.tell(server, "pause").await,
            67..75 => self.tell(server, "resume").await,
            75..80 => self.delete(server).await,
            80..85 => {
                let path = format!("/models/m{}/aliases/any", self.rng.random_range(0..3));
                self.ask(server, "alias", Method::PUT, &path, &json!({ "version": 1 })).await.map(drop)
            }
            85..91 => {
                self.n_sent += 1;
                self.unanswered = Some(small_model(self.n_sent));
                self.send(server).await
            }
            _ => self.watch(server).await,
        }
    }

    fn any_run(&mut self) -> Option<String> {
        let i = self.rng.random_range(0..self.runs.len().max(1));
        self.runs.get(i).map(|(id, _)| id.clone())
    }

    async fn ask(
        &mut self,
        server: &Server,
        name: &'static str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<(u16, Value), Error> {
        let (status, answer) = server.ask(method, path, body).await?;
        assert!(status < 500, "{path}: {status} {answer}");
        if status < 300 {
            self.count(name);
        }
        Ok((status, answer))
    }

    async fn order(
        &mut self,
        server: &Server,
        name: &'static str,
        path: &str,
        body: &Value,
    ) -> Result<(), Error> {
        let (status, run) = self.ask(server, name, Method::POST, path, body).await?;
        if status == 202 {
            self.ledger.acknowledge(&run);
            self.runs.push((run["id"].as_str().unwrap().to_owned(), run));
        }
        Ok(())
    }

    /// Sends a model, under a key: until there is an answer, the same is sent again.
    async fn send(&mut self, server: &Server) -> Result<(), Error> {
        let (key, file) = (format!("sent-{}", self.n_sent), self.unanswered.clone().unwrap());
        let (status, version) = server.send_file("/models?name=sent&input=vector", &key, &file).await?;
        assert_eq!(status, 201, "{version}");
        assert_eq!(version["version"], self.n_sent, "no model is there twice");
        self.unanswered = None;
        self.ledger.acknowledge_version(version);
        self.count("import");
        Ok(())
    }

    fn count(&mut self, action: &'static str) {
        *self.by_action.entry(action).or_default() += 1;
        self.n_acknowledged += 1;
    }

    async fn tell(&mut self, server: &Server, what: &'static str) -> Result<(), Error> {
        let Some(id) = self.any_run() else { return Ok(()) };
        self.ask(server, what, Method::POST, &format!("/runs/{id}/{what}"), &json!({})).await?;
        self.look_at(server, &id).await
    }

    async fn delete(&mut self, server: &Server) -> Result<(), Error> {
        let over = self.runs.iter().find(|(_, run)| run["finished_at"].is_string());
        let Some(id) = over.map(|(id, _)| id.clone()) else { return Ok(()) };
        self.ledger.ask_to_delete(&id);
        let (status, _) =
            self.ask(server, "delete", Method::DELETE, &format!("/runs/{id}"), &Value::Null).await?;
        if status == 204 {
            self.ledger.acknowledge_deletion(&id);
        }
        self.runs.retain(|(run, _)| *run != id);
        Ok(())
    }

    /// Follows a run that is not over to its next epoch, or its end.
    async fn watch(&mut self, server: &Server) -> Result<(), Error> {
        for (id, run) in self.runs.clone() {
            if run["finished_at"].is_null() && run["status"] != "paused" {
                let n_epochs = run["progress"]["epoch"].as_u64().unwrap_or_default() as usize;
                server.try_follow(&id, n_epochs + 1).await?;
                self.look_at(server, &id).await?;
            } else if run["status"] == "paused" {
                let (_, run) = self
                    .ask(server, "resume", Method::POST, &format!("/runs/{id}/resume"), &json!({}))
                    .await?;
                self.see(&id, run);
            }
        }
        Ok(())
    }

    async fn look_at(&mut self, server: &Server, id: &str) -> Result<(), Error> {
        let (status, run) = server.ask(Method::GET, &format!("/runs/{id}"), &Value::Null).await?;
        assert_eq!(status, 200, "{run}");
        self.ledger.read(id, server.try_events(id).await?);
        self.see(id, run);
        Ok(())
    }

    fn see(&mut self, id: &str, run: Value) {
        if run["id"] == id
            && let Some(known) = self.runs.iter_mut().find(|(known, _)| known == id)
        {
            known.1 = run;
        }
    }

    /// Waits until all work is done. Nothing acknowledged is missing, the files are those that should be there, and
    /// whatever a training went through it came to the same bits. Tells what there was.
    pub async fn conclude(mut self, server: &Server, data_dir: &Path) -> String {
        self.ledger.check(server).await;
        // which nothing interrupts: what the others are compared with
        let last = server.post("/runs", &training("m0", "last")).await;
        self.ledger.acknowledge(&last);
        let mut endings: BTreeMap<String, usize> = BTreeMap::new();
        let mut results = Vec::new();
        for run in pages(server, "/runs").await {
            let id = run["id"].as_str().unwrap();
            if run["status"] == "paused" {
                server.post(&format!("/runs/{id}/resume"), &json!({})).await;
            }
            server.follow(id, usize::MAX).await;
            let run = server.get(&format!("/runs/{id}")).await;
            let ending = run["error"]["code"].as_str().or(run["status"].as_str()).unwrap().to_owned();
            let is_expected = ["succeeded", "canceled", "parent_revoked", "version_revoked", "worker_lost"]
                .contains(&&*ending);
            assert!(is_expected, "{run}");
            *endings.entry(ending).or_default() += 1;
            if run["kind"] == "train" && run["status"] == "succeeded" && run["forked_from"].is_null() {
                let weights = weights_of(server, &run).await;
                // they go when the version is revoked
                let losses = server.download(&format!("/runs/{id}/losses")).await.ok();
                results.push((weights, losses));
            }
        }
        self.ledger.check(server).await;
        check_files(server, data_dir).await;
        let told = format!(
            "{} requests, {} runs and {} events acknowledged and found: {:?}; they ended as {endings:?}; {} trainings, \
             one set of weights",
            self.n_acknowledged,
            self.ledger.len(),
            self.ledger.n_events(),
            self.by_action,
            results.len(),
        );
        let weights: BTreeSet<_> = results.iter().map(|(weights, _)| weights).collect();
        assert_eq!(weights.len(), 1, "interrupted or not, the bits are the same: {weights:?}");
        let losses: BTreeSet<_> = results.iter().filter_map(|(_, losses)| losses.as_ref()).collect();
        assert!(losses.len() <= 1, "so are the losses of samples");
        told
    }
}

/// A safetensors file of one layer from two values to three classes, another one for each number.
fn small_model(n: usize) -> Vec<u8> {
    let header = json!({
        "layers.0.weight": { "dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24] },
        "layers.0.bias": { "dtype": "F32", "shape": [3], "data_offsets": [24, 36] },
    })
    .to_string();
    let numbers = [n as f32, 0.0, 0.0, 1.0, -1.0, -1.0, 0.25, 0.0, 0.0].map(f32::to_le_bytes);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), numbers.as_flattened()].concat()
}

/// Of the environment, so that a case can be repeated; else a fresh one for the long form.
pub fn seed() -> u64 {
    match std::env::var("LETHE_TORTURE_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) if crate::is_torture() => uuid::Uuid::new_v4().as_u64_pair().0,
        Err(_) => 7,
    }
}
