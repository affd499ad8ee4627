//! What happens now, told to many readers: one task listens for all of them, writes each event once, and hands the
//! bytes round.
//!
//! A thousand readers woken at once are a thousand writes before which a prediction has to wait. So readers sit in
//! groups that are woken one after another, with a pause in which everything else has its turn.

use super::super::state::AppState;
use super::frame;
use crate::domain::{Event, EventKind};
use crate::jobs::Notice;
use crate::store::{LogPage, Scope, StoreError};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

/// Readers woken at a time: some hundred microseconds of work.
const GROUP: usize = 32;
/// Between two groups. A task that only went to the back of the line would keep its thread busy from the first group
/// to the last, and a busy thread is what the system lets wait.
const PAUSE: Duration = Duration::from_millis(1);
/// Batches a reader may fall behind before it has to read the table again.
const CAPACITY: usize = 64;
/// Lines in a batch, and events read from the table at a time.
const BATCH: u32 = 256;
/// How often a feed looks whether anybody is still there.
const ROUNDS: Duration = Duration::from_secs(5);

/// One event, ready to be sent.
#[derive(Debug)]
pub(super) struct Line {
    pub run: Uuid,
    pub kind: EventKind,
    /// `None` if it is ephemeral.
    pub number: Option<u64>,
    pub frame: Bytes,
}

/// What happened since the batch before.
#[derive(Debug)]
pub(super) struct Batch {
    /// Everything behind this number is in this batch or a later one.
    pub after: u64,
    pub lines: Vec<Line>,
}

type Groups = Vec<Sender<Arc<Batch>>>;

/// The feeds somebody reads: one of all runs, one of every run that is followed by itself.
#[derive(Debug, Default)]
pub struct Feeds(Mutex<HashMap<Scope, Groups>>);

impl Feeds {
    /// Hears everything of `scope` (or more) from now on. Subscribe first, then read the table. On `Lagged` and on a
    /// gap before [`Batch::after`], read it again. Closes behind the end of a run.
    pub(super) fn subscribe(app: &AppState, scope: &Scope) -> Receiver<Arc<Batch>> {
        let scope = match scope {
            Scope::Runs(_) => Scope::All,
            Scope::Run(_) | Scope::All => scope.clone(),
        };
        let mut feeds = app.feeds.lock();
        let is_new = !feeds.contains_key(&scope);
        let groups = feeds.entry(scope.clone()).or_default();
        let receiver = match groups.iter().find(|group| group.receiver_count() < GROUP) {
            Some(group) => group.subscribe(),
            None => {
                let (sender, receiver) = channel(CAPACITY);
                groups.push(sender);
                receiver
            }
        };
        if is_new {
            let notices = match &scope {
                Scope::Run(run) => app.engine.subscribe(*run),
                Scope::Runs(_) | Scope::All => app.engine.subscribe_all(),
            };
            tokio::spawn(run(app.clone(), scope, notices));
        }
        receiver
    }

