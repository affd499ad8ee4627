//! A transaction that writes.

use super::StoreError;
use super::registry::Changing;
use crate::faults;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};
use std::ops::{Deref, DerefMut};

/// Takes the write lock at once: what the transaction reads stays true until it commits.
const BEGIN: &str = "begin immediate";

/// All or nothing, under the name of what it does. Dropped without [`commit`](Self::commit), it was nothing.
pub(super) struct Writing {
    what: &'static str,
    tx: Transaction<'static, Sqlite>,
    /// Dropped behind the transaction.
    changing: Option<Changing>,
}

impl Writing {
    pub(super) async fn begin(pool: &SqlitePool, what: &'static str) -> Result<Self, StoreError> {
        faults::point(what, "begin")?;
        let tx = match pool.begin_with(BEGIN).await {
            // when a disk is full, SQLite ends the transaction itself, and the connection goes on believing in it
            Err(sqlx::Error::InvalidSavePointStatement | sqlx::Error::BeginFailed) => {
                pool.acquire().await?.close().await?;
                pool.begin_with(BEGIN).await?
            }
            other => other?,
        };
        Ok(Self { what, tx, changing: None })
    }

    /// The same, and told to those who remember what references to models mean.
    pub(super) fn changing(self, changing: Changing) -> Self {
        Self { changing: Some(changing), ..self }
    }

    /// When this returns, what was written is on disk. An error means that it is not, and never will be.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        faults::point(self.what, "commit")?;
        self.tx.commit().await?;
        drop(self.changing);
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
