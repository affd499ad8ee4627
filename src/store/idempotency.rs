//! Requests under keys of their senders' choice, and their answers.

use super::row::json;
use super::{Store, StoreError};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;
use uuid::Uuid;

/// How long a key is remembered.
pub const KEY_LIFETIME: TimeDelta = TimeDelta::hours(24);
/// Keys remembered at the same time; of more, the oldest are forgotten early.
pub const MAX_KEYS: u32 = 10_000;

const FORGET_OLD: &str = "delete from idempotency where created_ms <= $1";
const FORGET_EXCESS: &str = "delete from idempotency where created_ms <= (
    select created_ms from idempotency order by created_ms desc limit 1 offset $1)";
const FIND: &str = "select fingerprint, made_id, status, headers, body from idempotency
    where idempotency_key = $1 and operation = $2";
const RESERVE: &str = "insert into idempotency (idempotency_key, operation, fingerprint, made_id, created_ms)
    values ($1, $2, $3, $4, $5)";
const KEEP: &str = "update idempotency set status = $3, headers = $4, body = $5
    where idempotency_key = $1 and operation = $2";

/// Which request it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRequest {
    pub key: String,
    /// Method and path.
    pub operation: String,
    /// Of everything else that decides what it asks for.
    pub fingerprint: String,
}

/// An answer as it is given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// Nothing; from now on it stands for this request. What the request makes is to have this id.
    New(Uuid),
    /// This request came before and has no answer that is kept. What it made, if it made something, has this id.
    Unanswered(Uuid),
    Answered(KeptAnswer),
    /// It stands for another request.
    Taken,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    fingerprint: String,
    made_id: String,
    status: Option<i64>,
    headers: Option<String>,
    body: Option<String>,
}

impl Store {
    /// Finds the key or makes it stand for this request, durably, and forgets what is too old or too much.
    pub async fn reserve_key(
        &self,
        request: &KeyedRequest,
        at: DateTime<Utc>,
    ) -> Result<Reservation, StoreError> {
        let mut tx = self.begin("reserve_key").await?;
        let expired = (at - KEY_LIFETIME).timestamp_millis();
        sqlx::query(FORGET_OLD).bind(expired).execute(&mut *tx).await?;
        let found: Option<KeyRow> =
            sqlx::query_as(FIND).bind(&request.key).bind(&request.operation).fetch_optional(&mut *tx).await?;
        if let Some(row) = found {
            return row.reservation(request);
        }
        // one more is about to come
        sqlx::query(FORGET_EXCESS).bind(i64::from(MAX_KEYS - 1)).execute(&mut *tx).await?;
        let made = Uuid::now_v7();
        sqlx::query(RESERVE)
            .bind(&request.key)
            .bind(&request.operation)
            .bind(&request.fingerprint)
            .bind(made.to_string())
            .bind(at.timestamp_millis())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Reservation::New(made))
    }

    /// Keeps the answer to a request whose key was reserved.
    pub async fn keep_answer(&self, request: &KeyedRequest, answer: &KeptAnswer) -> Result<(), StoreError> {
        let mut tx = self.begin("keep_answer").await?;
        sqlx::query(KEEP)
            .bind(&request.key)
            .bind(&request.operation)
            .bind(i64::from(answer.status))
            .bind(json(&answer.headers))
            .bind(&answer.body)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }
}

impl KeyRow {
    fn reservation(self, request: &KeyedRequest) -> Result<Reservation, StoreError> {
        let corrupt = |column: &str| {
            StoreError::Corrupt(format!("idempotency `{}` of {}, {column}", request.key, request.operation))
        };
        if self.fingerprint != request.fingerprint {
            return Ok(Reservation::Taken);
        }
        match (self.status, self.headers, self.body) {
            (Some(status), Some(headers), Some(body)) => Ok(Reservation::Answered(KeptAnswer {
                status: u16::try_from(status).map_err(|_| corrupt("status"))?,
                headers: serde_json::from_str(&headers).map_err(|_| corrupt("headers"))?,
                body,
            })),
            _ => Ok(Reservation::Unanswered(Uuid::parse_str(&self.made_id).map_err(|_| corrupt("made_id"))?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::open;
    use super::super::row::big;
    use super::*;

    fn request(key: &str) -> KeyedRequest {
        KeyedRequest { key: key.into(), operation: "POST /runs".into(), fingerprint: "a1".into() }
    }

    fn answer() -> KeptAnswer {
        let headers = BTreeMap::from([("location".to_owned(), "/runs/1".to_owned())]);
        KeptAnswer { status: 202, headers, body: "{}".into() }
    }

    fn noon() -> DateTime<Utc> {
        "2026-11-27T12:00:00Z".parse().unwrap()
    }

    #[tokio::test]
    async fn a_key_stands_for_one_request_and_then_for_its_answer() {
        let (_dir, store) = open().await;
        let one = request("k");
        let Reservation::New(made) = store.reserve_key(&one, noon()).await.unwrap() else { panic!() };
        assert_eq!(store.reserve_key(&one, noon()).await.unwrap(), Reservation::Unanswered(made));
        let other = KeyedRequest { fingerprint: "b2".into(), ..one.clone() };
        assert_eq!(store.reserve_key(&other, noon()).await.unwrap(), Reservation::Taken);
        store.keep_answer(&one, &answer()).await.unwrap();
        assert_eq!(store.reserve_key(&one, noon()).await.unwrap(), Reservation::Answered(answer()));
        let elsewhere = KeyedRequest { operation: "POST /audits".into(), ..other };
        assert!(matches!(store.reserve_key(&elsewhere, noon()).await.unwrap(), Reservation::New(_)));
    }

    #[tokio::test]
    async fn a_key_is_forgotten_after_a_day() {
        let (_dir, store) = open().await;
        store.reserve_key(&request("k"), noon()).await.unwrap();
        store.keep_answer(&request("k"), &answer()).await.unwrap();
        let day = noon() + KEY_LIFETIME;
        let almost = store.reserve_key(&request("k"), day - TimeDelta::milliseconds(1)).await.unwrap();
        assert_eq!(almost, Reservation::Answered(answer()));
        assert!(matches!(store.reserve_key(&request("k"), day).await.unwrap(), Reservation::New(_)));
    }

    #[tokio::test]
    async fn of_too_many_keys_the_oldest_are_forgotten() {
        let (_dir, store) = open().await;
        let fill = "with recursive n(i) as (select 1 union all select i + 1 from n where i < $1)
            insert into idempotency (idempotency_key, operation, fingerprint, made_id, created_ms)
            select 'k' || i, 'POST /runs', 'a1', 'x', $2 + i from n";
        let begin = noon().timestamp_millis();
        sqlx::query(fill).bind(i64::from(MAX_KEYS)).bind(begin).execute(&store.write).await.unwrap();
        let later = noon() + TimeDelta::minutes(1);
        store.reserve_key(&request("one more"), later).await.unwrap();
        let count = async || -> i64 {
            sqlx::query_scalar("select count(*) from idempotency").fetch_one(&store.read).await.unwrap()
        };
        assert_eq!(count().await, big(u64::from(MAX_KEYS)));
        assert!(matches!(store.reserve_key(&request("k1"), later).await.unwrap(), Reservation::New(_)));
        assert_eq!(count().await, big(u64::from(MAX_KEYS)));
    }
}
