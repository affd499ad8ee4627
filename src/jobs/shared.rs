//! What the engine's handles and its threads share, and the changes of state they make.

use super::control::{Bell, Control};
use super::executor::Executor;
use super::hub::Hub;
use super::{Cancelled, Notice};
use crate::artifacts::Artifacts;
use crate::domain::{Run, Status};
use crate::store::{Fence, NewEvent, Publication, Publish, RunChange, Store, StoreError};
use chrono::Utc;
use serde_json::Value;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

/// Every change of a run goes through here: committed, then told, in one order for all.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) artifacts: Artifacts,
    pub(super) executor: Box<dyn Executor>,
    pub(super) runtime: Handle,
    pub(super) bell: Bell,
    /// Worker threads alive.
    pub(super) n_alive: watch::Sender<usize>,
    hub: Hub,
    /// Held over a commit and the telling of it, so that listeners hear events in the order of their numbers.
    /// Also over every change of `working`: a run is there exactly while the table says it runs here.
    order: tokio::sync::Mutex<()>,
    working: Mutex<HashMap<Uuid, Arc<Control>>>,
    stopping: AtomicBool,
    /// Threads that may train, all runs together.
    train_threads: usize,
}

impl Shared {
    pub(super) fn new(
        store: Store,
        artifacts: Artifacts,
        executor: Box<dyn Executor>,
        train_threads: usize,
    ) -> Self {
        Self {
            store,
            artifacts,
            executor,
            runtime: Handle::current(),
            bell: Bell::default(),
            n_alive: watch::Sender::new(0),
            hub: Hub::new(),
            order: tokio::sync::Mutex::new(()),
            working: Mutex::new(HashMap::new()),
            stopping: AtomicBool::new(false),
            train_threads,
        }
    }

