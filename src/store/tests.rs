//! The store's suite: plain async functions over a store, so that another database can be put through them.

use super::fixtures::{FOR_EVER, assert_consistent, broken, open, product, publish, train_run, unlearn_run};
use super::open::N_READERS;
use super::{Fence, NewEvent, NewVersion, Page, Publish, RunChange, RunFilter, Store, StoreError};
use crate::domain::{Best, EventKind, Kind, ModelName, ModelRef, Origin, Priority, Progress, Run, Status};
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let (_dir, store) = super::open().await;
                super::$name(&store).await;
            })*
        }
    };
}

suite!(
    a_run_is_stored_with_its_first_event,
    runs_are_claimed_oldest_first_and_once,
    erasures_are_claimed_before_what_is_older,
    an_epoch_moves_progress_and_best_with_its_event,
    the_end_is_told_by_status_and_done,
    a_run_that_is_over_changes_no_more,
    a_worker_that_lost_its_run_writes_nothing,
    lists_filter_and_page_newest_first,
    events_are_read_from_a_cursor,
    only_what_is_over_can_be_deleted,
    a_dead_process_leaves_no_run_running,
    a_run_that_kills_its_process_is_given_up,
    stopping_gracefully_does_not_count_as_dying,
    publishing_numbers_versions_within_their_model,
    publishing_is_all_or_nothing,
    publishing_promotes_and_revokes_in_the_same_moment,
    a_child_of_a_revoked_parent_is_not_published,
    references_resolve,
    a_revoked_version_says_so_and_names_its_replacement,
    aliases_point_only_at_usable_versions_of_their_model,
    a_version_outlives_its_run,
    an_imported_version_is_the_next_of_its_model_and_no_run_made_it,
    a_transaction_that_the_database_ends_by_itself_does_not_stand_in_the_way_of_the_next,
);

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

fn reference(text: &str) -> ModelRef {
    text.parse().unwrap()
}

fn epoch(number: u32) -> (RunChange, Vec<NewEvent>) {
    let change = RunChange {
        progress: Some(Progress { epoch: number, epochs: 3 }),
        best: Some(Best { metric: "test_accuracy".into(), value: f64::from(number) / 10.0, epoch: number }),
        ..RunChange::default()
    };
    (change, vec![NewEvent { kind: EventKind::Epoch, data: json!({ "epoch": number }) }])
}

async fn claimed(store: &Store, model: &str) -> Run {
    store.insert_run(train_run(model)).await.unwrap();
    store.claim(FOR_EVER).await.unwrap().unwrap().0
}

async fn a_run_is_stored_with_its_first_event(store: &Store) {
    let new = train_run("digits");
    let (run, event) = store.insert_run(new.clone()).await.unwrap();
    assert_eq!(run.last_seq, 1);
    assert_eq!(store.run(run.id).await.unwrap(), run);
    assert_eq!((&run.work, run.seed, &run.tags), (&new.work, new.seed, &new.tags));
    assert_eq!(event.data, json!({ "run": run.id, "seq": 1, "status": "queued" }));
    assert_eq!(store.events(run.id, 0, 10).await.unwrap(), vec![event]);
    assert!(matches!(store.run(Uuid::now_v7()).await, Err(StoreError::NotFound)));
}

async fn runs_are_claimed_oldest_first_and_once(store: &Store) {
    let (one, two) = (train_run("a"), train_run("b"));
    store.insert_run(two.clone()).await.unwrap();
    store.insert_run(one.clone()).await.unwrap();
    let (first, events) = store.claim(FOR_EVER).await.unwrap().unwrap();
    assert_eq!((first.id, first.status, first.attempt), (one.id, Status::Running, 1));
    assert_eq!(events[0].data, json!({ "run": one.id, "seq": 2, "status": "running", "attempt": 1 }));
    assert_eq!(store.claim(FOR_EVER).await.unwrap().unwrap().0.id, two.id);
    assert!(store.claim(FOR_EVER).await.unwrap().is_none());
}

