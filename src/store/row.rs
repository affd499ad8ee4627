//! Rows to domain types. A row that makes no sense is `Corrupt`, and says which.

use super::StoreError;
use crate::domain::{
    Alias, Checkpoint, Event, EventKind, Made, ModelName, Origin, Priority, Progress, Run, Status, Version,
    VersionRef,
};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use uuid::Uuid;

#[derive(sqlx::FromRow)]
pub(super) struct RunRow {
    run_id: String,
    status: String,
    model: String,
    work: String,
    dataset: String,
    seed: String,
    epoch: i64,
    epochs: i64,
    best: Option<String>,
    error: Option<String>,
    last_seq: i64,
    attempt: i64,
    priority: i64,
    tags: String,
    deadline_s: Option<i64>,
    created_ms: i64,
    started_ms: Option<i64>,
    finished_ms: Option<i64>,
    memory_bytes: i64,
    version_id: Option<String>,
    version_model: Option<String>,
    version_number: Option<i64>,
    version_digest: Option<String>,
}

#[derive(sqlx::FromRow)]
pub(super) struct EventRow {
    run_id: String,
    seq: i64,
    position: i64,
    kind: String,
    data: String,
    at_ms: i64,
}

#[derive(sqlx::FromRow)]
pub(super) struct VersionRow {
    version_id: String,
    model: String,
    number: i64,
    origin: String,
    run_id: String,
    parent_id: Option<String>,
    work: String,
    dataset: String,
    digest: String,
    size_bytes: i64,
    metrics: String,
    created_ms: i64,
    revoked_ms: Option<i64>,
    replacement_id: Option<String>,
}

#[derive(sqlx::FromRow)]
pub(super) struct AliasRow {
    model: String,
    alias: String,
    version_id: String,
    updated_ms: i64,
}

#[derive(sqlx::FromRow)]
pub(super) struct CheckpointRow {
    checkpoint_id: String,
    run_id: String,
    epoch: i64,
    batch: i64,
    batches: i64,
    digest: String,
    size_bytes: i64,
    metrics: Option<String>,
    created_ms: i64,
}

impl TryFrom<RunRow> for Run {
    type Error = StoreError;

    fn try_from(row: RunRow) -> Result<Self, StoreError> {
        let at = Place { table: "run", id: &row.run_id };
        let version = match (row.version_id, row.version_model, row.version_number, row.version_digest) {
            (None, ..) => None,
            (Some(id), Some(model), Some(number), Some(digest)) => Some(VersionRef {
                model,
                version: at.number("version.number", number)?,
                id: at.uuid("version_id", &id)?,
                digest,
            }),
            (Some(_), ..) => return Err(at.corrupt("version_id", "there is no such version")),
        };
        Ok(Self {
            id: at.uuid("run_id", &row.run_id)?,
            status: at.status(&row.status)?,
            work: at.json("work", &row.work)?,
            dataset: at.json("dataset", &row.dataset)?,
            seed: row.seed.parse().map_err(|e| at.corrupt("seed", e))?,
            progress: Progress {
                epoch: at.number("epoch", row.epoch)?,
                epochs: at.number("epochs", row.epochs)?,
            },
            best: row.best.as_deref().map(|text| at.json("best", text)).transpose()?,
            error: row.error.as_deref().map(|text| at.json("error", text)).transpose()?,
            last_seq: at.number("last_seq", row.last_seq)?,
            version,
            attempt: at.number("attempt", row.attempt)?,
            priority: at.priority(row.priority)?,
            tags: at.json("tags", &row.tags)?,
            memory_bytes: at.number("memory_bytes", row.memory_bytes)?,
            deadline_s: row.deadline_s.map(|s| at.number("deadline_s", s)).transpose()?,
            created_at: at.time("created_ms", row.created_ms)?,
            started_at: row.started_ms.map(|ms| at.time("started_ms", ms)).transpose()?,
            finished_at: row.finished_ms.map(|ms| at.time("finished_ms", ms)).transpose()?,
            model: row.model,
        })
    }
}

impl TryFrom<EventRow> for Event {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        let at = Place { table: "event", id: &row.run_id };
        Ok(Self {
            run: at.uuid("run_id", &row.run_id)?,
            seq: at.number("seq", row.seq)?,
            position: at.number("position", row.position)?,
            kind: event_kind(&row.kind).ok_or_else(|| at.corrupt("kind", &row.kind))?,
            data: at.json("data", &row.data)?,
            at: at.time("at_ms", row.at_ms)?,
        })
    }
}

impl TryFrom<VersionRow> for Version {
    type Error = StoreError;

