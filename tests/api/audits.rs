//! Auditing versions, from outside.

use crate::support::TestApp;
use serde_json::{Value, json};

async fn report_of(app: &TestApp, run: &Value) -> Value {
    assert_eq!(run["status"], "succeeded", "{run}");
    app.get(run["links"]["report"].as_str().unwrap()).await.json()
}

#[tokio::test]
async fn an_audit_reports_on_the_last_forgetting_and_publishes_nothing() {
    let app = TestApp::start().await;
    app.train("digits", 2).await;
    let order = json!({ "model": "digits", "forget": { "class": 3 }, "method": "retrain" });
    assert_eq!(app.finish("/unlearn", &order).await["status"], "succeeded");
    let order = json!({ "model": "digits", "tags": { "ticket": "7" }, "seed": 9 });
    let run = app.finish("/audits", &order).await;
    assert_eq!((&run["kind"], &run["version"]), (&json!("audit"), &json!(null)));
    assert_eq!((&run["parent"]["version"], &run["verify"]), (&json!(2), &json!("standard")));
    assert_eq!((&run["progress"]["epochs"], &run["tags"]["ticket"]), (&json!(0), &json!("7")));
    let report = report_of(&app, &run).await;
    assert_eq!(report["run"], run["id"]);
    assert_eq!((&report["model"]["version"], &report["before"]["version"]), (&json!(2), &json!(1)));
    assert_eq!((&report["forget"]["class"], &report["method"]), (&json!(3), &json!("retrain")));
    assert!(report["child"].is_null());
    let measure = &report["metrics"]["forget_accuracy"];
    assert!(measure["before"].as_f64().unwrap() > 0.5 && measure["retrain"].is_number(), "{measure}");
    assert_eq!(measure["after"], 0.0);
    let model = app.get("/models/digits").await.json();
    assert_eq!(model["versions"].as_array().unwrap().len(), 2);

    let events = app.log(run["id"].as_str().unwrap()).await;
    assert!(events.iter().any(|event| event["data"]["phase"] == "retrain"));
    assert_eq!(events.last().unwrap()["event"], "done");
    let listed = app.get("/runs?kind=audit").await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    let metrics = app.get(run["links"]["metrics"].as_str().unwrap()).await;
    assert_eq!(metrics.status, 200, "{}", metrics.text());
    let chart = app.get(run["links"]["chart"].as_str().unwrap()).await;
    assert_eq!(chart.status, 200, "{}", chart.text());
}

#[tokio::test]
async fn a_trained_version_still_knows_and_does_not_pass() {
    let app = TestApp::start().await;
    app.train("digits", 2).await;
    let order = json!({ "model": "digits:1", "forget": { "class": 7 }, "verify": "standard" });
    let run = app.finish("/audits", &order).await;
    assert_eq!(run["forget"], json!({ "class": 7 }));
    let report = report_of(&app, &run).await;
    assert_eq!((&report["verdict"], &report["claim"]), (&json!("fail"), &json!(null)));
    assert_eq!(report["before"], report["model"]);
}

#[tokio::test]
async fn bad_audits_are_pointed_at_and_nothing_starts() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    for (body, pointer) in [
        (json!({ "model": "digits" }), "/forget"),
        (json!({ "model": "digits", "forget": {} }), "/forget"),
        (json!({ "model": "digits", "forget": { "class": 10 } }), "/forget/class"),
        (json!({ "model": "digits", "forget": { "planted": true } }), "/forget/planted"),
        (json!({ "model": "digits", "forget": { "rows": [40_000] } }), "/forget/rows"),
        (json!({ "model": "digits", "forget": { "class": 3 }, "verify": "maybe" }), "/verify"),
        (json!({ "model": "digits", "forget": { "class": 3 }, "seed": -1 }), "/seed"),
        (json!({ "model": "digits", "forget": { "class": 3 }, "method": "retrain" }), "/method"),
        (json!({ "forget": { "class": 3 } }), "/model"),
    ] {
        let answer = app.post("/audits", &body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        answer.pointers(&[pointer]);
    }
    let nobody = app.post("/audits", &json!({ "model": "nobody", "forget": { "class": 3 } })).await;
    nobody.problem(404, "model_not_found");
    assert_eq!(app.get("/runs?kind=audit").await.json()["data"], json!([]));
}
