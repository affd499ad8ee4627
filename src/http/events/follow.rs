//! A live stream of one reader.
//!
//! The table is the truth. A reader subscribes first, then reads the table, then follows what it hears, dropping what
//! it has sent; whenever it misses something it reads the table again, a page at a time. So what a reader costs does
//! not depend on how slow it is.

use super::super::runs;
use super::super::state::AppState;
use super::feed::{Batch, Feeds};
use super::frame;
use super::reading::Selection;
use crate::domain::{EventKind, Run};
use crate::store::StoreError;
use bytes::{Bytes, BytesMut};
use chrono::Utc;
use futures_util::Stream;
use serde_json::json;
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use uuid::Uuid;

/// Well below the idle limits of proxies (60 s and less). Every second beat is also a `ping` event, which
/// page code can see.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events read from the table at a time: what a reader holds in memory while it does not read.
const PAGE: u32 = 64;
/// Before a reader looks for a feed again whose end was not that of its runs.
const AGAIN: Duration = Duration::from_millis(100);

/// A stream about to begin.
pub(super) struct Reader {
    pub selection: Selection,
    /// Number of the last event the client has.
    pub after: u64,
    /// Those that are named, as they were after `heard` began.
    pub runs: Vec<Run>,
    /// Whether the client is told how the named runs are before anything else.
    pub greet: bool,
    /// `None` if nothing can happen any more.
    pub heard: Option<Receiver<Arc<Batch>>>,
    pub permit: OwnedSemaphorePermit,
    /// Between two beats.
    pub every: Duration,
}

/// The frames of one stream, until the named runs have ended, the server ends, or the store fails (the client
/// reconnects then, and continues where it was).
pub(super) fn follow(app: AppState, reader: Reader) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let Reader { selection, after: mut last, mut runs, mut greet, mut heard, permit, every } = reader;
    async_stream::stream! {
        let _permit = permit;
        yield Ok(Bytes::from_static(frame::OPENING));

        // runs whose end has not been seen, neither in their state nor in the log
        let mut open: HashSet<Uuid> =
            runs.iter().filter(|run| !run.status.is_terminal()).map(|run| run.id).collect();
        let mut heartbeat = interval_at(Instant::now() + every, every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut n_beats = 0_u64;
        loop {
            // what the table has
            loop {
                let read = match selection.read(&app.engine.store, last, PAGE).await {
                    Ok(read) => read,
                    // deleted: there is nothing more to say
                    Err(StoreError::NotFound) => return,
                    Err(error) => {
                        tracing::error!(%error, "a stream ends because the log cannot be read");
                        return;
                    }
                };
                let mut frames = BytesMut::new();
                if let Some(reset) = &read.reset {
                    frames.extend(frame::ephemeral(EventKind::Reset, reset));
                    if !greet {
                        runs = reload(&app, &selection).await;
                        greet = true;
                    }
                }
                if std::mem::take(&mut greet) {
                    for run in std::mem::take(&mut runs) {
                        frames.extend(frame::ephemeral(EventKind::Snapshot, &app.present(&run)));
                    }
                }
                for event in &read.page.events {
                    if event.kind == EventKind::Done {
                        open.remove(&event.run);
                    }
                    if selection.wants(event.kind) {
                        frames.extend(frame::durable(event, selection.scope.number(event)));
                    }
                }
                last = read.page.end;
                let is_last = read.is_last();
                drop(read);
                if !frames.is_empty() {
                    yield Ok(frames.freeze());
                }
                if app.shutdown.is_cancelled() {
                    return;
                }
                if is_last {
                    break;
                }
            }
            let Some(batches) = &mut heard else { return };
            let is_over = |open: &HashSet<Uuid>| open.is_empty() && !selection.runs().is_empty();
            if is_over(&open) {
                return;
            }
            // what is heard, as long as nothing is missed
            let mut is_closed = false;
            loop {
                tokio::select! {
                    biased;
                    // without this arm an open stream would keep the server from ending
                    () = app.shutdown.cancelled() => return,
                    batch = batches.recv() => match batch {
                        Ok(batch) if batch.after > last => break,
                        Ok(batch) => {
                            for line in &batch.lines {
                                match line.number {
                                    Some(number) if number <= last => continue,
                                    Some(number) => last = number,
                                    None => {}
                                }
                                if selection.covers(line.run) && selection.wants(line.kind) {
                                    yield Ok(line.frame.clone());
                                }
                                if line.kind == EventKind::Done {
                                    open.remove(&line.run);
                                }
                            }
                            if is_over(&open) {
                                return;
                            }
                        }
                        Err(RecvError::Lagged(_)) => break,
                        Err(RecvError::Closed) => {
                            is_closed = true;
                            break;
                        }
                    },
                    _ = heartbeat.tick() => {
                        n_beats += 1;
                        yield Ok(Bytes::from_static(frame::BEAT));
                        if n_beats.is_multiple_of(2) {
                            yield Ok(frame::ephemeral(EventKind::Ping, &json!({ "t": Utc::now() })));
                        }
                    }
                }
            }
            // one that was deleted meanwhile has no `done` any more
            let left = reload(&app, &selection).await;
            open.retain(|id| left.iter().any(|run| run.id == *id && !run.status.is_terminal()));
            // the feed of a run closes behind its end; if that was not it, the feed could not read the log
            if is_closed && !is_over(&open) {
                tokio::time::sleep(AGAIN).await;
                *batches = Feeds::subscribe(&app, &selection.scope);
            }
        }
    }
}

/// The named runs that are still there.
async fn reload(app: &AppState, selection: &Selection) -> Vec<Run> {
    let mut found = Vec::new();
    for &id in selection.runs() {
        found.extend(runs::load(app, id).await);
    }
    found
}

#[cfg(test)]
mod tests;
