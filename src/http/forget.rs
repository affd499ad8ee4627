//! Forget sets of requests, checked into those of the domain.

use super::extract::optional_object;
use super::hyperparameters::{DEFAULT_SEED, SEED};
use super::number::{Checker, Number, Real, Whole};
use crate::domain::{ForgetSet, MostMemorised, Sample};
use serde::Deserialize;
use utoipa::ToSchema;

/// Strictly between 0 and 1; the least still means a row of a billion.
const FRACTION: Real = Real { min: 1e-9, max: 1.0, max_excluded: true };
/// The upper bound is the rows themselves: see `data::check_forget_set`.
const MEMORISED_ROWS: Whole = Whole { min: 1, max: u32::MAX as u64 };

/// Training rows: exactly one of the members. Only ids, never feature vectors: the stored copy is used.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForgetRequest {
    /// Every training row with this label.
    #[serde(default)]
    class: Option<u32>,
    /// Row ids: positions in the training file.
    #[serde(default)]
    rows: Option<Vec<u32>>,
    /// Every training row that came from these people.
    #[serde(default)]
    subjects: Option<Vec<u64>>,
    /// A seeded random part of the training rows.
    #[serde(default, deserialize_with = "optional_object")]
    sample: Option<SampleRequest>,
    /// `true`: every planted row that was trained on.
    #[serde(default)]
    planted: Option<bool>,
    /// The rows a network knows only because it was trained on them.
    #[serde(default, deserialize_with = "optional_object")]
    most_memorised: Option<MostMemorisedRequest>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleRequest {
    /// Part of the training rows.
    #[schema(value_type = f64, exclusive_minimum = 0.0, exclusive_maximum = 1.0)]
    fraction: Number,
    #[schema(value_type = u64, minimum = 0, maximum = 9007199254740991_i64)]
    seed: Number,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MostMemorisedRequest {
    /// How many: at most half of the rows the model was trained on.
    #[schema(value_type = u64, minimum = 1)]
    rows: Number,
    /// Decides which rows the networks are trained without that are compared to find them.
    #[schema(value_type = u64, minimum = 0, maximum = 9007199254740991_i64)]
    seed: Number,
}

impl ForgetRequest {
    pub fn check(self, checker: &mut Checker) -> Option<ForgetSet> {
        let sample = self.sample.map(|sample| {
            let fraction = checker.real("/forget/sample/fraction", Some(sample.fraction), FRACTION, 0.5);
            let seed = checker.whole("/forget/sample/seed", Some(sample.seed), SEED, DEFAULT_SEED);
            ForgetSet::Sample(Sample { fraction, seed })
        });
        let planted = self.planted.unwrap_or_default().then_some(ForgetSet::Planted);
        let memorised = self.most_memorised.map(|wanted| {
            let at = "/forget/most_memorised";
            let rows = checker.whole(&format!("{at}/rows"), Some(wanted.rows), MEMORISED_ROWS, 1);
            let seed = checker.whole(&format!("{at}/seed"), Some(wanted.seed), SEED, DEFAULT_SEED);
            ForgetSet::MostMemorised(MostMemorised { rows: rows as u32, seed, chosen: None })
        });
        let given = [
            self.class.map(ForgetSet::Class),
            self.rows.map(ForgetSet::Rows),
            self.subjects.map(ForgetSet::Subjects),
            sample,
            planted,
            memorised,
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(forget), None) => Some(forget),
            _ => {
                checker.fail(
                    "/forget",
                    "must have exactly one of `class`, `rows`, `subjects`, `sample`, `planted` and \
                     `most_memorised`",
                );
                None
            }
        }
    }
}

/// Where in a request a forget set stands.
pub const fn pointer(forget: &ForgetSet) -> &'static str {
    match forget {
        ForgetSet::Class(_) => "/forget/class",
        ForgetSet::Rows(_) => "/forget/rows",
        ForgetSet::Subjects(_) => "/forget/subjects",
        ForgetSet::Sample(_) => "/forget/sample",
        ForgetSet::Planted => "/forget/planted",
        ForgetSet::MostMemorised(_) => "/forget/most_memorised/rows",
    }
}
