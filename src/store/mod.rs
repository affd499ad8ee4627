//! Durable state in SQLite: runs, events, versions, aliases. Rows in, domain types out; no business rules
//! beyond "a state change and its event commit together".
//!
//! One connection writes, in `begin immediate` transactions; several read. Every commit is on disk before
//! it is reported (`synchronous=FULL`).

mod alias;
mod change;
mod checkpoint;
mod error;
mod open;
mod publish;
mod row;
mod run;
mod version;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

pub use change::{Fence, NewEvent, RunChange};
pub use error::StoreError;
pub use publish::{Publication, Publish};
pub use run::{Page, RunFilter};

use sqlx::{Sqlite, SqlitePool, Transaction};
use std::sync::Arc;

/// The database: one writing connection, several reading ones. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    read: SqlitePool,
    write: SqlitePool,
    /// Held while any clone lives: two processes never share a database.
    _lock: Arc<std::fs::File>,
}

impl Store {
    /// Whether the database answers, for readiness.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.read).await?;
        Ok(())
    }

    /// Closes every connection, folding the write-ahead log into the database file.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    /// `immediate` takes the write lock at once: what the transaction reads stays true until it commits.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.write.begin_with("begin immediate").await?)
    }
}
