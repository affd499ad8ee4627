//! When a training writes down what it can be gone on with from, and which of that is kept.

use crate::artifacts::Folder;
use crate::domain::{Checkpoint, superfluous};
use crate::nn::{BatchReport, State};
use chrono::Utc;
use serde_json::{Map, Value};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Within an epoch, between two checkpoints: what a crash may cost.
const INTERVAL: Duration = Duration::from_secs(10);
/// A checkpoint waits until this many times as long has been worked as the one before took to write: at most a tenth of
/// the time goes into them, however short the epochs and slow the disk.
const WORK_PER_WRITING: u32 = 9;

/// A run's checkpoints, and its clock for the next.
#[derive(Debug)]
pub(super) struct Checkpoints {
    run: Uuid,
    folder: Folder<State>,
    /// In the table and on disk, in order of their places.
    kept: Vec<Checkpoint>,
    /// On disk, to be told of together with the epoch whose end it is.
    waiting: Option<Checkpoint>,
    written: Instant,
    cost: Duration,
}

impl Checkpoints {
    pub(super) fn new(run: Uuid, folder: Folder<State>, kept: Vec<Checkpoint>) -> Self {
        Self { run, folder, kept, waiting: None, written: Instant::now(), cost: Duration::ZERO }
    }

    /// The newest that can be read. Those that cannot are of no use any more.
    pub(super) fn newest(&mut self) -> Option<(Checkpoint, State)> {
        while let Some(checkpoint) = self.kept.last() {
            match self.folder.get(checkpoint.id, &checkpoint.digest) {
                Ok(state) => return Some((checkpoint.clone(), state)),
                Err(error) => tracing::warn!(%error, "falling back on what is older"),
            }
            self.kept.pop();
        }
        None
    }

    /// The newest is not what it seemed.
    pub(super) fn give_up_newest(&mut self) {
        self.kept.pop();
    }

    /// Whether one should be written here, and is not there already.
    pub(super) fn is_due(&self, at: &BatchReport, now: Instant) -> bool {
        let worked = now.saturating_duration_since(self.written);
        let is_end = at.batch == at.batches;
        self.is_new(at) && worked >= self.cost * WORK_PER_WRITING && (is_end || worked >= INTERVAL)
    }

    pub(super) fn is_new(&self, at: &BatchReport) -> bool {
        self.kept.last().is_none_or(|last| (at.epoch, at.batch) > last.place())
    }

    /// Writes a file; a training that cannot write one goes on without. A state that leads nowhere is none.
    pub(super) fn write(&mut self, at: &BatchReport, state: &State) -> Option<Checkpoint> {
        if !state.is_finite() {
            return None;
        }
        let (id, begun) = (Uuid::now_v7(), Instant::now());
        let written = self.folder.put(id, state);
        self.written = Instant::now();
        self.cost = self.written - begun;
        let (digest, size_bytes) = written
            .inspect_err(
                |error| tracing::error!(%error, "cannot write a checkpoint; the run goes on without"),
            )
            .ok()?;
        Some(Checkpoint {
            id,
            run: self.run,
            epoch: at.epoch,
            batch: at.batch,
            batches: at.batches,
            digest,
            size_bytes,
            metrics: None,
            created_at: Utc::now(),
        })
    }

    /// Leaves one to be told of with its epoch.
    pub(super) fn wait(&mut self, checkpoint: Checkpoint) {
        self.waiting = Some(checkpoint);
    }

    /// The one that waits for this epoch, with what was measured at its end.
    pub(super) fn of_epoch(&mut self, epoch: u32, metrics: &Map<String, Value>) -> Option<Checkpoint> {
        let waiting = self.waiting.take_if(|waiting| waiting.epoch == epoch)?;
        Some(Checkpoint { metrics: Some(metrics.clone()), ..waiting })
    }

    /// Those not needed any more once `next` is there.
    pub(super) fn superfluous_beside(&self, next: &Checkpoint) -> Vec<Uuid> {
        superfluous(&[&self.kept[..], std::slice::from_ref(next)].concat())
    }

    /// `next` is in the table, and `gone` are not.
    pub(super) fn keep(&mut self, next: Checkpoint, gone: &[Uuid]) {
        self.kept.push(next);
        self.kept.retain(|checkpoint| !gone.contains(&checkpoint.id));
        self.remove(gone);
    }

    /// What no row speaks of in the end is garbage.
    pub(super) fn clear(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            self.remove(&[waiting.id]);
        }
    }

    fn remove(&self, ids: &[Uuid]) {
        if let Err(error) = self.folder.remove_all(ids) {
            tracing::warn!(%error, "cannot remove a checkpoint; the next start does");
        }
    }
}
