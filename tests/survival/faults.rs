//! A fault at every step of writing something down: as an error, a panic, or the end of the process; the first time
//! the step is taken, or the second. Whoever asks again then gets what they would have got without it.

use crate::ledger::{Ledger, check_files, pages};
use crate::receiver::Receiver;
use crate::server::{Server, losses_of, training, weights_of};
use crate::upgrade::{check_copy, make_older};
use lethe::faults::POINTS;
use reqwest::Method;
use serde_json::{Value, json};
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How often a client asks again.
const N_TRIES: usize = 20;

/// What a client does in a life: each passes certain points, and twice.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Life {
    Train,
    Fork,
    Unlearn,
    Audit,
    MoveAliases,
    Revoke,
    DeleteRuns,
    /// Kills the server at work, and starts it again.
    Restart,
    /// Trains for longer than two heartbeats.
    Wait,
    /// Brings in what version 1 of `base` is.
    Import,
    /// Trains with requests that say which they are.
    UseKeys,
    /// Has someone told of events who first wants to hear nothing.
    Tell,
    /// Keeps hardly any events.
    Prune,
    /// Meets a database of an earlier release.
    Upgrade,
}

/// The lives that pass a point.
fn lives_through(what: &str, step: &str) -> &'static [Life] {
    match (what, step) {
        ("models", "remove") => &[Life::Revoke, Life::Unlearn],
        ("checkpoints" | "losses", "remove") => &[Life::Revoke, Life::DeleteRuns],
        ("publish", _) => &[Life::Train, Life::Unlearn],
        ("submit" | "claim" | "advance" | "models" | "checkpoints" | "losses", _) => &[Life::Train],
        ("fork", _) => &[Life::Fork],
        ("conclude", _) => &[Life::Audit],
        ("import", _) => &[Life::Import],
        ("set_alias" | "delete_alias", _) => &[Life::MoveAliases],
        ("revoke", _) => &[Life::Revoke],
        ("delete_run", _) => &[Life::DeleteRuns],
        ("reconcile", _) => &[Life::Restart],
        ("renew", _) => &[Life::Wait],
        ("reserve_key" | "keep_answer", _) => &[Life::UseKeys],
        ("insert_webhook" | "delete_webhook" | "enable_webhook" | "record_attempt", _) => &[Life::Tell],
        ("prune", _) => &[Life::Prune],
        ("upgrade", _) => &[Life::Upgrade],
        _ => panic!("no life passes {what}.{step}"),
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    life: Life,
    what: &'static str,
    step: &'static str,
    action: &'static str,
    time: u32,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}@{}", self.point(), self.action, self.time)
    }
}

impl Case {
    fn point(&self) -> String {
        format!("{}.{}", self.what, self.step)
    }

    fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for (what, steps) in POINTS {
            for step in *steps {
                for life in lives_through(what, step) {
                    for action in ["error", "panic", "abort"] {
                        // behind a commit there is nothing left that could fail, only someone to die
                        if (*step, action) != ("committed", "error") {
                            cases.extend([1, 2].map(|time| Self { life: *life, what, step, action, time }));
                        }
                    }
                }
            }
        }
        cases
    }

    /// Of each way to write something down, where it is decided whether it was.
    fn is_in_short_form(&self) -> bool {
        let is_decisive = matches!(
            (self.what, self.step),
            (_, "commit" | "committed" | "rename" | "migrated") | ("losses", "sync")
        );
        is_decisive && self.action == "abort" && self.time == 1 && self.life != Life::Wait
    }

    /// Whether this life passes the point so often.
    fn strikes(&self) -> bool {
        // a start takes back all there is at once and copies one database, and there is enough to prune for one
        // transaction
        let once_a_start = match self.what {
            "reconcile" => true,
            "prune" => self.step != "begin",
            "upgrade" => !self.step.starts_with("migrate"),
            _ => false,
        };
        !(once_a_start && self.time == 2)
    }
}

/// What lies in the folder a life begins with: two runs that published the same weights as versions 1 and 2 of `base`.
struct Beginning {
    dir: TempDir,
    runs: [String; 2],
    /// What the weights hash to of each kind of version, when nothing fails.
    trained: String,
    forked: String,
    unlearned: String,
    /// What a training tells of its samples.
    losses: Vec<u8>,
}

