//! The one way a run changes: its row, and the events that tell of it, in the caller's transaction.

use super::row::{big, json, now};
use super::{StoreError, checkpoint, log, webhook};
use crate::domain::{Best, Checkpoint, Event, EventKind, Progress, Run, RunError, Status, Work};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use sqlx::SqliteConnection;
use uuid::Uuid;

const UPDATE_RUN: &str = "update run
    set status = $2, epoch = $3, epochs = $4, best = $5, error = $6, last_seq = $7, attempt = $8,
        started_ms = $9, finished_ms = $10, version_id = $11
    where run_id = $1";

const UPDATE_WORK: &str = "update run set work = $2 where run_id = $1";

const INSERT_EVENT: &str = "insert into event (run_id, seq, position, kind, data, at_ms)
    values ($1, $2, $3, $4, $5, $6)";

/// An event about to be written; the store numbers and dates it and adds `run` and `seq` to `data`.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    pub kind: EventKind,
    /// A JSON object.
    pub data: Value,
}

/// What changes on a run in one transaction. A change of status writes its own `status` event, a terminal
/// one `done` after it: no state is ever reached without them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunChange {
    pub status: Option<Status>,
    /// Why the status changed, for its event: `server_restarted`, …
    pub reason: Option<&'static str>,
    pub progress: Option<Progress>,
    pub best: Option<Best>,
    pub error: Option<RunError>,
    /// What it can go on from, its file on disk; told in a `checkpoint` event.
    pub checkpoint: Option<Box<Checkpoint>>,
    /// Checkpoints it needs no more.
    pub superfluous: Vec<Uuid>,
    /// The order as it has turned out: what it left to the run to find out is found. Of the same kind.
    pub work: Option<Box<Work>>,
}

impl RunChange {
    pub fn to(status: Status) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    pub fn failed(error: RunError) -> Self {
        Self { status: Some(Status::Failed), error: Some(error), ..Self::default() }
    }
}

/// A worker's proof that a run is still its own: the attempt it claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence(pub u32);

impl Fence {
    pub(super) fn check(self, run: &Run) -> Result<(), StoreError> {
        let held = run.status.is_held() && run.attempt == self.0;
        if held { Ok(()) } else { Err(StoreError::LostClaim) }
    }
}

/// Applies `change` to `run` and its row, then appends `events` and what the change itself tells.
///
/// # Errors
///
/// `WrongState` if `Status::can_become` forbids the change, or the run is over.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    run: &mut Run,
    change: RunChange,
    mut events: Vec<NewEvent>,
) -> Result<Vec<Event>, StoreError> {
    let allowed = match change.status {
        Some(next) => run.status.can_become(next),
        None => !run.status.is_terminal(),
    };
    if !allowed {
        return Err(StoreError::WrongState { actual: run.status });
    }
    let at = now();
    if let Some(new) = &change.checkpoint {
        checkpoint::insert(&mut *connection, new).await?;
        events.push(checkpoint_event(new));
    }
    for &id in &change.superfluous {
        checkpoint::delete(&mut *connection, id).await?;
    }
    run.progress = change.progress.unwrap_or(run.progress);
    run.best = change.best.or_else(|| run.best.take());
    run.error = change.error.or_else(|| run.error.take());
    if let Some(status) = change.status {
        run.status = status;
        if status == Status::Running {
            run.attempt += 1;
            run.started_at = run.started_at.or(Some(at));
        }
        events.push(status_event(run, change.reason));
        if status.is_terminal() {
            run.finished_at = Some(at);
            events.push(done_event(run));
        }
    }
    if let Some(work) = change.work {
        debug_assert!(work.kind() == run.work.kind(), "a run never changes its kind");
        sqlx::query(UPDATE_WORK)
            .bind(run.id.to_string())
            .bind(json(&*work))
            .execute(&mut *connection)
            .await?;
        run.work = *work;
    }
    let events = append(&mut *connection, run, events, at).await?;
    sqlx::query(UPDATE_RUN)
        .bind(run.id.to_string())
        .bind(run.status.name())
        .bind(i64::from(run.progress.epoch))
        .bind(i64::from(run.progress.epochs))
        .bind(run.best.as_ref().map(json))
        .bind(run.error.as_ref().map(json))
        .bind(big(run.last_seq))
        .bind(i64::from(run.attempt))
        .bind(run.started_at.map(|t| t.timestamp_millis()))
        .bind(run.finished_at.map(|t| t.timestamp_millis()))
        .bind(run.version.as_ref().map(|v| v.id.to_string()))
        .execute(connection)
        .await?;
    Ok(events)
}

pub(super) fn status_event(run: &Run, reason: Option<&str>) -> NewEvent {
    let mut data = Map::new();
    data.insert("status".into(), json!(run.status));
    if run.attempt > 0 {
        data.insert("attempt".into(), json!(run.attempt));
    }
    if let Some(reason) = reason {
        data.insert("reason".into(), json!(reason));
    }
    if let (Status::Failed, Some(error)) = (run.status, &run.error) {
        data.insert("error".into(), json!(error));
    }
    NewEvent { kind: EventKind::Status, data: Value::Object(data) }
}

fn checkpoint_event(checkpoint: &Checkpoint) -> NewEvent {
    let data = json!({
        "checkpoint": checkpoint.id,
        "epoch": checkpoint.epoch,
        "batch": checkpoint.batch,
        "batches": checkpoint.batches,
        "digest": checkpoint.digest,
        "size_bytes": checkpoint.size_bytes,
    });
    NewEvent { kind: EventKind::Checkpoint, data }
}

fn done_event(run: &Run) -> NewEvent {
    let mut data = json!({ "status": run.status, "best": run.best, "version": run.version });
    if let Some(error) = &run.error {
        data["error"] = json!(error);
    }
    NewEvent { kind: EventKind::Done, data }
}

/// Numbers `events` from the run's last one on, gives them the next places in the log of all, and writes them.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    run: &mut Run,
    events: Vec<NewEvent>,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, StoreError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let before = log::take_places(connection, events.len()).await? - events.len() as u64;
    let events: Vec<Event> =
        (before + 1..).zip(events).map(|(position, new)| number(run, position, new, at)).collect();
    for event in &events {
        insert_event(&mut *connection, event).await?;
    }
    Ok(events)
}

fn number(run: &mut Run, position: u64, new: NewEvent, at: DateTime<Utc>) -> Event {
    run.last_seq += 1;
    let mut data = Map::new();
    data.insert("run".into(), json!(run.id));
    data.insert("seq".into(), json!(run.last_seq));
    match new.data {
        Value::Object(fields) => data.extend(fields),
        other => drop(data.insert("value".into(), other)),
    }
    Event { run: run.id, seq: run.last_seq, position, kind: new.kind, data: Value::Object(data), at }
}

async fn insert_event(connection: &mut SqliteConnection, event: &Event) -> Result<(), StoreError> {
    debug_assert!(event.kind.is_durable(), "only durable events are stored");
    sqlx::query(INSERT_EVENT)
        .bind(event.run.to_string())
        .bind(big(event.seq))
        .bind(big(event.position))
        .bind(event.kind.name())
        .bind(event.data.to_string())
        .bind(event.at.timestamp_millis())
        .execute(&mut *connection)
        .await?;
    webhook::enqueue(connection, event).await
}
