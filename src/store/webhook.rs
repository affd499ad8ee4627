//! Webhooks and their queue of deliveries.

use super::row::{Place, big, event_kind, json as text_of, to_ms};
use super::run::Page;
use super::{Store, StoreError};
use crate::domain::{Delivery, DeliveryStatus, Disabled, DisabledReason, Event, EventKind, Secret, Webhook};
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::SqliteConnection;
use uuid::Uuid;

/// Each of them can be attempted at the same time as all others.
pub const MAX_WEBHOOKS: u32 = 20;
/// Deliveries of one webhook that may wait; it is not told of what comes beyond that.
const MAX_PENDING: i64 = 1_000;
/// Deliveries of one webhook that are over and still shown.
const MAX_FINISHED: i64 = 1_000;

macro_rules! select_webhook {
    ($tail:literal) => {
        concat!(
            "select webhook_id, url, events, secret, created_ms, failing_ms, disabled_ms, disabled_reason, n_dropped ",
            "from webhook ",
            $tail
        )
    };
}

macro_rules! select_delivery {
    ($tail:literal) => {
        concat!(
            "select d.delivery_id, d.webhook_id, d.run_id, d.seq, d.kind, d.status, d.n_attempts, d.due_ms, ",
            "d.answer_status, d.error, d.created_ms, d.finished_ms from delivery d ",
            $tail
        )
    };
}

const BY_ID: &str = select_webhook!("where webhook_id = $1");
const ALL: &str = select_webhook!("order by webhook_id");
const COUNT: &str = "select count(*) from webhook";
const INSERT: &str = "insert into webhook (webhook_id, url, events, secret, created_ms, n_dropped)
    values ($1, $2, $3, $4, $5, 0)";
const DELETE: &str = "delete from webhook where webhook_id = $1";
const ENABLE: &str = "update webhook set disabled_ms = null, disabled_reason = null, failing_ms = null
    where webhook_id = $1";

// a JSON array of plain names holds a name exactly when it holds it in quotes
const TOLD_OF: &str =
    "select webhook_id from webhook where disabled_ms is null and events like '%\"' || $1 || '\"%'";
const ENQUEUE: &str = "insert into delivery
    (delivery_id, webhook_id, run_id, seq, kind, body, status, n_attempts, due_ms, created_ms)
    select $1, $2, $3, $4, $5, $6, 'pending', 0, $7, $7
    where (select count(*) from delivery where webhook_id = $2 and status = 'pending') < $8";
const COUNT_DROPPED: &str = "update webhook set n_dropped = n_dropped + 1 where webhook_id = $1";

const DUE: &str = "select d.delivery_id, d.webhook_id, d.body, d.n_attempts, w.url, w.secret
    from webhook w join delivery d on d.delivery_id = (
        select delivery_id from delivery where webhook_id = w.webhook_id and due_ms <= $1
        order by due_ms, delivery_id limit 1)
    order by d.due_ms, d.delivery_id";
const NEXT_DUE: &str =
    "select min((select min(due_ms) from delivery where webhook_id = w.webhook_id and due_ms > $1))
    from webhook w";
const RECORD: &str = "update delivery set status = $2, n_attempts = n_attempts + 1, due_ms = $3,
        answer_status = $4, error = $5, finished_ms = $6
    where delivery_id = $1 and status = 'pending' returning webhook_id";
const SUCCEEDED: &str = "update webhook set failing_ms = null where webhook_id = $1";
const FAILED: &str = "update webhook set failing_ms = coalesce(failing_ms, $2) where webhook_id = $1
    returning failing_ms";
const DISABLE: &str = "update webhook set disabled_ms = $2, disabled_reason = $3
    where webhook_id = $1 and disabled_ms is null";
const GIVE_UP_ON_ALL: &str = "update delivery
    set status = 'failed', due_ms = null, finished_ms = $2, error = 'the webhook was disabled'
    where webhook_id = $1 and status = 'pending'";
const PRUNE: &str = "delete from delivery where webhook_id = $1 and status <> 'pending' and delivery_id <= (
    select delivery_id from delivery where webhook_id = $1 and status <> 'pending'
    order by delivery_id desc limit 1 offset $2)";
const DELIVERIES: &str = select_delivery!(
    "where d.webhook_id = $1 and ($2 is null or d.status = $2) and ($3 is null or d.delivery_id < $3)
     order by d.delivery_id desc limit $4"
);

