//! `nn` and `debug` beside a naive program of the same arithmetic.
//!
//! The program is a crate of its own, `benches/naive`, compiled for this machine's instruction set, while
//! Lethe is compiled as its users get it. Both do what the reference programs do: `nn` tests on the fifth of
//! the rows it did not train on, `debug` looks at each mini-batch a second time after its update.

use crate::bench::Bench;
use crate::data::Images;
use crate::job::Job;
use crate::rounds::{alternate, median};
use crate::table::{Row, Unit};
use lethe::nn::{Recipe, Reference};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where `make bench` puts it.
const PROGRAM: &str = "target/naive/release/lethe-naive";

pub fn measure(bench: &mut Bench) {
    let modes = [
        Recipe::Nn(Reference { epochs: 1, ..Reference::nn(1) }),
        Recipe::Debug(Reference { epochs: 1, ..Reference::debug(1) }),
    ];
    for recipe in modes {
        let mode = recipe.mode().name();
        let job = Job { recipe, threads: 1 };
        bench.row(&format!("naive program, {mode}"), 1, |images, rounds| beside_naive(&job, images, rounds));
    }
}

fn beside_naive(job: &Job, images: &Images, rounds: usize) -> Result<Row, String> {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(PROGRAM);
    if !program.is_file() {
        return Err("the naive program is not built".to_owned());
    }
    let folder = images.export()?;
    let mode = job.recipe.mode().name();
    let (mut ours, mut theirs) = (f64::NAN, f64::NAN);
    let sides = alternate(
        rounds,
        || {
            let done = job.run(&images.untested())?;
            ours = done.accuracy;
            Ok(done.seconds)
        },
        || {
            let (seconds, accuracy) = run(&program, mode, folder.path())?;
            theirs = accuracy;
            Ok(seconds)
        },
    )?;
    Ok(Row {
        ours: format!("{:.3} s", median(&sides.ours)),
        theirs: format!("{:.3} s", median(&sides.theirs)),
        ratios: sides.speedups(),
        unit: Unit::Times,
        bar: Some(10.0),
        flaws: Vec::new(),
        note: format!("one epoch; it prints {:.2}% and {:.2}%", 100.0 * ours, 100.0 * theirs),
    })
}

/// Seconds and accuracy, as the program printed them.
fn run(program: &Path, mode: &str, folder: &Path) -> Result<(f64, f64), String> {
    let output = Command::new(program)
        .arg(mode)
        .arg(folder)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> = printed.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match figures.as_slice() {
        &[seconds, accuracy] => Ok((seconds, accuracy)),
        _ => Err(format!("the naive program said {printed:?}")),
    }
}
