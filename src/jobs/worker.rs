//! A worker thread: claims runs, has them executed, and writes how they end.

use super::control::{Ask, Control};
use super::executor::{Failure, Outcome, Product};
use super::journal::{Halt, Journal};
use super::lease::HEARTBEAT;
use super::patience::patiently;
use super::priority::stand_back;
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
/// Starts one more worker.
pub(super) fn start(shared: &Arc<Shared>, number: usize) -> std::io::Result<()> {
    shared.n_alive.send_modify(|n| *n += 1);
    replace(shared, number)
}

/// Starts a worker on the seat of one that was disowned.
pub(super) fn replace(shared: &Arc<Shared>, number: usize) -> std::io::Result<()> {
    let seat = Seat { shared: Arc::clone(shared), is_taken: false };
    thread::Builder::new().name(format!("lethe-train-{number}")).spawn(move || work(seat)).map(drop)
}

/// Counts the thread out, however it ends, unless another has its seat.
struct Seat {
    shared: Arc<Shared>,
    is_taken: bool,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_taken {
            self.shared.n_alive.send_modify(|n| *n -= 1);
        }
    }
}

fn work(mut seat: Seat) {
    stand_back();
    let shared = Arc::clone(&seat.shared);
    while !shared.is_stopping() && !seat.is_taken {
        let heard = shared.bell.heard();
        let claimed = catch_unwind(AssertUnwindSafe(|| shared.runtime.block_on(shared.claim())));
        match claimed {
            Ok(Ok(Some((run, control)))) => {
                attend(&shared, &run, &control);
                seat.is_taken = control.is_disowned();
            }
            // `stop` rings after setting its flag: the ring is heard here or the flag is seen above. A run stored by a
            // request that then fell over rings for nobody
            Ok(Ok(None)) if !shared.is_stopping() => shared.bell.wait_at_most(heard, HEARTBEAT),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot claim a run");
                shared.bell.wait_at_most(heard, PATIENCE);
            }
            Err(panic) => {
                tracing::error!(panic = text(&*panic), "claiming a run met a fault of the program");
                shared.bell.wait_at_most(heard, PATIENCE);
            }
        }
    }
}

/// Carries out a run. Should that fail where nobody foresaw it, the run fails with it; should even that fail, the thread
/// lives on, and the end of its lease takes the run back.
fn attend(shared: &Shared, run: &Run, control: &Control) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| carry_out(shared, run, control))) else { return };
    tracing::error!(run.id = %run.id, panic = text(&*panic), "ending a run met a fault of the program");
    let ending = fault(&*panic);
    if catch_unwind(AssertUnwindSafe(|| write(shared, run, control.fence, &ending))).is_err() {
        shared.runtime.block_on(shared.abandon(run.id, control.fence));
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
    let opened =
        patiently(StoreError::is_transient, || shared.runtime.block_on(Journal::open(shared, run, control)));
    let ending = match opened {
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
    write(shared, run, control.fence, &ending);
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
        (Err(panic), _) => fault(&*panic),
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
        StoreError::Full => failed("disk_full", "the disk of the server is full"),
        other => {
            tracing::error!(error = %other, "the store failed under a run");
            failed("storage_failed", "the run's progress could not be written; the server's log says why")
        }
    }
}

fn failed(code: &str, message: impl Into<String>) -> Ending {
    Ending::Left(RunChange::failed(RunError { code: code.into(), message: message.into() }))
}

fn fault(panic: &(dyn Any + Send)) -> Ending {
    failed("internal_error", format!("the run met a fault of the program: {}", text(panic)))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// Writes the ending. A second one if what was to be published no longer can be.
fn write(shared: &Shared, run: &Run, fence: Fence, ending: &Ending) {
    let weights = match ending {
        Ending::Published(product) => Some(product.version),
        Ending::Reported(_) | Ending::Left(_) | Ending::Lost => None,
    };
    let error = match end(shared, run, fence, ending) {
        Ok(status) => return tracing::info!(run.status = status.name(), "ended"),
        Err(error) => error,
    };
    if is_refusal(&error) {
        discard(shared, weights);
    }
    match &error {
        StoreError::Revoked { .. } => return write(shared, run, fence, &of_store_error(&error)),
        error if is_refusal(error) => tracing::warn!(%error, "another attempt has taken over"),
        _ => tracing::error!(%error, "cannot write how the run ended; it goes back to the queue"),
    }
    shared.runtime.block_on(shared.abandon(run.id, fence));
}

fn end(shared: &Shared, run: &Run, fence: Fence, ending: &Ending) -> Result<Status, StoreError> {
    // all there is left to do is this: whatever is not an answer is worth another try
    let may_pass = |error: &StoreError| !is_refusal(error);
    patiently(may_pass, || {
        shared.runtime.block_on(async {
            match ending {
                Ending::Published(product) => {
                    Ok(shared.publish(run.id, fence, (**product).clone()).await?.run.status)
                }
                Ending::Reported(report) => Ok(shared.conclude(run.id, fence, report.clone()).await?.status),
                Ending::Left(change) => Ok(shared.leave(run.id, fence, change.clone()).await?.status),
                Ending::Lost => Err(StoreError::LostClaim),
            }
        })
    })
}

/// Whether the store has answered that this ending is not to be.
fn is_refusal(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::LostClaim
            | StoreError::NotFound
            | StoreError::WrongState { .. }
            | StoreError::Revoked { .. }
    )
}

/// Removes weights that will never be published.
fn discard(shared: &Shared, weights: Option<uuid::Uuid>) {
    if let Some(Err(error)) = weights.map(|version| shared.artifacts.models.remove(version)) {
        tracing::warn!(%error, "cannot remove unpublished weights; the next start does");
    }
}
