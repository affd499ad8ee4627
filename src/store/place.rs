//! Where the database lies, and that it still does.

use super::StoreError;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The database file as it was opened.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    identity: (u64, u64),
    /// Held while any clone of the store lives: two processes never share a database.
    _lock: File,
}

impl Place {
    pub(super) fn of(path: &Path, lock: File) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(&fs::metadata(path)?), _lock: lock })
    }

    /// What is committed to a file that was deleted or replaced is gone with the process: better not to promise it.
    ///
    /// # Errors
    ///
    /// `Gone` if the file is not the one that was opened.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match fs::metadata(&self.path) {
            Ok(found) if identity(&found) == self.identity => Ok(()),
            _ => Err(StoreError::Gone(self.path.clone())),
        }
    }
}

/// Device and inode.
fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
