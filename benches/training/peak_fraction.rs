//! How much of one core's peak a whole training step makes useful.
//!
//! On images the kernels skip dark pixels, while every one counts as if it had been multiplied: those flops
//! are nominal, and the figure may pass 100 %. On dense features nothing can be skipped.

use crate::bench::Bench;
use crate::data::Tabular;
use crate::job::{Job, training_flops};
use crate::peak;
use crate::rounds::{alternate, median};
use crate::table::{Row, Unit};
use lethe::nn::Problem;

/// As wide as an image, as many as take about as long as measuring the peak.
const DENSE_ROWS: usize = 20_000;

/// Epochs of a round: drawing the initial weights is no training step.
const EPOCHS: u32 = 3;

pub fn measure(bench: &mut Bench) {
    let n_features = bench.images.train().n_features();
    for (batch_size, bar) in [(512, 0.60), (64, 0.45)] {
        let job = Job::standard(batch_size, EPOCHS, 1);
        bench.row(&format!("FMA peak, batch {batch_size}, images, nominal flops"), 1, |images, rounds| {
            fraction(&job, &images.untested(), rounds, bar, f64::INFINITY)
        });
        bench.row(&format!("FMA peak, batch {batch_size}, dense features"), 1, |_, rounds| {
            fraction(&job, &Tabular::new(DENSE_ROWS, n_features).problem(), rounds, bar, 1.0)
        });
    }
}

/// A share above `most` would mean that the peak was measured wrong.
fn fraction(job: &Job, problem: &Problem<'_>, rounds: usize, bar: f64, most: f64) -> Result<Row, String> {
    let n_samples = problem.train.n_rows() as f64 * f64::from(EPOCHS);
    let flops = training_flops(problem.train, job.recipe.hidden()) * n_samples;
    let sides = alternate(rounds, || Ok(flops / job.run(problem)?.seconds / 1e9), || Ok(peak::gflops()))?;
    let shares = sides.shares();
    Ok(Row {
        ours: format!("{:.1} GFLOP/s", median(&sides.ours)),
        theirs: format!("{:.1} GFLOP/s", median(&sides.theirs)),
        flaws: Vec::from_iter((median(&shares) > most).then_some("more than the peak: the peak is WRONG")),
        ratios: shares,
        unit: Unit::Percent,
        bar: Some(bar),
        note: format!("{EPOCHS} epochs, one thread"),
    })
}
