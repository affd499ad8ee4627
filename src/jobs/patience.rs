//! What may be over in a moment is waited for, on the thread that has the work.

use crate::store::StoreError;
use std::thread;
use std::time::Duration;

const N_TRIES: u32 = 8;
/// Before the second try; doubled each time, thirteen seconds in all.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Writes, and again while the error `may_pass`: a run that worked for hours must not end because the disk was full or
/// the database locked for a moment.
///
/// # Errors
///
/// Of the last try, or the first that will not pass.
pub(super) fn patiently<T>(
    may_pass: impl Fn(&StoreError) -> bool,
    mut write: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut wait = FIRST_WAIT;
    for _ in 1..N_TRIES {
        match write() {
            Err(error) if may_pass(&error) => {
                tracing::error!(%error, "cannot write; trying again");
                thread::sleep(wait);
                wait *= 2;
            }
            other => return other,
        }
    }
    write()
}