async fn erasures_are_claimed_before_what_is_older(store: &Store) {
    let of = |priority| Run { priority, ..train_run("m") };
    let runs = [Priority::Batch, Priority::Interactive, Priority::Erasure, Priority::Erasure].map(of);
    for run in &runs {
        store.insert_run(run.clone()).await.unwrap();
    }
    let mut claimed = Vec::new();
    while let Some((run, _)) = store.claim(FOR_EVER).await.unwrap() {
        assert_eq!(store.run(run.id).await.unwrap().priority, run.priority);
        claimed.push(run.id);
    }
    assert_eq!(claimed, [2, 3, 1, 0].map(|i: usize| runs[i].id));
}

async fn an_epoch_moves_progress_and_best_with_its_event(store: &Store) {
    let run = claimed(store, "m").await;
    let (change, events) = epoch(1);
    let (run, told) = store.advance(run.id, Some(Fence(1)), change, events).await.unwrap();
    assert_eq!((run.progress.epoch, run.best.as_ref().unwrap().value), (1, 0.1));
    assert_eq!(told[0].data, json!({ "run": run.id, "seq": 3, "epoch": 1 }));
    assert_eq!(store.run(run.id).await.unwrap(), run);
    assert_consistent(store, run.id).await;
}

async fn the_end_is_told_by_status_and_done(store: &Store) {
    let run = claimed(store, "m").await;
    let (run, told) = store.advance(run.id, Some(Fence(1)), broken(), vec![]).await.unwrap();
    let error = json!({ "code": "diverged", "message": "in epoch 2" });
    assert_eq!(told[0].data["error"], error);
    assert_eq!(
        told[1].data,
        json!({ "run": run.id, "seq": 4, "status": "failed", "best": null, "version": null, "error": error })
    );
    assert_consistent(store, run.id).await;
}

async fn a_run_that_is_over_changes_no_more(store: &Store) {
    let (run, _) = store.insert_run(train_run("m")).await.unwrap();
    store.advance(run.id, None, RunChange::to(Status::Canceled), vec![]).await.unwrap();
    let before = store.run(run.id).await.unwrap();
    for status in Status::ALL {
        let again = store.advance(run.id, None, RunChange::to(status), vec![]).await;
        assert!(matches!(again, Err(StoreError::WrongState { actual: Status::Canceled })), "{status:?}");
    }
    let (change, events) = epoch(1);
    let late = store.advance(run.id, None, change, events).await;
    assert!(matches!(late, Err(StoreError::WrongState { actual: Status::Canceled })));
    assert_eq!(store.run(run.id).await.unwrap(), before);
    assert_consistent(store, run.id).await;
}

async fn a_worker_that_lost_its_run_writes_nothing(store: &Store) {
    let run = claimed(store, "m").await;
    store.reconcile(None).await.unwrap();
    let (change, events) = epoch(1);
    let orphaned = store.advance(run.id, Some(Fence(1)), change.clone(), events.clone()).await;
    assert!(matches!(orphaned, Err(StoreError::LostClaim)));
    store.claim(FOR_EVER).await.unwrap().unwrap();
    let zombie = store.advance(run.id, Some(Fence(1)), change.clone(), events.clone()).await;
    assert!(matches!(zombie, Err(StoreError::LostClaim)));
    assert!(matches!(store.publish(run.id, Fence(1), product()).await, Err(StoreError::LostClaim)));
    store.advance(run.id, Some(Fence(2)), change, events).await.unwrap();
    assert_consistent(store, run.id).await;
}

