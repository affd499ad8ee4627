//! The methods' names and numbers, resolved.

use serde::{Deserialize, Serialize};

/// An unlearning method with every hyperparameter resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Method {
    /// Exact: train again by the parent's recipe, without the rows.
    Retrain,
    /// Approximate: climb the loss on the forget set.
    GradientAscent(GradientAscent),
    /// Approximate: a new output layer, then short training on the retained rows.
    ResetLast(ResetLast),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Retained rows' cross-entropy, plus ascent only on forget rows whose loss is below a bound.
    Bounded,
    /// Bare ascent on the forget rows: what people try first.
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientAscent {
    pub variant: Variant,
    pub epochs: u32,
    pub batch_size: usize,
    pub learning_rate: f64,
    /// Weight of the ascent beside the retained rows' loss (`bounded` only).
    pub ascent_weight: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResetLast {
    pub epochs: u32,
    pub batch_size: usize,
    pub learning_rate: f64,
}

impl Default for GradientAscent {
    fn default() -> Self {
        Self { variant: Variant::Bounded, epochs: 2, batch_size: 64, learning_rate: 0.05, ascent_weight: 0.5 }
    }
}

impl Default for ResetLast {
    fn default() -> Self {
        Self { epochs: 2, batch_size: 64, learning_rate: 0.05 }
    }
}
