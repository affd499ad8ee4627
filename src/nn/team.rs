//! Threads that work on one training together.
//!
//! A step of training is a few short phases, tens of microseconds each, so the threads stay: between phases they
//! spin for a moment and only then sleep. A phase is a number of pieces of work, some for each thread; whoever is
//! done with its own takes what the others have not begun. A helper that comes late, because the system gave its
//! core to someone else, is therefore not waited for. Which thread does what decides no bit; see
//! [`super::kernels`].

use std::any::Any;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Most threads of a team.
pub const MAX_THREADS: usize = 32;

/// Pieces a phase is cut into for each thread: enough that one can take over from another.
const PIECES_PER_THREAD: usize = 4;

const MAX_PIECES: usize = MAX_THREADS * PIECES_PER_THREAD;

/// Looks at a counter before a waiting thread goes to sleep: some tens of microseconds.
const PATIENCE: u32 = 2_000;

/// The calling thread and its helpers.
pub struct Team {
    shared: Option<Arc<Shared>>,
    helpers: Vec<JoinHandle<()>>,
}

/// Work of one phase, called by each thread that comes in time, with its number. The lifetime is a lie that
/// [`Team::run`] makes good.
type Phase = dyn Fn(usize) + Sync + 'static;

struct Shared {
    /// Phases begun so far; the helpers' starting signal.
    begun: Signal,
    /// Helpers that have left a phase so far.
    left: Signal,
    door: Mutex<Door>,
    stopping: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Who may work on what.
#[derive(Default)]
struct Door {
    /// The present phase while it may be entered.
    open: Option<Erased>,
    /// Helpers that have entered it.
    n_entered: usize,
}

/// A pointer to a phase without its lifetime.
#[derive(Clone, Copy)]
struct Erased(*const Phase);

#[expect(unsafe_code, reason = "a raw pointer is not Send by itself")]
// SAFETY: the pointee is `Sync`, so it may be called from any thread; that it is alive then is the matter of
// `Team::run`, which does not return before every helper that has taken the pointer is done with it.
unsafe impl Send for Erased {}

impl Team {
    /// The calling thread alone.
    pub const fn alone() -> Self {
        Self { shared: None, helpers: Vec::new() }
    }

