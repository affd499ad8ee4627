//! What a method is: one file each, one trait, and the table they are all found in.

use super::context::Context;
use super::{Observer, UnlearnError, Unlearned};
use crate::nn::Recipe;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// An unlearning method: its numbers, resolved, are the type itself.
pub(super) trait Unlearner: Default + Serialize + DeserializeOwned {
    const ABOUT: About;
    /// Its numbers, for people, forms and checks.
    const FIELDS: &'static [Field];

    /// The defaults that go with a value of the field `variant`, where there is one.
    fn of_variant(_variant: &str) -> Self {
        Self::default()
    }

    /// Whether it can work on a network trained by `recipe`; if not, why, in one sentence.
    ///
    /// # Errors
    ///
    /// The sentence.
    fn applies_to(&self, _recipe: &Recipe) -> Result<(), String> {
        Ok(())
    }

    /// Removes the task's forget set from its parent.
    ///
    /// # Errors
    ///
    /// [`UnlearnError`]
    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError>;
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

/// A method's entry in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct About {
    pub claim: Claim,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// What it computes.
    pub equation: &'static str,
    /// Which rows it reads: `forget`, `retain`, `held_out`.
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

/// What every approximate method may promise.
pub(super) const EMPIRICAL: &str = "empirical: only what the report measures";

/// One hyperparameter of a method.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub about: &'static str,
    pub domain: Domain,
    /// The value of `variant` it belongs to; `None` for all.
    pub only_with: Option<&'static str>,
}

/// The values a hyperparameter may take.
#[derive(Clone, Copy, Debug)]
pub enum Domain {
    /// Both ends included.
    Whole {
        min: u64,
        max: u64,
    },
    /// Both ends included.
    Real {
        min: f64,
        max: f64,
    },
    Choice(&'static [&'static str]),
}

impl Field {
    pub(super) const fn new(name: &'static str, domain: Domain, about: &'static str) -> Self {
        Self { name, about, domain, only_with: None }
    }
}

pub const EPOCHS: Field = Field::new("epochs", Domain::Whole { min: 1, max: 100 }, "Passes of the method.");
pub const BATCH_SIZE: Field =
    Field::new("batch_size", Domain::Whole { min: 1, max: 1_000_000 }, "Rows in a mini-batch.");
pub(super) const LEARNING_RATE: Field =
    Field::new("learning_rate", Domain::Real { min: 1e-9, max: 10.0 }, "Step size.");
/// What `shrink` was before there was a choice: runs of that time are still read.
pub(super) const fn whole() -> f64 {
    1.0
}

pub(super) const SHRINK: Field = Field::new(
    "shrink",
    Domain::Real { min: 0.0, max: 1.0 },
    "Part λ of the original's weights to start from, beside 1 − λ of new ones; 1 starts from the original itself.",
);

/// The table of methods: the enum of their numbers, the enum of their names, and the way from one to the other.
///
/// `$name` is a `tt`: derives other than serde's do not see through a `literal`.
macro_rules! methods {
    ($($variant:ident in $module:ident as $name:tt,)+) => {
        $(pub use super::$module::$variant;)+

        /// An unlearning method with every hyperparameter resolved.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "method")]
        pub enum Method {
            $(#[doc = concat!("See [`", stringify!($variant), "`].")] #[serde(rename = $name)] $variant($variant),)+
        }

        /// The methods by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum MethodName {
            $(#[doc = concat!("See [`", stringify!($variant), "`].")] #[serde(rename = $name)] $variant,)+
        }

        impl MethodName {
            /// In the order of the catalogue.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What people need to know before they choose it.
            pub const fn about(self) -> About {
                match self {
                    $(Self::$variant => <$variant as Unlearner>::ABOUT,)+
                }
            }

            pub const fn fields(self) -> &'static [Field] {
                match self {
                    $(Self::$variant => <$variant as Unlearner>::FIELDS,)+
                }
            }

            /// The method with its default numbers: those of a variant, where one is given.
            pub fn defaults(self, variant: Option<&str>) -> Method {
                match (self, variant) {
                    $((Self::$variant, None) => Method::$variant($variant::default()),
                      (Self::$variant, Some(variant)) => Method::$variant($variant::of_variant(variant)),)+
                }
            }
        }

        impl Method {
            pub const fn id(&self) -> MethodName {
                match self {
                    $(Self::$variant(_) => MethodName::$variant,)+
                }
            }

            /// Whether it can work on a network trained by `recipe`.
            ///
            /// # Errors
            ///
            /// Why not, in one sentence.
            pub fn applies_to(&self, recipe: &Recipe) -> Result<(), String> {
                match self {
                    $(Self::$variant(numbers) => numbers.applies_to(recipe),)+
                }
            }

            pub(super) fn run(
                &self,
                context: &mut Context<'_>,
                observer: &mut dyn Observer,
            ) -> Result<Unlearned, UnlearnError> {
                match self {
                    $(Self::$variant(numbers) => numbers.run(context, observer),)+
                }
            }
        }
    };
}

methods! {
    Auto in auto as "auto",
    Retrain in retrain as "retrain",
    Sisa in sisa as "sisa",
    Convex in convex as "convex",
    Newton in newton as "newton",
    GradientAscent in gradient_ascent as "gradient_ascent",
    NegGradPlus in neggrad_plus as "neggrad_plus",
    RandomLabel in random_label as "random_label",
    Saliency in saliency as "saliency",
    FineTune in fine_tune as "fine_tune",
    L1Sparse in l1_sparse as "l1_sparse",
    Scrub in scrub as "scrub",
    BadTeacher in bad_teacher as "bad_teacher",
    SelectiveDampening in selective_dampening as "selective_dampening",
    Msg in msg as "msg",
    ResetLast in reset_last as "reset_last",
    BoundaryShrink in boundary_shrink as "boundary_shrink",
}

impl Method {
    /// The yardstick of all others.
    pub const RETRAIN: Self = Self::Retrain(Retrain {});
    pub const CONVEX: Self = Self::Convex(Convex {});
    pub const SISA: Self = Self::Sisa(Sisa {});

    pub const fn name(&self) -> &'static str {
        self.id().name()
    }

    pub const fn claim(&self) -> Claim {
        self.id().about().claim
    }

    /// Every method with its default numbers, in the order of the catalogue.
    pub fn all() -> impl Iterator<Item = Self> {
        MethodName::ALL.iter().map(|name| name.defaults(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_says_what_it_does_and_how_it_fails() {
        for name in MethodName::ALL {
            let about = name.about();
            for text in [about.summary, about.equation, about.cost, about.known_failure, about.source] {
                assert!(text.len() > 10, "{}", name.name());
            }
            let promise = match about.claim {
                Claim::Exact => "exact",
                Claim::Certified => "certified",
                Claim::Empirical => "empirical",
            };
            assert!(about.guarantee.starts_with(promise), "{}", name.name());
        }
    }
}
