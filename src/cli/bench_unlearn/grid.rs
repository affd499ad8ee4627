//! One forget set and one seed: an original, its yardsticks, and what every method makes of it.

use super::sets::{Kind, lookalikes};
use crate::cli::error::CliError;
use crate::data::{Catalogue, Dataset};
use crate::nn::{self, Problem, Recipe, Standard};
use crate::unlearn::{
    Level, Method, MethodName, Observer, Report, Task, UnlearnError, Unlearned, Verifier, unlearn,
};
use std::num::NonZeroUsize;
use std::time::Instant;

/// Members of the ensembles `sisa` is measured on.
const SHARDS: u32 = 5;

pub(super) struct Grid {
    dataset: String,
    methods: Vec<Method>,
    bank: Option<u32>,
    threads: NonZeroUsize,
}

/// What one method made of one original.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) dataset: String,
    pub(super) kind: Kind,
    pub(super) seed: u64,
    /// `nothing` is the original itself.
    pub(super) method: &'static str,
    pub(super) n_rows: usize,
    pub(super) seconds: f64,
    /// Of the method `retrain` on the same rows, the same threads, in the same minute.
    pub(super) retrain_s: f64,
    pub(super) stopped: bool,
    pub(super) report: Report,
}

impl Grid {
    pub(super) fn new(
        dataset: &str,
        methods: &[String],
        bank: Option<u32>,
        threads: NonZeroUsize,
    ) -> Result<Self, CliError> {
        let unknown = |name: &&String| !MethodName::ALL.iter().any(|known| known.name() == name.as_str());
        if let Some(name) = methods.iter().find(unknown) {
            return Err(CliError::Usage(format!("there is no method `{name}`")));
        }
        let wanted = |name: &&MethodName| methods.is_empty() || methods.iter().any(|m| m == name.name());
        let mut chosen: Vec<Method> =
            MethodName::ALL.iter().filter(wanted).map(|name| name.defaults(None)).collect();
        if wanted(&&MethodName::GradientAscent) {
            chosen.push(MethodName::GradientAscent.defaults(Some("plain")));
        }
        Ok(Self { dataset: dataset.to_owned(), methods: chosen, bank, threads })
    }

    /// Every method that can work on a network of its kind.
    pub(super) fn run(
        &self,
        catalogue: &Catalogue,
        kind: Kind,
        seed: u64,
        is_first: bool,
    ) -> Result<Vec<Row>, CliError> {
        let dataset = kind.open(catalogue, &self.dataset)?;
        let bank = self.bank.filter(|_| is_first);
        let single = Recipe::Standard(Standard::new(seed));
        let mut rows = self.on(&dataset, kind, (&single, seed), bank)?;
        let ensemble = Recipe::Standard(Standard { shards: SHARDS, ..Standard::new(seed) });
        if self.methods.contains(&Method::SISA) {
            let mut sisa = self.on(&dataset, kind, (&ensemble, seed), bank)?;
            sisa.retain(|row| row.method == "sisa");
            rows.extend(sisa);
        }
        Ok(rows)
    }

    /// Every method that can work on networks of this recipe; on an ensemble only `sisa`.
    fn on(
        &self,
        dataset: &Dataset,
        kind: Kind,
        (recipe, seed): (&Recipe, u64),
        bank: Option<u32>,
    ) -> Result<Vec<Row>, CliError> {
        let mut quiet = Quiet(self.threads);
        let problem = Problem { train: dataset.train(), excluded: &[], test: dataset.test() };
        let failed = |error: UnlearnError| CliError::Usage(error.to_string());
        let trained = nn::train(recipe, &problem, &mut quiet).map_err(|error| failed(error.into()))?;
        let forget = kind.rows(dataset, recipe, &mut quiet)?;
        let lookalikes = lookalikes(dataset, recipe, kind);
        let task = Task {
            parent: &trained.model,
            known: None,
            recipe,
            train: dataset.train(),
            test: dataset.test(),
            excluded: &[],
            parent_is_exact: true,
            forget: &forget,
            class: kind.class(),
            lookalikes: lookalikes.as_ref().map(|made| dataset.samples(made)),
            seed,
        };
        let level = bank.map_or(Level::Standard, |n| Level::Thorough { n });
        let mut verifier = Verifier::new(&task, level, &mut quiet).map_err(failed)?;
        let mut rows = Vec::new();
        let started = Instant::now();
        let retrained = unlearn(&Method::RETRAIN, &task, &mut quiet).map_err(failed)?;
        let retrain_s = started.elapsed().as_secs_f64();
        let is_ensemble = recipe.shards() > 1;
        let can = |method: &&Method| {
            let is_sisa = **method == Method::SISA;
            method.applies_to(recipe).is_ok() && is_sisa == is_ensemble
        };
        for method in self.methods.iter().filter(can) {
            let started = Instant::now();
            let outcome = match method {
                Method::Retrain(_) => retrained.clone(),
                _ => unlearn(method, &task, &mut quiet).map_err(failed)?,
            };
            let seconds = match method {
                Method::Retrain(_) => retrain_s,
                _ => started.elapsed().as_secs_f64(),
            };
            let report = verifier.report(Some(method), &outcome, &mut quiet).map_err(failed)?;
            rows.push(self.row(&task, kind, name_of(method), (seconds, retrain_s), &outcome, report));
        }
        if !is_ensemble {
            let nothing = Unlearned::from(trained.model.clone());
            let report = verifier.report(None, &nothing, &mut quiet).map_err(failed)?;
            rows.insert(0, self.row(&task, kind, "nothing", (0.0, retrain_s), &nothing, report));
        }
        Ok(rows)
    }

    fn row(
        &self,
        task: &Task<'_>,
        kind: Kind,
        method: &'static str,
        (seconds, retrain_s): (f64, f64),
        outcome: &Unlearned,
        report: Report,
    ) -> Row {
        eprintln!(
            "{} · {} · seed {} · {method}: {:?}, {:.0} % of a retrain; {}",
            self.dataset,
            kind.title(),
            task.seed,
            report.verdict,
            100.0 * seconds / retrain_s,
            report.reason
        );
        Row {
            dataset: self.dataset.clone(),
            kind,
            seed: task.seed,
            method,
            n_rows: task.forget.len(),
            seconds,
            retrain_s,
            stopped: outcome.stopped.is_some(),
            report,
        }
    }
}

fn name_of(method: &Method) -> &'static str {
    match method {
        Method::GradientAscent(numbers) if *numbers == crate::unlearn::GradientAscent::PLAIN => {
            "gradient_ascent (plain)"
        }
        _ => method.name(),
    }
}

/// Lets everything go on.
struct Quiet(NonZeroUsize);

impl nn::Observer for Quiet {
    fn threads(&mut self) -> NonZeroUsize {
        self.0
    }
}

impl Observer for Quiet {
    fn threads(&mut self) -> NonZeroUsize {
        self.0
    }
}
