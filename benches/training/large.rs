//! Whether a sample costs the same in larger tables, and how much memory there is beside the data.
//!
//! 100 features, 256 hidden units, 10 classes; as many epochs as make up for the rows, so that every size
//! looks at a million samples. Memory is measured in a process of its own, since it is the most there ever was.

use crate::bench::Bench;
use crate::data::Tabular;
use crate::job::Job;
use crate::machine::peak_memory_bytes;
use crate::rounds::{alternate, median};
use crate::table::{Row, Unit};
use std::process::{Command, Stdio};

/// First argument of the process that measures memory; the number of rows is the second.
pub const CHILD: &str = "--train-large-table";

const FEATURES: usize = 100;
const SAMPLES: usize = 1_000_000;
const SMALLEST: usize = 10_000;

pub fn measure(bench: &mut Bench) {
    for n_rows in [100_000, 1_000_000] {
        bench
            .row(&format!("cost of a sample, {n_rows} rows"), 1, |_, rounds| beside_smallest(n_rows, rounds));
    }
    for n_rows in [SMALLEST, 100_000, 1_000_000] {
        bench.row(&format!("peak memory, {n_rows} rows"), 1, |_, _| memory(n_rows));
    }
}

fn job(n_rows: usize) -> Job {
    Job::standard(64, (SAMPLES / n_rows) as u32, 1)
}

/// Less time here means a smaller figure than at the smallest size: flat is 1.
fn beside_smallest(n_rows: usize, rounds: usize) -> Result<Row, String> {
    let cost = |table: &Tabular, n_rows| Ok(job(n_rows).run(&table.problem())?.seconds / SAMPLES as f64);
    let (small, large) = (Tabular::new(SMALLEST, FEATURES), Tabular::new(n_rows, FEATURES));
    let sides = alternate(rounds, || cost(&large, n_rows), || cost(&small, SMALLEST))?;
    let microseconds = |seconds: &[f64]| format!("{:.3} µs", 1e6 * median(seconds));
    Ok(Row {
        ours: microseconds(&sides.ours),
        theirs: microseconds(&sides.theirs),
        ratios: sides.shares(),
        unit: Unit::Times,
        bar: None,
        flaws: Vec::new(),
        note: format!("beside {SMALLEST} rows; 1 is flat"),
    })
}

fn memory(n_rows: usize) -> Result<Row, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(this)
        .args([CHILD, &n_rows.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> = printed.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let &[peak, data] = figures.as_slice() else {
        return Err("the system does not tell how much memory a process has used".to_owned());
    };
    let megabytes = |bytes: f64| format!("{:.1} MB", bytes / 1e6);
    Ok(Row {
        ours: megabytes(peak),
        theirs: megabytes(data),
        ratios: vec![peak / data],
        unit: Unit::Times,
        bar: None,
        flaws: Vec::new(),
        note: format!("whole process beside its data set: {} more", megabytes(peak - data)),
    })
}

/// The process that measures memory: prints the most that was resident and the data's size, in bytes.
pub fn child(n_rows: &str) {
    let n_rows = n_rows.parse().expect("the bench passes a number");
    let table = Tabular::new(n_rows, FEATURES);
    Job::standard(64, 1, 1).run(&table.problem()).map(drop).expect("noise can be trained on");
    if let Some(peak) = peak_memory_bytes() {
        println!("{peak} {}", table.size_bytes());
    }
}
