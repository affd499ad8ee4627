//! Which datasets there are, and opening them once however many ask.

use super::mnist::{self, Mirrors, Mnist, Writers};
use super::turn::Turn;
use super::{DataError, Dataset, InputSpec, Progress, digits};
use crate::domain::{DatasetRef, Source};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The datasets this server knows. Cheap to clone; clones share what is open.
///
/// A dataset stays in memory once opened (`digits` 36 MB, `mnist` 56 MB): rows are looked at one by one,
/// and reading the files again for each would cost half a second a look.
#[derive(Clone, Debug)]
pub struct Catalogue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    mnist: Mnist,
    /// Held while the files are read, so that two who ask at once wait for one reading.
    open: Mutex<Option<Arc<Dataset>>>,
    /// Held while files are fetched; apart from `open`, so that a download delays nobody who could be
    /// served, or told that there is nothing yet.
    download: Turn,
}

/// A dataset as listed, without its rows.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Entry {
    pub name: String,
    pub version: u32,
    pub description: String,
    pub input: InputSpec,
    pub class_names: Vec<String>,
    pub n_train: u32,
    pub n_test: u32,
    /// How many different people the training rows came from; absent when that is not known.
    pub n_subjects: Option<u32>,
    /// What it is here, or will be once downloaded.
    pub digest: String,
    /// Absent when it would have to be downloaded first.
    pub source: Option<Source>,
    /// What is missing, and what to do about it.
    pub note: Option<String>,
}

impl Catalogue {
    /// `datasets_dir` is searched first, `cache_dir` next and then filled by downloads.
    pub fn new(datasets_dir: Option<PathBuf>, cache_dir: PathBuf) -> Self {
        Self::with_mirrors(datasets_dir, cache_dir, Mirrors::public())
    }

    pub(super) fn with_mirrors(datasets_dir: Option<PathBuf>, cache_dir: PathBuf, mirrors: Mirrors) -> Self {
        let mnist = Mnist::new(datasets_dir, cache_dir, mirrors);
        Self { shared: Arc::new(Shared { mnist, open: Mutex::new(None), download: Turn::default() }) }
    }

    /// Names, in the order they are listed.
    pub fn names(&self) -> Vec<&'static str> {
        vec![digits::NAME, mnist::NAME]
    }

    /// Every dataset, described without loading it.
    pub fn list(&self) -> Vec<Entry> {
        vec![digits::describe(), self.shared.mnist.describe()]
    }

    /// One dataset, described without loading it.
    pub fn describe(&self, name: &str) -> Result<Entry, DataError> {
        let entry = self.list().into_iter().find(|entry| entry.name == name);
        entry.ok_or_else(|| DataError::Unknown(name.to_owned()))
    }

    /// Opens a dataset that needs no download; `Ok(None)` when it would have to be fetched.
    /// Blocking: call it off the async threads.
    ///
    /// MNIST without the files that name its writers opens too, without subjects and under another
    /// digest: what is on this machine is what is used. [`Catalogue::describe`] says what is missing.
    pub fn open_local(&self, name: &str) -> Result<Option<Arc<Dataset>>, DataError> {
        match name {
            digits::NAME => Ok(Some(digits::dataset())),
            mnist::NAME => match self.shared.mnist.available()? {
                Some(writers) => self.shared.load_mnist(writers).map(Some),
                None => Ok(None),
            },
            _ => Err(DataError::Unknown(name.to_owned())),
        }
    }

    /// Opens a dataset, downloading what is missing. Blocking.
    ///
    /// If nothing but the names of MNIST's writers can't be had, MNIST opens without them, as
    /// [`Catalogue::open_local`] would, with a warning in the log. [`Catalogue::open_ref`] never does so
    /// when asked for the digest that includes them.
    pub fn open(&self, name: &str, progress: &mut Progress<'_>) -> Result<Arc<Dataset>, DataError> {
        if name != mnist::NAME {
            return self.open_local(name)?.ok_or_else(|| DataError::Unknown(name.to_owned()));
        }
        match self.fetch_mnist(Writers::Known, progress) {
            Ok(()) => self.shared.load_mnist(Writers::Known),
            Err(DataError::Unavailable(reason))
                if self.shared.mnist.available()? == Some(Writers::Unknown) =>
            {
                tracing::warn!(reason, "mnist opens without its writers");
                self.shared.load_mnist(Writers::Unknown)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens exactly the rows `wanted` names by digest, downloading what is missing. Blocking.
    ///
    /// For work accepted or done earlier: MNIST trained on without its writers opens without them, even
    /// when they have been added since.
    pub fn open_ref(
        &self,
        wanted: &DatasetRef,
        progress: &mut Progress<'_>,
    ) -> Result<Arc<Dataset>, DataError> {
        let dataset = match (wanted.name.as_str(), Writers::from_digest(&wanted.digest)) {
            (mnist::NAME, Some(writers)) => {
                self.fetch_mnist(writers, progress)?;
                self.shared.load_mnist(writers)?
            }
            (name, _) => self.open(name, progress)?,
        };
        if dataset.digest == wanted.digest {
            return Ok(dataset);
        }
        let (name, found) = (dataset.name.clone(), dataset.digest.clone());
        Err(DataError::Changed { name, wanted: wanted.digest.clone(), found })
    }

    /// What `name` is, or will be once downloaded: its pinned digest, for runs accepted before the bytes
    /// are here.
    pub fn pinned_ref(&self, name: &str) -> Option<DatasetRef> {
        let entry = self.describe(name).ok()?;
        Some(DatasetRef {
            name: entry.name,
            version: entry.version,
            digest: entry.digest,
            source: entry.source.unwrap_or(Source::Download),
        })
    }

    fn fetch_mnist(&self, wanted: Writers, progress: &mut Progress<'_>) -> Result<(), DataError> {
        let available = self.shared.mnist.available()?;
        if available == Some(Writers::Known) || available == Some(wanted) {
            return Ok(());
        }
        let _turn = self.shared.download.take(mnist::NAME, progress)?;
        self.shared.mnist.fetch(wanted, progress)
    }
}

impl Shared {
    fn load_mnist(&self, writers: Writers) -> Result<Arc<Dataset>, DataError> {
        // what the lock guards is whole even if a holder panicked
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dataset) = open.as_ref().filter(|dataset| dataset.digest == writers.digest()) {
            return Ok(Arc::clone(dataset));
        }
        let dataset = Arc::new(self.mnist.load(writers)?);
        *open = Some(Arc::clone(&dataset));
        Ok(dataset)
    }
}

#[cfg(test)]
mod tests;