/// A delivery whose time has come.
#[derive(Clone, Debug)]
pub struct Due {
    pub id: Uuid,
    pub webhook: Uuid,
    pub url: String,
    pub secret: Secret,
    pub body: String,
    /// Before this one.
    pub attempts: u32,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub at: DateTime<Utc>,
    pub answer_status: Option<u16>,
    pub error: Option<String>,
    pub next: Next,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    Delivered,
    /// Another attempt, then.
    Retry(DateTime<Utc>),
    /// No other attempt.
    Failed,
    /// The receiver wants to hear nothing any more.
    Gone,
}

#[derive(sqlx::FromRow)]
struct WebhookRow {
    webhook_id: String,
    url: String,
    events: String,
    secret: String,
    created_ms: i64,
    failing_ms: Option<i64>,
    disabled_ms: Option<i64>,
    disabled_reason: Option<String>,
    n_dropped: i64,
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    delivery_id: String,
    webhook_id: String,
    run_id: String,
    seq: i64,
    kind: String,
    status: String,
    n_attempts: i64,
    due_ms: Option<i64>,
    answer_status: Option<i64>,
    error: Option<String>,
    created_ms: i64,
    finished_ms: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct DueRow {
    delivery_id: String,
    webhook_id: String,
    body: String,
    n_attempts: i64,
    url: String,
    secret: String,
}

/// Puts the event into the queue of everyone who is to be told of it, in the event's transaction.
pub(super) async fn enqueue(connection: &mut SqliteConnection, event: &Event) -> Result<(), StoreError> {
    let told: Vec<String> =
        sqlx::query_scalar(TOLD_OF).bind(event.kind.name()).fetch_all(&mut *connection).await?;
    if told.is_empty() {
        return Ok(());
    }
    let body =
        json!({ "type": format!("run.{}", event.kind.name()), "timestamp": event.at, "data": event.data });
    let body = body.to_string();
    for webhook in told {
        let done = sqlx::query(ENQUEUE)
            .bind(Uuid::now_v7().to_string())
            .bind(&webhook)
            .bind(event.run.to_string())
            .bind(big(event.seq))
            .bind(event.kind.name())
            .bind(&body)
            .bind(event.at.timestamp_millis())
            .bind(MAX_PENDING)
            .execute(&mut *connection)
            .await?;
        if done.rows_affected() == 0 {
            sqlx::query(COUNT_DROPPED).bind(&webhook).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

impl Store {
    /// Stores a webhook; the one that has this id already, if there is one. `None` when there are as many as there
    /// may be.
    pub async fn insert_webhook(&self, new: Webhook) -> Result<Option<Webhook>, StoreError> {
        let mut tx = self.begin("insert_webhook").await?;
        let id = new.id.to_string();
        let row: Option<WebhookRow> = sqlx::query_as(BY_ID).bind(&id).fetch_optional(&mut *tx).await?;
        if let Some(row) = row {
            return Webhook::try_from(row).map(Some);
        }
        let n_webhooks: i64 = sqlx::query_scalar(COUNT).fetch_one(&mut *tx).await?;
        if n_webhooks >= i64::from(MAX_WEBHOOKS) {
            return Ok(None);
        }
        let webhook = Webhook {
            created_at: to_ms(new.created_at),
            failing_since: None,
            disabled: None,
            dropped: 0,
            ..new
        };
        sqlx::query(INSERT)
            .bind(id)
            .bind(&webhook.url)
            .bind(text_of(&webhook.events))
            .bind(&webhook.secret.0)
            .bind(webhook.created_at.timestamp_millis())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Some(webhook))
    }

    pub async fn webhook(&self, id: Uuid) -> Result<Webhook, StoreError> {
        let row: Option<WebhookRow> =
            sqlx::query_as(BY_ID).bind(id.to_string()).fetch_optional(&self.read).await?;
        row.ok_or(StoreError::NotFound)?.try_into()
    }

    /// All of them, oldest first: there are at most [`MAX_WEBHOOKS`].
    pub async fn webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        let rows: Vec<WebhookRow> = sqlx::query_as(ALL).fetch_all(&self.read).await?;
        rows.into_iter().map(Webhook::try_from).collect()
    }

    /// Deletes a webhook with its deliveries; those that wait are not made any more.
    pub async fn delete_webhook(&self, id: Uuid) -> Result<(), StoreError> {
        let mut tx = self.begin("delete_webhook").await?;
        let done = sqlx::query(DELETE).bind(id.to_string()).execute(&mut *tx).await?;
        tx.commit().await?;
        if done.rows_affected() == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// Takes a disabled webhook into service again: it is told of what happens from now on.
    pub async fn enable_webhook(&self, id: Uuid) -> Result<(), StoreError> {
        let mut tx = self.begin("enable_webhook").await?;
        sqlx::query(ENABLE).bind(id.to_string()).execute(&mut *tx).await?;
        tx.commit().await
    }

    /// Of every webhook that has one the delivery to be attempted first, those that have waited longest first.
    pub async fn due_deliveries(&self, at: DateTime<Utc>) -> Result<Vec<Due>, StoreError> {
        let rows: Vec<DueRow> = sqlx::query_as(DUE).bind(at.timestamp_millis()).fetch_all(&self.read).await?;
        rows.into_iter().map(Due::try_from).collect()
    }

    /// When the next delivery after `at` is due.
    pub async fn next_due(&self, at: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
        let ms: Option<i64> =
            sqlx::query_scalar(NEXT_DUE).bind(at.timestamp_millis()).fetch_one(&self.read).await?;
        ms.map(|ms| Place { table: "delivery", id: "next" }.time("due_ms", ms)).transpose()
    }

    /// Writes down an attempt. A webhook that has been failing since before `patience_ends` is disabled with it, as is
    /// one that is gone. Nothing happens if the delivery is gone or over.
    pub async fn record_attempt(
        &self,
        delivery: Uuid,
        attempt: &Attempt,
        patience_ends: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin("record_attempt").await?;
        let at = attempt.at.timestamp_millis();
        let (status, due) = match attempt.next {
            Next::Delivered => (DeliveryStatus::Delivered, None),
            Next::Retry(due) => (DeliveryStatus::Pending, Some(due)),
            Next::Failed | Next::Gone => (DeliveryStatus::Failed, None),
        };
        let webhook: Option<String> = sqlx::query_scalar(RECORD)
            .bind(delivery.to_string())
            .bind(status.name())
            .bind(due.map(|due| due.timestamp_millis()))
            .bind(attempt.answer_status.map(i64::from))
            .bind(&attempt.error)
            .bind(due.is_none().then_some(at))
            .fetch_optional(&mut *tx)
            .await?;
        let Some(webhook) = webhook else { return Ok(()) };
        if attempt.next == Next::Delivered {
            sqlx::query(SUCCEEDED).bind(&webhook).execute(&mut *tx).await?;
        } else {
            let failing: i64 = sqlx::query_scalar(FAILED).bind(&webhook).bind(at).fetch_one(&mut *tx).await?;
            let reason = match attempt.next {
                Next::Gone => Some(DisabledReason::Gone),
                _ => (failing <= patience_ends.timestamp_millis()).then_some(DisabledReason::Failing),
            };
            if let Some(reason) = reason {
                sqlx::query(DISABLE).bind(&webhook).bind(at).bind(reason.name()).execute(&mut *tx).await?;
                sqlx::query(GIVE_UP_ON_ALL).bind(&webhook).bind(at).execute(&mut *tx).await?;
            }
        }
        sqlx::query(PRUNE).bind(&webhook).bind(MAX_FINISHED).execute(&mut *tx).await?;
        tx.commit().await
    }

    /// Up to `limit + 1` deliveries of a webhook, newest first: the extra one tells that there are more.
    pub async fn deliveries(
        &self,
        webhook: Uuid,
        status: Option<DeliveryStatus>,
        page: &Page,
    ) -> Result<Vec<Delivery>, StoreError> {
        let rows: Vec<DeliveryRow> = sqlx::query_as(DELIVERIES)
            .bind(webhook.to_string())
            .bind(status.map(DeliveryStatus::name))
            .bind(page.after.map(|id| id.to_string()))
            .bind(i64::from(page.limit) + 1)
            .fetch_all(&self.read)
            .await?;
        rows.into_iter().map(Delivery::try_from).collect()
    }
}

impl TryFrom<WebhookRow> for Webhook {
    type Error = StoreError;

    fn try_from(row: WebhookRow) -> Result<Self, StoreError> {
        let at = Place { table: "webhook", id: &row.webhook_id };
        let disabled = match (row.disabled_ms, &row.disabled_reason) {
            (None, _) => None,
            (Some(ms), Some(name)) => {
                let reason = DisabledReason::ALL.into_iter().find(|reason| reason.name() == name);
                let reason = reason.ok_or_else(|| at.corrupt("disabled_reason", name))?;
                Some(Disabled { at: at.time("disabled_ms", ms)?, reason })
            }
            (Some(_), None) => return Err(at.corrupt("disabled_reason", "there is none")),
        };
        Ok(Self {
            id: at.uuid("webhook_id", &row.webhook_id)?,
            events: at.json::<Vec<EventKind>>("events", &row.events)?,
            created_at: at.time("created_ms", row.created_ms)?,
            failing_since: row.failing_ms.map(|ms| at.time("failing_ms", ms)).transpose()?,
            disabled,
            dropped: at.number("n_dropped", row.n_dropped)?,
            secret: Secret(row.secret),
            url: row.url,
        })
    }
}

impl TryFrom<DeliveryRow> for Delivery {
    type Error = StoreError;

    fn try_from(row: DeliveryRow) -> Result<Self, StoreError> {
        let at = Place { table: "delivery", id: &row.delivery_id };
        let status = DeliveryStatus::ALL.into_iter().find(|status| status.name() == row.status);
        Ok(Self {
            id: at.uuid("delivery_id", &row.delivery_id)?,
            webhook: at.uuid("webhook_id", &row.webhook_id)?,
            run: at.uuid("run_id", &row.run_id)?,
            seq: at.number("seq", row.seq)?,
            kind: event_kind(&row.kind).ok_or_else(|| at.corrupt("kind", &row.kind))?,
            status: status.ok_or_else(|| at.corrupt("status", &row.status))?,
            attempts: at.number("n_attempts", row.n_attempts)?,
            due_at: row.due_ms.map(|ms| at.time("due_ms", ms)).transpose()?,
            answer_status: row.answer_status.map(|n| at.number("answer_status", n)).transpose()?,
            created_at: at.time("created_ms", row.created_ms)?,
            finished_at: row.finished_ms.map(|ms| at.time("finished_ms", ms)).transpose()?,
            error: row.error,
        })
    }
}

impl TryFrom<DueRow> for Due {
    type Error = StoreError;

    fn try_from(row: DueRow) -> Result<Self, StoreError> {
        let at = Place { table: "delivery", id: &row.delivery_id };
        Ok(Self {
            id: at.uuid("delivery_id", &row.delivery_id)?,
            webhook: at.uuid("webhook_id", &row.webhook_id)?,
            attempts: at.number("n_attempts", row.n_attempts)?,
            url: row.url,
            secret: Secret(row.secret),
            body: row.body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{open, train_run};
    use super::*;

    #[tokio::test]
    async fn of_what_is_over_the_last_thousand_are_kept() {
        let (_dir, store) = open().await;
        let new = Webhook {
            id: Uuid::now_v7(),
            url: "https://example.com/".into(),
            events: vec![EventKind::Status],
            secret: Secret("whsec_".into()),
            created_at: Utc::now(),
            failing_since: None,
            disabled: None,
            dropped: 0,
        };
        let webhook = store.insert_webhook(new).await.unwrap().unwrap();
        let fill = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1500)
            insert into delivery (delivery_id, webhook_id, run_id, seq, kind, body, status, n_attempts, created_ms)
            select printf('00000000-0000-7000-8000-%012d', i), $1, $1, i, 'done', '{}', 'failed', 10, 0 from n";
        sqlx::query(fill).bind(webhook.id.to_string()).execute(&store.write).await.unwrap();
        store.insert_run(train_run("m")).await.unwrap();
        let at = Utc::now();
        let due = store.due_deliveries(at).await.unwrap().remove(0);
        let attempt = Attempt { at, answer_status: Some(200), error: None, next: Next::Delivered };
        store.record_attempt(due.id, &attempt, at).await.unwrap();
        let kept = store.deliveries(webhook.id, None, &Page { limit: 2_000, after: None }).await.unwrap();
        assert_eq!((kept.len(), kept[0].id, kept[0].status), (1_000, due.id, DeliveryStatus::Delivered));
        assert_eq!(kept[999].seq, 502);
        // what is over stays as it is
        let late = Attempt { next: Next::Failed, ..attempt };
        store.record_attempt(due.id, &late, at).await.unwrap();
        let kept = store.deliveries(webhook.id, None, &Page { limit: 1, after: None }).await.unwrap();
        assert_eq!((kept[0].status, kept[0].attempts), (DeliveryStatus::Delivered, 1));
    }
}
