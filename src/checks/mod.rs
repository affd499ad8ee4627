//! Is there something wrong with the data a training would be shown? Checks made before the first epoch.
//!
//! Depends on `nn` alone, and looks at [`Pairs`]: which features a recipe really shows with which label. So it sees a
//! loader that mixes them up as well as labels that are wrong in the file. One file a check; `docs/CHECKS.md` has what
//! each was measured on.

mod balance;
mod confident;
mod constants;
mod duplicates;
mod labels;
mod neighbours;
mod order;
mod stats;
mod suspects;

pub use balance::Balance;
pub use constants::Constants;
pub use duplicates::Duplicates;
pub use labels::Labels;
pub use order::Order;
pub use suspects::{SuspectError, Suspects, suspects};

use crate::nn::hash::{Purpose, order_rows};
use crate::nn::{Pairs, Recipe, Samples, Split};
use serde::Serialize;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use utoipa::ToSchema;

/// What is looked at: the samples of a training, and the rows it is tested on.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    pub train: Samples<'a>,
    /// Of rows of `train`.
    pub pairs: Pairs,
    pub test: Samples<'a>,
    /// Rows of `test`.
    pub tested: Vec<u32>,
    /// Whether these are rows of the training table, of which the recipe keeps some for that.
    pub tests_on_held_out: bool,
    /// Whether the rows are visited in another order than the file's, so that the file's does not matter.
    pub shuffled: bool,
}

impl<'a> Subject<'a> {
    /// The tables as they are stored: every row with its own label, in the order of the file.
    pub fn as_stored(train: Samples<'a>, test: Samples<'a>) -> Self {
        let rows = all_rows(train);
        let pairs = Pairs { features_of: rows.clone(), label_of: rows };
        Self { train, pairs, test, tested: all_rows(test), tests_on_held_out: false, shuffled: false }
    }

    /// What a training by `recipe` without the rows `excluded` (sorted) is shown and tested on.
    pub fn of(recipe: &Recipe, train: Samples<'a>, excluded: &[u32], test: Samples<'a>) -> Self {
        let shuffled = match recipe {
            Recipe::Nn(reference) | Recipe::Debug(reference) => !reference.faults.no_shuffle,
            Recipe::Standard(_) => true,
        };
        let mut pairs = Pairs::of(recipe, train.n_rows(), excluded);
        if shuffled && pairs.are_aligned() {
            // the same samples whatever the seed: no check but that of the order looks at the order
            pairs.label_of.sort_unstable();
            pairs.features_of.clone_from(&pairs.label_of);
        }
        let Split { held_out, tests_on_held_out, .. } = Split::new(recipe, train.n_rows(), excluded);
        let (test, tested) = if tests_on_held_out { (train, held_out) } else { (test, all_rows(test)) };
        Self { train, pairs, test, tested, tests_on_held_out, shuffled }
    }

    /// The label of every sample.
    fn labels(&self) -> Vec<u32> {
        self.pairs.iter(self.train).map(|(_, _, label)| label).collect()
    }

    /// Whose features are shown: each row once, sorted.
    fn shown(&self) -> Vec<u32> {
        let mut rows = self.pairs.features_of.clone();
        rows.sort_unstable();
        rows.dedup();
        rows
    }

    /// Up to `n` samples, by their places, in the order of the file: a random choice, the same for the same samples.
    fn sample(&self, stream: u32, n: usize) -> Vec<usize> {
        let mut rows = self.pairs.label_of.clone();
        order_rows(&mut rows, &mut Vec::new(), 0, Purpose::Check, stream);
        rows.truncate(n);
        rows.sort_unstable();
        let is_chosen = |&place: &usize| rows.binary_search(&self.pairs.label_of[place]).is_ok();
        (0..self.pairs.len()).filter(is_chosen).collect()
    }
}

fn all_rows(samples: Samples<'_>) -> Vec<u32> {
    (0..u32::try_from(samples.n_rows()).expect("row ids fit u32")).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CheckStatus)]
pub enum Status {
    Ok,
    /// A training on these data is likely to come to something else than is wanted.
    Warning,
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = CheckFinding)]
pub struct Finding {
    #[serde(flatten)]
    pub check: Check,
    pub status: Status,
    /// What was found, as a sentence.
    pub detail: String,
}

impl Finding {
    pub fn is_warning(&self) -> bool {
        self.status == Status::Warning
    }
}

/// The numbers of each check.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Check {
    Labels(Labels),
    Balance(Balance),
    Duplicates(Duplicates),
    Constants(Constants),
    Order(Order),
}

/// It was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Interrupted;

/// Whether to go on; asked every few hundredths of a second.
pub type KeepGoing<'a> = dyn FnMut() -> ControlFlow<()> + 'a;

fn go_on(keep_going: &mut KeepGoing<'_>) -> Result<(), Interrupted> {
    if keep_going().is_break() { Err(Interrupted) } else { Ok(()) }
}

/// Makes every check. The same subject gives the same bits on any number of threads.
///
/// # Errors
///
/// When `keep_going` says stop.
pub fn examine(
    subject: &Subject<'_>,
    n_threads: NonZeroUsize,
    keep_going: &mut KeepGoing<'_>,
) -> Result<Vec<Finding>, Interrupted> {
    let found = |check, (warns, detail)| {
        let status = if warns { Status::Warning } else { Status::Ok };
        Finding { check, status, detail }
    };
    let mut findings = Vec::new();
    let labels = Labels::of(subject, n_threads, keep_going)?;
    let judged = labels.judge();
    findings.push(found(Check::Labels(labels), judged));
    let balance = Balance::of(&subject.labels(), subject.train.n_classes());
    let judged = balance.judge();
    findings.push(found(Check::Balance(balance), judged));
    go_on(keep_going)?;
    let duplicates = Duplicates::of(subject);
    let judged = duplicates.judge();
    findings.push(found(Check::Duplicates(duplicates), judged));
    go_on(keep_going)?;
    let constants = Constants::of(subject.train, &subject.shown());
    let judged = constants.judge();
    findings.push(found(Check::Constants(constants), judged));
    go_on(keep_going)?;
    let order = Order::of(&subject.labels(), subject.train.n_classes(), subject.shuffled);
    let judged = order.judge();
    findings.push(found(Check::Order(order), judged));
    Ok(findings)
}

#[cfg(test)]
mod tests;
