//! Rows in, classes out: every encoding the same answer, every bad row a pointer.

use crate::support::TestApp;
use serde_json::{Value, json};

async fn app_with_model() -> TestApp {
    let app = TestApp::start().await;
    app.train("digits", 3).await;
    app
}

#[tokio::test]
async fn every_encoding_of_a_row_gives_the_same_answer() {
    let app = app_with_model().await;
    let (pixels, label) = app.test_row(3).await;
    let by_json = app.post("/predict", &json!({ "model": "digits", "inputs": [pixels] })).await;
    assert_eq!(by_json.status, 200, "{}", by_json.text());
    let timing = by_json.header("server-timing");
    assert!(timing.starts_with("parse;dur=") && timing.contains("infer;dur="), "{timing}");
    let expected = by_json.json();
    assert_eq!(expected["model"]["name"], "digits");
    assert_eq!(expected["model"]["version"], 1);
    let prediction = &expected["predictions"][0];
    assert_eq!(prediction["label"], label);
    assert_eq!(prediction["top"][0], json!([label, prediction["confidence"]]));
    assert_eq!(prediction["top"].as_array().unwrap().len(), 3);
    let sum: f64 = prediction["probabilities"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");

    let floats: Vec<u8> = pixels.iter().flat_map(|&p| f32::from(p).to_le_bytes()).collect();
    let png = app.get_as("/datasets/digits/rows/3?split=test", "image/png").await.body;
    let model_url = "/models/digits/predict";
    for answer in [
        app.post(model_url, &json!({ "inputs": pixels })).await,
        app.post("/models/digits:1/predict", &json!({ "model": "digits:1", "inputs": [pixels] })).await,
        app.post_as(model_url, "application/octet-stream", pixels.clone()).await,
        app.post_as("/predict?model=digits&dtype=u8", "application/octet-stream", pixels.clone()).await,
        app.post_as(&format!("{model_url}?dtype=f32"), "application/octet-stream", floats).await,
        app.post_as("/predict?model=digits", "image/png", png).await,
    ] {
        assert_eq!(answer.json(), expected);
    }
}

#[tokio::test]
async fn an_answer_does_not_depend_on_its_neighbours() {
    let app = app_with_model().await;
    let mut rows = Vec::new();
    for n in 0..200 {
        rows.push(app.test_row(n).await);
    }
    // enough rows to be computed off the async threads
    let body: Vec<u8> = rows.iter().cycle().take(1_000).flat_map(|(pixels, _)| pixels.clone()).collect();
    let together =
        app.post_as("/models/digits/predict?top_k=10", "application/octet-stream", body).await.json();
    let together = together["predictions"].as_array().unwrap();
    assert_eq!(together.len(), 1_000);
    let mut n_right = 0;
    for (index, (pixels, label)) in rows.iter().enumerate() {
        let url = "/models/digits/predict?top_k=10";
        let alone = app.post_as(url, "application/octet-stream", pixels.clone()).await.json();
        assert_eq!(alone["predictions"][0], together[index]);
        assert_eq!(alone["predictions"][0], together[index + 200]);
        n_right += u32::from(alone["predictions"][0]["label"] == *label);
    }
    assert!(n_right > 160, "{n_right} of 200 right");
}

#[tokio::test]
async fn bad_rows_are_pointed_at() {
    let app = app_with_model().await;
    let good = vec![0; 784];
    let mut bright = good.clone();
    bright[5] = 256;
    let short = vec![0; 783];
    for (inputs, pointer) in [
        (json!([]), "/inputs"),
        (json!([short]), "/inputs/0"),
        (json!([good, short]), "/inputs/1"),
        (json!([bright]), "/inputs/0/5"),
        (json!([[1, "2"]]), "/inputs/0/1"),
        (json!([[null]]), "/inputs/0/0"),
        (json!(7), "/inputs"),
        (json!([[1e39]]), "/inputs/0/0"),
    ] {
        let answer = app.post("/models/digits/predict", &json!({ "inputs": inputs })).await;
        answer.pointers(&[pointer]);
    }
    let nan = r#"{"inputs":[[NaN]]}"#;
    app.post_as("/models/digits/predict", "application/json", nan).await.problem(400, "invalid_json");
    let too_many: Vec<Value> = vec![json!([]); 4_097];
    app.post("/models/digits/predict", &json!({ "inputs": too_many })).await.problem(422, "invalid_request");
    let raw = "application/octet-stream";
    for (url, body) in [
        ("/models/digits/predict", vec![0; 783]),
        ("/models/digits/predict", vec![]),
        ("/models/digits/predict", vec![0; 784 * 4_097]),
        ("/models/digits/predict?dtype=f32", vec![0; 784]),
    ] {
        app.post_as(url, raw, body).await.pointers(&[""]);
    }
    let mut floats = vec![0; 784 * 4];
    floats[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
    app.post_as("/models/digits/predict?dtype=f32", raw, floats).await.pointers(&["/0/2"]);
    app.post_as("/models/digits/predict", "image/png", "not a picture").await.pointers(&[""]);
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let app = app_with_model().await;
    let inputs = json!([vec![0; 784]]);
    app.post("/predict", &json!({ "inputs": inputs })).await.pointers(&["/model"]);
    app.post("/models/digits/predict", &json!({ "model": "other", "inputs": inputs }))
        .await
        .pointers(&["/model"]);
    app.post("/models/digits/predict", &json!({})).await.pointers(&["/inputs"]);
    app.post("/models/digits/predict", &json!({ "inputs": inputs, "topk": 1 })).await.pointers(&["/topk"]);
    for top_k in [json!(0), json!(11), json!(1.5), json!(-1)] {
        let body = json!({ "inputs": inputs, "top_k": top_k });
        app.post("/models/digits/predict", &body).await.pointers(&["/top_k"]);
    }
    let raw = "application/octet-stream";
    app.post_as("/models/digits/predict?top_k=11", raw, vec![0; 784]).await.pointers(&["?top_k"]);
    app.post_as("/models/digits/predict?dtype=f16", raw, vec![0; 784])
        .await
        .problem(400, "invalid_parameter");
    app.post_as("/models/digits/predict", "text/csv", "0").await.problem(415, "unsupported_media_type");
    for model in
        ["nobody", "digits@prod", "digits:2", "digits:0", "%", "00000000-0000-7000-8000-000000000000"]
    {
        let body = json!({ "model": model, "inputs": inputs });
        app.post("/predict", &body).await.problem(404, "model_not_found");
    }
}
