//! The methods: their numbers, resolved, and what the catalogue says of them.

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
    /// Exact, without hidden layers: on to the retained rows' optimum.
    Convex,
    /// Certified, without hidden layers: Newton steps and the gradient they leave.
    Newton(Newton),
}

/// What a method's result may be called without looking at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// By construction the model never saw the rows; replayable from its recipe, data and seed.
    Exact,
    /// Statistically close to a model that never saw the rows, with the (ε, δ) and assumptions of its certificate.
    Certified,
    /// Only what the measurements in the report say.
    Empirical,
}

impl Method {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Retrain => "retrain",
            Self::GradientAscent(_) => "gradient_ascent",
            Self::ResetLast(_) => "reset_last",
            Self::Convex => "convex",
            Self::Newton(_) => "newton",
        }
    }

    pub const fn claim(&self) -> Claim {
        match self {
            Self::Retrain | Self::Convex => Claim::Exact,
            Self::Newton(_) => Claim::Certified,
            Self::GradientAscent(_) | Self::ResetLast(_) => Claim::Empirical,
        }
    }

    /// What people need to know before they choose it.
    pub const fn about(&self) -> &'static About {
        match self {
            Self::Retrain => &super::retrain::ABOUT,
            Self::GradientAscent(_) => &super::gradient_ascent::ABOUT,
            Self::ResetLast(_) => &super::reset_last::ABOUT,
            Self::Convex => &super::convex::ABOUT,
            Self::Newton(_) => &super::newton::ABOUT,
        }
    }

    /// Every method with its default numbers, in the order of the catalogue.
    pub fn all() -> [Self; 5] {
        [
            Self::Retrain,
            Self::GradientAscent(GradientAscent::default()),
            Self::ResetLast(ResetLast::default()),
            Self::Convex,
            Self::Newton(Newton::default()),
        ]
    }
}

/// A method's entry in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct About {
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// What it computes.
    pub equation: &'static str,
    /// Which rows it reads: `forget`, `retain`.
    pub access: &'static [&'static str],
    /// What one may claim of the result.
    pub guarantee: &'static str,
    /// Typical cost beside a retrain.
    pub cost: &'static str,
    /// How it is known to fail.
    pub known_failure: &'static str,
    /// Where it and its defaults come from.
    pub source: &'static str,
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
    /// Weight `w` of the ascent beside the retained rows' loss (`bounded` only).
    pub ascent_weight: f64,
}

impl GradientAscent {
    pub const BOUNDED: Self = Self {
        variant: Variant::Bounded,
        epochs: 2,
        batch_size: 64,
        learning_rate: 0.05,
        ascent_weight: 0.5,
    };
    pub const PLAIN: Self =
        Self { variant: Variant::Plain, epochs: 5, batch_size: 64, learning_rate: 0.01, ascent_weight: 1.0 };
}

impl Default for GradientAscent {
    fn default() -> Self {
        Self::BOUNDED
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResetLast {
    pub epochs: u32,
    pub batch_size: usize,
    pub learning_rate: f64,
}

impl Default for ResetLast {
    fn default() -> Self {
        Self { epochs: 3, batch_size: 64, learning_rate: 0.05 }
    }
}

/// What a certificate is to promise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Newton {
    pub epsilon: f64,
    pub delta: f64,
}

impl Default for Newton {
    fn default() -> Self {
        Self { epsilon: 1.0, delta: 1e-4 }
    }
}
