//! Who has a run, and until when: claims, signs of life, and what becomes of a run whose worker gives none.

use super::change::apply;
use super::row::RunRow;
use super::run::select_run;
use super::{Fence, RunChange, Store, StoreError};
use crate::domain::{Event, Run, RunError, Status};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Runs that lost their worker this often without coming any further are given up.
pub const MAX_LOST: i64 = 5;

const FIRST_QUEUED: &str = select_run!("where r.status = 'queued' order by r.priority, r.run_id limit 1");
const AT_WORK: &str = "select count(*), cast(total(memory_bytes) as integer) from run
    where status in ('running', 'pausing', 'canceling')";
const LEFT_BEHIND: &str = select_run!(
    "where r.status in ('running', 'pausing', 'canceling') and ($1 is null or coalesce(r.lease_until_ms, 0) < $1)
     order by r.run_id"
);
const SET_LEASE: &str = "update run set lease_until_ms = $2 where run_id = $1";
const RENEW: &str = "update run set lease_until_ms = $3
    where run_id = $1 and attempt = $2 and status in ('running', 'pausing', 'canceling')";
const COUNT_LOST: &str = "update run set n_lost = n_lost + 1 where run_id = $1 returning n_lost";

/// On which terms a run is claimed.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Until when the claim holds without a sign of life.
    pub until: DateTime<Utc>,
    /// Bytes that all runs at work may be predicted to need together. One run alone may always work.
    pub memory: u64,
}

impl Store {
    /// Takes the oldest queued run of the first priority there is, marks it running and appends its event. Its
    /// `attempt` is the fence. `None` as well while there is not enough memory for it beside those at work: nothing
    /// overtakes it, or a large run would wait for ever.
    pub async fn claim(&self, terms: Terms) -> Result<Option<(Run, Vec<Event>)>, StoreError> {
        let mut tx = self.begin("claim").await?;
        let row: Option<RunRow> = sqlx::query_as(FIRST_QUEUED).fetch_optional(&mut *tx).await?;
        let Some(row) = row else { return Ok(None) };
        let mut run = Run::try_from(row)?;
        let (n_at_work, used): (i64, i64) = sqlx::query_as(AT_WORK).fetch_one(&mut *tx).await?;
        if n_at_work > 0 && used.cast_unsigned().saturating_add(run.memory_bytes) > terms.memory {
            return Ok(None);
        }
        let events = apply(&mut tx, &mut run, RunChange::to(Status::Running), vec![]).await?;
        sqlx::query(SET_LEASE)
            .bind(run.id.to_string())
            .bind(terms.until.timestamp_millis())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Some((run, events)))
    }

    /// A sign of life of the workers that have these runs. A claim that was lost is not won back.
    pub async fn renew(&self, held: &[(Uuid, Fence)], until: DateTime<Utc>) -> Result<(), StoreError> {
        let mut tx = self.begin("renew").await?;
        for (id, fence) in held {
            sqlx::query(RENEW)
                .bind(id.to_string())
                .bind(i64::from(fence.0))
                .bind(until.timestamp_millis())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await
    }

    /// Puts right, in one transaction, what workers that live no more left behind: running runs go back to the queue
    /// (or fail as `worker_lost` when that happened `MAX_LOST` times without a checkpoint in between), canceling ones
    /// become canceled, pausing ones paused. With `lapsed_by` only those whose claim had ended by then.
    pub async fn reconcile(
        &self,
        lapsed_by: Option<DateTime<Utc>>,
    ) -> Result<Vec<(Run, Vec<Event>)>, StoreError> {
        let reason = if lapsed_by.is_some() { "lease_expired" } else { "server_restarted" };
        let lapsed_ms = lapsed_by.map(|at| at.timestamp_millis());
        let left: Vec<RunRow> = sqlx::query_as(LEFT_BEHIND).bind(lapsed_ms).fetch_all(&self.read).await?;
        if left.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin("reconcile").await?;
        let rows: Vec<RunRow> = sqlx::query_as(LEFT_BEHIND).bind(lapsed_ms).fetch_all(&mut *tx).await?;
        let mut changed = Vec::with_capacity(rows.len());
        for row in rows {
            let mut run = Run::try_from(row)?;
            let n_lost: i64 =
                sqlx::query_scalar(COUNT_LOST).bind(run.id.to_string()).fetch_one(&mut *tx).await?;
            let change = match run.status.when_left() {
                Some(Status::Queued) if n_lost >= MAX_LOST => RunChange::failed(RunError {
                    code: "worker_lost".into(),
                    message: format!(
                        "the run lost its worker {n_lost} times in a row; it may be what ends it"
                    ),
                }),
                Some(Status::Queued) => RunChange { reason: Some(reason), ..RunChange::to(Status::Queued) },
                Some(other) => RunChange::to(other),
                None => continue,
            };
            let events = apply(&mut tx, &mut run, change, vec![]).await?;
            changed.push((run, events));
        }
        tx.commit().await?;
        Ok(changed)
    }
}
