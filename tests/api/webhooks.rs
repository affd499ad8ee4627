//! Webhooks from outside: how they are made, what they tell, and what is refused.

use crate::support::{ServerProcess, TestApp, client, small_training};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use lethe::domain::Secret;
use lethe::webhooks::{Courier, sign};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use uuid::Uuid;

const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

/// A receiver that answers with these, the last one from then on, and what was sent to it.
async fn receiver(statuses: &'static [u16]) -> (String, UnboundedReceiver<(HeaderMap, String)>) {
    let (took, taken) = unbounded_channel();
    let n_taken = Arc::new(AtomicUsize::new(0));
    let take = move |headers: HeaderMap, body: Bytes| {
        let took = took.clone();
        let place = n_taken.fetch_add(1, Ordering::SeqCst).min(statuses.len() - 1);
        async move {
            took.send((headers, String::from_utf8(body.to_vec()).unwrap())).unwrap();
            StatusCode::from_u16(statuses[place]).unwrap()
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/hook", post(take))).await });
    (url, taken)
}

impl TestApp {
    /// As a server does while it runs.
    fn tell(&self) {
        let engine = &self.state.engine;
        let courier = Courier::new(engine.store.clone(), self.state.webhooks.clone());
        tokio::spawn(courier.run(engine.news(), self.state.shutdown.clone()));
    }

    async fn webhook(&self, request: &Value) -> Value {
        let answer = self.post("/webhooks", request).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }
}

#[tokio::test]
async fn a_run_that_ends_is_told_to_a_webhook_which_can_verify_it() {
    let app = TestApp::start().await;
    app.tell();
    let (url, mut taken) = receiver(&[200]).await;
    let webhook = app.webhook(&json!({ "url": url })).await;
    let run = app.train("told", 1).await;
    let (headers, body) = taken.recv().await.unwrap();
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let secret = Secret(webhook["secret"].as_str().unwrap().to_owned());
    let id: Uuid = header("webhook-id").parse().unwrap();
    let timestamp: i64 = header("webhook-timestamp").parse().unwrap();
    assert_eq!(header("webhook-signature"), sign(&secret, id, timestamp, &body).unwrap());
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["type"], &body["data"]["run"]), (&json!("run.done"), &run["id"]));
    assert_eq!((&body["data"]["status"], &body["data"]["version"]), (&json!("succeeded"), &run["version"]));

    // the attempt is written down after it was answered
    let path = format!("/webhooks/{}/deliveries", webhook["id"].as_str().unwrap());
    let delivery = loop {
        let page = app.get(&format!("{path}?status=delivered")).await.json();
        if let Some(delivery) = page["data"].as_array().unwrap().first() {
            break delivery.clone();
        }
    };
    assert_eq!((&delivery["id"], &delivery["run"]), (&json!(id), &run["id"]));
    assert_eq!((&delivery["event"], &delivery["attempts"]), (&json!("done"), &json!(1)));
    assert_eq!((&delivery["answer_status"], &delivery["next_attempt_at"]), (&json!(200), &Value::Null));
    assert_eq!(app.get(&format!("{path}?status=failed")).await.json()["data"], json!([]));
}

#[tokio::test]
async fn a_secret_is_shown_once() {
    let app = TestApp::start().await;
    let events = json!(["done", "epoch", "done"]);
    let answer = app.post("/webhooks", &json!({ "url": "https://example.com/h", "events": events })).await;
    let made = answer.json();
    let path = answer.header("location").to_owned();
    assert_eq!(path, format!("/webhooks/{}", made["id"].as_str().unwrap()));
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(made["events"], json!(["done", "epoch"]));
    let mut shown = made.clone();
    shown.as_object_mut().unwrap().remove("secret");
    assert_eq!(app.get(&path).await.json(), shown);
    assert_eq!(app.get("/webhooks").await.json(), json!({ "data": [shown] }));
    assert_eq!(app.delete(&path).await.status, 204);
    app.get(&path).await.problem(404, "webhook_not_found");
    app.delete(&path).await.problem(404, "webhook_not_found");
    assert_eq!(app.get("/webhooks").await.json(), json!({ "data": [] }));
}

