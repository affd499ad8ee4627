//! What surrounds every request: ids, problems of the framework, and causes that stay inside.

use crate::support::{TestApp, json_request, small_training};
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;

#[tokio::test]
async fn every_answer_carries_a_request_id_and_keeps_a_good_one() {
    let app = TestApp::start().await;
    assert!(!app.get("/livez").await.header("x-request-id").is_empty());
    let with_id = |id: &str| Request::get("/livez").header("x-request-id", id).body(Body::empty()).unwrap();
    assert_eq!(app.send(with_id("trace-7")).await.header("x-request-id"), "trace-7");
    let long = "x".repeat(129);
    assert_ne!(app.send(with_id(&long)).await.header("x-request-id"), long);
    assert_ne!(app.send(with_id("two words")).await.header("x-request-id"), "two words");
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems() {
    let app = TestApp::start().await;
    for path in ["/nope", "/runs/", "/runs/x/y/z", "/docs/nope.js", "/assets/nope.css", "//", "/%2e%2e/etc"] {
        app.get(path).await.problem(404, "route_not_found");
    }
    let answer = app.put("/runs", &json!({})).await;
    answer.problem(405, "method_not_allowed");
    assert!(answer.header("allow").contains("POST"), "{:?}", answer.headers);
}

#[tokio::test]
async fn bodies_that_are_not_json_are_problems() {
    let app = TestApp::start().await;
    for body in ["", "{", "nope", "{\"mode\":\"nn\"", "[1,2", "\"", &"[".repeat(100_000)] {
        app.post_as("/runs", "application/json", body.to_owned()).await.problem(400, "invalid_json");
    }
    // JSON, but not what is wanted there
    for (body, pointer) in [("[]", ""), (r#"{"mode":null}"#, "/mode"), (r#"{"mode":7}"#, "/mode")] {
        app.post_as("/runs", "application/json", body).await.pointers(&[pointer]);
    }
    app.post_as("/runs", "application/json", b"{\"mode\":\"\xff\"}".to_vec())
        .await
        .problem(400, "invalid_json");
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/yaml", ""] {
        app.post_as("/runs", content_type, "{}").await.problem(415, "unsupported_media_type");
    }
    let mut compressed = json_request(Method::POST, "/runs", &json!({}));
    compressed.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    app.send(compressed).await.problem(415, "unsupported_media_type");
}

/// A list of values in the order of the fields would mean something else once a field is added.
#[tokio::test]
async fn a_list_of_values_never_stands_for_an_object() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    let put = app.put("/models/digits/aliases/prod", &json!([1])).await;
    put.pointers(&[""]);
    assert!(put.text().contains("an object"), "{}", put.text());
    app.post("/models/digits/versions/1/revoke", &json!([null])).await.pointers(&[""]);
    app.post("/predict", &json!(["digits", [[0]], null])).await.pointers(&[""]);
    let training = json!(["standard", "digits", null, null, null, null, null, {}]);
    app.post("/runs", &training).await.pointers(&[""]);
    let unlearning = json!(["digits", { "class": 3 }, "reset_last"]);
    app.post("/unlearn", &unlearning).await.pointers(&[""]);

    let mut training = small_training("digits", 1);
    training["hyperparameters"] = json!([8, 1, null, null, null, null, null, null, null]);
    app.post("/runs", &training).await.pointers(&["/hyperparameters"]);
    training["hyperparameters"] = json!({ "early_stopping": [1] });
    app.post("/runs", &training).await.pointers(&["/hyperparameters/early_stopping"]);
    let faults = json!({ "mode": "nn", "dataset": "digits", "faults": [true, true, true, true, true] });
    app.post("/runs", &faults).await.pointers(&["/faults"]);

    for (member, list) in [
        ("/forget", json!([3, null, null, null])),
        ("/forget/sample", json!([0.5, 1])),
        ("/hyperparameters", json!([null, 1, null, null, null])),
        ("/promote", json!(["prod", {}])),
        ("/promote/only_if", json!([null, null, null])),
        ("/promote/only_if/forget_accuracy", json!([0.5])),
    ] {
        let mut order = json!({ "model": "digits", "forget": { "class": 3 }, "method": "reset_last" });
        match member {
            "/forget/sample" => order["forget"] = json!({ "sample": list }),
            "/promote/only_if" => order["promote"] = json!({ "alias": "prod", "only_if": list }),
            "/promote/only_if/forget_accuracy" => {
                order["promote"] = json!({ "alias": "prod", "only_if": { "forget_accuracy": list } });
            }
            _ => order[&member[1..]] = list,
        }
        app.post("/unlearn", &order).await.pointers(&[member]);
    }
}

