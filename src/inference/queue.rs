//! Rows that take long: off the async threads, and those together that wait anyway.
//!
//! A request that finds a thread free is begun at once: there is no timer that waits for company. While all are at work,
//! requests wait in line, and a thread that gets free takes as many of them as fill a block, which reads the weights
//! once. Whoever has gone meanwhile is passed over.

use super::{Network, Outputs, Rows};
use crate::nn::panels::BLOCK;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Requests that may wait for one network: whoever comes behind is better off asking elsewhere than waiting longer.
const MAX_WAITING: usize = 64;

/// There are as many requests waiting as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overloaded;

/// Requests that wait for a network.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Threads that take from the line until it is empty.
    n_at_work: usize,
}

#[derive(Debug)]
struct Job {
    rows: Rows,
    answer: oneshot::Sender<Outputs>,
}

impl Queue {
    /// Puts rows in line; true if a thread must be sent for them.
    fn push(&self, job: Job, max_at_work: usize) -> Result<bool, Overloaded> {
        let mut waiting = self.lock();
        if waiting.jobs.len() >= MAX_WAITING {
            // those who have gone do not count
            waiting.jobs.retain(|job| !job.answer.is_closed());
            if waiting.jobs.len() >= MAX_WAITING {
                return Err(Overloaded);
            }
        }
        waiting.jobs.push_back(job);
        let is_needed = waiting.n_at_work < max_at_work;
        waiting.n_at_work += usize::from(is_needed);
        Ok(is_needed)
    }

    /// The next in line, with those behind it that fit into one block. When there is nobody, the thread that asks counts
    /// as gone: it must not come back.
    fn take(&self, n_features: usize) -> Option<Vec<Job>> {
        let mut waiting = self.lock();
        let mut taken: Vec<Job> = Vec::new();
        let mut n_rows = 0;
        while let Some(job) = waiting.jobs.pop_front() {
            if job.answer.is_closed() {
                continue;
            }
            let n = job.rows.features().len() / n_features;
            let fits = |first: &Job| first.rows.is_like(&job.rows) && n_rows + n <= BLOCK;
            if !taken.first().is_none_or(fits) {
                waiting.jobs.push_front(job);
                break;
            }
            n_rows += n;
            taken.push(job);
        }
        waiting.n_at_work -= usize::from(taken.is_empty());
        (!taken.is_empty()).then_some(taken)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // no change is left half done
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers rows on a thread that may be kept busy. Dropped, the rows are not answered if they were not begun.
///
/// # Errors
///
/// When too many wait already.
///
/// # Panics
///
/// If the network does.
pub(super) async fn answer(network: &Arc<Network>, rows: Rows) -> Result<Outputs, Overloaded> {
    let (answer, answered) = oneshot::channel();
    let max_at_work = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    if network.queue.push(Job { rows, answer }, max_at_work)? {
        let network = Arc::clone(network);
        tokio::task::spawn_blocking(move || work(&network));
    }
    Ok(answered.await.expect("whoever takes rows from the line answers them, or panics"))
}

fn work(network: &Network) {
    while let Some(jobs) = network.queue.take(network.n_features()) {
        // should it panic, those who wait learn of it by their senders being gone; the others are still answered
        let _ = catch_unwind(AssertUnwindSafe(|| answer_together(network, jobs)));
    }
}

fn answer_together(network: &Network, jobs: Vec<Job>) {
    let joined;
    let rows = match jobs.as_slice() {
        [one] => &one.rows,
        many => {
            joined = Rows::joined(many.iter().map(|job| &job.rows));
            &joined
        }
    };
    let outputs = network.answer(rows);
    let mut first = 0;
    for job in jobs {
        let end = first + network.n_rows(&job.rows);
        // whoever has gone meanwhile does not mind
        let _ = job.answer.send(outputs.slice(first..end));
        first = end;
    }
}

#[cfg(test)]
mod tests {
    use super::super::loaded::tests::network;
    use super::*;

    fn job(rows: Rows) -> (Job, oneshot::Receiver<Outputs>) {
        let (answer, answered) = oneshot::channel();
        (Job { rows, answer }, answered)
    }

    fn rows(n: usize) -> Rows {
        Rows::F32((0..2 * n).map(|i| i as f32).collect())
    }

    #[test]
    fn those_who_wait_are_answered_together_up_to_a_block_and_each_as_if_alone() {
        let network = network();
        let (jobs, answers): (Vec<_>, Vec<_>) = [1, 2, 61, 1].map(|n| job(rows(n))).into_iter().unzip();
        for (i, job) in jobs.into_iter().enumerate() {
            assert_eq!(network.queue.push(job, 1), Ok(i == 0), "one thread is enough for all");
        }
        let together = network.queue.take(2).unwrap();
        assert_eq!(together.len(), 3, "a block has 64 rows");
        answer_together(&network, together);
        work(&network);
        for (mut answered, n) in answers.into_iter().zip([1, 2, 61, 1]) {
            assert_eq!(answered.try_recv().unwrap(), network.answer(&rows(n)));
        }
        assert_eq!(network.queue.lock().n_at_work, 0);
    }

    #[test]
    fn bytes_and_floats_are_not_mixed() {
        let network = network();
        for rows in [rows(1), Rows::U8(vec![0, 0].into())] {
            network.queue.push(job(rows).0, 1).unwrap();
        }
        // whoever sent the first is gone: it is passed over
        assert!(network.queue.take(2).is_none());
        let kept = [rows(1), Rows::U8(vec![0, 0].into())].map(job);
        let mut answers = Vec::new();
        for (job, answered) in kept {
            network.queue.push(job, 2).unwrap();
            answers.push(answered);
        }
        assert_eq!(network.queue.take(2).unwrap().len(), 1);
        assert_eq!(network.queue.take(2).unwrap().len(), 1);
    }

    #[test]
    fn too_many_who_wait_are_told_at_once_and_those_who_left_do_not_count() {
        let network = network();
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| job(rows(1))).collect();
        let mut answers = Vec::new();
        for (job, answered) in waiting.drain(..) {
            network.queue.push(job, 1).unwrap();
            answers.push(answered);
        }
        assert_eq!(network.queue.push(job(rows(1)).0, 1), Err(Overloaded));
        answers.pop();
        assert_eq!(network.queue.push(job(rows(1)).0, 1), Ok(false));
    }

    #[tokio::test]
    async fn rows_in_line_are_answered() {
        let network = Arc::new(network());
        let all = (1..40).map(|n| {
            let network = Arc::clone(&network);
            tokio::spawn(async move { (n, answer(&network, rows(n)).await.unwrap()) })
        });
        for one in futures_util::future::join_all(all).await {
            let (n, outputs) = one.unwrap();
            assert_eq!(outputs, network.answer(&rows(n)));
        }
        assert!(network.queue.lock().jobs.is_empty());
    }
}
