//! `standard` beside PyTorch and scikit-learn: same network, rows, batches, epochs and threads.

use crate::bench::Bench;
use crate::data::Images;
use crate::job::{Job, accuracy_on};
use crate::peer::Peer;
use crate::rounds::{alternate, median};
use crate::table::{Row, Unit};

const EPOCHS: u32 = 5;
/// Accuracies further apart than this are not the same.
const TOLERANCE: f64 = 0.005;

pub fn measure(bench: &mut Bench) {
    let mut torch = None;
    for (batch_size, bar) in [(64, 4.0), (512, 1.5)] {
        for (threads, words) in [(1, "1 thread"), (2, "2 threads")] {
            let job = Job { threads, ..Job::standard(batch_size, EPOCHS, 0) };
            bench.row(&format!("PyTorch, batch {batch_size}, {words}"), threads, |images, rounds| {
                beside(Peer::started(&mut torch, "torch", images)?, &job, images, rounds, Some(bar))
            });
        }
    }
    drop(torch);
    bench.row("scikit-learn, batch 64, 1 thread", 1, |images, rounds| {
        let job = Job::standard(64, EPOCHS, 0);
        beside(Peer::started(&mut None, "sklearn", images)?, &job, images, rounds, None)
    });
}

/// Both clocks stop before the test set is looked at.
fn beside(
    peer: &mut Peer,
    job: &Job,
    images: &Images,
    rounds: usize,
    bar: Option<f64>,
) -> Result<Row, String> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let sides = alternate(
        rounds,
        || {
            let done = job.with_seed(ours.len() as u64).run(&images.untested())?;
            ours.push(accuracy_on(&done.model, images.test()));
            Ok(done.seconds)
        },
        || {
            let answer = peer.train(&job.with_seed(theirs.len() as u64))?;
            theirs.push(answer.accuracy);
            Ok(answer.seconds)
        },
    )?;
    let (ours, theirs) = (median(&ours), median(&theirs));
    Ok(Row {
        ours: format!("{:.3} s", median(&sides.ours)),
        theirs: format!("{:.3} s", median(&sides.theirs)),
        ratios: sides.speedups(),
        unit: Unit::Times,
        bar,
        flaws: Vec::from_iter(((ours - theirs).abs() > TOLERANCE).then_some("NOT the same accuracy")),
        note: format!("{EPOCHS} epochs, tests {:.2}% and {:.2}%", 100.0 * ours, 100.0 * theirs),
    })
}
