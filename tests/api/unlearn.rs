//! Making a version forget, from outside.

use crate::support::TestApp;
use serde_json::{Value, json};

fn order(model: &str) -> Value {
    json!({ "model": model, "forget": { "class": 3 }, "method": "gradient_ascent" })
}

/// Beside a training, verification holds the networks it compares.
#[tokio::test]
async fn an_unlearning_is_refused_when_the_networks_it_compares_do_not_fit_into_memory() {
    let app = TestApp::with_memory_limit("24MiB").await;
    let mut training = crate::support::small_training("digits", 1);
    training["hyperparameters"]["hidden"] = json!([512]);
    assert_eq!(app.finish("/runs", &training).await["status"], "succeeded");
    let mut order = json!({ "model": "digits", "forget": { "class": 3 }, "method": "retrain" });
    for level in ["standard", "thorough"] {
        order["verify"] = json!(level);
        let refused = app.post("/unlearn", &order).await;
        refused.pointers(&["/verify"]);
        assert!(refused.text().contains("quick"), "{}", refused.text());
    }
    order["verify"] = json!("quick");
    let answer = app.post("/unlearn", &order).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

#[tokio::test]
async fn bad_orders_are_pointed_at_and_nothing_starts() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    let with = |change: Value| {
        let mut body = order("digits");
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    for (change, pointer) in [
        (json!({ "forget": {} }), "/forget"),
        (json!({ "forget": { "class": 3, "rows": [1] } }), "/forget"),
        (json!({ "forget": { "class": 10 } }), "/forget/class"),
        (json!({ "forget": { "class": -1 } }), "/forget/class"),
        (json!({ "forget": { "rows": [] } }), "/forget/rows"),
        (json!({ "forget": { "rows": [1_000_000] } }), "/forget/rows"),
        (json!({ "forget": { "rows": [1e39] } }), "/forget/rows/0"),
        (json!({ "forget": { "subjects": [999_999] } }), "/forget/subjects"),
        (json!({ "forget": { "sample": { "fraction": 1, "seed": 1 } } }), "/forget/sample/fraction"),
        (json!({ "forget": { "sample": { "fraction": 0.1 } } }), "/forget/sample/seed"),
        (json!({ "forget": { "features": [[0]] } }), "/forget/features"),
        (json!({ "forget": { "planted": true } }), "/forget/planted"),
        (json!({ "forget": { "planted": false } }), "/forget"),
        (json!({ "forget": { "planted": true, "class": 3 } }), "/forget"),
        (json!({ "forget": { "most_memorised": { "rows": 0, "seed": 1 } } }), "/forget/most_memorised/rows"),
        (
            json!({ "forget": { "most_memorised": { "rows": 19_500, "seed": 1 } } }),
            "/forget/most_memorised/rows",
        ),
        (json!({ "forget": { "most_memorised": { "rows": 5 } } }), "/forget/most_memorised/seed"),
        (json!({ "method": "hypnosis" }), "/method"),
        (json!({ "method": "retrain", "hyperparameters": { "epochs": 1 } }), "/hyperparameters/epochs"),
        (json!({ "hyperparameters": { "epochs": 0 } }), "/hyperparameters/epochs"),
        (json!({ "hyperparameters": { "learning_rate": 1e39 } }), "/hyperparameters/learning_rate"),
        (json!({ "hyperparameters": { "batch_size": 50_000 } }), "/hyperparameters/batch_size"),
        (json!({ "hyperparameters": { "variant": "wild" } }), "/hyperparameters/variant"),
        (json!({ "verify": "maybe" }), "/verify"),
        (json!({ "seed": -1 }), "/seed"),
        (json!({ "promote": { "alias": "a b" } }), "/promote/alias"),
        (
            json!({ "promote": { "alias": "prod", "only_if": { "forget_accuracy": { "lte": 2 } } } }),
            "/promote/only_if/forget_accuracy/lte",
        ),
        (
            json!({ "promote": { "alias": "prod", "only_if": { "speed": { "lte": 1 } } } }),
            "/promote/only_if/speed",
        ),
        (json!({ "evaluate": true }), "/evaluate"),
    ] {
        let answer = app.post("/unlearn", &with(change.clone())).await;
        assert_eq!(answer.status, 422, "{change}: {}", answer.text());
        answer.pointers(&[pointer]);
    }
    let several = json!({ "forget": { "class": 10 }, "seed": 1.5, "deadline_s": 0,
                          "hyperparameters": { "epochs": 0, "ascent_weight": -1 } });
    app.post("/unlearn", &with(several)).await.pointers(&[
        "/seed",
        "/hyperparameters/epochs",
        "/hyperparameters/ascent_weight",
        "/forget/class",
        "/deadline_s",
    ]);
    app.post("/unlearn", &order("nobody")).await.problem(404, "model_not_found");
    app.post("/unlearn", &json!({ "model": "digits" })).await.pointers(&["/forget"]);
    assert_eq!(app.get("/runs?kind=unlearn").await.json()["data"], json!([]));
}

#[tokio::test]
async fn rows_held_out_were_never_trained_on_and_cannot_be_forgotten() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    // some of the first hundred rows are in the holdout of one in twenty
    let mut n_refused = 0;
    for row in 0..100 {
        // an impossible seed keeps it from starting
        let body = json!({ "model": "digits", "forget": { "rows": [row] }, "method": "retrain", "seed": -1 });
        let problem = app.post("/unlearn", &body).await.problem(422, "invalid_request");
        let errors = problem["errors"].as_array().unwrap();
        n_refused += u32::from(errors.iter().any(|error| error["pointer"] == "/forget/rows"));
    }
    assert!((1..20).contains(&n_refused), "{n_refused}");
}

