//! Many models at once, as verification needs them: one training a thread, one copy of the data.

use crate::bench::Bench;
use crate::data::Images;
use crate::job::Job;
use crate::rounds::{alternate, median};
use crate::table::{Row, Unit};
use lethe::nn::Problem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

const MODELS: u64 = 4;
const EPOCHS: u32 = 2;
const THREADS: usize = 2;

pub fn measure(bench: &mut Bench) {
    bench.row("models a minute, 2 threads beside 1", THREADS, models_a_minute);
}

fn models_a_minute(images: &Images, rounds: usize) -> Result<Row, String> {
    let jobs: Vec<Job> = (0..MODELS).map(|seed| Job::standard(64, EPOCHS, seed)).collect();
    let on = |n_threads| {
        let start = Instant::now();
        train_bank(&jobs, &images.untested(), n_threads)?;
        Ok(jobs.len() as f64 * 60.0 / start.elapsed().as_secs_f64())
    };
    let sides = alternate(rounds, || on(THREADS), || on(1))?;
    Ok(Row {
        ours: format!("{:.0}", median(&sides.ours)),
        theirs: format!("{:.0}", median(&sides.theirs)),
        ratios: sides.shares(),
        unit: Unit::Times,
        bar: None,
        flaws: Vec::new(),
        note: format!("models of {EPOCHS} epochs at batch 64, {MODELS} in a round"),
    })
}

/// Does all jobs; every thread takes the next one when it is done with its last.
fn train_bank(jobs: &[Job], problem: &Problem<'_>, n_threads: usize) -> Result<(), String> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), String> {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            job.run(problem)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a training does not panic"))
    })
}
