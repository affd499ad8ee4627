use super::super::hub::Hub;
use super::script::{Bench, Step};
use crate::domain::{EventKind, Status};
use crate::store::fixtures::{assert_consistent, train_run};
use std::time::Instant;
use uuid::Uuid;

#[tokio::test]
async fn batches_are_whispered_at_most_four_times_a_second() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    let mut heard = bench.submit(run.clone()).await;
    let mut desk = bench.desk().await;
    let started = Instant::now();
    for _ in 0..2_000 {
        desk.goes_on_after(Step::Batch).await;
    }
    let at_most = 1 + started.elapsed().as_millis() / 250;
    let whispers = heard.whispers();
    assert!((1..=at_most).contains(&(whispers.len() as u128)), "{} of {at_most}", whispers.len());
    let (kind, data) = &whispers[0];
    assert_eq!(*kind, EventKind::Batch);
    assert_eq!((&data["epoch"], &data["batch"], &data["loss"]), (&1.into(), &1.into(), &1.0.into()));
    assert!(data.get("seq").is_none(), "what is not stored has no number");
    assert_eq!(bench.engine.store.run(run.id).await.unwrap().last_seq, 2);
}

#[tokio::test]
async fn the_end_is_foreseen_while_a_run_is_at_work() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    bench.submit(run.clone()).await;
    let mut desk = bench.desk().await;
    assert_eq!(bench.engine.estimated_finish(run.id), None);
    desk.goes_on_after(Step::Epoch(1, 0.5)).await;
    let foreseen = bench.engine.estimated_finish(run.id).unwrap();
    assert!(foreseen >= desk.run.started_at.unwrap());
    desk.publish().await;
    bench.end_of(run.id).await;
    assert_eq!(bench.engine.estimated_finish(run.id), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_stay_gapless_and_in_order_while_cancel_and_progress_race() {
    let (_dir, mut bench) = Bench::new(1).await;
    for n_epochs in 0..20 {
        let run = train_run("m");
        let heard = bench.submit(run.clone()).await;
        let mut desk = bench.desk().await;
        let cancel = tokio::spawn({
            let engine = bench.engine.clone();
            async move {
                for _ in 0..n_epochs {
                    tokio::task::yield_now().await;
                }
                engine.cancel(run.id).await.unwrap()
            }
        });
        for epoch in 1.. {
            if desk.step(Step::Epoch(epoch, 0.5)).await.unwrap().is_break() {
                break;
            }
        }
        cancel.await.unwrap();
        let numbers: Vec<u64> = heard.into_events().await.iter().map(|event| event.seq).collect();
        let ended = bench.engine.store.run(run.id).await.unwrap();
        assert_eq!(ended.status, Status::Canceled);
        assert_eq!(numbers, (1..=ended.last_seq).collect::<Vec<_>>());
        assert_consistent(&bench.engine.store, run.id).await;
    }
}

#[tokio::test]
async fn a_listener_that_goes_away_does_not_touch_the_run() {
    let (_dir, mut bench) = Bench::new(1).await;
    let run = train_run("m");
    drop(bench.submit(run.clone()).await);
    let mut desk = bench.desk().await;
    desk.goes_on_after(Step::Epoch(1, 0.5)).await;
    let mut late = super::script::Heard(bench.engine.subscribe(run.id));
    desk.publish().await;
    assert_eq!(late.next_event().await.unwrap().kind, EventKind::Model);
}

#[test]
fn channels_nobody_listens_to_are_cleared_away() {
    let hub = Hub::new();
    let kept: Vec<_> = (0..10).map(|_| hub.subscribe(Uuid::now_v7())).collect();
    for _ in 0..10_000 {
        drop(hub.subscribe(Uuid::now_v7()));
    }
    assert!(hub.n_channels() <= 64, "{}", hub.n_channels());
    drop(kept);
}

#[test]
fn a_whisper_nobody_hears_is_not_even_made() {
    let hub = Hub::new();
    let run = Uuid::now_v7();
    hub.whisper(run, EventKind::Batch, || panic!("nobody listens"));
    drop(hub.subscribe(run));
    hub.whisper(run, EventKind::Batch, || panic!("nobody listens any more"));
}
