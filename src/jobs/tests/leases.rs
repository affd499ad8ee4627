use super::super::Limits;
use super::super::lease::{HANG, beat};
use super::script::{Bench, Step};
use crate::domain::{Run, Status};
use crate::store::Terms;
use crate::store::fixtures::{FOR_EVER, assert_consistent, open, train_run};
use chrono::{TimeDelta, Utc};
use std::ops::ControlFlow;
use std::time::Instant;

/// Longer than any lease.
const LATER: TimeDelta = TimeDelta::minutes(1);

impl Bench {
    /// A heartbeat `later` from now by the wall clock, when no thread has been silent for long.
    async fn beat(&self, later: TimeDelta) {
        beat(&self.engine.pool.shared, Instant::now(), Utc::now() + later, &mut 1).await.unwrap();
    }

    /// A heartbeat in a distant future, when every thread has been silent for too long.
    async fn beat_after_silence(&self) {
        let now = Instant::now() + 2 * HANG;
        beat(&self.engine.pool.shared, now, Utc::now() + LATER, &mut 1).await.unwrap();
    }
}

#[tokio::test]
async fn a_run_whose_thread_gives_signs_of_life_stays_with_it_however_long_it_takes() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    bench.submit(run.clone()).await;
    let mut desk = bench.desk().await;
    for beats in 1..9 {
        bench.beat(LATER * beats).await;
        desk.goes_on_after(Step::Batch).await;
    }
    desk.publish().await;
    let ended = bench.end_of(run.id).await;
    assert_eq!((ended.status, ended.attempt), (Status::Succeeded, 1));
}

#[tokio::test]
async fn a_thread_that_hangs_loses_its_run_to_another_that_takes_its_place() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    let mut heard = bench.submit(run.clone()).await;
    let mut hung = bench.desk().await;
    bench.beat_after_silence().await;
    heard.until(Status::Running).await;
    assert_eq!(heard.until(Status::Queued).await.data["reason"], "lease_expired");
    let mut desk = bench.desk().await;
    assert_eq!((desk.run.id, desk.run.attempt, desk.thread.as_str()), (run.id, 2, "lethe-train-2"));
    desk.goes_on_after(Step::Epoch(1, 0.5)).await;
    // it wakes up: nothing it says is heard, and its successor does not notice
    hung.stops_after(Step::Epoch(1, 0.9)).await;
    desk.goes_on_after(Step::Epoch(2, 0.6)).await;
    let canceled = bench.engine.cancel(run.id).await.unwrap();
    assert!(matches!(canceled, super::super::Asked::Underway(_)), "the successor can be reached");
    desk.stops_after(Step::Batch).await;
    let ended = bench.end_of(run.id).await;
    assert_eq!((ended.status, ended.best.unwrap().value), (Status::Canceled, 0.6));
    assert_consistent(&bench.engine.store, run.id).await;
}

#[tokio::test]
async fn a_thread_that_hung_ends_when_it_wakes_up_and_shutting_down_does_not_wait_for_it() {
    let (_dir, mut bench) = Bench::new(1).await;
    bench.submit(train_run("m")).await;
    let hung = bench.desk().await;
    bench.beat_after_silence().await;
    bench.desk().await.publish().await;
    let mut n_alive = bench.engine.pool.shared.n_alive.subscribe();
    assert_eq!(*n_alive.borrow_and_update(), 1, "only its successor counts");
    hung.publish().await;
    let next = train_run("n");
    bench.submit(next.clone()).await;
    let desk = bench.desk().await;
    assert_eq!(desk.thread, "lethe-train-2");
    desk.publish().await;
    bench.end_of(next.id).await;
    bench.engine.shutdown().await;
    assert_eq!(*n_alive.borrow_and_update(), 0);
}

#[tokio::test]
async fn a_cancel_of_a_run_whose_thread_hangs_is_carried_out_when_the_lease_ends() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    bench.submit(run.clone()).await;
    let mut hung = bench.desk().await;
    bench.engine.cancel(run.id).await.unwrap();
    bench.beat_after_silence().await;
    assert_eq!(bench.engine.store.run(run.id).await.unwrap().status, Status::Canceled);
    assert_eq!(hung.step(Step::Batch).await, Some(ControlFlow::Break(())));
    assert_consistent(&bench.engine.store, run.id).await;
}

#[tokio::test]
async fn a_run_that_nobody_holds_is_taken_up_when_its_lease_ends_and_not_before() {
    let (_dir, mut bench) = Bench::new(1).await;
    let (busy, run) = (train_run("busy"), train_run("m"));
    bench.submit(busy.clone()).await;
    let desk = bench.desk().await;
    let store = bench.engine.store.clone();
    store.insert_run(run.clone()).await.unwrap();
    // claimed by a worker that is gone
    let terms = Terms { until: Utc::now() + LATER, ..FOR_EVER };
    assert_eq!(store.claim(terms).await.unwrap().unwrap().0.id, run.id);
    bench.beat(TimeDelta::zero()).await;
    assert_eq!(store.run(run.id).await.unwrap().status, Status::Running);
    bench.beat(LATER + LATER).await;
    assert_eq!(store.run(run.id).await.unwrap().status, Status::Queued);
    desk.publish().await;
    assert_eq!(bench.desk().await.run.attempt, 2);
}

#[tokio::test]
async fn runs_at_work_together_need_less_memory_than_there_is() {
    let (dir, store) = open().await;
    let mut bench = Bench::within(store, dir.path(), Limits { train_threads: 3, memory: 100 }).await;
    let need = |memory_bytes| Run { memory_bytes, ..train_run("m") };
    let (first, large, small) = (need(60), need(50), need(1));
    bench.submit(first.clone()).await;
    let one = bench.desk().await;
    bench.submit(large.clone()).await;
    bench.submit(small.clone()).await;
    // a thread had looked at both by the time this is answered
    bench.engine.pool.shared.renew(Utc::now()).await.unwrap();
    assert!(bench.no_desk_yet(), "the second waits for memory, and the third may not overtake it");
    one.publish().await;
    let (two, three) = (bench.desk().await, bench.desk().await);
    let mut started = [two.run.id, three.run.id];
    started.sort_unstable();
    assert_eq!(started, [large.id, small.id]);
    two.publish().await;
    three.publish().await;
}

#[tokio::test]
async fn a_run_that_needs_more_memory_than_there_is_works_alone() {
    let (dir, store) = open().await;
    let mut bench = Bench::within(store, dir.path(), Limits { train_threads: 2, memory: 100 }).await;
    let (huge, small) =
        (Run { memory_bytes: 101, ..train_run("m") }, Run { memory_bytes: 1, ..train_run("m") });
    bench.submit(huge.clone()).await;
    bench.submit(small.clone()).await;
    let desk = bench.desk().await;
    assert_eq!(desk.run.id, huge.id);
    desk.publish().await;
    let desk = bench.desk().await;
    assert_eq!(desk.run.id, small.id);
    desk.publish().await;
}
