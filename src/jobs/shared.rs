//! What the engine's handles and its threads share, and the changes of state they make.

use super::control::{Bell, Control};
use super::executor::Executor;
use super::hub::Hub;
use super::lease::lease_from;
use super::{Asked, Limits, Notice, StartError, blocking};
use crate::artifacts::{ArtifactError, Artifacts};
use crate::domain::{Checkpoint, ModelRef, Run, Status, Version};
use crate::inference::Inference;
use crate::store::{Fence, NewEvent, Publication, Publish, RunChange, Store, StoreError, Terms};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

/// Every change of a run goes through here: committed, then told, in one order for all.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) artifacts: Artifacts,
    pub(super) inference: Inference,
    pub(super) executor: Box<dyn Executor>,
    pub(super) runtime: Handle,
    pub(super) bell: Bell,
    /// Worker threads alive, but for those that were given up.
    pub(super) n_alive: watch::Sender<usize>,
    hub: Hub,
    /// Held over a commit and the telling of it, so that listeners hear events in the order of their numbers.
    /// Also over every change of `working`: a run is there exactly while the table says it runs here.
    order: tokio::sync::Mutex<()>,
    working: Mutex<HashMap<Uuid, Arc<Control>>>,
    stopping: AtomicBool,
    limits: Limits,
}

impl Shared {
    pub(super) fn new(
        store: Store,
        artifacts: Artifacts,
        inference: Inference,
        executor: Box<dyn Executor>,
        limits: Limits,
    ) -> Self {
        Self {
            store,
            artifacts,
            inference,
            executor,
            runtime: Handle::current(),
            bell: Bell::default(),
            n_alive: watch::Sender::new(0),
            hub: Hub::new(),
            order: tokio::sync::Mutex::new(()),
            working: Mutex::new(HashMap::new()),
            stopping: AtomicBool::new(false),
            limits,
        }
    }

    pub(super) fn subscribe(&self, run: Uuid) -> broadcast::Receiver<Notice> {
        self.hub.subscribe(run)
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Waits for the turn of a change of `run`.
    async fn turn(&self, run: Uuid) -> Turn<'_> {
        Turn { _order: self.order.lock().await, hub: &self.hub, run }
    }

