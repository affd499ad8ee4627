//! The engine with the real trainer, on the embedded data.

use super::super::{Engine, Limits, Notice};
use crate::artifacts::{Artifacts, Model};
use crate::data::{Catalogue, InputSpec};
use crate::domain::{
    EventKind, ForgetSet, ModelRef, Only, Progress, Promote, Run, Status, Train, Unlearn, Verify, VersionRef,
    Work,
};
use crate::nn::{Evaluator, Mlp, Recipe, Shape, Standard};
use crate::store::Store;
use crate::store::fixtures::{assert_consistent, train_run, unlearn_run};
use crate::unlearn::{GradientAscent, Method, Variant};
use std::collections::BTreeMap;
use std::path::Path;
use uuid::Uuid;

/// The smallest model there is.
pub(super) fn tiny_model() -> Model {
    Model {
        mlp: Mlp::from_params(Shape { widths: vec![1, 2], output_relu: false }, &[0.5; 4]),
        input: InputSpec::Vector { n_features: 1, columns: None },
        class_names: vec!["a".into(), "b".into()],
        lineage: BTreeMap::new(),
    }
}

pub(super) async fn engine(dir: &Path) -> Engine {
    let store = Store::open(&dir.join("lethe.db")).await.unwrap();
    let artifacts = Artifacts::open(dir).unwrap();
    let catalogue = Catalogue::new(None, dir.join("cache"));
    Engine::start(store, artifacts, catalogue, Limits { train_threads: 1, memory: u64::MAX }).await.unwrap()
}

pub(super) async fn digits_run(engine: &Engine, epochs: u32) -> Run {
    let catalogue = engine.catalogue.clone();
    let opened = tokio::task::spawn_blocking(move || catalogue.open_local("digits")).await.unwrap();
    let recipe = Recipe::Standard(Standard { hidden: vec![16], epochs, ..Standard::new(5) });
    Run {
        id: Uuid::now_v7(),
        work: Work::Train(Train { recipe, forked_from: None, track_samples: false }),
        dataset: opened.unwrap().unwrap().to_ref(),
        progress: Progress { epoch: 0, epochs },
        ..train_run("digits")
    }
}

pub(super) async fn end_of(engine: &Engine, run: Uuid) -> Run {
    let mut heard = engine.subscribe(run);
    while !engine.store.run(run).await.unwrap().status.is_terminal() {
        // an ephemeral notice or a lagging receiver is as good a reason to look again as an event
        let _ = heard.recv().await;
    }
    engine.store.run(run).await.unwrap()
}

/// A published network of the embedded digits.
pub(super) async fn digits(engine: &Engine) -> VersionRef {
    let run = digits_run(engine, 2).await;
    engine.submit(run.clone()).await.unwrap();
    end_of(engine, run.id).await.version.unwrap()
}

/// A run not yet submitted.
pub(super) async fn unlearn_run_on(engine: &Engine, order: Unlearn) -> Run {
    let version = engine.store.version(&ModelRef::Id(order.parent.id), true).await.unwrap();
    Run {
        id: Uuid::now_v7(),
        dataset: version.origin.made().unwrap().dataset.clone(),
        work: Work::Unlearn(order.clone()),
        ..unlearn_run(order.parent)
    }
}

pub(super) async fn unlearn(engine: &Engine, order: Unlearn) -> Run {
    let run = unlearn_run_on(engine, order).await;
    engine.submit(run.clone()).await.unwrap();
    end_of(engine, run.id).await
}

/// Starts a training and shuts the server down when it has finished two epochs.
pub(super) async fn interrupted(dir: &Path, epochs: u32) -> (Run, Run) {
    let first = engine(dir).await;
    let whole = digits_run(&first, epochs).await;
    first.submit(whole.clone()).await.unwrap();
    let whole = end_of(&first, whole.id).await;
    let parted = digits_run(&first, epochs).await;
    let mut heard = first.subscribe(parted.id);
    first.submit(parted.clone()).await.unwrap();
    while first.store.run(parted.id).await.unwrap().progress.epoch < 2 {
        let _ = heard.recv().await;
    }
    first.shutdown().await;
    let parted = first.store.run(parted.id).await.unwrap();
    assert_eq!(parted.status, Status::Queued);
    first.store.close().await;
    (whole, parted)
}

