//! What a run goes on from, when the files behind it fail, and when there are none.

use super::real::{digits_run, end_of, engine, interrupted};
use super::script::{Bench, Step};
use crate::domain::{EventKind, Run, Status};
use crate::jobs::{Asked, Engine};
use crate::store::fixtures::{assert_consistent, train_run};
use std::ops::ControlFlow;

/// Long enough to be stopped on the way.
const EPOCHS: u32 = 20;

async fn weights_of(engine: &Engine, run: &Run) -> String {
    let version = run.version.as_ref().unwrap();
    engine.artifacts.models.get(version.id, &version.digest).unwrap().weights_digest()
}

/// Sentences about where the run went on.
async fn resumed(engine: &Engine, run: &Run) -> Vec<String> {
    let events = engine.store.events(run.id, 0, 999).await.unwrap();
    let resumed = events.iter().filter(|event| event.data["phase"] == "resume");
    resumed.map(|event| event.data["detail"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_training_goes_on_where_a_graceful_stop_left_it() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, parted) = interrupted(dir.path(), EPOCHS).await;
    let second = engine(dir.path()).await;
    let ended = end_of(&second, parted.id).await;
    assert_eq!(weights_of(&second, &ended).await, weights_of(&second, &whole).await);
    let told = resumed(&second, &ended).await;
    // stopped in the middle: nothing but the mini-batch under way is done twice
    assert!(matches!(&told[..], [one] if one.contains("epoch")), "{told:?}");
    let events = second.store.events(ended.id, 0, 999).await.unwrap();
    let stop = events.iter().position(|event| event.data["reason"] == "server_stopping").unwrap();
    assert_eq!(events[stop - 1].kind, EventKind::Checkpoint);
    assert_consistent(&second.store, ended.id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_checkpoints_are_passed_over_for_older_ones_and_then_for_the_beginning() {
    for n_damaged in [1, usize::MAX] {
        let dir = tempfile::tempdir().unwrap();
        let (whole, parted) = interrupted(dir.path(), EPOCHS).await;
        let store = crate::store::Store::open(&dir.path().join("lethe.db")).await.unwrap();
        let kept = store.checkpoints(parted.id).await.unwrap();
        store.close().await;
        drop(store);
        assert!(kept.len() > 1);
        for checkpoint in kept.iter().rev().take(n_damaged) {
            let file = dir.path().join("checkpoints").join(format!("{}.safetensors", checkpoint.id));
            std::fs::write(file, "noise").unwrap();
        }
        let second = engine(dir.path()).await;
        let ended = end_of(&second, parted.id).await;
        assert_eq!(weights_of(&second, &ended).await, weights_of(&second, &whole).await);
        let told = resumed(&second, &ended).await;
        assert_eq!(told.len(), usize::from(n_damaged == 1), "{told:?}");
        let log = second.store.events(ended.id, 0, 999).await.unwrap();
        let n_epochs = log.iter().filter(|event| event.kind == EventKind::Epoch).count();
        assert_eq!(n_epochs, EPOCHS as usize, "no epoch is told twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_training_that_cannot_write_checkpoints_goes_on_without() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    std::fs::remove_dir_all(dir.path().join("checkpoints")).unwrap();
    let run = digits_run(&engine, 2).await;
    engine.submit(run.clone()).await.unwrap();
    let ended = end_of(&engine, run.id).await;
    assert_eq!((ended.status, &ended.error), (Status::Succeeded, &None));
    assert!(engine.store.checkpoints(run.id).await.unwrap().is_empty());
    engine.shutdown().await;
}

#[tokio::test]
async fn work_that_cannot_be_gone_on_with_is_paused_all_the_same_and_begins_anew() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    let mut heard = bench.submit(run.clone()).await;
    let mut desk = bench.desk().await;
    desk.goes_on_after(Step::Epoch(1, 0.5)).await;
    assert!(matches!(bench.engine.pause(run.id).await.unwrap(), Asked::Underway(_)));
    while desk.step(Step::Batch).await == Some(ControlFlow::Continue(())) {
        tokio::task::yield_now().await;
    }
    heard.until(Status::Paused).await;
    assert!(bench.no_desk_yet(), "nobody takes a paused run");
    assert!(matches!(bench.engine.resume(run.id).await.unwrap(), Asked::Underway(_)));
    let mut again = bench.desk().await;
    assert_eq!(again.run.attempt, 2);
    again.goes_on_after(Step::Epoch(1, 0.5)).await;
    again.publish().await;
    assert_eq!(bench.end_of(run.id).await.status, Status::Succeeded);
    assert_consistent(&bench.engine.store, run.id).await;
}

#[tokio::test]
async fn a_run_paused_while_the_server_stops_stays_out_of_the_queue() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    bench.submit(run.clone()).await;
    let mut desk = bench.desk().await;
    bench.engine.pause(run.id).await.unwrap();
    let engine = bench.engine.clone();
    let shutdown = tokio::spawn(async move { engine.shutdown().await });
    while desk.step(Step::Batch).await == Some(ControlFlow::Continue(())) {
        tokio::task::yield_now().await;
    }
    shutdown.await.unwrap();
    assert_eq!(bench.engine.store.run(run.id).await.unwrap().status, Status::Paused);
    assert_consistent(&bench.engine.store, run.id).await;
}
