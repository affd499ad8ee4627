//! `lethe bench-unlearn`: every method on every kind of forget set, over several training seeds, as tables and a picture.
//!
//! Unlike the other commands it works in this process, without a server: what it measures is the library.

mod grid;
mod picture;
mod sets;
mod table;

use super::error::CliError;
use crate::config::Config;
use crate::data::Catalogue;
use clap::Args;
use grid::{Grid, Row};
use sets::Kind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Args)]
pub struct BenchUnlearnArgs {
    /// The data: `mnist` or `digits`.
    #[arg(long, default_value = "digits", value_name = "NAME")]
    dataset: String,

    /// Training seeds: each is an original, two retrained networks and every method.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3", value_name = "LIST")]
    seeds: Vec<u64>,

    /// Forget sets.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::ALL, value_name = "LIST")]
    sets: Vec<Kind>,

    /// Methods by name; without it all that can work on such a network.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    methods: Vec<String>,

    /// Also compare banks of so many models (8 to 64), on the first seed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=64))]
    bank: Option<u32>,

    /// Where `<dataset>.md`, `<dataset>.csv` and `<dataset>.svg` are written.
    #[arg(long, default_value = "unlearning", value_name = "DIR")]
    out: PathBuf,
}

/// Runs the grid and writes what came of it; a line a result on standard error meanwhile.
pub fn bench(args: &BenchUnlearnArgs, config: &Config) -> Result<(), CliError> {
    let catalogue = Catalogue::new(config.datasets_dir.clone(), config.data_dir.join("datasets"));
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = config.train_threads.and_then(|n| NonZeroUsize::new(n as usize)).unwrap_or(threads);
    let grid = Grid::new(&args.dataset, &args.methods, args.bank, threads)?;
    let mut rows: Vec<Row> = Vec::new();
    for &kind in &args.sets {
        for (number, &seed) in args.seeds.iter().enumerate() {
            rows.extend(grid.run(&catalogue, kind, seed, number == 0)?);
            // an interrupted grid keeps what it has
            write(args, &rows)?;
        }
    }
    Ok(())
}

fn write(args: &BenchUnlearnArgs, rows: &[Row]) -> Result<(), CliError> {
    let path = |ending: &str| args.out.join(format!("{}.{ending}", args.dataset));
    let put = |path: &Path, text: String| {
        std::fs::write(path, text)
            .map_err(|e| CliError::Usage(format!("cannot write {}: {e}", path.display())))
    };
    std::fs::create_dir_all(&args.out)
        .map_err(|e| CliError::Usage(format!("cannot make {}: {e}", args.out.display())))?;
    put(&path("md"), table::markdown(rows))?;
    put(&path("csv"), table::csv(rows))?;
    put(&path("svg"), picture::svg(rows))
}
