//! The courier with receivers of its own, and a clock of its own.

use super::schedule::{MAX_ATTEMPTS, PATIENCE};
use super::{Courier, Message, Reach, Sender, check_endpoint, new_secret, sign};
use crate::domain::{Delivery, DeliveryStatus, DisabledReason, EventKind, Status, Webhook};
use crate::store::fixtures::{break_events, open, train_run};
use crate::store::{MAX_WEBHOOKS, Page, RunChange, Store};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[derive(Clone, Debug)]
struct Request {
    headers: HashMap<String, String>,
    body: String,
}

/// Answers every request with what it is told to, and keeps them.
struct Receiver {
    url: String,
    answer: Arc<Mutex<String>>,
    requests: Arc<Mutex<Vec<Request>>>,
    came: Arc<Notify>,
}

impl Receiver {
    async fn start(answer: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            answer: Arc::new(Mutex::new(answer.to_owned())),
            requests: Arc::default(),
            came: Arc::default(),
        };
        let (answer, requests, came) =
            (Arc::clone(&receiver.answer), Arc::clone(&receiver.requests), Arc::clone(&receiver.came));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read(&mut stream).await;
                requests.lock().unwrap().push(request);
                came.notify_one();
                let answer = answer.lock().unwrap().clone();
                // the sender may have gone
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        receiver
    }

    fn answer_from_now_on(&self, answer: &str) {
        answer.clone_into(&mut self.answer.lock().unwrap());
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read(stream: &mut TcpStream) -> Request {
    let mut stream = BufReader::new(stream);
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    Request { headers, body: String::from_utf8(body).unwrap() }
}

fn answer(status: u16) -> String {
    answer_with(status, "")
}

fn answer_with(status: u16, header: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n{header}\r\n")
}

fn webhook(url: &str, events: &[EventKind]) -> Webhook {
    Webhook {
        id: Uuid::now_v7(),
        url: url.to_owned(),
        events: events.to_vec(),
        secret: new_secret(),
        created_at: Utc::now(),
        failing_since: None,
        disabled: None,
        dropped: 0,
    }
}

async fn told(store: &Store, url: &str, events: &[EventKind]) -> Webhook {
    store.insert_webhook(webhook(url, events)).await.unwrap().unwrap()
}

/// A run that is queued and then canceled: three events.
async fn over(store: &Store) -> Uuid {
    let (run, _) = store.insert_run(train_run("m")).await.unwrap();
    store.advance(run.id, None, RunChange::to(Status::Canceled), vec![]).await.unwrap();
    run.id
}

async fn deliveries(store: &Store, webhook: &Webhook) -> Vec<Delivery> {
    let mut found = store.deliveries(webhook.id, None, &Page { limit: 2_000, after: None }).await.unwrap();
    found.reverse();
    found
}

fn courier(store: &Store) -> Courier {
    Courier::new(store.clone(), Sender::new(Reach::Anywhere))
}

/// Attempts what is due at `at`, one of each webhook.
async fn deliver(store: &Store, at: DateTime<Utc>) -> usize {
    let due = store.due_deliveries(at).await.unwrap();
    for one in &due {
        courier(store).attempt(one, at).await.unwrap();
    }
    due.len()
}

fn soon() -> DateTime<Utc> {
    Utc::now() + TimeDelta::seconds(1)
}

#[tokio::test]
async fn an_event_is_sent_signed_and_once_to_whoever_asked_for_its_kind() {
    let (_dir, store) = open().await;
    let receiver = Receiver::start(&answer(204)).await;
    let done = told(&store, &receiver.url, &[EventKind::Done, EventKind::Model]).await;
    let epochs = told(&store, &receiver.url, &[EventKind::Epoch]).await;
    let run = over(&store).await;
    let at = soon();
    assert_eq!(deliver(&store, at).await, 1);
    assert_eq!(deliver(&store, at).await, 0);
    assert!(deliveries(&store, &epochs).await.is_empty());

    let request = receiver.requests().remove(0);
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let event = store.events(run, 2, 1).await.unwrap().remove(0);
    assert_eq!(body, json!({ "type": "run.done", "timestamp": event.at, "data": event.data }));
    let id: Uuid = request.headers["webhook-id"].parse().unwrap();
    let timestamp: i64 = request.headers["webhook-timestamp"].parse().unwrap();
    assert_eq!(timestamp, at.timestamp());
    assert_eq!(
        request.headers.get("webhook-signature"),
        sign(&done.secret, id, timestamp, &request.body).as_ref()
    );
    assert_eq!(request.headers["content-type"], "application/json");

    let delivery = deliveries(&store, &done).await.remove(0);
    assert_eq!((delivery.id, delivery.run, delivery.seq), (id, run, 3));
    assert_eq!((delivery.status, delivery.attempts), (DeliveryStatus::Delivered, 1));
    assert_eq!((delivery.answer_status, delivery.error, delivery.due_at), (Some(204), None, None));
    assert!(delivery.finished_at.is_some());
}

#[tokio::test]
async fn events_are_sent_in_their_order() {
    let (_dir, store) = open().await;
    let receiver = Receiver::start(&answer(200)).await;
    told(&store, &receiver.url, &[EventKind::Status, EventKind::Done]).await;
    over(&store).await;
    over(&store).await;
    while deliver(&store, soon()).await > 0 {}
    let kinds: Vec<(Value, Value)> = receiver
        .requests()
        .iter()
        .map(|request| {
            let body: Value = serde_json::from_str(&request.body).unwrap();
            (body["type"].clone(), body["data"]["seq"].clone())
        })
        .collect();
    let one = [("run.status", 1), ("run.status", 2), ("run.done", 3)];
    let both: Vec<_> = one.iter().chain(&one).map(|&(kind, seq)| (json!(kind), json!(seq))).collect();
    assert_eq!(kinds, both);
}

#[tokio::test]
async fn an_event_that_is_not_committed_is_not_delivered() {
    let (_dir, store) = open().await;
    let webhook = told(&store, "http://127.0.0.1:1/", &[EventKind::Status, EventKind::Done]).await;
    let (run, _) = store.insert_run(train_run("m")).await.unwrap();
    break_events(&store, EventKind::Done).await;
    store.advance(run.id, None, RunChange::to(Status::Canceled), vec![]).await.unwrap_err();
    let numbers: Vec<u64> = deliveries(&store, &webhook).await.iter().map(|delivery| delivery.seq).collect();
    assert_eq!(numbers, [1]);
}

#[tokio::test]
async fn what_fails_is_attempted_again_later_and_later_with_the_same_id_and_then_no_more() {
    let (_dir, store) = open().await;
    let receiver = Receiver::start(&answer(500)).await;
    let webhook = told(&store, &receiver.url, &[EventKind::Done]).await;
    over(&store).await;
    let begin = soon();
    let mut at = begin;
    let mut last = TimeDelta::zero();
    for attempt in 1..=MAX_ATTEMPTS {
        assert_eq!(deliver(&store, at).await, 1, "attempt {attempt}");
        let delivery = deliveries(&store, &webhook).await.remove(0);
        assert_eq!((delivery.attempts, delivery.answer_status), (attempt, Some(500)));
        assert_eq!(delivery.error.as_deref(), Some("it answered 500"));
        if attempt < MAX_ATTEMPTS {
            let due = delivery.due_at.unwrap();
            assert!(due - at > last / 2, "attempt {attempt}: {}", due - at);
            assert_eq!(deliver(&store, due - TimeDelta::milliseconds(1)).await, 0);
            assert_eq!(store.next_due(at).await.unwrap(), Some(due));
            last = due - at;
            at = due;
        } else {
            assert_eq!((delivery.status, delivery.due_at), (DeliveryStatus::Failed, None));
        }
    }
    assert!((at - begin) > TimeDelta::hours(15) && (at - begin) < TimeDelta::hours(24), "{}", at - begin);
    assert_eq!(store.next_due(begin).await.unwrap(), None);
    let requests = receiver.requests();
    assert_eq!(requests.len(), MAX_ATTEMPTS as usize);
    for request in &requests {
        assert_eq!(request.headers["webhook-id"], requests[0].headers["webhook-id"]);
        assert_eq!(request.body, requests[0].body);
    }
    assert_ne!(requests[0].headers["webhook-timestamp"], requests[1].headers["webhook-timestamp"]);
}

#[tokio::test]
async fn a_receiver_that_recovers_gets_what_it_missed() {
    let (_dir, store) = open().await;
    let receiver = Receiver::start(&answer_with(503, "retry-after: 60\r\n")).await;
    let webhook = told(&store, &receiver.url, &[EventKind::Done]).await;
    over(&store).await;
    let at = soon();
    deliver(&store, at).await;
    let failing = store.webhook(webhook.id).await.unwrap();
    assert!(failing.failing_since.is_some() && failing.disabled.is_none());
    let due = deliveries(&store, &webhook).await[0].due_at.unwrap();
    assert!(due - at >= TimeDelta::seconds(60), "it asked for a minute: {}", due - at);
    receiver.answer_from_now_on(&answer(200));
    assert_eq!(deliver(&store, due).await, 1);
    assert_eq!(deliveries(&store, &webhook).await[0].status, DeliveryStatus::Delivered);
    assert_eq!(store.webhook(webhook.id).await.unwrap().failing_since, None);
}

#[tokio::test]
async fn a_webhook_that_is_gone_is_disabled_with_all_that_waits() {
    let (_dir, store) = open().await;
    let receiver = Receiver::start(&answer(410)).await;
    let webhook = told(&store, &receiver.url, &[EventKind::Status, EventKind::Done]).await;
    over(&store).await;
    assert_eq!(deliver(&store, soon()).await, 1);
    let disabled = store.webhook(webhook.id).await.unwrap().disabled.unwrap();
    assert_eq!(disabled.reason, DisabledReason::Gone);
    for delivery in deliveries(&store, &webhook).await {
        assert_eq!(delivery.status, DeliveryStatus::Failed, "{delivery:?}");
    }
    over(&store).await;
    assert_eq!(deliveries(&store, &webhook).await.len(), 3, "it is told nothing any more");
    assert_eq!(deliver(&store, soon()).await, 0);
    store.enable_webhook(webhook.id).await.unwrap();
    over(&store).await;
    assert_eq!(deliveries(&store, &webhook).await.len(), 6);
}

#[tokio::test]
async fn a_webhook_that_fails_for_days_is_disabled() {
    let (_dir, store) = open().await;
    let receiver = Receiver::start(&answer(404)).await;
    let webhook = told(&store, &receiver.url, &[EventKind::Done]).await;
    over(&store).await;
    let begin = soon();
    deliver(&store, begin).await;
    deliver(&store, begin + PATIENCE - TimeDelta::minutes(1)).await;
    assert_eq!(store.webhook(webhook.id).await.unwrap().disabled, None);
    deliver(&store, begin + PATIENCE + TimeDelta::hours(1)).await;
    assert_eq!(store.webhook(webhook.id).await.unwrap().disabled.unwrap().reason, DisabledReason::Failing);
}

#[tokio::test]
async fn a_dead_receiver_delays_nobody() {
    let (_dir, store) = open().await;
    // accepts and never answers
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}/", silent.local_addr().unwrap());
    let receiver = Receiver::start(&answer(200)).await;
    for _ in 1..MAX_WEBHOOKS {
        told(&store, &silent_url, &[EventKind::Done]).await;
    }
    told(&store, &receiver.url, &[EventKind::Done]).await;
    let (news, shutdown) = (Arc::new(Notify::new()), CancellationToken::new());
    let running = tokio::spawn(courier(&store).run(Arc::clone(&news), shutdown.clone()));
    for _ in 0..2 {
        over(&store).await;
        news.notify_one();
        // less than a silent receiver is waited for
        tokio::time::timeout(Duration::from_secs(8), receiver.came.notified()).await.unwrap();
    }
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(1), running).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_attempt_that_was_cut_off_is_made_again() {
    let (_dir, store) = open().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook =
        told(&store, &format!("http://{}/", silent.local_addr().unwrap()), &[EventKind::Done]).await;
    over(&store).await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(courier(&store).run(Arc::default(), shutdown.clone()));
    let (mut stream, _) = silent.accept().await.unwrap();
    let first = read(&mut stream).await;
    shutdown.cancel();
    running.await.unwrap();
    let delivery = deliveries(&store, &webhook).await.remove(0);
    assert_eq!((delivery.status, delivery.attempts), (DeliveryStatus::Pending, 0));

    let shutdown = CancellationToken::new();
    let running = tokio::spawn(courier(&store).run(Arc::default(), shutdown.clone()));
    let (mut stream, _) = silent.accept().await.unwrap();
    let second = read(&mut stream).await;
    assert_eq!(second.headers["webhook-id"], first.headers["webhook-id"]);
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (_dir, store) = open().await;
    let inside = Receiver::start(&answer(200)).await;
    let receiver = Receiver::start(&answer_with(307, &format!("location: {}\r\n", inside.url))).await;
    let webhook = told(&store, &receiver.url, &[EventKind::Done]).await;
    over(&store).await;
    deliver(&store, soon()).await;
    let delivery = deliveries(&store, &webhook).await.remove(0);
    assert_eq!((delivery.status, delivery.answer_status), (DeliveryStatus::Pending, Some(307)));
    assert!(delivery.error.unwrap().contains("redirects are not followed"));
    assert!(inside.requests().is_empty());
}