#[tokio::test]
async fn a_version_forgets_a_class_and_reports_by_how_much() {
    let app = TestApp::start().await;
    app.train("digits", 3).await;
    app.put("/models/digits/aliases/prod", &json!({ "version": 1 })).await.json();
    let order = json!({
        "model": "digits@prod", "forget": { "class": 3 }, "method": "gradient_ascent", "seed": 5,
        "promote": { "alias": "prod", "only_if": { "forget_accuracy": { "lte": 1 } } }, "tags": { "ticket": "7" },
    });
    let run = app.finish("/unlearn", &order).await;
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!((&run["kind"], &run["method"]), (&json!("unlearn"), &json!("gradient_ascent")));
    assert_eq!(run["priority"], "erasure");
    assert_eq!(run["parent"]["version"], 1);
    assert_eq!(run["forget"], json!({ "class": 3 }));
    assert_eq!(run["hyperparameters"]["variant"], "bounded");
    assert_eq!(run["version"]["version"], 2);
    assert_eq!(run["links"]["report"], format!("/runs/{}/report", run["id"].as_str().unwrap()));

    let report = app.get(run["links"]["report"].as_str().unwrap()).await.json();
    assert_eq!((&report["run"], &report["claim"]), (&run["id"], &json!("empirical")));
    assert_eq!(report["parent"]["version"], 1);
    assert_eq!(report["child"]["version"], 2);
    let measure = &report["metrics"]["forget_accuracy"];
    let (before, after) = (measure["before"].as_f64().unwrap(), measure["after"].as_f64().unwrap());
    assert!(before > 0.5 && after < 0.1, "{measure}");

    let events = app.log(run["id"].as_str().unwrap()).await;
    let epoch = events.iter().find(|event| event["event"] == "epoch").unwrap();
    for measure in ["forget_loss", "forget_accuracy", "retain_accuracy", "test_accuracy"] {
        assert!(epoch["data"][measure].is_number(), "{measure} in {epoch}");
    }
    let child = app.get("/models/digits/versions/2").await.json();
    assert_eq!(child["lineage"][0]["version"], 1);
    // the alias has moved, the parent stays
    assert_eq!(app.get("/models/digits").await.json()["aliases"][0]["version"], 2);
    assert_eq!(app.get("/models/digits:1/download").await.status, 200);
    // what is forgotten is no longer there to be forgotten
    let again = json!({ "model": "digits:2", "forget": { "class": 3 }, "method": "retrain" });
    app.post("/unlearn", &again).await.pointers(&["/forget/class"]);
}

