//! Starting, listing, looking, cancelling, deleting; and every way to ask for the impossible.

use crate::support::{TestApp, endless_training, json_request, small_training};
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn a_training_is_accepted_at_once_and_resolved() {
    let app = TestApp::start().await;
    let answer = app.post("/runs", &json!({ "mode": "debug", "dataset": "digits" })).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let run = answer.json();
    let id = run["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/runs/{id}"));
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(run["kind"], "train");
    assert_eq!(run["status"], "queued");
    assert_eq!(run["model"], "debug-digits");
    assert_eq!(run["dataset"]["source"], "embedded");
    assert_eq!(
        run["hyperparameters"],
        json!({ "hidden": [256], "epochs": 10, "batch_size": 5, "learning_rate": 0.0005, "momentum": 0.9 })
    );
    assert_eq!(run["faults"]["misaligned_labels"], false);
    assert_eq!(run["faults"]["output_relu"], true);
    assert_eq!(run["seed"], 1);
    assert_eq!(run["progress"], json!({ "epoch": 0, "epochs": 10 }));
    for (link, path) in [("self", ""), ("events", "/events"), ("metrics", "/metrics"), ("cancel", "/cancel")]
    {
        assert_eq!(run["links"][link], format!("/runs/{id}{path}"));
    }
    app.post(&format!("/runs/{id}/cancel"), &json!({})).await;
}

#[tokio::test]
async fn prefer_wait_answers_201_with_the_finished_run() {
    let app = TestApp::start().await;
    let mut request = json_request(Method::POST, "/runs", &small_training("digits", 2));
    request.headers_mut().insert("prefer", "respond-async, wait=60".parse().unwrap());
    let answer = app.send(request).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.header("preference-applied"), "wait=60");
    let run = answer.json();
    assert_eq!(run["status"], "succeeded");
    assert_eq!(run["progress"], json!({ "epoch": 2, "epochs": 2 }));
    assert_eq!(run["version"]["model"], "digits");
    assert_eq!(run["best"]["metric"], "test_accuracy");
    assert_eq!(run["links"]["version"], "/models/digits/versions/1");
    assert!(run["links"]["cancel"].is_null());
    assert!(run["finished_at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn a_wait_that_is_over_first_answers_202() {
    let app = TestApp::start().await;
    let mut request = json_request(Method::POST, "/runs", &endless_training());
    request.headers_mut().insert("prefer", "wait=1".parse().unwrap());
    let answer = app.send(request).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json()["status"], "running");
    assert!(answer.json()["estimated_finish"].is_string(), "{}", answer.text());
    let mut request = json_request(Method::POST, "/runs", &endless_training());
    request.headers_mut().insert("prefer", "wait=forever".parse().unwrap());
    app.send(request).await.problem(400, "invalid_header");
    app.post(&format!("/runs/{}/cancel", answer.json()["id"].as_str().unwrap()), &json!({})).await;
}

#[tokio::test]
async fn a_run_says_which_priority_it_waits_with() {
    let app = TestApp::start().await;
    let mut body = small_training("digits", 1);
    assert_eq!(app.post("/runs", &body).await.json()["priority"], "interactive");
    body["priority"] = json!("batch");
    let run = app.post("/runs", &body).await.json();
    assert_eq!(run["priority"], "batch");
    let id = run["id"].as_str().unwrap();
    assert_eq!(app.get(&format!("/runs/{id}")).await.json()["priority"], "batch");
    body["priority"] = json!("urgent");
    app.post("/runs", &body).await.pointers(&["/priority"]);
}

#[tokio::test]
async fn everything_impossible_is_reported_at_once_and_nothing_starts() {
    let app = TestApp::start().await;
    let body = json!({
        "mode": "standard", "dataset": "digits", "model": "../etc", "seed": -1, "deadline_s": 0,
        "hyperparameters": { "hidden": [0], "epochs": 0, "batch_size": 1.5, "learning_rate": 1e39, "momentum": 1 },
        "faults": {}, "tags": { "": "x" },
    });
    app.post("/runs", &body).await.pointers(&[
        "/seed",
        "/faults",
        "/hyperparameters/hidden/0",
        "/hyperparameters/epochs",
        "/hyperparameters/batch_size",
        "/hyperparameters/learning_rate",
        "/hyperparameters/momentum",
        "/model",
        "/deadline_s",
        "/tags",
    ]);
    assert_eq!(app.get("/runs").await.json()["data"], json!([]));
}

