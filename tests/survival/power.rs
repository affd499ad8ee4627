//! The power goes out at random moments of a busy life, also while the server starts: what was not synced is lost.
//!
//! `SIGKILL` leaves the page cache as it is, so a server that forgets to sync survives it. Here the data lie on an
//! ext4 file system of their own that is shut down without writing anything back (`EXT4_IOC_SHUTDOWN`): what is behind
//! is what the file system had sent to its disk. A disk with a cache that lies about it is not what is tested.

use crate::client::{Client, seed};
use crate::ledger::digest;
use crate::mounted::{Mounted, run};
use crate::server::{Server, Starting, training};
use rand::RngExt;
use reqwest::Method;
use rustix::ioctl::{Setter, ioctl, opcode};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Sparse: it takes what is written to it.
const DISK_BYTES: u64 = 128 << 20;
/// Renaming makes a file's content durable only where its writer saw to it, as in other file systems.
const MOUNT_OPTIONS: &str = "loop,noauto_da_alloc";
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: not even the journal is written out first.
const NOLOGFLUSH: u32 = 2;
const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);

/// A disk that can lose its power.
struct Disk {
    /// Before the folder it is in: they go in this order.
    mounted: Option<Mounted>,
    dir: TempDir,
}

impl Disk {
    /// `None` where file systems cannot be made or mounted.
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = Self { mounted: None, dir };
        File::create(disk.image()).unwrap().set_len(DISK_BYTES).unwrap();
        fs::create_dir(disk.root()).unwrap();
        let is_made = run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.image()));
        (is_made && disk.mount()).then_some(disk)
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn data_dir(&self) -> PathBuf {
        self.root().join("data")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    /// Written as late as can be, never synced, and so lost with the power.
    fn canary(&self) -> PathBuf {
        self.root().join("canary")
    }

    fn mount(&mut self) -> bool {
        let image = self.image();
        self.mounted = Mounted::new(&["-o", MOUNT_OPTIONS, image.to_str().unwrap()], &self.root());
        self.mounted.is_some()
    }

    /// From now on nothing reaches the disk.
    #[expect(unsafe_code, reason = "nothing else loses what was not synced")]
    fn cut_power(&self) {
        fs::write(self.canary(), "not synced").unwrap();
        let root = File::open(self.root()).unwrap();
        // SAFETY: `EXT4_IOC_SHUTDOWN` reads one u32, its flags; `Setter` has that and outlives the call.
        unsafe { ioctl(&root, Setter::<SHUTDOWN, u32>::new(NOLOGFLUSH)) }.unwrap();
        assert!(File::create(self.root().join("late")).is_err(), "the power is out");
    }

    /// The power is back: of the file system there is what the disk has.
    fn restore_power(&mut self) {
        self.mounted.take().unwrap().end();
        assert!(self.mount());
        // its name may have come with what others synced, its content cannot
        assert_eq!(fs::read(self.canary()).unwrap_or_default(), b"", "what was not synced is lost");
        let _ = fs::remove_file(self.canary());
    }
}

/// Before any server has seen it: the database is sound, and every file it names is what it says of it.
async fn check_disk(data_dir: &Path) -> usize {
    let database = data_dir.join("lethe.sqlite");
    if !database.exists() {
        return 0;
    }
    // looking folds the log into the file, which the server is to do itself
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("lethe.sqlite");
    for ending in ["", "-wal"] {
        let file = data_dir.join(format!("lethe.sqlite{ending}"));
        if file.exists() {
            fs::copy(file, copies.path().join(format!("lethe.sqlite{ending}"))).unwrap();
        }
    }
    let mut database = SqliteConnectOptions::new().filename(copy).connect().await.unwrap();
    let found: String = sqlx::query_scalar("pragma quick_check").fetch_one(&mut database).await.unwrap();
    assert_eq!(found, "ok");
    let mut n_files = 0;
    for (folder, query) in [
        ("models", "select version_id, digest from version where revoked_ms is null"),
        ("checkpoints", "select checkpoint_id, digest from checkpoint"),
    ] {
        for (id, wanted) in named(&mut database, query).await {
            let path = data_dir.join(folder).join(format!("{id}.safetensors"));
            let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(digest(&bytes), wanted, "{}", path.display());
            n_files += 1;
        }
    }
    n_files
}

/// Ids and digests. None where there are no tables yet.
async fn named(database: &mut SqliteConnection, query: &'static str) -> Vec<(String, String)> {
    let tables: i64 = sqlx::query_scalar("select count(*) from sqlite_schema where name = 'checkpoint'")
        .fetch_one(&mut *database)
        .await
        .unwrap();
    if tables == 0 { Vec::new() } else { sqlx::query_as(query).fetch_all(database).await.unwrap() }
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_leaves_what_was() {
    let Some(mut disk) = disk_or_excuse() else { return };
    let synced = disk.root().join("synced");
    fs::write(&synced, "synced").unwrap();
    File::open(&synced).unwrap().sync_all().unwrap();
    File::open(disk.root()).unwrap().sync_all().unwrap();
    disk.cut_power();
    disk.restore_power();
    assert_eq!(fs::read(synced).unwrap(), b"synced");
    assert!(!disk.root().join("late").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_at_random_moments_lose_nothing_that_was_acknowledged() {
    let (n_disks, n_cuts) = if crate::is_torture() { (6, 20) } else { (1, 5) };
    let seed = seed();
    println!("{n_disks} disks, {n_cuts} power cuts each, LETHE_TORTURE_SEED={seed}");
    for n_disk in 0..n_disks {
        let Some(disk) = disk_or_excuse() else { return };
        cut_again_and_again(disk, Client::new(seed.wrapping_add(n_disk)), n_cuts).await;
    }
}

async fn cut_again_and_again(mut disk: Disk, mut client: Client, n_cuts: usize) {
    let (data_dir, log) = (disk.data_dir(), disk.log());
    let (mut n_while_starting, mut n_files) = (0, 0);
    for n_cut in 0..n_cuts {
        // the first time there is nothing yet
        if n_cut == 0 || client.rng.random_bool(0.15) {
            let moment = Duration::from_millis(client.rng.random_range(0..300));
            let starting = Starting::begin(&data_dir, &log);
            tokio::time::sleep(moment).await;
            disk.cut_power();
            drop(starting);
            n_while_starting += 1;
        } else {
            let server = start(&disk);
            client.live(&server).await;
            disk.cut_power();
            // nothing that comes now may be promised; that there is no answer at all is fine
            if let Ok((202, run)) = server.ask(Method::POST, "/runs", &training("m0", "late")).await {
                client.ledger.acknowledge(&run);
            }
        }
        disk.restore_power();
        n_files += check_disk(&data_dir).await;
    }
    let told = client.conclude(&start(&disk), &data_dir).await;
    println!(
        "{n_cuts} power cuts, {n_while_starting} of them while starting; {n_files} files looked through; {told}"
    );
}

fn start(disk: &Disk) -> Server {
    Server::with_log(&disk.data_dir(), &disk.log())
        .unwrap_or_else(|| panic!("{}", fs::read_to_string(disk.log()).unwrap()))
}

/// A disk, or why there is none: `make torture` insists on one.
fn disk_or_excuse() -> Option<Disk> {
    let disk = Disk::new();
    assert!(
        disk.is_some() || !crate::is_torture(),
        "mounting file systems needs root, loop devices and mkfs.ext4"
    );
    if disk.is_none() {
        // not `eprintln!`: the test runner would keep that to itself
        std::io::stderr().write_all(b"SKIPPED: no file system to cut the power of: needs root\n").unwrap();
    }
    disk
}