#[tokio::test]
async fn a_parameter_that_is_no_number_is_named() {
    let app = TestApp::start().await;
    for (path, pointer) in [
        ("/models/digits/versions/-1", "{v}"),
        ("/models/digits/versions/4294967296", "{v}"),
        ("/datasets/digits/rows/1.5", "{row}"),
        ("/runs?limit=-1", "?limit"),
        ("/runs?limit=1e2", "?limit"),
        ("/runs?limit=99999999999999999999", "?limit"),
        ("/runs?kind=train&kind=train", "?kind"),
    ] {
        let problem = app.get(path).await.problem(400, "invalid_parameter");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        let detail = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("whole number") || pointer == "?kind", "{problem}");
    }
    let twice = app.post_as("/runs", "application/json", r#"{"mode":"nn","mode":"nn"}"#).await;
    twice.pointers(&["/mode"]);
}

#[tokio::test]
async fn bodies_above_the_limit_are_refused_by_their_length_and_by_their_bytes() {
    let app = TestApp::start().await;
    let declared = Request::post("/runs")
        .header("content-type", "application/json")
        .header("content-length", "1048577")
        .body(Body::empty())
        .unwrap();
    app.send(declared).await.problem(413, "payload_too_large");
    let chunks = futures_util::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 32 << 10])));
    let undeclared = Request::post("/runs")
        .header("content-type", "application/json")
        .body(Body::from_stream(chunks))
        .unwrap();
    app.send(undeclared).await.problem(413, "payload_too_large");
    let huge = vec![0_u8; (16 << 20) + 1];
    app.post_as("/predict?model=a", "application/octet-stream", huge).await.problem(413, "payload_too_large");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_problem() {
    let app = TestApp::start().await;
    let chunks = [Ok(b"{".to_vec()), Err(std::io::Error::other("secret socket detail"))];
    let broken = Request::post("/runs")
        .header("content-type", "application/json")
        .body(Body::from_stream(futures_util::stream::iter(chunks)))
        .unwrap();
    let answer = app.send(broken).await;
    answer.problem(400, "bad_request");
    assert!(!answer.text().contains("secret"), "{}", answer.text());
}

#[tokio::test]
async fn a_database_that_is_gone_is_a_503_that_tells_nothing() {
    let app = TestApp::start().await;
    app.state.engine.store.close().await;
    for path in ["/runs", "/models", "/readyz"] {
        let answer = app.get(path).await;
        answer.problem(503, "unavailable");
        assert!(!answer.header("retry-after").is_empty());
        for inside in ["sqlite", "Pool", "pool", "sqlx", "closed"] {
            assert!(!answer.text().contains(inside), "{}", answer.text());
        }
    }
    assert_eq!(app.get("/livez").await.status, 200, "a process without its database still lives");
}

#[tokio::test]
async fn an_internal_cause_is_not_answered() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    let models = app.data_dir.path().join("models");
    for file in std::fs::read_dir(&models).unwrap() {
        let file = file.unwrap().path();
        std::fs::remove_file(&file).unwrap();
        // it can be opened, and not be read
        std::fs::create_dir(&file).unwrap();
    }
    let answer = app.get("/models/digits/download").await;
    answer.problem(500, "internal");
    let folder = app.data_dir.path().display().to_string();
    for inside in ["irectory", "safetensors", &folder] {
        assert!(!answer.text().contains(inside), "{}", answer.text());
    }
}

#[tokio::test]
async fn health_and_build_are_answered() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/livez").await.json(), json!({ "status": "ok" }));
    assert_eq!(app.get("/readyz").await.json(), json!({ "status": "ok" }));
    let version = app.get("/version").await.json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(!version["kernels"].as_str().unwrap().is_empty());
    app.get("/livez?verbose=%zz").await;
    app.post("/livez", &json!({})).await.problem(405, "method_not_allowed");
    app.post("/readyz", &json!({})).await.problem(405, "method_not_allowed");
    app.post("/version", &json!({})).await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn no_number_crashes_the_checks() {
    let app = TestApp::start().await;
    let numbers = [
        "0",
        "-0.0",
        "1",
        "2",
        "1e9",
        "2147483648",
        "4294967295",
        "4294967296",
        "9223372036854775808",
        "18446744073709551615",
        "1e18",
        "1e39",
        "1e308",
        "5e-324",
        "-1",
        "0.5",
        "1e400",
        "null",
        "\"1\"",
        "[]",
    ];
    for field in ["hidden", "epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "holdout"] {
        for number in numbers {
            let value = if field == "hidden" { format!("[{number},{number}]") } else { number.to_owned() };
            // nothing is started: the name of the model is impossible
            let body = format!(
                r#"{{"mode":"standard","dataset":"digits","model":"%","hyperparameters":{{"{field}":{value}}}}}"#
            );
            let answer = app.post_as("/runs", "application/json", body.clone()).await;
            assert!([400, 422].contains(&answer.status), "{body}: {}", answer.text());
        }
    }
    let fine = app.post("/runs", &small_training("fine", 1)).await;
    assert_eq!(fine.status, 202);
}
