//! The server's life: lock the data folder, open everything, listen, serve, end.

use super::connections::{self, Limits as ConnectionLimits};
use super::state::{AppState, Bounds};
use crate::artifacts::{ArtifactError, Artifacts};
use crate::config::Config;
use crate::data::Catalogue;
use crate::jobs::{Engine, Limits, StartError};
use crate::store::{Retention, Store, StoreError};
use crate::webhooks::{Courier, Sender};
use chrono::Utc;
use std::fs::{File, TryLockError};
use std::io::{self, IsTerminal, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// How long requests that were under way may take once the server is to end: with what follows it less than the
/// ten seconds containers are commonly given.
const DRAIN: Duration = Duration::from_secs(5);
/// How often the log is brought back within its bounds.
const PRUNING: Duration = Duration::from_mins(1);
/// Before a service that met a fault begins again.
const RESTART: Duration = Duration::from_secs(1);
/// Time for answers already made to leave, after which connections nobody reads from are dropped.
const FLUSH: Duration = Duration::from_millis(250);
/// How long the health check waits.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot use the data folder `{}`: {source}", path.display())]
    DataDir { path: PathBuf, source: io::Error },
    #[error(
        "the data folder `{}` is in use by the server at {address}; stop that one, or choose another `--data-dir`",
        path.display()
    )]
    InUse { path: PathBuf, address: String },
    #[error("cannot listen on `{listen}`: {source}; choose another `--listen`")]
    Listen { listen: String, source: io::Error },
    #[error(
        "`{}` is missing, but weights it speaks of are there; put it back, or choose another `--data-dir`",
        .0.display()
    )]
    DatabaseLost(PathBuf),
    #[error("cannot open the database: {0}")]
    Store(#[from] StoreError),
    #[error("cannot use the model folder: {0}")]
    Artifacts(#[from] ArtifactError),
    #[error("cannot start: {0}")]
    Start(#[from] StartError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A server that listens already and answers once [`Server::run`] is called.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    state: AppState,
    limits: ConnectionLimits,
    retention: Retention,
    _lock: DataDirLock,
}

impl Server {
    /// Locks the data folder, listens, opens the database and starts the engine.
    ///
    /// Cancelling `shutdown` ends the server gracefully.
    pub async fn open(config: &Config, shutdown: CancellationToken) -> Result<Self, ServeError> {
        let data_dir = &config.data_dir;
        let in_data_dir = |source| ServeError::DataDir { path: data_dir.clone(), source };
        std::fs::create_dir_all(data_dir).map_err(in_data_dir)?;
        let mut lock = DataDirLock::take(data_dir)?;

        let cannot_listen = |source| ServeError::Listen { listen: config.listen.clone(), source };
        let listener = TcpListener::bind(&config.listen).await.map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;

        let artifacts = Artifacts::open(data_dir).map_err(in_data_dir)?;
        let database = data_dir.join("lethe.sqlite");
        // a new one would make every model vanish without a word
        if !database.exists() && !artifacts.is_empty().map_err(in_data_dir)? {
            return Err(ServeError::DatabaseLost(database));
        }
        let store = Store::open(&database).await?;
        let catalogue = Catalogue::new(config.datasets_dir.clone(), data_dir.join("datasets"));
        let limits = Limits { train_threads: config.train_threads(), memory: config.memory_limit.0 };
        let engine = Engine::start(store, artifacts, catalogue, limits).await?;
        lock.announce(&url_of(address)).map_err(in_data_dir)?;
        let bounds = Bounds { memory: config.memory_limit, streams: config.max_streams.into() };
        let state = AppState::new(engine, bounds, Sender::new(config.reach()), shutdown);
        let limits = ConnectionLimits::with_streams(config.max_streams.into());
        let retention = config.retention();
        Ok(Self { listener, address, state, limits, retention, _lock: lock })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients on this machine reach it.
    pub fn url(&self) -> String {
        url_of(self.address)
    }

    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// Serves until the shutdown token is cancelled, then ends: no new connections, streams closed, requests
    /// under way answered, work given back to the queue.
    pub async fn run(self) {
        let state = self.state.clone();
        let shutdown = state.shutdown.clone();
        let serving = connections::serve(self.listener, state.clone(), self.limits);
        let answering = async {
            tokio::select! {
                () = serving => {}
                // a connection whose client does not read would hold the line above up
                () = drained(&state) => {}
            }
        };
        // work is given back while slow requests are still waited for
        let giving_back = async {
            shutdown.cancelled().await;
            state.engine.shutdown().await;
        };
        let telling = until_done("webhooks", || {
            let courier = Courier::new(state.engine.store.clone(), state.webhooks.clone());
            courier.run(state.engine.news(), shutdown.clone())
        });
        let keeping = until_done("pruning", || {
            let (store, shutdown, retention) = (state.engine.store.clone(), shutdown.clone(), self.retention);
            async move {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = prune_regularly(&store, retention) => {}
                }
            }
        });
        tokio::join!(answering, giving_back, keeping, telling);
        state.engine.store.close().await;
    }
}

/// Runs a service until it ends by itself. One that meets a fault of the program is begun again, and takes no other with
/// it.
async fn until_done<F>(name: &str, begin: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Err(fault) = tokio::spawn(begin()).await {
        tracing::error!(%fault, "{name} met a fault of the program and begins again");
        tokio::time::sleep(RESTART).await;
    }
}

/// Keeps the log within its bounds, without an end.
async fn prune_regularly(store: &Store, retention: Retention) {
    let mut rounds = tokio::time::interval(PRUNING);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        loop {
            match store.prune(retention, Utc::now()).await {
                Ok(0) => break,
                Ok(n_runs) => tracing::info!(n_runs, "cut down the logs of runs that ended long ago"),
                Err(error) => {
                    tracing::error!(%error, "cannot prune the log; the next round does");
                    break;
                }
            }
        }
    }
}

/// Returns once the server is to end and every request under way has its answer.
async fn drained(state: &AppState) {
    state.shutdown.cancelled().await;
    let answered = async {
        while state.in_flight.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(DRAIN, answered).await.is_err() {
        tracing::warn!("some requests were not answered in time");
    }
    tokio::time::sleep(FLUSH).await;
}

fn url_of(address: SocketAddr) -> String {
    format!("http://{}", reachable(address))
}

/// An address a client on this machine can use: "any" means this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback: IpAddr =
            if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    address
}

/// Held while a server uses a data folder; the file holds its address. The system drops the lock with the
/// process, however that ends.
#[derive(Debug)]
struct DataDirLock {
    file: File,
}

impl DataDirLock {
    fn take(data_dir: &Path) -> Result<Self, ServeError> {
        let failed = |source| ServeError::DataDir { path: data_dir.to_owned(), source };
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(lock_path(data_dir))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => {
                let mut address = String::new();
                file.read_to_string(&mut address).map_err(failed)?;
                let address = match address.trim() {
                    "" => "an address not known yet".to_owned(),
                    address => address.to_owned(),
                };
                Err(ServeError::InUse { path: data_dir.to_owned(), address })
            }
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    fn announce(&mut self, url: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        writeln!(self.file, "{url}")?;
        self.file.sync_all()
    }
}

fn lock_path(data_dir: &Path) -> PathBuf {
    data_dir.join("server.lock")
}

/// The address of the server that uses this data folder, if there is one.
pub fn running_server(data_dir: &Path) -> Option<String> {
    let mut file = File::open(lock_path(data_dir)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut url = String::new();
            file.read_to_string(&mut url).ok()?;
            Some(url.trim().to_owned()).filter(|url| !url.is_empty())
        }
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

/// `lethe serve`.
pub fn serve_command(config: &Config) -> ExitCode {
    init_log(&config.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    raise_descriptor_limit(config.max_streams.into());
    let served = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let server = Server::open(config, shutdown.clone()).await?;
        announce(server.address())?;
        end_on_signals(shutdown)?;
        server.run().await;
        Ok::<(), ServeError>(())
    });
    // a blocking read of a dataset must not hold the process back
    runtime.shutdown_timeout(Duration::from_secs(1));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Shells commonly allow 1,024 open files, which is less than the connections there may be.
fn raise_descriptor_limit(n_streams: usize) {
    let needed = ConnectionLimits::with_streams(n_streams).descriptors();
    match rlimit::increase_nofile_limit(needed) {
        Ok(allowed) if allowed < needed => {
            tracing::warn!(allowed, needed, "few files may be open: fewer connections are possible");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}

/// The one line that ever goes to standard output: scripts wait for it, and read the port from it.
fn announce(address: SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on http://{address}")?;
    stdout.flush()
}

/// The first SIGTERM or SIGINT ends the server gracefully, the second at once.
fn end_on_signals(shutdown: CancellationToken) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        tracing::info!("ending: a second signal ends at once");
        shutdown.cancel();
        next().await;
        std::process::exit(130);
    });
    Ok(())
}

/// Logs go to standard error, in colour only where someone looks.
pub fn init_log(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_else(|error| {
        eprintln!("--log `{filter}` is not a filter ({error}); logging at `info`");
        tracing_subscriber::EnvFilter::new("info")
    });
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .finish();
    // the error means that a log exists already, which then serves
    let _ = tracing::subscriber::set_global_default(subscriber);
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

/// `lethe healthcheck`.
pub fn healthcheck_command(config: &Config) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let checked = runtime.block_on(async {
        let checked = tokio::time::timeout(HEALTH_TIMEOUT, check_health(&config.listen)).await;
        checked.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
    });
    match checked {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: the server at {} is not ready: {error}", config.listen);
            ExitCode::FAILURE
        }
    }
}

/// Asks `/readyz` by hand: a whole HTTP client for one status line would be too much.
async fn check_health(listen: &str) -> io::Result<()> {
    let address = tokio::net::lookup_host(listen).await?.next();
    let address = address.ok_or_else(|| io::Error::other("the name has no address"))?;
    let mut stream = TcpStream::connect(reachable(address)).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer).await?;
    let status = answer.split(|&b| b == b' ').nth(1).unwrap_or_default();
    if status == b"200" {
        Ok(())
    } else {
        Err(io::Error::other(format!("it answers with status {}", String::from_utf8_lossy(status))))
    }
}

/// `lethe openapi`.
pub fn openapi_command() -> ExitCode {
    match io::stdout().write_all(super::openapi_yaml().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // its reader has seen enough
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_serves_one_server_and_names_it() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(running_server(dir.path()), None);
        let mut first = DataDirLock::take(dir.path()).unwrap();
        first.announce("http://127.0.0.1:1234").unwrap();
        assert_eq!(running_server(dir.path()).as_deref(), Some("http://127.0.0.1:1234"));
        let refused = DataDirLock::take(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("http://127.0.0.1:1234"), "{refused}");

        drop(first);
        assert_eq!(running_server(dir.path()), None, "an address left behind is not a server");
        DataDirLock::take(dir.path()).unwrap();
    }

    #[test]
    fn any_address_is_reached_on_this_machine() {
        assert_eq!(url_of("0.0.0.0:80".parse().unwrap()), "http://127.0.0.1:80");
        assert_eq!(url_of("[::]:80".parse().unwrap()), "http://[::1]:80");
        assert_eq!(url_of("10.0.0.1:80".parse().unwrap()), "http://10.0.0.1:80");
    }
}
