//! What the server has acknowledged, and whether it still knows.

use crate::server::Server;
use reqwest::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Of every run, the longest log that was read.
#[derive(Default)]
pub struct Ledger {
    runs: BTreeMap<String, Vec<Value>>,
    /// Runs whose deletion was asked for: they may be there or not, unless it was acknowledged.
    leaving: BTreeSet<String>,
    gone: BTreeSet<String>,
    /// Versions that were sent here.
    versions: Vec<Value>,
}

impl Ledger {
    pub fn acknowledge(&mut self, run: &Value) {
        self.runs.entry(run["id"].as_str().unwrap().to_owned()).or_default();
    }

    pub fn acknowledge_version(&mut self, version: Value) {
        self.versions.push(version);
    }

    pub fn ask_to_delete(&mut self, run: &str) {
        self.leaving.insert(run.to_owned());
    }

    pub fn acknowledge_deletion(&mut self, run: &str) {
        self.gone.insert(run.to_owned());
    }

    pub fn len(&self) -> usize {
        self.runs.len()
    }

    pub fn n_events(&self) -> usize {
        self.runs.values().map(Vec::len).sum()
    }

    /// Events that were read of a run.
    pub fn read(&mut self, run: &str, log: Vec<Value>) {
        if let Some(known) = self.runs.get_mut(run) {
            assert_eq!(log[..known.len()], known[..], "what was read is still there");
            *known = log;
        }
    }

    /// Every run acknowledged is there, with every event that was read; its log has neither gaps nor repetitions and
    /// tells how the run stands. So is every version that was sent, to the bit.
    pub async fn check(&mut self, server: &Server) {
        for (id, known) in &mut self.runs {
            let (status, run) = server.ask(Method::GET, &format!("/runs/{id}"), &Value::Null).await.unwrap();
            if status == 404 {
                assert!(self.leaving.contains(id), "run {id} is lost");
                continue;
            }
            assert_eq!(status, 200, "{run}");
            assert!(!self.gone.contains(id), "run {id} was deleted");
            let log = server.events(id).await;
            assert_eq!(log[..known.len()], known[..], "what was read is still there");
            check_log(&log);
            *known = log;
        }
        for version in &self.versions {
            let (model, number) = (version["model"].as_str().unwrap(), &version["version"]);
            let found = server.get(&format!("/models/{model}/versions/{number}")).await;
            assert_eq!(found["digest"], version["digest"], "version {number} of {model}");
            let file = server.download(&format!("/models/{model}:{number}/download")).await.unwrap();
            assert_eq!(digest(&file), version["digest"].as_str().unwrap(), "version {number} of {model}");
        }
    }
}

/// As the server writes digests of files.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn check_log(log: &[Value]) {
    let numbers: Vec<u64> = log.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=log.len() as u64).collect::<Vec<_>>());
    let of_kind = |kind: &str| log.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
    let epochs: Vec<u64> =
        of_kind("epoch").iter().map(|event| event["data"]["epoch"].as_u64().unwrap()).collect();
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    let statuses = of_kind("status");
    let last = statuses.last().unwrap()["data"]["status"].as_str().unwrap();
    let is_over = matches!(last, "succeeded" | "failed" | "canceled");
    assert_eq!(of_kind("done").len(), usize::from(is_over), "{last}");
    assert_eq!(log.last().unwrap()["event"] == "done", is_over, "nothing comes behind the end");
    assert!(of_kind("model").len() <= 1);
}

/// The files are those of versions that can be served, of the checkpoints that are listed, and of the losses that can be
/// taken home.
pub async fn check_files(server: &Server, data_dir: &Path) {
    let mut versions = BTreeSet::new();
    for model in pages(server, "/models").await {
        let name = model["name"].as_str().unwrap().to_owned();
        let model = server.get(&format!("/models/{name}")).await;
        let numbers: Vec<u64> =
            model["versions"].as_array().unwrap().iter().map(|v| v["version"].as_u64().unwrap()).collect();
        let mut in_order = numbers.clone();
        in_order.sort_unstable();
        assert_eq!(in_order, (1..=numbers.len() as u64).collect::<Vec<_>>(), "versions of {name}");
        for version in model["versions"].as_array().unwrap() {
            if version["revoked_at"].is_null() {
                versions.insert(version["id"].as_str().unwrap().to_owned());
            }
        }
    }
    let losses = files(&data_dir.join("losses"));
    let (mut checkpoints, mut tracked) = (BTreeSet::new(), BTreeSet::new());
    for run in pages(server, "/runs").await {
        let id = run["id"].as_str().unwrap();
        let version = run["version"]["id"].as_str();
        if run["track_samples"] == true && version.is_none_or(|version| versions.contains(version)) {
            tracked.insert(id.to_owned());
            if run["progress"]["epoch"] != 0 {
                let whole = server.download(&format!("/runs/{id}/losses")).await;
                assert!(whole.is_ok() && losses.contains(id), "the losses of run {id} are lost");
            }
        }
        let list = server.get(&format!("/runs/{id}/checkpoints")).await;
        for checkpoint in list["data"].as_array().unwrap() {
            checkpoints.insert(checkpoint["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(files(&data_dir.join("models")), versions, "model files");
    assert_eq!(files(&data_dir.join("checkpoints")), checkpoints, "checkpoint files");
    // a run that failed in its first epoch may have some that nobody is shown
    assert!(losses.is_subset(&tracked), "losses of runs that keep none: {losses:?}, {tracked:?}");
}

/// Every item of a list.
pub async fn pages(server: &Server, path: &str) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("{path}?limit=200{after}")).await;
        items.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return items,
        }
    }
}

fn files(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    entries.map(|name| name.to_str().unwrap().replace(".safetensors", "").replace(".f32", "")).collect()
}
