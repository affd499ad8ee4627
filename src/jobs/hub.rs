//! Who listens to which run.

use super::Notice;
use crate::domain::{Event, EventKind};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::sync::broadcast::{Receiver, Sender, channel};
use uuid::Uuid;

/// Notices a listener may fall behind before it has to read the table again.
const CAPACITY: usize = 256;
/// Channels without listeners are cleared away whenever there are this many, and twice as many the next time.
const FIRST_SWEEP: usize = 64;

/// One channel for all runs, and one for every run someone listens to, made on demand and dropped when nobody does.
#[derive(Debug)]
pub(super) struct Hub {
    all: Sender<Notice>,
    channels: Mutex<Channels>,
    /// Rung for whoever reads the table when there is something new in it.
    pub(super) news: Arc<Notify>,
}

#[derive(Debug)]
struct Channels {
    by_run: HashMap<Uuid, Sender<Notice>>,
    next_sweep: usize,
}

impl Hub {
    pub(super) fn new() -> Self {
        let channels = Mutex::new(Channels { by_run: HashMap::new(), next_sweep: FIRST_SWEEP });
        Self { all: channel(CAPACITY).0, channels, news: Arc::default() }
    }

    /// Everything of every run.
    pub(super) fn subscribe_all(&self) -> Receiver<Notice> {
        self.all.subscribe()
    }

    pub(super) fn subscribe(&self, run: Uuid) -> Receiver<Notice> {
        let mut channels = self.lock();
        if channels.by_run.len() >= channels.next_sweep {
            channels.by_run.retain(|_, sender| sender.receiver_count() > 0);
            channels.next_sweep = FIRST_SWEEP.max(2 * channels.by_run.len());
        }
        channels.by_run.entry(run).or_insert_with(|| channel(CAPACITY).0).subscribe()
    }

    /// After the commit, in commit order. The channel closes behind `done`.
    pub(super) fn tell(&self, events: Vec<Event>) {
        for event in events {
            let (run, last) = (event.run, event.kind == EventKind::Done);
            self.send(run, Notice::Durable(Arc::new(event)));
            if last {
                self.lock().by_run.remove(&run);
            }
        }
        self.news.notify_one();
    }

    /// Closes a run's channel: its listeners look at the table, and come back if there is more to hear.
    pub(super) fn refer_to_table(&self, run: Uuid) {
        self.lock().by_run.remove(&run);
    }

    /// `data` is made only if someone listens.
    pub(super) fn whisper(&self, run: Uuid, kind: EventKind, data: impl FnOnce() -> Value) {
        let listened_to = self.lock().by_run.get(&run).is_some_and(|sender| sender.receiver_count() > 0);
        if listened_to || self.all.receiver_count() > 0 {
            self.send(run, Notice::Ephemeral { run, kind, data: Arc::new(data()) });
        }
    }

    fn send(&self, run: Uuid, notice: Notice) {
        // the error means that nobody listens to all runs
        let _ = self.all.send(notice.clone());
        let mut channels = self.lock();
        let nobody = channels.by_run.get(&run).is_some_and(|sender| sender.send(notice).is_err());
        if nobody {
            channels.by_run.remove(&run);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        // every change is a single map operation: a panic elsewhere leaves nothing half done
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn n_channels(&self) -> usize {
        self.lock().by_run.len()
    }
}
