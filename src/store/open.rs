//! Opening the database file.

use super::place::Place;
use super::registry::Registry;
use super::upgrade::upgrade;
use super::{Store, StoreError};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a database that are looked through at every start: a tenth of a second.
const CHECKED_ALWAYS: u64 = 64 << 20;
/// Enough for the event streams' short reads; more would only queue on the same disk.
pub(super) const N_READERS: u32 = 4;
/// How long a statement waits for a lock another connection holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an opening waits for the process before it to let go, as in a restart.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const LOCK_RETRY: Duration = Duration::from_millis(50);

impl Store {
    /// Opens (creating and migrating) the database file. WAL, `synchronous=FULL`, foreign keys on.
    ///
    /// # Errors
    ///
    /// `InUse` when another process has it open, `Newer` when a later release wrote it, `Corrupt` when it
    /// is not a database or not ours.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_within(path, LOCK_PATIENCE).await
    }

    pub(super) async fn open_within(path: &Path, patience: Duration) -> Result<Self, StoreError> {
        let lock = lock(path, patience).await?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool =
            || SqlitePoolOptions::new().test_before_acquire(false).idle_timeout(None).max_lifetime(None);
        let write = pool().max_connections(1).connect_with(options.clone()).await?;
        check(&write, path).await?;
        upgrade(&write, path).await?;
        // all at once, and no file for who comes later: it would read, and write, another one in the place of this
        let options = options.create_if_missing(false);
        write.set_connect_options(options.clone());
        let readers = pool().min_connections(N_READERS).max_connections(N_READERS);
        let read = readers.connect_with(options.pragma("query_only", "on")).await?;
        let place = Arc::new(Place::of(path, lock)?);
        Ok(Self { read, write, place, registry: Registry::default() })
    }
}

/// Looks for damage before anything is built on it: in a small database always, in a large one when the last process did
/// not close it.
async fn check(pool: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if size(path) > CHECKED_ALWAYS && size(Path::new(&log)) == 0 {
        return Ok(());
    }
    let found: String = sqlx::query_scalar("pragma quick_check(1)").fetch_one(pool).await?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Corrupt(found)) }
}

/// The operating system drops the lock with the process, however that ends.
async fn lock(database: &Path, patience: Duration) -> Result<File, StoreError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let file = File::options().create(true).truncate(false).write(true).open(&path)?;
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(LOCK_RETRY).await;
            }
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(database.to_owned())),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}