async fn lists_filter_and_page_newest_first(store: &Store) {
    let mut ids = Vec::new();
    for model in ["a", "b", "a", "b", "a"] {
        ids.push(store.insert_run(train_run(model)).await.unwrap().0.id);
    }
    ids.reverse();
    store.claim(FOR_EVER).await.unwrap();
    let list = async |filter: RunFilter, limit, after| {
        let runs = store.runs(&filter, &Page { limit, after }).await.unwrap();
        runs.iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(list(RunFilter::default(), 2, None).await, ids[..3]);
    assert_eq!(list(RunFilter::default(), 2, Some(ids[1])).await, ids[2..5]);
    assert!(list(RunFilter::default(), 2, Some(ids[4])).await.is_empty());
    let of_b = RunFilter { model: Some("b".into()), ..RunFilter::default() };
    assert_eq!(list(of_b, 9, None).await, [ids[1], ids[3]]);
    let statuses =
        |statuses: &[Status]| RunFilter { status: Some(statuses.to_vec()), ..RunFilter::default() };
    assert_eq!(list(statuses(&[Status::Running]), 9, None).await, [ids[4]]);
    assert_eq!(list(statuses(&[Status::Queued, Status::Running]), 9, None).await, ids);
    assert!(list(statuses(&[]), 9, None).await.is_empty());
    let unlearn = RunFilter { kind: Some(Kind::Unlearn), ..RunFilter::default() };
    assert!(list(unlearn, 9, None).await.is_empty());
    let injected = RunFilter { model: Some("' or 1=1 --".into()), ..RunFilter::default() };
    assert!(list(injected, 9, None).await.is_empty());
}

async fn events_are_read_from_a_cursor(store: &Store) {
    let run = claimed(store, "m").await;
    for number in 1..=3 {
        let (change, events) = epoch(number);
        store.advance(run.id, Some(Fence(1)), change, events).await.unwrap();
    }
    let numbers = async |after, limit| {
        store.events(run.id, after, limit).await.unwrap().iter().map(|e| e.seq).collect::<Vec<_>>()
    };
    assert_eq!(numbers(0, 2).await, [1, 2]);
    assert_eq!(numbers(2, 9).await, [3, 4, 5]);
    assert!(numbers(5, 9).await.is_empty());
    assert!(numbers(u64::MAX, 9).await.is_empty());
}

async fn only_what_is_over_can_be_deleted(store: &Store) {
    let (run, _) = store.insert_run(train_run("m")).await.unwrap();
    for status in [Status::Queued, Status::Running, Status::Canceling] {
        if status != Status::Queued {
            store.advance(run.id, None, RunChange::to(status), vec![]).await.unwrap();
        }
        let refused = store.delete_run(run.id).await;
        assert!(matches!(refused, Err(StoreError::WrongState { actual }) if actual == status));
    }
    store.advance(run.id, None, RunChange::to(Status::Canceled), vec![]).await.unwrap();
    store.delete_run(run.id).await.unwrap();
    assert!(matches!(store.delete_run(run.id).await, Err(StoreError::NotFound)));
    assert!(matches!(store.report(run.id).await, Err(StoreError::NotFound)));
    assert_eq!(store.events(run.id, 0, 10).await.unwrap(), []);
}

async fn a_dead_process_leaves_no_run_running(store: &Store) {
    let canceling = claimed(store, "b").await;
    store.advance(canceling.id, None, RunChange::to(Status::Canceling), vec![]).await.unwrap();
    let running = claimed(store, "a").await;
    let (queued, _) = store.insert_run(train_run("c")).await.unwrap();
    assert_eq!(store.reconcile(None).await.unwrap().len(), 2);
    let status = async |id| store.run(id).await.unwrap().status;
    assert_eq!(status(running.id).await, Status::Queued);
    assert_eq!(status(canceling.id).await, Status::Canceled);
    assert_eq!(status(queued.id).await, Status::Queued);
    let told = store.events(running.id, 2, 9).await.unwrap();
    assert_eq!(told[0].data["reason"], "server_restarted");
    for id in [running.id, canceling.id, queued.id] {
        assert_consistent(store, id).await;
    }
    assert_eq!(store.reconcile(None).await.unwrap(), []);
    let again = store.claim(FOR_EVER).await.unwrap().unwrap().0;
    assert_eq!((again.id, again.attempt, again.started_at), (running.id, 2, running.started_at));
}

async fn a_run_that_kills_its_process_is_given_up(store: &Store) {
    store.insert_run(train_run("m")).await.unwrap();
    for _ in 1..super::lease::MAX_LOST {
        store.claim(FOR_EVER).await.unwrap().unwrap();
        assert_eq!(store.reconcile(None).await.unwrap()[0].0.status, Status::Queued);
    }
    store.claim(FOR_EVER).await.unwrap().unwrap();
    let (run, _) = store.reconcile(None).await.unwrap().remove(0);
    assert_eq!((run.status, run.error.unwrap().code.as_str()), (Status::Failed, "worker_lost"));
    assert_consistent(store, run.id).await;
}

async fn stopping_gracefully_does_not_count_as_dying(store: &Store) {
    let (run, _) = store.insert_run(train_run("m")).await.unwrap();
    for attempt in 1..=9 {
        let (run, _) = store.claim(FOR_EVER).await.unwrap().unwrap();
        let back = RunChange { reason: Some("server_stopping"), ..RunChange::to(Status::Queued) };
        store.advance(run.id, Some(Fence(attempt)), back, vec![]).await.unwrap();
    }
    store.claim(FOR_EVER).await.unwrap().unwrap();
    assert_eq!(store.reconcile(None).await.unwrap()[0].0.status, Status::Queued);
    assert_consistent(store, run.id).await;
}

/// As SQLite does when the disk is full.
async fn a_transaction_that_the_database_ends_by_itself_does_not_stand_in_the_way_of_the_next(store: &Store) {
    let full = "create trigger full before insert on event begin select raise(rollback, 'full'); end";
    sqlx::query(full).execute(&store.write).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(store.insert_run(train_run("m")).await, Err(StoreError::Database(_))));
    }
    assert!(matches!(store.claim(FOR_EVER).await, Ok(None)));
    sqlx::query("drop trigger full").execute(&store.write).await.unwrap();
    let (run, _) = store.insert_run(train_run("m")).await.unwrap();
    assert_consistent(store, run.id).await;
}

