//! What a training tells of its samples one by one: memorisation in its epochs, and the loss of each as an array.

use crate::support::{TestApp, small_training};
use serde_json::{Value, json};

const N_ROWS: usize = 40_000;

fn tracked(model: &str, epochs: u32) -> Value {
    let mut order = small_training(model, epochs);
    order["track_samples"] = json!(true);
    order
}

fn path_of(run: &Value) -> String {
    format!("/runs/{}/losses", run["id"].as_str().unwrap())
}

/// The rows of an npy file of `<f4`, whose head has to say what follows it.
async fn losses(app: &TestApp, run: &Value) -> Vec<Vec<f32>> {
    let answer = app.get(&path_of(run)).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-npy"));
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    let head_len = 10 + usize::from(answer.body[8]) + 256 * usize::from(answer.body[9]);
    let (head, numbers) = answer.body.split_at(head_len);
    let n_epochs = numbers.len() / 4 / N_ROWS;
    let head = String::from_utf8_lossy(head);
    assert!(head.contains("'descr': '<f4'") && head.contains("'fortran_order': False"), "{head}");
    assert!(head.contains(&format!("'shape': ({n_epochs}, {N_ROWS}, )")), "{head}");
    let numbers: Vec<f32> =
        numbers.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    numbers.chunks_exact(N_ROWS).map(<[f32]>::to_vec).collect()
}

fn bits(rows: &[Vec<f32>]) -> Vec<Vec<u32>> {
    rows.iter().map(|row| row.iter().map(|loss| loss.to_bits()).collect()).collect()
}

