//! Versions: made, resolved, listed, revoked.

use super::row::{VersionRow, big, ids, json, now};
use super::{Store, StoreError, alias};
use crate::domain::{ModelName, ModelRef, Origin, Selector, Version};
use sqlx::SqliteConnection;
use uuid::Uuid;

macro_rules! select_version {
    ($tail:literal) => {
        concat!(
            "select v.version_id, v.model, v.number, v.origin, v.run_id, v.parent_id, v.work, v.dataset, v.digest, ",
            "v.size_bytes, v.metrics, v.created_ms, v.revoked_ms, v.replacement_id from version v ",
            $tail
        )
    };
}

const BY_ID: &str = select_version!("where v.version_id = $1");
const BY_NUMBER: &str = select_version!("where v.model = $1 and v.number = $2");
const BY_ALIAS: &str =
    select_version!("join alias a on a.version_id = v.version_id where a.model = $1 and a.alias = $2");
/// The newest servable one; if there is none, the newest of all, so that one can say it is revoked.
const LATEST: &str = select_version!(
    "where v.model = $1 order by case when v.revoked_ms is null then 0 else 1 end, v.number desc limit 1"
);
const OF_MODEL: &str = select_version!("where v.model = $1 order by v.number desc");
const MODELS: &str =
    "select distinct model from version where $1 is null or model > $1 order by model limit $2";
const NEXT_NUMBER: &str = "select coalesce(max(number), 0) + 1 from version where model = $1";
const INSERT: &str = "insert into version
    (version_id, model, number, origin, run_id, parent_id, work, dataset, digest, size_bytes, metrics, created_ms)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
const SERVABLE: &str = "select version_id from version where revoked_ms is null order by version_id";
const REVOKE: &str = "update version set revoked_ms = $2, replacement_id = $3 where version_id = $1";
const MOVE_ALIASES: &str = "update alias set version_id = $2, updated_ms = $3 where version_id = $1";

/// A version that is about to be: its number and time are the store's to give. The weights are on disk already.
#[derive(Clone, Debug, PartialEq)]
pub struct NewVersion {
    pub id: Uuid,
    pub model: ModelName,
    pub origin: Origin,
    pub parent: Option<Uuid>,
    /// `sha256:` of the weights file.
    pub digest: String,
    pub size_bytes: u64,
    /// A JSON object of measures.
    pub metrics: serde_json::Value,
}

impl Store {
    /// In one transaction: the version, under the model's next number, and its alias. The one that has this id
    /// already, if there is one.
    pub async fn import(&self, new: NewVersion, alias: Option<&ModelName>) -> Result<Version, StoreError> {
        let mut tx = self.begin_registry("import").await?;
        match load(&mut tx, new.id).await {
            Err(StoreError::NotFound) => {}
            found => return found,
        }
        let version = insert(&mut tx, new).await?;
        if let Some(alias) = alias {
            alias::set(&mut tx, &version.model, alias, version.id).await?;
        }
        tx.commit().await?;
        Ok(version)
    }

    /// Resolves what a person wrote. A revoked version answers `Revoked`, except by `including_revoked`.
    pub async fn version(
        &self,
        reference: &ModelRef,
        including_revoked: bool,
    ) -> Result<Version, StoreError> {
        let query = match reference {
            ModelRef::Id(id) => sqlx::query_as(BY_ID).bind(id.to_string()),
            ModelRef::Named { name, selector } => match selector {
                Selector::Latest => sqlx::query_as(LATEST).bind(name.as_str()),
                Selector::Alias(alias) => sqlx::query_as(BY_ALIAS).bind(name.as_str()).bind(alias.as_str()),
                Selector::Number(number) => {
                    sqlx::query_as(BY_NUMBER).bind(name.as_str()).bind(i64::from(*number))
                }
            },
        };
        let row: Option<VersionRow> = query.fetch_optional(&self.read).await?;
        let version = Version::try_from(row.ok_or(StoreError::NotFound)?)?;
        if including_revoked { Ok(version) } else { servable(version) }
    }

    /// All versions of a model, newest first.
    pub async fn versions(&self, model: &ModelName) -> Result<Vec<Version>, StoreError> {
        let rows: Vec<VersionRow> =
            sqlx::query_as(OF_MODEL).bind(model.as_str()).fetch_all(&self.read).await?;
        rows.into_iter().map(Version::try_from).collect()
    }

