//! Runs and their event logs.

use super::change::{self, apply, status_event};
use super::row::{EventRow, RunRow, big, json, now, to_ms};
use super::{Fence, NewEvent, RunChange, Store, StoreError};
use crate::domain::{Event, Kind, Progress, Run, Status};
use serde_json::Value;
use sqlx::SqliteConnection;
use uuid::Uuid;

macro_rules! select_run {
    ($tail:literal) => {
        concat!(
            "select r.run_id, r.status, r.model, r.work, r.dataset, r.seed, r.epoch, r.epochs, r.best, r.error, ",
            "r.last_seq, r.attempt, r.priority, r.tags, r.deadline_s, r.created_ms, r.started_ms, r.finished_ms, ",
            "r.memory_bytes, r.version_id, v.model as version_model, v.number as version_number, v.digest as version_digest ",
            "from run r left join version v on v.version_id = r.version_id ",
            $tail
        )
    };
}

pub(super) use select_run;

const RUN_BY_ID: &str = select_run!("where r.run_id = $1");
const LIST: &str = select_run!(
    "where ($1 is null or $1 like '%,' || r.status || ',%')
       and ($2 is null or r.kind = $2)
       and ($3 is null or r.model = $3)
       and ($4 is null or r.run_id < $4)
     order by r.run_id desc limit $5"
);
const INSERT: &str = "insert into run
    (run_id, kind, status, model, work, dataset, seed, epoch, epochs, last_seq, attempt, n_lost, tags, deadline_s,
     created_ms, priority, memory_bytes)
    values ($1, $2, $3, $4, $5, $6, $7, 0, $8, 0, 0, 0, $9, $10, $11, $12, $13)";
const SET_LAST_SEQ: &str = "update run set last_seq = $2 where run_id = $1";
const DELETE: &str = "delete from run where run_id = $1";
const IS_BLANK: &str = "select not exists (select 1 from run) and not exists (select 1 from version)";
const COUNTS: &str = "select status, count(*) from run group by status";
const REPORT: &str = "select report from run where run_id = $1";
const EVENTS: &str = "select run_id, seq, position, kind, data, at_ms from event
    where run_id = $1 and seq > $2 order by seq limit $3";

/// The run and its first event, as part of a transaction.
pub(super) async fn insert(tx: &mut SqliteConnection, run: Run) -> Result<(Run, Event), StoreError> {
    let mut run = Run {
        status: Status::Queued,
        progress: Progress { epoch: 0, ..run.progress },
        best: None,
        error: None,
        last_seq: 0,
        version: None,
        attempt: 0,
        created_at: to_ms(run.created_at),
        started_at: None,
        finished_at: None,
        ..run
    };
    sqlx::query(INSERT)
        .bind(run.id.to_string())
        .bind(kind_name(run.work.kind()))
        .bind(run.status.name())
        .bind(&run.model)
        .bind(json(&run.work))
        .bind(json(&run.dataset))
        .bind(run.seed.to_string())
        .bind(i64::from(run.progress.epochs))
        .bind(json(&run.tags))
        .bind(run.deadline_s.map(big))
        .bind(run.created_at.timestamp_millis())
        .bind(run.priority as i64)
        .bind(big(run.memory_bytes))
        .execute(&mut *tx)
        .await?;
    let first = status_event(&run, None);
    let event = change::append(tx, &mut run, vec![first], now()).await?.remove(0);
    sqlx::query(SET_LAST_SEQ).bind(run.id.to_string()).bind(big(run.last_seq)).execute(&mut *tx).await?;
    Ok((run, event))
}

/// All conditions that are given must hold.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    pub status: Option<Vec<Status>>,
    pub kind: Option<Kind>,
    pub model: Option<String>,
}

/// One page, newest first for runs; `after` is the last id of the page before.
#[derive(Clone, Debug)]
pub struct Page {
    pub limit: u32,
    pub after: Option<Uuid>,
}

impl Store {
    /// How many runs there are in each status.
    pub async fn run_counts(&self) -> Result<[(Status, i64); 8], StoreError> {
        let found: Vec<(String, i64)> = sqlx::query_as(COUNTS).fetch_all(&self.read).await?;
        let of = |status: Status| found.iter().find(|(name, _)| name == status.name()).map_or(0, |&(_, n)| n);
        Ok(Status::ALL.map(|status| (status, of(status))))
    }