#[tokio::test]
async fn a_webhook_asked_for_twice_under_a_key_is_one_with_one_secret() {
    let app = TestApp::start().await;
    let ask = async || {
        let body = json!({ "url": "https://example.com/" });
        let mut request = crate::support::json_request(axum::http::Method::POST, "/webhooks", &body);
        request.headers_mut().insert("idempotency-key", "w".parse().unwrap());
        app.send(request).await.json()
    };
    assert_eq!(ask().await, ask().await);
    assert_eq!(app.get("/webhooks").await.json()["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_no_webhook_can_be_made_of_is_pointed_at() {
    let app = TestApp::start().await;
    for (request, pointer) in [
        (json!({}), "/url"),
        (json!({ "url": 7 }), "/url"),
        (json!({ "url": "example.com" }), "/url"),
        (json!({ "url": "ftp://example.com/" }), "/url"),
        (json!({ "url": "https://user:pass@example.com/" }), "/url"),
        (json!({ "url": format!("https://example.com/{}", "x".repeat(2048)) }), "/url"),
        (json!({ "url": "https://example.com/", "events": [] }), "/events"),
        (json!({ "url": "https://example.com/", "events": ["done", "batch"] }), "/events/1"),
        (json!({ "url": "https://example.com/", "events": ["finished"] }), "/events/0"),
        (json!({ "url": "https://example.com/", "secret": "whsec_mine" }), "/secret"),
    ] {
        app.post("/webhooks", &request).await.pointers(&[pointer]);
    }
    let public = TestApp::with_public_webhooks().await;
    for url in [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://169.254.169.254/",
        "https://[fd00::1]/",
        "https://0x7f.1/",
    ] {
        public.post("/webhooks", &json!({ "url": url })).await.pointers(&["/url"]);
    }
    assert_eq!(public.get("/webhooks").await.json(), json!({ "data": [] }));
}

#[tokio::test]
async fn there_are_only_so_many() {
    let app = TestApp::start().await;
    let request = json!({ "url": "https://example.com/" });
    for _ in 0..20 {
        app.webhook(&request).await;
    }
    app.post("/webhooks", &request).await.problem(409, "too_many_webhooks");
}

#[tokio::test]
async fn a_test_tells_at_once_what_came_of_it() {
    let app = TestApp::start().await;
    let (url, mut taken) = receiver(&[202]).await;
    let made = app.webhook(&json!({ "url": url })).await;
    let path = format!("/webhooks/{}/test", made["id"].as_str().unwrap());
    let told = app.post(&path, &json!({})).await.json();
    assert_eq!(
        (&told["delivered"], &told["answer_status"], &told["error"]),
        (&json!(true), &json!(202), &Value::Null)
    );
    let (headers, body) = taken.recv().await.unwrap();
    let secret = Secret(made["secret"].as_str().unwrap().to_owned());
    let number = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (id, timestamp) =
        (number("webhook-id").parse().unwrap(), number("webhook-timestamp").parse().unwrap());
    assert_eq!(headers["webhook-signature"].to_str().unwrap(), sign(&secret, id, timestamp, &body).unwrap());
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["type"], &body["data"]["webhook"]), (&json!("webhook.test"), &made["id"]));

    // a free port nobody listens on
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let made = app.webhook(&json!({ "url": format!("http://127.0.0.1:{port}/") })).await;
    let path = format!("/webhooks/{}", made["id"].as_str().unwrap());
    let told = app.post(&format!("{path}/test"), &json!({})).await.json();
    assert_eq!((&told["delivered"], &told["answer_status"]), (&json!(false), &Value::Null));
    assert!(told["error"].as_str().unwrap().starts_with("cannot connect"), "{told}");
    assert_eq!(
        app.get(&format!("{path}/deliveries")).await.json()["data"],
        json!([]),
        "a test is no delivery"
    );
    app.post(&format!("/webhooks/{NOBODY}/test"), &json!({})).await.problem(404, "webhook_not_found");
}

#[tokio::test]
async fn a_test_that_is_taken_brings_a_disabled_webhook_back() {
    let app = TestApp::start().await;
    app.tell();
    let (gone, mut taken) = receiver(&[410, 410, 204]).await;
    let made = app.webhook(&json!({ "url": gone })).await;
    let path = format!("/webhooks/{}", made["id"].as_str().unwrap());
    app.train("m", 1).await;
    taken.recv().await.unwrap();
    let disabled = loop {
        let webhook = app.get(&path).await.json();
        if !webhook["disabled_at"].is_null() {
            break webhook;
        }
    };
    assert_eq!(disabled["disabled_reason"], "gone");
    let refused = app.post(&format!("{path}/test"), &json!({})).await.json();
    assert_eq!((&refused["delivered"], &refused["webhook"]), (&json!(false), &disabled));
    let taken = app.post(&format!("{path}/test"), &json!({})).await.json();
    assert_eq!((&taken["delivered"], &taken["webhook"]["disabled_at"]), (&json!(true), &Value::Null));
    assert_eq!(app.get(&path).await.json(), taken["webhook"]);
}

#[tokio::test]
async fn deliveries_are_paged_newest_first() {
    let app = TestApp::start().await;
    app.state.engine.shutdown().await;
    let made = app.webhook(&json!({ "url": "https://example.com/", "events": ["status"] })).await;
    for _ in 0..3 {
        app.post("/runs", &small_training("m", 1)).await;
    }
    let path = format!("/webhooks/{}/deliveries", made["id"].as_str().unwrap());
    let first = app.get(&format!("{path}?limit=2")).await.json();
    assert_eq!((first["data"].as_array().unwrap().len(), &first["has_more"]), (2, &json!(true)));
    let next = first["next"].as_str().unwrap();
    let second = app.get(&format!("{path}?limit=2&after={next}")).await.json();
    assert_eq!((second["data"].as_array().unwrap().len(), &second["has_more"]), (1, &json!(false)));
    assert_eq!(second["data"][0]["status"], "pending");
    assert!(first["data"][0]["id"].as_str() > second["data"][0]["id"].as_str());
    app.get(&format!("{path}?after=x")).await.problem(400, "invalid_cursor");
    app.get(&format!("{path}?status=lost")).await.problem(400, "invalid_parameter");
    app.get(&format!("/webhooks/{NOBODY}/deliveries")).await.problem(404, "webhook_not_found");
}

#[tokio::test]
async fn a_server_that_dies_behind_an_attempt_makes_it_again() {
    let data_dir = tempfile::tempdir().unwrap();
    let (url, mut taken) = receiver(&[200]).await;
    let client = client();
    let server = ServerProcess::start(data_dir.path(), "record_attempt.commit=abort");
    for (path, body) in [("/webhooks", json!({ "url": url })), ("/runs", small_training("m", 1))] {
        let answer = client.post(format!("{}{path}", server.url)).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}");
    }
    let (first, told) = taken.recv().await.unwrap();
    drop(server);
    let server = ServerProcess::start(data_dir.path(), "");
    let (again, told_again) = taken.recv().await.unwrap();
    assert_eq!((&again["webhook-id"], told_again), (&first["webhook-id"], told));
    drop(server);
}
