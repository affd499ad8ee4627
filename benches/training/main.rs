//! How fast Lethe trains, as ratios: `make bench` installs the peers, builds the naive program and runs this.
//!
//! Machines are shared and noisy, so nothing is reported by itself. Each row of the one table measures two
//! sides in turn, several rounds long, and gives the median of the rounds' ratios.
//!
//! ```text
//! make bench                               everything
//! make bench ROWS=PyTorch                  rows whose name contains this
//! make bench LETHE_BENCH_ROUNDS=9          more rounds than 5
//! ```
//!
//! Without the peers or the naive program the rows that need them say so and the others are measured.

mod bank;
mod bench;
mod data;
mod evaluation;
mod job;
mod large;
mod libraries;
#[path = "../common/machine.rs"]
mod machine;
mod naive;
mod peak;
mod peak_fraction;
mod peer;
mod peers;
mod rounds;
mod table;

use bench::Bench;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, n_rows] = arguments.as_slice()
        && flag == large::CHILD
    {
        return large::child(n_rows);
    }
    // cargo says `--bench` when a bench is meant, and nothing when somebody tests every target
    if !arguments.iter().any(|argument| argument == "--bench") {
        return println!("nothing to test here; `make bench` runs it");
    }
    let filter = arguments.into_iter().find(|argument| !argument.starts_with('-'));

    let mut bench = Bench::new(filter.unwrap_or_default());
    peers::measure(&mut bench);
    peak_fraction::measure(&mut bench);
    evaluation::measure(&mut bench);
    libraries::measure(&mut bench);
    naive::measure(&mut bench);
    bank::measure(&mut bench);
    large::measure(&mut bench);
    bench.table.close();
}