fn forgetting_class_3(parent: &VersionRef, method: Method) -> Unlearn {
    Unlearn {
        parent: parent.clone(),
        forget: ForgetSet::Class(3),
        method,
        verify: Verify::Quick,
        promote: None,
        revoke_parent: false,
    }
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
    let model = engine.artifacts.models.get(version.id, &version.digest).unwrap();
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
    let (whole, parted) = interrupted(dir.path(), 4).await;
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

#[tokio::test]
async fn an_empty_database_does_not_take_the_weights_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open(dir.path()).unwrap();
    let (lost, stray) = (Uuid::now_v7(), Uuid::now_v7());
    artifacts.models.put(lost, &tiny_model()).unwrap();
    let first = engine(dir.path()).await;
    assert!(artifacts.models.read(lost).is_ok(), "nobody knows that these weights are garbage");

    first.store.insert_run(train_run("m")).await.unwrap();
    first.shutdown().await;
    drop(first);
    artifacts.models.put(stray, &tiny_model()).unwrap();
    let second = engine(dir.path()).await;
    assert!(artifacts.models.read(stray).is_err(), "a database that knows runs knows all versions");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_is_forgotten_promoted_and_the_parent_purged() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let parent = digits(&engine).await;
    let order = Unlearn {
        promote: Some(Promote { alias: "prod".into(), only_if: Only::default() }),
        revoke_parent: true,
        ..forgetting_class_3(&parent, Method::RETRAIN)
    };
    let ended = unlearn(&engine, order).await;
    assert_eq!((ended.status, &ended.error), (Status::Succeeded, &None));
    assert_consistent(&engine.store, ended.id).await;
    let child = ended.version.unwrap();
    assert_eq!((child.model.as_str(), child.version), ("digits", 2));
    let prod = engine.store.version(&"digits@prod".parse().unwrap(), false).await.unwrap();
    assert_eq!((prod.id, prod.parent), (child.id, Some(parent.id)));
    assert!(engine.artifacts.models.read(parent.id).is_err(), "the parent's weights are gone");
    let model = engine.artifacts.models.get(child.id, &child.digest).unwrap();
    assert_eq!(
        (model.lineage["parent"].as_str(), model.lineage["claim"].as_str()),
        (parent.id.to_string().as_str(), "exact")
    );

    let report = engine.store.report(ended.id).await.unwrap().unwrap();
    assert_eq!(report["child"]["id"], child.id.to_string());
    assert_eq!(report["parent"]["id"], parent.id.to_string());
    assert_eq!((&report["forget"]["class"], &report["claim"]), (&3.into(), &"exact".into()));
    assert_eq!(report["metrics"]["forget_accuracy"]["after"], 0.0);
    assert!(report["metrics"]["forget_accuracy"]["before"].as_f64().unwrap() > 0.5);
    assert!(report["seconds"]["unlearn"].as_f64().unwrap() > 0.0);
    assert_eq!(report["promote"]["moved"], true);

    // the grandchild knows that class 3 is gone already
    let again = unlearn(&engine, forgetting_class_3(&child, Method::RETRAIN)).await;
    assert_eq!((again.status, again.error.unwrap().code.as_str()), (Status::Failed, "forget_set_invalid"));
    // and the revoked parent makes no more children
    let orphan = unlearn(&engine, forgetting_class_3(&parent, Method::RETRAIN)).await;
    assert_eq!((orphan.status, orphan.error.unwrap().code.as_str()), (Status::Failed, "parent_revoked"));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_ascent_ends_rolled_back_and_says_what_it_failed_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let parent = digits(&engine).await;
    // a rate at which it breaks the network at once
    let plain = GradientAscent {
        variant: Variant::Plain,
        epochs: 3,
        learning_rate: 10.0,
        ..GradientAscent::default()
    };
    let order = Unlearn {
        promote: Some(Promote { alias: "prod".into(), only_if: Only::default() }),
        revoke_parent: true,
        ..forgetting_class_3(&parent, Method::GradientAscent(plain))
    };
    let ended = unlearn(&engine, order).await;
    assert_eq!((ended.status, &ended.error), (Status::Succeeded, &None));
    let report = engine.store.report(ended.id).await.unwrap().unwrap();
    assert_eq!((&report["verdict"], &report["guard"]["rolled_back"]), (&"fail".into(), &true.into()));
    assert!(!report["shortcomings"].as_array().unwrap().is_empty());
    assert_eq!(
        (&report["promote"]["moved"], &report["revoke_parent"]["revoked"]),
        (&false.into(), &false.into())
    );
    assert_eq!(engine.store.aliases(&"digits".parse().unwrap()).await.unwrap(), []);
    let child = ended.version.unwrap();
    let version = engine.store.version(&ModelRef::Id(child.id), false).await.unwrap();
    assert_eq!((&version.metrics["verdict"], &version.metrics["forgotten"]), (&"fail".into(), &false.into()));
    assert!(engine.store.version(&ModelRef::Id(parent.id), false).await.is_ok());

    // what was not forgotten may be asked for again
    let order = Unlearn {
        verify: Verify::Standard,
        ..forgetting_class_3(&child, Method::GradientAscent(GradientAscent::default()))
    };
    let second = unlearn(&engine, order).await;
    assert_eq!((second.status, &second.error), (Status::Succeeded, &None));
    assert_consistent(&engine.store, second.id).await;
    let report = engine.store.report(second.id).await.unwrap().unwrap();
    assert!(report["metrics"]["forget_accuracy"]["retrain"].is_number(), "{report}");
    assert!(report["seconds"]["retrain"].as_f64().unwrap() > 0.0);
    let events = engine.store.events(second.id, 0, 99).await.unwrap();
    let epoch = &events.iter().find(|event| event.kind == EventKind::Epoch).unwrap().data;
    for key in ["forget_loss", "forget_accuracy", "retain_accuracy", "test_accuracy", "lr", "eta_s"] {
        assert!(epoch[key].is_number(), "{key} in {epoch}");
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlearning_is_canceled_while_it_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let parent = digits(&engine).await;
    let order = Unlearn { verify: Verify::Standard, ..forgetting_class_3(&parent, Method::RETRAIN) };
    let run = unlearn_run_on(&engine, order).await;
    let mut heard = engine.subscribe(run.id);
    engine.submit(run.clone()).await.unwrap();
    loop {
        if let Ok(Notice::Durable(event)) = heard.recv().await
            && event.data["phase"] == "retrain"
        {
            break;
        }
    }
    engine.cancel(run.id).await.unwrap();
    assert_eq!(end_of(&engine, run.id).await.status, Status::Canceled);
    assert_eq!(engine.store.versions(&"digits".parse().unwrap()).await.unwrap().len(), 1);
    assert_consistent(&engine.store, run.id).await;
    engine.shutdown().await;
}
