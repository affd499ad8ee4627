//! Cursors, and how a stream settles what it missed.

use super::*;

fn last_event_id(value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(LAST_EVENT_ID, HeaderValue::from_static(value))])
}

#[test]
fn the_header_goes_before_the_query() {
    assert_eq!(cursor(&last_event_id("7"), Some("3")).unwrap(), Some(7));
    assert_eq!(cursor(&last_event_id(""), Some("3")).unwrap(), Some(3));
    assert_eq!(cursor(&HeaderMap::new(), None).unwrap(), None);
}

#[test]
fn what_is_no_event_number_is_a_bad_cursor() {
    for text in ["-1", "+1", "1.5", "one", " 1", "99999999999999999999", ""] {
        let problem = cursor(&HeaderMap::new(), Some(text)).unwrap_err();
        assert_eq!(problem.code, Code::InvalidCursor, "{text}");
    }
}

mod following {
    use super::*;
    use crate::domain::{DatasetRef, Source, Status, Train, Work};
    use crate::http::state::tests::idle_app;
    use crate::nn::{Recipe, Standard};
    use crate::store::{NewEvent, RunChange};
    use futures_util::StreamExt;
    use std::sync::Arc;
    use tokio::sync::broadcast;

    fn queued_run() -> Run {
        let recipe = Recipe::Standard(Standard::new(1));
        let dataset = DatasetRef {
            name: "digits".into(),
            version: 1,
            digest: "sha256:00".into(),
            source: Source::Embedded,
        };
        Run::queued(Work::Train(Train { recipe, forked_from: None }), "m", dataset, 1)
    }

    fn phases(n: usize) -> Vec<NewEvent> {
        vec![NewEvent { kind: EventKind::Phase, data: json!({}) }; n]
    }

    /// Reads ids until `last` has been seen, or the end.
    async fn ids(body: &mut axum::body::BodyDataStream, last: u64) -> Vec<u64> {
        let mut ids = Vec::new();
        while ids.last() != Some(&last) {
            let Some(chunk) = body.next().await else { break };
            let text = String::from_utf8(chunk.unwrap().to_vec()).unwrap();
            ids.extend(text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse::<u64>().ok()));
        }
        ids
    }

    #[tokio::test]
    async fn what_a_reader_misses_or_hears_twice_is_settled_by_the_table() {
        let (app, _dir) = idle_app().await;
        let store = app.engine.store.clone();
        let (run, _) = store.insert_run(queued_run()).await.unwrap();
        let change = RunChange::to(Status::Running);
        let (run, before) = store.advance(run.id, None, change, phases(3)).await.unwrap();
        let (sender, receiver) = broadcast::channel(2);
        let tell = |event: &Event| sender.send(Notice::Durable(Arc::new(event.clone()))).unwrap();
        let permit = app.streams.clone().try_acquire_owned().unwrap();
        // heard although the table has them: they must not come twice
        tell(&before[1]);
        tell(&before[2]);
        let frames = follow(app.clone(), run.clone(), Some(1), receiver, permit, HEARTBEAT);
        let mut body = event_stream(frames).into_body().into_data_stream();
        assert_eq!(ids(&mut body, 5).await, [2, 3, 4, 5]);

        // more than the channel holds: the reader has lagged
        let (_, lost) = store.advance(run.id, None, RunChange::default(), phases(9)).await.unwrap();
        for event in &lost {
            tell(event);
        }
        assert_eq!(ids(&mut body, 14).await, (6..=14).collect::<Vec<_>>());

        // one that was never told, seen by the number of the next
        let (_, gap) = store.advance(run.id, None, RunChange::default(), phases(2)).await.unwrap();
        tell(&gap[1]);
        assert_eq!(ids(&mut body, 16).await, [15, 16]);

        // the channel closes before `done` is heard
        store.advance(run.id, None, RunChange::to(Status::Succeeded), vec![]).await.unwrap();
        drop(sender);
        assert_eq!(ids(&mut body, u64::MAX).await, [17, 18]);
    }

    /// Regression: such a reader was given heartbeats for ever.
    #[tokio::test]
    async fn a_reader_whose_run_is_deleted_before_it_hears_the_end_is_let_go() {
        let (app, _dir) = idle_app().await;
        let store = app.engine.store.clone();
        let (run, _) = store.insert_run(queued_run()).await.unwrap();
        let (sender, receiver) = broadcast::channel(2);
        let permit = app.streams.clone().try_acquire_owned().unwrap();
        let frames = follow(app.clone(), run.clone(), None, receiver, permit, HEARTBEAT);
        let mut body = event_stream(frames).into_body().into_data_stream();
        assert_eq!(ids(&mut body, 1).await, [1]);
        store.advance(run.id, None, RunChange::to(Status::Canceled), vec![]).await.unwrap();
        store.delete_run(run.id).await.unwrap();
        drop(sender);
        assert_eq!(ids(&mut body, u64::MAX).await, [] as [u64; 0]);
    }

    #[tokio::test]
    async fn an_ending_server_ends_its_streams() {
        let (app, _dir) = idle_app().await;
        let (run, _) = app.engine.store.insert_run(queued_run()).await.unwrap();
        let (_sender, receiver) = broadcast::channel(2);
        let permit = app.streams.clone().try_acquire_owned().unwrap();
        let frames = follow(app.clone(), run, None, receiver, permit, HEARTBEAT);
        let mut body = event_stream(frames).into_body().into_data_stream();
        assert_eq!(ids(&mut body, 1).await, [1]);
        app.shutdown.cancel();
        assert_eq!(ids(&mut body, u64::MAX).await, [] as [u64; 0]);
    }

    #[tokio::test]
    async fn a_quiet_stream_beats_and_pings_at_every_second_beat() {
        assert_eq!(HEARTBEAT, Duration::from_secs(15));
        let (app, _dir) = idle_app().await;
        let (run, _) = app.engine.store.insert_run(queued_run()).await.unwrap();
        let (_sender, receiver) = broadcast::channel(2);
        let permit = app.streams.clone().try_acquire_owned().unwrap();
        let frames = follow(app.clone(), run, Some(1), receiver, permit, Duration::from_millis(2));
        let mut body = event_stream(frames).into_body().into_data_stream();
        let mut seen = Vec::new();
        while seen.len() < 7 {
            let chunk = String::from_utf8(body.next().await.unwrap().unwrap().to_vec()).unwrap();
            assert!(!chunk.contains("id:"), "{chunk}");
            seen.push(if chunk.contains("event: ping") { "ping" } else { "comment" });
        }
        let (beat, ping) = ("comment", "ping");
        assert_eq!(seen, ["comment", beat, beat, ping, beat, beat, ping]);
    }
}
