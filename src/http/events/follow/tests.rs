//! How a stream settles what it missed, and when it ends.

use super::super::event_stream;
use super::super::feed::Line;
use super::super::fixtures::{phases, queued_run};
use super::*;
use crate::domain::{Event, Status};
use crate::http::state::tests::idle_app;
use crate::store::{Retention, RunChange, Scope, Store};
use axum::body::BodyDataStream;
use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::sync::broadcast::{Sender, channel};

struct Bench {
    app: AppState,
    store: Store,
    run: Run,
    _dir: TempDir,
}

impl Bench {
    /// A run that is at work.
    async fn new() -> Self {
        let (app, _dir) = idle_app().await;
        let store = app.engine.store.clone();
        let (run, _) = store.insert_run(queued_run()).await.unwrap();
        let (run, _) = store.advance(run.id, None, RunChange::to(Status::Running), vec![]).await.unwrap();
        Self { app, store, run, _dir }
    }

    async fn happens(&self, n: usize) -> Vec<Event> {
        self.store.advance(self.run.id, None, RunChange::default(), phases(n)).await.unwrap().1
    }

    fn read(&self, after: u64, heard: Receiver<Arc<Batch>>, every: Duration) -> BodyDataStream {
        let reader = Reader {
            selection: Selection { scope: Scope::Run(self.run.id), kinds: None },
            after,
            runs: vec![self.run.clone()],
            greet: after == 0,
            heard: Some(heard),
            permit: self.app.streams.clone().try_acquire_owned().unwrap(),
            every,
        };
        event_stream(follow(self.app.clone(), reader)).into_body().into_data_stream()
    }
}

fn tell(sender: &Sender<Arc<Batch>>, events: &[Event]) {
    let line = |event: &Event| Line {
        run: event.run,
        kind: event.kind,
        number: Some(event.seq),
        frame: frame::durable(event, event.seq),
    };
    let batch = Batch { after: events[0].seq - 1, lines: events.iter().map(line).collect() };
    sender.send(Arc::new(batch)).unwrap();
}

async fn text(body: &mut BodyDataStream) -> Option<String> {
    Some(String::from_utf8(body.next().await?.unwrap().to_vec()).unwrap())
}

/// Reads ids until `last` has been seen, or the end.
async fn ids(body: &mut BodyDataStream, last: u64) -> Vec<u64> {
    let mut ids = Vec::new();
    while ids.last() != Some(&last) {
        let Some(text) = text(body).await else { break };
        ids.extend(text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse::<u64>().ok()));
    }
    ids
}

#[tokio::test]
async fn what_a_reader_misses_or_hears_twice_is_settled_by_the_table() {
    let bench = Bench::new().await;
    let before = bench.happens(3).await;
    let (sender, receiver) = channel(2);
    // heard although the table has them: they must not come twice
    tell(&sender, &before[..2]);
    let mut body = bench.read(1, receiver, HEARTBEAT);
    assert_eq!(ids(&mut body, 5).await, [2, 3, 4, 5]);
    let live = bench.happens(1).await;
    tell(&sender, &live);
    assert_eq!(ids(&mut body, 6).await, [6]);
    // a batch that does not follow
    let skipped = bench.happens(3).await;
    tell(&sender, &skipped[2..]);
    assert_eq!(ids(&mut body, 9).await, [7, 8, 9]);
    // more of them than the channel holds
    for event in bench.happens(5).await {
        tell(&sender, &[event]);
    }
    assert_eq!(ids(&mut body, 14).await, [10, 11, 12, 13, 14]);
    // nobody told of the last ones
    bench.store.advance(bench.run.id, None, RunChange::to(Status::Succeeded), vec![]).await.unwrap();
    drop(sender);
    assert_eq!(ids(&mut body, u64::MAX).await, [15, 16]);
}

