//! Models leave and come in.

use crate::support::{Answer, TestApp};
use axum::body::Body;
use axum::http::{Request, header};
use lethe::store::{KeyedRequest, Reservation};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

const BYTES: &str = "application/octet-stream";

/// A safetensors file of another program: one layer from two values to three classes.
fn elsewhere() -> Vec<u8> {
    let numbers = [1.0, 0.0, 0.0, 1.0, -1.0, -1.0, 0.25, 0.0, 0.0_f32];
    let header = json!({
        "layers.0.weight": { "dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24] },
        "layers.0.bias": { "dtype": "F32", "shape": [3], "data_offsets": [24, 36] },
    })
    .to_string();
    let length = (header.len() as u64).to_le_bytes();
    let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    [&length, header.as_bytes(), &numbers].concat()
}

impl TestApp {
    async fn import(&self, query: &str, file: Vec<u8>) -> Answer {
        self.post_as(&format!("/models?{query}"), BYTES, file).await
    }

    async fn import_under(&self, key: &str, query: &str, file: Vec<u8>) -> Answer {
        let request = Request::post(format!("/models?{query}")).header(header::CONTENT_TYPE, BYTES);
        self.send(request.header("idempotency-key", key).body(Body::from(file)).unwrap()).await
    }

    async fn probabilities(&self, model: &str, image: &[u8]) -> Value {
        let answer = self.post_as(&format!("/models/{model}/predict"), BYTES, image.to_vec()).await;
        answer.json()["predictions"].clone()
    }
}

#[tokio::test]
async fn a_version_is_the_same_file_in_each_format_every_time() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    let mut etags = Vec::new();
    for (format, content_type) in [("safetensors", BYTES), ("npz", "application/zip"), ("onnx", BYTES)] {
        let path = format!("/models/digits/download?format={format}");
        let (file, again) = (app.get(&path).await, app.get(&path).await);
        assert_eq!(file.status, 200, "{}", file.text());
        assert_eq!(file.body, again.body, "{format}");
        assert_eq!(file.header("content-type"), content_type);
        let disposition = format!("attachment; filename=\"digits-1.{format}\"");
        assert_eq!(file.header("content-disposition"), disposition);
        let digest = format!("\"sha256:{}\"", hex::encode(Sha256::digest(&file.body)));
        assert_eq!(file.header("etag"), digest);
        etags.push(digest);
    }
    let version = app.get("/models/digits/versions/1").await.json();
    assert_eq!(etags[0], format!("\"{}\"", version["digest"].as_str().unwrap()));
    app.post("/models/digits/versions/1/revoke", &json!({})).await.json();
    app.get("/models/digits:1/download?format=onnx").await.problem(410, "version_revoked");
}

#[tokio::test]
async fn what_was_taken_home_comes_back_bit_for_bit() {
    let (app, other) = (TestApp::start().await, TestApp::start().await);
    app.train("digits", 1).await;
    let file = app.get("/models/digits/download").await.body;
    let answer = other.import("name=sent&alias=prod", file.clone()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.header("location"), "/models/sent/versions/1");
    let sent = answer.json();
    let version = app.get("/models/digits/versions/1").await.json();
    assert_eq!(sent["digest"], version["digest"]);
    assert_eq!(answer.header("etag"), format!("\"{}\"", sent["digest"].as_str().unwrap()));
    assert_eq!(
        (&sent["origin"], &sent["run"], &sent["dataset"]),
        (&json!("import"), &Value::Null, &Value::Null)
    );
    assert!(sent["links"]["run"].is_null());
    assert_eq!(sent["metrics"]["weights_digest"], version["metrics"]["weights_digest"]);
    assert_eq!(other.get("/models/sent/download").await.body, file);

    let image: Vec<u8> = (0..784).map(|i| (i * 7 % 256) as u8).collect();
    let (here, there) =
        (app.probabilities("digits", &image).await, other.probabilities("sent@prod", &image).await);
    assert_eq!(here, there);
    let detail = other.get("/models/sent/versions/1").await.json();
    assert_eq!(detail["widths"], json!([784, 16, 10]));
    assert_eq!(detail["lineage"], json!([]));
    assert_eq!(other.get("/models").await.json()["data"][0]["latest"]["origin"], "import");
}

