//! Requests that ask the same network at the same time are answered together, which reads its weights once; there is no
//! timer that waits for company.
//!
//! Rows that take [little time](answer_here) are answered by the first who asks, for all who join it before it gets its
//! turn again, a block at most. Rows that take [long](answer_elsewhere) are answered off the async threads: a request that
//! finds a thread free is begun at once; while all are at work, requests wait in line, and a thread that gets free takes
//! as many of them as fill a block. Whoever has gone meanwhile is passed over.

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
pub(super) struct Queue {
    /// Whom the next short request may join.
    short: Mutex<Arc<Crowd>>,
    long: Mutex<Waiting>,
}

/// Requests that are answered by the first of them.
#[derive(Debug, Default)]
struct Crowd(Mutex<Joined>);

#[derive(Debug, Default)]
struct Joined {
    jobs: VecDeque<Job>,
    n_rows: usize,
}

impl Crowd {
    /// Joins those who wait for the first of them, or gives the job back when there is nobody, or no room for more.
    fn join(&self, job: Job, n_rows: usize) -> Result<(), Job> {
        let mut joined = lock(&self.0);
        if joined.jobs.is_empty() || joined.n_rows + n_rows > BLOCK {
            return Err(job);
        }
        joined.n_rows += n_rows;
        joined.jobs.push_back(job);
        Ok(())
    }

    /// Everybody who has joined. From now on, nobody can.
    fn end(&self) -> VecDeque<Job> {
        std::mem::take(&mut lock(&self.0).jobs)
    }
}

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
        let mut waiting = lock(&self.long);
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
        let mut waiting = lock(&self.long);
        let block = block(&mut waiting.jobs, n_features);
        waiting.n_at_work -= usize::from(block.is_none());
        block
    }

    /// Joins those who will be answered soon; whoever finds nobody to join is the first of a new crowd, and answers for it.
    fn join(&self, job: Job, n_rows: usize) -> Option<Arc<Crowd>> {
        let mut latest = lock(&self.short);
        let job = latest.join(job, n_rows).err()?;
        *latest = Arc::new(Crowd(Mutex::new(Joined { jobs: [job].into(), n_rows })));
        Some(Arc::clone(&latest))
    }
}

fn lock<T>(waiting: &Mutex<T>) -> MutexGuard<'_, T> {
    // no change is left half done
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next that is still waited for, with those behind it that fit into one block.
fn block(jobs: &mut VecDeque<Job>, n_features: usize) -> Option<Vec<Job>> {
    let mut taken: Vec<Job> = Vec::new();
    let mut n_rows = 0;
    while let Some(job) = jobs.pop_front() {
        if job.answer.is_closed() {
            continue;
        }
        let n = job.rows.features().len() / n_features;
        let fits = |first: &Job| first.rows.is_like(&job.rows) && n_rows + n <= BLOCK;
        if !taken.first().is_none_or(fits) {
            jobs.push_front(job);
            break;
        }
        n_rows += n;
        taken.push(job);
    }
    (!taken.is_empty()).then_some(taken)
}

/// Answers rows on an async thread, together with those whose requests are ready to be read now. Dropped, the rows are not
/// answered if they were not begun.
///
/// In a crowd this saves more than the weights: what reads requests, what answers rows and what writes answers stay in the
/// caches while they do so for one client after the other.
///
/// # Panics
///
/// If the network does.
pub(super) async fn answer_here(network: &Network, rows: Rows) -> Outputs {
    // dropped behind the receiver: by then, whoever leaves counts as gone
    let turn;
    let (answer, answered) = oneshot::channel();
    let n_rows = network.n_rows(&rows);
    if let Some(crowd) = network.queue.join(Job { rows, answer }, n_rows) {
        turn = Turn { network, crowd };
        // what else is ready goes first, and what the sockets have by then
        tokio::task::yield_now().await;
        drop(turn);
    }
    answered.await.expect("the first answers for all, or panics")
}

/// Answers everybody who has joined when it ends, even if the request it was given to is dropped before.
struct Turn<'a> {
    network: &'a Network,
    crowd: Arc<Crowd>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Self { network, crowd } = self;
        let mut jobs = crowd.end();
        while let Some(block) = block(&mut jobs, network.n_features()) {
            answer_together(network, block);
        }
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
pub(super) async fn answer_elsewhere(network: &Arc<Network>, rows: Rows) -> Result<Outputs, Overloaded> {
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
        answer_together(network, jobs);
    }
}

/// Should the network panic, those who wait learn of it by their senders being gone, and the next are answered still.
fn answer_together(network: &Network, jobs: Vec<Job>) {
    let _ = catch_unwind(AssertUnwindSafe(|| answer_all(network, jobs)));
}

fn answer_all(network: &Network, jobs: Vec<Job>) {
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
    use futures_util::future::join_all;
    use futures_util::poll;
    use std::task::Poll;

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
        assert_eq!(lock(&network.queue.long).n_at_work, 0);
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
    async fn short_requests_of_one_moment_are_answered_by_the_first_of_them_even_if_it_leaves() {
        let network = network();
        let ask = |n| Box::pin(answer_here(&network, rows(n)));
        let mut asked: Vec<_> = [1, 2, 61].map(ask).into();
        // more than a block has room for: the first of another
        let mut other = ask(1);
        for one in asked.iter_mut().chain([&mut other]) {
            assert!(poll!(one).is_pending(), "there may be more to come");
        }
        // its client has hung up
        drop(asked.remove(0));
        for (one, n) in asked.iter_mut().zip([2, 61]) {
            assert_eq!(poll!(one), Poll::Ready(network.answer(&rows(n))));
        }
        let mut late = ask(5);
        assert!(poll!(&mut late).is_pending());
        assert_eq!(poll!(&mut other), Poll::Ready(network.answer(&rows(1))));
        assert_eq!(poll!(&mut late), Poll::Ready(network.answer(&rows(5))), "it had joined the other");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn each_of_many_on_several_threads_gets_its_own_answer() {
        let network = Arc::new(network());
        for _ in 0..20 {
            let all = (1..40).map(|n| {
                let network = Arc::clone(&network);
                let rows = Rows::F32((0..2 * (n % 7 + 1)).map(|i| (i * n) as f32).collect());
                tokio::spawn(
                    async move { (answer_here(&network, rows.clone()).await, network.answer(&rows)) },
                )
            });
            for one in join_all(all).await {
                let (answered, alone) = one.unwrap();
                assert_eq!(answered, alone);
            }
        }
    }

    #[tokio::test]
    async fn a_panic_over_one_block_is_not_met_by_the_next() {
        let network = Arc::new(network());
        let ask = |rows| {
            let network = Arc::clone(&network);
            tokio::spawn(async move { answer_here(&network, rows).await })
        };
        let (broken, whole) = (ask(Rows::F32(vec![0.0; 3])), ask(Rows::U8(vec![0, 0].into())));
        assert!(broken.await.unwrap_err().is_panic());
        assert_eq!(whole.await.unwrap(), network.answer(&Rows::U8(vec![0, 0].into())));
    }

    #[tokio::test]
    async fn rows_in_line_are_answered() {
        let network = Arc::new(network());
        let all = (1..40).map(|n| {
            let network = Arc::clone(&network);
            tokio::spawn(async move { (n, answer_elsewhere(&network, rows(n)).await.unwrap()) })
        });
        for one in join_all(all).await {
            let (n, outputs) = one.unwrap();
            assert_eq!(outputs, network.answer(&rows(n)));
        }
        assert!(lock(&network.queue.long).jobs.is_empty());
    }
}
