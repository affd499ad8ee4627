//! Pausing, resuming and forking: the bits of a run do not tell how often it was interrupted.

use crate::support::{TestApp, endless_training, small_training};
use serde_json::{Value, json};
use uuid::Uuid;

fn id_of(run: &Value) -> String {
    run["id"].as_str().unwrap().to_owned()
}

/// Follows the run until `wanted` events of this kind, with this member where one is given.
async fn follow(app: &TestApp, id: &str, kind: &str, status: Option<&str>, wanted: usize) {
    let (_, mut frames) = app.stream(&format!("/runs/{id}/events"), None).await;
    let mut seen = 0;
    while seen < wanted {
        let frame = frames.next().await.unwrap();
        let is_wanted = frame.event == kind && status.is_none_or(|status| frame.data["status"] == status);
        seen += usize::from(is_wanted);
    }
}

async fn end_of(app: &TestApp, id: &str) -> Value {
    follow(app, id, "done", None, 1).await;
    app.get(&format!("/runs/{id}")).await.json()
}

async fn weights_of(app: &TestApp, run: &Value) -> Value {
    assert_eq!(run["status"], "succeeded", "{run}");
    let (model, version) = (run["model"].as_str().unwrap(), &run["version"]["version"]);
    app.get(&format!("/models/{model}/versions/{version}")).await.json()["metrics"]["weights_digest"].clone()
}

/// The measures of every epoch in the log, without its timings.
async fn epochs(app: &TestApp, id: &str) -> Vec<Value> {
    let log = app.log(id).await;
    let epochs = log.iter().filter(|event| event["event"] == "epoch").map(|event| event["data"].clone());
    epochs
        .map(|mut data| {
            for timing in ["run", "seq", "samples_per_s", "elapsed_s", "eta_s"] {
                data.as_object_mut().unwrap().remove(timing);
            }
            data
        })
        .collect()
}

async fn checkpoints(app: &TestApp, id: &str) -> Vec<Value> {
    let list = app.get(&format!("/runs/{id}/checkpoints")).await.json();
    list["data"].as_array().unwrap().clone()
}

fn files(app: &TestApp) -> usize {
    std::fs::read_dir(app.data_dir.path().join("checkpoints")).unwrap().count()
}

