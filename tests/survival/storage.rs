//! A disk that is full, slow or damaged; a database that is locked or gone.

use crate::server::{Server, training, weights_of};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, SqliteConnection};
use std::fs;
use std::path::Path;

async fn train(server: &Server, model: &str) -> Value {
    let run = server.post("/runs", &training(model, "1")).await;
    end_of(server, &run).await
}

async fn end_of(server: &Server, run: &Value) -> Value {
    let id = run["id"].as_str().unwrap();
    server.follow(id, usize::MAX).await;
    server.get(&format!("/runs/{id}")).await
}

async fn refused(server: &Server, method: Method, path: &str, body: &Value) -> (u16, String) {
    let (status, problem) = server.ask(method, path, body).await.unwrap();
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{status} {problem}");
    (status, problem["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_database_locked_by_another_process_is_waited_for_by_runs_and_told_to_clients() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::with_faults(dir.path(), "checkpoints.write=slow:200").unwrap();
    let unharmed = train(&server, "unharmed").await;
    let run = server.post("/runs", &training("waiting", "1")).await;
    server.follow(run["id"].as_str().unwrap(), 1).await;
    let mut other = SqliteConnection::connect(path(dir.path()).to_str().unwrap()).await.unwrap();
    other.execute("begin immediate").await.unwrap();
    let answer = refused(&server, Method::POST, "/runs", &training("m", "2")).await;
    assert_eq!(answer, (503, "unavailable".to_owned()));
    server.get("/runs").await;
    other.execute("rollback").await.unwrap();
    let ended = end_of(&server, &run).await;
    assert_eq!(weights_of(&server, &ended).await, weights_of(&server, &unharmed).await);
    assert_eq!(train(&server, "m").await["status"], "succeeded");
}

fn path(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("lethe.sqlite")
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_database_that_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.get("/readyz").await;
    let away = dir.path().join("away");
    fs::rename(path(dir.path()), &away).unwrap();
    for (method, path, body) in
        [(Method::POST, "/runs", training("m", "1")), (Method::GET, "/readyz", Value::Null)]
    {
        assert_eq!(refused(&server, method, path, &body).await, (503, "unavailable".to_owned()));
    }
    // another file in its place is not the same
    fs::write(path(dir.path()), "").unwrap();
    assert_eq!(refused(&server, Method::GET, "/readyz", &Value::Null).await.0, 503);
    fs::rename(&away, path(dir.path())).unwrap();
    server.get("/readyz").await;
    assert_eq!(train(&server, "m").await["status"], "succeeded");
}

#[tokio::test]
async fn a_full_disk_fails_a_run_by_name_and_refuses_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::with_faults(dir.path(), "models.write=full@1,submit.commit=full@2").unwrap();
    let ended = train(&server, "m").await;
    assert_eq!(
        (&ended["status"], &ended["error"]["code"]),
        (&json!("failed"), &json!("disk_full")),
        "{ended}"
    );
    let answer = refused(&server, Method::POST, "/runs", &training("m", "2")).await;
    assert_eq!(answer, (507, "storage_full".to_owned()));
    assert_eq!(
        server.get("/runs").await["data"].as_array().unwrap().len(),
        1,
        "what was refused is not there"
    );
    assert_eq!(train(&server, "m").await["status"], "succeeded", "there is room again");
}

#[tokio::test]
async fn a_disk_that_is_full_for_a_moment_costs_a_run_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let faults = "advance.commit=full@2,publish.begin=full@1,claim.commit=full@1,checkpoints.write=full@1";
    let server = Server::with_faults(dir.path(), faults).unwrap();
    let first = train(&server, "m").await;
    assert_eq!(weights_of(&server, &first).await, weights_of(&server, &train(&server, "m").await).await);
}

#[tokio::test]
async fn a_training_on_a_disk_too_full_for_checkpoints_goes_on_without() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::with_faults(dir.path(), "checkpoints.write=full").unwrap();
    let ended = train(&server, "m").await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    let id = ended["id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/runs/{id}/checkpoints")).await["data"], json!([]));
    assert_eq!(fs::read_dir(dir.path().join("checkpoints")).unwrap().count(), 0, "no halves are left");
}

#[tokio::test]
async fn a_slow_disk_changes_no_bits_and_holds_up_no_cancel() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::with_faults(dir.path(), "advance.commit=slow:30,models.sync=slow:100").unwrap();
    let slow = train(&server, "m").await;
    let mut long = training("long", "1");
    long["hyperparameters"]["epochs"] = json!(500);
    let run = server.post("/runs", &long).await;
    let id = run["id"].as_str().unwrap();
    server.follow(id, 1).await;
    server.post(&format!("/runs/{id}/cancel"), &json!({})).await;
    assert_eq!(end_of(&server, &run).await["status"], "canceled");
    let elsewhere = tempfile::tempdir().unwrap();
    let quick_server = Server::start(elsewhere.path());
    let quick = train(&quick_server, "m").await;
    assert_eq!(weights_of(&server, &slow).await, weights_of(&quick_server, &quick).await);
}

