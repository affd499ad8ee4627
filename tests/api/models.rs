//! The registry: versions, aliases, revocation, downloads.

use crate::support::TestApp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

#[tokio::test]
async fn a_finished_run_publishes_a_version_that_can_be_looked_at_and_downloaded() {
    let app = TestApp::start().await;
    let run = app.train("digits", 1).await;
    let version = app.get("/models/digits/versions/1").await.json();
    assert_eq!(version["id"], run["version"]["id"]);
    assert_eq!(version["run"], run["id"]);
    assert_eq!(version["parent"], Value::Null);
    assert_eq!(version["lineage"], json!([]));
    assert_eq!(version["input"], json!({ "kind": "image", "height": 28, "width": 28 }));
    assert_eq!(version["widths"], json!([784, 16, 10]));
    assert_eq!(version["class_names"].as_array().unwrap().len(), 10);
    assert_eq!(version["dataset"], run["dataset"]);

    let id = version["id"].as_str().unwrap();
    for reference in ["digits", "digits:1", id] {
        let file = app.get(&format!("/models/{reference}/download?format=safetensors")).await;
        assert_eq!(file.status, 200, "{}", file.text());
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&file.body)));
        assert_eq!(version["digest"], digest);
        assert_eq!(file.header("etag"), format!("\"{digest}\""));
        assert_eq!(file.header("content-disposition"), "attachment; filename=\"digits-1.safetensors\"");
        assert_eq!(version["size_bytes"], file.body.len());
        let tensors = safetensors::SafeTensors::deserialize(&file.body).unwrap();
        assert_eq!(tensors.tensor("layers.0.weight").unwrap().shape(), [16, 784]);
        assert_eq!(tensors.tensor("layers.1.bias").unwrap().shape(), [10]);
    }
    app.get("/models/digits/download?format=pickle").await.problem(400, "invalid_parameter");
    app.get("/models/nobody/download").await.problem(404, "model_not_found");
}

#[tokio::test]
async fn models_are_listed_with_their_latest_version_and_aliases() {
    let app = TestApp::start().await;
    for model in ["b", "a", "b"] {
        app.train(model, 1).await;
    }
    app.put("/models/b/aliases/prod", &json!({ "version": 1 })).await;
    let first = app.get("/models?limit=1").await.json();
    assert_eq!((&first["data"][0]["name"], &first["next"]), (&json!("a"), &json!("a")));
    let second = app.get("/models?limit=1&after=a").await.json();
    assert_eq!(second["data"][0]["name"], "b");
    assert_eq!(second["data"][0]["latest"]["version"], 2);
    assert_eq!(second["data"][0]["n_versions"], 2);
    assert_eq!(second["data"][0]["aliases"][0]["reference"], "b@prod");
    assert_eq!(second["has_more"], false);

    let model = app.get("/models/b").await.json();
    let numbers: Vec<_> =
        model["versions"].as_array().unwrap().iter().map(|v| v["version"].clone()).collect();
    assert_eq!(numbers, [2, 1]);
    app.get("/models/c").await.problem(404, "model_not_found");
    app.get("/models/b/versions/3").await.problem(404, "model_not_found");
    app.get("/models/b/versions/x").await.problem(400, "invalid_parameter");
    app.get("/models/..%2fb").await.problem(404, "model_not_found");
    app.get("/models?limit=0").await.problem(400, "invalid_parameter");
}

#[tokio::test]
async fn an_alias_moves_and_goes() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    app.train("digits", 2).await;
    let path = "/models/digits/aliases/prod";
    let set = app.put(path, &json!({ "version": 1 })).await.json();
    assert_eq!((&set["reference"], &set["version"]), (&json!("digits@prod"), &json!(1)));
    let answered_by = async || {
        let answer =
            app.post_as("/models/digits@prod/predict", "application/octet-stream", vec![0; 784]).await;
        answer.json()["model"]["version"].clone()
    };
    assert_eq!(answered_by().await, 1);
    app.put(path, &json!({ "version": 2.0 })).await.json();
    assert_eq!(answered_by().await, 2);
    assert_eq!(app.delete(path).await.status, 204);
    app.delete(path).await.problem(404, "alias_not_found");
    app.get("/models/digits@prod/download").await.problem(404, "model_not_found");
}