    fn try_from(row: VersionRow) -> Result<Self, StoreError> {
        let at = Place { table: "version", id: &row.version_id };
        Ok(Self {
            id: at.uuid("version_id", &row.version_id)?,
            model: at.name("model", row.model)?,
            number: at.number("number", row.number)?,
            origin: match row.origin.as_str() {
                "run" => Origin::Run(Box::new(Made {
                    run: at.uuid("run_id", &row.run_id)?,
                    work: at.json("work", &row.work)?,
                    dataset: at.json("dataset", &row.dataset)?,
                })),
                "import" => Origin::Import,
                other => return Err(at.corrupt("origin", format_args!("`{other}` is no origin"))),
            },
            parent: row.parent_id.as_deref().map(|id| at.uuid("parent_id", id)).transpose()?,
            size_bytes: at.number("size_bytes", row.size_bytes)?,
            metrics: at.json("metrics", &row.metrics)?,
            created_at: at.time("created_ms", row.created_ms)?,
            revoked_at: row.revoked_ms.map(|ms| at.time("revoked_ms", ms)).transpose()?,
            replacement: row.replacement_id.as_deref().map(|id| at.uuid("replacement_id", id)).transpose()?,
            digest: row.digest,
        })
    }
}

impl TryFrom<AliasRow> for Alias {
    type Error = StoreError;

    fn try_from(row: AliasRow) -> Result<Self, StoreError> {
        let at = Place { table: "alias", id: &row.alias };
        Ok(Self {
            version: at.uuid("version_id", &row.version_id)?,
            updated_at: at.time("updated_ms", row.updated_ms)?,
            model: at.name("model", row.model)?,
            alias: at.name("alias", row.alias.clone())?,
        })
    }
}

impl TryFrom<CheckpointRow> for Checkpoint {
    type Error = StoreError;

    fn try_from(row: CheckpointRow) -> Result<Self, StoreError> {
        let at = Place { table: "checkpoint", id: &row.checkpoint_id };
        Ok(Self {
            id: at.uuid("checkpoint_id", &row.checkpoint_id)?,
            run: at.uuid("run_id", &row.run_id)?,
            epoch: at.number("epoch", row.epoch)?,
            batch: at.number("batch", row.batch)?,
            batches: at.number("batches", row.batches)?,
            size_bytes: at.number("size_bytes", row.size_bytes)?,
            metrics: row.metrics.as_deref().map(|text| at.json("metrics", text)).transpose()?,
            created_at: at.time("created_ms", row.created_ms)?,
            digest: row.digest,
        })
    }
}

/// Where a value came from, for the error that says so.
pub(super) struct Place<'a> {
    pub(super) table: &'static str,
    pub(super) id: &'a str,
}

impl Place<'_> {
    pub(super) fn corrupt(&self, column: &str, detail: impl std::fmt::Display) -> StoreError {
        StoreError::Corrupt(format!("{} `{}`, {column}: {detail}", self.table, self.id))
    }

    pub(super) fn uuid(&self, column: &str, text: &str) -> Result<Uuid, StoreError> {
        Uuid::parse_str(text).map_err(|e| self.corrupt(column, e))
    }

    pub(super) fn json<T: DeserializeOwned>(&self, column: &str, text: &str) -> Result<T, StoreError> {
        serde_json::from_str(text).map_err(|e| self.corrupt(column, e))
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, column: &str, value: i64) -> Result<T, StoreError> {
        T::try_from(value).map_err(|_| self.corrupt(column, format_args!("{value} is out of range")))
    }

    pub(super) fn time(&self, column: &str, ms: i64) -> Result<DateTime<Utc>, StoreError> {
        DateTime::from_timestamp_millis(ms)
            .ok_or_else(|| self.corrupt(column, format_args!("{ms} is not a time")))
    }

    fn name(&self, column: &str, text: String) -> Result<ModelName, StoreError> {
        ModelName::try_from(text).map_err(|e| self.corrupt(column, e))
    }

    fn priority(&self, place: i64) -> Result<Priority, StoreError> {
        Priority::ALL
            .into_iter()
            .find(|&priority| priority as i64 == place)
            .ok_or_else(|| self.corrupt("priority", format_args!("{place} is no priority")))
    }

    fn status(&self, text: &str) -> Result<Status, StoreError> {
        Status::ALL
            .into_iter()
            .find(|status| status.name() == text)
            .ok_or_else(|| self.corrupt("status", format_args!("`{text}` is no status")))
    }
}

pub(super) fn event_kind(name: &str) -> Option<EventKind> {
    EventKind::DURABLE.into_iter().find(|kind| kind.name() == name)
}

/// A column of ids.
pub(super) fn ids(texts: &[String]) -> Result<Vec<Uuid>, StoreError> {
    texts.iter().map(|id| Uuid::parse_str(id).map_err(|e| StoreError::Corrupt(e.to_string()))).collect()
}

/// What is stored of a time: milliseconds.
pub(super) fn now() -> DateTime<Utc> {
    to_ms(Utc::now())
}

pub(super) fn to_ms(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(time.timestamp_millis()).expect("a time cut to milliseconds is a time")
}

/// A count as the database holds it.
///
/// # Panics
///
/// If it is above 2⁶³−1, which nothing we count reaches.
pub(super) fn big(count: u64) -> i64 {
    i64::try_from(count).expect("counts stay below 2^63")
}

pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("domain types serialise")
}
