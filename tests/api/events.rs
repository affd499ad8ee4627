//! One log, three forms; and a stream that may be cut anywhere.

use crate::support::{Frame, MAX_STREAMS, TestApp, endless_training, small_training};
use lethe::domain::EventKind;
use lethe::store::{NewEvent, Retention};
use serde_json::{Value, json};

fn phase(n: u64) -> NewEvent {
    NewEvent { kind: EventKind::Phase, data: json!({ "phase": "test", "n": n }) }
}

fn phases(n: u64) -> Vec<NewEvent> {
    (0..n).map(phase).collect()
}

fn durable(frames: &[Frame]) -> Vec<(u64, String, Value)> {
    let with_id = frames.iter().filter(|frame| frame.id.is_some());
    with_id.map(|frame| (frame.id.unwrap(), frame.event.clone(), frame.data.clone())).collect()
}

fn logged(log: &[Value]) -> Vec<(u64, String, Value)> {
    log.iter()
        .map(|event| {
            (event["seq"].as_u64().unwrap(), event["event"].as_str().unwrap().into(), event["data"].clone())
        })
        .collect()
}

#[tokio::test]
async fn a_stream_begins_with_retry_a_comment_and_the_headers_proxies_need() {
    let app = TestApp::start().await;
    let run = app.train("digits", 1).await;
    let path = format!("/runs/{}/events", run["id"].as_str().unwrap());
    let answer = app.get_as(&path, "text/event-stream").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.header("cache-control"), "no-cache, no-transform");
    assert_eq!(answer.header("x-accel-buffering"), "no");
    let first = answer.text().split("\n\n").next().unwrap().to_owned();
    assert!(first.contains("retry: 2000"), "{first}");
    assert!(first.contains(": ok"), "{first}");
}

#[tokio::test]
async fn without_a_cursor_a_snapshot_comes_first_and_then_the_whole_log() {
    let app = TestApp::start().await;
    let run = app.train("digits", 2).await;
    let id = run["id"].as_str().unwrap();
    let (_, frames) = app.stream(&format!("/runs/{id}/events"), None).await;
    let frames = frames.rest().await;
    assert_eq!(frames[0].retry, Some(2000));
    assert_eq!((frames[1].event.as_str(), frames[1].id), ("snapshot", None));
    assert_eq!(frames[1].data, app.get(&format!("/runs/{id}")).await.json());
    let events = durable(&frames);
    assert_eq!(events, logged(&app.log(id).await));
    assert_eq!(events.first().unwrap().1, "status");
    assert_eq!(events.last().unwrap().1, "done");
    assert_eq!(events.iter().filter(|event| event.1 == "epoch").count(), 2);
    assert!(events.iter().any(|event| event.1 == "model"), "{events:?}");
}

#[tokio::test]
async fn a_stream_killed_and_resumed_at_every_boundary_yields_exactly_the_full_sequence() {
    let app = TestApp::start().await;
    let run = app.post("/runs", &small_training("digits", 6)).await.json();
    let path = format!("/runs/{}/events", run["id"].as_str().unwrap());
    // while it happens: one durable event a connection
    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let (status, mut frames) = app.stream(&path, last).await;
        if status == 204 {
            break;
        }
        let frame = frames.next_durable().await.expect("a stream ends behind `done` only");
        last = frame.id;
        seen.push(frame);
    }
    let log = logged(&app.log(run["id"].as_str().unwrap()).await);
    assert_eq!(durable(&seen), log);
    assert!(log.len() >= 6 + 4, "{log:?}");

    // and afterwards: from every cursor exactly the rest
    for cursor in 0..log.len() as u64 {
        let (_, by_header) = app.stream(&path, Some(cursor)).await;
        let (_, by_query) = app.stream(&format!("{path}?after={cursor}"), None).await;
        let rest = &log[cursor as usize..];
        assert_eq!(durable(&by_header.rest().await), rest, "Last-Event-ID: {cursor}");
        assert_eq!(durable(&by_query.rest().await), rest, "?after={cursor}");
    }
}

#[tokio::test]
async fn after_done_a_reconnect_is_told_to_stop() {
    let app = TestApp::start().await;
    let run = app.train("digits", 1).await;
    let path = format!("/runs/{}/events", run["id"].as_str().unwrap());
    let (status, frames) = app.stream(&path, run["last_seq"].as_u64()).await;
    assert_eq!(status, 204);
    assert!(frames.rest().await.is_empty());
}

