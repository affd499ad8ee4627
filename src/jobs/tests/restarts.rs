use super::script::{Bench, Desk, Step};
use crate::domain::{EventKind, Status};
use crate::store::fixtures::{assert_consistent, broken, train_run};
use crate::store::{Fence, Store};
use std::ops::ControlFlow;
use uuid::Uuid;

/// The numbers of the epochs in a run's log, in order.
async fn epochs(store: &Store, run: Uuid) -> Vec<u64> {
    let events = store.events(run, 0, 999).await.unwrap();
    events.iter().filter(|e| e.kind == EventKind::Epoch).map(|e| e.data["epoch"].as_u64().unwrap()).collect()
}

/// Does the whole work of a run, as every attempt does.
async fn do_all(mut desk: Desk) {
    desk.goes_on_after(Step::Phase("begin")).await;
    for epoch in 1..=3 {
        desk.goes_on_after(Step::Epoch(epoch, 0.5)).await;
    }
    desk.goes_on_after(Step::Phase("end")).await;
    desk.publish().await;
}

#[tokio::test]
async fn a_killed_run_is_taken_up_again_and_its_log_goes_on_without_repeating() {
    let (dir, mut dead) = Bench::new(1).await;
    let run = train_run("m");
    dead.submit(run.clone()).await;
    let mut zombie = dead.desk().await;
    zombie.goes_on_after(Step::Phase("begin")).await;
    zombie.goes_on_after(Step::Epoch(1, 0.5)).await;
    zombie.goes_on_after(Step::Epoch(2, 0.6)).await;
    let store = dead.engine.store.clone();
    let before = store.run(run.id).await.unwrap();

    // a second engine on the same data, while the first one's thread never got to say goodbye
    let mut alive = Bench::on(store.clone(), dir.path(), 1).await;
    let desk = alive.desk().await;
    assert_eq!((desk.run.id, desk.run.attempt), (run.id, 2));
    zombie.stops_after(Step::Epoch(3, 0.9)).await;
    do_all(desk).await;
    let ended = alive.end_of(run.id).await;
    assert_eq!(ended.status, Status::Succeeded);
    assert_eq!(ended.started_at, before.started_at);
    assert_eq!(epochs(&store, run.id).await, [1, 2, 3]);
    let kinds: Vec<_> =
        store.events(run.id, 0, 99).await.unwrap().iter().map(|e| e.kind.name().to_owned()).collect();
    let expected = [
        "status", "status", "phase", "epoch", "epoch", "status", "status", "epoch", "phase", "model",
        "status", "done",
    ];
    assert_eq!(kinds, expected);
    assert_consistent(&store, run.id).await;
}

#[tokio::test]
async fn a_zombie_can_neither_publish_nor_fail_what_another_has_taken_over() {
    let (dir, mut dead) = Bench::new(1).await;
    let run = train_run("m");
    dead.submit(run.clone()).await;
    let zombie = dead.desk().await;
    let mut alive = Bench::on(dead.engine.store.clone(), dir.path(), 1).await;
    let desk = alive.desk().await;
    zombie.publish().await;
    do_all(desk).await;
    let ended = alive.end_of(run.id).await;
    assert_eq!((ended.status, ended.attempt), (Status::Succeeded, 2));
    let store = &alive.engine.store;
    assert_eq!(store.versions(&"m".parse().unwrap()).await.unwrap().len(), 1);
    assert!(store.advance(run.id, Some(Fence(1)), broken(), vec![]).await.is_err());
    assert_consistent(store, run.id).await;
}

#[tokio::test]
async fn a_cancel_that_a_crash_interrupted_is_finished_by_the_next_start() {
    let (dir, mut dead) = Bench::new(1).await;
    let run = train_run("m");
    dead.submit(run.clone()).await;
    let _desk = dead.desk().await;
    dead.engine.cancel(run.id).await.unwrap();
    let alive = Bench::on(dead.engine.store.clone(), dir.path(), 1).await;
    assert_eq!(alive.engine.store.run(run.id).await.unwrap().status, Status::Canceled);
    assert_consistent(&alive.engine.store, run.id).await;
}

