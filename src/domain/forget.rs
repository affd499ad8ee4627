//! What is to be forgotten, named by ids only: never by feature vectors.

use serde::{Deserialize, Serialize};

/// A forget set as requested. Which rows it means is decided against the stored dataset and the
/// rows the model was really trained on (`data::resolve_forget_set`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForgetSet {
    /// Every training row with this label.
    Class(u32),
    /// Row ids: positions in the training file.
    Rows(Vec<u32>),
    /// Every training row that came from these people.
    Subjects(Vec<u64>),
    /// A seeded random part of the training rows.
    Sample(Sample),
    /// Every planted row among the training rows.
    Planted,
    /// The rows a network knows only because it was trained on them.
    MostMemorised(MostMemorised),
}

/// Which rows these are takes trainings to find out, so the run that does records them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MostMemorised {
    /// How many.
    pub rows: u32,
    /// Decides which rows the networks compared are trained without.
    pub seed: u64,
    /// What they turned out to be, sorted; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Vec<u32>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Part of the training rows, in (0, 1).
    pub fraction: f64,
    pub seed: u64,
}
