//! Weights on disk: safetensors files, written whole or not at all.
//!
//! The row in the store is the truth: a file without one is garbage, and a file is only trusted when its
//! digest is the row's. Models also leave in formats of others, and come in from elsewhere.

mod checkpoint;
mod file;
mod folder;
mod import;
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
pub use model::Model;
pub use npz::npz;
pub use onnx::onnx;

use crate::nn::State;
use std::io;
use std::path::Path;

/// The folders of files: versions' weights, and what trainings go on from.
#[derive(Clone, Debug)]
pub struct Artifacts {
    pub models: Folder<Model>,
    pub checkpoints: Folder<State>,
}

impl Artifacts {
    /// Under `dir`, created if need be.
    pub fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            models: Folder::new(dir.join("models"))?,
            checkpoints: Folder::new(dir.join("checkpoints"))?,
        })
    }

    /// Whether nothing was ever kept here.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.models.is_empty()? && self.checkpoints.is_empty()?)
    }
}
