//! Weights on disk: safetensors files, written whole or not at all.
//!
//! The row in the store is the truth: a file without one is garbage, and a file is only trusted when its
//! digest is the row's.

mod format;

#[cfg(test)]
mod tests;

use crate::data::InputSpec;
use crate::nn::Mlp;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The largest file that is read: half a billion parameters.
const MAX_FILE_BYTES: u64 = 2 << 30;
const WEIGHTS: &str = "safetensors";
const UNFINISHED: &str = "tmp";

/// A version's file, decoded: the network and what one needs to use it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub mlp: Mlp,
    pub input: InputSpec,
    pub class_names: Vec<String>,
    /// Lineage and provenance, as written in the file's metadata under `lineage.*`.
    pub lineage: BTreeMap<String, String>,
}

impl Model {
    /// The safetensors file of this model: the same model gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        format::encode(self)
    }

    /// Reads a safetensors file written by [`Model::encode`], trusting nothing in it.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        format::decode(bytes)
    }

    /// `sha256:` over the parameters alone, layer by layer as in the file: equal for equal networks, whichever
    /// run they come from.
    pub fn weights_digest(&self) -> String {
        digest(&format::tensor_bytes(&self.mlp))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error("weights of version {0} are not on disk")]
    Missing(Uuid),
    #[error("weights of version {version} are damaged: {detail}")]
    Damaged { version: Uuid, detail: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The folder of weight files. Paths are made from version ids only.
#[derive(Clone, Debug)]
pub struct Artifacts {
    dir: PathBuf,
}

impl Artifacts {
    /// Creates the folder if need be.
    pub fn new(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// Writes to a temporary file, syncs, renames, syncs the folder. Returns digest and size.
    pub fn put(&self, version: Uuid, model: &Model) -> Result<(String, u64), ArtifactError> {
        let bytes = model.encode();
        let unfinished = self.path(version, UNFINISHED);
        let mut file = File::create(&unfinished)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.path(version, WEIGHTS))?;
        self.sync()?;
        Ok((digest(&bytes), bytes.len() as u64))
    }

    /// Reads and checks the file against `digest`, then decodes it.
    pub fn get(&self, version: Uuid, digest: &str) -> Result<Model, ArtifactError> {
        let bytes = self.read_checked(version, digest)?;
        Model::decode(&bytes).map_err(|detail| ArtifactError::Damaged { version, detail })
    }

    /// The file's bytes, as they are.
    pub fn read(&self, version: Uuid) -> Result<Vec<u8>, ArtifactError> {
        let file = File::open(self.path(version, WEIGHTS)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ArtifactError::Missing(version),
            _ => error.into(),
        })?;
        if file.metadata()?.len() > MAX_FILE_BYTES {
            let detail = format!("the file is larger than {MAX_FILE_BYTES} bytes");
            return Err(ArtifactError::Damaged { version, detail });
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The file's bytes, if they are those of the row.
    pub fn read_checked(&self, version: Uuid, digest: &str) -> Result<Vec<u8>, ArtifactError> {
        let bytes = self.read(version)?;
        let found = self::digest(&bytes);
        if found != digest {
            let detail = format!("its digest is {found}, not {digest}");
            return Err(ArtifactError::Damaged { version, detail });
        }
        Ok(bytes)
    }

    /// Removes the file; fine if it is gone already.
    pub fn remove(&self, version: Uuid) -> Result<(), ArtifactError> {
        match fs::remove_file(self.path(version, WEIGHTS)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => {
                other?;
                Ok(self.sync()?)
            }
        }
    }

    /// Removes every file of ours that is not one of `keep`. Returns how many went.
    pub fn sweep(&self, keep: &[Uuid]) -> Result<usize, ArtifactError> {
        let keep: BTreeSet<PathBuf> = keep.iter().map(|&id| self.path(id, WEIGHTS)).collect();
        let mut n_removed = 0;
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if is_ours(&path) && !keep.contains(&path) {
                fs::remove_file(&path)?;
                n_removed += 1;
            }
        }
        if n_removed > 0 {
            self.sync()?;
        }
        Ok(n_removed)
    }

    fn path(&self, version: Uuid, extension: &str) -> PathBuf {
        self.dir.join(format!("{version}.{extension}"))
    }

    /// A rename or removal is durable only once the folder is.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

/// Whether `put` could have made this file: nothing else in the folder is touched.
fn is_ours(path: &Path) -> bool {
    let id =
        path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| Uuid::parse_str(stem).is_ok());
    id && path.extension().is_some_and(|extension| extension == WEIGHTS || extension == UNFINISHED)
}

/// `sha256:` and 64 hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
