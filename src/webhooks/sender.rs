//! One request to a receiver, bounded in time and bytes.

use super::address::{NotPublic, Resolver, is_public};
use super::{Reach, endpoint, signature};
use crate::domain::Secret;
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, Url, redirect};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the look-up of the name to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of an answer's body, which says nothing to us: read so that the connection can be used again, no further.
const MAX_ANSWER: usize = 16 << 10;
const IDLE_CONNECTIONS: Duration = Duration::from_secs(30);
const MAX_ERROR: usize = 200;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub id: Uuid,
    pub url: &'a str,
    pub secret: &'a Secret,
    /// JSON.
    pub body: &'a str,
}

/// What came of it: `Err` says why it is no success.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub result: Result<(), String>,
    pub answer_status: Option<u16>,
    /// How long the receiver wants to be left alone.
    pub retry_after: Option<Duration>,
    pub elapsed: Duration,
}

/// Sends requests; cheap to clone.
#[derive(Clone, Debug)]
pub struct Sender {
    pub reach: Reach,
    /// Without certificates of authorities there is no client; that fails deliveries, not the server.
    client: Result<Client, String>,
}

impl Sender {
    pub fn new(reach: Reach) -> Self {
        // an error means that one is installed already
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("lethe/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // a redirect could lead inside, and receivers are asked to give the address that answers
            .redirect(redirect::Policy::none())
            // a proxy would do the look-up that is checked here
            .no_proxy()
            .https_only(reach == Reach::Public)
            .dns_resolver(Arc::new(Resolver(reach)))
            .pool_idle_timeout(IDLE_CONNECTIONS)
            .pool_max_idle_per_host(1)
            .build();
        Self { reach, client: client.map_err(|error| describe(&error)) }
    }

    /// Sends the message as of `at`.
    pub async fn send(&self, message: Message<'_>, at: DateTime<Utc>) -> Outcome {
        let started = Instant::now();
        let (answer_status, retry_after, result) = match self.answer(message, at).await {
            Ok(response) => {
                let status = response.status();
                let retry_after = retry_after(&response);
                read_a_little(response).await;
                let result = if status.is_success() { Ok(()) } else { Err(refusal(status.as_u16())) };
                (Some(status.as_u16()), retry_after, result)
            }
            Err(reason) => (None, None, Err(reason)),
        };
        Outcome { result, answer_status, retry_after, elapsed: started.elapsed() }
    }

    async fn answer(&self, message: Message<'_>, at: DateTime<Utc>) -> Result<Response, String> {
        let client = self.client.clone()?;
        let url = Url::parse(message.url).map_err(|error| error.to_string())?;
        // not looked up, so the resolver does not see it
        if let Some(address) = endpoint::literal(&url)
            && self.reach == Reach::Public
            && !is_public(address)
        {
            return Err(NotPublic(address).to_string());
        }
        let timestamp = at.timestamp();
        let signature = signature::sign(message.secret, message.id, timestamp, message.body);
        let signature = signature.ok_or_else(|| "its secret is damaged; make a new webhook".to_owned())?;
        let request = client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", message.id.to_string())
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", signature)
            .body(message.body.to_owned());
        request.send().await.map_err(|error| describe(&error.without_url()))
    }
}

async fn read_a_little(mut response: Response) {
    let mut n_read = 0;
    // how it ends says nothing: the status has come
    while let Ok(Some(chunk)) = response.chunk().await {
        n_read += chunk.len();
        if n_read > MAX_ANSWER {
            return;
        }
    }
}

fn refusal(status: u16) -> String {
    match status {
        300..400 => format!("it answered {status}; redirects are not followed"),
        _ => format!("it answered {status}"),
    }
}

/// In seconds; a date is no wait we could rely on, for its clock is not ours.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// For the owner of the webhook: short, and without the address, which may hold a token.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TIMEOUT.as_secs());
    }
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
        if let Some(refused) = cause.downcast_ref::<NotPublic>() {
            return refused.to_string();
        }
    }
    let text = if error.is_connect() { format!("cannot connect: {cause}") } else { cause.to_string() };
    text.chars().take(MAX_ERROR).collect()
}
