//! Datasets, their rows, and the catalogues of modes and methods.

use crate::support::TestApp;
use serde_json::json;

#[tokio::test]
async fn datasets_are_listed_with_what_is_here_and_what_is_not() {
    let app = TestApp::start().await;
    let list = app.get("/datasets").await.json();
    let names: Vec<_> = list["data"].as_array().unwrap().iter().map(|entry| entry["name"].clone()).collect();
    assert_eq!(names[..2], ["digits", "mnist"]);
    assert_eq!(names[2..5], ["digits-mislabelled", "digits-canaries", "digits-noisy"]);
    assert_eq!(names[5..], ["mnist-mislabelled", "mnist-canaries", "mnist-noisy"]);
    assert_eq!(list["data"][0]["source"], "embedded");
    assert_eq!(list["data"][1]["source"], json!(null));
    assert_eq!(list["data"][1]["n_train"], 60_000);
    app.get("/datasets/mnist/rows/0").await.problem(409, "dataset_not_local");
}

#[tokio::test]
async fn a_dataset_counts_its_rows_by_class() {
    let app = TestApp::start().await;
    let digits = app.get("/datasets/digits").await.json();
    let sum: u64 =
        digits["train_rows_by_class"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(sum, digits["n_train"].as_u64().unwrap());
    assert_eq!(digits["input"], json!({ "kind": "image", "height": 28, "width": 28 }));
    let mnist = app.get("/datasets/mnist").await.json();
    assert!(mnist["train_rows_by_class"].is_null());
    app.get("/datasets/imagenet").await.problem(404, "dataset_not_found");
    app.get("/datasets/..%2f..%2fetc").await.problem(404, "dataset_not_found");
}

#[tokio::test]
async fn planted_rows_are_counted_and_their_kind_is_told() {
    let app = TestApp::start().await;
    let noisy = app.get("/datasets/digits-mislabelled").await.json();
    assert_eq!((&noisy["planted"], &noisy["n_planted"]), (&json!("mislabelled"), &json!(400)));
    assert!(noisy["description"].as_str().unwrap().contains("wrong label"), "{noisy}");
    let canaries = app.get("/datasets/mnist-canaries").await.json();
    assert_eq!((&canaries["planted"], &canaries["n_planted"]), (&json!("canaries"), &json!(200)));
    assert_eq!(canaries["source"], json!(null), "its base has to be downloaded first");
    let random = app.get("/datasets/digits-noisy").await.json();
    assert_eq!((&random["planted"], &random["n_planted"]), (&json!("random_labels"), &json!(32_000)));
    let plain = app.get("/datasets/digits").await.json();
    assert_eq!((&plain["planted"], &plain["n_planted"]), (&json!(null), &json!(null)));
    assert_ne!(noisy["train_rows_by_class"], plain["train_rows_by_class"]);
}

#[tokio::test]
async fn checks_see_the_rows_as_they_are_stored_or_as_a_mode_shows_them() {
    let app = TestApp::start().await;
    let stored = app.get("/datasets/digits/checks").await.json();
    let digits = app.get("/datasets/digits").await.json();
    assert_eq!((&stored["dataset"], &stored["digest"]), (&json!("digits"), &digits["digest"]));
    let checks = stored["checks"].as_array().unwrap();
    let names: Vec<_> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["labels", "balance", "duplicates", "constants", "order"]);
    assert!(checks.iter().all(|check| check["status"] == "ok" && check["detail"].is_string()), "{stored}");
    assert_eq!((&stored["warnings"], &stored["mode"]), (&json!(0), &json!(null)));
    assert_eq!(checks[1]["rows_by_class"], digits["train_rows_by_class"]);

    // the same rows, as `nn` shows them
    let shown = app.get("/datasets/digits/checks?mode=nn").await.json();
    assert_eq!((&shown["mode"], &shown["warnings"]), (&json!("nn"), &json!(1)));
    assert_eq!(shown["checks"][0]["status"], "warning");
    assert!(shown["checks"][0]["noise_low"].as_f64().unwrap() > 0.5, "{shown}");
    let n_warnings = |mode: &'static str| {
        let app = &app;
        async move { app.get(&format!("/datasets/digits/checks?mode={mode}")).await.json()["warnings"].clone() }
    };
    assert_eq!((n_warnings("debug").await, n_warnings("standard").await), (json!(0), json!(0)));

    app.get("/datasets/nope/checks").await.problem(404, "dataset_not_found");
    app.get("/datasets/mnist/checks").await.problem(409, "dataset_not_local");
    app.get("/datasets/digits/checks?mode=best").await.problem(400, "invalid_parameter");
    app.get("/datasets/digits/checks?row=1").await.problem(400, "invalid_parameter");
    app.post("/datasets/digits/checks", &json!({})).await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn a_row_is_numbers_or_a_picture() {
    let app = TestApp::start().await;
    let row = app.get("/datasets/digits/rows/7").await.json();
    assert_eq!(row["features"].as_array().unwrap().len(), 784);
    assert_eq!((&row["row"], &row["split"]), (&json!(7), &json!("train")));
    assert!(row["subject"].is_number());
    let png = app.get_as("/datasets/digits/rows/7?split=test", "image/png").await;
    assert_eq!(png.header("content-type"), "image/png");
    assert!(png.body.starts_with(b"\x89PNG"));
    let test = app.get("/datasets/digits/rows/7?split=test").await.json();
    assert_ne!(test["features"], row["features"]);

    app.get("/datasets/digits/rows/1000000").await.problem(404, "row_not_found");
    app.get("/datasets/nope/rows/1").await.problem(404, "dataset_not_found");
    app.get("/datasets/digits/rows/-1").await.problem(400, "invalid_parameter");
    app.get("/datasets/digits/rows/99999999999").await.problem(400, "invalid_parameter");
    app.get("/datasets/digits/rows/1?split=both").await.problem(400, "invalid_parameter");
    app.get_as("/datasets/digits/rows/1", "image/webp").await.problem(406, "not_acceptable");
}

