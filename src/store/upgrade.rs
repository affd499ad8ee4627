//! A database that an earlier release wrote: a copy of it is kept, then it is brought up to date.

use super::StoreError;
use crate::faults;
use sqlx::SqlitePool;
use sqlx::migrate::Migrator;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Applies what is missing, each migration in a transaction of its own: whoever dies between two goes on at the next start.
///
/// # Errors
///
/// `Newer` when a later release wrote it, `Corrupt` when its migrations are not ours, `Full` when there is no room for
/// the copy. Then nothing was changed, or as many migrations were applied as the database says.
pub(super) async fn upgrade(pool: &SqlitePool, database: &Path) -> Result<(), StoreError> {
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
    let applied = newest_applied(pool).await?;
    if let Some(applied) = applied.filter(|applied| *applied < newest) {
        keep_copy(pool, database, applied).await?;
        for migration in MIGRATIONS.iter().filter(|migration| migration.version > applied) {
            faults::point("upgrade", "migrate")?;
            MIGRATIONS.run_to(migration.version, pool).await?;
            faults::point("upgrade", "migrated")?;
        }
        let copy = copy_of(database, applied);
        tracing::info!(from = applied, to = newest, copy = %copy.display(), "the database was upgraded");
    }
    // a new one, and whether what was applied is ours
    Ok(MIGRATIONS.run(pool).await?)
}

/// `None` of a database with nothing in it.
async fn newest_applied(pool: &SqlitePool) -> Result<Option<i64>, StoreError> {
    let table = "select count(*) from sqlite_schema where name = '_sqlx_migrations'";
    if sqlx::query_scalar::<_, i64>(table).fetch_one(pool).await? == 0 {
        return Ok(None);
    }
    Ok(sqlx::query_scalar("select max(version) from _sqlx_migrations").fetch_one(pool).await?)
}

/// Where the database is kept as it was with the migrations up to this one.
pub(super) fn copy_of(database: &Path, applied: i64) -> PathBuf {
    beside(database, &format!(".migration-{applied}"))
}

/// What is under the final name is whole. A copy that is there already is of the same state: nothing wrote to it between.
async fn keep_copy(pool: &SqlitePool, database: &Path, applied: i64) -> Result<(), StoreError> {
    let unfinished = beside(database, ".tmp");
    let written = write_copy(pool, &unfinished, &copy_of(database, applied)).await;
    if written.is_err() {
        // what is left of it would only fill a full disk further
        let _ = fs::remove_file(&unfinished);
    }
    written
}

