//! Many trainings at once, one thread each, over one copy of the data.

use super::Recipe;
use super::train::{BatchReport, Observer, Problem, TrainError, Trained, train};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

/// Mini-batches that may wait to be looked at; more are not told.
const BACKLOG: usize = 16;

/// Trains every recipe on its problem, up to `n_threads` at a time; the results in the order of the orders.
///
/// Each is the same, bit for bit, as [`train`] alone gives. That is the fastest way to train several networks:
/// threads of different trainings never wait for each other. `on_batch` hears of mini-batches of all of them,
/// though not of every one; when it says stop, all stop.
///
/// # Errors
///
/// Of each training by itself; one that fails does not stop the others.
pub fn train_all(
    orders: &[(Recipe, Problem<'_>)],
    n_threads: NonZeroUsize,
    on_batch: &mut dyn FnMut(&BatchReport) -> ControlFlow<()>,
) -> Vec<Result<Trained, TrainError>> {
    run_all(orders, n_threads, on_batch, |(recipe, problem), teller| train(recipe, problem, teller))
}

/// Does `work` for every job, up to `n_threads` at a time, one thread each; the results in the order of the jobs.
///
/// `work` trains with the [`Teller`] as observer, or asks it whether to go on; what it does must depend on the
/// job alone. `on_batch` hears of mini-batches of all jobs, though not of every one; when it says stop, all are
/// told to, those not yet begun too.
pub fn run_all<J: Sync, R: Send>(
    jobs: &[J],
    n_threads: NonZeroUsize,
    on_batch: &mut dyn FnMut(&BatchReport) -> ControlFlow<()>,
    work: impl Fn(&J, &mut Teller<'_>) -> R + Sync,
) -> Vec<R> {
    let results: Vec<Mutex<Option<R>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let (next, stopping) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, reports) = sync_channel(BACKLOG);
    std::thread::scope(|scope| {
        for _ in 0..n_threads.get().min(jobs.len()) {
            let mut teller = Teller { sender: sender.clone(), stopping: &stopping };
            let (next, results, work) = (&next, &results, &work);
            scope.spawn(move || {
                while let Some((job, result)) = take_next(next, jobs, results) {
                    let done = work(job, &mut teller);
                    *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
                }
            });
        }
        drop(sender);
        listen(&reports, on_batch, &stopping);
    });
    let taken = results.into_iter().map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner));
    taken.map(|result| result.expect("every job was taken by a thread, and all have ended")).collect()
}

fn take_next<'a, T, R>(next: &AtomicUsize, orders: &'a [T], results: &'a [R]) -> Option<(&'a T, &'a R)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    orders.get(number).zip(results.get(number))
}

/// Passes reports on until every training has ended.
fn listen(
    reports: &Receiver<BatchReport>,
    on_batch: &mut dyn FnMut(&BatchReport) -> ControlFlow<()>,
    stopping: &AtomicBool,
) {
    for report in reports {
        if !stopping.load(Ordering::Relaxed) && on_batch(&report).is_break() {
            stopping.store(true, Ordering::Relaxed);
        }
    }
}

/// A job's line to the thread that asked for it.
#[derive(Debug)]
pub struct Teller<'a> {
    sender: SyncSender<BatchReport>,
    stopping: &'a AtomicBool,
}

impl Teller<'_> {
    /// Whether to go on.
    pub fn answer(&self) -> ControlFlow<()> {
        if self.stopping.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Observer for Teller<'_> {
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        // a full channel has enough to be looked at
        let _ = self.sender.try_send(*report);
        self.answer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::twin::{Silent, problem_data};
    use crate::nn::{Features, Samples, Standard};

    fn orders(samples: Samples<'_>, n: u64) -> Vec<(Recipe, Problem<'_>)> {
        let problem = Problem { train: samples, excluded: &[], test: samples };
        let recipe = |seed| {
            Recipe::Standard(Standard { hidden: vec![20], epochs: 2, batch_size: 10, ..Standard::new(seed) })
        };
        (0..n).map(|seed| (recipe(seed), problem)).collect()
    }

    #[test]
    fn a_bank_trains_the_same_networks_as_one_after_another() {
        let (pixels, labels) = problem_data(200, 30, 4);
        let orders = orders(Samples::new(Features::U8(&pixels), &labels, 30, 4), 5);
        for n_threads in [1, 2, 3, 8] {
            let mut heard = 0;
            let trained = train_all(&orders, NonZeroUsize::new(n_threads).unwrap(), &mut |_| {
                heard += 1;
                ControlFlow::Continue(())
            });
            assert!(heard > 0);
            assert_eq!(trained.len(), orders.len());
            for (result, (recipe, problem)) in trained.into_iter().zip(&orders) {
                let (result, alone) = (result.unwrap(), train(recipe, problem, &mut Silent).unwrap());
                assert!(result.completed && result.model == alone.model);
            }
        }
    }

    #[test]
    fn one_word_stops_all_and_no_orders_are_no_work() {
        let (pixels, labels) = problem_data(200, 30, 4);
        let mut orders = orders(Samples::new(Features::U8(&pixels), &labels, 30, 4), 4);
        for (recipe, _) in &mut orders {
            // not to be done before the word has come
            let Recipe::Standard(recipe) = recipe else { unreachable!("the orders are standard") };
            recipe.epochs = 1_000_000;
        }
        let two = NonZeroUsize::new(2).unwrap();
        let trained = train_all(&orders, two, &mut |_| ControlFlow::Break(()));
        assert!(trained.iter().all(|result| !result.as_ref().unwrap().completed));
        assert!(train_all(&[], two, &mut |_| ControlFlow::Continue(())).is_empty());
    }

    #[test]
    fn a_training_that_fails_fails_alone() {
        let (pixels, labels) = problem_data(50, 30, 4);
        let samples = Samples::new(Features::U8(&pixels), &labels, 30, 4);
        let everything: Vec<u32> = (0..50).collect();
        let mut orders = orders(samples, 3);
        orders[1].1.excluded = &everything;
        let trained = train_all(&orders, NonZeroUsize::MIN, &mut |_| ControlFlow::Continue(()));
        assert_eq!(*trained[1].as_ref().unwrap_err(), TrainError::NoRows);
        assert!(trained[0].is_ok() && trained[2].is_ok());
    }
}
