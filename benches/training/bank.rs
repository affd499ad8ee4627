//! Many models at once, as verification needs them: one training a thread, one copy of the data.

use crate::bench::Bench;
use crate::data::Images;
use crate::job::Job;
use crate::rounds::{alternate, median};
use crate::table::{Row, Unit};
use lethe::nn::train_all;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::Instant;

const MODELS: u64 = 4;
const EPOCHS: u32 = 2;
const THREADS: usize = 2;

pub fn measure(bench: &mut Bench) {
    bench.row("models a minute, 2 threads beside 1", THREADS, models_a_minute);
}

fn models_a_minute(images: &Images, rounds: usize) -> Result<Row, String> {
    let problem = images.untested();
    let orders: Vec<_> = (0..MODELS).map(|seed| (Job::standard(64, EPOCHS, seed).recipe, problem)).collect();
    let on = |n_threads| {
        let n_threads = NonZeroUsize::new(n_threads).expect("there is a thread");
        let start = Instant::now();
        for trained in train_all(&orders, n_threads, &mut |_| ControlFlow::Continue(())) {
            trained.map_err(|error| error.to_string())?;
        }
        Ok(orders.len() as f64 * 60.0 / start.elapsed().as_secs_f64())
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