impl Beginning {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::new(dir, Ledger::default(), "");
        let mut runs = Vec::new();
        for tag in ["1", "2"] {
            runs.push(world.carry_out("/runs", &training("base", tag)).await);
        }
        let trained = weights_of(world.server(), &runs[0]).await;
        let losses = losses_of(world.server(), &runs[0]).await;
        let ids = [0, 1].map(|i| runs[i]["id"].as_str().unwrap().to_owned());
        world.stop();
        let World { dir, .. } = world;
        let mut beginning =
            Self { dir, runs: ids, trained, forked: String::new(), unlearned: String::new(), losses };
        let mut world = beginning.world("");
        let fork = world.carry_out(&beginning.fork_path(), &fork("1")).await;
        let unlearned = world.carry_out("/unlearn", &unlearning(1)).await;
        beginning.forked = weights_of(world.server(), &fork).await;
        beginning.unlearned = weights_of(world.server(), &unlearned).await;
        beginning
    }

    /// A copy of it, under a server with faults.
    fn world(&self, faults: &str) -> World {
        let dir = tempfile::tempdir().unwrap();
        copy(self.dir.path(), dir.path());
        let mut ledger = Ledger::default();
        for id in &self.runs {
            ledger.acknowledge(&json!({ "id": id }));
        }
        World::new(dir, ledger, faults)
    }

    /// Always of the same run: another may have checkpoints at the ends of other epochs.
    fn fork_path(&self) -> String {
        format!("/runs/{}/fork", self.runs[0])
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn fork(tag: &str) -> Value {
    json!({ "model": "forked", "hyperparameters": { "epochs": 4 }, "tags": { "order": tag } })
}

fn unlearning(version: u32) -> Value {
    json!({ "model": format!("base:{version}"), "forget": { "class": 3 }, "method": "gradient_ascent", "verify": "quick",
            "promote": { "alias": "prod" }, "revoke_parent": true, "tags": { "order": version.to_string() } })
}

/// A server that may fail, and a client that asks it again when it does.
struct World {
    dir: TempDir,
    server: Option<Server>,
    ledger: Ledger,
    faults: String,
}

impl World {
    fn new(dir: TempDir, ledger: Ledger, faults: &str) -> Self {
        let server = Server::with_faults(dir.path(), faults);
        Self { dir, server, ledger, faults: faults.to_owned() }
    }

    /// The server, started again without faults if it has ended.
    fn server(&mut self) -> &Server {
        self.server.get_or_insert_with(|| Server::start(self.dir.path()))
    }

    fn stop(&mut self) {
        self.server = None;
    }

    /// The first answer that is none of a failing server.
    async fn ask(&mut self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        self.ask_under(None, method, path, body).await
    }

    async fn ask_under(
        &mut self,
        key: Option<&str>,
        method: Method,
        path: &str,
        body: &Value,
    ) -> (u16, Value) {
        for _ in 0..N_TRIES {
            match self.server().ask_under(key, method.clone(), path, body).await {
                Ok((status, body)) if status < 500 => return (status, body),
                Ok(_) => {}
                Err(_) => self.server.take().unwrap().has_aborted(),
            }
        }
        panic!("{}: {path} never succeeds", self.faults);
    }

    /// Orders a run. Asking again is asking first whether the run is there.
    async fn order(&mut self, path: &str, body: &Value) -> Value {
        for n_tries in 0..N_TRIES {
            if n_tries > 0
                && let Some(run) = self.find(&body["tags"]).await
            {
                self.ledger.acknowledge(&run);
                return run;
            }
            match self.server().ask(Method::POST, path, body).await {
                Ok((202, run)) => {
                    self.ledger.acknowledge(&run);
                    return run;
                }
                Ok((500.., _)) => {
                    let said_to_fail = self.faults.contains("=error");
                    assert!(
                        !said_to_fail || self.find(&body["tags"]).await.is_none(),
                        "refused means not done"
                    );
                }
                Ok((status, answer)) => panic!("{}: {path} {status} {answer}", self.faults),
                Err(_) => self.server.take().unwrap().has_aborted(),
            }
        }
        panic!("{}: {path} never succeeds", self.faults);
    }

    async fn find(&mut self, tags: &Value) -> Option<Value> {
        let runs = pages(self.server(), "/runs").await;
        runs.into_iter().find(|run| run["tags"] == *tags)
    }

    /// How a run ended.
    async fn end_of(&mut self, id: &str) -> Value {
        for _ in 0..N_TRIES {
            match self.server().try_follow(id, usize::MAX).await {
                Ok(true) => return self.ask(Method::GET, &format!("/runs/{id}"), &Value::Null).await.1,
                Ok(false) => {}
                Err(error) => {
                    assert!(!error.is_timeout(), "{}: run {id} never ends", self.faults);
                    self.server.take().unwrap().has_aborted();
                }
            }
        }
        panic!("{}: run {id} never ends", self.faults);
    }

    /// Orders a run until one succeeds. It may fail for a fault inside it, if it says so.
    async fn carry_out(&mut self, path: &str, body: &Value) -> Value {
        let mut body = body.clone();
        for _ in 0..3 {
            let run = self.order(path, &body).await;
            let run = self.end_of(run["id"].as_str().unwrap()).await;
            if run["status"] == "succeeded" {
                return run;
            }
            assert_eq!(run["status"], "failed", "{}: {run}", self.faults);
            let code = run["error"]["code"].as_str().unwrap();
            assert!(["internal_error", "storage_failed"].contains(&code), "{}: {run}", self.faults);
            assert!(!run["error"]["message"].as_str().unwrap().is_empty());
            assert!(!self.faults.contains("=abort"), "killing a server fails no run: {run}");
            body["tags"]["order"] = json!(format!("{} again", body["tags"]["order"].as_str().unwrap()));
        }
        panic!("{}: a run of {path} never succeeds", self.faults);
    }

    async fn live(&mut self, life: Life, beginning: &Beginning) {
        match life {
            Life::Tell => return self.tell().await,
            Life::Prune => return self.prune(&beginning.runs).await,
            Life::Upgrade => return self.upgrade().await,
            _ => {}
        }
        for time in [1_u32, 2] {
            let i = time as usize - 1;
            let (run, tag) = (&beginning.runs[i], format!("new {time}"));
            match life {
                Life::Train | Life::Wait => {
                    let run = self.carry_out("/runs", &training("new", &tag)).await;
                    assert_eq!(weights_of(self.server(), &run).await, beginning.trained, "{}", self.faults);
                    let losses = losses_of(self.server(), &run).await;
                    assert!(losses == beginning.losses, "{}: other losses", self.faults);
                    if life == Life::Wait {
                        return;
                    }
                }
                Life::Fork => {
                    let run = self.carry_out(&beginning.fork_path(), &fork(&tag)).await;
                    assert_eq!(weights_of(self.server(), &run).await, beginning.forked, "{}", self.faults);
                }
                Life::Unlearn => {
                    let run = self.carry_out("/unlearn", &unlearning(time)).await;
                    assert_eq!(weights_of(self.server(), &run).await, beginning.unlearned, "{}", self.faults);
                    self.assert_revoked(time).await;
                    let model = self.ask(Method::GET, "/models/base", &Value::Null).await.1;
                    assert_eq!(model["aliases"][0]["version"], run["version"]["version"], "{model}");
                }
                Life::Audit => {
                    let order = json!({ "model": format!("base:{time}"), "forget": { "class": 3 },
                                        "verify": "quick", "tags": { "order": tag } });
                    let run = self.carry_out("/audits", &order).await;
                    let path = format!("/runs/{}/report", run["id"].as_str().unwrap());
                    assert_eq!(self.ask(Method::GET, &path, &Value::Null).await.0, 200);
                }
                Life::Import => self.import(time).await,
                Life::UseKeys => self.use_key(&tag, &beginning.trained).await,
                Life::MoveAliases => self.move_alias(time).await,
                Life::Revoke => {
                    let path = format!("/models/base/versions/{time}/revoke");
                    assert_eq!(self.ask(Method::POST, &path, &json!({})).await.0, 200);
                    self.assert_revoked(time).await;
                }
                Life::DeleteRuns => {
                    self.ledger.ask_to_delete(run);
                    let (status, _) = self.ask(Method::DELETE, &format!("/runs/{run}"), &Value::Null).await;
                    // it may have been done before the answer was lost
                    assert!([204, 404].contains(&status), "{status}");
                    self.ledger.acknowledge_deletion(run);
                }
                Life::Restart => {
                    // at work when the server is killed, since its checkpoints take so long
                    let faults = self.faults.clone();
                    self.stop();
                    self.server = Server::with_faults(self.dir.path(), "checkpoints.write=slow:200");
                    let run = self.order("/runs", &training("new", &tag)).await;
                    let id = run["id"].as_str().unwrap().to_owned();
                    self.server().follow(&id, 1).await;
                    self.stop();
                    self.server = Server::with_faults(self.dir.path(), &faults);
                    let run = self.end_of(&id).await;
                    assert_eq!(weights_of(self.server(), &run).await, beginning.trained, "{}", self.faults);
                }
                Life::Tell | Life::Prune | Life::Upgrade => unreachable!("lived in one go"),
            }
        }
    }

    async fn move_alias(&mut self, time: u32) {
        for version in [time, 3 - time] {
            let (status, _) =
                self.ask(Method::PUT, "/models/base/aliases/prod", &json!({ "version": version })).await;
            assert_eq!(status, 200);
            let model = self.ask(Method::GET, "/models/base", &Value::Null).await.1;
            assert_eq!(model["aliases"][0]["version"], version, "{}", self.faults);
        }
        let (status, _) = self.ask(Method::DELETE, "/models/base/aliases/prod", &Value::Null).await;
        assert!([204, 404].contains(&status), "{status}");
        let model = self.ask(Method::GET, "/models/base", &Value::Null).await.1;
        assert_eq!(model["aliases"], json!([]), "{}", self.faults);
    }

    /// Asking again under the same key never makes a second version.
    async fn import(&mut self, time: u32) {
        let (path, key) = ("/models?name=sent&alias=prod", format!("import-{time}"));
        let file = self.server().download("/models/base:1/download").await.unwrap();
        let version = self.send_file(path, &key, &file).await;
        assert_eq!(version["version"], time, "{}: {version}", self.faults);
        assert_eq!(self.send_file(path, &key, &file).await["id"], version["id"], "{}", self.faults);
        let model = self.ask(Method::GET, "/models/sent", &Value::Null).await.1;
        assert_eq!(model["versions"].as_array().unwrap().len(), time as usize, "{}: {model}", self.faults);
        assert_eq!(model["aliases"][0]["version"], time, "{}: {model}", self.faults);
        let base = self.ask(Method::GET, "/models/base/versions/1", &Value::Null).await.1;
        assert_eq!(version["digest"], base["digest"], "{}", self.faults);
    }

    async fn send_file(&mut self, path: &str, key: &str, file: &[u8]) -> Value {
        for _ in 0..N_TRIES {
            match self.server().send_file(path, key, file).await {
                Ok((201, version)) => return version,
                Ok((500.., _)) => {}
                Ok((status, answer)) => panic!("{}: {path} {status} {answer}", self.faults),
                Err(_) => self.server.take().unwrap().has_aborted(),
            }
        }
        panic!("{}: {path} never succeeds", self.faults);
    }

    /// Asking again under the same key never makes a second run.
    async fn use_key(&mut self, tag: &str, expected: &str) {
        let (order, key) = (training("new", tag), tag.replace(' ', "-"));
        let (status, run) = self.ask_under(Some(&key), Method::POST, "/runs", &order).await;
        assert!([201, 202].contains(&status), "{}: {status} {run}", self.faults);
        self.ledger.acknowledge(&run);
        let id = run["id"].as_str().unwrap();
        let run = self.end_of(id).await;
        assert_eq!(weights_of(self.server(), &run).await, expected, "{}", self.faults);
        let (_, again) = self.ask_under(Some(&key), Method::POST, "/runs", &order).await;
        assert_eq!(again["id"], id, "{}", self.faults);
        let runs = pages(self.server(), "/runs").await;
        assert_eq!(runs.iter().filter(|run| run["tags"] == order["tags"]).count(), 1, "{}", self.faults);
    }

    /// Two webhooks that are disabled, put into service again, and told.
    async fn tell(&mut self) {
        let receiver = Receiver::start().await;
        let mut webhooks = Vec::new();
        for name in [1, 2] {
            let order = json!({ "url": receiver.address(name) });
            let key = format!("webhook-{name}");
            let (status, webhook) = self.ask_under(Some(&key), Method::POST, "/webhooks", &order).await;
            assert_eq!(status, 201, "{}: {webhook}", self.faults);
            webhooks.push(format!("/webhooks/{}", webhook["id"].as_str().unwrap()));
        }
        receiver.be_gone(true);
        self.carry_out("/runs", &training("new", "unheard")).await;
        for webhook in &webhooks {
            while self.ask(Method::GET, webhook, &Value::Null).await.1["disabled_at"].is_null() {
                tokio::task::yield_now().await;
            }
        }
        receiver.be_gone(false);
        for webhook in &webhooks {
            let path = format!("{webhook}/test");
            while !self.ask(Method::GET, webhook, &Value::Null).await.1["disabled_at"].is_null() {
                assert_eq!(self.ask(Method::POST, &path, &Value::Null).await.0, 200, "{}", self.faults);
            }
        }
        let run = self.carry_out("/runs", &training("new", "heard")).await;
        for name in [1, 2] {
            // a server that dies while nobody asks it anything has to be started again by someone
            let heard = receiver.heard_end_of(name, run["id"].as_str().unwrap());
            tokio::pin!(heard);
            loop {
                tokio::select! {
                    () = &mut heard => break,
                    _ = self.ask(Method::GET, "/livez", &Value::Null) => {}
                }
            }
        }
        for webhook in &webhooks {
            let (status, _) = self.ask(Method::DELETE, webhook, &Value::Null).await;
            assert!([204, 404].contains(&status), "{status}");
        }
        assert_eq!(self.ask(Method::GET, "/webhooks", &Value::Null).await.1["data"], json!([]));
    }

    /// What was cut down stays readable, and says how it ended.
    async fn prune(&mut self, runs: &[String]) {
        let point = self.faults.split('=').next().unwrap_or_default().to_owned();
        // their logs are about to be shorter than what was read of them
        self.ledger = Ledger::default();
        self.stop();
        self.server = Server::with_short_log(self.dir.path(), &self.faults);
        while !self.was_struck(&point) && !self.is_cut_down(&runs[0]).await {
            tokio::task::yield_now().await;
        }
        self.stop();
        self.server = Server::with_short_log(self.dir.path(), "");
        while !self.is_cut_down(&runs[0]).await {
            tokio::task::yield_now().await;
        }
        let run = self.ask(Method::GET, &format!("/runs/{}", runs[0]), &Value::Null).await.1;
        assert_eq!(run["status"], "succeeded", "{}", self.faults);
    }

    /// What an earlier release wrote is there, and so is a copy of it.
    async fn upgrade(&mut self) {
        self.stop();
        make_older(self.dir.path()).await;
        self.server = Server::with_faults(self.dir.path(), &self.faults);
        for version in [1, 2] {
            let path = format!("/models/base/versions/{version}");
            let found = self.ask(Method::GET, &path, &Value::Null).await.1;
            assert_eq!(found["origin"], "run", "{}: {found}", self.faults);
        }
        assert_eq!(self.ask(Method::GET, "/webhooks", &Value::Null).await.1["data"], json!([]));
        check_copy(self.dir.path()).await;
    }

    async fn is_cut_down(&self, run: &str) -> bool {
        let Some(server) = &self.server else { return false };
        let log = server.try_events(run).await.unwrap_or_default();
        assert!(log.last().is_none_or(|event| event["event"] == "done"));
        log.first().is_some_and(|event| event["event"] == "reset" && event["data"]["reason"] == "pruned")
    }

    async fn assert_revoked(&mut self, version: u32) {
        let path = format!("/models/base/versions/{version}");
        let found = self.ask(Method::GET, &path, &Value::Null).await.1;
        assert!(found["revoked_at"].is_string(), "{}: {found}", self.faults);
    }

    /// After one more start, without faults, everything is as it should be.
    async fn check(&mut self) {
        self.stop();
        let server = Server::start(self.dir.path());
        self.ledger.check(&server).await;
        check_files(&server, self.dir.path()).await;
        for run in pages(&server, "/runs").await {
            assert!(run["finished_at"].is_string(), "{}: {run}", self.faults);
        }
    }

    fn was_struck(&self, point: &str) -> bool {
        let log = fs::read_to_string(self.dir.path().join("server.log")).unwrap();
        log.lines().any(|line| line.contains("a fault strikes") && line.contains(&format!("point={point} ")))
    }
}

/// What makes a training last for two heartbeats, wherever between two of them it begins.
const WAITING: &str = "checkpoints.write=slow:6000,models.write=slow:6000,";

/// Cases that run at the same time: each waits for its disk more than it computes.
fn n_at_once() -> usize {
    2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_at_any_step_costs_nothing_that_was_acknowledged_and_asking_again_helps() {
    let beginning = Arc::new(Beginning::new().await);
    let turns = Arc::new(Semaphore::new(n_at_once()));
    let mut lives = JoinSet::new();
    // one of them, to look at it more closely
    let only = std::env::var("LETHE_TORTURE_CASE").unwrap_or_default();
    let all = Case::all().into_iter().filter(|case| crate::is_torture() || case.is_in_short_form());
    for case in all.filter(|case| case.to_string().contains(&only)) {
        let (beginning, turns) = (Arc::clone(&beginning), Arc::clone(&turns));
        lives.spawn(async move {
            let _turn = turns.acquire_owned().await.unwrap();
            let slow = if case.life == Life::Wait { WAITING } else { "" };
            let mut world = beginning.world(&format!("{slow}{case}"));
            world.live(case.life, &beginning).await;
            world.check().await;
            assert_eq!(world.was_struck(&case.point()), case.strikes(), "{case} in {:?}", case.life);
        });
    }
    let n_cases = lives.len();
    let mut failed = Vec::new();
    while let Some(life) = lives.join_next().await {
        failed.extend(life.err());
    }
    println!("{n_cases} cases, {} failed", failed.len());
    assert!(failed.is_empty(), "{failed:#?}");
}
