//! The kinds of forget sets the grid is made of.

use crate::cli::error::CliError;
use crate::data::{Catalogue, Dataset, Split as Part, Table, resolve_forget_set};
use crate::domain::{ForgetSet, Sample};
use crate::nn::hash::{Purpose, keyed_hash_wide};
use crate::nn::{Problem, Recipe, Split};
use crate::unlearn::{self, Observer};
use clap::ValueEnum;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Kind {
    /// All of class 3.
    Class,
    /// The rows planted with wrong labels: the set on which tests have most power.
    Mislabelled,
    /// The planted images of noise.
    Canaries,
    /// The hundredth of the rows a network of this kind memorises most.
    Memorised,
    /// A random hundredth of the rows.
    Random,
    /// One person.
    Writer,
    /// Ten people.
    Writers,
}

/// The class that is forgotten.
const CLASS: u32 = 3;

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Class,
        Self::Mislabelled,
        Self::Canaries,
        Self::Memorised,
        Self::Random,
        Self::Writer,
        Self::Writers,
    ];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Class => "class 3",
            Self::Mislabelled => "mislabelled rows",
            Self::Canaries => "canaries",
            Self::Memorised => "most memorised rows",
            Self::Random => "random rows",
            Self::Writer => "one writer",
            Self::Writers => "ten writers",
        }
    }

    pub(super) const fn class(self) -> Option<u32> {
        match self {
            Self::Class => Some(CLASS),
            _ => None,
        }
    }

    /// The dataset it is found in.
    pub(super) fn open(self, catalogue: &Catalogue, base: &str) -> Result<Arc<Dataset>, CliError> {
        let name = match self {
            Self::Mislabelled => format!("{base}-mislabelled"),
            Self::Canaries => format!("{base}-canaries"),
            Self::Class | Self::Memorised | Self::Random | Self::Writer | Self::Writers => base.to_owned(),
        };
        let found = catalogue.open_local(&name).map_err(|error| CliError::Usage(error.to_string()))?;
        found.ok_or_else(|| CliError::Usage(format!("dataset `{name}` is not here")))
    }

    /// The rows, among those `recipe` trains on.
    pub(super) fn rows(
        self,
        dataset: &Dataset,
        recipe: &Recipe,
        observer: &mut dyn Observer,
    ) -> Result<Vec<u32>, CliError> {
        let trained = Split::new(recipe, dataset.train.n_rows(), &[]).train;
        let hundredth = dataset.train.n_rows() / 100;
        let set = match self {
            Self::Class => ForgetSet::Class(CLASS),
            Self::Mislabelled | Self::Canaries => ForgetSet::Planted,
            Self::Random => ForgetSet::Sample(Sample { fraction: 0.01, seed: 1 }),
            Self::Writer => ForgetSet::Subjects(people(dataset, 1)),
            Self::Writers => ForgetSet::Subjects(people(dataset, 10)),
            Self::Memorised => {
                let problem = Problem { train: dataset.train(), excluded: &[], test: dataset.test() };
                let chosen = unlearn::most_memorised(recipe, &problem, hundredth, 1, observer)
                    .map_err(|error| CliError::Usage(error.to_string()))?;
                ForgetSet::Rows(chosen)
            }
        };
        resolve_forget_set(&set, dataset, &trained).map_err(|error| CliError::Usage(error.to_string()))
    }
}

/// `n` of the people in the training rows, drawn by keyed hash.
fn people(dataset: &Dataset, n: usize) -> Vec<u64> {
    let mut people = dataset.train.subjects.clone().unwrap_or_default();
    people.sort_unstable();
    people.dedup();
    people.sort_unstable_by_key(|&person| keyed_hash_wide(1, Purpose::ForgetSample, 0, person));
    people.truncate(n);
    people
}

/// Rows made like planted ones that no network of this recipe is trained on.
pub(super) fn lookalikes(dataset: &Dataset, recipe: &Recipe, kind: Kind) -> Option<Table> {
    matches!(kind, Kind::Mislabelled | Kind::Canaries).then_some(())?;
    let held_out = Split::new(recipe, dataset.train.n_rows(), &[]).held_out;
    dataset.lookalikes(Part::Train, &held_out)
}
