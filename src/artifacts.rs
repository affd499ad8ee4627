//! Weights on disk: safetensors files, written whole or not at all.

use crate::data::InputSpec;
use crate::nn::Mlp;
use std::collections::BTreeMap;
use std::path::PathBuf;
use uuid::Uuid;

/// A version's file, decoded: the network and what one needs to use it.
#[derive(Clone, Debug)]
pub struct Model {
    pub mlp: Mlp,
    pub input: InputSpec,
    pub class_names: Vec<String>,
    /// Lineage and provenance, as written in the file's metadata.
    pub lineage: BTreeMap<String, String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error("weights of version {0} are not on disk")]
    Missing(Uuid),
    #[error("weights of version {version} are damaged: {detail}")]
    Damaged { version: Uuid, detail: String },
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The folder of weight files. Paths are made from version ids only.
#[derive(Clone, Debug)]
pub struct Artifacts {
    _dir: PathBuf,
}

impl Artifacts {
    pub fn new(dir: PathBuf) -> std::io::Result<Self> {
        Ok(Self { _dir: dir })
    }

    /// Writes to a temporary file, syncs, renames, syncs the folder. Returns digest and size.
    pub fn put(&self, version: Uuid, model: &Model) -> Result<(String, u64), ArtifactError> {
        let _ = (version, model);
        todo!()
    }

    /// Reads and checks the file against `digest`.
    pub fn get(&self, version: Uuid, digest: &str) -> Result<Model, ArtifactError> {
        let _ = (version, digest);
        todo!()
    }

    /// The file's bytes, for download.
    pub fn read(&self, version: Uuid) -> Result<Vec<u8>, ArtifactError> {
        let _ = version;
        todo!()
    }

    /// Removes the file; fine if it is gone already.
    pub fn remove(&self, version: Uuid) -> Result<(), ArtifactError> {
        let _ = version;
        todo!()
    }
}