    /// The calling thread and `n_threads - 1` helpers, at most [`MAX_THREADS`] in all. Where the system gives no
    /// more threads the team is smaller.
    pub fn of(n_threads: NonZeroUsize) -> Self {
        let n_helpers = n_threads.get().min(MAX_THREADS) - 1;
        if n_helpers == 0 {
            return Self::alone();
        }
        let shared = Arc::new(Shared {
            begun: Signal::default(),
            left: Signal::default(),
            door: Mutex::default(),
            stopping: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let spawn = |number: usize| {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("lethe-team-{number}"));
            thread.spawn(move || help(&shared, number)).ok()
        };
        let helpers = (1..=n_helpers).map_while(spawn).collect();
        Self { shared: Some(shared), helpers }
    }

    pub fn n_threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// How many pieces [`each`](Self::each) likes to get.
    pub fn n_pieces(&self) -> usize {
        match self.n_threads() {
            1 => 1,
            n_threads => n_threads * PIECES_PER_THREAD,
        }
    }

    /// Calls `work` with every piece: neighbouring pieces by the same thread, always the same one if it is in
    /// time, so that what it works on stays in its cache.
    ///
    /// # Panics
    ///
    /// If there are more than [`n_pieces`](Self::n_pieces); with the panic of a call that panicked, when all that
    /// were begun are done.
    pub fn each<P: Send>(&mut self, pieces: impl Iterator<Item = P>, work: impl Fn(P) + Sync) {
        if self.shared.is_none() {
            return pieces.for_each(work);
        }
        // on the stack: a step allocates nothing
        let slots: [Mutex<Option<P>>; MAX_PIECES] = [const { Mutex::new(None) }; MAX_PIECES];
        let mut n_pieces = 0;
        for piece in pieces {
            assert!(n_pieces < self.n_pieces(), "more pieces than were asked for");
            *lock(&slots[n_pieces]) = Some(piece);
            n_pieces += 1;
        }
        let n_threads = self.n_threads();
        let cut = |thread: usize| n_pieces * thread / n_threads;
        self.run(&|number| {
            for thread in (number..n_threads).chain(0..number) {
                for slot in &slots[cut(thread)..cut(thread + 1)] {
                    let piece = lock(slot).take();
                    if let Some(piece) = piece {
                        work(piece);
                    }
                }
            }
        });
    }

    /// Calls `phase(0)` on the calling thread and `phase(1)`, `phase(2)`, … on the helpers that come before it
    /// returns, and waits for these.
    fn run(&mut self, phase: &(dyn Fn(usize) + Sync)) {
        let Some(shared) = &self.shared else { return phase(0) };
        #[expect(unsafe_code, reason = "helpers outlive the borrow, the phase does not")]
        // SAFETY: only the lifetime changes. A helper takes the pointer only from an open door, under its lock,
        // and is counted there. Below the door is closed, and this function neither returns nor unwinds (the
        // phase's own panic is caught) before as many helpers have left as had entered: the pointee outlives
        // every call. `&mut self` keeps a second `run` from opening the door meanwhile.
        let erased =
            Erased(unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const Phase>(phase) });
        let left_before = shared.left.value();
        *lock(&shared.door) = Door { open: Some(erased), n_entered: 0 };
        shared.begun.raise();
        let own = catch_unwind(AssertUnwindSafe(|| phase(0)));
        let n_entered = std::mem::take(&mut *lock(&shared.door)).n_entered;
        shared.left.wait(|left| left - left_before == n_entered);
        let theirs = lock(&shared.panic).take();
        if let Some(panic) = own.err().or(theirs) {
            resume_unwind(panic);
        }
    }
}

fn help(shared: &Shared, number: usize) {
    let mut seen = 0;
    loop {
        shared.begun.wait(|begun| begun != seen);
        seen = shared.begun.value();
        if shared.stopping.load(Ordering::Acquire) {
            return;
        }
        let entered = {
            let mut door = lock(&shared.door);
            door.n_entered += usize::from(door.open.is_some());
            door.open
        };
        let Some(Erased(phase)) = entered else { continue };
        #[expect(unsafe_code, reason = "the phase is shared by pointer")]
        // SAFETY: the door was open, and `Team::run` waits for this helper to leave.
        let phase = unsafe { &*phase };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| phase(number))) {
            lock(&shared.panic).get_or_insert(panic);
        }
        shared.left.raise();
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.stopping.store(true, Ordering::Release);
            shared.begun.raise();
        }
        for helper in self.helpers.drain(..) {
            // a helper catches what its phases throw; nothing is left to report
            let _ = helper.join();
        }
    }
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Team").field("n_threads", &self.n_threads()).finish_non_exhaustive()
    }
}

/// A counter threads wait at, first wide awake, then asleep.
#[derive(Default)]
struct Signal {
    value: AtomicUsize,
    n_asleep: AtomicUsize,
    mutex: Mutex<()>,
    woken: Condvar,
}

impl Signal {
    fn value(&self) -> usize {
        self.value.load(Ordering::Acquire)
    }

