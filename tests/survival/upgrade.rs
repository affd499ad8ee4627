//! A database that an earlier release wrote, and a server that is killed while it brings it up to date.

use crate::ledger::{Ledger, pages};
use crate::server::{Server, Starting, training, weights_of};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use sqlx::{Connection, Executor, SqliteConnection};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Of the release [`make_older`] goes back to.
const OLDER: i64 = 5;

/// Makes the database of a server that has ended what the release with five migrations would have left.
pub async fn make_older(data_dir: &Path) {
    let path = data_dir.join("lethe.sqlite");
    let mut database = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    for sql in [
        "alter table version drop column origin",
        "drop table delivery",
        "drop table webhook",
        "drop table idempotency",
    ] {
        database.execute(sql).await.unwrap();
    }
    let forget = sqlx::query("delete from _sqlx_migrations where version > $1").bind(OLDER);
    assert_eq!(
        forget.execute(&mut database).await.unwrap().rows_affected(),
        3,
        "of each migration what it added"
    );
    database.close().await.unwrap();
}

/// Where the server keeps what it was before.
pub fn copy_of(data_dir: &Path) -> PathBuf {
    data_dir.join(format!("lethe.sqlite.migration-{OLDER}"))
}

/// Whether the copy is whole and of the older release.
pub async fn check_copy(data_dir: &Path) {
    let mut copy = SqliteConnection::connect(copy_of(data_dir).to_str().unwrap()).await.unwrap();
    let found: String = sqlx::query_scalar("pragma quick_check").fetch_one(&mut copy).await.unwrap();
    assert_eq!(found, "ok");
    let newest = "select max(version) from _sqlx_migrations";
    assert_eq!(sqlx::query_scalar::<_, i64>(newest).fetch_one(&mut copy).await.unwrap(), OLDER);
    copy.close().await.unwrap();
}

#[tokio::test]
async fn a_server_killed_while_it_upgrades_its_database_loses_nothing_of_it() {
    let n_kills = if crate::is_torture() { 60 } else { 3 };
    let mut rng = ChaCha8Rng::seed_from_u64(crate::client::seed());
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    let server = Server::start(dir.path());
    let run = server.post("/runs", &training("m", "1")).await;
    let id = run["id"].as_str().unwrap().to_owned();
    server.follow(&id, usize::MAX).await;
    ledger.acknowledge(&run);
    ledger.check(&server).await;
    let weights = weights_of(&server, &server.get(&format!("/runs/{id}")).await).await;
    server.terminate();

    let mut n_between = 0;
    for _ in 0..n_kills {
        make_older(dir.path()).await;
        let _ = std::fs::remove_file(copy_of(dir.path()));
        let starting = Starting::begin(dir.path(), &dir.path().join("server.log"));
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..150))).await;
        drop(starting);
        n_between += usize::from(is_between(dir.path()).await);
        let server = Server::start(dir.path());
        ledger.check(&server).await;
        assert_eq!(pages(&server, "/runs").await.len(), 1);
        assert_eq!(weights_of(&server, &server.get(&format!("/runs/{id}")).await).await, weights);
        check_copy(dir.path()).await;
        server.terminate();
    }
    println!("{n_kills} kills while upgrading, {n_between} of them between two migrations");
}

/// Whether some migrations were applied and others not.
async fn is_between(data_dir: &Path) -> bool {
    let path = data_dir.join("lethe.sqlite");
    let mut database = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    let newest = "select max(version) from _sqlx_migrations";
    let found = sqlx::query_scalar::<_, i64>(newest).fetch_one(&mut database).await.unwrap();
    database.close().await.unwrap();
    (OLDER + 1..OLDER + 3).contains(&found)
}
