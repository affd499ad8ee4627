use super::super::Asked;
use super::script::{Bench, Step};
use crate::artifacts::ArtifactError;
use crate::domain::{EventKind, Run, Status};
use crate::store::StoreError;
use crate::store::fixtures::{
    FOR_EVER, assert_consistent, break_events, mend_events, product, train_run, unlearn_run,
};
use std::ops::ControlFlow;

fn code(run: &Run) -> &str {
    run.error.as_ref().map_or("", |error| &error.code)
}

#[tokio::test]
async fn a_run_is_carried_out_and_published() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    let heard = bench.submit(run.clone()).await;
    let mut desk = bench.desk().await;
    assert_eq!((desk.run.id, desk.thread.as_str()), (run.id, "lethe-train-1"));
    for (epoch, accuracy) in [(1, 0.5), (2, 0.9), (3, 0.8)] {
        desk.goes_on_after(Step::Batch).await;
        desk.goes_on_after(Step::Epoch(epoch, accuracy)).await;
    }
    desk.publish().await;
    let events = heard.into_events().await;
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(kinds, ["status", "status", "epoch", "epoch", "epoch", "model", "status", "done"]);
    assert_eq!(events, bench.engine.store.events(run.id, 0, 99).await.unwrap());
    let epoch = &events[2].data;
    assert_eq!(
        (&epoch["epoch"], &epoch["epochs"], &epoch["test_accuracy"]),
        (&1.into(), &3.into(), &0.5.into())
    );
    for key in ["samples_per_s", "elapsed_s", "eta_s"] {
        assert!(epoch[key].is_number(), "{key} in {epoch}");
    }
    let run = bench.engine.store.run(run.id).await.unwrap();
    let best = run.best.clone().unwrap();
    assert_eq!((run.status, run.progress.epoch), (Status::Succeeded, 3));
    assert_eq!((best.metric.as_str(), best.value, best.epoch), ("test_accuracy", 0.9, 2));
    assert_consistent(&bench.engine.store, run.id).await;
}

#[tokio::test]
async fn a_queued_run_is_canceled_at_once_and_never_started() {
    let (_dir, mut bench) = Bench::new(1).await;
    let (first, second, third) = (train_run("a"), train_run("b"), train_run("c"));
    bench.submit(first.clone()).await;
    let desk = bench.desk().await;
    let heard = bench.submit(second.clone()).await;
    bench.submit(third.clone()).await;
    let canceled = bench.engine.cancel(second.id).await.unwrap();
    assert!(matches!(&canceled, Asked::Done(run) if run.status == Status::Canceled));
    assert_eq!(heard.into_events().await.last().unwrap().kind, EventKind::Done);
    assert_eq!(bench.engine.cancel(second.id).await.unwrap(), canceled, "canceling again");
    desk.publish().await;
    assert_eq!(bench.desk().await.run.id, third.id);
    assert_consistent(&bench.engine.store, second.id).await;
}

#[tokio::test]
async fn a_running_run_is_canceled_within_a_mini_batch() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    bench.submit(run.clone()).await;
    let mut desk = bench.desk().await;
    desk.goes_on_after(Step::Batch).await;
    for _ in 0..2 {
        let answer = bench.engine.cancel(run.id).await.unwrap();
        assert!(matches!(answer, Asked::Underway(run) if run.status == Status::Canceling));
    }
    desk.stops_after(Step::Batch).await;
    let ended = bench.end_of(run.id).await;
    assert_eq!(ended.status, Status::Canceled);
    assert_consistent(&bench.engine.store, run.id).await;
}