#[tokio::test]
async fn a_file_of_another_program_is_served_once_it_is_said_what_a_row_is() {
    let app = TestApp::start().await;
    let vnd = "application/vnd.safetensors";
    let answer = app.post_as("/models?name=foreign&input=vector", vnd, elsewhere()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let predicted =
        app.post("/models/foreign/predict", &json!({ "inputs": [[2, 1], [-3, -4]] })).await.json();
    assert_eq!(predicted["predictions"][0]["label"], 0);
    assert_eq!(predicted["predictions"][1]["label"], 2);
    let detail = app.get("/models/foreign/versions/1").await.json();
    assert_eq!(detail["input"], json!({ "kind": "vector", "n_features": 2 }));
    assert_eq!(detail["class_names"], json!(["0", "1", "2"]));
    // the same weights for pictures of one by two pixels
    let image = app.import("name=foreign&input=image:1x2", elsewhere()).await.json();
    assert_eq!(image["version"], 2);
    assert_eq!(app.probabilities("foreign:2", &[255, 0]).await[0]["label"], 0);
}

#[tokio::test]
async fn bad_imports_are_refused_and_leave_nothing_behind() {
    let app = TestApp::start().await;
    let good = "name=m&input=vector";
    for (query, pointers) in [
        ("name=a%20b&input=vector", &["?name"][..]),
        ("name=&input=vector", &["?name"]),
        ("name=m&alias=%40&input=vector", &["?alias"]),
        ("name=m&input=tensor", &["?input"]),
        ("name=m&input=image:2x2", &["?input"]),
        ("name=m&input=vector:a,a", &["?input"]),
        ("name=m&input=vector:a", &["?input"]),
        ("name=m", &["?input"]),
        ("name=-&alias=-&input=-", &["?name", "?alias", "?input"]),
    ] {
        app.import(query, elsewhere()).await.pointers(pointers);
    }
    app.import("input=vector", elsewhere()).await.problem(400, "invalid_parameter");
    app.import("name=m&input=vector&force=1", elsewhere()).await.problem(400, "invalid_parameter");

    let file = elsewhere();
    let mut infinite = file.clone();
    let end = infinite.len();
    infinite[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let wide = String::from_utf8_lossy(&file).replace("[3,2]", "[2,3]").into_bytes();
    for bad in [vec![], b"hello".to_vec(), file[..file.len() - 1].to_vec(), infinite, wide] {
        app.import(good, bad).await.pointers(&[""]);
    }
    app.post_as(&format!("/models?{good}"), "application/json", "{}")
        .await
        .problem(415, "unsupported_media_type");
    app.post_as(&format!("/models?{good}"), "", file.clone()).await.problem(415, "unsupported_media_type");
    let oversize = vec![0; (64 << 20) + 1];
    app.import(good, oversize).await.problem(413, "payload_too_large");

    assert_eq!(app.get("/models").await.json()["data"], json!([]));
    assert_eq!(std::fs::read_dir(app.data_dir.path().join("models")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_imported_version_cannot_be_made_to_forget_or_be_audited_for_its_rows_are_unknown() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    let file = app.get("/models/digits/download").await.body;
    assert_eq!(app.import("name=digits", file).await.json()["version"], 2);
    for path in ["/unlearn", "/audits"] {
        let order = json!({ "model": "digits:2", "forget": { "class": 3 } });
        let problem = app.post(path, &order).await.problem(422, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], "/model");
        assert!(problem["detail"].as_str().unwrap().contains("imported"), "{problem}");
    }
    // it can be revoked like any other, and stand in for another
    app.post("/models/digits/versions/1/revoke", &json!({ "replacement": 2 })).await.json();
    app.post("/models/digits/versions/2/revoke", &json!({})).await.json();
    app.get("/models/digits/download").await.problem(410, "version_revoked");
}

#[tokio::test]
async fn an_import_under_a_key_makes_one_version() {
    let app = TestApp::start().await;
    let query = "name=once&input=vector";
    let first = app.import_under("import-1", query, elsewhere()).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let again = app.import_under("import-1", query, elsewhere()).await;
    assert_eq!((again.json(), again.header("idempotency-replayed")), (first.json(), "true"));
    assert_eq!(again.header("location"), first.header("location"));
    let other = app.import_under("import-1", "name=other&input=vector", elsewhere()).await;
    other.problem(422, "idempotency_key_reused");

    // a server that died before it answered left the key, and maybe the version
    let keyed = KeyedRequest {
        key: "import-2".into(),
        operation: "POST /models".into(),
        fingerprint: {
            let of = Sha256::new().chain_update(query).chain_update("\n").chain_update(elsewhere());
            hex::encode(of.finalize())
        },
    };
    let reserved = app.state.engine.store.reserve_key(&keyed, chrono::Utc::now()).await.unwrap();
    let Reservation::New(id) = reserved else { panic!("{reserved:?}") };
    let made = app.import_under("import-2", query, elsewhere()).await.json();
    assert_eq!((made["id"].as_str().unwrap(), &made["version"]), (&*id.to_string(), &json!(2)));
    let model = app.get("/models/once").await.json();
    assert_eq!(model["versions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_model_whose_columns_have_names_is_asked_by_them_in_any_order() {
    let app = TestApp::start().await;
    assert_eq!(app.import("name=m&input=vector:age,height", elsewhere()).await.status, 201);
    let ask = async |model: &str, inputs: Value| {
        let query = json!({ "inputs": inputs, "return": ["logits"] });
        app.post(&format!("/models/{model}/predict"), &query).await
    };
    let by_place = ask("m", json!([[3.0, 1.0], [0.5, 2.0]])).await.json();
    assert_eq!(by_place["predictions"][0]["logits"], json!([3.25, 1.0, -4.0]));
    for by_name in [
        json!([{ "age": 3.0, "height": 1.0 }, { "age": 0.5, "height": 2.0 }]),
        json!([{ "height": 1.0, "age": 3.0 }, { "age": 0.5, "height": 2.0 }]),
    ] {
        assert_eq!(ask("m", by_name).await.json()["predictions"], by_place["predictions"]);
    }
    let refused = ask("m", json!([{ "age": 3.0, "weight": 1.0 }])).await.problem(422, "invalid_request");
    let told = refused["errors"].to_string();
    assert!(told.contains("lacks the column `height`") && told.contains("`weight`"), "{told}");
    // the names travel with the file
    let file = app.get("/models/m/download").await.body.to_vec();
    assert_eq!(app.import("name=again", file).await.status, 201);
    let by_name = ask("again", json!([{ "height": 1.0, "age": 3.0 }])).await.json();
    assert_eq!(by_name["predictions"][0], by_place["predictions"][0]);
}

#[tokio::test]
async fn importing_under_the_id_of_a_version_gives_that_version_even_if_it_is_revoked() {
    let app = TestApp::start().await;
    let import = async |id| {
        let model = lethe::artifacts::import(&elsewhere(), Some(lethe::artifacts::Layout::Vector)).unwrap();
        app.state.engine.import(id, model, "m".parse().unwrap(), None).await.unwrap()
    };
    let id = Uuid::now_v7();
    let version = import(id).await;
    assert_eq!(import(id).await, version);
    app.post("/models/m/versions/1/revoke", &json!({})).await.json();
    assert!(import(id).await.revoked_at.is_some());
    assert_eq!(std::fs::read_dir(app.data_dir.path().join("models")).unwrap().count(), 0);
}
