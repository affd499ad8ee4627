//! Requests under an `Idempotency-Key`: sent again, they are not done again.

use crate::support::{Answer, ServerProcess, TestApp, endless_training, json_request, small_training};
use axum::body::Body;
use axum::http::{Method, Request};
use chrono::Utc;
use futures_util::future::join_all;
use lethe::domain::Status;
use lethe::store::{KeyedRequest, Reservation};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

fn keyed(path: &str, key: &str, body: &Value) -> Request<Body> {
    let mut request = json_request(Method::POST, path, body);
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

impl TestApp {
    async fn post_keyed(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.send(keyed(path, key, body)).await
    }

    async fn runs(&self) -> Vec<Value> {
        self.get("/runs").await.json()["data"].as_array().unwrap().clone()
    }

    /// The key as a request leaves it that gets no further than this; the id of what it was to make.
    async fn reserve(&self, path: &str, key: &str, body: &Value) -> Uuid {
        let request = KeyedRequest {
            key: key.to_owned(),
            operation: format!("POST {path}"),
            fingerprint: hex::encode(Sha256::digest(format!("\n{body}"))),
        };
        match self.state.engine.store.reserve_key(&request, Utc::now()).await.unwrap() {
            Reservation::New(made) => made,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_repeated_order_is_answered_as_before_and_makes_one_run() {
    let app = TestApp::start().await;
    app.state.engine.shutdown().await;
    let order = small_training("once", 1);
    let first = app.post_keyed("/runs", "\"order-1\"", &order).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (202, ""));
    let id: Uuid = first.json()["id"].as_str().unwrap().parse().unwrap();
    // it has gone on meanwhile, and the answer is still the first one
    app.state.engine.cancel(id).await.unwrap();
    for key in ["\"order-1\"", "order-1"] {
        let again = app.post_keyed("/runs", key, &order).await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (202, "true"));
        for header in ["location", "etag", "content-type"] {
            assert_eq!(again.header(header), first.header(header), "{header}");
        }
        assert_eq!(again.json(), first.json());
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    }
    assert_eq!(app.runs().await.len(), 1);
    assert_eq!(app.post_keyed("/runs", "order-2", &order).await.status, 202);
    assert_eq!(app.post("/runs", &order).await.status, 202);
    assert_eq!(app.runs().await.len(), 3);
}

#[tokio::test]
async fn a_key_that_stands_for_another_request_is_refused() {
    let app = TestApp::start().await;
    app.state.engine.shutdown().await;
    let first = app.post_keyed("/runs", "k", &small_training("a", 1)).await;
    assert_eq!(first.status, 202);
    let other = app.post_keyed("/runs", "k", &small_training("b", 1)).await;
    let problem = other.problem(422, "idempotency_key_reused");
    assert_eq!(problem["errors"][0]["pointer"], "Idempotency-Key");
    // the key of one operation says nothing of another
    let run = first.header("location");
    let pause = format!("{run}/pause");
    let paused = app.post_keyed(&pause, "k", &json!({})).await;
    assert_eq!((paused.status, &paused.json()["status"]), (200, &json!("paused")));
    app.post(&format!("{run}/cancel"), &json!({})).await;
    app.post(&pause, &json!({})).await.problem(409, "wrong_state");
    assert_eq!(app.post_keyed(&pause, "k", &json!({})).await.json(), paused.json());
    assert_eq!(app.runs().await.len(), 1);
}

#[tokio::test]
async fn a_refusal_is_given_again_under_its_own_request_id() {
    let app = TestApp::start().await;
    let order = json!({ "model": "soon", "forget": { "class": 3 }, "method": "reset_last" });
    let first = app.post_keyed("/unlearn", "k", &order).await;
    let first = first.problem(404, "model_not_found");
    app.train("soon", 1).await;
    let again = app.post_keyed("/unlearn", "k", &order).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    let again = again.problem(404, "model_not_found");
    assert_eq!((&again["detail"], &again["errors"]), (&first["detail"], &first["errors"]));
    assert_ne!(again["request_id"], first["request_id"]);
    let fresh = app.post_keyed("/unlearn", "k2", &order).await;
    assert_eq!(fresh.status, 202);
}

#[tokio::test]
async fn an_error_of_the_server_is_not_kept() {
    let app = TestApp::start().await;
    app.state.engine.shutdown().await;
    let order = small_training("m", 1);
    let path = app.data_dir.path().join("lethe.sqlite");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let database = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let breaking = "create trigger broken before insert on event begin select raise(abort, 'broken'); end";
    sqlx::query(breaking).execute(&database).await.unwrap();
    for _ in 0..2 {
        let failed = app.post_keyed("/runs", "k", &order).await;
        failed.problem(500, "internal");
        assert_eq!(failed.header("idempotency-replayed"), "");
    }
    sqlx::query("drop trigger broken").execute(&database).await.unwrap();
    let other = app.post_keyed("/runs", "k", &small_training("n", 1)).await;
    other.problem(422, "idempotency_key_reused");
    let done = app.post_keyed("/runs", "k", &order).await;
    assert_eq!((done.status, done.header("idempotency-replayed")), (202, ""));
    assert_eq!(app.runs().await.len(), 1);
}

#[tokio::test]
async fn a_hundred_at_once_make_one_run() {
    let app = TestApp::start().await;
    app.state.engine.shutdown().await;
    let order = small_training("crowd", 1);
    let answers = join_all((0..100).map(|_| app.post_keyed("/runs", "k", &order))).await;
    for answer in &answers {
        if answer.status != 202 {
            answer.problem(409, "idempotency_key_in_use");
            assert_eq!(answer.header("retry-after"), "1");
        }
    }
    let n_first = answers.iter().filter(|a| a.status == 202 && a.header("idempotency-replayed").is_empty());
    assert_eq!(n_first.count(), 1);
    assert_eq!(app.runs().await.len(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_finds_its_answer_when_it_comes_back() {
    let app = TestApp::start().await;
    let waiting = || {
        let mut request = keyed("/runs", "k", &endless_training());
        request.headers_mut().insert("prefer", "wait=60".parse().unwrap());
        request
    };
    {
        let mut first = std::pin::pin!(app.send(waiting()));
        while app.runs().await.is_empty() {
            assert!(futures_util::poll!(&mut first).is_pending());
        }
    }
    app.send(waiting()).await.problem(409, "idempotency_key_in_use");
    let other = app.post_keyed("/runs", "k", &small_training("other", 1)).await;
    other.problem(422, "idempotency_key_reused");
    let run = app.runs().await[0]["id"].as_str().unwrap().to_owned();
    app.post(&format!("/runs/{run}/cancel"), &json!({})).await;
    let answer = loop {
        let answer = app.send(waiting()).await;
        if answer.status != 409 {
            break answer;
        }
        // nothing above waits for anything while the key is in use
        tokio::task::yield_now().await;
    };
    assert_eq!((answer.status, answer.header("idempotency-replayed")), (201, "true"));
    assert_eq!((&answer.json()["id"], &answer.json()["status"]), (&json!(run), &json!("canceled")));
    assert_eq!(app.runs().await.len(), 1);
}

/// What a process that died leaves: the key, and maybe the run, but no answer.
#[tokio::test]
async fn a_request_without_its_answer_finds_what_it_made_or_makes_it_under_the_same_id() {
    let app = TestApp::start().await;
    app.state.engine.shutdown().await;
    let order = small_training("m", 1);
    let made = app.reserve("/runs", "before", &order).await;
    let answer = app.post_keyed("/runs", "before", &order).await;
    assert_eq!((answer.status, answer.header("idempotency-replayed")), (202, ""));
    assert_eq!(answer.json()["id"], json!(made));

    let made = app.reserve("/runs", "after", &order).await;
    let run = lethe::domain::Run { id: made, ..crate::support::queued_run() };
    app.state.engine.store.insert_run(run).await.unwrap();
    for _ in 0..2 {
        let answer = app.post_keyed("/runs", "after", &order).await;
        assert_eq!((answer.status, answer.header("idempotency-replayed")), (202, "true"));
        assert_eq!(answer.header("location"), format!("/runs/{made}"));
        assert_eq!(answer.json()["id"], json!(made));
    }
    assert_eq!(app.runs().await.len(), 2);
    assert_eq!(app.state.engine.store.run(made).await.unwrap().status, Status::Queued);
}

#[tokio::test]
async fn a_key_is_honoured_exactly_where_it_is_described() {
    let app = TestApp::start().await;
    let document = serde_json::to_value(lethe::http::document()).unwrap();
    let mut n_honoured = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let described = operation["parameters"]
                .as_array()
                .is_some_and(|all| all.iter().any(|parameter| parameter["name"] == "Idempotency-Key"));
            let only_reads = path.ends_with("/predict") || path.starts_with("/v2/");
            assert_eq!(described, method == "post" && !only_reads, "{method} {path}");
            let path =
                path.replace("{id}", &Uuid::nil().to_string()).replace("{v}", "1").replace("{name}", "m");
            let mut request = json_request(method.to_uppercase().parse().unwrap(), &path, &json!({}));
            request.headers_mut().insert("idempotency-key", "no, key".parse().unwrap());
            // as a stream, the events of all runs have no end
            request.headers_mut().insert("accept", "application/json".parse().unwrap());
            let answer = app.send(request).await;
            let honoured = answer.status == 400 && answer.text().contains("Idempotency-Key");
            assert_eq!(honoured, described, "{method} {path}: {}", answer.text());
            if described {
                let problem = answer.problem(400, "invalid_header");
                assert_eq!(problem["errors"][0]["pointer"], "Idempotency-Key");
                n_honoured += 1;
            }
        }
    }
    assert!(n_honoured >= 8, "{n_honoured}");
}

#[tokio::test]
async fn a_body_that_never_came_whole_uses_up_no_key() {
    let app = TestApp::start().await;
    app.state.engine.shutdown().await;
    let request =
        Request::post("/runs").header("idempotency-key", "k").header("content-type", "application/json");
    let huge = request.body(Body::from(vec![b' '; (1 << 20) + 1])).unwrap();
    app.send(huge).await.problem(413, "payload_too_large");
    assert_eq!(app.post_keyed("/runs", "k", &small_training("m", 1)).await.status, 202);
}

#[tokio::test]
async fn a_server_that_dies_before_it_answers_makes_one_run_all_the_same() {
    let data_dir = tempfile::tempdir().unwrap();
    let client = crate::support::client();
    let post = async |server: &ServerProcess| {
        let request = client.post(format!("{}/runs", server.url)).header("idempotency-key", "\"order-1\"");
        request.json(&small_training("m", 1)).send().await
    };
    for fault in ["reserve_key.committed", "submit.commit", "submit.committed", "keep_answer.commit"] {
        let server = ServerProcess::start(data_dir.path(), &format!("{fault}=abort"));
        assert!(post(&server).await.is_err(), "{fault}");
    }
    let server = ServerProcess::start(data_dir.path(), "");
    let answer = post(&server).await.unwrap();
    assert!(answer.status().is_success());
    let run: Value = answer.json().await.unwrap();
    let runs = client.get(format!("{}/runs", server.url)).send().await.unwrap();
    let runs: Value = runs.json().await.unwrap();
    assert_eq!(runs["data"].as_array().unwrap().len(), 1, "{runs}");
    assert_eq!(runs["data"][0]["id"], run["id"]);
}