#[tokio::test]
async fn a_run_that_is_over_cannot_be_canceled() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    bench.submit(run.clone()).await;
    bench.desk().await.publish().await;
    let ended = bench.end_of(run.id).await;
    assert_eq!(bench.engine.cancel(run.id).await.unwrap(), Asked::Refused(ended));
    let unknown = bench.engine.cancel(uuid::Uuid::now_v7()).await;
    assert!(matches!(unknown, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn a_run_that_is_done_before_it_sees_the_cancel_keeps_its_ending() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    bench.submit(run.clone()).await;
    let desk = bench.desk().await;
    bench.engine.cancel(run.id).await.unwrap();
    desk.publish().await;
    let ended = bench.end_of(run.id).await;
    assert_eq!((ended.status, ended.version.is_some()), (Status::Succeeded, true));
    assert_consistent(&bench.engine.store, run.id).await;
}

#[tokio::test]
async fn a_panic_fails_its_run_and_the_thread_takes_the_next() {
    let (_dir, mut bench) = Bench::new(1).await;
    let (first, second) = (train_run("a"), train_run("b"));
    bench.submit(first.clone()).await;
    let mut desk = bench.desk().await;
    assert_eq!(desk.step(Step::Panic).await, None);
    let ended = bench.end_of(first.id).await;
    assert_eq!((ended.status, code(&ended)), (Status::Failed, "internal_error"));
    assert!(ended.error.unwrap().message.contains("the trainer fell over"));
    bench.submit(second.clone()).await;
    let desk = bench.desk().await;
    assert_eq!((desk.run.id, desk.thread.as_str()), (second.id, "lethe-train-1"));
    desk.publish().await;
    assert_eq!(bench.end_of(second.id).await.status, Status::Succeeded);
}

#[tokio::test]
async fn a_failure_is_told_with_its_code() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    bench.submit(run.clone()).await;
    assert_eq!(bench.desk().await.step(Step::Fail).await, None);
    let ended = bench.end_of(run.id).await;
    assert_eq!((ended.status, code(&ended)), (Status::Failed, "no_rows"));
    assert_consistent(&bench.engine.store, run.id).await;
}

#[tokio::test]
async fn a_measure_that_is_no_number_ends_the_run_as_diverged() {
    for value in [f64::NAN, f64::INFINITY] {
        let (_dir, mut bench) = Bench::new(1).await;
        let run = train_run("m");
        bench.submit(run.clone()).await;
        let mut desk = bench.desk().await;
        desk.goes_on_after(Step::Epoch(1, 0.5)).await;
        desk.stops_after(Step::Epoch(2, value)).await;
        let ended = bench.end_of(run.id).await;
        assert_eq!((ended.status, code(&ended), ended.progress.epoch), (Status::Failed, "diverged", 1));
        assert!(ended.error.unwrap().message.contains("epoch 2"));
    }
}

#[tokio::test]
async fn a_run_past_its_deadline_fails() {
    let (_dir, mut bench) = Bench::new(1).await;
    let at_once = Run { deadline_s: Some(0), ..train_run("m") };
    bench.submit(at_once.clone()).await;
    let ended = bench.end_of(at_once.id).await;
    assert_eq!((ended.status, code(&ended)), (Status::Failed, "deadline_exceeded"));
    assert!(bench.no_desk_yet(), "it was not even started");

    let soon = Run { deadline_s: Some(1), ..train_run("m") };
    bench.submit(soon.clone()).await;
    let mut desk = bench.desk().await;
    while desk.step(Step::Batch).await == Some(ControlFlow::Continue(())) {}
    assert_eq!(code(&bench.end_of(soon.id).await), "deadline_exceeded");

    let forever = Run { deadline_s: Some(u64::MAX >> 1), ..train_run("m") };
    bench.submit(forever.clone()).await;
    bench.desk().await.publish().await;
    assert_eq!(bench.end_of(forever.id).await.status, Status::Succeeded);
}

#[tokio::test]
async fn two_threads_work_on_two_runs_at_once() {
    let (_dir, mut bench) = Bench::new(2).await;
    let runs = [train_run("a"), train_run("b"), train_run("c")];
    for run in &runs {
        bench.submit(run.clone()).await;
    }
    let (mut one, mut two) = (bench.desk().await, bench.desk().await);
    assert_ne!(one.thread, two.thread);
    one.goes_on_after(Step::Batch).await;
    two.goes_on_after(Step::Batch).await;
    one.goes_on_after(Step::Epoch(1, 0.5)).await;
    two.goes_on_after(Step::Epoch(1, 0.5)).await;
    assert!(bench.no_desk_yet(), "the third waits");
    two.publish().await;
    let three = bench.desk().await;
    assert_eq!(three.run.id, runs[2].id);
    one.publish().await;
    three.publish().await;
    for run in &runs {
        assert_eq!(bench.end_of(run.id).await.status, Status::Succeeded);
        assert_consistent(&bench.engine.store, run.id).await;
    }
}