#[tokio::test]
async fn bad_fields_are_pointed_at() {
    let app = TestApp::start().await;
    let with = |pointer: &str, value: Value| {
        let mut body = small_training("digits", 1);
        match pointer.strip_prefix("/hyperparameters/") {
            Some(name) => body["hyperparameters"][name] = value,
            None => body[&pointer[1..]] = value,
        }
        body
    };
    for (pointer, value) in [
        ("/mode", json!("quantum")),
        ("/mode", json!(null)),
        ("/dataset", json!("imagenet")),
        ("/dataset", json!(["digits"])),
        ("/modle", json!("typo")),
        ("/webhook", json!({ "url": "http://example.com" })),
        ("/faults", json!({ "misaligned_labels": true })),
        ("/hyperparameters/epoch", json!(3)),
        ("/hyperparameters/epochs", json!("3")),
        ("/hyperparameters/epochs", json!(u64::MAX)),
        ("/hyperparameters/epochs", json!(-3)),
        ("/hyperparameters/batch_size", json!(999_999)),
        ("/hyperparameters/learning_rate", json!(0)),
        ("/hyperparameters/learning_rate", json!(1e-50)),
        ("/hyperparameters/schedule", json!("sawtooth")),
        ("/hyperparameters/holdout", json!(0.9)),
        ("/hyperparameters/hidden", json!(vec![8; 17])),
        ("/hyperparameters/hidden", json!({})),
        ("/hyperparameters/shards", json!(65)),
        ("/hyperparameters/shards", json!(0)),
    ] {
        let answer = app.post("/runs", &with(pointer, value.clone())).await;
        assert_eq!(answer.status, 422, "{pointer} = {value}: {}", answer.text());
        let problem = answer.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{pointer} = {value}: {problem}");
    }
    app.post("/runs", &json!({ "mode": "nn" })).await.pointers(&["/dataset"]);
    app.post("/runs", &json!({})).await.pointers(&["/mode"]);
    assert_eq!(app.get("/runs").await.json()["data"], json!([]));
}

#[tokio::test]
async fn a_run_that_would_not_fit_into_memory_is_refused() {
    let app = TestApp::with_memory_limit("16MiB").await;
    let mut body = small_training("digits", 1);
    body["hyperparameters"]["hidden"] = json!([2_000, 2_000]);
    let answer = app.post("/runs", &body).await;
    answer.pointers(&["/hyperparameters/hidden", "/hyperparameters/batch_size"]);
    assert!(answer.text().contains("16.0 MiB"), "{}", answer.text());
    body["hyperparameters"]["hidden"] = json!([65_536, 65_536, 65_536, 65_536]);
    assert_eq!(app.post("/runs", &body).await.status, 422);
    body["hyperparameters"]["hidden"] = json!([8]);
    let accepted = app.finish("/runs", &body).await;
    assert_eq!(accepted["status"], "succeeded");
}

#[tokio::test]
async fn whole_numbers_may_be_written_as_reals_and_a_width_without_its_list() {
    let app = TestApp::start().await;
    let body = r#"{"mode":"standard","dataset":"digits","seed":7.0,"tags":{"by":"ana"},"deadline_s":600,
                   "hyperparameters":{"hidden":16,"epochs":1.0,"batch_size":1.28e2}}"#;
    let answer = app.post_as("/runs", "application/json; charset=utf-8", body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let run = answer.json();
    assert_eq!(run["hyperparameters"]["batch_size"], 128);
    assert_eq!(run["hyperparameters"]["hidden"], json!([16]));
    assert_eq!((&run["seed"], &run["deadline_s"]), (&json!(7), &json!(600)));
    assert_eq!(run["tags"], json!({ "by": "ana" }));
}