async fn publishing_numbers_versions_within_their_model(store: &Store) {
    let a1 = publish(store, train_run("a"), product()).await;
    let b1 = publish(store, train_run("b"), product()).await;
    let a2 = publish(store, train_run("a"), product()).await;
    assert_eq!((a1.version, b1.version, a2.version), (1, 1, 2));
    let versions = store.versions(&name("a")).await.unwrap();
    assert_eq!(versions.iter().map(|v| v.id).collect::<Vec<_>>(), [a2.id, a1.id]);
    assert_eq!(store.models(None, 9).await.unwrap(), [name("a"), name("b")]);
    assert_eq!(store.models(Some("a"), 9).await.unwrap(), [name("b")]);
    let run = store.run(versions[0].origin.made().unwrap().run).await.unwrap();
    assert_eq!(run.version, Some(a2.clone()));
    let told = store.events(run.id, 2, 9).await.unwrap();
    assert_eq!(told.iter().map(|e| e.kind.name()).collect::<Vec<_>>(), ["model", "status", "done"]);
    assert_eq!(told[0].data["version"], json!(a2));
    assert_eq!(told[2].data["version"], json!(a2));
    assert_consistent(store, run.id).await;
}

async fn publishing_is_all_or_nothing(store: &Store) {
    let taken = publish(store, train_run("m"), product()).await;
    let run = claimed(store, "m").await;
    // the id is taken: the insertion fails in the middle of the transaction
    let twice =
        Publish { version: taken.id, report: Some(json!({})), promote: Some(name("prod")), ..product() };
    assert!(store.publish(run.id, Fence(1), twice).await.is_err());
    let unknown_parent = Publish { parent: Some(Uuid::now_v7()), promote: Some(name("prod")), ..product() };
    assert!(matches!(store.publish(run.id, Fence(1), unknown_parent).await, Err(StoreError::NotFound)));
    assert_eq!(store.run(run.id).await.unwrap(), run);
    assert_eq!(store.versions(&name("m")).await.unwrap().len(), 1);
    assert_eq!(store.aliases(&name("m")).await.unwrap(), []);
    assert_eq!(store.report(run.id).await.unwrap(), None);
    assert_consistent(store, run.id).await;
}

async fn publishing_promotes_and_revokes_in_the_same_moment(store: &Store) {
    let parent = publish(store, train_run("m"), product()).await;
    store.set_alias(&name("m"), &name("staging"), parent.id).await.unwrap();
    let child = Publish {
        parent: Some(parent.id),
        report: Some(json!({ "verdict": "pass" })),
        promote: Some(name("prod")),
        revoke_parent: true,
        ..product()
    };
    let child = publish(store, unlearn_run(parent.clone()), child).await;
    assert_eq!(store.version(&reference("m@prod"), false).await.unwrap().id, child.id);
    assert_eq!(store.version(&reference("m@staging"), false).await.unwrap().id, child.id);
    let revoked = store.version(&ModelRef::Id(parent.id), true).await.unwrap();
    assert_eq!((revoked.revoked_at.is_some(), revoked.replacement), (true, Some(child.id)));
    let run = store.version(&ModelRef::Id(child.id), false).await.unwrap().origin.made().unwrap().run;
    let report = store.report(run).await.unwrap().unwrap();
    assert_eq!(report, json!({ "verdict": "pass", "child": child }));
    let told = store.events(run, 2, 1).await.unwrap();
    assert_eq!((&told[0].data["alias"], &told[0].data["revoked"]), (&json!("prod"), &json!(parent.id)));
    assert_eq!(store.servable_versions().await.unwrap(), [child.id]);
}

