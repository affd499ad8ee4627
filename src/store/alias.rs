//! Aliases: movable pointers to versions.

use super::row::{AliasRow, now};
use super::{Store, StoreError, version};
use crate::domain::{Alias, ModelName};
use sqlx::SqliteConnection;
use uuid::Uuid;

const OF_MODEL: &str =
    "select model, alias, version_id, updated_ms from alias where model = $1 order by alias";
const SET: &str = "insert into alias (model, alias, version_id, updated_ms) values ($1, $2, $3, $4)
    on conflict (model, alias) do update set version_id = excluded.version_id, updated_ms = excluded.updated_ms";
const DELETE: &str = "delete from alias where model = $1 and alias = $2";

impl Store {
    /// In alphabetical order.
    pub async fn aliases(&self, model: &ModelName) -> Result<Vec<Alias>, StoreError> {
        let rows: Vec<AliasRow> = sqlx::query_as(OF_MODEL).bind(model.as_str()).fetch_all(&self.read).await?;
        rows.into_iter().map(Alias::try_from).collect()
    }

    /// Points the alias at a version of the same model that is not revoked.
    ///
    /// # Errors
    ///
    /// `NotFound` if the model has no such version, `Revoked` if it may not be used.
    pub async fn set_alias(
        &self,
        model: &ModelName,
        alias: &ModelName,
        version: Uuid,
    ) -> Result<Alias, StoreError> {
        let mut tx = self.begin_registry("set_alias").await?;
        let version = version::servable(version::load(&mut tx, version).await?)?;
        if version.model != *model {
            return Err(StoreError::NotFound);
        }
        let alias = set(&mut tx, model, alias, version.id).await?;
        tx.commit().await?;
        Ok(alias)
    }

    pub async fn delete_alias(&self, model: &ModelName, alias: &ModelName) -> Result<(), StoreError> {
        let mut tx = self.begin_registry("delete_alias").await?;
        let done = sqlx::query(DELETE).bind(model.as_str()).bind(alias.as_str()).execute(&mut *tx).await?;
        tx.commit().await?;
        if done.rows_affected() == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }
}

/// Sets within the caller's transaction.
pub(super) async fn set(
    connection: &mut SqliteConnection,
    model: &ModelName,
    alias: &ModelName,
    version: Uuid,
) -> Result<Alias, StoreError> {
    let updated_at = now();
    sqlx::query(SET)
        .bind(model.as_str())
        .bind(alias.as_str())
        .bind(version.to_string())
        .bind(updated_at.timestamp_millis())
        .execute(connection)
        .await?;
    Ok(Alias { model: model.clone(), alias: alias.clone(), version, updated_at })
}
