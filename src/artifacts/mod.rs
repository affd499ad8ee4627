//! Weights on disk: safetensors files, written whole or not at all; and the losses of samples, epoch by epoch.
//!
//! The row in the store is the truth: a file without one is garbage, and a file is only trusted when its
//! digest is the row's. Models also leave in formats of others, and come in from elsewhere.

mod checkpoint;
mod dir;
mod file;
mod folder;
mod import;
mod losses;
mod model;
mod npz;
mod onnx;
mod protobuf;
mod zip;

#[cfg(test)]
mod tests;

pub(crate) use folder::digest;
pub use folder::{Artifact, ArtifactError, Folder};
pub use import::{ImportError, Layout, import};
pub use losses::{LossFile, Losses};
pub use model::Model;
pub use npz::npz;
pub use onnx::onnx;

use crate::nn::State;
use std::io;
use std::path::Path;

/// The folders of files: versions' weights, what trainings go on from, and what they tell of their samples.
#[derive(Clone, Debug)]
pub struct Artifacts {
    pub models: Folder<Model>,
    pub checkpoints: Folder<State>,
    pub losses: Losses,
}

impl Artifacts {
    /// Under `dir`, created if need be.
    pub fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            models: Folder::new(dir.join("models"))?,
            checkpoints: Folder::new(dir.join("checkpoints"))?,
            losses: Losses::new(dir.join("losses"))?,
        })
    }

    /// Whether nothing was ever kept here.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.models.is_empty()? && self.checkpoints.is_empty()? && self.losses.is_empty()?)
    }
}
