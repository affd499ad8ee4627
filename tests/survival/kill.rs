//! A server killed without warning loses nothing it acknowledged, and ends its work as if nothing had happened.

use crate::server::{Server, losses_of};
use serde_json::{Value, json};

const EPOCHS: u64 = 6;

fn order() -> Value {
    json!({
        "mode": "standard", "dataset": "digits", "model": "killed", "seed": 3,
        "hyperparameters": { "hidden": [16], "epochs": EPOCHS },
    })
}

/// The measures of every epoch, without their timings.
async fn history(server: &Server, run: &str) -> Vec<(u64, f64, f64)> {
    let history = server.events(run).await;
    let epochs = history.iter().filter(|event| event["event"] == "epoch").map(|event| &event["data"]);
    epochs
        .map(|epoch| {
            let number = |key: &str| epoch[key].as_f64().unwrap();
            (epoch["epoch"].as_u64().unwrap(), number("train_loss"), number("test_accuracy"))
        })
        .collect()
}

#[tokio::test]
async fn a_killed_server_takes_its_runs_up_again_and_ends_them_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let whole = server.post("/runs", &order()).await["id"].as_str().unwrap().to_owned();
    server.follow(&whole, usize::MAX).await;
    let parted = server.post("/runs", &order()).await["id"].as_str().unwrap().to_owned();
    let waiting = server.post("/runs", &order()).await["id"].as_str().unwrap().to_owned();
    server.follow(&parted, 2).await;
    let acknowledged = server.events(&parted).await;
    drop(server);

    let server = Server::start(dir.path());
    server.follow(&parted, usize::MAX).await;
    server.follow(&waiting, usize::MAX).await;
    let expected = history(&server, &whole).await;
    assert_eq!(expected.iter().map(|epoch| epoch.0).collect::<Vec<_>>(), (1..=EPOCHS).collect::<Vec<_>>());
    let mut digests = Vec::new();
    for run in [&whole, &parted, &waiting] {
        let object = server.get(&format!("/runs/{run}")).await;
        assert_eq!(object["status"], "succeeded", "{object}");
        let events = server.events(run).await;
        let numbers: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=object["last_seq"].as_u64().unwrap()).collect::<Vec<_>>());
        assert_eq!(history(&server, run).await, expected);
        let version = &object["version"]["version"];
        let version = server.get(&format!("/models/killed/versions/{version}")).await;
        digests.push(version["metrics"]["weights_digest"].clone());
    }
    assert!(digests[0].as_str().is_some_and(|digest| digest.starts_with("sha256:")));
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    let log = server.events(&parted).await;
    assert_eq!(log[..acknowledged.len()], acknowledged, "what was read before the kill is still there");
    assert!(log.iter().any(|event| event["data"]["reason"] == "server_restarted"));
    assert!(
        log.iter().any(|event| event["data"]["phase"] == "resume"),
        "it went on, and did not begin again"
    );
}

/// More kills than a run may cost its process: each time it has come further.
#[tokio::test]
async fn a_training_killed_after_every_epoch_comes_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let order = |model: &str| {
        json!({ "mode": "debug", "dataset": "digits", "model": model, "seed": 3, "track_samples": true,
                "hyperparameters": { "hidden": [16], "epochs": 10 } })
    };
    let mut server = Server::start(dir.path());
    let whole = server.post("/runs", &order("whole")).await["id"].as_str().unwrap().to_owned();
    server.follow(&whole, usize::MAX).await;
    let parted = server.post("/runs", &order("parted")).await["id"].as_str().unwrap().to_owned();
    for n_epochs in 1..=7 {
        server.follow(&parted, n_epochs).await;
        drop(server);
        server = Server::start(dir.path());
    }
    server.follow(&parted, usize::MAX).await;
    let object = server.get(&format!("/runs/{parted}")).await;
    assert_eq!(object["status"], "succeeded", "{object}");
    assert!(object["attempt"].as_u64().unwrap() > 1, "it was met at work: {object}");
    assert_eq!(history(&server, &parted).await, history(&server, &whole).await);
    let whole = server.get(&format!("/runs/{whole}")).await;
    assert!(
        losses_of(&server, &object).await == losses_of(&server, &whole).await,
        "the losses of samples too"
    );
    let mut digests = Vec::new();
    for model in ["whole", "parted"] {
        let version = server.get(&format!("/models/{model}/versions/1")).await;
        digests.push(version["metrics"]["weights_digest"].clone());
    }
    assert_eq!(digests[0], digests[1]);
    let numbers: Vec<u64> =
        server.events(&parted).await.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=object["last_seq"].as_u64().unwrap()).collect::<Vec<_>>());
}

/// Whatever it is that ends the process each time: the server does not die of it for ever, and others are carried out.
#[tokio::test]
async fn a_run_that_ends_its_process_every_time_is_given_up_and_the_next_is_carried_out() {
    let dir = tempfile::tempdir().unwrap();
    // without checkpoints it comes no further each time
    const FAULTS: &str = "checkpoints.write=error,models.write=abort";
    let poison = crate::server::training("poison", "1");
    let server = Server::with_faults(dir.path(), FAULTS).unwrap();
    let run = server.post("/runs", &poison).await["id"].as_str().unwrap().to_owned();
    server.has_aborted();
    for _ in 1..5 {
        if let Some(server) = Server::with_faults(dir.path(), FAULTS) {
            server.has_aborted();
        }
    }
    let server = Server::start(dir.path());
    let object = server.get(&format!("/runs/{run}")).await;
    assert_eq!(object["error"]["code"], "worker_lost", "{object}");
    let next = server.post("/runs", &crate::server::training("fine", "1")).await;
    let next = next["id"].as_str().unwrap();
    server.follow(next, usize::MAX).await;
    assert_eq!(server.get(&format!("/runs/{next}")).await["status"], "succeeded");
}