#[tokio::test]
async fn a_cursor_beyond_the_end_is_reset_in_band() {
    let app = TestApp::start().await;
    let run = app.train("digits", 1).await;
    let id = run["id"].as_str().unwrap();
    let (status, frames) = app.stream(&format!("/runs/{id}/events"), Some(10_000)).await;
    assert_eq!(status, 200);
    let frames = frames.rest().await;
    let names: Vec<_> = frames[1..3].iter().map(|frame| (frame.event.as_str(), frame.id)).collect();
    assert_eq!(names, [("reset", None), ("snapshot", None)]);
    assert_eq!(frames[1].data["latest"], run["last_seq"]);
    assert_eq!(durable(&frames), logged(&app.log(id).await));
}

#[tokio::test]
async fn the_header_goes_before_the_query() {
    let app = TestApp::start().await;
    let id = app.parked_run(phases(5)).await;
    let (_, mut frames) = app.stream(&format!("/runs/{id}/events?after=1"), Some(4)).await;
    assert_eq!(frames.next_durable().await.unwrap().id, Some(5));
}

#[tokio::test]
async fn a_cursor_that_is_no_number_is_refused() {
    let app = TestApp::start().await;
    let id = app.parked_run(vec![]).await;
    for after in ["-1", "x", "1.5", "", "184467440737095516160"] {
        app.get(&format!("/runs/{id}/events?after={after}")).await.problem(400, "invalid_cursor");
    }
    app.get(&format!("/runs/{id}/events?from=3")).await.problem(400, "invalid_parameter");
}

#[tokio::test]
async fn a_stream_of_no_run_is_a_404_before_it_begins() {
    let app = TestApp::start().await;
    let id = uuid::Uuid::now_v7();
    for accept in ["text/event-stream", "application/json", "application/x-ndjson"] {
        app.get_as(&format!("/runs/{id}/events"), accept).await.problem(404, "run_not_found");
    }
    app.get_as(&format!("/runs/{id}/events"), "image/png").await.problem(406, "not_acceptable");
}

#[tokio::test]
async fn json_pages_follow_their_cursor_to_the_end() {
    let app = TestApp::start().await;
    let id = app.parked_run(phases(10)).await;
    let (mut after, mut seqs) = ("0".to_owned(), Vec::new());
    loop {
        let path = format!("/runs/{id}/events?limit=4&after={after}");
        let page = app.get_as(&path, "application/json").await.json();
        seqs.extend(page["data"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()));
        if page["has_more"] == false {
            assert_eq!(page["next"], Value::Null);
            break;
        }
        after = page["next"].as_str().unwrap().to_owned();
    }
    assert_eq!(seqs, (1..=12).collect::<Vec<_>>());
    for limit in ["0", "1001", "x"] {
        let path = format!("/runs/{id}/events?limit={limit}");
        app.get_as(&path, "application/json").await.problem(400, "invalid_parameter");
    }
}

#[tokio::test]
async fn ndjson_is_the_whole_log_a_line_an_event() {
    let app = TestApp::start().await;
    // more than one chunk of the table
    let id = app.parked_run(phases(700)).await;
    let answer = app.get_as(&format!("/runs/{id}/events"), "application/x-ndjson").await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seqs: Vec<_> = lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=702).collect::<Vec<_>>());
    let rest = app.get_as(&format!("/runs/{id}/events?after=700"), "application/x-ndjson").await;
    assert_eq!(rest.text().lines().count(), 2);
}

#[tokio::test]
async fn a_running_run_is_followed_live_with_ephemeral_batches_that_have_no_id() {
    let app = TestApp::start().await;
    let run = app.post("/runs", &endless_training()).await.json();
    let path = format!("/runs/{}/events", run["id"].as_str().unwrap());
    let (_, mut frames) = app.stream(&path, None).await;
    let (mut batch, mut epoch) = (None, None);
    while batch.is_none() || epoch.is_none() {
        let frame = frames.next_event().await.unwrap();
        match frame.event.as_str() {
            "batch" => batch = Some(frame),
            "epoch" => epoch = Some(frame),
            _ => {}
        }
    }
    assert_eq!(batch.unwrap().id, None);
    let epoch = epoch.unwrap();
    assert_eq!(epoch.data["seq"].as_u64(), epoch.id);
    assert_eq!(epoch.data["run"], run["id"]);
    for measure in ["train_loss", "train_accuracy", "test_loss", "test_accuracy", "lr", "elapsed_s", "eta_s"]
    {
        assert!(epoch.data[measure].is_number(), "{measure} in {}", epoch.data);
    }

    // closing the stream does not touch the run; cancelling it ends every stream with `done`
    drop(frames);
    let (_, frames) = app.stream(&path, None).await;
    let canceled = app.post(&format!("/runs/{}/cancel", run["id"].as_str().unwrap()), &json!({})).await;
    assert_eq!(canceled.status, 202, "the run went on without its reader: {}", canceled.text());
    let frames = frames.rest().await;
    let done = frames.last().unwrap();
    assert_eq!((done.event.as_str(), &done.data["status"]), ("done", &json!("canceled")));
}

