use super::super::fixtures::{phases, queued_run};
use super::*;
use crate::http::state::tests::idle_app;
use crate::store::RunChange;
use serde_json::json;

/// A feed of all runs with one reader, and the end of the line it listens to.
async fn feed(app: &AppState) -> (Sender<Notice>, Receiver<Arc<Batch>>) {
    let (teller, notices) = channel(4);
    let (group, reader) = channel(CAPACITY);
    app.feeds.lock().insert(Scope::All, vec![group]);
    tokio::spawn(run(app.clone(), Scope::All, notices));
    // it has begun once it has told something
    (teller, reader)
}

fn numbers(batch: &Batch) -> Vec<u64> {
    batch.lines.iter().filter_map(|line| line.number).collect()
}

#[tokio::test]
async fn what_a_feed_hears_twice_or_misses_is_settled_by_the_table() {
    let (app, _dir) = idle_app().await;
    let store = app.engine.store.clone();
    let (run, first) = store.insert_run(queued_run()).await.unwrap();
    let (teller, mut reader) = feed(&app).await;
    let tell = |event: &Event| teller.send(Notice::Durable(Arc::new(event.clone()))).unwrap();
    let change = RunChange::default();
    // told the end by the table if it is late, by what it hears otherwise
    let (_, events) = store.advance(run.id, None, change.clone(), phases(1)).await.unwrap();
    let last = events[0].clone();
    tokio::task::yield_now().await;
    tell(&first);
    tell(&last);
    let (_, missed) = store.advance(run.id, None, change.clone(), phases(300)).await.unwrap();
    tell(missed.last().unwrap());
    let mut heard = Vec::new();
    let mut told = None;
    while heard.last() != Some(&302) {
        let batch = reader.recv().await.unwrap();
        assert!(told.is_none_or(|told| told == batch.after), "batches follow each other");
        told = numbers(&batch).last().copied().or(told);
        heard.extend(numbers(&batch));
    }
    assert!(heard.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{heard:?}");
    assert!(heard.len() >= 300, "{}", heard.len());

    // more than the line holds
    let (_, more) = store.advance(run.id, None, change, phases(10)).await.unwrap();
    for event in &more {
        tell(event);
    }
    let mut after = Vec::new();
    while after.last() != Some(&312) {
        after.extend(numbers(&reader.recv().await.unwrap()));
    }
    assert_eq!(after, (303..=312).collect::<Vec<_>>());
}

#[tokio::test]
async fn of_ephemeral_events_only_the_newest_is_handed_on() {
    let (app, _dir) = idle_app().await;
    let (teller, mut reader) = feed(&app).await;
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    for (run, n) in [(one, 1), (two, 2), (one, 3)] {
        let data = Arc::new(json!({ "n": n }));
        teller.send(Notice::Ephemeral { run, kind: EventKind::Batch, data }).unwrap();
    }
    let batch = reader.recv().await.unwrap();
    let frames: Vec<_> = batch.lines.iter().map(|line| (line.run, line.frame.clone())).collect();
    let frame = |n: u32| Bytes::from(format!("event: batch\ndata: {{\"n\":{n}}}\n\n"));
    assert_eq!(frames, [(two, frame(2)), (one, frame(3))]);
}

#[tokio::test]
async fn readers_share_the_bytes_of_an_event() {
    let (app, _dir) = idle_app().await;
    let mut readers: Vec<_> = (0..2 * GROUP).map(|_| Feeds::subscribe(&app, &Scope::All)).collect();
    // a feed that has begun hears what is submitted; one that has not finds it in the table
    while app.feeds.n_groups(&Scope::All) == 0 || readers[0].is_empty() {
        app.engine.submit(queued_run()).await.unwrap();
    }
    let mut addresses = Vec::new();
    for reader in &mut readers {
        addresses.push(reader.recv().await.unwrap().lines[0].frame.as_ptr());
    }
    addresses.dedup();
    assert_eq!(addresses.len(), 1);
}

#[tokio::test]
async fn readers_sit_in_groups_and_a_feed_nobody_reads_is_forgotten() {
    let (app, _dir) = idle_app().await;
    let run = Scope::Run(Uuid::now_v7());
    let mut readers: Vec<_> = (0..=2 * GROUP).map(|_| Feeds::subscribe(&app, &run)).collect();
    assert_eq!(app.feeds.n_groups(&run), 3);
    readers.drain(..GROUP);
    // their places are taken before there is a new group
    readers.extend((0..GROUP).map(|_| Feeds::subscribe(&app, &run)));
    assert_eq!(app.feeds.n_groups(&run), 3);
    assert!(!app.feeds.sweep(&run));
    drop(readers);
    assert!(app.feeds.sweep(&run));
    assert_eq!(app.feeds.n_groups(&run), 0);
}

#[tokio::test]
async fn a_feed_closes_behind_the_end_of_its_run() {
    let (app, _dir) = idle_app().await;
    let run = app.engine.submit(queued_run()).await.unwrap();
    let scope = Scope::Run(run.id);
    let mut reader = Feeds::subscribe(&app, &scope);
    app.engine.cancel(run.id).await.unwrap();
    while reader.recv().await.is_ok() {}
    assert_eq!(app.feeds.n_groups(&scope), 0);
}
