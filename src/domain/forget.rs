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
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Part of the training rows, in (0, 1).
    pub fraction: f64,
    pub seed: u64,
}
