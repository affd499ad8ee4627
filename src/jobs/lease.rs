//! Signs of life: a run is held by a lease that ends unless it is renewed, so that none outlives its worker for long.
//!
//! The lease is what the table knows and others can rely on; the silence of a thread is what only this process knows.
//! A thread that hangs cannot be ended: it is disowned, and another takes its seat. Its fence keeps it from writing
//! whatever it still wakes up to.

use super::shared::Shared;
use super::worker;
use crate::store::StoreError;
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// How long a run is held without a sign of life.
const LEASE: Duration = Duration::from_secs(30);
/// Between two renewals: several can fail before a lease ends.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
/// A thread that has not come to the end of a mini-batch for so long hangs.
pub(super) const HANG: Duration = Duration::from_secs(600);

/// Until when a claim or a renewal made at `at` holds.
pub(super) fn lease_from(at: DateTime<Utc>) -> DateTime<Utc> {
    at + LEASE
}

/// Keeps leases alive until the engine stops; `n_threads` have been started.
pub(super) async fn supervise(shared: Weak<Shared>, n_threads: usize) {
    let mut beats = tokio::time::interval(HEARTBEAT);
    // renewing late is enough; renewing often makes up for nothing
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = n_threads;
    loop {
        beats.tick().await;
        let Some(shared) = shared.upgrade().filter(|shared| !shared.is_stopping()) else { return };
        let one = AssertUnwindSafe(beat(&shared, Instant::now(), Utc::now(), &mut number));
        match one.catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "cannot renew the leases of runs at work"),
            Err(_) => tracing::error!("renewing leases met a fault of the program"),
        }
    }
}

/// One heartbeat: replaces threads that hang, renews the leases of the runs whose threads live, and takes back those
/// whose leases have ended. `number` counts the threads started so far.
pub(super) async fn beat(
    shared: &Arc<Shared>,
    now: Instant,
    at: DateTime<Utc>,
    number: &mut usize,
) -> Result<(), StoreError> {
    for run in shared.disown_silent(now, HANG).await {
        *number += 1;
        tracing::error!(run.id = %run, thread = *number, "a worker hangs; another thread takes its place");
        if let Err(error) = worker::replace(shared, *number) {
            tracing::error!(%error, "cannot start a training thread");
        }
    }
    shared.renew(at).await
}
