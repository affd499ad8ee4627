//! What a diagnosis comes to.

use super::{Interval, Suspect, Symptom, Variant};
use serde::Serialize;

/// Causes, what is cleared, and the measurements behind both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnosis {
    /// What is wrong with the training as it is; `None` if nothing is.
    pub symptom: Option<Symptom>,
    /// Greatest effect first.
    pub causes: Vec<Finding>,
    /// What was suspected and is not to blame, greatest effect first.
    pub cleared: Vec<Finding>,
    /// The finding as a sentence.
    pub summary: String,
    /// Of every variant; the training as it is has more.
    pub seeds: Vec<u64>,
    /// How far trials went at most.
    pub epochs: u32,
    /// One row a variant; that of the training as it is comes first.
    pub table: Vec<Row>,
}

/// What is known of one suspect.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub fault: Suspect,
    /// Test accuracy without it alone, less that of the training as it is: mean over the seeds, and 95 % interval.
    pub effect: f64,
    pub ci: [f64; 2],
    /// The epoch compared at: the last that all trials of both came to.
    pub at_epoch: u32,
    /// Whether the training without it still learns backwards, with most seeds.
    pub falls_without: bool,
    /// What it does as the only one; `None` where it is the only one doubtful, or is not.
    pub on_its_own: Option<OnItsOwn>,
    /// The finding as a sentence.
    pub detail: String,
}

/// What a suspect does to a training with nothing else wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OnItsOwn {
    /// Test accuracy with it alone, less that with everything doubtful mended: below zero where it does harm.
    pub effect: f64,
    pub ci: [f64; 2],
    pub at_epoch: u32,
    /// Whether the training learns backwards by it alone, with most seeds.
    pub falls: bool,
}

/// One variant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    #[serde(flatten)]
    pub variant: Variant,
    /// What was changed, as a sentence; `None` for the training as it is.
    pub change: Option<String>,
    /// Test accuracy at the end of each trial: mean and interval over the seeds.
    pub test_accuracy: Interval,
    /// The best test accuracy of each trial: mean over the seeds.
    pub best_test_accuracy: f64,
    /// With how many seeds it was seen to learn backwards, and with how many its loss stopped being a number.
    pub n_fell: usize,
    pub n_diverged: usize,
    pub curves: Vec<SeedCurve>,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeedCurve {
    pub seed: u64,
    /// At the end of each epoch it was trained.
    pub test_accuracy: Vec<f64>,
}
