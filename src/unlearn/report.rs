//! The measured effect of unlearning.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One measure, before and after, beside models that never saw the forget set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Measure {
    pub before: Option<f64>,
    pub after: Option<f64>,
    /// Mean over the retrained models; absent without them.
    pub retrain: Option<f64>,
    /// How far two retrained models lie apart.
    pub floor: Option<f64>,
    /// How far the original lies from the retrained models: what this measure could have shown.
    pub power: Option<f64>,
    /// What a perfect result would equal: `retrain`, `0`, …
    pub ideal: String,
    /// What the number is, in one sentence.
    pub definition: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Pass,
    Fail,
    Inconclusive,
}

/// The mathematical part of a report; `jobs` adds who, when and how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Report {
    pub verdict: Verdict,
    pub reason: String,
    /// What the method failed to do, in plain sentences; empty when nothing.
    pub shortcomings: Vec<String>,
    pub metrics: BTreeMap<String, Measure>,
}