#[tokio::test]
async fn beyond_the_bound_a_stream_is_told_to_come_back_later() {
    let app = TestApp::start().await;
    let id = app.parked_run(vec![]).await;
    let path = format!("/runs/{id}/events");
    let mut open = Vec::new();
    for _ in 0..MAX_STREAMS {
        open.push(app.stream(&path, None).await);
    }
    let (status, frames) = app.stream(&path, None).await;
    let frames = frames.rest().await;
    assert_eq!((status.as_u16(), frames.len(), frames[0].retry), (200, 1, Some(30_000)));
    // a place that is given back can be taken
    open.pop();
    let (_, mut frames) = app.stream(&path, None).await;
    assert_eq!(frames.next().await.unwrap().retry, Some(2000));
}

/// Events of all runs as a page has them: place, kind and data.
async fn log_of_all(app: &TestApp) -> Vec<(u64, String, Value)> {
    let page = app.get_as("/events?limit=1000", "application/json").await.json();
    placed(page["data"].as_array().unwrap())
}

fn placed(log: &[Value]) -> Vec<(u64, String, Value)> {
    log.iter()
        .map(|event| {
            (
                event["position"].as_u64().unwrap(),
                event["event"].as_str().unwrap().into(),
                event["data"].clone(),
            )
        })
        .collect()
}

fn id_of(run: &Value) -> &str {
    run["id"].as_str().unwrap()
}

