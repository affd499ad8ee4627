//! What runs, when, and how it ends: the queue, the worker threads, and the event hub.
//!
//! Knows nothing of HTTP. Work happens on threads of its own (`lethe-train-N`), never on the async ones; each
//! claims the queued run whose turn it is, has it executed and writes what happens through the store.

mod audit;
mod auto;
mod checkpoints;
mod checks;
mod control;
mod diagnose;
mod executor;
mod forget;
mod hub;
mod journal;
mod known;
mod lease;
mod lineage;
mod patience;
mod priority;
mod report;
mod samples;
mod shared;
mod train;
mod unlearn;
mod worker;

#[cfg(test)]
mod tests;

pub use checks::findings;
pub use diagnose::trial_bytes;
pub use lineage::{Lineage, LineageError};

use crate::artifacts::{ArtifactError, Artifacts, Model};
use crate::data::Catalogue;
use crate::domain::{Alias, Checkpoint, Event, EventKind, ModelName, ModelRef, Origin, Run, Version};
use crate::inference::Inference;
use crate::store::{NewVersion, Store, StoreError};
use chrono::{DateTime, Utc};
use executor::{Executor, Workshop};
use known::KnownShelf;
use serde_json::{Value, json};
use shared::Shared;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast};
use uuid::Uuid;

/// How long `shutdown` waits for the threads to come to their next mini-batch.
const GRACE: Duration = Duration::from_secs(5);

/// What a subscriber hears, in commit order for durable events.
#[derive(Clone, Debug)]
pub enum Notice {
    Durable(Arc<Event>),
    /// Not stored, no number; may be missed.
    Ephemeral {
        run: Uuid,
        kind: EventKind,
        data: Arc<Value>,
    },
}

/// What came of asking a run to take another course.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// It is as it was asked to be, or was already.
    Done(Run),
    /// It is on its way there.
    Underway(Run),
    /// From where it is, it cannot go there.
    Refused(Run),
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Runs trained at the same time; fewer share the threads among them.
    pub train_threads: usize,
    /// Bytes that the runs at work may be predicted to need together.
    pub memory: u64,
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
    pub inference: Inference,
    pool: Arc<Pool>,
}

