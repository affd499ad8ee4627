//! What the health of a training puts into its log.

use super::super::Engine;
use super::real::{digits_run, end_of, engine};
use crate::domain::{EventKind, Progress, Run, Status, Train, Work};
use crate::nn::{Recipe, Reference, Schedule, Standard};
use crate::store::fixtures::assert_consistent;
use serde_json::Value;
use uuid::Uuid;

async fn run_of(engine: &Engine, recipe: Recipe) -> Run {
    let epochs = recipe.epochs();
    Run {
        work: Work::Train(Train { recipe, forked_from: None, track_samples: false }),
        progress: Progress { epoch: 0, epochs },
        ..digits_run(engine, epochs).await
    }
}

/// The reference trainer whose labels are misaligned.
async fn backwards(engine: &Engine) -> Run {
    run_of(engine, Recipe::Nn(Reference { hidden: 16, epochs: 16, ..Reference::nn(1) })).await
}

/// The alerts of a run, as they are but for the run's name.
async fn alerts(engine: &Engine, run: Uuid) -> Vec<Value> {
    let log = engine.store.events(run, 0, 999).await.unwrap();
    let alerts = log.into_iter().filter(|event| event.kind == EventKind::Alert).map(|event| event.data);
    alerts
        .map(|mut data| {
            for own in ["run", "seq"] {
                data.as_object_mut().unwrap().remove(own);
            }
            data
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_taken_up_again_has_the_alerts_of_one_that_never_was_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let first = engine(dir.path()).await;
    let whole = backwards(&first).await;
    first.submit(whole.clone()).await.unwrap();
    assert_eq!(end_of(&first, whole.id).await.status, Status::Succeeded);
    let expected = alerts(&first, whole.id).await;
    let codes: Vec<&str> = expected.iter().map(|alert| alert["code"].as_str().unwrap()).collect();
    // the labels are told of before the first epoch; of so few units many are dead
    assert_eq!(codes, ["label_noise_suspected", "dead_units", "learning_backwards"]);
    assert_eq!((&expected[0]["epoch"], &expected[0]["since_epoch"]), (&0.into(), &0.into()));
    assert!(expected[0]["detail"].as_str().unwrap().contains("of the labels are wrong"), "{expected:?}");
    assert!(expected[2]["detail"].as_str().unwrap().contains("test accuracy has fallen"), "{expected:?}");

    let parted = backwards(&first).await;
    let mut heard = first.subscribe(parted.id);
    first.submit(parted.clone()).await.unwrap();
    while first.store.run(parted.id).await.unwrap().progress.epoch < 2 {
        let _ = heard.recv().await;
    }
    first.shutdown().await;
    assert_eq!(first.store.run(parted.id).await.unwrap().status, Status::Queued);
    first.store.close().await;
    drop(first);
    let second = engine(dir.path()).await;
    assert_eq!(end_of(&second, parted.id).await.status, Status::Succeeded);
    assert_eq!(alerts(&second, parted.id).await, expected);
    assert_consistent(&second.store, parted.id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_training_that_diverges_says_so_before_it_fails() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let recipe =
        Standard { hidden: vec![16], learning_rate: 1e30, schedule: Schedule::Constant, ..Standard::new(1) };
    let run = run_of(&engine, Recipe::Standard(recipe)).await;
    engine.submit(run.clone()).await.unwrap();
    let ended = end_of(&engine, run.id).await;
    let error = ended.error.unwrap();
    assert_eq!((ended.status, error.code.as_str()), (Status::Failed, "diverged"));
    assert!(error.message.contains("epoch 1"), "{}", error.message);
    let alerts = alerts(&engine, run.id).await;
    assert_eq!((alerts.len(), &alerts[0]["code"]), (1, &"diverged".into()), "{alerts:?}");
    assert_consistent(&engine.store, run.id).await;
}
