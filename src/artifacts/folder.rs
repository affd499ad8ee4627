//! A folder of files of one kind, each under an id, written whole or not at all.

use super::dir::Dir;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The largest file that is read: half a billion parameters.
const MAX_FILE_BYTES: u64 = 2 << 30;
const FINISHED: &str = "safetensors";

/// What can be kept in a folder.
pub trait Artifact: Sized {
    /// What messages call it.
    const WHAT: &str;
    /// What its files are called together, as in `faults::POINTS`.
    const FILES: &str;

    /// The same artifact gives the same bytes.
    fn encode(&self) -> Vec<u8>;

    /// Reads what [`encode`](Self::encode) wrote, trusting nothing in it.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    fn decode(bytes: &[u8]) -> Result<Self, String>;
}

#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error("the {what} {id} is not on disk")]
    Missing { what: &'static str, id: Uuid },
    #[error("the {what} {id} is damaged: {detail}")]
    Damaged { what: &'static str, id: Uuid, detail: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The folder.
#[derive(Debug)]
pub struct Folder<A> {
    dir: Dir,
    of: PhantomData<fn() -> A>,
}

impl<A> Clone for Folder<A> {
    fn clone(&self) -> Self {
        Self { dir: self.dir.clone(), of: PhantomData }
    }
}

impl<A: Artifact> Folder<A> {
    /// Creates the folder if need be.
    pub(super) fn new(path: PathBuf) -> io::Result<Self> {
        Ok(Self { dir: Dir::new(path, A::FILES, FINISHED)?, of: PhantomData })
    }

    /// Writes to a temporary file, syncs, renames, syncs the folder. Returns digest and size.
    pub fn put(&self, id: Uuid, artifact: &A) -> Result<(String, u64), ArtifactError> {
        self.write(id, &artifact.encode())
    }

    /// Puts the bytes of `from`, if they are those of its row, under another id.
    pub fn copy(&self, from: Uuid, digest: &str, to: Uuid) -> Result<(), ArtifactError> {
        self.write(to, &self.read_checked(from, digest)?)?;
        Ok(())
    }

    fn write(&self, id: Uuid, bytes: &[u8]) -> Result<(String, u64), ArtifactError> {
        let unfinished = self.dir.unfinished(id);
        let written = self.write_whole(&unfinished, &self.dir.finished(id), bytes);
        if written.is_err() {
            // what is left of it would only fill a full disk further; the next start removes what this cannot
            let _ = fs::remove_file(&unfinished);
        }
        written?;
        Ok((digest(bytes), bytes.len() as u64))
    }

    fn write_whole(&self, unfinished: &Path, finished: &Path, bytes: &[u8]) -> io::Result<()> {
        self.dir.point("create")?;
        let mut file = File::create(unfinished)?;
        self.dir.point("write")?;
        file.write_all(bytes)?;
        self.dir.point("sync")?;
        file.sync_all()?;
        self.dir.point("rename")?;
        fs::rename(unfinished, finished)?;
        self.dir.point("sync_folder")?;
        self.dir.sync()
    }

    /// Reads and checks the file against `digest`, then decodes it.
    pub fn get(&self, id: Uuid, digest: &str) -> Result<A, ArtifactError> {
        let bytes = self.read_checked(id, digest)?;
        A::decode(&bytes).map_err(|detail| ArtifactError::Damaged { what: A::WHAT, id, detail })
    }

    /// The file's bytes, as they are.
    pub fn read(&self, id: Uuid) -> Result<Vec<u8>, ArtifactError> {
        let file = File::open(self.dir.finished(id)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ArtifactError::Missing { what: A::WHAT, id },
            _ => error.into(),
        })?;
        if file.metadata()?.len() > MAX_FILE_BYTES {
            let detail = format!("the file is larger than {MAX_FILE_BYTES} bytes");
            return Err(ArtifactError::Damaged { what: A::WHAT, id, detail });
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The file's bytes, if they are those of the row.
    pub fn read_checked(&self, id: Uuid, digest: &str) -> Result<Vec<u8>, ArtifactError> {
        let bytes = self.read(id)?;
        let found = self::digest(&bytes);
        if found != digest {
            let detail = format!("its digest is {found}, not {digest}");
            return Err(ArtifactError::Damaged { what: A::WHAT, id, detail });
        }
        Ok(bytes)
    }

    /// Removes the file; fine if it is gone already.
    pub fn remove(&self, id: Uuid) -> Result<(), ArtifactError> {
        self.remove_all(&[id])
    }

    /// Removes the files; fine if some are gone already.
    pub fn remove_all(&self, ids: &[Uuid]) -> Result<(), ArtifactError> {
        Ok(self.dir.remove_all(ids)?)
    }

    /// Removes every file of ours that is not one of `keep`. Returns how many went.
    pub fn sweep(&self, keep: &[Uuid]) -> Result<usize, ArtifactError> {
        Ok(self.dir.sweep(keep)?)
    }

    /// Whether there is no file of ours.
    pub fn is_empty(&self) -> io::Result<bool> {
        self.dir.is_empty()
    }
}

/// `sha256:` and 64 hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
