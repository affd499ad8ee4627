//! The one who makes deliveries: one at a time for each webhook, so that nobody waits for another's receiver.

use super::schedule;
use super::sender::{Message, Sender};
use crate::store::{Attempt, Due, Next, Store, StoreError};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{self, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const GONE: u16 = 410;
/// Between attempts to use a database that fails.
const PAUSE: Duration = Duration::from_secs(5);
/// The clock may be set while it is waited for a time.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

#[derive(Clone, Debug)]
pub struct Courier {
    store: Store,
    sender: Sender,
}

/// The attempts under way, and whose.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<()>,
    webhooks: HashMap<task::Id, Uuid>,
}

impl Courier {
    pub fn new(store: Store, sender: Sender) -> Self {
        Self { store, sender }
    }

    /// Makes deliveries as they come due, until `shutdown`. `news` is rung whenever there may be new ones. An attempt
    /// that is cut off is made again by the next start.
    pub async fn run(self, news: Arc<Notify>, shutdown: CancellationToken) {
        let mut under_way = UnderWay::default();
        loop {
            let sleep = self.set_out(&mut under_way, Utc::now()).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "cannot read which deliveries are due; trying again");
                PAUSE
            });
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = news.notified() => {}
                Some(ended) = under_way.tasks.join_next_with_id() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    under_way.webhooks.remove(&id);
                }
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Begins what is due, except for webhooks that have an attempt under way. How long to sleep then.
    async fn set_out(&self, under_way: &mut UnderWay, at: DateTime<Utc>) -> Result<Duration, StoreError> {
        for due in self.store.due_deliveries(at).await? {
            if under_way.webhooks.values().any(|&webhook| webhook == due.webhook) {
                continue;
            }
            let (courier, webhook) = (self.clone(), due.webhook);
            let task = under_way.tasks.spawn(async move {
                if let Err(error) = courier.attempt(&due, at).await {
                    tracing::warn!(%error, delivery = %due.id, "an attempt cannot be written down and is made again");
                    tokio::time::sleep(PAUSE).await;
                }
            });
            under_way.webhooks.insert(task.id(), webhook);
        }
        let next = self.store.next_due(at).await?;
        let sleep = next.map_or(LONGEST_SLEEP, |next| (next - at).to_std().unwrap_or_default());
        Ok(sleep.min(LONGEST_SLEEP))
    }

    /// Makes one attempt as of `at`, and writes down what came of it.
    pub async fn attempt(&self, due: &Due, at: DateTime<Utc>) -> Result<(), StoreError> {
        let message = Message { id: due.id, url: &due.url, secret: &due.secret, body: &due.body };
        let outcome = self.sender.send(message, at).await;
        let at = at + TimeDelta::from_std(outcome.elapsed).unwrap_or_default();
        let next = match (&outcome.result, outcome.answer_status) {
            (Ok(()), _) => Next::Delivered,
            (Err(_), Some(GONE)) => Next::Gone,
            (Err(_), _) => match schedule::wait(due.id, due.attempts + 1, outcome.retry_after) {
                Some(wait) => Next::Retry(at + wait),
                None => Next::Failed,
            },
        };
        if let Err(reason) = &outcome.result {
            tracing::info!(webhook = %due.webhook, delivery = %due.id, attempt = due.attempts + 1, reason, "not delivered");
        }
        let error = outcome.result.err();
        let attempt = Attempt { at, answer_status: outcome.answer_status, error, next };
        self.store.record_attempt(due.id, &attempt, at - schedule::PATIENCE).await
    }
}
