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
         the data folder made before the upgrade; of the database alone there is one beside it, `*.migration-N`"
    )]
    Newer(i64),
    #[error("`{}` is in use by another process", .0.display())]
    InUse(PathBuf),
    #[error("`{}` was deleted or replaced while it was in use; stop the server and put it back", .0.display())]
    Gone(PathBuf),
    /// Another process holds a lock on the database; nothing was written.
    #[error("the database is locked by another process")]
    Busy,
    #[error("the disk is full")]
    Full,
    #[error("cannot use the database file: {0}")]
    Io(std::io::Error),
    #[error(transparent)]
    Database(sqlx::Error),
    #[error(transparent)]
    Migrate(MigrateError),
}

impl StoreError {
    /// Whether the same may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy | Self::Full | Self::Io(_) => true,
            Self::Database(error) => {
                matches!(error, sqlx::Error::PoolTimedOut) || code(error) == Some(IO_CODE)
            }
            Self::NotFound
            | Self::WrongState { .. }
            | Self::Revoked { .. }
            | Self::LostClaim
            | Self::Corrupt(_)
            | Self::Newer(_)
            | Self::InUse(_)
            | Self::Gone(_)
            | Self::Migrate(_) => false,
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull { Self::Full } else { Self::Io(error) }
    }
}

/// `SQLITE_CORRUPT` and `SQLITE_NOTADB`.
const DAMAGE_CODES: [i32; 2] = [11, 26];
/// `SQLITE_BUSY` and `SQLITE_LOCKED`.
const LOCK_CODES: [i32; 2] = [5, 6];
/// `SQLITE_FULL`.
const FULL_CODE: i32 = 13;
/// `SQLITE_IOERR`.
const IO_CODE: i32 = 10;

/// The primary result code: extended ones carry it in the low byte.
fn code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?.parse::<i32>().ok()?;
    Some(code & 0xff)
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match code(&error) {
            Some(code) if DAMAGE_CODES.contains(&code) => Self::Corrupt(error.to_string()),
            Some(code) if LOCK_CODES.contains(&code) => Self::Busy,
            Some(FULL_CODE) => Self::Full,
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
