//! What may be wrong with a training, and what it is without it.

use crate::nn::{Faults, Recipe, Reference, Solver, Standard};
use serde::{Deserialize, Serialize};

/// A fault, a setting or a property of the data that a training may suffer from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Suspect {
    // the defects of the reference trainers
    MisalignedLabels,
    NoShuffle,
    OutputRelu,
    DoubledHiddenGradient,
    PerSampleMomentum,
    // settings of `standard`
    LearningRate,
    Momentum,
    BatchSize,
    /// Labels of the data are wrong.
    LabelNoise,
}

/// A rate within this factor of the default is as good as the default.
const NEAR: f64 = 2.0;
/// What is tried in place of a default, which may be too rough for the data: a rate so many times lower, batches so many
/// times larger.
const GENTLER_RATE: f64 = 5.0;
const GENTLER_BATCH: usize = 4;

impl Suspect {
    pub const ALL: [Self; 9] = [
        Self::MisalignedLabels,
        Self::NoShuffle,
        Self::OutputRelu,
        Self::DoubledHiddenGradient,
        Self::PerSampleMomentum,
        Self::LearningRate,
        Self::Momentum,
        Self::BatchSize,
        Self::LabelNoise,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::MisalignedLabels => "misaligned_labels",
            Self::NoShuffle => "no_shuffle",
            Self::OutputRelu => "output_relu",
            Self::DoubledHiddenGradient => "doubled_hidden_gradient",
            Self::PerSampleMomentum => "per_sample_momentum",
            Self::LearningRate => "learning_rate",
            Self::Momentum => "momentum",
            Self::BatchSize => "batch_size",
            Self::LabelNoise => "label_noise",
        }
    }

    /// Those that a training by `recipe` may suffer from: faults that are on, settings that decide something, and label
    /// noise if some rows are suspected.
    pub fn of(recipe: &Recipe, are_rows_suspected: bool) -> Vec<Self> {
        let mut suspects: Vec<Self> = Self::ALL.into_iter().filter(|suspect| suspect.is_in(recipe)).collect();
        if are_rows_suspected {
            suspects.push(Self::LabelNoise);
        }
        suspects
    }

    /// Whether there is reason to suspect it: a setting that is the default is tried out, but not doubted.
    pub(super) fn is_doubtful(self, recipe: &Recipe) -> bool {
        let (Recipe::Standard(standard), default) = (recipe, Standard::new(0)) else { return true };
        match self {
            Self::LearningRate => !is_near(standard.learning_rate, default.learning_rate),
            Self::Momentum => standard.momentum != default.momentum,
            Self::BatchSize => standard.batch_size != default.batch_size,
            _ => true,
        }
    }

    fn is_in(self, recipe: &Recipe) -> bool {
        match recipe {
            Recipe::Nn(reference) | Recipe::Debug(reference) => {
                self.switch(&mut reference.faults.clone()).is_some_and(|switch| *switch)
            }
            Recipe::Standard(standard) => {
                standard.solver == Solver::Sgd
                    && matches!(self, Self::LearningRate | Self::Momentum | Self::BatchSize)
            }
        }
    }

    /// The switch of a defect of the reference trainers.
    const fn switch(self, faults: &mut Faults) -> Option<&mut bool> {
        match self {
            Self::MisalignedLabels => Some(&mut faults.misaligned_labels),
            Self::NoShuffle => Some(&mut faults.no_shuffle),
            Self::OutputRelu => Some(&mut faults.output_relu),
            Self::DoubledHiddenGradient => Some(&mut faults.doubled_hidden_gradient),
            Self::PerSampleMomentum => Some(&mut faults.per_sample_momentum),
            Self::LearningRate | Self::Momentum | Self::BatchSize | Self::LabelNoise => None,
        }
    }

    /// Changes the recipe to one without it. Label noise is not in the recipe.
    pub(super) fn mend(self, recipe: &mut Recipe) {
        match recipe {
            Recipe::Nn(Reference { faults, .. }) | Recipe::Debug(Reference { faults, .. }) => {
                if let Some(switch) = self.switch(faults) {
                    *switch = false;
                }
            }
            Recipe::Standard(standard) => match self {
                Self::LearningRate => standard.learning_rate = mended_rate(standard.learning_rate),
                Self::Momentum => standard.momentum = mended_momentum(standard.momentum),
                Self::BatchSize => standard.batch_size = mended_batch(standard.batch_size),
                _ => {}
            },
        }
    }

    /// What a training by `recipe` is told to do without it, to begin a sentence with; `n_rows` are those left out as
    /// label noise.
    pub(super) fn mending(self, recipe: &Recipe, n_rows: usize) -> String {
        let name = self.name();
        match (self, recipe) {
            (Self::LabelNoise, _) => {
                format!("leaving out the {n_rows} rows whose labels are probably wrong")
            }
            (Self::LearningRate, Recipe::Standard(s)) => {
                format!("setting `{name}` to {} instead of {}", mended_rate(s.learning_rate), s.learning_rate)
            }
            (Self::Momentum, Recipe::Standard(s)) => {
                format!("setting `{name}` to {} instead of {}", mended_momentum(s.momentum), s.momentum)
            }
            (Self::BatchSize, Recipe::Standard(s)) => {
                format!("setting `{name}` to {} instead of {}", mended_batch(s.batch_size), s.batch_size)
            }
            _ => format!("turning off `{name}`"),
        }
    }
}

fn is_near(rate: f64, default: f64) -> bool {
    (default / NEAR..=default * NEAR).contains(&rate)
}

/// The default, or a gentler one in place of the default.
fn mended_rate(rate: f64) -> f64 {
    let default = Standard::new(0).learning_rate;
    if is_near(rate, default) { default / GENTLER_RATE } else { default }
}

/// The default, or none in its place.
fn mended_momentum(momentum: f64) -> f64 {
    let default = Standard::new(0).momentum;
    if momentum == default { 0.0 } else { default }
}

/// The default, or a larger one in its place, whose gradients are less noisy.
fn mended_batch(size: usize) -> usize {
    let default = Standard::new(0).batch_size;
    if size == default { default * GENTLER_BATCH } else { default }
}