async fn write_copy(pool: &SqlitePool, unfinished: &Path, copy: &Path) -> Result<(), StoreError> {
    match fs::remove_file(unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    faults::point("upgrade", "copy")?;
    // it reads through the write-ahead log, and leaves out what was deleted
    let target = unfinished.to_str().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    sqlx::query("vacuum into $1").bind(target).execute(pool).await?;
    faults::point("upgrade", "sync")?;
    File::open(unfinished)?.sync_all()?;
    faults::point("upgrade", "rename")?;
    fs::rename(unfinished, copy)?;
    faults::point("upgrade", "sync_folder")?;
    Ok(File::open(copy.parent().unwrap_or(Path::new(".")))?.sync_all()?)
}

fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(ending);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ModelRef, Origin, Status};
    use crate::store::{Page, RunFilter, Store};
    use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
    use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
    use std::collections::BTreeMap;

    /// What a server whose newest migration was this one wrote into what that had added.
    const CONTENT: &[(i64, &str)] = &[
        (1, include_str!("upgrade/0001.sql")),
        (3, include_str!("upgrade/0003.sql")),
        (6, include_str!("upgrade/0006.sql")),
        (7, include_str!("upgrade/0007.sql")),
    ];

    /// A database as a release left it whose newest migration was this one.
    async fn database_of(path: &Path, state: i64) {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut database = options.connect().await.unwrap();
        for migration in MIGRATIONS.iter().filter(|migration| migration.version <= state) {
            MIGRATIONS.run_to(migration.version, &mut database).await.unwrap();
            for (_, sql) in CONTENT.iter().filter(|(added_by, _)| *added_by == migration.version) {
                sqlx::raw_sql(*sql).execute(&mut database).await.unwrap();
            }
        }
        database.close().await.unwrap();
    }

    /// Every row of every table, by the names of its columns.
    type Content = BTreeMap<String, Vec<BTreeMap<String, String>>>;

    async fn content(path: &Path) -> Content {
        let mut database = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
        let tables = "select name from sqlite_schema where type = 'table' and name <> '_sqlx_migrations'";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut database).await.unwrap();
        let mut content = Content::new();
        for table in tables {
            let rows = rows(&mut database, &table).await;
            content.insert(table, rows);
        }
        content
    }

    async fn rows(database: &mut SqliteConnection, table: &str) -> Vec<BTreeMap<String, String>> {
        let names = format!("select name from pragma_table_info('{table}')");
        let names: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(names)).fetch_all(&mut *database).await.unwrap();
        // quoted by the database itself, so that a text `1` is not a number
        let quoted: Vec<String> = names.iter().map(|name| format!("quote({name})")).collect();
        let select = format!("select {} from {table} order by 1, 2", quoted.join(", "));
        let rows = sqlx::query(sqlx::AssertSqlSafe(select)).fetch_all(database).await.unwrap();
        let by_name =
            |row: &SqliteRow| names.iter().enumerate().map(|(i, name)| (name.clone(), row.get(i))).collect();
        rows.iter().map(by_name).collect()
    }

    /// Without what `older` did not have.
    fn as_far_as_known(content: &Content, older: &Content) -> Content {
        let mut content = content.clone();
        content.retain(|table, _| older.contains_key(table));
        for (table, rows) in &mut content {
            let known = older[table].first();
            rows.iter_mut()
                .for_each(|row| row.retain(|name, _| known.is_some_and(|known| known.contains_key(name))));
        }
        content
    }

    fn states() -> impl Iterator<Item = i64> {
        MIGRATIONS.iter().map(|migration| migration.version)
    }

    #[tokio::test]
    async fn databases_of_every_earlier_state_open_with_their_content_and_a_copy_of_it_is_kept() {
        let newest = states().max().unwrap();
        for state in states() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("lethe.sqlite");
            database_of(&path, state).await;
            let before = content(&path).await;
            let store = Store::open(&path).await.unwrap();

            let runs = store.runs(&RunFilter::default(), &Page { limit: 9, after: None }).await.unwrap();
            let statuses: Vec<_> = runs.iter().map(|run| run.status).collect();
            let paused: &[Status] = if state >= 3 { &[Status::Paused] } else { &[] };
            let ended = [Status::Succeeded, Status::Canceled, Status::Failed, Status::Succeeded];
            assert_eq!(statuses, [paused, &ended].concat(), "{state}");
            let version = store.version(&"digits@prod".parse::<ModelRef>().unwrap(), false).await.unwrap();
            assert!(version.number == 2 && matches!(version.origin, Origin::Run(_)), "{state}: {version:?}");
            assert_eq!(store.webhooks().await.unwrap().len(), usize::from(state >= 7), "{state}");
            store.close().await;

            let after = content(&path).await;
            assert_eq!(as_far_as_known(&after, &before), before, "{state}");
            let copy = copy_of(&path, state);
            assert_eq!(copy.exists(), state < newest, "{state}: of what is not changed there is no copy");
            if copy.exists() {
                assert_eq!(content(&copy).await, before, "{state}");
                // it is a database this release opens
                Store::open(&copy).await.unwrap().close().await;
            }
            assert!(!beside(&path, ".tmp").exists());
        }
    }

    #[tokio::test]
    async fn a_new_database_has_no_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lethe.sqlite");
        Store::open(&path).await.unwrap().close().await;
        Store::open(&path).await.unwrap().close().await;
        let copies = fs::read_dir(dir.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("migration"));
        assert_eq!(copies.count(), 0);
    }

    #[tokio::test]
    async fn what_is_left_of_a_copy_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lethe.sqlite");
        database_of(&path, 1).await;
        let before = content(&path).await;
        fs::write(beside(&path, ".tmp"), "half of it").unwrap();
        Store::open(&path).await.unwrap().close().await;
        assert_eq!(content(&copy_of(&path, 1)).await, before);
    }

    #[tokio::test]
    async fn a_migration_that_was_changed_since_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lethe.sqlite");
        database_of(&path, 2).await;
        let mut database = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        let forged = "update _sqlx_migrations set checksum = x'00' where version = 1";
        sqlx::query(forged).execute(&mut database).await.unwrap();
        let before = content(&path).await;
        let error = Store::open(&path).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
        assert_eq!(content(&path).await, before, "it is left as it is");
    }

    /// Cargo does not notice a new file in the folder by itself: then this program lacks it.
    #[test]
    fn every_migration_is_compiled_in_and_they_are_numbered_without_gaps() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let n_files = names.filter(|name| name.to_string_lossy().ends_with(".sql")).count();
        let numbers: Vec<i64> = states().collect();
        assert_eq!(numbers.len(), n_files, "touch src/store/upgrade.rs and build again");
        assert_eq!(numbers, (1..=n_files as i64).collect::<Vec<_>>());
    }
}