#[tokio::test]
async fn modes_describe_themselves_and_their_defaults_are_accepted() {
    let app = TestApp::start().await;
    let modes = app.get("/modes").await.json();
    let names: Vec<_> = modes["data"].as_array().unwrap().iter().map(|mode| mode["mode"].clone()).collect();
    assert_eq!(names, ["nn", "debug", "standard"]);
    for mode in modes["data"].as_array().unwrap() {
        let schema = &mode["hyperparameters"]["properties"];
        for (name, default) in mode["defaults"].as_object().unwrap() {
            assert_eq!(&schema[name]["default"], default, "{name}");
            assert!(!schema[name]["description"].as_str().unwrap().is_empty(), "{name}");
        }
        // an impossible model keeps it from starting: everything else must be fine
        let mut order = json!({ "mode": mode["mode"], "dataset": "digits", "model": "%",
                                "hyperparameters": mode["defaults"], "seed": mode["seed"]["default"] });
        if mode["faults"].is_object() {
            order["faults"] = mode["faults"].clone();
        }
        app.post("/runs", &order).await.pointers(&["/model"]);
    }
    assert_eq!(modes["data"][0]["faults"]["misaligned_labels"], true);
    assert!(modes["data"][2]["faults"].is_null());
    app.post("/modes", &json!({})).await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn unlearning_methods_describe_themselves() {
    let app = TestApp::start().await;
    let methods = app.get("/unlearn/methods").await.json();
    let methods = methods["data"].as_array().unwrap();
    let names: Vec<_> = methods.iter().map(|method| method["method"].as_str().unwrap()).collect();
    assert_eq!(names[..6], ["auto", "retrain", "sisa", "convex", "newton", "gradient_ascent"]);
    assert_eq!(names.len(), 17);
    assert_eq!(methods[1]["hyperparameters"]["properties"], json!({}));
    assert_eq!(methods[5]["defaults"]["variant"], "bounded");
    let claims: Vec<_> = methods.iter().map(|method| method["claim"].as_str().unwrap()).collect();
    assert_eq!(claims[1..5], ["exact", "exact", "exact", "certified"]);
    assert!(claims[5..].iter().all(|claim| *claim == "empirical"));
    for method in methods {
        for member in ["summary", "equation", "guarantee", "cost", "known_failure", "source"] {
            assert!(!method[member].as_str().unwrap().is_empty(), "{member} of {method}");
        }
    }
    app.post("/unlearn/methods", &json!({})).await.problem(405, "method_not_allowed");
}