    fn raise(&self) {
        // sequentially consistent with `wait`: either this sees the sleeper, or the sleeper sees the new value
        self.value.fetch_add(1, Ordering::SeqCst);
        if self.n_asleep.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.mutex));
            self.woken.notify_all();
        }
    }

    fn wait(&self, is_reached: impl Fn(usize) -> bool) {
        for _ in 0..PATIENCE {
            if is_reached(self.value()) {
                return;
            }
            std::hint::spin_loop();
        }
        let mut guard = lock(&self.mutex);
        self.n_asleep.fetch_add(1, Ordering::SeqCst);
        while !is_reached(self.value.load(Ordering::SeqCst)) {
            guard = self.woken.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.n_asleep.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Cuts `n_items` into `n_shares` runs of neighbours, as even as can be; those without any are left out.
pub fn shares(n_items: usize, n_shares: usize) -> impl Iterator<Item = Range<usize>> {
    let cut = move |share: usize| n_items * share / n_shares;
    (0..n_shares).map(move |share| cut(share)..cut(share + 1)).filter(|share| !share.is_empty())
}

/// Takes the first `len` numbers off `rest`.
pub fn take_front<'a, T>(rest: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let (front, back) = std::mem::take(rest).split_at_mut(len);
    *rest = back;
    front
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn team(n_threads: usize) -> Team {
        Team::of(NonZeroUsize::new(n_threads).unwrap())
    }

    #[test]
    fn every_piece_is_worked_on_once_in_every_phase() {
        for n_threads in [1, 2, 3, 5] {
            let mut team = team(n_threads);
            let mut numbers = vec![0u32; 103];
            for phase in 1..=2_000 {
                let mut rest = &mut numbers[..];
                let pieces = shares(103, team.n_pieces()).map(|share| take_front(&mut rest, share.len()));
                team.each(pieces, |piece| piece.iter_mut().for_each(|number| *number += 1));
                assert!(numbers.iter().all(|&number| number == phase));
            }
        }
    }

    #[test]
    fn helpers_that_have_gone_to_sleep_wake_up_again() {
        let mut team = team(3);
        let shared = Arc::clone(team.shared.as_ref().unwrap());
        for _ in 0..3 {
            // longer than their patience, without a clock: until both are asleep
            while shared.begun.n_asleep.load(Ordering::SeqCst) < 2 {
                std::thread::yield_now();
            }
            // the caller does not leave before the others have come
            let arrived = AtomicUsize::new(0);
            team.run(&|_| {
                arrived.fetch_add(1, Ordering::SeqCst);
                while arrived.load(Ordering::SeqCst) < 3 {
                    std::thread::yield_now();
                }
            });
        }
    }

    #[test]
    fn one_thread_takes_over_what_another_has_not_begun() {
        let caller = std::thread::current().id();
        let mut team = team(2);
        for _ in 0..200 {
            let (begun, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
            team.each(0..8, |_| {
                begun.fetch_add(1, Ordering::SeqCst);
                // a helper that is stuck in its first piece until the caller has done all others
                while std::thread::current().id() != caller && begun.load(Ordering::SeqCst) < 8 {
                    std::thread::yield_now();
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
            assert_eq!(done.load(Ordering::SeqCst), 8);
        }
    }

    #[test]
    fn a_panic_on_any_thread_reaches_the_caller_and_the_team_lives_on() {
        let mut team = team(3);
        for culprit in 0..3 {
            let arrived = AtomicUsize::new(0);
            let caught = catch_unwind(AssertUnwindSafe(|| {
                team.run(&|number| {
                    arrived.fetch_add(1, Ordering::SeqCst);
                    while arrived.load(Ordering::SeqCst) < 3 {
                        std::thread::yield_now();
                    }
                    assert_ne!(number, culprit, "number {number} has had enough");
                });
            }));
            let panic = caught.unwrap_err();
            assert!(panic.downcast_ref::<String>().unwrap().contains("has had enough"));
            team.each(0..8, |_| {});
        }
    }

    #[test]
    fn shares_cover_everything_in_order() {
        for n_items in [0, 1, 2, 7, 52] {
            for n_shares in 1..6 {
                let all: Vec<usize> = shares(n_items, n_shares).flatten().collect();
                assert_eq!(all, (0..n_items).collect::<Vec<_>>());
                assert!(shares(n_items, n_shares).all(|share| share.len() <= n_items.div_ceil(n_shares)));
            }
        }
    }
}
