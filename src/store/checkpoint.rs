//! Checkpoints: written with the change of the run they belong to, listed, purged.

use super::row::{CheckpointRow, big, ids};
use super::{Store, StoreError, run};
use crate::domain::{Checkpoint, Event, Run};
use serde_json::Value;
use sqlx::SqliteConnection;
use uuid::Uuid;

macro_rules! select_checkpoint {
    ($tail:literal) => {
        concat!(
            "select checkpoint_id, run_id, epoch, batch, batches, digest, size_bytes, metrics, created_ms ",
            "from checkpoint ",
            $tail
        )
    };
}

const OF_RUN: &str = select_checkpoint!("where run_id = $1 order by epoch, batch, checkpoint_id");
const ALL: &str = "select checkpoint_id from checkpoint order by checkpoint_id";
const INSERT: &str = "insert into checkpoint
    (checkpoint_id, run_id, epoch, batch, batches, digest, size_bytes, metrics, created_ms)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
/// Whatever took the process away before, the run has come further since.
const FORGIVE: &str = "update run set n_lost = 0 where run_id = $1";
const DELETE: &str = "delete from checkpoint where checkpoint_id = $1";
const EXISTS: &str = "select exists (select 1 from checkpoint where checkpoint_id = $1)";
const PURGE: &str = "delete from checkpoint
    where run_id in (select run_id from version where revoked_ms is not null) returning checkpoint_id";

/// A revoked version's run is not to be told of any more; imported versions have none.
const UNREVOKED_TRAININGS: &str = "select run_id from run r where kind = 'train' and not exists
    (select 1 from version v where v.run_id = r.run_id and v.revoked_ms is not null) order by run_id";

impl Store {
    /// Of a run, in order of their places. None if there is no such run.
    pub async fn checkpoints(&self, run: Uuid) -> Result<Vec<Checkpoint>, StoreError> {
        let rows: Vec<CheckpointRow> =
            sqlx::query_as(OF_RUN).bind(run.to_string()).fetch_all(&self.read).await?;
        rows.into_iter().map(Checkpoint::try_from).collect()
    }

    /// Every checkpoint whose file must be on disk.
    pub async fn all_checkpoints(&self) -> Result<Vec<Uuid>, StoreError> {
        ids(&sqlx::query_scalar::<_, String>(ALL).fetch_all(&self.read).await?)
    }

    /// Every training that may have the losses of its samples on disk.
    pub async fn unrevoked_trainings(&self) -> Result<Vec<Uuid>, StoreError> {
        ids(&sqlx::query_scalar::<_, String>(UNREVOKED_TRAININGS).fetch_all(&self.read).await?)
    }

    /// Forgets the checkpoints of runs whose version was revoked; returns them, for their files to follow.
    pub async fn purge_checkpoints(&self) -> Result<Vec<Uuid>, StoreError> {
        ids(&sqlx::query_scalar::<_, String>(PURGE).fetch_all(&self.write).await?)
    }

    /// Inserts a run that begins where `from` was taken, with `own`, its copy of it, and its first event.
    ///
    /// # Errors
    ///
    /// `NotFound` if `from` is gone.
    pub async fn insert_fork(
        &self,
        run: Run,
        from: Uuid,
        own: &Checkpoint,
    ) -> Result<(Run, Event), StoreError> {
        let mut tx = self.begin("fork").await?;
        let exists: bool = sqlx::query_scalar(EXISTS).bind(from.to_string()).fetch_one(&mut *tx).await?;
        if !exists {
            return Err(StoreError::NotFound);
        }
        let inserted = run::insert(&mut tx, run).await?;
        insert(&mut tx, own).await?;
        tx.commit().await?;
        Ok(inserted)
    }
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    checkpoint: &Checkpoint,
) -> Result<(), StoreError> {
    sqlx::query(INSERT)
        .bind(checkpoint.id.to_string())
        .bind(checkpoint.run.to_string())
        .bind(i64::from(checkpoint.epoch))
        .bind(big(checkpoint.batch))
        .bind(big(checkpoint.batches))
        .bind(&checkpoint.digest)
        .bind(big(checkpoint.size_bytes))
        .bind(checkpoint.metrics.clone().map(|metrics| Value::Object(metrics).to_string()))
        .bind(checkpoint.created_at.timestamp_millis())
        .execute(&mut *connection)
        .await?;
    sqlx::query(FORGIVE).bind(checkpoint.run.to_string()).execute(connection).await?;
    Ok(())
}

pub(super) async fn delete(connection: &mut SqliteConnection, id: Uuid) -> Result<(), StoreError> {
    sqlx::query(DELETE).bind(id.to_string()).execute(connection).await?;
    Ok(())
}