#[tokio::test]
async fn a_child_whose_parent_was_revoked_meanwhile_fails_and_leaves_no_weights() {
    let (_dir, mut bench) = Bench::new(1).await;
    let first = train_run("m");
    bench.submit(first.clone()).await;
    bench.desk().await.publish().await;
    let parent = bench.end_of(first.id).await.version.unwrap();
    let run = unlearn_run(parent.clone());
    bench.submit(run.clone()).await;
    let mut desk = bench.desk().await;
    bench.engine.revoke(parent.id, None).await.unwrap();
    let child = crate::store::Publish { parent: Some(parent.id), ..product() };
    let weights = bench.engine.artifacts.models.clone();
    let file = super::real::tiny_model();
    weights.put(child.version, &file).unwrap();
    let version = child.version;
    assert_eq!(desk.step(Step::Publish(child)).await, None);
    let ended = bench.end_of(run.id).await;
    assert_eq!((ended.status, code(&ended)), (Status::Failed, "parent_revoked"));
    assert!(matches!(weights.read(version), Err(ArtifactError::Missing { .. })));
}

#[tokio::test]
async fn revoking_a_version_removes_its_weights() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    bench.submit(run.clone()).await;
    let product = product();
    bench.engine.artifacts.models.put(product.version, &super::real::tiny_model()).unwrap();
    let version = product.version;
    assert_eq!(bench.desk().await.step(Step::Publish(product)).await, None);
    bench.end_of(run.id).await;
    assert!(bench.engine.artifacts.models.read(version).is_ok());
    assert!(bench.engine.revoke(version, None).await.unwrap().revoked_at.is_some());
    assert!(matches!(bench.engine.artifacts.models.read(version), Err(ArtifactError::Missing { .. })));
}

#[tokio::test]
async fn a_run_no_thread_works_on_is_ended_by_its_cancel() {
    let (_dir, mut bench) = Bench::new(1).await;
    bench.submit(train_run("busy")).await;
    let desk = bench.desk().await;
    let run = train_run("m");
    let store = bench.engine.store.clone();
    store.insert_run(run.clone()).await.unwrap();
    // claimed behind the engine's back
    assert_eq!(store.claim(FOR_EVER).await.unwrap().unwrap().0.id, run.id);
    let canceled = bench.engine.cancel(run.id).await.unwrap();
    assert!(matches!(canceled, Asked::Done(run) if run.status == Status::Canceled));
    assert_consistent(&store, run.id).await;
    desk.publish().await;
}

#[tokio::test]
async fn a_run_whose_progress_cannot_be_written_fails() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    bench.submit(run.clone()).await;
    let mut desk = bench.desk().await;
    break_events(&bench.engine.store, EventKind::Epoch).await;
    desk.stops_after(Step::Epoch(1, 0.5)).await;
    let ended = bench.end_of(run.id).await;
    assert_eq!((ended.status, code(&ended), ended.progress.epoch), (Status::Failed, "storage_failed", 0));
    assert_consistent(&bench.engine.store, run.id).await;
}

#[tokio::test]
async fn an_ending_that_cannot_be_written_leaves_nothing_behind_and_is_tried_again() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    let mut heard = bench.submit(run.clone()).await;
    let mut desk = bench.desk().await;
    let store = bench.engine.store.clone();
    break_events(&store, EventKind::Done).await;
    assert_eq!(desk.step(Step::Publish(product())).await, None);
    // the last statement of the transaction fails: the ones before it are undone
    assert_eq!(store.run(run.id).await.unwrap().status, Status::Running);
    assert!(store.versions(&"m".parse().unwrap()).await.unwrap().is_empty());
    mend_events(&store).await;
    heard.until(Status::Succeeded).await;
    assert_eq!(store.versions(&"m".parse().unwrap()).await.unwrap().len(), 1);
    assert_consistent(&store, run.id).await;
}
