//! Diagnosing trainings, from outside.

use crate::support::TestApp;
use serde_json::{Value, json};

/// Small enough for a test, large enough to fall.
fn small_nn() -> Value {
    json!({ "mode": "nn", "dataset": "digits", "hyperparameters": { "hidden": [32], "epochs": 8 }, "seeds": 2,
            "epochs": 2, "faults": { "output_relu": false, "doubled_hidden_gradient": false,
                                     "per_sample_momentum": false } })
}

fn names(findings: &Value) -> Vec<&str> {
    findings.as_array().unwrap().iter().map(|finding| finding["fault"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_diagnosis_ends_with_a_report_and_publishes_nothing() {
    let app = TestApp::start().await;
    let run = app.finish("/diagnoses", &small_nn()).await;
    assert_eq!(
        (&run["kind"], &run["status"], &run["version"]),
        (&json!("diagnose"), &json!("succeeded"), &json!(null))
    );
    assert_eq!((&run["mode"], &run["model"]), (&json!("nn"), &json!("nn-digits")));
    assert_eq!(run["diagnosis"], json!({ "seeds": 2, "epochs": 2 }));
    assert_eq!(run["faults"]["no_shuffle"], true);
    // three of the training in question, two each of two without, all mended and two alone
    assert_eq!(run["progress"], json!({ "epoch": 26, "epochs": 26 }));

    let report = app.get(run["links"]["report"].as_str().unwrap()).await.json();
    assert_eq!(
        (&report["run"], &report["mode"], &report["seeds"]),
        (&run["id"], &json!("nn"), &json!([1, 2]))
    );
    let mut suspects = [names(&report["causes"]), names(&report["cleared"])].concat();
    suspects.sort_unstable();
    assert_eq!(suspects, ["misaligned_labels", "no_shuffle"]);
    let table = report["table"].as_array().unwrap();
    assert_eq!(table.len(), 6);
    assert_eq!((&table[0]["variant"], table[0]["curves"].as_array().unwrap().len()), (&json!("as_is"), 3));
    let effect = |name: &str| {
        let all = report["causes"].as_array().unwrap().iter().chain(report["cleared"].as_array().unwrap());
        all.clone().find(|finding| finding["fault"] == name).unwrap()["effect"].as_f64().unwrap()
    };
    // labels of other rows are bad from the first epoch on
    assert!(effect("misaligned_labels") > 0.02 && effect("misaligned_labels") > effect("no_shuffle"));
    assert!(report["summary"].as_str().unwrap().len() > 20);
    let labels = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "labels").unwrap();
    assert_eq!(labels["status"], "warning", "{labels}");

    let events = app.log(run["id"].as_str().unwrap()).await;
    let trials: Vec<&Value> = events.iter().filter(|event| event["data"]["phase"] == "trial").collect();
    assert_eq!(trials.len(), 13);
    assert!(
        trials.iter().all(|trial| trial["data"]["trial"]["test_accuracy"].as_array().unwrap().len() == 2)
    );
    assert_eq!(app.get("/models").await.json()["data"], json!([]));
    assert_eq!(app.get("/runs?kind=diagnose").await.json()["data"].as_array().unwrap().len(), 1);
    let chart = app.get(run["links"]["chart"].as_str().unwrap()).await;
    assert_eq!(chart.status, 200, "{}", chart.text());
}

#[tokio::test]
async fn a_run_is_diagnosed_as_it_was_trained() {
    let app = TestApp::start().await;
    let order = json!({ "mode": "standard", "dataset": "digits", "seed": 5,
                        "hyperparameters": { "hidden": [8], "epochs": 2, "batch_size": 256 } });
    let trained = app.finish("/runs", &order).await;
    let order = json!({ "run": trained["id"], "seeds": 2 });
    let run = app.finish("/diagnoses", &order).await;
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!(run["hyperparameters"], trained["hyperparameters"]);
    assert_eq!((&run["seed"], &run["model"]), (&json!(5), &trained["model"]));
    assert_eq!(run["diagnosis"], json!({ "run": trained["id"], "seeds": 2, "epochs": 2 }));
    let report = app.get(run["links"]["report"].as_str().unwrap()).await.json();
    assert_eq!(report["diagnosed"], trained["id"]);
    // the same seed, the same bits
    let metrics = app.get(trained["links"]["metrics"].as_str().unwrap()).await.json();
    let own = &report["table"][0]["curves"][0];
    assert_eq!((&own["seed"], &own["test_accuracy"]), (&json!(5), &metrics["columns"]["test_accuracy"]));
    assert!(report["suspected_labels"]["rows"].as_u64().unwrap() < 2_000, "{}", report["suspected_labels"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_diagnosis_goes_on_from_the_trials_it_has_made() {
    let app = TestApp::start().await;
    let mut order = small_nn();
    (order["seeds"], order["epochs"]) = (json!(4), json!(1));
    let alone = app.finish("/diagnoses", &order).await;
    let wanted = app.get(alone["links"]["report"].as_str().unwrap()).await.json();

    let run = app.post("/diagnoses", &order).await.json();
    let id = run["id"].as_str().unwrap();
    let (_, mut frames) = app.stream(&format!("/runs/{id}/events"), None).await;
    while frames.next().await.unwrap().data["phase"] != "trial" {}
    assert_eq!(app.post(&format!("/runs/{id}/pause"), &json!({})).await.status, 202);
    while frames.next().await.unwrap().data["status"] != "paused" {}
    assert_eq!(app.post(&format!("/runs/{id}/resume"), &json!({})).await.status, 202);
    frames.rest().await;
    let run = app.get(&format!("/runs/{id}")).await.json();
    assert_eq!((&run["status"], &run["attempt"]), (&json!("succeeded"), &json!(2)));
    let report = app.get(run["links"]["report"].as_str().unwrap()).await.json();
    for member in ["causes", "cleared", "table", "summary"] {
        assert_eq!(report[member], wanted[member], "{member}");
    }
    let trials = app.log(id).await.into_iter().filter(|event| event["data"]["phase"] == "trial");
    // six and five times four
    assert_eq!(trials.count(), 26);
}

#[tokio::test]
async fn bad_diagnoses_are_pointed_at_and_nothing_starts() {
    let app = TestApp::start().await;
    let trained = app.train("digits", 1).await;
    let forgot = app
        .finish("/unlearn", &json!({ "model": "digits", "forget": { "class": 3 }, "method": "reset_last" }))
        .await;
    let optimum = json!({ "hidden": [], "solver": "optimum" });
    for (body, pointer) in [
        (json!({}), "/mode"),
        (json!({ "dataset": "digits" }), "/mode"),
        (json!({ "mode": "nn" }), "/dataset"),
        (json!({ "mode": "nn", "dataset": "nothing" }), "/dataset"),
        (json!({ "mode": "backwards", "dataset": "digits" }), "/mode"),
        (json!({ "mode": "nn", "dataset": "digits", "seeds": 1 }), "/seeds"),
        (json!({ "mode": "nn", "dataset": "digits", "seeds": 11 }), "/seeds"),
        (json!({ "mode": "nn", "dataset": "digits", "epochs": 51 }), "/epochs"),
        (json!({ "mode": "nn", "dataset": "digits", "epochs": 0 }), "/epochs"),
        (json!({ "mode": "standard", "dataset": "digits", "faults": { "no_shuffle": true } }), "/faults"),
        (
            json!({ "mode": "standard", "dataset": "digits", "hyperparameters": optimum }),
            "/hyperparameters/solver",
        ),
        (json!({ "mode": "nn", "dataset": "digits", "model": "mine" }), "/model"),
        (json!({ "run": "00000000-0000-7000-8000-000000000000" }), "/run"),
        (json!({ "run": "soon" }), "/run"),
        (json!({ "run": forgot["id"] }), "/run"),
        (json!({ "run": trained["id"], "mode": "nn" }), "/mode"),
        (json!({ "run": trained["id"], "seed": 3 }), "/seed"),
    ] {
        let answer = app.post("/diagnoses", &body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        answer.pointers(&[pointer]);
    }
    assert_eq!(app.get("/runs?kind=diagnose").await.json()["data"], json!([]));
}
