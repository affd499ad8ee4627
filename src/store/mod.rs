//! Durable state in SQLite: runs, events, versions, aliases, webhooks, answers under keys. Rows in, domain types
//! out; no business rules beyond "a state change and its event commit together".
//!
//! One connection writes, in `begin immediate` transactions; several read. Every commit is on disk before
//! it is reported (`synchronous=FULL`).

mod alias;
mod change;
mod checkpoint;
mod error;
mod idempotency;
mod lease;
mod log;
mod open;
mod place;
mod publish;
mod registry;
mod row;
mod run;
mod upgrade;
mod version;
mod webhook;
mod writing;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

pub use change::{Fence, NewEvent, RunChange};
pub use error::StoreError;
pub use idempotency::{KeptAnswer, KeyedRequest, Reservation};
pub use lease::Terms;
pub use log::{LogPage, Retention, Scope};
pub use publish::{Publication, Publish};
pub use run::{Page, RunFilter};
pub use version::NewVersion;
pub use webhook::{Attempt, Due, MAX_WEBHOOKS, Next};

use place::Place;
use registry::Registry;
use sqlx::SqlitePool;
use std::sync::Arc;
use writing::Writing;

/// The database: one writing connection, several reading ones. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    read: SqlitePool,
    write: SqlitePool,
    place: Arc<Place>,
    registry: Registry,
}

impl Store {
    /// Whether the database answers, for readiness.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.place.check()?;
        sqlx::query("select 1").execute(&self.read).await?;
        Ok(())
    }

    /// Closes every connection, folding the write-ahead log into the database file.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    /// A number that is another one after every change of what a reference to a model means. Who remembers what one
    /// meant takes the number first and reads the table then.
    pub fn registry_generation(&self) -> u64 {
        self.registry.generation()
    }

    /// Begins to write what references to models are looked up in.
    async fn begin_registry(&self, what: &'static str) -> Result<Writing, StoreError> {
        Ok(self.begin(what).await?.changing(self.registry.changing()))
    }

    /// Begins to write; `what` names the transaction (`faults::POINTS`).
    async fn begin(&self, what: &'static str) -> Result<Writing, StoreError> {
        self.place.check()?;
        Writing::begin(&self.write, what).await
    }
}
