//! The two reference trainers, seed by seed, beside what the report prints of them.

use super::Work;
use super::published::{self, Comparison};
use crate::cli::error::CliError;
use crate::nn::{self, BatchReport, EpochReport, Mlp, Mode, Recipe, Reference, Teller, TrainError};
use std::fmt::Write;
use std::ops::ControlFlow;

/// One training.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub(super) mode: Mode,
    pub(super) seed: u64,
    pub(super) epochs: Vec<Epoch>,
}

/// What a program prints after an epoch, and how many rows never trained on it answers rightly; in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Epoch {
    pub(super) printed: f64,
    pub(super) test: f64,
}

/// How long the two programs train.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length {
    pub(super) nn: u32,
    pub(super) debug: u32,
}

impl Length {
    pub(super) const PUBLISHED: Self =
        Self { nn: published::NN.len() as u32, debug: published::DEBUG.len() as u32 };
}

/// Trains both with every seed, as many at a time as there are threads.
pub(super) fn run(work: &Work<'_>, length: Length) -> Result<Vec<Curve>, CliError> {
    let hidden = work.hidden;
    let nn = |seed| Recipe::Nn(Reference { hidden, epochs: length.nn, ..Reference::nn(seed) });
    let debug = |seed| Recipe::Debug(Reference { hidden, epochs: length.debug, ..Reference::debug(seed) });
    let jobs: Vec<(u64, Recipe)> = work
        .seeds()
        .map(|seed| (seed, nn(seed)))
        .chain(work.seeds().map(|seed| (seed, debug(seed))))
        .collect();
    let train = |(seed, recipe): &(u64, Recipe), teller: &mut Teller<'_>| {
        let mut history = History { teller, epochs: Vec::new() };
        nn::train(recipe, &work.problem(), &mut history)?;
        let (mode, seed, epochs) = (recipe.mode(), *seed, history.epochs);
        let last = epochs.last().map_or(f64::NAN, |epoch| epoch.printed);
        eprintln!("{} · seed {seed} · {} epochs: prints {last:.2} % in the end", mode.name(), epochs.len());
        Ok(Curve { mode, seed, epochs })
    };
    let curves = nn::run_all(&jobs, work.threads, &mut |_| ControlFlow::Continue(()), train);
    let curves: Result<Vec<Curve>, TrainError> = curves.into_iter().collect();
    curves.map_err(|error| CliError::Failed(error.to_string()))
}

/// How the curves compare with the report's, whose data are MNIST.
pub(super) fn compare(curves: &[Curve]) -> Comparison {
    let printed = |mode: Mode| -> Vec<Vec<f64>> {
        let of_mode = curves.iter().filter(|curve| curve.mode == mode);
        of_mode.map(|curve| curve.epochs.iter().map(|epoch| epoch.printed).collect()).collect()
    };
    Comparison::of(&printed(Mode::Nn), &printed(Mode::Debug))
}

/// A line an epoch; the published accuracy where `is_published`.
pub(super) fn csv(curves: &[Curve], is_published: bool) -> String {
    let mut text = String::from("mode,seed,epoch,printed_percent,test_accuracy_percent,published_percent\n");
    for curve in curves {
        let table = published_of(curve.mode);
        for (number, epoch) in curve.epochs.iter().enumerate() {
            let published = table.get(number).filter(|_| is_published);
            let published = published.map(|value| format!("{value:.2}")).unwrap_or_default();
            let (mode, seed, number) = (curve.mode.name(), curve.seed, number + 1);
            writeln!(text, "{mode},{seed},{number},{:.4},{:.4},{published}", epoch.printed, epoch.test)
                .expect("a string takes everything");
        }
    }
    text
}

pub(super) fn published_of(mode: Mode) -> &'static [f64] {
    match mode {
        Mode::Nn => &published::NN,
        Mode::Debug => &published::DEBUG,
        Mode::Standard => &[],
    }
}

/// Keeps what each epoch came to.
struct History<'a, 'b> {
    teller: &'a mut Teller<'b>,
    epochs: Vec<Epoch>,
}

impl nn::Observer for History<'_, '_> {
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        self.teller.on_batch(report)
    }
    fn on_epoch(&mut self, report: &EpochReport, _: &Mlp) -> ControlFlow<()> {
        self.epochs
            .push(Epoch { printed: 100.0 * report.reported_accuracy, test: 100.0 * report.test_accuracy });
        self.teller.answer()
    }
}
