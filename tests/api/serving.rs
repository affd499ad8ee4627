//! Versions in memory: what a reference means at every moment, and what that is told of.

use crate::support::{Answer, TestApp};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const RAW: &str = "application/octet-stream";

async fn ask(app: &TestApp, reference: &str) -> Answer {
    app.post_as(&format!("/models/{reference}/predict"), RAW, vec![7; 784]).await
}

fn version(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["model"]["version"].clone()
}

async fn point(app: &TestApp, alias: &str, version: u32) {
    let answer = app.put(&format!("/models/digits/aliases/{alias}"), &json!({ "version": version })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn weights(app: &TestApp, run: &Value) -> std::path::PathBuf {
    let id = run["version"]["id"].as_str().unwrap();
    app.data_dir.path().join("models").join(format!("{id}.safetensors"))
}

#[tokio::test]
async fn a_reference_means_what_it_should_from_the_moment_it_changed() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    point(&app, "prod", 1).await;
    assert_eq!(version(&ask(&app, "digits").await), 1);
    assert_eq!(version(&ask(&app, "digits@prod").await), 1);

    app.train("digits", 1).await;
    assert_eq!(version(&ask(&app, "digits").await), 2, "the newest");
    assert_eq!(version(&ask(&app, "digits@prod").await), 1);
    point(&app, "prod", 2).await;
    assert_eq!(version(&ask(&app, "digits@prod").await), 2);

    assert_eq!(app.post("/models/digits/versions/2/revoke", &json!({ "replacement": 1 })).await.status, 200);
    assert_eq!(version(&ask(&app, "digits").await), 1, "the newest that may be used");
    assert_eq!(version(&ask(&app, "digits@prod").await), 1, "aliases moved to the replacement");
    ask(&app, "digits:2").await.problem(410, "version_revoked");

    assert_eq!(app.delete("/models/digits/aliases/prod").await.status, 204);
    ask(&app, "digits@prod").await.problem(404, "model_not_found");
}

#[tokio::test]
async fn a_new_version_is_in_memory_before_anything_points_at_it() {
    let app = TestApp::start().await;
    let run = app.train("digits", 1).await;
    // nobody has asked for it yet, and nobody could read it now
    std::fs::remove_file(weights(&app, &run)).unwrap();
    assert_eq!(version(&ask(&app, "digits").await), 1);
}

#[tokio::test]
async fn an_alias_does_not_move_to_a_version_that_cannot_be_read() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    point(&app, "prod", 1).await;
    let second = app.train("digits", 1).await;
    let id = second["version"]["id"].as_str().unwrap().parse().unwrap();
    app.state.engine.inference.forget(id);
    std::fs::remove_file(weights(&app, &second)).unwrap();
    let refused = app.put("/models/digits/aliases/prod", &json!({ "version": 2 })).await;
    refused.problem(409, "weights_damaged");
    assert_eq!(version(&ask(&app, "digits@prod").await), 1, "it stays where it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_swaps_under_load_disturb_nobody() {
    let app = Arc::new(TestApp::start().await);
    app.train("digits", 1).await;
    app.train("digits", 1).await;
    point(&app, "prod", 1).await;
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (app, over) = (Arc::clone(&app), Arc::clone(&over));
            tokio::spawn(async move {
                let mut n_asked = [0, 0];
                while !over.load(Ordering::Relaxed) {
                    let answered = version(&ask(&app, "digits@prod").await).as_u64().unwrap();
                    n_asked[answered as usize - 1] += 1;
                    // without a socket to wait for, this would keep the thread for itself
                    tokio::task::yield_now().await;
                }
                n_asked
            })
        })
        .collect();
    for swap in 0..1_000 {
        let to = 2 - swap % 2;
        point(&app, "prod", to).await;
        assert_eq!(version(&ask(&app, "digits@prod").await), to, "whoever moved it sees it moved");
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        let [first, second] = client.await.unwrap();
        assert!(first > 0 && second > 0, "both were asked: {first} and {second}");
    }
    assert_eq!(app.state.engine.inference.in_memory().0, 2, "nothing piles up");
}

#[tokio::test]
async fn requests_and_predictions_are_counted() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    for _ in 0..3 {
        ask(&app, "digits").await;
    }
    app.post_as("/models/digits/predict", RAW, vec![7; 5]).await.problem(422, "invalid_request");
    let answer = app.get("/metrics").await;
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    let text = answer.text();
    for line in [
        r#"lethe_http_request_duration_seconds_count{method="POST",route="/models/{ref}/predict",status="200"} 3"#,
        r#"lethe_http_request_duration_seconds_count{method="POST",route="/models/{ref}/predict",status="422"} 1"#,
        "lethe_predict_infer_seconds_count 3",
        r#"lethe_predict_rows_bucket{le="1.0"} 3"#,
        r#"lethe_runs{status="succeeded"} 1"#,
        r#"lethe_runs{status="running"} 0"#,
        "lethe_models_loaded 1",
        "lethe_sse_subscribers 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.contains("lethe_build_info{"), "{text}");
    assert!(!text.contains(app.data_dir.path().to_str().unwrap()));
}
