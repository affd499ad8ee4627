//! What the engine's handles and its threads share, and the changes of state they make.

use super::control::{Bell, Control};
use super::executor::Executor;
use super::hub::Hub;
use super::{Asked, Notice, StartError, blocking};
use crate::artifacts::Artifacts;
use crate::domain::{Checkpoint, Run, Status};
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

    pub(super) async fn submit_fork(
        &self,
        run: Run,
        from: Uuid,
        own: &Checkpoint,
    ) -> Result<Run, StoreError> {
        let order = self.order.lock().await;
        let (run, event) = self.store.insert_fork(run, from, own).await?;
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
        let parts = matches!(change.status, Some(Status::Queued | Status::Paused));
        // it may have been asked for something else meanwhile: a cancel is its end, a pause keeps it from the queue
        let change = match self.store.run(id).await?.status.when_left() {
            Some(status) if parts && change.status != Some(status) => RunChange::to(status),
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
        if let Some(parent) = revoked
            && let Err(error) = self.purge(parent).await
        {
            tracing::error!(%error, "cannot remove what a revoked version leaves; the next start does");
        }
        self.working().remove(&id);
        self.hub.tell(done.events.clone());
        // a run may follow
        self.bell.ring();
        Ok(done)
    }

    /// Removes from the disk a revoked version's weights, and all that its run could be gone on with from.
    pub(super) async fn purge(&self, version: Uuid) -> Result<(), StartError> {
        let checkpoints = self.store.purge_checkpoints().await?;
        let artifacts = self.artifacts.clone();
        let removed = blocking(move || {
            artifacts.models.remove(version)?;
            artifacts.checkpoints.remove_all(&checkpoints)
        });
        Ok(removed.await?)
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

    pub(super) async fn cancel(&self, id: Uuid) -> Result<Asked, StoreError> {
        let _order = self.order.lock().await;
        let run = self.store.run(id).await?;
        match run.status {
            Status::Canceled => Ok(Asked::Done(run)),
            Status::Succeeded | Status::Failed => Ok(Asked::Refused(run)),
            Status::Queued | Status::Paused => Ok(Asked::Done(self.step(id, Status::Canceled).await?)),
            Status::Running | Status::Pausing | Status::Canceling => {
                self.ask(run, Status::Canceling, Status::Canceled, Control::cancel).await
            }
        }
    }

    pub(super) async fn pause(&self, id: Uuid) -> Result<Asked, StoreError> {
        let _order = self.order.lock().await;
        let run = self.store.run(id).await?;
        match run.status {
            Status::Paused => Ok(Asked::Done(run)),
            Status::Canceling | Status::Canceled | Status::Succeeded | Status::Failed => {
                Ok(Asked::Refused(run))
            }
            Status::Queued => Ok(Asked::Done(self.step(id, Status::Paused).await?)),
            Status::Running | Status::Pausing => {
                self.ask(run, Status::Pausing, Status::Paused, Control::pause).await
            }
        }
    }

    pub(super) async fn resume(&self, id: Uuid) -> Result<Asked, StoreError> {
        let _order = self.order.lock().await;
        let run = self.store.run(id).await?;
        if run.status != Status::Paused {
            return Ok(Asked::Refused(run));
        }
        let run = self.step(id, Status::Queued).await?;
        self.bell.ring();
        Ok(Asked::Underway(run))
    }

    /// Asks the thread that has the run to stop; the caller holds `order`.
    async fn ask(
        &self,
        mut run: Run,
        on_the_way: Status,
        there: Status,
        ask: fn(&Control),
    ) -> Result<Asked, StoreError> {
        if run.status != on_the_way {
            run = self.step(run.id, on_the_way).await?;
        }
        let control = self.working().get(&run.id).cloned();
        match control {
            Some(control) => {
                ask(&control);
                Ok(Asked::Underway(run))
            }
            // no thread works on it any more: nobody else will do it
            None => Ok(Asked::Done(self.step(run.id, there).await?)),
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
            let Some(status) = self.store.run(id).await?.status.when_left() else { continue };
            let reason = (status == Status::Queued).then_some(STOPPING);
            let change = RunChange { reason, ..RunChange::to(status) };
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
