//! Which datasets there are, and opening them once however many ask.

use super::mnist::{self, Mirrors, Mnist, Writers};
use super::planted::{self, Derived};
use super::turn::Turn;
use super::{DataError, Dataset, InputSpec, PlantedKind, Progress, digits};
use crate::domain::{DatasetRef, Source};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The datasets this server knows. Cheap to clone; clones share what is open.
///
/// A dataset stays in memory once opened (`digits` 36 MB, `mnist` 56 MB, one with planted rows as much again): rows are looked at one by one,
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
    /// By name; held while one is made.
    derived: Mutex<BTreeMap<&'static str, Arc<Dataset>>>,
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
    /// What was planted into the training rows, to be forgotten.
    pub planted: Option<PlantedKind>,
    /// How many rows were planted.
    pub n_planted: Option<u32>,
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
        let shared =
            Shared { mnist, open: Mutex::new(None), derived: Mutex::default(), download: Turn::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Names, in the order they are listed.
    pub fn names(&self) -> Vec<&'static str> {
        let derived = planted::DERIVED.iter().map(|derived| derived.name);
        [digits::NAME, mnist::NAME].into_iter().chain(derived).collect()
    }

    /// Every dataset, described without loading it.
    pub fn list(&self) -> Vec<Entry> {
        let mut entries = vec![digits::describe(), self.shared.mnist.describe()];
        for derived in &planted::DERIVED {
            let base = entries.iter().find(|entry| entry.name == derived.base);
            entries.extend(base.cloned().map(|base| derived.describe(base)));
        }
        entries
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
        if let Some(derived) = planted::named(name) {
            return Ok(self.open_local(derived.base)?.map(|base| self.shared.derive(derived, &base)));
        }
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
        if let Some(derived) = planted::named(name) {
            let base = self.open(derived.base, progress)?;
            return Ok(self.shared.derive(derived, &base));
        }
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
        let dataset = match planted::named(&wanted.name) {
            Some(derived) => {
                let base_digest = derived.base_digest(&wanted.digest).unwrap_or_default();
                let base = self.open_digest(derived.base, base_digest, progress)?;
                self.shared.derive(derived, &base)
            }
            None => self.open_digest(&wanted.name, &wanted.digest, progress)?,
        };
        if dataset.digest == wanted.digest {
            return Ok(dataset);
        }
        let (name, found) = (dataset.name.clone(), dataset.digest.clone());
        Err(DataError::Changed { name, wanted: wanted.digest.clone(), found })
    }

    /// As [`Catalogue::open`], but MNIST with or without its writers as `digest` wants it.
    fn open_digest(
        &self,
        name: &str,
        digest: &str,
        progress: &mut Progress<'_>,
    ) -> Result<Arc<Dataset>, DataError> {
        match (name, Writers::from_digest(digest)) {
            (mnist::NAME, Some(writers)) => {
                self.fetch_mnist(writers, progress)?;
                self.shared.load_mnist(writers)
            }
            _ => self.open(name, progress),
        }
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

    fn derive(&self, derived: &Derived, base: &Dataset) -> Arc<Dataset> {
        let mut made = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = derived.digest(&base.digest);
        if let Some(dataset) = made.get(derived.name).filter(|dataset| Some(&*dataset.digest) == digest) {
            return Arc::clone(dataset);
        }
        let dataset = Arc::new(derived.derive(base));
        made.insert(derived.name, Arc::clone(&dataset));
        dataset
    }
}

#[cfg(test)]
mod tests;
