//! Signals between the engine and its threads.

use crate::store::Fence;
use chrono::{DateTime, Utc};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the outside asks of a run at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Cancel,
    /// Stop where it can be gone on with, until it is resumed.
    Pause,
    /// Give the run back to the queue: the process is ending.
    Yield,
}

/// The line between a run at work and everyone else.
#[derive(Debug)]
pub(super) struct Control {
    /// The attempt this is the line to.
    pub(super) fence: Fence,
    ask: AtomicU8,
    deadline: Option<Instant>,
    /// Milliseconds since 1970; 0 while unknown.
    finish_ms: AtomicI64,
    claimed: Instant,
    /// Milliseconds from the claim to the last sign of life.
    alive_ms: AtomicU64,
    is_disowned: AtomicBool,
}

const NOTHING: u8 = 0;
const CANCEL: u8 = 1;
const PAUSE: u8 = 2;
const YIELD: u8 = 3;

impl Control {
    pub(super) fn new(fence: Fence, deadline: Option<Instant>) -> Self {
        Self {
            fence,
            ask: AtomicU8::new(NOTHING),
            deadline,
            finish_ms: AtomicI64::new(0),
            claimed: Instant::now(),
            alive_ms: AtomicU64::new(0),
            is_disowned: AtomicBool::new(false),
        }
    }

    /// The thread at work was here.
    pub(super) fn is_alive_at(&self, now: Instant) {
        let ms = now.duration_since(self.claimed).as_millis().try_into().unwrap_or(u64::MAX);
        self.alive_ms.store(ms, Ordering::Relaxed);
    }

    /// How long the thread at work has given no sign of life.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.duration_since(self.claimed)
            .saturating_sub(Duration::from_millis(self.alive_ms.load(Ordering::Relaxed)))
    }

    /// The run is no longer this thread's, nor the thread the engine's: should it come back, it ends.
    pub(super) fn disown(&self) {
        self.is_disowned.store(true, Ordering::SeqCst);
        self.give_back();
    }

    pub(super) fn is_disowned(&self) -> bool {
        self.is_disowned.load(Ordering::SeqCst)
    }

    pub(super) fn cancel(&self) {
        self.ask.store(CANCEL, Ordering::SeqCst);
    }

    /// What was asked before stands.
    pub(super) fn pause(&self) {
        self.ask_first(PAUSE);
    }

    /// What was asked before stands.
    pub(super) fn give_back(&self) {
        self.ask_first(YIELD);
    }

    fn ask_first(&self, ask: u8) {
        // the error means that something else was asked for already
        let _ = self.ask.compare_exchange(NOTHING, ask, Ordering::SeqCst, Ordering::SeqCst);
    }

    pub(super) fn asked(&self) -> Option<Ask> {
        match self.ask.load(Ordering::Relaxed) {
            CANCEL => Some(Ask::Cancel),
            PAUSE => Some(Ask::Pause),
            YIELD => Some(Ask::Yield),
            _ => None,
        }
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    pub(super) fn expect_finish(&self, at: Option<DateTime<Utc>>) {
        self.finish_ms.store(at.map_or(0, |at| at.timestamp_millis()), Ordering::Relaxed);
    }

    pub(super) fn expected_finish(&self) -> Option<DateTime<Utc>> {
        let ms = self.finish_ms.load(Ordering::Relaxed);
        DateTime::from_timestamp_millis(ms).filter(|_| ms > 0)
    }
}

/// Wakes worker threads. A ring between looking and waiting is not missed.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rings: Mutex<u64>,
    changed: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        *self.rings.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// How often it has rung: take this before looking for work.
    pub(super) fn heard(&self) -> u64 {
        *self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it has rung since `heard`, or until `patience` is over.
    pub(super) fn wait_at_most(&self, heard: u64, patience: Duration) {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(rings, patience, |rings| *rings == heard));
    }
}
