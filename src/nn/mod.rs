//! The training core: pure mathematics, with no I/O, no clock, no threads it does not own.
//!
//! Dimensions, in every file of this folder and nowhere else by single letters:
//! `B` rows of a batch, `D` inputs of a layer, `H` outputs of a layer, `C` classes.
//! Gradients are named `d` + what they are the gradient of.

mod recipe;
mod samples;

pub use mlp::{Mlp, Shape};
pub use recipe::{EarlyStopping, Faults, Mode, Recipe, Reference, Schedule, Standard};
pub use samples::{Features, Samples};
pub use train::{BatchReport, EpochReport, Observer, Problem, TrainError, Trained, train};

mod mlp;
mod train;