#[tokio::test]
async fn the_log_of_all_runs_is_resumed_at_every_boundary_without_gap_or_repetition() {
    let app = TestApp::start().await;
    let orders = [small_training("one", 3), small_training("two", 3)];
    let (one, two) = tokio::join!(app.finish("/runs", &orders[0]), app.finish("/runs", &orders[1]));
    let log = log_of_all(&app).await;
    assert_eq!(
        log.iter().map(|event| event.0).collect::<Vec<_>>(),
        (1..=log.len() as u64).collect::<Vec<_>>()
    );
    for run in [&one, &two] {
        let of_run: Vec<_> = log.iter().filter(|event| event.2["run"] == run["id"]).collect();
        let seqs: Vec<_> = of_run.iter().map(|event| event.2["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (1..=run["last_seq"].as_u64().unwrap()).collect::<Vec<_>>());
    }
    let path = format!("/events?run={}&run={}", id_of(&one), id_of(&two));
    for cursor in 0..log.len() as u64 {
        let (_, frames) = app.stream(&path, Some(cursor)).await;
        assert_eq!(durable(&frames.rest().await), log[cursor as usize..], "Last-Event-ID: {cursor}");
        let (_, mut frames) = app.stream(&format!("/events?after={cursor}"), None).await;
        for expected in &log[cursor as usize..] {
            let frame = frames.next_durable().await.unwrap();
            assert_eq!(
                (frame.id.unwrap(), &frame.event, &frame.data),
                (expected.0, &expected.1, &expected.2)
            );
        }
    }
    let (status, _) = app.stream(&path, Some(log.len() as u64)).await;
    assert_eq!(status, 204);
}

#[tokio::test]
async fn many_runs_are_followed_live_and_cut_anywhere() {
    let app = TestApp::start().await;
    let mut runs = Vec::new();
    for model in ["one", "two", "three"] {
        runs.push(app.post("/runs", &small_training(model, 3)).await.json());
    }
    let ids: Vec<&str> = runs.iter().map(id_of).collect();
    let path = format!("/events?run={}", ids.join(","));
    // one durable event a connection
    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let (status, mut frames) = app.stream(&path, last).await;
        if status == 204 {
            break;
        }
        let frame = frames.next_durable().await.expect("a stream ends behind the last `done` only");
        last = frame.id;
        seen.push(frame);
    }
    assert_eq!(durable(&seen), log_of_all(&app).await);
}

#[tokio::test]
async fn runs_and_kinds_are_filtered_in_streams_pages_and_dumps() {
    let app = TestApp::start().await;
    let (one, two) = (app.train("one", 2).await, app.train("two", 2).await);
    let log = log_of_all(&app).await;
    let wanted = |runs: &[&Value], kinds: &[&str]| {
        let is_wanted = |event: &&(u64, String, Value)| {
            runs.iter().any(|run| run["id"] == event.2["run"]) && kinds.contains(&event.1.as_str())
        };
        log.iter().filter(is_wanted).cloned().collect::<Vec<_>>()
    };
    let both = format!("run={}&run={}", id_of(&one), id_of(&two));
    for (query, expected) in [
        (format!("{both}&kind=epoch,done"), wanted(&[&one, &two], &["epoch", "done"])),
        (format!("run={}&kind=epoch&kind=model", id_of(&two)), wanted(&[&two], &["epoch", "model"])),
        (format!("run={}&kind=status", id_of(&one)), wanted(&[&one], &["status"])),
    ] {
        assert!(!expected.is_empty());
        let path = format!("/events?{query}");
        let (_, frames) = app.stream(&path, None).await;
        assert_eq!(durable(&frames.rest().await), expected, "{query}");
        let page = app.get_as(&path, "application/json").await.json();
        assert_eq!(placed(page["data"].as_array().unwrap()), expected, "{query}");
        let dump = app.get_as(&path, "application/x-ndjson").await.text();
        let lines: Vec<Value> = dump.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(placed(&lines), expected, "{query}");
        // having seen them all, with others behind the last one
        let (status, _) = app.stream(&path, expected.last().map(|event| event.0)).await;
        assert_eq!(status, 204, "{query}");
    }
    let path = format!("/runs/{}/events?kind=done", id_of(&one));
    let (_, frames) = app.stream(&path, None).await;
    assert_eq!(durable(&frames.rest().await).len(), 1);
}

#[tokio::test]
async fn a_stream_of_named_runs_begins_with_how_they_are() {
    let app = TestApp::start().await;
    let (one, two) = (app.train("one", 1).await, app.train("two", 1).await);
    let path = format!("/events?run={},{}", id_of(&one), id_of(&two));
    let (_, frames) = app.stream(&path, None).await;
    let frames = frames.rest().await;
    for (frame, run) in frames[1..3].iter().zip([&one, &two]) {
        assert_eq!((frame.event.as_str(), frame.id, &frame.data["id"]), ("snapshot", None, &run["id"]));
    }
    assert_eq!(durable(&frames), log_of_all(&app).await);
}

#[tokio::test]
async fn latest_is_what_happens_from_now_on() {
    let app = TestApp::start().await;
    app.train("before", 1).await;
    let (_, mut frames) = app.stream("/events?after=latest&kind=status", None).await;
    assert_eq!(frames.next().await.unwrap().retry, Some(2000));
    let run = app.train("after", 1).await;
    let first = frames.next_event().await.unwrap();
    assert_eq!((first.event.as_str(), &first.data["run"]), ("status", &run["id"]));
    let page = app.get_as("/events?after=latest", "application/json").await.json();
    assert_eq!(page, json!({ "data": [], "has_more": false, "next": null }));
}

#[tokio::test]
async fn batches_of_all_runs_come_without_an_id_unless_other_kinds_are_asked_for() {
    let app = TestApp::start().await;
    let run = app.post("/runs", &endless_training()).await.json();
    let (_, mut all) = app.stream("/events", None).await;
    let (_, mut epochs) = app.stream("/events?kind=epoch", None).await;
    loop {
        let frame = all.next_event().await.unwrap();
        if frame.event == "batch" {
            assert_eq!((frame.id, &frame.data["run"]), (None, &run["id"]));
            break;
        }
    }
    for _ in 0..20 {
        assert_eq!(epochs.next_event().await.unwrap().event, "epoch");
    }
}

#[tokio::test]
async fn pages_of_all_runs_follow_their_cursor_to_the_end() {
    let app = TestApp::start().await;
    app.parked_run(phases(6)).await;
    app.parked_run(phases(5)).await;
    let (mut after, mut places) = ("0".to_owned(), Vec::new());
    loop {
        let path = format!("/events?limit=4&after={after}");
        let page = app.get_as(&path, "application/json").await.json();
        places.extend(placed(page["data"].as_array().unwrap()).iter().map(|event| event.0));
        let Some(next) = page["next"].as_str() else { break };
        after = next.to_owned();
    }
    assert_eq!(places, (1..=15).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_cannot_be_asked_of_the_log_of_all_is_refused() {
    let app = TestApp::start().await;
    for after in ["-1", "x", "1.5", "", "184467440737095516160", "7~3"] {
        app.get(&format!("/events?after={after}")).await.problem(400, "invalid_cursor");
    }
    for query in ["run=x", "run=", "kind=ping", "kind=", "limit=x", "from=3", "after=1&after=2"] {
        app.get_as(&format!("/events?{query}"), "application/json").await.problem(400, "invalid_parameter");
    }
    app.get_as("/events?limit=0", "application/json").await.problem(400, "invalid_parameter");
    app.get_as("/events", "image/png").await.problem(406, "not_acceptable");
    let run = app.train("one", 1).await;
    let path = format!("/events?run={}&run={}", id_of(&run), uuid::Uuid::now_v7());
    for accept in ["text/event-stream", "application/json", "application/x-ndjson"] {
        app.get_as(&path, accept).await.problem(404, "run_not_found");
    }
}

#[tokio::test]
async fn a_cursor_before_what_is_kept_is_reset_in_band() {
    let app = TestApp::start().await;
    let (old, young) = (app.train("old", 3).await, app.train("young", 3).await);
    let last = old["last_seq"].as_u64().unwrap();
    let log = log_of_all(&app).await;
    let (floor, latest) = (last + 2, log.len() as u64);
    let keep = Retention { events: latest - floor, days: None };
    while app.state.engine.store.prune(keep, chrono::Utc::now()).await.unwrap() > 0 {}
    let reset = |cursor, floor, latest| json!({ "reason": "pruned", "cursor": cursor, "oldest": floor + 1, "latest": latest });

    for cursor in [0, 1, floor - 1] {
        let expected = reset(cursor, floor, latest);
        let (_, mut frames) = app.stream(&format!("/events?after={cursor}"), None).await;
        let first = frames.next_event().await.unwrap();
        assert_eq!((first.event.as_str(), first.id, &first.data), ("reset", None, &expected));
        for event in &log[floor as usize..] {
            assert_eq!(frames.next_durable().await.unwrap().id, Some(event.0));
        }
        let page = app.get_as(&format!("/events?limit=2&after={cursor}"), "application/json").await.json();
        assert_eq!(page["reset"], expected);
        assert_eq!(placed(page["data"].as_array().unwrap()), log[floor as usize..][..2]);
        let dump = app.get_as(&format!("/events?after={cursor}"), "application/x-ndjson").await.text();
        let first: Value = serde_json::from_str(dump.lines().next().unwrap()).unwrap();
        assert_eq!(first, json!({ "event": "reset", "data": expected }));
        assert_eq!(dump.lines().count(), 1 + log.len() - floor as usize);
    }
    // one that is still whole
    let page = app.get_as(&format!("/events?after={floor}"), "application/json").await.json();
    assert_eq!(page["reset"], Value::Null);

    // of the old run nothing but its end is kept; the younger one is whole
    let path = format!("/runs/{}/events", id_of(&old));
    let (_, frames) = app.stream(&path, Some(1)).await;
    let frames = frames.rest().await;
    let names: Vec<_> = frames[1..].iter().map(|frame| (frame.event.as_str(), frame.id)).collect();
    assert_eq!(names, [("reset", None), ("snapshot", None), ("done", Some(last))]);
    assert_eq!(frames[1].data, reset(1, last - 1, last));
    let page = app.get_as(&path, "application/json").await.json();
    assert_eq!(page["reset"], reset(0, last - 1, last));
    let (status, _) = app.stream(&path, Some(last)).await;
    assert_eq!(status, 204);
    assert_eq!(app.log(id_of(&young)).await.len() as u64, young["last_seq"].as_u64().unwrap());
}

#[tokio::test]
async fn two_hundred_readers_of_a_training_miss_nothing() {
    let app = TestApp::start().await;
    let run = app.post("/runs", &small_training("m", 20)).await.json();
    let mut readers = Vec::new();
    for reader in 0..200 {
        let of_run = format!("/runs/{}/events", id_of(&run));
        let of_named = format!("/events?run={}", id_of(&run));
        let path = if reader % 2 == 0 { of_run } else { of_named };
        readers.push(app.stream(&path, None).await.1);
    }
    // some read at once, some when all is over
    let slow = readers.split_off(150);
    let quick = futures_util::future::join_all(readers.into_iter().map(|frames| frames.rest())).await;
    let slow = futures_util::future::join_all(slow.into_iter().map(|frames| frames.rest())).await;
    let log = logged(&app.log(id_of(&run)).await);
    assert!(log.len() > 20, "{log:?}");
    for frames in quick.iter().chain(&slow) {
        // the only run: its numbers are its places
        assert_eq!(durable(frames), log);
    }
}