/// Long enough to be met at work.
const LONG: u32 = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_run_that_is_resumed_comes_to_the_bits_of_one_that_never_was() {
    let app = TestApp::start().await;
    let whole = app.train("whole", LONG).await;
    let parted = app.post("/runs", &small_training("parted", LONG)).await.json();
    let id = id_of(&parted);
    for n_epochs in [1, 3] {
        follow(&app, &id, "epoch", None, n_epochs).await;
        let asked = app.post(&format!("/runs/{id}/pause"), &json!({})).await;
        assert_eq!((asked.status, &asked.json()["status"]), (202, &json!("pausing")));
        follow(&app, &id, "status", Some("paused"), n_epochs.div_ceil(2)).await;
        let paused = app.get(&format!("/runs/{id}")).await.json();
        assert_eq!(paused["status"], "paused");
        assert_eq!(paused["links"]["resume"], format!("/runs/{id}/resume"));
        let kept = checkpoints(&app, &id).await;
        assert!(
            !kept.is_empty() && kept.len() == files(&app) - checkpoints(&app, &id_of(&whole)).await.len()
        );
        let again = app.post(&format!("/runs/{id}/pause"), &json!({})).await;
        assert_eq!((again.status, &again.json()["status"]), (200, &json!("paused")));
        let resumed = app.post(&format!("/runs/{id}/resume"), &json!({})).await;
        assert_eq!((resumed.status, &resumed.json()["status"]), (202, &json!("queued")));
    }
    let parted = end_of(&app, &id).await;
    assert_eq!(parted["attempt"], 3);
    assert_eq!(weights_of(&app, &parted).await, weights_of(&app, &whole).await);
    assert_eq!(epochs(&app, &id).await, epochs(&app, &id_of(&whole)).await);
    let log = app.log(&id).await;
    let resumed = log.iter().filter(|event| event["data"]["phase"] == "resume").count();
    assert_eq!(resumed, 2, "it went on, and did not begin again");
    let numbers: Vec<u64> = log.iter().map(|event| event["data"]["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=parted["last_seq"].as_u64().unwrap()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_and_resume_answer_by_the_state_the_run_is_in() {
    let app = TestApp::start().await;
    let busy = id_of(&app.post("/runs", &endless_training()).await.json());
    let waiting = id_of(&app.post("/runs", &endless_training()).await.json());
    follow(&app, &busy, "status", Some("running"), 1).await;
    let resume = |id: &str| format!("/runs/{id}/resume");
    let pause = |id: &str| format!("/runs/{id}/pause");
    for id in [&busy, &waiting] {
        let refused = app.post(&resume(id), &json!({})).await.problem(409, "wrong_state");
        assert_eq!(refused["allowed_from"], json!(["paused"]));
    }
    let paused = app.post(&pause(&waiting), &json!({})).await;
    assert_eq!((paused.status, &paused.json()["status"]), (200, &json!("paused")));
    app.delete(&format!("/runs/{waiting}")).await.problem(409, "run_not_terminal");
    assert_eq!(app.post(&resume(&waiting), &json!({})).await.status, 202);
    app.post(&pause(&waiting), &json!({})).await;
    let canceled = app.post(&format!("/runs/{waiting}/cancel"), &json!({})).await;
    assert_eq!((canceled.status, &canceled.json()["status"]), (200, &json!("canceled")));
    let refused = app.post(&pause(&waiting), &json!({})).await.problem(409, "wrong_state");
    assert_eq!(
        (&refused["allowed_from"], &refused["run_status"]),
        (&json!(["queued", "running"]), &json!("canceled"))
    );
    // a cancel overrides a pause under way
    app.post(&pause(&busy), &json!({})).await;
    app.post(&format!("/runs/{busy}/cancel"), &json!({})).await;
    assert_eq!(end_of(&app, &busy).await["status"], "canceled");
    for verb in ["pause", "resume"] {
        let nowhere = format!("/runs/{}/{verb}", Uuid::now_v7());
        app.post(&nowhere, &json!({})).await.problem(404, "run_not_found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_goes_on_from_a_checkpoint_of_its_own() {
    let app = TestApp::start().await;
    let parent = app.train("parent", 3).await;
    let fork = format!("/runs/{}/fork", id_of(&parent));
    let ends = checkpoints(&app, &id_of(&parent)).await;
    let first = ends.first().unwrap();
    assert_eq!((&first["epoch"], &first["batch"]), (&json!(1), &first["batches"]));
    let measured = epochs(&app, &id_of(&parent)).await;
    assert_eq!(first["metrics"]["test_accuracy"], measured[0]["test_accuracy"]);

    let same = app.finish(&fork, &json!({ "checkpoint": first["id"], "model": "same" })).await;
    assert_eq!(weights_of(&app, &same).await, weights_of(&app, &parent).await);
    assert_eq!(epochs(&app, &id_of(&same)).await, measured);
    assert_eq!(same["forked_from"], json!({ "run": parent["id"], "checkpoint": first["id"], "epoch": 1 }));

    let changes = json!({ "epochs": 5, "learning_rate": 0.01, "batch_size": 32 });
    let other = app.finish(&fork, &json!({ "checkpoint": first["id"], "hyperparameters": changes })).await;
    assert_eq!(
        (&other["model"], &other["hyperparameters"]["learning_rate"]),
        (&json!("parent"), &json!(0.01))
    );
    let told = epochs(&app, &id_of(&other)).await;
    assert_eq!(told.iter().map(|epoch| epoch["epoch"].clone()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(told[0]["train_loss"], measured[0]["train_loss"]);
    assert_ne!(weights_of(&app, &other).await, weights_of(&app, &parent).await);

    // what it begins from is its own: the parent may go
    let waiting = app.post(&fork, &json!({ "hyperparameters": { "epochs": 4 } })).await.json();
    assert_eq!(app.delete(&format!("/runs/{}", id_of(&parent))).await.status, 204);
    assert_eq!(end_of(&app, &id_of(&waiting)).await["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_forked_is_refused_with_the_reason() {
    let app = TestApp::start().await;
    let parent = app.train("parent", 2).await;
    let fork = format!("/runs/{}/fork", id_of(&parent));
    let fixed = json!({ "hidden": [8], "holdout": 0.2, "shards": 2, "solver": "sgd", "epochs": 1 });
    let refused = app
        .post(&fork, &json!({ "hyperparameters": fixed, "faults": {}, "model": "no spaces" }))
        .await
        .problem(422, "invalid_request");
    let mut pointers: Vec<&str> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [
            "/faults",
            "/hyperparameters/epochs",
            "/hyperparameters/hidden",
            "/hyperparameters/holdout",
            "/hyperparameters/shards",
            "/hyperparameters/solver",
            "/model"
        ]
    );
    let unknown = app.post(&fork, &json!({ "checkpoint": Uuid::now_v7() })).await;
    assert_eq!(unknown.problem(422, "invalid_request")["errors"][0]["pointer"], "/checkpoint");
    app.post(&format!("/runs/{}/fork", Uuid::now_v7()), &json!({})).await.problem(404, "run_not_found");

    let optimum = json!({ "mode": "standard", "dataset": "digits", "model": "convex",
                          "hyperparameters": { "solver": { "optimum": {} }, "epochs": 1 } });
    let optimum = id_of(&app.finish("/runs", &optimum).await);
    assert!(checkpoints(&app, &optimum).await.is_empty());
    app.post(&format!("/runs/{optimum}/fork"), &json!({})).await.problem(409, "no_checkpoint");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_go_with_the_version_that_is_revoked_and_the_run_that_is_deleted() {
    let app = TestApp::start().await;
    let (revoked, deleted) = (app.train("revoked", 2).await, app.train("deleted", 2).await);
    let n_each = checkpoints(&app, &id_of(&deleted)).await.len();
    assert!(n_each > 0 && files(&app) == n_each + checkpoints(&app, &id_of(&revoked)).await.len());
    app.post("/models/revoked/versions/1/revoke", &json!({})).await;
    assert!(checkpoints(&app, &id_of(&revoked)).await.is_empty());
    assert_eq!(files(&app), n_each);
    app.post(&format!("/runs/{}/fork", id_of(&revoked)), &json!({})).await.problem(409, "no_checkpoint");
    assert_eq!(app.delete(&format!("/runs/{}", id_of(&deleted))).await.status, 204);
    assert_eq!(files(&app), 0);
    app.get(&format!("/runs/{}/checkpoints", id_of(&deleted))).await.problem(404, "run_not_found");
}
