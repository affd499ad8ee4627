//! What every handler can reach.

use super::body::Budget;
use super::events::Feeds;
use super::idempotency::Keys;
use super::telemetry::Telemetry;
use super::view::RunView;
use crate::config::ByteSize;
use crate::domain::Run;
use crate::jobs::Engine;
use crate::webhooks::Sender;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How much clients may take up.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// For one run.
    pub memory: ByteSize,
    /// Event streams open at the same time; each costs a subscription and a kernel send buffer.
    pub streams: usize,
}

/// Each lasts up to ten seconds and goes to an address of somebody's choice.
const MAX_WEBHOOK_TESTS: usize = 4;

/// Each takes up to 100 MB and half a second of a core.
const MAX_PICTURES: usize = 2;

#[derive(Debug)]
pub struct App {
    pub engine: Engine,
    pub memory_limit: ByteSize,
    pub webhooks: Sender,
    /// Cancelled when the server is to end; every event stream watches it.
    pub shutdown: CancellationToken,
    pub(super) streams: Arc<Semaphore>,
    /// Event streams there may be.
    max_streams: usize,
    pub(super) telemetry: Telemetry,
    pub(super) bodies: Budget,
    pub(super) feeds: Feeds,
    pub(super) keys: Arc<Keys>,
    /// Tests of webhooks that may be made at the same time.
    pub(super) webhook_tests: Semaphore,
    /// Large pictures that may be read at the same time.
    pub(super) pictures: Arc<Semaphore>,
    /// Requests whose answer is not ready yet.
    pub(super) in_flight: AtomicUsize,
}

/// The application, shared by all handlers.
#[derive(Clone, Debug)]
pub struct AppState(Arc<App>);

impl AppState {
    pub fn new(engine: Engine, bounds: Bounds, webhooks: Sender, shutdown: CancellationToken) -> Self {
        let streams = Arc::new(Semaphore::new(bounds.streams));
        Self(Arc::new(App {
            engine,
            memory_limit: bounds.memory,
            webhooks,
            shutdown,
            streams,
            max_streams: bounds.streams,
            telemetry: Telemetry::default(),
            bodies: Budget::default(),
            feeds: Feeds::default(),
            keys: Arc::default(),
            webhook_tests: Semaphore::new(MAX_WEBHOOK_TESTS),
            pictures: Arc::new(Semaphore::new(MAX_PICTURES)),
            in_flight: AtomicUsize::new(0),
        }))
    }
}

impl App {
    /// Event streams there are.
    pub(super) fn open_streams(&self) -> usize {
        self.max_streams - self.streams.available_permits()
    }

    /// A run as clients see it.
    pub fn present(&self, run: &Run) -> RunView {
        RunView::of(run, self.engine.estimated_finish(run.id))
    }
}

impl Deref for AppState {
    type Target = App;

    fn deref(&self) -> &App {
        &self.0
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::artifacts::Artifacts;
    use crate::data::Catalogue;
    use crate::jobs::Limits;
    use crate::store::Store;
    use crate::webhooks::Reach;
    use tempfile::TempDir;

    /// An application whose engine takes no run up.
    pub async fn idle_app() -> (AppState, TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("lethe.sqlite")).await.unwrap();
        let artifacts = Artifacts::open(dir.path()).unwrap();
        let catalogue = Catalogue::new(None, dir.path().join("datasets"));
        let engine =
            Engine::start(store, artifacts, catalogue, Limits { train_threads: 1, memory: u64::MAX })
                .await
                .unwrap();
        engine.shutdown().await;
        let bounds = Bounds { memory: ByteSize(1 << 30), streams: 1_000 };
        (AppState::new(engine, bounds, Sender::new(Reach::Public), CancellationToken::new()), dir)
    }
}
