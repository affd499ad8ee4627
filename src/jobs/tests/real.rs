//! The engine with the real trainer, on the embedded data.

use super::super::{Engine, Limits};
use crate::artifacts::{Artifacts, Model};
use crate::data::{Catalogue, InputSpec};
use crate::domain::{EventKind, ModelRef, Progress, Run, Status, Train, Work};
use crate::nn::{Evaluator, Mlp, Recipe, Shape, Standard};
use crate::store::Store;
use crate::store::fixtures::{assert_consistent, train_run};
use std::collections::BTreeMap;
use std::path::Path;
use uuid::Uuid;

/// The smallest model there is.
pub(super) fn tiny_model() -> Model {
    Model {
        mlp: Mlp::from_params(Shape { widths: vec![1, 2], output_relu: false }, vec![0.5; 4]),
        input: InputSpec::Vector { n_features: 1 },
        class_names: vec!["a".into(), "b".into()],
        lineage: BTreeMap::new(),
    }
}

async fn engine(dir: &Path) -> Engine {
    let store = Store::open(&dir.join("lethe.db")).await.unwrap();
    let artifacts = Artifacts::new(dir.join("weights")).unwrap();
    let catalogue = Catalogue::new(None, dir.join("cache"));
    Engine::start(store, artifacts, catalogue, Limits { train_threads: 1 }).await.unwrap()
}

async fn digits_run(engine: &Engine, epochs: u32) -> Run {
    let catalogue = engine.catalogue.clone();
    let opened = tokio::task::spawn_blocking(move || catalogue.open_local("digits")).await.unwrap();
    let recipe = Recipe::Standard(Standard { hidden: vec![16], epochs, ..Standard::new(5) });
    Run {
        id: Uuid::now_v7(),
        work: Work::Train(Train { recipe }),
        dataset: opened.unwrap().unwrap().to_ref(),
        progress: Progress { epoch: 0, epochs },
        ..train_run("digits")
    }
}

async fn end_of(engine: &Engine, run: Uuid) -> Run {
    let mut heard = engine.subscribe(run);
    while !engine.store.run(run).await.unwrap().status.is_terminal() {
        // an ephemeral notice or a lagging receiver is as good a reason to look again as an event
        let _ = heard.recv().await;
    }
    engine.store.run(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_is_trained_and_its_file_has_the_accuracy_that_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let run = digits_run(&engine, 2).await;
    engine.submit(run.clone()).await.unwrap();
    let ended = end_of(&engine, run.id).await;
    assert_eq!((ended.status, &ended.error), (Status::Succeeded, &None));
    assert_consistent(&engine.store, run.id).await;
    let version = engine.store.version(&ModelRef::Id(ended.version.unwrap().id), false).await.unwrap();
    let model = engine.artifacts.get(version.id, &version.digest).unwrap();
    assert_eq!(model.lineage["run"], run.id.to_string());
    assert_eq!(version.metrics["weights_digest"], model.weights_digest());
    let data = engine.catalogue.open_local("digits").unwrap().unwrap();
    let rows: Vec<u32> = (0..data.test().n_rows() as u32).collect();
    let measured = Evaluator::new(model.mlp.shape()).evaluate(&model.mlp, data.test(), &rows);
    let events = engine.store.events(run.id, 0, 99).await.unwrap();
    let last = events.iter().rfind(|event| event.kind == EventKind::Epoch).unwrap();
    assert_eq!(last.data["test_accuracy"], measured.accuracy);
    assert_eq!(version.metrics["test_accuracy"], measured.accuracy);
    assert!(measured.accuracy > 0.5, "{}", measured.accuracy);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_training_ends_bit_for_bit_like_one_that_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let first = engine(dir.path()).await;
    let whole = digits_run(&first, 4).await;
    first.submit(whole.clone()).await.unwrap();
    let whole = end_of(&first, whole.id).await;

    let parted = digits_run(&first, 4).await;
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
    let parted = end_of(&second, parted.id).await;
    assert_eq!((parted.status, parted.attempt), (Status::Succeeded, 2));
    let measures = async |run: Uuid| {
        let mut epochs = Vec::new();
        for mut event in second.store.events(run, 0, 99).await.unwrap() {
            if event.kind == EventKind::Epoch {
                let fields = event.data.as_object_mut().unwrap();
                for timing in ["run", "seq", "samples_per_s", "elapsed_s", "eta_s"] {
                    fields.remove(timing);
                }
                epochs.push(event.data);
            }
        }
        epochs
    };
    assert_eq!(measures(parted.id).await, measures(whole.id).await);
    let digest = async |run: &Run| {
        let id = run.version.as_ref().unwrap().id;
        second.store.version(&ModelRef::Id(id), false).await.unwrap().metrics["weights_digest"].clone()
    };
    assert_eq!(digest(&parted).await, digest(&whole).await);
    assert_consistent(&second.store, parted.id).await;
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dataset_that_changed_or_is_unknown_fails_the_run_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let mut changed = digits_run(&engine, 1).await;
    changed.dataset.digest = "sha256:other".into();
    let mut unknown = digits_run(&engine, 1).await;
    unknown.dataset.name = "none".into();
    for (run, code) in [(changed, "dataset_changed"), (unknown, "dataset_unavailable")] {
        engine.submit(run.clone()).await.unwrap();
        let ended = end_of(&engine, run.id).await;
        assert_eq!((ended.status, ended.error.unwrap().code.as_str()), (Status::Failed, code));
    }
    engine.shutdown().await;
}
