//! What runs, when, and how it ends: the queue, the worker threads, and the event hub.
//!
//! Knows nothing of HTTP.

use crate::artifacts::Artifacts;
use crate::data::Catalogue;
use crate::domain::{Event, EventKind, Run};
use crate::store::{Store, StoreError};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::broadcast;
use uuid::Uuid;

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
    /// Runs trained at the same time, one thread each.
    pub train_threads: usize,
}

/// Handle to the run engine; cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    pub store: Store,
    pub artifacts: Artifacts,
    pub catalogue: Catalogue,
}

impl Engine {
    /// Reconciles what a dead process left behind, then starts the worker threads.
    pub async fn start(
        store: Store,
        artifacts: Artifacts,
        catalogue: Catalogue,
        limits: Limits,
    ) -> Result<Self, StoreError> {
        let _ = limits;
        Ok(Self { store, artifacts, catalogue })
    }

    /// Stores the run and its first event, then wakes a worker. When this returns, the run is durable.
    pub async fn submit(&self, run: Run) -> Result<Run, StoreError> {
        let _ = run;
        todo!()
    }

    pub async fn cancel(&self, id: Uuid) -> Result<Cancelled, StoreError> {
        let _ = id;
        todo!()
    }

    /// Hears everything of a run from now on. On `Lagged`, read the table again: it is the truth.
    pub fn subscribe(&self, run: Uuid) -> broadcast::Receiver<Notice> {
        let _ = run;
        todo!()
    }

    /// Stops claiming, asks running work to stop at its next mini-batch, and waits for the threads.
    /// Interrupted runs go back to `queued`; the next start takes them up again.
    pub async fn shutdown(&self) {
        todo!()
    }
}
