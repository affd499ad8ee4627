//! One at a time, and whoever waits can be called off.

use super::{DataError, DownloadProgress, Progress};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often a waiter is asked whether to go on.
const TICK: Duration = Duration::from_millis(200);

/// A lock whose waiters may give up, which the standard library's can't.
#[derive(Debug, Default)]
pub(super) struct Turn {
    taken: Mutex<bool>,
    freed: Condvar,
}

/// Held while it lasts.
#[derive(Debug)]
pub(super) struct Taken<'a>(&'a Turn);

impl Turn {
    /// Waits for the turn to download `what`.
    pub(super) fn take(&self, what: &str, progress: &mut Progress<'_>) -> Result<Taken<'_>, DataError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken {
            (taken, _) = self.freed.wait_timeout(taken, TICK).unwrap_or_else(PoisonError::into_inner);
            if *taken && progress(DownloadProgress { file: what, done: 0, total: None }).is_break() {
                return Err(DataError::Canceled);
            }
        }
        *taken = true;
        Ok(Taken(self))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn only_one_holds_the_turn() {
        let (turn, holders, most) = (Turn::default(), AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _taken = turn.take("x", &mut |_| ControlFlow::Continue(())).unwrap();
                        most.fetch_max(holders.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        holders.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
    }

    #[test]
    fn a_waiter_can_be_called_off() {
        let turn = Turn::default();
        let _held = turn.take("x", &mut |_| ControlFlow::Continue(())).unwrap();
        let mut asked = Vec::new();
        let error = turn.take("mnist", &mut |seen| {
            asked.push(seen.file.to_owned());
            if asked.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(error, Err(DataError::Canceled)));
        assert_eq!(asked, ["mnist", "mnist"]);
    }
}
