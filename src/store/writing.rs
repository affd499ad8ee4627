//! A transaction that writes.

use super::StoreError;
use crate::faults;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};
use std::ops::{Deref, DerefMut};

/// All or nothing, under the name of what it does. Dropped without [`commit`](Self::commit), it was nothing.
pub(super) struct Writing {
    what: &'static str,
    tx: Transaction<'static, Sqlite>,
}

impl Writing {
    /// `immediate` takes the write lock at once: what the transaction reads stays true until it commits.
    pub(super) async fn begin(pool: &SqlitePool, what: &'static str) -> Result<Self, StoreError> {
        faults::point(what, "begin")?;
        Ok(Self { what, tx: pool.begin_with("begin immediate").await? })
    }

    /// When this returns, what was written is on disk. An error means that it is not, and never will be.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        faults::point(self.what, "commit")?;
        self.tx.commit().await?;
        // too late to fail; a crash is still possible
        let _ = faults::point(self.what, "committed");
        Ok(())
    }
}

impl Deref for Writing {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.tx
    }
}

impl DerefMut for Writing {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.tx
    }
}
