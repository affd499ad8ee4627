//! Someone who is told of events by webhooks.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Notify;

#[derive(Default)]
struct Inbox {
    messages: Mutex<Vec<(String, Value)>>,
    changed: Notify,
    /// Answers that it wants to hear nothing any more.
    is_gone: AtomicBool,
}

/// Two addresses, `/1` and `/2`, of one receiver.
pub struct Receiver {
    url: String,
    inbox: Arc<Inbox>,
}

impl Receiver {
    pub async fn start() -> Self {
        let inbox = Arc::new(Inbox::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/{name}", post(receive)).with_state(Arc::clone(&inbox));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inbox }
    }

    pub fn address(&self, name: u32) -> String {
        format!("{}/{name}", self.url)
    }

    pub fn be_gone(&self, is_gone: bool) {
        self.inbox.is_gone.store(is_gone, Ordering::SeqCst);
    }

    /// Waits until the address `name` has heard the end of `run`.
    pub async fn heard_end_of(&self, name: u32, run: &str) {
        loop {
            let changed = self.inbox.changed.notified();
            let is_it = |(to, message): &(String, Value)| {
                *to == name.to_string() && message["type"] == "run.done" && message["data"]["run"] == run
            };
            if self.inbox.messages.lock().unwrap().iter().any(is_it) {
                return;
            }
            changed.await;
        }
    }
}

async fn receive(
    State(inbox): State<Arc<Inbox>>,
    axum::extract::Path(name): axum::extract::Path<String>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    assert!(headers.contains_key("webhook-signature"));
    if inbox.is_gone.load(Ordering::SeqCst) {
        return StatusCode::GONE;
    }
    inbox.messages.lock().unwrap().push((name, serde_json::from_str(&body).unwrap()));
    inbox.changed.notify_waiters();
    StatusCode::NO_CONTENT
}