    pub(super) fn subscribe(&self, run: Uuid) -> broadcast::Receiver<Notice> {
        self.hub.subscribe(run)
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(super) async fn submit(&self, run: Run) -> Result<Run, StoreError> {
        let order = self.order.lock().await;
        let (run, event) = self.store.insert_run(run).await?;
        self.hub.tell(vec![event]);
        drop(order);
        self.bell.ring();
        Ok(run)
    }

    /// Takes the queued run whose turn it is, unless the engine is stopping.
    pub(super) async fn claim(&self) -> Result<Option<(Run, Arc<Control>)>, StoreError> {
        let _order = self.order.lock().await;
        if self.is_stopping() {
            return Ok(None);
        }
        let Some((run, events)) = self.store.claim().await? else { return Ok(None) };
        let control = Arc::new(Control::new(deadline(&run)));
        self.working().insert(run.id, Arc::clone(&control));
        // `stop` sets the flag first and then looks for runs at work: one of the two sees the other
        if self.is_stopping() {
            control.give_back();
        }
        self.hub.tell(events);
        Ok(Some((run, control)))
    }

    /// Records what a run at work has done.
    pub(super) async fn record(
        &self,
        id: Uuid,
        fence: Fence,
        change: RunChange,
        events: Vec<NewEvent>,
    ) -> Result<Run, StoreError> {
        let _order = self.order.lock().await;
        let (run, events) = self.store.advance(id, Some(fence), change, events).await?;
        self.hub.tell(events);
        Ok(run)
    }

    /// Ends this worker's part in a run: with an ending, or back in the queue.
    pub(super) async fn leave(&self, id: Uuid, fence: Fence, change: RunChange) -> Result<Run, StoreError> {
        let _order = self.order.lock().await;
        let given_back = change.status == Some(Status::Queued);
        // what was to be given back may have been cancelled meanwhile: then it has found its end
        let change = match self.store.run(id).await?.status {
            Status::Canceling if given_back => RunChange::to(Status::Canceled),
            _ => change,
        };
        let (run, events) = self.store.advance(id, Some(fence), change, vec![]).await?;
        self.working().remove(&id);
        self.hub.tell(events);
        Ok(run)
    }

    /// Ends a run with what it made. A revoked parent's weights are gone before anyone hears of it; should
    /// the process die in between, the next start removes them.
    pub(super) async fn publish(
        &self,
        id: Uuid,
        fence: Fence,
        publish: Publish,
    ) -> Result<Publication, StoreError> {
        let _order = self.order.lock().await;
        let revoked = publish.parent.filter(|_| publish.revoke_parent);
        let done = self.store.publish(id, fence, publish).await?;
        if let Some(Err(error)) = revoked.map(|parent| self.artifacts.models.remove(parent)) {
            tracing::error!(%error, "cannot remove the weights of a revoked version; the next start does");
        }
        self.working().remove(&id);
        self.hub.tell(done.events.clone());
        // a run may follow
        self.bell.ring();
        Ok(done)
    }

    /// Ends a run with a report alone.
    pub(super) async fn conclude(&self, id: Uuid, fence: Fence, report: Value) -> Result<Run, StoreError> {
        let _order = self.order.lock().await;
        let (run, events) = self.store.conclude(id, fence, report).await?;
        self.working().remove(&id);
        self.hub.tell(events);
        Ok(run)
    }

    /// A worker lets go of a run it does not end: if nobody else has it, the next cancel or start ends it.
    pub(super) async fn abandon(&self, id: Uuid) {
        let _order = self.order.lock().await;
        self.working().remove(&id);
    }

    pub(super) async fn cancel(&self, id: Uuid) -> Result<Cancelled, StoreError> {
        let _order = self.order.lock().await;
        let mut run = self.store.run(id).await?;
        match run.status {
            Status::Canceled => return Ok(Cancelled::Done(run)),
            Status::Succeeded | Status::Failed => return Ok(Cancelled::TooLate(run)),
            Status::Queued => {
                let run = self.step(id, Status::Canceled).await?;
                return Ok(Cancelled::Done(run));
            }
            Status::Running => run = self.step(id, Status::Canceling).await?,
            Status::Canceling => {}
        }
        let control = self.working().get(&id).cloned();
        match control {
            Some(control) => {
                control.cancel();
                Ok(Cancelled::Underway(run))
            }
            // no thread works on it any more: nobody else will end it
            None => Ok(Cancelled::Done(self.step(id, Status::Canceled).await?)),
        }
    }

    pub(super) fn control(&self, id: Uuid) -> Option<Arc<Control>> {
        self.working().get(&id).cloned()
    }

    /// How many threads one of the runs at work may use now: an even share, rounded down, at least its own.
    pub(super) fn threads_for_one(&self) -> NonZeroUsize {
        let n_runs = self.working().len().max(1);
        NonZeroUsize::new(self.train_threads / n_runs).unwrap_or(NonZeroUsize::MIN)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Asks every thread to come to its end.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for control in self.working().values() {
            control.give_back();
        }
        self.bell.ring();
    }

    /// Puts runs of threads that did not come to their end in time back into the queue. Their fence falls
    /// with that: whatever such a thread still writes is refused.
    pub(super) async fn take_back_all(&self) -> Result<(), StoreError> {
        let _order = self.order.lock().await;
        let left: Vec<Uuid> = self.working().drain().map(|(id, _)| id).collect();
        for id in left {
            let change = match self.store.run(id).await?.status {
                Status::Running => RunChange { reason: Some(STOPPING), ..RunChange::to(Status::Queued) },
                Status::Canceling => RunChange::to(Status::Canceled),
                Status::Queued | Status::Succeeded | Status::Failed | Status::Canceled => continue,
            };
            let (_, events) = self.store.advance(id, None, change, vec![]).await?;
            self.hub.tell(events);
        }
        Ok(())
    }

    /// A change of status from outside the run; the caller holds `order`.
    async fn step(&self, id: Uuid, status: Status) -> Result<Run, StoreError> {
        let (run, events) = self.store.advance(id, None, RunChange::to(status), vec![]).await?;
        self.hub.tell(events);
        Ok(run)
    }

    fn working(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Control>>> {
        // every change is a single map operation: a panic elsewhere leaves nothing half done
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reason of a `queued` event that ends a graceful stop.
pub(super) const STOPPING: &str = "server_stopping";

/// The moment a run must be done: counted from its first start, however often it was interrupted.
fn deadline(run: &Run) -> Option<Instant> {
    let (deadline_s, started_at) = (run.deadline_s?, run.started_at?);
    let spent = (Utc::now() - started_at).to_std().unwrap_or_default();
    let left = Duration::from_secs(deadline_s).saturating_sub(spent);
    // a deadline beyond what the clock can count is none
    Instant::now().checked_add(left)
}
