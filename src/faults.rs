//! Failures on demand, for the tests that ask what a failure leaves behind.
//!
//! Every step of writing something down passes a named point. In a build with debug assertions the variable
//! `LETHE_FAULTS` makes points fail, as in `checkpoints.sync=error` or `publish.commit=abort@2,models.write=full`: an
//! action, and which of the times the point is passed it is for (`@2` the second, `@2+` the second and all that follow;
//! every time if left out). In a release build a point is nothing at all.
//!
//! | Action | What happens |
//! |---|---|
//! | `error` | the step fails as on a broken disk (`EIO`) |
//! | `full` | the step fails as on a full disk (`ENOSPC`) |
//! | `panic` | the thread panics |
//! | `abort` | the process ends at once, as when killed |
//! | `slow:N` | the step takes N milliseconds longer |

use std::io;

/// Before a transaction begins; before it is committed; when it is, and nobody knows yet.
const TRANSACTION: &[&str] = &["begin", "commit", "committed"];
/// The life of a file.
const FILE: &[&str] = &["create", "write", "sync", "rename", "sync_folder", "remove"];

/// The life of a file that is written to in its place.
const GROWING_FILE: &[&str] = &["create", "write", "sync", "sync_folder", "remove"];

/// Of a database: its copy, then each migration.
const UPGRADE: &[&str] = &["copy", "sync", "rename", "sync_folder", "migrate", "migrated"];

/// Everything that is written down, and its steps: a point is `what.step`.
pub const POINTS: &[(&str, &[&str])] = &[
    ("submit", TRANSACTION),
    ("fork", TRANSACTION),
    ("claim", TRANSACTION),
    ("advance", TRANSACTION),
    ("publish", TRANSACTION),
    ("import", TRANSACTION),
    ("conclude", TRANSACTION),
    ("reconcile", TRANSACTION),
    ("renew", TRANSACTION),
    ("delete_run", TRANSACTION),
    ("prune", TRANSACTION),
    ("set_alias", TRANSACTION),
    ("delete_alias", TRANSACTION),
    ("revoke", TRANSACTION),
    ("reserve_key", TRANSACTION),
    ("keep_answer", TRANSACTION),
    ("insert_webhook", TRANSACTION),
    ("delete_webhook", TRANSACTION),
    ("enable_webhook", TRANSACTION),
    ("record_attempt", TRANSACTION),
    ("models", FILE),
    ("checkpoints", FILE),
    ("losses", GROWING_FILE),
    ("upgrade", UPGRADE),
];

/// Passes the point `what.step`.
///
/// # Errors
///
/// What was asked for; never in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_what: &str, _step: &str) -> io::Result<()> {
    Ok(())
}

/// Passes the point `what.step`.
///
/// # Errors
///
/// What was asked for; never in a release build.
#[cfg(debug_assertions)]
pub fn point(what: &str, step: &str) -> io::Result<()> {
    debug_assert!(is_point(what, step), "`{what}.{step}` is not listed");
    armed::FAULTS.iter().filter(|fault| fault.is_at(what, step)).try_for_each(armed::Fault::pass)
}

#[cfg(debug_assertions)]
fn is_point(what: &str, step: &str) -> bool {
    POINTS.iter().any(|(name, steps)| *name == what && steps.contains(&step))
}

#[cfg(debug_assertions)]
mod armed {
    use super::is_point;
    use std::io;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    const VARIABLE: &str = "LETHE_FAULTS";
    const EIO: i32 = 5;
    const ENOSPC: i32 = 28;

    pub(super) static FAULTS: LazyLock<Vec<Fault>> = LazyLock::new(|| {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        let faults = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        faults.map(|part| Fault::read(part).unwrap_or_else(|| panic!("{VARIABLE}: `{part}`?"))).collect()
    });

    #[derive(Debug, PartialEq)]
    enum Action {
        Error(i32),
        Panic,
        Abort,
        Slow(Duration),
    }

    #[derive(Debug)]
    pub(super) struct Fault {
        what: String,
        step: String,
        action: Action,
        /// The times it is for, counted from 1.
        first: u32,
        last: u32,
        n_passed: AtomicU32,
    }

    impl Fault {
        fn read(text: &str) -> Option<Self> {
            let (point, rest) = text.split_once('=')?;
            let (what, step) = point.split_once('.').filter(|(what, step)| is_point(what, step))?;
            let (action, times) = rest.split_once('@').unwrap_or((rest, "1+"));
            let action = match action.split_once(':') {
                None if action == "error" => Action::Error(EIO),
                None if action == "full" => Action::Error(ENOSPC),
                None if action == "panic" => Action::Panic,
                None if action == "abort" => Action::Abort,
                Some(("slow", ms)) => Action::Slow(Duration::from_millis(ms.parse().ok()?)),
                _ => return None,
            };
            let (first, last) = match times.strip_suffix('+') {
                Some(first) => (first.parse().ok()?, u32::MAX),
                None => (times.parse().ok()?, times.parse().ok()?),
            };
            let n_passed = AtomicU32::new(0);
            Some(Self { what: what.to_owned(), step: step.to_owned(), action, first, last, n_passed })
        }

        pub(super) fn is_at(&self, what: &str, step: &str) -> bool {
            self.what == what && self.step == step
        }

        pub(super) fn pass(&self) -> io::Result<()> {
            let time = self.n_passed.fetch_add(1, Ordering::SeqCst) + 1;
            if !(self.first..=self.last).contains(&time) {
                return Ok(());
            }
            tracing::warn!(point = %format_args!("{}.{}", self.what, self.step), time, "a fault strikes");
            match self.action {
                Action::Error(code) => Err(io::Error::from_raw_os_error(code)),
                Action::Panic => panic!("asked for at {}.{}", self.what, self.step),
                Action::Abort => std::process::abort(),
                Action::Slow(delay) => {
                    std::thread::sleep(delay);
                    Ok(())
                }
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn passes(text: &str) -> Vec<bool> {
            let fault = Fault::read(text).unwrap();
            (0..4).map(|_| fault.pass().is_ok()).collect()
        }

        #[test]
        fn a_fault_strikes_the_times_it_is_for() {
            assert_eq!(passes("models.sync=error"), [false; 4]);
            assert_eq!(passes("models.sync=full@2"), [true, false, true, true]);
            assert_eq!(passes("claim.commit=error@3+"), [true, true, false, false]);
        }

        #[test]
        fn a_full_disk_looks_like_one() {
            let error = Fault::read("models.write=full").unwrap().pass().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }

        #[test]
        fn what_makes_no_sense_is_refused() {
            for text in
                ["", "models.sync", "models.fly=error", "models.sync=explode", "models.sync=error@x", "a=b"]
            {
                assert!(Fault::read(text).is_none(), "{text}");
            }
        }
    }
}