#[tokio::test]
async fn every_way_to_name_a_forget_set_and_every_method_is_accepted() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    let subject = app.get("/datasets/digits/rows/0").await.json()["subject"].clone();
    for (forget, shown, method) in [
        (json!({ "subjects": [subject] }), json!({ "subjects": 1 }), "retrain"),
        (
            json!({ "sample": { "fraction": 0.01, "seed": 3 } }),
            json!({ "sample": { "fraction": 0.01, "seed": 3 } }),
            "reset_last",
        ),
        (json!({ "class": 0 }), json!({ "class": 0 }), "gradient_ascent"),
    ] {
        let order = json!({ "model": "digits:1", "forget": forget, "method": method });
        let run = app.finish("/unlearn", &order).await;
        assert_eq!(run["status"], "succeeded", "{run}");
        assert_eq!(run["forget"], shown);
        let report = app.get(run["links"]["report"].as_str().unwrap()).await.json();
        assert_eq!(report["method"], method);
    }
    let versions = app.get("/models/digits").await.json()["versions"].as_array().unwrap().len();
    assert_eq!(versions, 4);
}

#[tokio::test]
async fn planted_rows_are_forgotten_once_and_the_dataset_says_how_many_there_were() {
    let app = TestApp::start().await;
    let mut training = crate::support::small_training("noisy", 1);
    training["dataset"] = json!("digits-canaries");
    assert_eq!(app.finish("/runs", &training).await["status"], "succeeded");
    let order = json!({ "model": "noisy", "forget": { "planted": true }, "method": "reset_last" });
    let run = app.finish("/unlearn", &order).await;
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!(run["forget"], json!({ "planted": true }));
    let report = app.get(run["links"]["report"].as_str().unwrap()).await.json();
    assert_eq!((&report["forget"]["planted"], &report["forget"]["rows"]), (&json!(true), &json!(200)));
    app.post("/unlearn", &order).await.pointers(&["/forget/planted"]);
}

#[tokio::test]
async fn the_most_memorised_rows_are_chosen_by_the_run_and_remembered() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    let forget = json!({ "most_memorised": { "rows": 40, "seed": 2 } });
    let order = json!({ "model": "digits", "forget": forget, "method": "reset_last" });
    let run = app.finish("/unlearn", &order).await;
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!(run["forget"], forget);
    let events = app.log(run["id"].as_str().unwrap()).await;
    assert!(events.iter().any(|event| event["data"]["phase"] == "select"), "{events:?}");
    let report = app.get(run["links"]["report"].as_str().unwrap()).await.json();
    assert_eq!(report["forget"]["rows"], 40);
    // the child's line resolves without another choice
    let next = json!({ "model": "digits", "forget": { "class": 3 }, "method": "reset_last" });
    assert_eq!(app.finish("/unlearn", &next).await["status"], "succeeded");
}

/// The networks that find the rows are trained side by side.
#[tokio::test]
async fn a_choice_that_does_not_fit_into_memory_is_refused() {
    let app = TestApp::with_memory_limit("24MiB").await;
    let mut training = crate::support::small_training("digits", 1);
    training["hyperparameters"]["hidden"] = json!([512]);
    assert_eq!(app.finish("/runs", &training).await["status"], "succeeded");
    let order = json!({ "model": "digits", "forget": { "most_memorised": { "rows": 5, "seed": 1 } },
                        "method": "retrain" });
    app.post("/unlearn", &order).await.pointers(&["/forget/most_memorised"]);
}