async fn a_child_of_a_revoked_parent_is_not_published(store: &Store) {
    let parent = publish(store, train_run("m"), product()).await;
    store.insert_run(unlearn_run(parent.clone())).await.unwrap();
    let (run, _) = store.claim(FOR_EVER).await.unwrap().unwrap();
    store.revoke(parent.id, None).await.unwrap();
    let child = Publish { parent: Some(parent.id), ..product() };
    let refused = store.publish(run.id, Fence(1), child).await;
    assert!(matches!(refused, Err(StoreError::Revoked { version }) if version.id == parent.id));
    assert_eq!(store.run(run.id).await.unwrap().status, Status::Running);
}

async fn references_resolve(store: &Store) {
    let one = publish(store, train_run("m"), product()).await;
    let two = publish(store, train_run("m"), product()).await;
    store.set_alias(&name("m"), &name("prod"), one.id).await.unwrap();
    let resolved = async |text: &str| store.version(&reference(text), false).await.map(|v| v.id).ok();
    assert_eq!(resolved("m").await, Some(two.id));
    assert_eq!(resolved("m:1").await, Some(one.id));
    assert_eq!(resolved("m@prod").await, Some(one.id));
    assert_eq!(resolved(&two.id.to_string()).await, Some(two.id));
    for unknown in ["n", "m:3", "m@none", "M"] {
        assert_eq!(resolved(unknown).await, None, "{unknown}");
    }
    let version = store.version(&reference("m:1"), false).await.unwrap();
    let made = version.origin.made().unwrap();
    assert_eq!((&made.work, &made.dataset), (&train_run("m").work, &train_run("m").dataset));
}

async fn a_revoked_version_says_so_and_names_its_replacement(store: &Store) {
    let one = publish(store, train_run("m"), product()).await;
    let two = publish(store, train_run("m"), product()).await;
    let first = store.revoke(two.id, Some(one.id)).await.unwrap();
    assert_eq!(store.version(&reference("m"), false).await.unwrap().id, one.id, "latest servable");
    for text in ["m:2".to_owned(), two.id.to_string()] {
        let refused = store.version(&reference(&text), false).await;
        assert!(
            matches!(refused, Err(StoreError::Revoked { version }) if version.replacement == Some(one.id))
        );
        assert_eq!(store.version(&reference(&text), true).await.unwrap().id, two.id);
    }
    assert_eq!(store.revoke(two.id, None).await.unwrap(), first, "revoking again changes nothing");
    store.revoke(one.id, None).await.unwrap();
    assert!(matches!(store.version(&reference("m"), false).await, Err(StoreError::Revoked { .. })));
    assert!(matches!(store.revoke(Uuid::now_v7(), None).await, Err(StoreError::NotFound)));
}

async fn aliases_point_only_at_usable_versions_of_their_model(store: &Store) {
    let (m, prod) = (name("m"), name("prod"));
    let one = publish(store, train_run("m"), product()).await;
    let two = publish(store, train_run("m"), product()).await;
    let other = publish(store, train_run("other"), product()).await;
    store.set_alias(&m, &prod, one.id).await.unwrap();
    let moved = store.set_alias(&m, &prod, two.id).await.unwrap();
    assert_eq!(store.aliases(&m).await.unwrap(), [moved]);
    assert!(matches!(store.set_alias(&m, &prod, other.id).await, Err(StoreError::NotFound)));
    assert!(matches!(store.set_alias(&m, &prod, Uuid::now_v7()).await, Err(StoreError::NotFound)));
    store.revoke(one.id, None).await.unwrap();
    assert!(matches!(store.set_alias(&m, &prod, one.id).await, Err(StoreError::Revoked { .. })));
    assert_eq!(store.version(&reference("m@prod"), false).await.unwrap().id, two.id);
    store.delete_alias(&m, &prod).await.unwrap();
    assert!(matches!(store.delete_alias(&m, &prod).await, Err(StoreError::NotFound)));
}

