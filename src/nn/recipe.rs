//! How a network is trained: every number that decides the resulting bits, resolved.

use serde::{Deserialize, Serialize};

/// One of the three training arithmetics, with its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Recipe {
    /// The reference trainer whose accuracy falls: image row `i` meets labels `i … i+4`.
    Nn(Reference),
    /// Its repaired sibling.
    Debug(Reference),
    /// Today's practice.
    Standard(Standard),
}

impl Recipe {
    pub const fn mode(&self) -> Mode {
        match self {
            Self::Nn(_) => Mode::Nn,
            Self::Debug(_) => Mode::Debug,
            Self::Standard(_) => Mode::Standard,
        }
    }

    pub const fn epochs(&self) -> u32 {
        match self {
            Self::Nn(recipe) | Self::Debug(recipe) => recipe.epochs,
            Self::Standard(recipe) => recipe.epochs,
        }
    }

    /// Widths of the hidden layers, input side first; of one member where there are several.
    pub fn hidden(&self) -> &[usize] {
        match self {
            Self::Nn(recipe) | Self::Debug(recipe) => std::slice::from_ref(&recipe.hidden),
            Self::Standard(recipe) => &recipe.hidden,
        }
    }

    /// Members of the ensemble the trained network is made of; 1 where it is a single network.
    pub const fn shards(&self) -> u32 {
        match self {
            Self::Nn(_) | Self::Debug(_) => 1,
            Self::Standard(recipe) => recipe.shards,
        }
    }

    /// Widths of the hidden layers of the trained network: those of all members of an ensemble together
    /// ([`Joint`](super::sisa::Joint)), else [`hidden`](Self::hidden).
    pub fn network_hidden(&self) -> Vec<usize> {
        match self.shards() {
            0 | 1 => self.hidden().to_vec(),
            shards => super::sisa::joint_hidden(self.hidden(), shards as usize),
        }
    }

    /// Whether the trained network clips its logits at zero.
    pub const fn output_relu(&self) -> bool {
        match self {
            Self::Nn(recipe) | Self::Debug(recipe) => recipe.faults.output_relu,
            Self::Standard(_) => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Nn,
    Debug,
    Standard,
}

impl Mode {
    pub const ALL: [Self; 3] = [Self::Nn, Self::Debug, Self::Standard];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Nn => "nn",
            Self::Debug => "debug",
            Self::Standard => "standard",
        }
    }
}

/// The numbers of the two reference trainers (`docs/decisions/0002-reference-modes.md`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Width of the one hidden layer.
    pub hidden: usize,
    pub epochs: u32,
    /// Samples in a mini-batch.
    pub batch_size: usize,
    pub learning_rate: f64,
    pub momentum: f64,
    pub faults: Faults,
    pub seed: u64,
}

/// The defects of the reference trainers, one switch each: `true` reproduces the defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Faults {
    /// Sample `j` of the mini-batch at row `i` takes the image of row `i` and the label of row `i + j`.
    pub misaligned_labels: bool,
    /// Rows are visited in file order: the shuffle loop never runs. Mended, the training rows are
    /// shuffled once, before the first epoch.
    pub no_shuffle: bool,
    /// The output layer passes through a ReLU before the softmax, which its gradient ignores.
    pub output_relu: bool,
    /// The hidden gradient is counted before and again after the output weights' update.
    pub doubled_hidden_gradient: bool,
    /// Momentum decays once a sample instead of once a mini-batch.
    pub per_sample_momentum: bool,
}

impl Faults {
    /// The defects `nn` was published with.
    pub const NN: Self = Self {
        misaligned_labels: true,
        no_shuffle: true,
        output_relu: true,
        doubled_hidden_gradient: true,
        per_sample_momentum: true,
    };
    /// The defects `debug` was published with.
    pub const DEBUG: Self = Self { misaligned_labels: false, ..Self::NN };
}

impl Reference {
    pub const fn nn(seed: u64) -> Self {
        Self {
            hidden: 256,
            epochs: 50,
            batch_size: 5,
            learning_rate: 0.0005,
            momentum: 0.9,
            faults: Faults::NN,
            seed,
        }
    }

    pub const fn debug(seed: u64) -> Self {
        Self { epochs: 10, faults: Faults::DEBUG, ..Self::nn(seed) }
    }
}

/// Mini-batch SGD with momentum on mean gradients, or the optimum itself where there is one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standard {
    /// Widths of the hidden layers, input side first; none is multinomial logistic regression.
    pub hidden: Vec<usize>,
    pub epochs: u32,
    pub batch_size: usize,
    pub learning_rate: f64,
    pub momentum: f64,
    /// `λ` of `λ/2·‖w‖²`, on weights only, never on biases.
    pub weight_decay: f64,
    pub schedule: Schedule,
    /// Part of the training rows kept out, chosen by keyed hash of the row id.
    pub holdout: f64,
    pub early_stopping: Option<EarlyStopping>,
    /// Members of an ensemble, each trained on a part of the rows of its own ([`sisa`](super::sisa)); 1 is a single
    /// network.
    #[serde(default = "one")]
    pub shards: u32,
    /// Recipes from before there was a choice were solved by SGD.
    #[serde(default)]
    pub solver: Solver,
    pub seed: u64,
}

/// Recipes written before there were ensembles mean a single network.
const fn one() -> u32 {
    1
}

/// How the weights of `standard` are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Solver {
    /// Mini-batches.
    #[default]
    Sgd,
    /// The one optimum of a regularised model without hidden layers, to a gradient norm of 1e-10 (see
    /// [`convex`](super::convex), where biases decay too). `batch_size`, `learning_rate`, `momentum`, `schedule` and
    /// `early_stopping` mean nothing then.
    Optimum {
        /// `σ` of the noise in the objective that certified removal needs (Guo et al. 2020); 0 is none.
        perturbation: f64,
    },
}

impl Standard {
    pub fn new(seed: u64) -> Self {
        Self {
            hidden: vec![256],
            epochs: 10,
            batch_size: 64,
            learning_rate: 0.05,
            momentum: 0.9,
            weight_decay: 0.0,
            schedule: Schedule::Cosine,
            holdout: 0.05,
            early_stopping: None,
            shards: 1,
            solver: Solver::Sgd,
            seed,
        }
    }

    /// Regularised logistic regression, to its optimum: the weight decay of Guo et al. 2020, and far more epochs than
    /// it takes.
    pub fn optimum(seed: u64, perturbation: f64) -> Self {
        Self {
            hidden: vec![],
            epochs: 100,
            weight_decay: 1e-3,
            solver: Solver::Optimum { perturbation },
            ..Self::new(seed)
        }
    }
}

/// How the learning rate moves over training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    Constant,
    /// Multiplied by `factor` every `every_epochs` epochs.
    Step {
        every_epochs: u32,
        factor: f64,
    },
    /// Half a cosine from the base rate to zero, per mini-batch.
    Cosine,
}

/// Stop when the held-out loss has not fallen for `patience` epochs; the best epoch's weights are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    pub patience: u32,
}