#[tokio::test]
async fn a_dataset_not_here_yet_is_named_by_its_pinned_digest() {
    let app = TestApp::start().await;
    // the thread is busy: the run stays in the queue, and nothing is downloaded
    let busy = app.post("/runs", &endless_training()).await.json();
    let answer = app.post("/runs", &json!({ "mode": "nn", "dataset": "mnist" })).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let run = answer.json();
    assert_eq!(run["dataset"]["source"], "download");
    assert_eq!(run["dataset"]["digest"].as_str().unwrap().len(), "sha256:".len() + 64);
    let canceled = app.post(&format!("/runs/{}/cancel", run["id"].as_str().unwrap()), &json!({})).await;
    assert_eq!((canceled.status, &canceled.json()["status"]), (200, &json!("canceled")));
    app.post(&format!("/runs/{}/cancel", busy["id"].as_str().unwrap()), &json!({})).await;
}

#[tokio::test]
async fn cancelling_answers_by_what_it_did() {
    let app = TestApp::start().await;
    let running = app.post("/runs", &endless_training()).await.json();
    let path = format!("/runs/{}", running["id"].as_str().unwrap());
    let (_, mut frames) = app.stream(&format!("{path}/events"), None).await;
    while frames.next_event().await.unwrap().event != "epoch" {}
    let cancel = format!("{path}/cancel");
    let underway = app.post(&cancel, &json!({})).await;
    assert_eq!((underway.status, &underway.json()["status"]), (202, &json!("canceling")));
    while let Some(frame) = frames.next().await {
        if frame.event == "done" {
            assert_eq!(frame.data["status"], "canceled");
        }
    }
    let again = app.post(&cancel, &json!({})).await;
    assert_eq!((again.status, &again.json()["status"]), (200, &json!("canceled")));

    let done = app.train("digits", 1).await;
    let too_late = app.post(&format!("/runs/{}/cancel", done["id"].as_str().unwrap()), &json!({})).await;
    assert_eq!(too_late.problem(409, "run_terminal")["run_status"], "succeeded");
    app.post(&format!("/runs/{}/cancel", Uuid::now_v7()), &json!({})).await.problem(404, "run_not_found");
    app.post("/runs/x/cancel", &json!({})).await.problem(400, "invalid_parameter");
}

#[tokio::test]
async fn lists_are_paged_newest_first_and_filtered() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for model in ["a", "b", "a", "b", "a"] {
        ids.push(app.train(model, 1).await["id"].clone());
    }
    ids.reverse();
    let (mut after, mut seen) = (String::new(), Vec::new());
    loop {
        let page = app.get(&format!("/runs?limit=2{after}")).await.json();
        seen.extend(page["data"].as_array().unwrap().iter().map(|run| run["id"].clone()));
        if page["has_more"] == false {
            break;
        }
        after = format!("&after={}", page["next"].as_str().unwrap());
    }
    assert_eq!(seen, ids);

    let count =
        async |query: &str| app.get(&format!("/runs?{query}")).await.json()["data"].as_array().unwrap().len();
    assert_eq!(count("model=a").await, 3);
    assert_eq!(count("status=succeeded,failed&model=b").await, 2);
    assert_eq!(count("status=queued").await, 0);
    assert_eq!(count("kind=train").await, 5);
    assert_eq!(count("kind=unlearn").await, 0);
}

#[tokio::test]
async fn bad_list_parameters_are_refused() {
    let app = TestApp::start().await;
    for query in ["limit=0", "limit=201", "limit=x", "status=asleep", "kind=dance", "modle=a", "limit=-1"] {
        app.get(&format!("/runs?{query}")).await.problem(400, "invalid_parameter");
    }
    app.get("/runs?after=7").await.problem(400, "invalid_cursor");
}

#[tokio::test]
async fn an_unchanged_run_is_a_304() {
    let app = TestApp::start().await;
    let run = app.train("digits", 1).await;
    let path = format!("/runs/{}", run["id"].as_str().unwrap());
    let first = app.get(&path).await;
    assert_eq!(first.header("etag"), format!("\"{}\"", run["last_seq"]));
    assert_eq!(first.json(), run);
    let ask = |etag: &str| Request::get(&path).header("if-none-match", etag).body(Body::empty()).unwrap();
    let unchanged = app.send(ask(first.header("etag"))).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(app.send(ask("\"1\"")).await.status, 200);
    app.get(&format!("/runs/{}", Uuid::now_v7())).await.problem(404, "run_not_found");
    app.get("/runs/7").await.problem(400, "invalid_parameter");
}

