//! Looking at the test set, as a share of one core's peak.

use crate::bench::Bench;
use crate::data::Images;
use crate::job::{Job, forward_flops};
use crate::peak;
use crate::rounds::{alternate, median};
use crate::table::{Row, Unit};
use lethe::nn::Evaluator;
use std::hint::black_box;
use std::time::Instant;

/// Times the test set is looked at in a round.
const REPEATS: usize = 5;

pub fn measure(bench: &mut Bench) {
    bench.row("FMA peak, evaluation, images, nominal flops", 1, evaluate);
}

fn evaluate(images: &Images, rounds: usize) -> Result<Row, String> {
    let job = Job::standard(64, 1, 1);
    let model = job.run(&images.untested())?.model;
    let test = images.test();
    let rows: Vec<u32> = (0..test.n_rows() as u32).collect();
    let flops = forward_flops(test, job.recipe.hidden());
    let mut evaluator = Evaluator::new(model.shape());
    let mut rates = Vec::new();
    let sides = alternate(
        rounds,
        || {
            let start = Instant::now();
            for _ in 0..REPEATS {
                black_box(evaluator.evaluate(&model, test, &rows));
            }
            let rate = (REPEATS * rows.len()) as f64 / start.elapsed().as_secs_f64();
            rates.push(rate);
            Ok(rate * flops / 1e9)
        },
        || Ok(peak::gflops()),
    )?;
    Ok(Row {
        ours: format!("{:.1} GFLOP/s", median(&sides.ours)),
        theirs: format!("{:.1} GFLOP/s", median(&sides.theirs)),
        ratios: sides.shares(),
        unit: Unit::Percent,
        bar: None,
        flaws: Vec::new(),
        note: format!("{:.0} rows/s on one thread", median(&rates)),
    })
}
