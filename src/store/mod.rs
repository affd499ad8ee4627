//! Durable state in SQLite: runs, events, versions, aliases. Rows in, domain types out; no business rules
//! beyond "a state change and its event commit together".

use crate::domain::{
    Alias, Best, Event, EventKind, Kind, ModelName, ModelRef, Progress, Run, RunError, Status, Version,
};
use serde_json::Value;
use std::path::Path;
use uuid::Uuid;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("not found")]
    NotFound,
    /// The change is not allowed in the present state; nothing was written.
    #[error("run is {actual:?}")]
    WrongState { actual: Status },
    /// The version exists but may not be used any more.
    #[error("version revoked")]
    Revoked { version: Box<Version> },
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// An event about to be written; the store numbers and dates it and adds `run` and `seq` to `data`.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    pub kind: EventKind,
    pub data: Value,
}

/// What changes on the run in the same transaction as an event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunChange {
    pub status: Option<Status>,
    pub progress: Option<Progress>,
    pub best: Option<Best>,
    pub error: Option<RunError>,
}

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

/// The database: one writing connection, several reading ones.
#[derive(Clone, Debug)]
pub struct Store {
    _pool: sqlx::SqlitePool,
}

impl Store {
    /// Opens (creating and migrating) the database file. WAL, `synchronous=FULL`, foreign keys on.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let _ = path;
        todo!()
    }

    /// Inserts the run with its first event (`status`, `queued`), in one transaction.
    pub async fn insert_run(&self, run: Run) -> Result<(Run, Event), StoreError> {
        let _ = run;
        todo!()
    }

    pub async fn run(&self, id: Uuid) -> Result<Run, StoreError> {
        let _ = id;
        todo!()
    }

    /// Up to `limit + 1` runs, newest first: the extra one tells that there are more.
    pub async fn runs(&self, filter: &RunFilter, page: &Page) -> Result<Vec<Run>, StoreError> {
        let _ = (filter, page);
        todo!()
    }

    /// Applies `change` and appends `event` in one transaction, if `Status::can_become` allows it
    /// (`WrongState` otherwise). `None` as event when only progress moves.
    pub async fn advance(
        &self,
        id: Uuid,
        change: RunChange,
        event: NewEvent,
    ) -> Result<(Run, Event), StoreError> {
        let _ = (id, change, event);
        todo!()
    }

    /// Takes the oldest queued run, marks it running and appends its event.
    pub async fn claim(&self) -> Result<Option<(Run, Event)>, StoreError> {
        todo!()
    }

    /// Deletes a terminal run with its events (`WrongState` otherwise). Versions it published stay.
    pub async fn delete_run(&self, id: Uuid) -> Result<(), StoreError> {
        let _ = id;
        todo!()
    }

    /// Events with `seq > after`, in order, at most `limit`.
    pub async fn events(&self, run: Uuid, after: u64, limit: u32) -> Result<Vec<Event>, StoreError> {
        let _ = (run, after, limit);
        todo!()
    }

    pub async fn report(&self, run: Uuid) -> Result<Option<Value>, StoreError> {
        let _ = run;
        todo!()
    }

    /// Resolves what a person wrote. A revoked version answers `Revoked`, except by `including_revoked`.
    pub async fn version(
        &self,
        reference: &ModelRef,
        including_revoked: bool,
    ) -> Result<Version, StoreError> {
        let _ = (reference, including_revoked);
        todo!()
    }

    /// All versions of a model, newest first.
    pub async fn versions(&self, model: &ModelName) -> Result<Vec<Version>, StoreError> {
        let _ = model;
        todo!()
    }

    /// Model names in alphabetical order, after `after`.
    pub async fn models(&self, after: Option<&str>, limit: u32) -> Result<Vec<ModelName>, StoreError> {
        let _ = (after, limit);
        todo!()
    }

    pub async fn aliases(&self, model: &ModelName) -> Result<Vec<Alias>, StoreError> {
        let _ = model;
        todo!()
    }

    /// Points the alias at a version of the same model that is not revoked.
    pub async fn set_alias(
        &self,
        model: &ModelName,
        alias: &ModelName,
        version: Uuid,
    ) -> Result<Alias, StoreError> {
        let _ = (model, alias, version);
        todo!()
    }

    pub async fn delete_alias(&self, model: &ModelName, alias: &ModelName) -> Result<(), StoreError> {
        let _ = (model, alias);
        todo!()
    }

    /// Marks a version revoked; aliases that point at it move to `replacement` if it is of the same model.
    pub async fn revoke(&self, version: Uuid, replacement: Option<Uuid>) -> Result<Version, StoreError> {
        let _ = (version, replacement);
        todo!()
    }

    /// Whether the database answers, for readiness.
    pub async fn ping(&self) -> Result<(), StoreError> {
        todo!()
    }
}
