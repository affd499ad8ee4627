//! A worker thread: claims runs, has them executed, and writes how they end.

use super::control::{Ask, Control};
use super::executor::{Failure, Outcome, Product};
use super::journal::{Halt, Journal};
use super::shared::{STOPPING, Shared};
use crate::domain::{Run, RunError, Status};
use crate::store::{Fence, RunChange, StoreError};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Between two looks at a database that does not answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often an ending is tried to be written, and the wait before the second try (doubled each time).
const N_TRIES: u32 = 8;
const FIRST_WAIT: Duration = Duration::from_millis(50);

pub(super) fn start(shared: &Arc<Shared>, number: usize) -> std::io::Result<thread::JoinHandle<()>> {
    shared.n_alive.send_modify(|n| *n += 1);
    let alive = Alive(Arc::clone(shared));
    thread::Builder::new().name(format!("lethe-train-{number}")).spawn(move || work(&alive.0))
}

/// Counts the thread out, however it ends.
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.n_alive.send_modify(|n| *n -= 1);
    }
}

fn work(shared: &Arc<Shared>) {
    while !shared.is_stopping() {
        let heard = shared.bell.heard();
        match shared.runtime.block_on(shared.claim()) {
            Ok(Some((run, control))) => carry_out(shared, &run, &control),
            // `stop` rings after setting its flag: the ring is heard here or the flag is seen above
            Ok(None) if !shared.is_stopping() => shared.bell.wait(heard),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "cannot claim a run");
                shared.bell.wait_at_most(heard, PATIENCE);
            }
        }
    }
}

/// How a run leaves its worker.
#[derive(Debug)]
enum Ending {
    Published(Box<Product>),
    Reported(serde_json::Value),
    Left(RunChange),
    /// It is someone else's now.
    Lost,
}

fn carry_out(shared: &Shared, run: &Run, control: &Control) {
    let span = tracing::info_span!("run", run.id = %run.id, run.attempt = run.attempt);
    let _entered = span.enter();
    tracing::info!(run.kind = ?run.work.kind(), "started");
    let fence = Fence(run.attempt);
    let ending = match shared.runtime.block_on(Journal::open(shared, run, control)) {
        Ok(mut journal) => {
            let done = catch_unwind(AssertUnwindSafe(|| {
                // a deadline may have passed while the run waited for a new start
                if journal.halted().is_break() {
                    return Err(Failure::Stopped);
                }
                shared.executor.execute(run, &mut journal)
            }));
            judge(done, journal.into_halt())
        }
        Err(error) => of_store_error(&error),
    };
    write(shared, run, fence, ending);
}

/// The ending that follows from what the work gave back.
fn judge(done: Result<Result<Outcome, Failure>, Box<dyn Any + Send>>, halt: Option<Halt>) -> Ending {
    match (done, halt) {
        (Ok(Ok(Outcome::Version(product))), _) => Ending::Published(Box::new(product)),
        (Ok(Ok(Outcome::Report(report))), _) => Ending::Reported(report),
        (Ok(Err(Failure::Stopped)), Some(halt)) => match halt {
            Halt::Asked(Ask::Cancel) => Ending::Left(RunChange::to(Status::Canceled)),
            Halt::Asked(Ask::Pause) => Ending::Left(RunChange::to(Status::Paused)),
            Halt::Asked(Ask::Yield) => {
                Ending::Left(RunChange { reason: Some(STOPPING), ..RunChange::to(Status::Queued) })
            }
            Halt::Late => failed("deadline_exceeded", "the run was not done by its deadline"),
            Halt::Diverged { epoch } => failed(
                "diverged",
                format!(
                    "the loss stopped being a finite number in epoch {epoch}; a lower learning rate may help"
                ),
            ),
            Halt::Store(error) => of_store_error(&error),
        },
        (Ok(Err(Failure::Stopped)), None) => {
            failed("internal_error", "the run stopped without having been asked to")
        }
        (Ok(Err(Failure::Failed(error))), _) => Ending::Left(RunChange::failed(error)),
        (Ok(Err(Failure::Store(error))), _) => of_store_error(&error),
        (Err(panic), _) => {
            failed("internal_error", format!("the run met a fault of the program: {}", text(&*panic)))
        }
    }
}

fn of_store_error(error: &StoreError) -> Ending {
    match error {
        StoreError::LostClaim | StoreError::NotFound => Ending::Lost,
        StoreError::Revoked { version } => failed(
            "parent_revoked",
            format!(
                "version {} of `{}` was revoked while the run was at work; start again from its replacement",
                version.number, version.model
            ),
        ),
        other => {
            tracing::error!(error = %other, "the store failed under a run");
            failed("storage_failed", "the run's progress could not be written; the server's log says why")
        }
    }
}

fn failed(code: &str, message: impl Into<String>) -> Ending {
    Ending::Left(RunChange::failed(RunError { code: code.into(), message: message.into() }))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// Writes the ending, patiently: a run must not stay `running` because the disk was full for a moment.
fn write(shared: &Shared, run: &Run, fence: Fence, mut ending: Ending) {
    let mut wait = FIRST_WAIT;
    for _ in 0..N_TRIES {
        let weights = match &ending {
            Ending::Published(product) => Some(product.version),
            Ending::Reported(_) | Ending::Left(_) | Ending::Lost => None,
        };
        let result = match &ending {
            Ending::Published(product) => shared
                .runtime
                .block_on(shared.publish(run.id, fence, (**product).clone()))
                .map(|done| done.run.status),
            Ending::Reported(report) => {
                shared.runtime.block_on(shared.conclude(run.id, fence, report.clone())).map(|run| run.status)
            }
            Ending::Left(change) => {
                shared.runtime.block_on(shared.leave(run.id, fence, change.clone())).map(|run| run.status)
            }
            Ending::Lost => Err(StoreError::LostClaim),
        };
        let error = match result {
            Ok(status) => return tracing::info!(run.status = status.name(), "ended"),
            Err(error) => error,
        };
        match error {
            StoreError::LostClaim | StoreError::NotFound | StoreError::WrongState { .. } => {
                tracing::warn!(%error, "another attempt has taken over");
                discard(shared, weights);
                return shared.runtime.block_on(shared.abandon(run.id));
            }
            StoreError::Revoked { .. } => {
                discard(shared, weights);
                ending = of_store_error(&error);
            }
            _ => {
                tracing::error!(%error, "cannot write how the run ended; trying again");
                thread::sleep(wait);
                wait *= 2;
            }
        }
    }
    tracing::error!("gave up writing how the run ended; the next start or cancel puts it right");
    shared.runtime.block_on(shared.abandon(run.id));
}

/// Removes weights that will never be published.
fn discard(shared: &Shared, weights: Option<uuid::Uuid>) {
    if let Some(Err(error)) = weights.map(|version| shared.artifacts.models.remove(version)) {
        tracing::warn!(%error, "cannot remove unpublished weights; the next start does");
    }
}
