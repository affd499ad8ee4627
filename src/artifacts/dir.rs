//! A folder of files of one kind, each under an id.

use crate::faults;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const UNFINISHED: &str = "tmp";

/// Paths are made from ids only.
#[derive(Clone, Debug)]
pub(super) struct Dir {
    path: PathBuf,
    /// What the files are called together, as in `faults::POINTS`.
    files: &'static str,
    extension: &'static str,
}

impl Dir {
    /// Creates the folder if need be.
    pub(super) fn new(path: PathBuf, files: &'static str, extension: &'static str) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            // what is in a folder is as durable as its own name
            File::open(parent)?.sync_all()?;
        }
        Ok(Self { path, files, extension })
    }

    pub(super) fn finished(&self, id: Uuid) -> PathBuf {
        self.path.join(format!("{id}.{}", self.extension))
    }

    pub(super) fn unfinished(&self, id: Uuid) -> PathBuf {
        self.path.join(format!("{id}.{UNFINISHED}"))
    }

    pub(super) fn point(&self, step: &str) -> io::Result<()> {
        faults::point(self.files, step)
    }

    /// Removes the files; fine if some are gone already.
    pub(super) fn remove_all(&self, ids: &[Uuid]) -> io::Result<()> {
        for &id in ids {
            self.point("remove")?;
            match fs::remove_file(self.finished(id)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        if !ids.is_empty() {
            self.sync()?;
        }
        Ok(())
    }

    /// Removes every file of ours that is not one of `keep`. Returns how many went.
    pub(super) fn sweep(&self, keep: &[Uuid]) -> io::Result<usize> {
        let keep: BTreeSet<PathBuf> = keep.iter().map(|&id| self.finished(id)).collect();
        let mut n_removed = 0;
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if self.is_ours(&path) && !keep.contains(&path) {
                fs::remove_file(&path)?;
                n_removed += 1;
            }
        }
        if n_removed > 0 {
            self.sync()?;
        }
        Ok(n_removed)
    }

    /// Whether there is no file of ours.
    pub(super) fn is_empty(&self) -> io::Result<bool> {
        for entry in fs::read_dir(&self.path)? {
            if self.is_ours(&entry?.path()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A rename, a removal or a new file is durable only once the folder is.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Whether this program could have made this file: nothing else in the folder is touched.
    fn is_ours(&self, path: &Path) -> bool {
        let id =
            path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| Uuid::parse_str(stem).is_ok());
        id && path.extension().is_some_and(|extension| extension == self.extension || extension == UNFINISHED)
    }
}