#[tokio::test]
async fn only_an_ended_run_can_be_deleted() {
    let app = TestApp::start().await;
    let run = app.train("digits", 1).await;
    let running = app.parked_run(vec![]).await;
    let problem = app.delete(&format!("/runs/{running}")).await.problem(409, "run_not_terminal");
    assert_eq!(problem["run_status"], "running");

    let path = format!("/runs/{}", run["id"].as_str().unwrap());
    assert_eq!(app.delete(&path).await.status, 204);
    app.get(&path).await.problem(404, "run_not_found");
    app.get(&format!("{path}/events")).await.problem(404, "run_not_found");
    app.delete(&path).await.problem(404, "run_not_found");
    assert_eq!(app.get("/models/digits/versions/1").await.status, 200, "what it published stays");
}

#[tokio::test]
async fn metrics_are_columns_as_json_or_csv() {
    let app = TestApp::start().await;
    let run = app.train("digits", 5).await;
    let path = format!("/runs/{}/metrics", run["id"].as_str().unwrap());
    let metrics = app.get(&path).await.json();
    assert_eq!(metrics["n_points"], 5);
    assert_eq!(metrics["columns"]["epoch"], json!([1.0, 2.0, 3.0, 4.0, 5.0]));
    for measure in ["train_loss", "train_accuracy", "test_loss", "test_accuracy", "reported_accuracy"] {
        assert_eq!(metrics["columns"][measure].as_array().unwrap().len(), 5, "{measure}");
    }
    let csv = app.get_as(&path, "text/csv").await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    let text = csv.text();
    assert!(text.starts_with("epoch,"), "{text}");
    assert_eq!(text.lines().count(), 6);
    assert_eq!(app.get(&format!("{path}?format=csv")).await.text(), text);

    let thinned = app.get(&format!("{path}?max_points=2")).await.json();
    assert_eq!(thinned["columns"]["epoch"], json!([1.0, 5.0]));
    for query in ["max_points=1", "max_points=x", "format=xls"] {
        app.get(&format!("{path}?{query}")).await.problem(400, "invalid_parameter");
    }
    app.get_as(&path, "image/png").await.problem(406, "not_acceptable");
    app.get(&format!("/runs/{}/metrics", Uuid::now_v7())).await.problem(404, "run_not_found");
}

#[tokio::test]
async fn charts_draw_one_run_or_two() {
    let app = TestApp::start().await;
    let (first, second) = (app.train("a", 2).await, app.train("b", 3).await);
    let (first, second) = (first["id"].as_str().unwrap(), second["id"].as_str().unwrap());
    let one = app.get(&format!("/runs/{first}/chart.svg")).await;
    assert_eq!(one.header("content-type"), "image/svg+xml");
    let one = one.text();
    assert!(one.contains("<svg") && one.contains(" on digits"), "{one}");
    let tail = |id: &str| id[id.len() - 6..].to_owned();
    assert!(!one.contains(&tail(first)), "a run alone needs no id in its legend");
    let two = app.get(&format!("/runs/{first}/chart.svg?compare={second}")).await.text();
    assert!(
        two.contains(&tail(first)) && two.contains(&tail(second)),
        "two alike are told apart by their ids"
    );

    let nobody = Uuid::now_v7();
    app.get(&format!("/runs/{nobody}/chart.svg")).await.problem(404, "run_not_found");
    app.get(&format!("/runs/{first}/chart.svg?compare={nobody}")).await.problem(404, "run_not_found");
    app.get(&format!("/runs/{first}/chart.svg?compare=x")).await.problem(400, "invalid_parameter");
}

#[tokio::test]
async fn a_training_has_no_report() {
    let app = TestApp::start().await;
    let run = app.train("digits", 1).await;
    let path = format!("/runs/{}/report", run["id"].as_str().unwrap());
    app.get(&path).await.problem(404, "report_not_found");
    app.get(&format!("/runs/{}/report", Uuid::now_v7())).await.problem(404, "run_not_found");
}