#[tokio::test]
async fn a_damaged_model_is_refused_and_the_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let [damaged, whole] = [train(&server, "damaged").await, train(&server, "whole").await];
    train(&server, "damaged").await;
    assert_eq!(whole["status"], "succeeded");
    let version = server.get("/models/damaged/versions/1").await["id"].as_str().unwrap().to_owned();
    drop(server);
    let file = dir.path().join(format!("models/{version}.safetensors"));
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();

    let server = Server::start(dir.path());
    let row = json!({ "inputs": [vec![0; 784]] });
    for (method, path, body) in [
        (Method::POST, "/models/damaged:1/predict", &row),
        (Method::GET, "/models/damaged:1/download", &Value::Null),
        (Method::GET, "/models/damaged/versions/1", &Value::Null),
        (Method::PUT, "/models/damaged/aliases/prod", &json!({ "version": 1 })),
        (Method::POST, "/models/damaged/versions/2/revoke", &json!({ "replacement": 1 })),
    ] {
        let answer = refused(&server, method, path, body).await;
        assert_eq!(answer, (409, "weights_damaged".to_owned()), "{path}");
    }
    let (status, answer) = server.ask(Method::POST, "/models/whole/predict", &row).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let order = json!({ "model": "damaged:1", "forget": { "class": 3 }, "method": "gradient_ascent", "verify": "quick" });
    let run = server.post("/unlearn", &order).await;
    let run = end_of(&server, &run).await;
    assert_eq!(run["error"]["code"], "weights_damaged", "{run}");
    assert_eq!(damaged["status"], "succeeded");
}

#[tokio::test]
async fn a_server_whose_database_is_lost_does_not_begin_anew_beside_the_weights() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let run = train(&server, "m").await;
    // as `kill -9` does: what is in the log beside the database goes with it
    drop(server);
    let away = tempfile::tempdir().unwrap();
    let files = ["lethe.sqlite", "lethe.sqlite-wal", "lethe.sqlite-shm"];
    for file in files {
        fs::rename(dir.path().join(file), away.path().join(file)).unwrap();
    }
    assert!(Server::with_faults(dir.path(), "").is_none());
    let log = fs::read_to_string(dir.path().join("server.log")).unwrap();
    assert!(log.contains("lethe.sqlite` is missing"), "{log}");
    assert!(!path(dir.path()).exists(), "nothing was put in its place");
    for file in files {
        fs::rename(away.path().join(file), dir.path().join(file)).unwrap();
    }
    let server = Server::start(dir.path());
    assert_eq!(weights_of(&server, &run).await.len(), "sha256:".len() + 64);
}

/// What is in the log beside the database is folded into it by a graceful end.
async fn stopped(data_dir: &Path) -> Vec<u8> {
    let server = Server::start(data_dir);
    train(&server, "m").await;
    server.terminate();
    fs::read(path(data_dir)).unwrap()
}

#[tokio::test]
async fn a_damaged_database_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let whole = stopped(dir.path()).await;
    const PAGE: usize = 4_096;
    let n_pages = whole.len() / PAGE;
    assert!(n_pages > 10);
    let mut n_refused = 0;
    for page in 0..n_pages {
        let mut damaged = whole.clone();
        damaged[page * PAGE..(page + 1) * PAGE].fill(0);
        fs::write(path(dir.path()), &damaged).unwrap();
        match Server::with_faults(dir.path(), "") {
            // a page that nothing is in
            Some(server) => drop(server),
            None => {
                n_refused += 1;
                assert_eq!(fs::read(path(dir.path())).unwrap(), damaged, "page {page}");
            }
        }
        for beside in ["lethe.sqlite-wal", "lethe.sqlite-shm"] {
            let _ = fs::remove_file(dir.path().join(beside));
        }
    }
    assert!(n_refused > n_pages / 2, "{n_refused} of {n_pages}");
    let log = fs::read_to_string(dir.path().join("server.log")).unwrap();
    assert!(log.contains("stored data is damaged"), "{log}");
    fs::write(path(dir.path()), &whole).unwrap();
    assert_eq!(Server::start(dir.path()).get("/runs").await["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_log_that_was_cut_off_loses_its_end_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    for model in ["one", "two"] {
        train(&server, model).await;
    }
    drop(server);
    let log = dir.path().join("lethe.sqlite-wal");
    let whole = fs::read(&log).unwrap();
    fs::write(&log, &whole[..whole.len() * 3 / 4]).unwrap();
    let server = Server::start(dir.path());
    let runs = server.get("/runs").await["data"].as_array().unwrap().clone();
    assert!(!runs.is_empty(), "the first was written long before");
    for run in runs {
        let run = end_of(&server, &run).await;
        assert_eq!(run["status"], "succeeded", "{run}");
        let numbers: Vec<u64> = server
            .events(run["id"].as_str().unwrap())
            .await
            .iter()
            .map(|event| event["seq"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    }
}