#[tokio::test]
async fn an_ensemble_forgets_a_subject_in_one_member_and_a_single_network_cannot() {
    let app = TestApp::start().await;
    let mut training = crate::support::small_training("digits", 1);
    training["hyperparameters"]["shards"] = json!(4);
    let run = app.finish("/runs", &training).await;
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!(run["hyperparameters"]["shards"], 4);
    let subject = app.get("/datasets/digits/rows/0").await.json()["subject"].clone();
    let mut order = json!({ "model": "digits:1", "forget": { "subjects": [subject] }, "method": "sisa" });
    let run = app.finish("/unlearn", &order).await;
    assert_eq!(run["status"], "succeeded", "{run}");
    let events = app.log(run["id"].as_str().unwrap()).await;
    let details: Vec<&str> = events.iter().filter_map(|event| event["data"]["detail"].as_str()).collect();
    assert!(details.contains(&"training 1 of 4 members again"), "{details:?}");
    let report = app.get(run["links"]["report"].as_str().unwrap()).await.json();
    assert_eq!((&report["method"], &report["claim"]), (&json!("sisa"), &json!("exact")));
    let raw = "application/octet-stream";
    assert_eq!(app.post_as("/models/digits:2/predict", raw, vec![0; 784]).await.status, 200);

    // an approximate method changes every member: none of them can be kept afterwards
    let blurred = json!({ "model": "digits:2", "forget": { "class": 3 }, "method": "reset_last" });
    assert_eq!(app.finish("/unlearn", &blurred).await["version"]["version"], 3);
    let another = app.get("/datasets/digits/rows/1").await.json()["subject"].clone();
    assert_ne!(another, subject);
    let other = json!({ "model": "digits:3", "forget": { "subjects": [another] }, "method": "sisa" });
    let run = app.finish("/unlearn", &other).await;
    assert_eq!(run["status"], "succeeded", "{run}");
    let events = app.log(run["id"].as_str().unwrap()).await;
    assert!(events.iter().any(|event| event["data"]["detail"] == "training 4 of 4 members again"));

    training["hyperparameters"]["shards"] = json!(1);
    training["model"] = json!("single");
    assert_eq!(app.finish("/runs", &training).await["status"], "succeeded");
    order["model"] = json!("single");
    app.post("/unlearn", &order).await.pointers(&["/method"]);
}

#[tokio::test]
async fn a_revoked_parent_is_gone_once_its_child_is_published() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    // in memory before it is revoked
    let raw = "application/octet-stream";
    assert_eq!(app.post_as("/models/digits:1/predict", raw, vec![0; 784]).await.status, 200);
    let order =
        json!({ "model": "digits", "forget": { "class": 7 }, "method": "reset_last", "revoke_parent": true });
    let run = app.finish("/unlearn", &order).await;
    assert_eq!(run["status"], "succeeded", "{run}");
    let gone = app.post_as("/models/digits:1/predict", raw, vec![0; 784]).await;
    assert_eq!(gone.problem(410, "version_revoked")["replacement"]["version"], 2);
    assert_eq!(app.post_as("/models/digits/predict", raw, vec![0; 784]).await.status, 200);
}

#[tokio::test]
async fn auto_is_exact_where_that_is_quick_and_else_forgets_now_with_an_exact_run_behind() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    // what nobody chooses is chosen
    let order = json!({ "model": "digits:1", "forget": { "class": 3 } });
    let run = app.finish("/unlearn", &order).await;
    assert_eq!((&run["status"], &run["method"]), (&json!("succeeded"), &json!("auto")));
    let report = app.get(run["links"]["report"].as_str().unwrap()).await.json();
    assert_eq!((&report["auto"]["chosen"], &report["claim"]), (&json!("retrain"), &json!("exact")));
    assert_eq!(report["auto"]["exact_run"], json!(null));

    let mut hasty = order.clone();
    hasty["hyperparameters"] = json!({ "threshold_s": 0 });
    hasty["revoke_parent"] = json!(true);
    let run = app.finish("/unlearn", &hasty).await;
    let report = app.get(run["links"]["report"].as_str().unwrap()).await.json();
    assert_eq!((&report["claim"], &report["revoke_parent"]), (&json!("empirical"), &json!(null)));
    let candidates = report["auto"]["candidates"].as_array().unwrap();
    assert!(candidates.len() > 1 && candidates.iter().any(|c| c["method"] == report["auto"]["chosen"]));
    // the stream of the run behind ends with it
    let exact = report["auto"]["exact_run"].as_str().unwrap().to_owned();
    app.get_as(&format!("/runs/{exact}/events"), "text/event-stream").await;
    let exact = app.get(&format!("/runs/{exact}")).await.json();
    assert_eq!((&exact["status"], &exact["method"]), (&json!("succeeded"), &json!("retrain")));
    assert_eq!(exact["tags"]["interim_run"], run["id"]);
    assert_eq!(exact["priority"], "interactive", "the proof keeps no request to forget waiting");
    // only now is the parent gone
    let raw = "application/octet-stream";
    app.post_as("/models/digits:1/predict", raw, vec![0; 784]).await.problem(410, "version_revoked");
}