#[tokio::test]
async fn a_slow_reader_is_fed_from_the_table_a_page_at_a_time() {
    let bench = Bench::new().await;
    let (sender, receiver) = channel(2);
    let mut body = bench.read(2, receiver, HEARTBEAT);
    assert!(text(&mut body).await.unwrap().contains(": ok"));
    for event in bench.happens(1_000).await {
        tell(&sender, &[event]);
    }
    let mut seen = Vec::new();
    while seen.last() != Some(&1_002) {
        let page: Vec<u64> = text(&mut body)
            .await
            .unwrap()
            .lines()
            .filter_map(|line| line.strip_prefix("id: ")?.parse().ok())
            .collect();
        assert!(page.len() <= PAGE as usize, "{} events held for one reader", page.len());
        seen.extend(page);
    }
    assert_eq!(seen, (3..=1_002).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_reader_that_is_too_slow_for_what_is_kept_is_told() {
    let bench = Bench::new().await;
    let other = bench.store.insert_run(queued_run()).await.unwrap().0;
    let (sender, receiver) = channel::<Arc<Batch>>(2);
    let reader = Reader {
        selection: Selection { scope: Scope::All, kinds: None },
        after: 3,
        runs: vec![],
        greet: false,
        heard: Some(receiver),
        permit: bench.app.streams.clone().try_acquire_owned().unwrap(),
        every: HEARTBEAT,
    };
    let mut body = event_stream(follow(bench.app.clone(), reader)).into_body().into_data_stream();
    assert!(text(&mut body).await.unwrap().contains(": ok"));
    bench.happens(20).await;
    bench.store.advance(other.id, None, RunChange::to(Status::Canceled), vec![]).await.unwrap();
    bench.store.prune(Retention { events: 5, days: None }, Utc::now()).await.unwrap();
    drop(sender);
    let told = text(&mut body).await.unwrap();
    let reset = r#"event: reset
data: {"reason":"pruned","cursor":3,"oldest":21,"latest":25}"#;
    assert!(told.starts_with(reset), "{told}");
    let numbers: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(numbers, ["21", "22", "23", "24", "25"]);
}

/// Regression: such a reader was given heartbeats for ever.
#[tokio::test]
async fn a_reader_whose_run_is_deleted_before_it_hears_the_end_is_let_go() {
    for scope_of in [Scope::Run, |run| Scope::Runs(vec![run])] {
        let bench = Bench::new().await;
        let scope = scope_of(bench.run.id);
        let (sender, receiver) = channel::<Arc<Batch>>(2);
        let reader = Reader {
            selection: Selection { scope, kinds: None },
            after: 0,
            runs: vec![bench.run.clone()],
            greet: true,
            heard: Some(receiver),
            permit: bench.app.streams.clone().try_acquire_owned().unwrap(),
            every: HEARTBEAT,
        };
        let mut body = event_stream(follow(bench.app.clone(), reader)).into_body().into_data_stream();
        assert!(text(&mut body).await.unwrap().contains(": ok"));
        assert!(text(&mut body).await.unwrap().contains("event: snapshot"));
        bench.store.advance(bench.run.id, None, RunChange::to(Status::Succeeded), vec![]).await.unwrap();
        bench.store.delete_run(bench.run.id).await.unwrap();
        drop(sender);
        assert_eq!(ids(&mut body, u64::MAX).await, [] as [u64; 0]);
    }
}

#[tokio::test]
async fn an_ending_server_ends_its_streams() {
    let bench = Bench::new().await;
    let (_sender, receiver) = channel(2);
    let mut body = bench.read(0, receiver, HEARTBEAT);
    assert_eq!(ids(&mut body, 2).await, [1, 2]);
    bench.app.shutdown.cancel();
    assert_eq!(ids(&mut body, u64::MAX).await, [] as [u64; 0]);
}

#[tokio::test]
async fn a_quiet_stream_beats_and_pings_at_every_second_beat() {
    assert_eq!(HEARTBEAT, Duration::from_secs(15));
    let bench = Bench::new().await;
    let (_sender, receiver) = channel(2);
    let mut body = bench.read(2, receiver, Duration::from_millis(2));
    let mut seen = Vec::new();
    while seen.len() < 7 {
        let chunk = text(&mut body).await.unwrap();
        assert!(!chunk.contains("id:"), "{chunk}");
        seen.push(if chunk.contains("event: ping") { "ping" } else { "comment" });
    }
    let (beat, ping) = ("comment", "ping");
    assert_eq!(seen, ["comment", beat, beat, ping, beat, beat, ping]);
}