#[tokio::test]
async fn bad_aliases_are_refused() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    let path = "/models/digits/aliases/prod";
    app.put(path, &json!({ "version": 9 })).await.problem(404, "model_not_found");
    app.put(path, &json!({ "version": 0 })).await.pointers(&["/version"]);
    app.put(path, &json!({ "version": "1" })).await.pointers(&["/version"]);
    app.put(path, &json!({})).await.pointers(&["/version"]);
    app.put(path, &json!({ "version": 1, "force": true })).await.pointers(&["/force"]);
    app.put("/models/digits/aliases/a%20b", &json!({ "version": 1 })).await.problem(400, "invalid_parameter");
    app.put("/models/nobody/aliases/prod", &json!({ "version": 1 })).await.problem(404, "model_not_found");
    app.delete("/models/digits/aliases/a%20b").await.problem(404, "alias_not_found");
}

#[tokio::test]
async fn a_revoked_version_is_gone_and_names_its_replacement() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    app.train("digits", 2).await;
    app.put("/models/digits/aliases/prod", &json!({ "version": 1 })).await.json();
    // in memory before it is revoked
    assert_eq!(
        app.post_as("/models/digits:1/predict", "application/octet-stream", vec![0; 784]).await.status,
        200
    );
    let revoked = app.post("/models/digits/versions/1/revoke", &json!({ "replacement": 2 })).await.json();
    assert!(revoked["revoked_at"].is_string());
    assert!(revoked["links"]["predict"].is_null());

    let gone = app.post_as("/models/digits:1/predict", "application/octet-stream", vec![0; 784]).await;
    assert_eq!(gone.problem(410, "version_revoked")["replacement"]["version"], 2);
    app.get("/models/digits:1/download").await.problem(410, "version_revoked");
    app.put("/models/digits/aliases/old", &json!({ "version": 1 })).await.problem(410, "version_revoked");
    let order = json!({ "model": "digits:1", "forget": { "class": 3 }, "method": "retrain" });
    app.post("/unlearn", &order).await.problem(410, "version_revoked");
    // what is known of it stays, its weights do not
    let version = app.get("/models/digits/versions/1").await.json();
    assert_eq!(version["revoked_at"], revoked["revoked_at"]);
    assert!(version["input"].is_null());
    let files = std::fs::read_dir(app.data_dir.path().join("models")).unwrap().count();
    assert_eq!(files, 1);
    // the alias has moved, and again changes nothing
    let alias = app.post_as("/models/digits@prod/predict", "application/octet-stream", vec![0; 784]).await;
    assert_eq!(alias.json()["model"]["version"], 2);
    let again = app.post("/models/digits/versions/1/revoke", &json!({})).await.json();
    assert_eq!(again, revoked);
}

#[tokio::test]
async fn bad_revocations_are_refused() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    let path = "/models/digits/versions/1/revoke";
    app.post(path, &json!({ "replacement": 1 })).await.pointers(&["/replacement"]);
    app.post(path, &json!({ "replacement": 7 })).await.pointers(&["/replacement"]);
    app.post(path, &json!({ "replacement": -1 })).await.pointers(&["/replacement"]);
    app.post(path, &json!({ "reason": "x" })).await.pointers(&["/reason"]);
    app.post("/models/digits/versions/2/revoke", &json!({})).await.problem(404, "model_not_found");
    app.post("/models/nobody/versions/1/revoke", &json!({})).await.problem(404, "model_not_found");
    assert_eq!(app.get("/models/digits/versions/1").await.json()["revoked_at"], Value::Null);
    // without a replacement there is none to name
    app.post(path, &json!({})).await.json();
    let gone = app.post_as("/models/digits/predict", "application/octet-stream", vec![0; 784]).await;
    assert_eq!(gone.problem(410, "version_revoked")["replacement"], Value::Null);
}
