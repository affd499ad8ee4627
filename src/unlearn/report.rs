//! The measured effect of unlearning.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One measure, before and after, beside models that never saw the forget set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Measure {
    /// Of the original model.
    pub before: f64,
    /// Of the new version.
    pub after: f64,
    /// Mean over the retrained models; absent without them.
    pub retrain: Option<f64>,
    /// How far two retrained models lie apart: the noise of retraining itself.
    pub floor: Option<f64>,
    /// How far `after` may lie from `retrain` before it counts as a difference: the floor, widened to what so
    /// many rows can resolve.
    pub tolerance: Option<f64>,
    /// How far the original lies from the retrained models: what this measure could have shown at all.
    pub power: Option<f64>,
    /// Half the width of the 95 % confidence interval of `after`, where one is known.
    pub half_width: Option<f64>,
    /// What a perfect result would equal: `retrain`, `0`, …
    pub ideal: String,
    /// What the number is, in one sentence.
    pub definition: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every measure agrees with retraining, and the original model would not have.
    Pass,
    /// Some measure differs from retraining by more than retraining differs from itself.
    Fail,
    /// No yardstick, or one that could not tell even the original model from a retrained one.
    Inconclusive,
}

/// The mathematical part of a report; `jobs` adds who, when and how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Report {
    pub verdict: Verdict,
    pub reason: String,
    /// What the method failed to do, in plain sentences; empty when nothing.
    pub shortcomings: Vec<String>,
    /// Whether the result lies further from the retrained models than the original did, by more than two
    /// retrained models lie apart (`average_gap`). Always `false` without retrained models.
    pub worse_than_nothing: bool,
    pub metrics: BTreeMap<String, Measure>,
    /// Accuracy on the test rows of every class that has any.
    pub per_class: Vec<ClassAccuracy>,
}

/// Accuracy on the test rows of one class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClassAccuracy {
    pub class: u32,
    /// Test rows of the class.
    pub rows: u64,
    /// Of the original model.
    pub before: f64,
    /// Of the new version.
    pub after: f64,
    /// Mean over the retrained models; absent without them.
    pub retrain: Option<f64>,
}