/// The threads, and what ends them.
#[derive(Debug)]
struct Pool {
    shared: Arc<Shared>,
    /// How long `shutdown` waits for the threads.
    grace: Duration,
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Engine {
    /// Reconciles what a dead process left behind, removes files nothing speaks of, then starts the worker threads.
    pub async fn start(
        store: Store,
        artifacts: Artifacts,
        catalogue: Catalogue,
        limits: Limits,
    ) -> Result<Self, StartError> {
        let inference = Inference::new(artifacts.clone());
        let known = KnownShelf::default();
        let workshop = Workshop { artifacts, catalogue, inference, known };
        Self::start_with(store, workshop.clone(), limits, Box::new(workshop), GRACE).await
    }

    async fn start_with(
        store: Store,
        workshop: Workshop,
        limits: Limits,
        executor: Box<dyn Executor>,
        grace: Duration,
    ) -> Result<Self, StartError> {
        let Workshop { artifacts, catalogue, inference, known: _ } = workshop;
        for (run, _) in store.reconcile(None).await? {
            tracing::warn!(run.id = %run.id, run.status = run.status.name(), "left behind by a dead process");
        }
        // a database that was lost or emptied must not take the weights with it
        if !store.is_blank().await? {
            store.purge_checkpoints().await?;
            let (versions, checkpoints) = (store.servable_versions().await?, store.all_checkpoints().await?);
            let trainings = store.unrevoked_trainings().await?;
            let folders = artifacts.clone();
            let swept = move || {
                Ok::<_, ArtifactError>(
                    folders.models.sweep(&versions)?
                        + folders.checkpoints.sweep(&checkpoints)?
                        + folders.losses.sweep(&trainings)?,
                )
            };
            let n_swept = blocking(swept).await?;
            if n_swept > 0 {
                tracing::info!(n_swept, "removed files nothing speaks of");
            }
        }
        let n_threads = limits.train_threads.max(1);
        let shared =
            Arc::new(Shared::new(store.clone(), artifacts.clone(), inference.clone(), executor, limits));
        let pool = Arc::new(Pool { shared, grace });
        for number in 1..=n_threads {
            worker::start(&pool.shared, number).map_err(StartError::Thread)?;
        }
        tokio::spawn(lease::supervise(Arc::downgrade(&pool.shared), n_threads));
        Ok(Self { store, artifacts, catalogue, inference, pool })
    }

    /// Stores the run and its first event, then wakes a worker. When this returns, the run is durable.
    pub async fn submit(&self, run: Run) -> Result<Run, StoreError> {
        self.detached(|shared| async move { shared.submit(run).await }).await
    }

    /// Asks a run to stop: a queued one ends at once, a running one within a mini-batch.
    pub async fn cancel(&self, id: Uuid) -> Result<Asked, StoreError> {
        self.detached(move |shared| async move { shared.cancel(id).await }).await
    }

    /// Asks a run to wait until it is resumed: a queued one does at once, a running one when it has written down what
    /// it can be gone on with from, if it is work that can, and within 50 ms and a mini-batch in any case.
    pub async fn pause(&self, id: Uuid) -> Result<Asked, StoreError> {
        self.detached(move |shared| async move { shared.pause(id).await }).await
    }

    /// Puts a paused run back into the queue.
    pub async fn resume(&self, id: Uuid) -> Result<Asked, StoreError> {
        self.detached(move |shared| async move { shared.resume(id).await }).await
    }

    /// Stores `run`, which is to begin where `from` was taken. When this returns, the run is durable, and what it
    /// begins from is its own.
    ///
    /// # Errors
    ///
    /// [`ArtifactError::Missing`] or [`ArtifactError::Damaged`] if there is no such file, `NotFound` if there is no such
    /// checkpoint any more.
    pub async fn fork(&self, run: Run, from: Checkpoint) -> Result<Run, StartError> {
        self.detached(move |shared| async move {
            let own = Checkpoint { id: Uuid::now_v7(), run: run.id, ..from.clone() };
            let (id, folder) = (own.id, shared.artifacts.checkpoints.clone());
            blocking(move || folder.copy(from.id, &from.digest, id)).await?;
            let submitted = shared.submit_fork(run, from.id, &own).await;
            if submitted.is_err() {
                let folder = shared.artifacts.checkpoints.clone();
                blocking(move || folder.remove(id)).await?;
            }
            Ok(submitted?)
        })
        .await
    }

    /// Deletes a run that has ended, with its events, its report, its checkpoints and the losses of its samples.
    pub async fn delete_run(&self, id: Uuid) -> Result<(), StoreError> {
        self.detached(move |shared| async move {
            let checkpoints = shared.store.checkpoints(id).await?;
            shared.store.delete_run(id).await?;
            let ids: Vec<Uuid> = checkpoints.iter().map(|checkpoint| checkpoint.id).collect();
            let artifacts = shared.artifacts.clone();
            let removed = blocking(move || {
                artifacts.checkpoints.remove_all(&ids)?;
                Ok::<_, ArtifactError>(artifacts.losses.remove(id)?)
            });
            if let Err(error) = removed.await {
                tracing::warn!(%error, "cannot remove the files of a deleted run; the next start does");
            }
            Ok(())
        })
        .await
    }

    /// Publishes a model that comes from elsewhere as the newest version of `name`, in memory at once, under `id` and, if
    /// so wished, an alias. If there is a version of that id already, that is the one, and nothing is done.
    pub async fn import(
        &self,
        id: Uuid,
        model: Model,
        name: ModelName,
        alias: Option<ModelName>,
    ) -> Result<Version, StartError> {
        self.detached(move |shared| async move {
            // it may have been revoked since, and its weights must not come back
            match shared.store.version(&ModelRef::Id(id), true).await {
                Err(StoreError::NotFound) => {}
                found => return Ok(found?),
            }
            let (folder, inference) = (shared.artifacts.models.clone(), shared.inference.clone());
            let write = move || {
                let (digest, size_bytes) = folder.put(id, &model)?;
                inference.warm(id, size_bytes, &model);
                Ok::<_, ArtifactError>((digest, size_bytes, model.weights_digest()))
            };
            let (digest, size_bytes, weights_digest) = blocking(write).await?;
            let new = NewVersion {
                id,
                model: name,
                origin: Origin::Import,
                parent: None,
                digest,
                size_bytes,
                metrics: json!({ "weights_digest": weights_digest }),
            };
            let imported = shared.store.import(new, alias.as_ref()).await;
            if imported.is_err() {
                shared.inference.forget(id);
                let folder = shared.artifacts.models.clone();
                blocking(move || folder.remove(id)).await?;
            }
            Ok(imported?)
        })
        .await
    }

    /// Points the alias at a version of its model, which is in memory before it does.
    ///
    /// # Errors
    ///
    /// `Revoked` if the version may not be used.
    pub async fn set_alias(&self, alias: ModelName, version: Version) -> Result<Alias, StartError> {
        self.detached(move |shared| async move {
            shared.have_in_memory(&version).await?;
            Ok(shared.store.set_alias(&version.model, &alias, version.id).await?)
        })
        .await
    }

    pub async fn delete_alias(&self, model: ModelName, alias: ModelName) -> Result<(), StoreError> {
        self.detached(move |shared| async move { shared.store.delete_alias(&model, &alias).await }).await
    }

    /// Marks a version revoked and removes its weights and its run's checkpoints from the disk. Aliases move to the
    /// replacement, which is in memory before they do.
    pub async fn revoke(&self, version: Uuid, replacement: Option<Version>) -> Result<Version, StartError> {
        self.detached(move |shared| async move {
            if let Some(replacement) = &replacement {
                shared.have_in_memory(replacement).await?;
            }
            let revoked = shared.store.revoke(version, replacement.map(|version| version.id)).await?;
            shared.purge(version).await?;
            Ok(revoked)
        })
        .await
    }

    /// Threads that work on runs.
    pub fn train_threads(&self) -> usize {
        self.pool.shared.train_threads()
    }

    /// Hears everything of a run from now on. On `Lagged`, read the table again: it is the truth. The channel
    /// closes behind `done`. Subscribe first, then read the table, or an event falls between the two; nothing
    /// is ever heard of a run that had already ended.
    pub fn subscribe(&self, run: Uuid) -> broadcast::Receiver<Notice> {
        self.pool.shared.subscribe(run)
    }

    /// Hears everything of every run from now on, as [`subscribe`](Self::subscribe) does of one; this channel never
    /// closes.
    pub fn subscribe_all(&self) -> broadcast::Receiver<Notice> {
        self.pool.shared.hub().subscribe_all()
    }

    /// Rung after every commit of events, for one who reads them from the table.
    pub fn news(&self) -> Arc<Notify> {
        Arc::clone(&self.pool.shared.hub().news)
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
        if tokio::time::timeout(self.pool.grace, n_alive.wait_for(|&n| n == 0)).await.is_err() {
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
