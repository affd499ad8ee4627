//! The Open Inference Protocol: what its clients ask, and its answers in JSON and binary.

use crate::support::{Answer, TestApp, json_request};
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

const INFER: &str = "/v2/models/digits/infer";

/// A body of JSON and what stands behind it.
async fn post_framed(app: &TestApp, path: &str, request: &Value, binary: &[u8]) -> Answer {
    let json = request.to_string();
    let body = [json.as_bytes(), binary].concat();
    post_with(app, path, &[("inference-header-content-length", &json.len().to_string())], body).await
}

async fn post_with(app: &TestApp, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = Request::post(path);
    for &(name, value) in headers {
        request = request.header(name, value);
    }
    app.send(request.body(body.into()).unwrap()).await
}

/// The JSON of an answer in binary, and what stands behind it.
#[track_caller]
fn parts(answer: &Answer) -> (Value, &[u8]) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    let (json, binary) =
        answer.body.split_at(answer.header("inference-header-content-length").parse().unwrap());
    (serde_json::from_slice(json).unwrap(), binary)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn numbers(tensor: &Value) -> Vec<f32> {
    tensor["data"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

fn json_tensor(pixels: &[u8]) -> Value {
    json!({ "name": "input", "shape": [1, 784], "datatype": "UINT8", "data": pixels })
}

fn binary_tensor(datatype: &str, shape: &Value, size: usize) -> Value {
    json!({ "name": "input", "shape": shape, "datatype": datatype,
            "parameters": { "binary_data_size": size } })
}

#[tokio::test]
async fn the_server_says_what_it_is_and_how_it_is() {
    let app = TestApp::start().await;
    let server = app.get("/v2").await.json();
    assert_eq!(server["name"], "lethe");
    assert_eq!(server["version"], env!("CARGO_PKG_VERSION"));
    let extensions = json!(["binary_tensor_data", "classification", "model_configuration"]);
    assert_eq!(server["extensions"], extensions);
    assert_eq!(app.get("/v2/health/live").await.json(), json!({ "live": true }));
    assert_eq!(app.get("/v2/health/ready").await.json(), json!({ "live": true, "ready": true }));
    app.state.engine.store.close().await;
    let answer = app.get("/v2/health/ready").await;
    assert_eq!(answer.problem(503, "unavailable")["error"], "the database does not answer");
    assert_eq!(app.get("/v2/health/live").await.status, 200);
}

#[tokio::test]
async fn a_model_says_what_it_takes_and_answers() {
    let app = TestApp::with_model().await;
    app.train("digits", 1).await;
    app.put("/models/digits/aliases/prod", &json!({ "version": 1 })).await.json();
    let expected = json!({
        "name": "digits",
        "versions": ["1", "2"],
        "platform": "lethe_mlp",
        "inputs": [{ "name": "input", "datatype": "UINT8", "shape": [-1, 28, 28] }],
        "outputs": [
            { "name": "probabilities", "datatype": "FP32", "shape": [-1, 10] },
            { "name": "logits", "datatype": "FP32", "shape": [-1, 10] },
            { "name": "label", "datatype": "INT64", "shape": [-1] },
        ],
    });
    let config = json!({
        "name": "digits",
        "platform": "lethe_mlp",
        "max_batch_size": 4_096,
        "input": [{ "name": "input", "data_type": "TYPE_UINT8", "dims": [28, 28] }],
        "output": [
            { "name": "probabilities", "data_type": "TYPE_FP32", "dims": [10] },
            { "name": "logits", "data_type": "TYPE_FP32", "dims": [10] },
            { "name": "label", "data_type": "TYPE_INT64", "dims": [1], "reshape": { "shape": [] } },
        ],
    });
    for model in ["digits", "digits%40prod", "digits@prod", "digits:2", "digits/versions/1"] {
        assert_eq!(app.get(&format!("/v2/models/{model}")).await.json(), expected, "{model}");
        assert_eq!(app.get(&format!("/v2/models/{model}/config")).await.json(), config, "{model}");
        let ready = app.get(&format!("/v2/models/{model}/ready")).await.json();
        assert_eq!(ready, json!({ "name": "digits", "ready": true }), "{model}");
    }
}

#[tokio::test]
async fn models_that_are_not_there_or_revoked_are_problems_with_an_error() {
    let app = TestApp::with_model().await;
    app.train("digits", 1).await;
    app.post("/models/digits/versions/1/revoke", &json!({ "replacement": 2 })).await.json();
    let request = json!({ "inputs": [json_tensor(&[0; 784])] });
    for (model, status, code) in [
        ("nobody", 404, "model_not_found"),
        ("digits@prod", 404, "model_not_found"),
        ("digits/versions/9", 404, "model_not_found"),
        ("digits@prod/versions/2", 404, "model_not_found"),
        ("digits/versions/x", 400, "invalid_parameter"),
        ("digits/versions/1", 410, "version_revoked"),
        ("digits:1", 410, "version_revoked"),
    ] {
        for answer in [
            app.get(&format!("/v2/models/{model}")).await,
            app.get(&format!("/v2/models/{model}/ready")).await,
            app.get(&format!("/v2/models/{model}/config")).await,
            app.post(&format!("/v2/models/{model}/infer"), &request).await,
        ] {
            let problem = answer.problem(status, code);
            assert_eq!(problem["error"], problem["detail"], "{problem}");
        }
    }
    let gone = app.get("/v2/models/digits/versions/1").await;
    assert_eq!(gone.problem(410, "version_revoked")["replacement"]["version"], 2);
    assert_eq!(app.get("/v2/models/digits").await.json()["versions"], json!(["2"]));
}

#[tokio::test]
async fn the_index_lists_every_version() {
    let app = TestApp::start().await;
    assert_eq!(post_with(&app, "/v2/repository/index", &[], "").await.json(), json!([]));
    for model in ["b", "a", "b"] {
        app.train(model, 1).await;
    }
    app.post("/models/b/versions/1/revoke", &json!({})).await.json();
    let entry = |name: &str, version: &str, state: &str, reason: &str| json!({ "name": name, "version": version, "state": state, "reason": reason });
    let (a, b) = (entry("a", "1", "READY", ""), entry("b", "2", "READY", ""));
    let revoked = entry("b", "1", "UNAVAILABLE", "revoked");
    for body in ["", "{}", r#"{"ready":false}"#] {
        let index = post_with(&app, "/v2/repository/index", &[], body).await.json();
        assert_eq!(index, json!([a, revoked, b]), "{body}");
    }
    let ready = app.post("/v2/repository/index", &json!({ "ready": true })).await.json();
    assert_eq!(ready, json!([a, b]));
    app.post("/v2/repository/index", &json!({ "ready": 1 })).await.pointers(&["/ready"]);
    app.post("/v2/repository/index", &json!([])).await.pointers(&[""]);
    post_with(&app, "/v2/repository/index", &[], "{").await.problem(400, "invalid_json");
}

#[tokio::test]
async fn tensors_say_what_predictions_say() {
    let app = TestApp::with_model().await;
    let (first, second) = (app.pixels(1).await, app.pixels(2).await);
    let rows = [first.clone(), second.clone()].concat();
    let raw = app.post_as("/models/digits/predict", "application/octet-stream", rows.clone()).await.json();
    let expected = raw["predictions"].as_array().unwrap();

    let nested = json!({ "name": "input", "shape": [2, 784], "datatype": "FP32", "data": [first, second] });
    let request = json!({ "id": "seven", "inputs": [nested] });
    let answer = app.post(INFER, &request).await;
    assert!(answer.header("server-timing").contains("infer;dur="));
    let answer = answer.json();
    assert_eq!(answer["model_name"], "digits");
    assert_eq!(answer["model_version"], "1");
    assert_eq!(answer["id"], "seven");
    let outputs = answer["outputs"].as_array().unwrap();
    let names: Vec<_> = outputs.iter().map(|output| output["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["probabilities", "logits", "label"]);
    let [probabilities, logits, label] = &outputs[..] else { panic!("{answer}") };
    assert_eq!((&probabilities["datatype"], &probabilities["shape"]), (&json!("FP32"), &json!([2, 10])));
    assert_eq!((&logits["datatype"], &logits["shape"]), (&json!("FP32"), &json!([2, 10])));
    assert_eq!((&label["datatype"], &label["shape"]), (&json!("INT64"), &json!([2])));
    for (row, prediction) in expected.iter().enumerate() {
        assert_eq!(label["data"][row], prediction["label"]);
        let of_row = &probabilities["data"].as_array().unwrap()[10 * row..10 * (row + 1)];
        assert_eq!(&json!(of_row), &prediction["probabilities"]);
    }
    let (logits, probabilities) = (numbers(logits), numbers(probabilities));
    let sum: f32 = logits[..10].iter().map(|logit| logit.exp()).sum();
    assert!((logits[3].exp() / sum - probabilities[3]).abs() < 1e-5);

    // every way to send the same
    let as_floats: Vec<u8> = rows.iter().flat_map(|&pixel| f32::from(pixel).to_le_bytes()).collect();
    let flat = json!({ "name": "input", "shape": [2, 28, 28], "datatype": "INT64", "data": rows });
    let same = [
        app.post("/v2/models/digits/versions/1/infer", &json!({ "id": "seven", "inputs": [flat] })).await,
        post_with(&app, INFER, &[], request.to_string()).await,
        post_framed(
            &app,
            INFER,
            &json!({ "id": "seven", "inputs": [binary_tensor("UINT8", &json!([2, 1, 28, 28]), 1_568)] }),
            &rows,
        )
        .await,
        post_framed(
            &app,
            INFER,
            &json!({ "id": "seven", "inputs": [binary_tensor("FP32", &json!([2, 784]), 6_272)] }),
            &as_floats,
        )
        .await,
        post_framed(&app, INFER, &request, b"").await,
    ];
    for again in same {
        assert_eq!(again.json(), answer);
    }
}

#[tokio::test]
async fn outputs_come_behind_the_json_where_they_are_wanted_there() {
    let app = TestApp::with_model().await;
    let input = json_tensor(&app.pixels(1).await);
    let json = app.post(INFER, &json!({ "inputs": [input] })).await.json();
    let (probabilities, logits) = (numbers(&json["outputs"][0]), numbers(&json["outputs"][1]));
    let label = &json["outputs"][2]["data"][0];

    let all = json!({ "inputs": [input], "parameters": { "binary_data_output": true } });
    let answer = app.post(INFER, &all).await;
    let (head, binary) = parts(&answer);
    assert!(head.get("id").is_none() && head["outputs"][0].get("data").is_none(), "{head}");
    let sizes: Vec<_> =
        (0..3).map(|i| head["outputs"][i]["parameters"]["binary_data_size"].clone()).collect();
    assert_eq!(sizes, [40, 40, 8]);
    assert_eq!(floats(&binary[..40]), probabilities);
    assert_eq!(floats(&binary[40..80]), logits);
    assert_eq!(json!(i64::from_le_bytes(binary[80..].try_into().unwrap())), *label);

    let mixed = json!({ "inputs": [input], "parameters": { "binary_data_output": true }, "outputs": [
        { "name": "label", "parameters": { "binary_data": false } },
        { "name": "logits" },
    ] });
    let answer = app.post(INFER, &mixed).await;
    let (head, binary) = parts(&answer);
    assert_eq!(head["outputs"].as_array().unwrap().len(), 2);
    assert_eq!(head["outputs"][0]["data"], json!([label]));
    assert_eq!(floats(binary), logits);
    // none is binary: then there is no header
    let one = json!({ "inputs": [input], "outputs": [{ "name": "label", "parameters": { "binary_data": false } }] });
    let answer = app.post(INFER, &one).await;
    assert_eq!(answer.header("inference-header-content-length"), "");
    assert_eq!(answer.json()["outputs"][0]["data"], json!([label]));
}

#[tokio::test]
async fn classes_may_be_asked_for_instead_of_numbers() {
    let app = TestApp::with_model().await;
    let input = json_tensor(&app.pixels(1).await);
    let asked = |is_binary: bool| {
        json!({ "inputs": [input], "outputs": [
            { "name": "probabilities", "parameters": { "classification": 3, "binary_data": is_binary } } ] })
    };
    let body = json!({ "inputs": input["data"], "top_k": 3 });
    let predicted = app.post("/models/digits/predict", &body).await.json();
    let top = predicted["predictions"][0]["top"].as_array().unwrap().clone();
    let answer = app.post(INFER, &asked(false)).await.json();
    let tensor = &answer["outputs"][0];
    assert_eq!((&tensor["datatype"], &tensor["shape"]), (&json!("BYTES"), &json!([1, 3])));
    let classes: Vec<&str> = tensor["data"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    for (class, expected) in classes.iter().zip(top) {
        let [value, index, name] = class.split(':').collect::<Vec<_>>()[..] else { panic!("{class}") };
        assert_eq!(json!(index.parse::<u32>().unwrap()), expected[0]);
        assert_eq!(value.parse::<f32>().unwrap(), expected[1].as_f64().unwrap() as f32);
        assert_eq!(name, index, "the classes of digits are called as they are numbered");
    }
    let answer = app.post(INFER, &asked(true)).await;
    let (_, mut binary) = parts(&answer);
    for class in classes {
        let (length, rest) = binary.split_first_chunk().unwrap();
        let (text, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        assert_eq!(text, class.as_bytes());
        binary = rest;
    }
    assert!(binary.is_empty());
}

#[tokio::test]
async fn a_body_without_json_is_answered_as_it_is_accepted() {
    let app = TestApp::with_model().await;
    let row = app.pixels(1).await;
    let by_json = app.post(INFER, &json!({ "inputs": [json_tensor(&row)] })).await.json();
    let raw = |accept: &'static str| {
        let headers = [
            ("inference-header-content-length", "0"),
            ("content-type", "application/octet-stream"),
            ("accept", accept),
        ];
        let (app, row) = (&app, row.clone());
        async move { post_with(app, INFER, &headers, row).await }
    };
    let answer = raw("*/*").await;
    let (head, binary) = parts(&answer);
    assert_eq!(head["outputs"][0]["shape"], json!([1, 10]));
    assert_eq!(floats(&binary[..40]), numbers(&by_json["outputs"][0]));
    assert_eq!(raw("application/json").await.json(), by_json);
    raw("text/html").await.problem(406, "not_acceptable");
    let metrics = app.get("/metrics").await.text();
    assert!(metrics.contains("\nlethe_predict_rows_count 3\n"), "{metrics}");
    let short = post_with(&app, INFER, &[("inference-header-content-length", "0")], vec![0; 783]).await;
    short.pointers(&[""]);
}

#[tokio::test]
async fn bad_requests_are_problems_with_an_error() {
    let app = TestApp::with_model().await;
    let good = json!({ "inputs": [json_tensor(&[0; 784])] });
    let length = "inference-header-content-length";
    for (headers, body, status, code) in [
        (&[(length, "x")][..], "{}", 400, "invalid_header"),
        (&[(length, "1"), (length, "1")], "{}", 400, "invalid_header"),
        (&[(length, "3")], "{}", 400, "bad_request"),
        (&[(length, "18446744073709551615")], "{}", 400, "bad_request"),
        (&[(length, "1")], "{}", 400, "invalid_json"),
        (&[], "", 400, "invalid_json"),
        (&[], "\u{0}", 400, "invalid_json"),
        (&[("content-type", "application/json")], "{\"inputs\":[NaN]}", 400, "invalid_json"),
        (&[("content-type", "text/csv")], "1,2", 415, "unsupported_media_type"),
        (&[("content-type", "text/plain")], "{}", 415, "unsupported_media_type"),
        (&[("content-type", "application/octet-stream")], "{}", 422, "invalid_request"),
        (&[("content-encoding", "gzip")], "{}", 415, "unsupported_media_type"),
        (&[("content-encoding", "deflate"), (length, "2")], "{}", 415, "unsupported_media_type"),
        (&[], "{}", 422, "invalid_request"),
    ] {
        let problem = post_with(&app, INFER, headers, body).await.problem(status, code);
        assert_eq!(problem["error"], problem["detail"], "{problem}");
    }
    let extra = post_framed(&app, INFER, &good, &[1]).await;
    assert!(
        extra.problem(400, "bad_request")["error"].as_str().unwrap().contains("1 do"),
        "{}",
        extra.text()
    );
    let bright = json!({ "name": "input", "shape": [1, 784], "datatype": "FP32", "data": vec![256; 784] });
    app.post(INFER, &json!({ "inputs": [bright] })).await.pointers(&["/inputs/0/data/0"]);
    let two_faults =
        json!({ "inputs": [{ "name": "input", "shape": [-1, -1], "datatype": "FP32", "data": [] }] });
    let problem = app.post(INFER, &two_faults).await.problem(422, "invalid_request");
    let error = problem["error"].as_str().unwrap();
    assert!(
        error.contains("`/inputs/0/shape/0` must") && error.contains("`/inputs/0/shape/1` must"),
        "{error}"
    );
}

#[tokio::test]
async fn problems_of_the_framework_have_an_error_too_and_only_under_v2() {
    let app = TestApp::start().await;
    let huge = vec![b' '; (16 << 20) + 1];
    for (answer, status, code) in [
        (post_with(&app, INFER, &[], huge).await, 413, "payload_too_large"),
        (app.get(INFER).await, 405, "method_not_allowed"),
        (app.put("/v2", &json!({})).await, 405, "method_not_allowed"),
        (app.get("/v2/").await, 404, "route_not_found"),
        (app.get("/v2/models/stats").await, 404, "model_not_found"),
        (app.get("/v2/models/digits/stats").await, 404, "route_not_found"),
        (app.post("/v2/repository/models/digits/load", &json!({})).await, 404, "route_not_found"),
        (app.post("/v2/repository/models/digits/unload", &json!({})).await, 404, "route_not_found"),
        (app.get("/v2/systemsharedmemory/status").await, 404, "route_not_found"),
        (app.get("/v2/logging").await, 404, "route_not_found"),
    ] {
        let problem = answer.problem(status, code);
        assert_eq!(problem["error"], problem["detail"], "{problem}");
    }
    let elsewhere = app.send(json_request(Method::GET, "/v20", &json!({}))).await;
    assert_eq!(elsewhere.problem(404, "route_not_found")["error"], Value::Null);
}