    /// Model names in alphabetical order, after `after`.
    pub async fn models(&self, after: Option<&str>, limit: u32) -> Result<Vec<ModelName>, StoreError> {
        let names: Vec<String> =
            sqlx::query_scalar(MODELS).bind(after).bind(i64::from(limit)).fetch_all(&self.read).await?;
        names.into_iter().map(|name| ModelName::try_from(name).map_err(StoreError::Corrupt)).collect()
    }

    /// Every version whose weights must be on disk.
    pub async fn servable_versions(&self) -> Result<Vec<Uuid>, StoreError> {
        ids(&sqlx::query_scalar::<_, String>(SERVABLE).fetch_all(&self.read).await?)
    }

    /// Marks a version revoked; aliases that point at it move to `replacement` if it is of the same model.
    /// Revoking again changes nothing.
    ///
    /// # Errors
    ///
    /// `NotFound` for either version, `Revoked` if the replacement itself is.
    pub async fn revoke(&self, version: Uuid, replacement: Option<Uuid>) -> Result<Version, StoreError> {
        let mut tx = self.begin_registry("revoke").await?;
        let replacement = match replacement {
            Some(id) => Some(servable(load(&mut tx, id).await?)?),
            None => None,
        };
        let version = revoke(&mut tx, version, replacement.as_ref()).await?;
        tx.commit().await?;
        Ok(version)
    }
}

pub(super) fn servable(version: Version) -> Result<Version, StoreError> {
    if version.revoked_at.is_some() {
        return Err(StoreError::Revoked { version: Box::new(version) });
    }
    Ok(version)
}

pub(super) async fn load(connection: &mut SqliteConnection, id: Uuid) -> Result<Version, StoreError> {
    let row: Option<VersionRow> =
        sqlx::query_as(BY_ID).bind(id.to_string()).fetch_optional(connection).await?;
    row.ok_or(StoreError::NotFound)?.try_into()
}

/// Inserts within the caller's transaction.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    new: NewVersion,
) -> Result<Version, StoreError> {
    let number: i64 =
        sqlx::query_scalar(NEXT_NUMBER).bind(new.model.as_str()).fetch_one(&mut *connection).await?;
    let NewVersion { id, model, origin, parent, digest, size_bytes, metrics } = new;
    let version = Version {
        number: u32::try_from(number).map_err(|e| StoreError::Corrupt(e.to_string()))?,
        id,
        model,
        origin,
        parent,
        digest,
        size_bytes,
        metrics,
        created_at: now(),
        revoked_at: None,
        replacement: None,
    };
    let made = version.origin.made();
    sqlx::query(INSERT)
        .bind(id.to_string())
        .bind(version.model.as_str())
        .bind(number)
        .bind(version.origin.name())
        .bind(made.map_or(id, |made| made.run).to_string())
        .bind(parent.map(|id| id.to_string()))
        .bind(json(&made.map(|made| &made.work)))
        .bind(json(&made.map(|made| &made.dataset)))
        .bind(&version.digest)
        .bind(big(size_bytes))
        .bind(version.metrics.to_string())
        .bind(version.created_at.timestamp_millis())
        .execute(connection)
        .await?;
    Ok(version)
}

/// Revokes within the caller's transaction.
pub(super) async fn revoke(
    connection: &mut SqliteConnection,
    id: Uuid,
    replacement: Option<&Version>,
) -> Result<Version, StoreError> {
    let mut version = load(&mut *connection, id).await?;
    if version.revoked_at.is_some() {
        return Ok(version);
    }
    version.revoked_at = Some(now());
    version.replacement = replacement.map(|v| v.id).filter(|&replacement| replacement != id);
    let at_ms = version.revoked_at.map(|t| t.timestamp_millis());
    sqlx::query(REVOKE)
        .bind(id.to_string())
        .bind(at_ms)
        .bind(version.replacement.map(|id| id.to_string()))
        .execute(&mut *connection)
        .await?;
    if let Some(replacement) = replacement.filter(|v| v.model == version.model && v.id != id) {
        sqlx::query(MOVE_ALIASES)
            .bind(id.to_string())
            .bind(replacement.id.to_string())
            .bind(at_ms)
            .execute(connection)
            .await?;
    }
    Ok(version)
}