    /// Tells group after group. One that appears meanwhile is told too, and drops what it knows already.
    async fn tell(&self, scope: &Scope, batch: Batch) {
        let batch = Arc::new(batch);
        for index in 0.. {
            let group = self.lock().get(scope).and_then(|groups| groups.get(index).cloned());
            let Some(group) = group else { return };
            // the error means that its last reader has just gone
            let _ = group.send(Arc::clone(&batch));
            drop(group);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Forgets groups nobody reads in; whether the feed went with its last one.
    fn sweep(&self, scope: &Scope) -> bool {
        let mut feeds = self.lock();
        let Some(groups) = feeds.get_mut(scope) else { return true };
        groups.retain(|group| group.receiver_count() > 0);
        let is_unread = groups.is_empty();
        if is_unread {
            feeds.remove(scope);
        }
        is_unread
    }

    fn close(&self, scope: &Scope) {
        self.lock().remove(scope);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Scope, Groups>> {
        // every change is a single map operation: a panic elsewhere leaves nothing half done
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn n_groups(&self, scope: &Scope) -> usize {
        self.lock().get(scope).map_or(0, Vec::len)
    }
}

/// A feed's life: until nobody reads it, its run has ended, or the server ends.
async fn run(app: AppState, scope: Scope, notices: Receiver<Notice>) {
    let ended = match app.engine.store.log(&scope, None, u64::MAX, 1).await {
        Ok(LogPage { latest, .. }) => {
            let mut feed = Feed { app: &app, scope: &scope, last: latest, after: latest, lines: Vec::new() };
            tokio::select! {
                () = app.shutdown.cancelled() => Ok(End::Closed),
                ended = feed.follow(notices) => ended,
            }
        }
        Err(error) => Err(error),
    };
    match ended {
        // there may be another one of this scope by now
        Ok(End::Unread) => return,
        Ok(End::Closed) => {}
        Err(error) => tracing::error!(?scope, %error, "a feed ends because the log cannot be read"),
    }
    // its readers find the rest in the table, or come back
    app.feeds.close(&scope);
}

/// Why a feed comes to its end.
enum End {
    /// Nobody reads it, and it is forgotten already.
    Unread,
    /// Nothing more will be heard.
    Closed,
}

struct Feed<'a> {
    app: &'a AppState,
    scope: &'a Scope,
    /// Number of the newest event in `lines` or told before.
    last: u64,
    /// Number of the newest event told.
    after: u64,
    /// Not told yet.
    lines: Vec<Line>,
}

impl Feed<'_> {
    async fn follow(&mut self, mut notices: Receiver<Notice>) -> Result<End, StoreError> {
        let mut rounds = interval(ROUNDS);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let first = tokio::select! {
                biased;
                notice = notices.recv() => notice,
                _ = rounds.tick() => {
                    if self.app.feeds.sweep(self.scope) {
                        return Ok(End::Unread);
                    }
                    continue;
                }
            };
            match first {
                Ok(notice) => self.hear(notice).await?,
                Err(RecvError::Lagged(_)) => self.catch_up().await?,
                Err(RecvError::Closed) => return Ok(End::Closed),
            }
            // whatever else has happened goes with it
            while self.lines.len() < BATCH as usize {
                match notices.try_recv() {
                    Ok(notice) => self.hear(notice).await?,
                    Err(TryRecvError::Lagged(_)) => self.catch_up().await?,
                    // a closed channel says so again
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            self.tell().await;
        }
    }

    async fn hear(&mut self, notice: Notice) -> Result<(), StoreError> {
        match notice {
            Notice::Durable(event) => {
                let number = self.scope.number(&event);
                if number == self.last + 1 {
                    self.add(&event);
                } else if number > self.last {
                    self.catch_up().await?;
                }
            }
            Notice::Ephemeral { run, kind, data } => {
                // it tells how things are now: the one before it is of no use any more
                self.lines.retain(|line| line.number.is_some() || line.run != run || line.kind != kind);
                self.lines.push(Line { run, kind, number: None, frame: frame::ephemeral(kind, &*data) });
            }
        }
        Ok(())
    }

    /// What was missed is in the table.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        loop {
            let page = match self.app.engine.store.log(self.scope, None, self.last, BATCH).await {
                Ok(page) => page,
                // deleted
                Err(StoreError::NotFound) => return Ok(()),
                Err(error) => return Err(error),
            };
            for event in &page.events {
                self.add(event);
            }
            self.last = self.last.max(page.end);
            self.tell().await;
            if page.end >= page.latest {
                return Ok(());
            }
        }
    }

    fn add(&mut self, event: &Event) {
        let number = self.scope.number(event);
        let frame = frame::durable(event, number);
        self.lines.push(Line { run: event.run, kind: event.kind, number: Some(number), frame });
        self.last = number;
    }

    async fn tell(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let after = std::mem::replace(&mut self.after, self.last);
        if !lines.is_empty() {
            self.app.feeds.tell(self.scope, Batch { after, lines }).await;
        }
    }
}

#[cfg(test)]
mod tests;