fn files(app: &TestApp) -> Vec<String> {
    let entries = std::fs::read_dir(app.data_dir.path().join("losses")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

async fn weights_of(app: &TestApp, model: &str) -> Value {
    app.get(&format!("/models/{model}/versions/1")).await.json()["metrics"]["weights_digest"].clone()
}

#[tokio::test]
async fn every_sample_has_its_loss_at_the_end_of_every_epoch() {
    let app = TestApp::start().await;
    let run = app.finish("/runs", &tracked("tracked", 2)).await;
    assert_eq!(run["track_samples"], true);
    assert_eq!(run["links"]["losses"], path_of(&run));
    let losses = losses(&app, &run).await;
    assert_eq!(losses.len(), 2);
    // a twentieth is held out by default, and has none
    let n_trained = losses[1].iter().filter(|loss| !loss.is_nan()).count();
    assert!((37_500..38_500).contains(&n_trained), "{n_trained}");
    let mean = |row: &[f32]| {
        let numbers = row.iter().filter(|loss| !loss.is_nan());
        numbers.map(|&loss| f64::from(loss)).sum::<f64>() / n_trained as f64
    };
    assert!(mean(&losses[1]) < mean(&losses[0]));
    // what the published version says of a row is what the last epoch's loss is
    let mut n_seen = 0;
    for (row, &loss) in losses[1].iter().enumerate().filter(|(_, loss)| !loss.is_nan()).step_by(5_000) {
        let shown = app.get(&format!("/datasets/digits/rows/{row}")).await.json();
        let order = json!({ "inputs": [shown["features"]], "return": ["probabilities"] });
        let answer = app.post("/models/tracked/predict", &order).await.json();
        let label = shown["label"].as_u64().unwrap() as usize;
        let probability = answer["predictions"][0]["probabilities"][label].as_f64().unwrap();
        assert!(
            (f64::from(loss) + probability.ln()).abs() < 1e-3,
            "row {row}: {loss}, not -ln {probability}"
        );
        n_seen += 1;
    }
    assert!(n_seen >= 7, "{n_seen}");
}

#[tokio::test]
async fn keeping_losses_decides_no_bit_of_the_weights_and_is_not_done_unasked() {
    let app = TestApp::start().await;
    app.finish("/runs", &tracked("tracked", 1)).await;
    let plain = app.train("plain", 1).await;
    assert_eq!(weights_of(&app, "tracked").await, weights_of(&app, "plain").await);
    assert!(plain.get("track_samples").is_none() && plain["links"].get("losses").is_none(), "{plain}");
    let problem = app.get(&path_of(&plain)).await.problem(404, "losses_not_found");
    assert!(problem["detail"].as_str().unwrap().contains("track_samples"), "{problem}");
    assert_eq!(files(&app).len(), 1);
}

#[tokio::test]
async fn what_is_no_tracked_run_or_no_array_is_refused() {
    let app = TestApp::start().await;
    let nobody = json!({ "id": "00000000-0000-7000-8000-000000000000" });
    app.get(&path_of(&nobody)).await.problem(404, "run_not_found");
    app.get("/runs/x/losses").await.problem(400, "invalid_parameter");
    app.post("/runs", &tracked("m", 10_000)).await.pointers(&["/track_samples"]);
    let mut order = tracked("m", 1);
    order["track_samples"] = json!("yes");
    app.post("/runs", &order).await.pointers(&["/track_samples"]);
    let run = app.finish("/runs", &tracked("m", 1)).await;
    app.get_as(&path_of(&run), "application/json").await.problem(406, "not_acceptable");
    assert_eq!(app.get_as(&path_of(&run), "application/x-npy").await.status, 200);
}

#[tokio::test]
async fn a_fork_has_no_losses_before_it_began_and_the_same_from_there() {
    let app = TestApp::start().await;
    let whole = app.finish("/runs", &tracked("whole", 3)).await;
    let id = whole["id"].as_str().unwrap();
    let fork = app.finish(&format!("/runs/{id}/fork"), &json!({ "model": "forked" })).await;
    assert_eq!(fork["track_samples"], true, "as in the run");
    let begun = fork["forked_from"]["epoch"].as_u64().unwrap() as usize;
    let (of_whole, of_fork) = (losses(&app, &whole).await, losses(&app, &fork).await);
    assert_eq!((of_fork.len(), begun > 1), (3, true));
    assert!(of_fork[..begun - 1].iter().flatten().all(|loss| loss.is_nan()));
    assert_eq!(bits(&of_fork[begun - 1..]), bits(&of_whole[begun - 1..]));
    let unwanted = json!({ "model": "untracked", "track_samples": false });
    let untracked = app.finish(&format!("/runs/{id}/fork"), &unwanted).await;
    app.get(&path_of(&untracked)).await.problem(404, "losses_not_found");
}

#[tokio::test]
async fn losses_go_with_their_run_and_with_its_version() {
    let app = TestApp::start().await;
    let deleted = app.finish("/runs", &tracked("deleted", 1)).await;
    let revoked = app.finish("/runs", &tracked("revoked", 1)).await;
    assert_eq!(files(&app).len(), 2);
    assert_eq!(app.delete(&format!("/runs/{}", deleted["id"].as_str().unwrap())).await.status, 204);
    app.get(&path_of(&deleted)).await.problem(404, "run_not_found");
    assert_eq!(files(&app), [format!("{}.f32", revoked["id"].as_str().unwrap())]);
    assert_eq!(app.post("/models/revoked/versions/1/revoke", &json!({})).await.status, 200);
    let problem = app.get(&path_of(&revoked)).await.problem(404, "losses_not_found");
    assert!(problem["detail"].as_str().unwrap().contains("revoked"), "{problem}");
    assert!(files(&app).is_empty());
}

/// What the epochs of a run say of its memorisation.
async fn memorisation(app: &TestApp, run: &Value) -> Vec<[Option<f64>; 3]> {
    let log = app.log(run["id"].as_str().unwrap()).await;
    let epochs = log.iter().filter(|event| event["event"] == "epoch");
    let names = ["clean_accuracy", "mislabelled_accuracy", "memorised"];
    epochs.map(|epoch| names.map(|name| epoch["data"][name].as_f64())).collect()
}

#[tokio::test]
async fn wrong_labels_are_answered_by_the_truth_before_they_are_memorised() {
    let app = TestApp::start().await;
    let mut order = small_training("noisy", 2);
    order["dataset"] = json!("digits-noisy");
    let noisy = app.finish("/runs", &order).await;
    for [clean, truth, memorised] in memorisation(&app, &noisy).await {
        let (clean, truth, memorised) = (clean.unwrap(), truth.unwrap(), memorised.unwrap());
        // 28 % of the labels are right, 8 % are each wrong one: that is enough to learn the rule from
        assert!(clean > 0.5 && truth > 0.5, "{clean} {truth}");
        assert!(memorised < 0.1 && truth + memorised <= 1.0, "{memorised}");
    }
    let id = noisy["id"].as_str().unwrap();
    let metrics = app.get(&format!("/runs/{id}/metrics")).await.json();
    assert_eq!(metrics["columns"]["memorised"].as_array().unwrap().len(), 2);
    assert!(app.get(&format!("/runs/{id}/chart.svg")).await.text().contains("wrong labels, memorised"));
    let plain = app.train("plain", 1).await;
    assert_eq!(memorisation(&app, &plain).await, [[None; 3]]);
    assert!(
        !app.get(&format!("/runs/{}/metrics", plain["id"].as_str().unwrap()))
            .await
            .text()
            .contains("memorised")
    );
}

#[tokio::test]
async fn misaligned_mini_batches_are_wrong_labels_and_aligned_ones_are_not() {
    let app = TestApp::start().await;
    let order = |model: &str, misaligned: bool| {
        json!({ "mode": "nn", "dataset": "digits", "model": model, "hyperparameters": { "hidden": [16], "epochs": 1 },
                "faults": { "misaligned_labels": misaligned }, "track_samples": misaligned })
    };
    let backwards = app.finish("/runs", &order("backwards", true)).await;
    let seen = memorisation(&app, &backwards).await;
    assert!(seen[0].iter().all(|share| share.is_some_and(|share| (0.0..=1.0).contains(&share))), "{seen:?}");
    let losses = losses(&app, &backwards).await;
    // trained on the first four fifths; in a mini-batch of five, equal labels have equal losses
    assert!(losses[0][..32_000].iter().all(|loss| loss.is_finite()));
    assert!(losses[0][32_000..].iter().all(|loss| loss.is_nan()));
    let mut label_of = Vec::new();
    for row in 0..50 {
        label_of.push(app.get(&format!("/datasets/digits/rows/{row}")).await.json()["label"].clone());
    }
    let mut n_equal = 0;
    for batch in (0..50).step_by(5) {
        for (a, b) in (batch..batch + 5).flat_map(|a| (a + 1..batch + 5).map(move |b| (a, b))) {
            let same_loss = losses[0][a].to_bits() == losses[0][b].to_bits();
            assert!(same_loss || label_of[a] != label_of[b], "rows {a} and {b}");
            n_equal += usize::from(label_of[a] == label_of[b]);
        }
    }
    assert!(n_equal > 0, "there are equal labels to see it by");
    let aligned = app.finish("/runs", &order("aligned", false)).await;
    assert_eq!(memorisation(&app, &aligned).await, [[None; 3]]);
}
