//! Which versions are in memory.
//!
//! A version is read once, however many ask for it at the same time, and stays until others are asked for
//! more.

use super::Loaded;
use crate::artifacts::{ArtifactError, Artifacts};
use crate::domain::Version;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Versions kept in memory.
const MAX_LOADED: usize = 32;
/// Bytes of weight files kept in memory; one larger version is still served.
const MAX_LOADED_BYTES: u64 = 512 << 20;

type Slot = Arc<OnceCell<Arc<Loaded>>>;

#[derive(Debug)]
struct Entry {
    id: Uuid,
    size_bytes: u64,
    slot: Slot,
}

/// The cache of loaded versions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Inference {
    artifacts: Artifacts,
    /// Least recently used first.
    cache: Arc<Mutex<Vec<Entry>>>,
}

impl Inference {
    pub fn new(artifacts: Artifacts) -> Self {
        Self { artifacts, cache: Arc::default() }
    }

    /// The version, read and checked against its digest if it is not in memory. Those who ask meanwhile wait
    /// for the same reading; a failed one is tried again by the next.
    pub async fn load(&self, version: &Version) -> Result<Arc<Loaded>, ArtifactError> {
        let slot = self.slot(version);
        let loaded = slot
            .get_or_try_init(|| async {
                let (artifacts, reference) = (self.artifacts.clone(), version.to_ref());
                let read = tokio::task::spawn_blocking(move || -> Result<Loaded, ArtifactError> {
                    let model = artifacts.models.get(reference.id, &reference.digest)?;
                    Ok(Loaded::new(reference, model))
                });
                read.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())).map(Arc::new)
            })
            .await?;
        Ok(Arc::clone(loaded))
    }

    /// Drops a version from memory; those who use it now keep it until they are done.
    pub fn forget(&self, version: Uuid) {
        self.lock().retain(|entry| entry.id != version);
    }

    /// The version's place in the cache, now the most recently used.
    fn slot(&self, version: &Version) -> Slot {
        let mut cache = self.lock();
        let entry = match cache.iter().position(|entry| entry.id == version.id) {
            Some(index) => cache.remove(index),
            None => Entry { id: version.id, size_bytes: version.size_bytes, slot: Slot::default() },
        };
        let slot = Arc::clone(&entry.slot);
        cache.push(entry);
        while cache.len() > 1 && (cache.len() > MAX_LOADED || loaded_bytes(&cache) > MAX_LOADED_BYTES) {
            cache.remove(0);
        }
        slot
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        // every change leaves a valid list, even if its holder panicked
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn loaded_bytes(cache: &[Entry]) -> u64 {
    cache.iter().map(|entry| entry.size_bytes).sum()
}
