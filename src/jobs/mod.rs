//! What runs, when, and how it ends: the queue, the worker threads, and the event hub.
//!
//! Knows nothing of HTTP. Work happens on threads of its own (`lethe-train-N`), never on the async ones; each
//! claims the queued run whose turn it is, has it executed and writes what happens through the store.

mod audit;
mod auto;
mod control;
mod executor;
mod forget;
mod hub;
mod journal;
mod lineage;
mod report;
mod shared;
mod train;
mod unlearn;
mod worker;

#[cfg(test)]
mod tests;

pub use lineage::{Lineage, LineageError};

use crate::artifacts::{ArtifactError, Artifacts};
use crate::data::Catalogue;
use crate::domain::{Event, EventKind, Run, Version};
use crate::store::{Store, StoreError};
use chrono::{DateTime, Utc};
use executor::{Executor, Workshop};
use serde_json::Value;
use shared::Shared;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::broadcast;
use uuid::Uuid;

/// How long `shutdown` waits for the threads to come to their next mini-batch.
const GRACE: Duration = Duration::from_secs(5);

/// What a subscriber hears, in commit order for durable events.
#[derive(Clone, Debug)]
pub enum Notice {
    Durable(Arc<Event>),
    /// Not stored, no number; may be missed.
    Ephemeral {
        kind: EventKind,
        data: Arc<Value>,
    },
}

/// What a cancel request did.
#[derive(Clone, Debug, PartialEq)]
pub enum Cancelled {
    /// It was queued and is canceled now, or it already was canceled.
    Done(Run),
    /// It is running; it stops within a mini-batch.
    Underway(Run),
    /// It ended in another way before.
    TooLate(Run),
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Runs trained at the same time; fewer share the threads among them.
    pub train_threads: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    #[error("cannot start a training thread: {0}")]
    Thread(std::io::Error),
}

/// Handle to the run engine; cheap to clone. When the last handle is dropped the threads come to their end by
/// themselves; [`Engine::shutdown`] waits for it.
#[derive(Clone, Debug)]
pub struct Engine {
    pub store: Store,
    pub artifacts: Artifacts,
    pub catalogue: Catalogue,
    pool: Arc<Pool>,
}

/// The threads, and what ends them.
#[derive(Debug)]
struct Pool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// How long `shutdown` waits for the threads.
    grace: Duration,
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Engine {
    /// Reconciles what a dead process left behind, removes weight files no version speaks of, then starts the
    /// worker threads.
    pub async fn start(
        store: Store,
        artifacts: Artifacts,
        catalogue: Catalogue,
        limits: Limits,
    ) -> Result<Self, StartError> {
        let workshop = Workshop { artifacts: artifacts.clone(), catalogue: catalogue.clone() };
        Self::start_with(store, artifacts, catalogue, limits, Box::new(workshop), GRACE).await
    }

    async fn start_with(
        store: Store,
        artifacts: Artifacts,
        catalogue: Catalogue,
        limits: Limits,
        executor: Box<dyn Executor>,
        grace: Duration,
    ) -> Result<Self, StartError> {
        for (run, _) in store.reconcile().await? {
            tracing::warn!(run.id = %run.id, run.status = run.status.name(), "left behind by a dead process");
        }
        // a database that was lost or emptied must not take the weights with it
        if !store.is_blank().await? {
            let kept = store.servable_versions().await?;
            let folder = artifacts.clone();
            let n_swept = blocking(move || folder.models.sweep(&kept)).await?;
            if n_swept > 0 {
                tracing::info!(n_swept, "removed weight files without a version");
            }
        }
        let train_threads = limits.train_threads.max(1);
        let shared = Arc::new(Shared::new(store.clone(), artifacts.clone(), executor, train_threads));
        let pool = Arc::new(Pool { shared, threads: Mutex::default(), grace });
        for number in 1..=train_threads {
            let thread = worker::start(&pool.shared, number).map_err(StartError::Thread)?;
            pool.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(Self { store, artifacts, catalogue, pool })
    }

    /// Stores the run and its first event, then wakes a worker. When this returns, the run is durable.
    pub async fn submit(&self, run: Run) -> Result<Run, StoreError> {
        self.detached(|shared| async move { shared.submit(run).await }).await
    }

    /// Asks a run to stop: a queued one ends at once, a running one within a mini-batch.
    pub async fn cancel(&self, id: Uuid) -> Result<Cancelled, StoreError> {
        self.detached(move |shared| async move { shared.cancel(id).await }).await
    }

    /// Marks a version revoked and removes its weights from the disk.
    pub async fn revoke(&self, version: Uuid, replacement: Option<Uuid>) -> Result<Version, StartError> {
        self.detached(move |shared| async move {
            let revoked = shared.store.revoke(version, replacement).await?;
            let artifacts = shared.artifacts.clone();
            blocking(move || artifacts.models.remove(version)).await?;
            Ok(revoked)
        })
        .await
    }

    /// Hears everything of a run from now on. On `Lagged`, read the table again: it is the truth. The channel
    /// closes behind `done`. Subscribe first, then read the table, or an event falls between the two; nothing
    /// is ever heard of a run that had already ended.
    pub fn subscribe(&self, run: Uuid) -> broadcast::Receiver<Notice> {
        self.pool.shared.subscribe(run)
    }

    /// When a running run will be done at its present pace; `None` while nobody knows.
    pub fn estimated_finish(&self, run: Uuid) -> Option<DateTime<Utc>> {
        self.pool.shared.control(run)?.expected_finish()
    }

    /// Stops claiming, asks running work to stop at its next mini-batch, and waits for the threads.
    /// Interrupted runs go back to `queued`; the next start takes them up again.
    pub async fn shutdown(&self) {
        let shared = &self.pool.shared;
        shared.stop();
        let mut n_alive = shared.n_alive.subscribe();
        let ended = tokio::time::timeout(self.pool.grace, n_alive.wait_for(|&n| n == 0)).await.is_ok();
        if ended {
            let threads =
                std::mem::take(&mut *self.pool.threads.lock().unwrap_or_else(PoisonError::into_inner));
            blocking(move || threads.into_iter().for_each(|thread| drop(thread.join()))).await;
        } else {
            tracing::warn!("some work did not stop in time; its runs go back to the queue");
        }
        if let Err(error) = shared.take_back_all().await {
            tracing::error!(%error, "cannot put runs back into the queue; the next start does");
        }
    }

    /// Runs a change of state to its end even if the caller goes away: what is committed is also told.
    async fn detached<T, F>(&self, change: impl FnOnce(Arc<Shared>) -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let task = tokio::spawn(change(Arc::clone(&self.pool.shared)));
        task.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let task = tokio::task::spawn_blocking(work);
    task.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