/// A name that is looked up leads inside: nothing is connected to, whatever it led to when the webhook was made.
#[tokio::test]
async fn a_name_that_leads_inside_is_refused_when_it_is_used() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sender = Sender::new(Reach::Public);
    let secret = new_secret();
    for (host, address) in
        [("localhost", "is not public"), ("127.0.0.1", "its address 127.0.0.1 is not public")]
    {
        let url = format!("https://{host}:{port}/");
        let message = Message { id: Uuid::now_v7(), url: &url, secret: &secret, body: "{}" };
        let outcome = sender.send(message, Utc::now()).await;
        let reason = outcome.result.unwrap_err();
        assert!(reason.contains(address), "{url}: {reason}");
    }
    assert!(
        check_endpoint(&format!("https://localhost:{port}/"), Reach::Public).is_ok(),
        "names are judged when used"
    );
    let nobody = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(nobody.is_err(), "somebody connected");
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let (_dir, store) = open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook =
        told(&store, &format!("http://{}/", listener.local_addr().unwrap()), &[EventKind::Done]).await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    over(&store).await;
    deliver(&store, soon()).await;
    assert_eq!(deliveries(&store, &webhook).await[0].status, DeliveryStatus::Delivered);
}

#[tokio::test]
async fn a_queue_is_bounded_and_says_what_it_left_out() {
    let (_dir, store) = open().await;
    let webhook = told(&store, "http://127.0.0.1:1/", &[EventKind::Done]).await;
    for _ in 0..1_001 {
        over(&store).await;
    }
    assert_eq!(deliveries(&store, &webhook).await.len(), 1_000);
    assert_eq!(store.webhook(webhook.id).await.unwrap().dropped, 1);
}

#[tokio::test]
async fn a_deleted_webhook_takes_its_deliveries_along() {
    let (_dir, store) = open().await;
    let webhook = told(&store, "http://127.0.0.1:1/", &[EventKind::Done]).await;
    over(&store).await;
    let due = store.due_deliveries(soon()).await.unwrap().remove(0);
    store.delete_webhook(webhook.id).await.unwrap();
    courier(&store).attempt(&due, soon()).await.unwrap();
    assert!(deliveries(&store, &webhook).await.is_empty());
    assert_eq!(store.next_due(DateTime::UNIX_EPOCH).await.unwrap(), None);
}
