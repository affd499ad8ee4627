//! One log, three forms; and a stream that may be cut anywhere.

use crate::support::{Frame, MAX_STREAMS, TestApp, endless_training, small_training};
use lethe::domain::EventKind;
use lethe::store::NewEvent;
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
