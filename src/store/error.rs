//! What can go wrong with stored state, in terms a caller can act on.

use crate::domain::{Status, Version};
use sqlx::migrate::MigrateError;
use std::path::PathBuf;

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
    /// The run was handed to another attempt meanwhile; nothing was written.
    #[error("the run is no longer this worker's")]
    LostClaim,
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// The database knows migration `.0`, this program does not.
    #[error(
        "the database was written by a newer release (migration {0}); start that release, or restore a copy of \
         the data folder made before the upgrade"
    )]
    Newer(i64),
    #[error("`{}` is in use by another process", .0.display())]
    InUse(PathBuf),
    #[error("cannot use the database file: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Database(sqlx::Error),
    #[error(transparent)]
    Migrate(MigrateError),
}

/// `SQLITE_CORRUPT` and `SQLITE_NOTADB`; extended codes carry them in the low byte.
const DAMAGE_CODES: [i32; 2] = [11, 26];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|e| e.code()).and_then(|code| code.parse::<i32>().ok());
        match code {
            Some(code) if DAMAGE_CODES.contains(&(code & 0xff)) => Self::Corrupt(error.to_string()),
            _ => Self::Database(error),
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(number) | MigrateError::VersionTooNew(number, _) => {
                Self::Newer(number)
            }
            MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) => Self::Corrupt(error.to_string()),
            MigrateError::Execute(cause) => cause.into(),
            MigrateError::ExecuteMigration(cause, number) => match Self::from(cause) {
                Self::Database(cause) => Self::Migrate(MigrateError::ExecuteMigration(cause, number)),
                other => other,
            },
            other => Self::Migrate(other),
        }
    }
}