#[tokio::test]
async fn shutting_down_puts_running_work_back_into_the_queue() {
    let (dir, mut bench) = Bench::new(1).await;
    let (run, waiting) = (train_run("m"), train_run("n"));
    let mut heard = bench.submit(run.clone()).await;
    bench.submit(waiting.clone()).await;
    let mut desk = bench.desk().await;
    desk.goes_on_after(Step::Phase("begin")).await;
    desk.goes_on_after(Step::Epoch(1, 0.5)).await;
    let engine = bench.engine.clone();
    let shutdown = tokio::spawn(async move { engine.shutdown().await });
    while desk.step(Step::Batch).await == Some(ControlFlow::Continue(())) {
        tokio::task::yield_now().await;
    }
    shutdown.await.unwrap();
    heard.until(Status::Running).await;
    assert_eq!(heard.until(Status::Queued).await.data["reason"], "server_stopping");
    assert!(bench.no_desk_yet(), "nothing is claimed any more");
    let store = bench.engine.store.clone();
    for id in [run.id, waiting.id] {
        assert_eq!(store.run(id).await.unwrap().status, Status::Queued);
        assert_consistent(&store, id).await;
    }
    // again is fine
    bench.engine.shutdown().await;

    let mut next = Bench::on(store.clone(), dir.path(), 1).await;
    do_all(next.desk().await).await;
    do_all(next.desk().await).await;
    assert_eq!(next.end_of(run.id).await.status, Status::Succeeded);
    assert_eq!(next.end_of(waiting.id).await.status, Status::Succeeded);
    assert_eq!(epochs(&store, run.id).await, [1, 2, 3]);
    assert_consistent(&store, run.id).await;
}

#[tokio::test]
async fn shutting_down_does_not_wait_for_ever_and_takes_the_run_from_a_stuck_thread() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    bench.submit(run.clone()).await;
    let mut stuck = bench.desk().await;
    bench.engine.shutdown().await;
    assert_eq!(bench.engine.store.run(run.id).await.unwrap().status, Status::Queued);
    stuck.stops_after(Step::Epoch(1, 0.5)).await;
    assert_eq!(epochs(&bench.engine.store, run.id).await, Vec::<u64>::new());
    assert_consistent(&bench.engine.store, run.id).await;
}

#[tokio::test]
async fn a_canceled_run_stays_canceled_when_the_server_stops_at_the_same_moment() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    bench.submit(run.clone()).await;
    let mut desk = bench.desk().await;
    bench.engine.cancel(run.id).await.unwrap();
    let engine = bench.engine.clone();
    let shutdown = tokio::spawn(async move { engine.shutdown().await });
    desk.stops_after(Step::Batch).await;
    shutdown.await.unwrap();
    assert_eq!(bench.engine.store.run(run.id).await.unwrap().status, Status::Canceled);
    assert_consistent(&bench.engine.store, run.id).await;
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_threads() {
    let (_dir, bench) = Bench::new(2).await;
    let mut n_alive = bench.engine.pool.shared.n_alive.subscribe();
    assert_eq!(*n_alive.borrow(), 2);
    drop(bench);
    n_alive.wait_for(|&n| n == 0).await.unwrap();
}

#[tokio::test]
async fn starting_removes_weights_no_version_speaks_of() {
    let (dir, bench) = Bench::new(1).await;
    bench.engine.store.insert_run(train_run("m")).await.unwrap();
    let lost = Uuid::now_v7();
    bench.engine.artifacts.models.put(lost, &super::real::tiny_model()).unwrap();
    let next = Bench::on(bench.engine.store.clone(), dir.path(), 1).await;
    assert!(next.engine.artifacts.models.read(lost).is_err());
}
