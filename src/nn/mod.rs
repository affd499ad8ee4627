//! The training core: pure mathematics, with no I/O, no clock, no threads it does not own.
//!
//! Dimensions, in every file of this folder and nowhere else by single letters:
//! `B` rows of a batch, `D` inputs of a layer, `H` outputs of a layer, `C` classes.
//! Gradients are named `d` + what they are the gradient of.
//!
//! Start reading at [`mlp`] (what a network is), [`mod@batch`] (one step through it), [`mod@standard`] and
//! [`mod@reference`] (the two ways to train).

mod bank;
pub mod batch;
mod buffer;
pub mod convex;
pub mod evaluate;
mod forward;
pub mod hash;
pub mod init;
mod kernels;
pub mod loss;
mod memorisation;
pub mod mlp;
pub mod optim;
mod pairs;
pub mod panels;
mod probe;
mod recipe;
mod reference;
mod running;
mod samples;
mod simd;
pub mod sisa;
mod split;
mod standard;
mod state;
pub mod team;
mod train;
#[cfg(test)]
pub(crate) mod twin;

pub use bank::{Teller, run_all, train_all};
pub use evaluate::{Evaluation, Evaluator};
pub use forward::{Forward, probabilities};
pub use memorisation::{Memorisation, Memorised};
pub use mlp::{Mlp, Shape};
pub use pairs::Pairs;
pub use probe::{Probe, Probed};
pub use recipe::{EarlyStopping, Faults, Mode, Recipe, Reference, Schedule, Solver, Standard};
pub use running::Running;
pub use samples::{BYTE_SCALE, Features, Samples};
pub use simd::kernel_family;
pub use split::Split;
pub use state::{Cursor, State};
pub use train::{
    BatchReport, EpochReport, Observer, Problem, TrainError, Trained, network_bytes, predicted_bytes, resume,
    state_bytes, train,
};