async fn a_version_outlives_its_run(store: &Store) {
    let version = publish(store, train_run("m"), product()).await;
    let before = store.version(&reference("m"), false).await.unwrap();
    store.delete_run(before.origin.made().unwrap().run).await.unwrap();
    assert_eq!(store.version(&ModelRef::Id(version.id), false).await.unwrap(), before);
}

async fn an_imported_version_is_the_next_of_its_model_and_no_run_made_it(store: &Store) {
    let made = publish(store, train_run("m"), product()).await;
    let new = NewVersion {
        id: Uuid::now_v7(),
        model: name("m"),
        origin: Origin::Import,
        parent: None,
        digest: "sha256:2".into(),
        size_bytes: 34,
        metrics: json!({}),
    };
    let version = store.import(new.clone(), Some(&name("prod"))).await.unwrap();
    assert_eq!((version.number, &version.origin), (2, &Origin::Import));
    assert_eq!(store.version(&reference("m@prod"), false).await.unwrap(), version);
    assert_eq!(store.import(new, None).await.unwrap(), version, "an id is imported once");
    assert_eq!(store.versions(&name("m")).await.unwrap().len(), 2);
    assert_eq!(store.servable_versions().await.unwrap(), [made.id, version.id]);
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let (dir, store) = open().await;
    let version = publish(&store, train_run("m"), product()).await;
    let run = claimed(&store, "n").await;
    drop(store);
    let store = Store::open(&dir.path().join("lethe.db")).await.unwrap();
    assert_eq!(store.version(&reference("m"), false).await.unwrap().to_ref(), version);
    assert_eq!(store.run(run.id).await.unwrap(), run);
    assert_consistent(&store, run.id).await;
    store.ping().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lethe.db");
    std::fs::write(&path, "not a database, but long enough to look like one ".repeat(100)).unwrap();
    let error = Store::open(&path).await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(why) if why.contains("not a database")), "{error:?}");
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_refused_with_a_reason() {
    let (dir, store) = open().await;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'from the future', true, x'00', 0)",
    )
    .execute(&store.write)
    .await
    .unwrap();
    drop(store);
    let error = Store::open(&dir.path().join("lethe.db")).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer(9999)), "{error:?}");
    assert!(error.to_string().contains("newer release"));
}

#[tokio::test]
async fn a_damaged_row_is_named() {
    let (_dir, store) = open().await;
    let (run, _) = store.insert_run(train_run("m")).await.unwrap();
    for (sql, column) in [
        ("update run set status = 'dancing'", "status"),
        ("update run set status = 'queued', work = '{'", "work"),
    ] {
        sqlx::query(sql).execute(&store.write).await.unwrap();
        let error = store.run(run.id).await.unwrap_err().to_string();
        assert!(error.contains(&run.id.to_string()) && error.contains(column), "{error}");
    }
}

#[tokio::test]
async fn all_who_read_read_the_file_that_was_opened() {
    let (dir, store) = open().await;
    store.insert_run(train_run("m")).await.unwrap();
    let (path, away) = (dir.path().join("lethe.db"), dir.path().join("away"));
    std::fs::rename(&path, &away).unwrap();
    std::fs::write(&path, "").unwrap();
    let readers = join_all((0..N_READERS).map(|_| store.read.acquire())).await;
    std::fs::rename(&away, &path).unwrap();
    for reader in readers {
        let mut reader = reader.unwrap();
        let runs: Vec<i64> =
            sqlx::query_scalar("select count(*) from run").fetch_all(&mut *reader).await.unwrap();
        assert_eq!(runs, [1]);
    }
}

#[tokio::test]
async fn a_second_process_is_kept_out() {
    let (dir, store) = open().await;
    let path = dir.path().join("lethe.db");
    let second = Store::open_within(&path, Duration::ZERO).await;
    assert!(matches!(second, Err(StoreError::InUse(found)) if found == path));
    drop(store);
    Store::open(&path).await.unwrap();
}
