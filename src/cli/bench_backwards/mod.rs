//! `lethe bench-backwards`: the report's two programs beside what the report prints of them, and learning backwards beside
//! two methods of unlearning, as tables and pictures.
//!
//! Like `bench-unlearn` it works in this process, without a server: what it measures is the library.

mod forgetting;
mod picture;
mod published;
mod reference;

use super::error::CliError;
use super::out::say;
use crate::config::Config;
use crate::data::Catalogue;
use crate::nn::{Problem, Reference, Samples};
use clap::Args;
use published::Comparison;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Args)]
pub struct BenchBackwardsArgs {
    /// The data: `mnist`, which the report is about, or `digits`.
    #[arg(long, default_value = "mnist", value_name = "NAME")]
    dataset: String,

    /// Training seeds: 1 up to this.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    seeds: u16,

    /// Where `reference` and `forgetting` are written, each as `.csv` and `.svg`.
    #[arg(long, default_value = "backwards", value_name = "DIR")]
    out: PathBuf,
}

/// What everything here is measured on.
struct Work<'a> {
    /// Of the data set.
    name: &'a str,
    train: Samples<'a>,
    test: Samples<'a>,
    n_seeds: u16,
    threads: NonZeroUsize,
    /// Units of the hidden layer.
    hidden: usize,
}

impl<'a> Work<'a> {
    fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        1..=u64::from(self.n_seeds)
    }

    const fn problem(&self) -> Problem<'a> {
        Problem { train: self.train, excluded: &[], test: self.test }
    }
}

/// Trains, writes what came of it, and says whether the report is reproduced; a line a training on standard error meanwhile.
pub fn bench(args: &BenchBackwardsArgs, config: &Config) -> Result<(), CliError> {
    let catalogue = Catalogue::new(config.datasets_dir.clone(), config.data_dir.join("datasets"));
    let found = catalogue.open_local(&args.dataset).map_err(|error| CliError::Usage(error.to_string()))?;
    let data = found.ok_or_else(|| CliError::Usage(format!("dataset `{}` is not here", args.dataset)))?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = config.train_threads.and_then(|n| NonZeroUsize::new(usize::from(n))).unwrap_or(threads);
    let work = Work {
        name: &data.name,
        train: data.train(),
        test: data.test(),
        n_seeds: args.seeds,
        threads,
        hidden: Reference::nn(1).hidden,
    };
    std::fs::create_dir_all(&args.out)
        .map_err(|e| CliError::Usage(format!("cannot make {}: {e}", args.out.display())))?;
    let lengths = (reference::Length::PUBLISHED, forgetting::Length::PUBLISHED);
    match write(&work, lengths, &args.out)? {
        Some(comparison) => say!("{comparison}"),
        None => say!("the report is about `mnist`: nothing to compare `{}` with", work.name),
    }
    Ok(())
}

/// Measures everything and writes it into a folder that is there; how the report is reproduced, where it can be.
fn write(
    work: &Work<'_>,
    (reference, forgetting): (reference::Length, forgetting::Length),
    folder: &Path,
) -> Result<Option<Comparison>, CliError> {
    let put = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text)
            .map_err(|e| CliError::Failed(format!("cannot write {}: {e}", path.display())))
    };
    let curves = reference::run(work, reference)?;
    let comparison = (work.name == "mnist").then(|| reference::compare(&curves));
    put("reference.csv", reference::csv(&curves, comparison.is_some()))?;
    put("reference.svg", picture::reference(work.name, &curves, comparison.as_ref()))?;
    let courses = forgetting::run(work, forgetting)?;
    put("forgetting.csv", forgetting::csv(&courses))?;
    put("forgetting.svg", picture::forgetting(work.name, &courses))?;
    Ok(comparison)
}

#[cfg(test)]
mod tests;