    /// Inserts the run with its first event (`status`, `queued`), in one transaction. What a new run cannot
    /// have yet (progress, attempts, an ending) is reset. Ids are UUIDv7: their
    /// order is that of the queue, within a priority.
    pub async fn insert_run(&self, run: Run) -> Result<(Run, Event), StoreError> {
        let mut tx = self.begin("submit").await?;
        let inserted = insert(&mut tx, run).await?;
        tx.commit().await?;
        Ok(inserted)
    }

    pub async fn run(&self, id: Uuid) -> Result<Run, StoreError> {
        let row: Option<RunRow> =
            sqlx::query_as(RUN_BY_ID).bind(id.to_string()).fetch_optional(&self.read).await?;
        row.ok_or(StoreError::NotFound)?.try_into()
    }

    /// Up to `limit + 1` runs, newest first: the extra one tells that there are more.
    pub async fn runs(&self, filter: &RunFilter, page: &Page) -> Result<Vec<Run>, StoreError> {
        let statuses = filter.status.as_ref().map(|statuses| {
            statuses.iter().fold(String::from(","), |list, status| list + status.name() + ",")
        });
        let rows: Vec<RunRow> = sqlx::query_as(LIST)
            .bind(statuses)
            .bind(filter.kind.map(kind_name))
            .bind(&filter.model)
            .bind(page.after.map(|id| id.to_string()))
            .bind(i64::from(page.limit) + 1)
            .fetch_all(&self.read)
            .await?;
        rows.into_iter().map(Run::try_from).collect()
    }

    /// Applies `change` and appends `events` in one transaction; the events of a change of status follow
    /// those given. A worker shows its `fence`; `None` is for those who act from outside.
    ///
    /// # Errors
    ///
    /// `WrongState` if `Status::can_become` forbids it or the run is over, `LostClaim` if the fence does not
    /// hold. Nothing is written then.
    pub async fn advance(
        &self,
        id: Uuid,
        fence: Option<Fence>,
        change: RunChange,
        events: Vec<NewEvent>,
    ) -> Result<(Run, Vec<Event>), StoreError> {
        let mut tx = self.begin("advance").await?;
        let mut run = load(&mut tx, id).await?;
        fence.map_or(Ok(()), |fence| fence.check(&run))?;
        let events = apply(&mut tx, &mut run, change, events).await?;
        tx.commit().await?;
        Ok((run, events))
    }

    /// Whether nothing has ever been stored here, or all of it is gone.
    pub async fn is_blank(&self) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(IS_BLANK).fetch_one(&self.read).await?)
    }

    /// Deletes a terminal run with its events and report (`WrongState` otherwise). Versions it published stay.
    pub async fn delete_run(&self, id: Uuid) -> Result<(), StoreError> {
        let mut tx = self.begin("delete_run").await?;
        let run = load(&mut tx, id).await?;
        if !run.status.is_terminal() {
            return Err(StoreError::WrongState { actual: run.status });
        }
        sqlx::query(DELETE).bind(id.to_string()).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Events with `seq > after`, in order, at most `limit`. None if there is no such run.
    pub async fn events(&self, run: Uuid, after: u64, limit: u32) -> Result<Vec<Event>, StoreError> {
        // a cursor beyond what the column holds is beyond every event
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows: Vec<EventRow> = sqlx::query_as(EVENTS)
            .bind(run.to_string())
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        rows.into_iter().map(Event::try_from).collect()
    }

    /// The report of a run; `Ok(None)` while (or if) it has none.
    pub async fn report(&self, run: Uuid) -> Result<Option<Value>, StoreError> {
        let text: Option<Option<String>> =
            sqlx::query_scalar(REPORT).bind(run.to_string()).fetch_optional(&self.read).await?;
        text.ok_or(StoreError::NotFound)?
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|e| StoreError::Corrupt(format!("report of run `{run}`: {e}")))
    }
}

pub(super) async fn load(connection: &mut SqliteConnection, id: Uuid) -> Result<Run, StoreError> {
    let row: Option<RunRow> =
        sqlx::query_as(RUN_BY_ID).bind(id.to_string()).fetch_optional(connection).await?;
    row.ok_or(StoreError::NotFound)?.try_into()
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Train => "train",
        Kind::Unlearn => "unlearn",
        Kind::Diagnose => "diagnose",
        Kind::Audit => "audit",
    }
}
