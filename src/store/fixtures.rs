//! Runs and stores for tests, and what must be true of every run at every moment.

use super::{Fence, Publish, RunChange, Store, Terms};
use crate::domain::{
    Audit, DatasetRef, EventKind, ForgetSet, Kind, Progress, Run, RunError, Source, Status, Train, Unlearn,
    Verify, VersionRef, Work,
};
use crate::nn::{Recipe, Standard};
use crate::unlearn::{GradientAscent, Method, Variant};
use chrono::{DateTime, Utc};
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;

pub(crate) async fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("lethe.db")).await.unwrap();
    (dir, store)
}

/// A claim that holds for ever, with all the memory there is.
pub(crate) const FOR_EVER: Terms = Terms { until: DateTime::<Utc>::MAX_UTC, memory: u64::MAX };

pub(crate) fn train_run(model: &str) -> Run {
    run_of(
        Work::Train(Train {
            recipe: Recipe::Standard(Standard::new(7)),
            forked_from: None,
            track_samples: false,
        }),
        model,
    )
}

pub(crate) fn unlearn_run(parent: VersionRef) -> Run {
    let model = parent.model.clone();
    let method = GradientAscent {
        variant: Variant::Bounded,
        epochs: 2,
        batch_size: 64,
        learning_rate: 0.01,
        shrink: 1.0,
        ascent_weight: 0.5,
    };
    let order = Unlearn {
        parent,
        forget: ForgetSet::Class(3),
        method: Method::GradientAscent(method),
        verify: Verify::Quick,
        promote: None,
        revoke_parent: false,
    };
    run_of(Work::Unlearn(order), &model)
}

pub(crate) fn audit_run(version: VersionRef) -> Run {
    let model = version.model.clone();
    run_of(Work::Audit(Audit { version, forget: None, verify: Verify::Quick }), &model)
}

fn run_of(work: Work, model: &str) -> Run {
    let dataset =
        DatasetRef { name: "digits".into(), version: 1, digest: "sha256:0".into(), source: Source::Embedded };
    Run {
        progress: Progress { epoch: 0, epochs: 3 },
        tags: BTreeMap::from([("by".into(), "ana".into())]),
        ..Run::queued(work, model, dataset, u64::MAX)
    }
}

pub(crate) fn product() -> Publish {
    Publish {
        version: Uuid::now_v7(),
        parent: None,
        digest: "sha256:1".into(),
        size_bytes: 12,
        metrics: json!({ "test_accuracy": 0.5 }),
        report: None,
        promote: None,
        revoke_parent: false,
        followed_by: None,
    }
}

pub(crate) fn broken() -> RunChange {
    RunChange::failed(RunError { code: "diverged".into(), message: "in epoch 2".into() })
}

/// Submits, claims and publishes a run of `model`.
pub(crate) async fn publish(store: &Store, run: Run, product: Publish) -> VersionRef {
    store.insert_run(run).await.unwrap();
    let (run, _) = store.claim(FOR_EVER).await.unwrap().unwrap();
    store.publish(run.id, Fence(run.attempt), product).await.unwrap().version.to_ref()
}

/// The log of a run is gapless, tells every change of state, allowed ones only, and ends where the run is.
pub(crate) async fn assert_consistent(store: &Store, id: Uuid) {
    let run = store.run(id).await.unwrap();
    let events = store.events(id, 0, u32::MAX).await.unwrap();
    let numbers: Vec<u64> = events.iter().map(|e| e.seq).collect();
    assert_eq!(numbers, (1..=run.last_seq).collect::<Vec<_>>(), "numbers of {run:?}");
    for event in &events {
        assert_eq!(event.data["seq"], json!(event.seq));
        assert_eq!(event.data["run"], json!(id));
    }
    let told: Vec<Status> = events
        .iter()
        .filter(|event| event.kind == EventKind::Status)
        .map(|event| serde_json::from_value(event.data["status"].clone()).unwrap())
        .collect();
    assert_eq!(told[0], Status::Queued);
    assert_eq!(told.last(), Some(&run.status));
    for pair in told.windows(2) {
        assert!(pair[0].can_become(pair[1]), "{pair:?}");
    }
    let n_done = events.iter().filter(|event| event.kind == EventKind::Done).count();
    assert_eq!(n_done, usize::from(run.status.is_terminal()));
    assert_eq!(events.last().unwrap().kind == EventKind::Done, run.status.is_terminal());
    assert_eq!(run.finished_at.is_some(), run.status.is_terminal());
    assert_eq!(run.started_at.is_some(), run.attempt > 0);
    let publishes = matches!(run.work.kind(), Kind::Train | Kind::Unlearn);
    assert_eq!(run.version.is_some(), publishes && run.status == Status::Succeeded);
    assert_eq!(run.error.is_some(), run.status == Status::Failed);
}

/// From now on no event of this kind can be written, as if the disk were full.
pub(crate) async fn break_events(store: &Store, kind: EventKind) {
    let sql = format!(
        "create trigger broken before insert on event when new.kind = '{}'
         begin select raise(abort, 'disk full'); end",
        kind.name()
    );
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&store.write).await.unwrap();
}

pub(crate) async fn mend_events(store: &Store) {
    sqlx::query("drop trigger broken").execute(&store.write).await.unwrap();
}