    /// As [`turn`](Self::turn) for callers that someone waits for: they rather hear that the database is busy than wait
    /// for long.
    async fn prompt_turn(&self, run: Uuid) -> Result<Turn<'_>, StoreError> {
        tokio::time::timeout(PATIENCE, self.turn(run)).await.map_err(|_| StoreError::Busy)
    }

    pub(super) async fn submit(&self, run: Run) -> Result<Run, StoreError> {
        let turn = self.prompt_turn(run.id).await?;
        let (run, event) = self.store.insert_run(run).await?;
        self.hub.tell(vec![event]);
        drop(turn);
        self.bell.ring();
        Ok(run)
    }

    pub(super) async fn submit_fork(
        &self,
        run: Run,
        from: Uuid,
        own: &Checkpoint,
    ) -> Result<Run, StoreError> {
        let turn = self.prompt_turn(run.id).await?;
        let (run, event) = self.store.insert_fork(run, from, own).await?;
        self.hub.tell(vec![event]);
        drop(turn);
        self.bell.ring();
        Ok(run)
    }

    /// Takes the queued run whose turn it is, unless the engine is stopping.
    pub(super) async fn claim(&self) -> Result<Option<(Run, Arc<Control>)>, StoreError> {
        let _order = self.order.lock().await;
        if self.is_stopping() {
            return Ok(None);
        }
        let terms = Terms { until: lease_from(Utc::now()), memory: self.limits.memory };
        let Some((run, events)) = self.store.claim(terms).await? else { return Ok(None) };
        let control = Arc::new(Control::new(Fence(run.attempt), deadline(&run)));
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
        let _turn = self.turn(id).await;
        let (run, events) = self.store.advance(id, Some(fence), change, events).await?;
        self.hub.tell(events);
        Ok(run)
    }

    /// Ends this worker's part in a run: with an ending, or back in the queue.
    pub(super) async fn leave(&self, id: Uuid, fence: Fence, change: RunChange) -> Result<Run, StoreError> {
        let _turn = self.turn(id).await;
        let parts = matches!(change.status, Some(Status::Queued | Status::Paused));
        // it may have been asked for something else meanwhile: a cancel is its end, a pause keeps it from the queue
        let change = match self.store.run(id).await?.status.when_left() {
            Some(status) if parts && change.status != Some(status) => RunChange::to(status),
            _ => change,
        };
        let (run, events) = self.store.advance(id, Some(fence), change, vec![]).await?;
        self.forget(id, fence);
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
        let _turn = self.turn(id).await;
        let revoked = publish.parent.filter(|_| publish.revoke_parent);
        let done = self.store.publish(id, fence, publish).await?;
        if let Some(parent) = revoked
            && let Err(error) = self.purge(parent).await
        {
            tracing::error!(%error, "cannot remove what a revoked version leaves; the next start does");
        }
        self.forget(id, fence);
        self.hub.tell(done.events.clone());
        Ok(done)
    }

    /// Loads a version that something is about to point at.
    ///
    /// # Errors
    ///
    /// `Revoked` if that is why it cannot be read.
    pub(super) async fn have_in_memory(&self, version: &Version) -> Result<(), StartError> {
        if let Err(error) = self.inference.load(version).await {
            self.store.version(&ModelRef::Id(version.id), false).await?;
            return Err(error.into());
        }
        Ok(())
    }

    /// Removes from memory and disk a revoked version's weights, all that its run could be gone on with from, and what
    /// that told of its samples.
    pub(super) async fn purge(&self, version: Uuid) -> Result<(), StartError> {
        self.inference.forget(version);
        let checkpoints = self.store.purge_checkpoints().await?;
        let revoked = self.store.version(&ModelRef::Id(version), true).await?;
        let run = revoked.origin.made().map(|made| made.run);
        let artifacts = self.artifacts.clone();
        let removed = blocking(move || {
            artifacts.models.remove(version)?;
            artifacts.checkpoints.remove_all(&checkpoints)?;
            run.map(|run| artifacts.losses.remove(run)).transpose()?;
            Ok::<_, ArtifactError>(())
        });
        Ok(removed.await?)
    }

    /// Ends a run with a report alone.
    pub(super) async fn conclude(&self, id: Uuid, fence: Fence, report: Value) -> Result<Run, StoreError> {
        let _turn = self.turn(id).await;
        let (run, events) = self.store.conclude(id, fence, report).await?;
        self.forget(id, fence);
        self.hub.tell(events);
        Ok(run)
    }

    /// A worker lets go of a run it does not end: if nobody else has it, the end of its lease or a cancel ends it.
    pub(super) async fn abandon(&self, id: Uuid, fence: Fence) {
        let _turn = self.turn(id).await;
        self.forget(id, fence);
    }

    /// A run is no longer at work in this attempt; it is the caller's turn. Its memory is free for one that waits.
    fn forget(&self, id: Uuid, fence: Fence) {
        let mut working = self.working();
        if working.get(&id).is_some_and(|control| control.fence == fence) {
            working.remove(&id);
        }
        drop(working);
        self.bell.ring();
    }

    /// Gives up threads that were silent for `hang`: their runs, which others get when the leases end.
    pub(super) async fn disown_silent(&self, now: Instant, hang: Duration) -> Vec<Uuid> {
        let _order = self.order.lock().await;
        let mut disowned = Vec::new();
        self.working().retain(|id, control| {
            let hangs = control.silence(now) >= hang;
            if hangs {
                control.disown();
                disowned.push(*id);
            }
            !hangs
        });
        disowned
    }

    /// Renews the leases of the runs at work, then takes back all whose leases had ended by `at`.
    pub(super) async fn renew(&self, at: DateTime<Utc>) -> Result<(), StoreError> {
        let _order = self.order.lock().await;
        let held: Vec<_> = self.working().iter().map(|(id, control)| (*id, control.fence)).collect();
        if !held.is_empty() {
            self.store.renew(&held, lease_from(at)).await?;
        }
        let taken_back = self.store.reconcile(Some(at)).await?;
        for (run, events) in taken_back {
            tracing::warn!(run.id = %run.id, run.status = run.status.name(), "its worker gave no sign of life");
            self.hub.tell(events);
            self.bell.ring();
        }
        Ok(())
    }

    pub(super) async fn cancel(&self, id: Uuid) -> Result<Asked, StoreError> {
        let _turn = self.prompt_turn(id).await?;
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
        let _turn = self.prompt_turn(id).await?;
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
        let _turn = self.prompt_turn(id).await?;
        let run = self.store.run(id).await?;
        if run.status != Status::Paused {
            return Ok(Asked::Refused(run));
        }
        let run = self.step(id, Status::Queued).await?;
        self.bell.ring();
        Ok(Asked::Underway(run))
    }

    /// Asks the thread that has the run to stop; it is the caller's turn.
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

    pub(super) fn train_threads(&self) -> usize {
        self.limits.train_threads.max(1)
    }

    /// How many threads one of the runs at work may use now: an even share, rounded down, at least its own.
    pub(super) fn threads_for_one(&self) -> NonZeroUsize {
        let n_runs = self.working().len().max(1);
        NonZeroUsize::new(self.limits.train_threads / n_runs).unwrap_or(NonZeroUsize::MIN)
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

    /// A change of status from outside the run; it is the caller's turn.
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

/// Holds the order while a run is changed and the change is told.
struct Turn<'a> {
    _order: tokio::sync::MutexGuard<'a, ()>,
    hub: &'a Hub,
    run: Uuid,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // what was committed may not have been told
        if thread::panicking() {
            self.hub.refer_to_table(self.run);
        }
    }
}

/// How long an outside caller waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

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
