//! Which versions are in memory, and what references meant last.
//!
//! A version is read once, however many ask for it at the same time, and stays until others are asked for more.

use super::Loaded;
use super::loaded::Network;
use crate::artifacts::{ArtifactError, Artifacts, Model};
use crate::domain::Version;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Versions kept in memory.
const MAX_LOADED: usize = 32;
/// Bytes of weight files kept in memory; one larger version is still served.
const MAX_LOADED_BYTES: u64 = 512 << 20;
/// References remembered; they come from requests, so there is no end of them.
const MAX_REMEMBERED: usize = 1_024;

type Slot = Arc<OnceCell<Arc<Network>>>;

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
    cache: Arc<Mutex<Cache>>,
}

#[derive(Debug, Default)]
struct Cache {
    /// Least recently used first.
    entries: Vec<Entry>,
    /// What references meant in one generation of the registry: versions that are among the entries.
    meant: HashMap<String, Arc<Loaded>>,
    generation: u64,
}

impl Inference {
    pub fn new(artifacts: Artifacts) -> Self {
        Self { artifacts, cache: Arc::default() }
    }

    /// What the reference meant when it was last [remembered](Self::remember), if nothing has changed since.
    pub fn recall(&self, reference: &str, generation: u64) -> Option<Arc<Loaded>> {
        let mut cache = self.lock();
        if cache.generation != generation {
            return None;
        }
        let loaded = Arc::clone(cache.meant.get(reference)?);
        cache.touch(loaded.version.id);
        Some(loaded)
    }

    /// Keeps in mind what the reference means. `generation` is the registry's from before it was looked up.
    pub fn remember(&self, reference: &str, generation: u64, loaded: &Arc<Loaded>) {
        let mut cache = self.lock();
        if cache.generation < generation || cache.meant.len() >= MAX_REMEMBERED {
            cache.meant.clear();
            cache.generation = generation;
        }
        // a version that had to make room already would come back in by this door, and stay
        if cache.generation == generation && cache.holds(loaded.version.id) {
            cache.meant.insert(reference.to_owned(), Arc::clone(loaded));
        }
    }

    /// The version, read and checked against its digest if it is not in memory. Those who ask meanwhile wait
    /// for the same reading; a failed one is tried again by the next.
    pub async fn load(&self, version: &Version) -> Result<Arc<Loaded>, ArtifactError> {
        let slot = self.lock().slot(version.id, version.size_bytes);
        let network = slot
            .get_or_try_init(|| async {
                let (artifacts, id, digest) = (self.artifacts.clone(), version.id, version.digest.clone());
                let read = tokio::task::spawn_blocking(move || artifacts.models.get(id, &digest));
                let model =
                    read.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
                Ok::<_, ArtifactError>(Arc::new(Network::new(model)))
            })
            .await?;
        Ok(Arc::new(Loaded::new(version.to_ref(), Arc::clone(network))))
    }

    /// Puts a version that is about to be published into memory, unless another would have to make room: whoever asks
    /// for it first does not wait for the disk.
    pub fn warm(&self, id: Uuid, size_bytes: u64, model: &Model) {
        if !self.lock().has_room(size_bytes) {
            return;
        }
        // copied while nobody waits for the lock
        let network = Arc::new(Network::new(model.clone()));
        let mut cache = self.lock();
        if cache.has_room(size_bytes) {
            // the id is new: nobody else can have set it
            let _ = cache.slot(id, size_bytes).set(network);
        }
    }

    /// Drops a version from memory; those who use it now keep it until they are done.
    pub fn forget(&self, version: Uuid) {
        self.lock().remove(version);
    }

    /// How many versions are in memory, and the size of their files.
    pub fn in_memory(&self) -> (usize, u64) {
        let cache = self.lock();
        (cache.entries.len(), cache.size_bytes())
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        // every change leaves a valid cache, even if its holder panicked
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// The version's place, now the most recently used.
    fn slot(&mut self, id: Uuid, size_bytes: u64) -> Slot {
        if !self.touch(id) {
            self.entries.push(Entry { id, size_bytes, slot: Slot::default() });
            while self.entries.len() > 1 && !self.is_within_bounds() {
                self.remove(self.entries[0].id);
            }
        }
        Arc::clone(&self.entries.last().expect("it was pushed or touched").slot)
    }

    /// Makes an entry the most recently used; false if there is none.
    fn touch(&mut self, id: Uuid) -> bool {
        // those in use are near the end
        let Some(index) = self.entries.iter().rposition(|entry| entry.id == id) else { return false };
        self.entries[index..].rotate_left(1);
        true
    }

    fn remove(&mut self, id: Uuid) {
        self.entries.retain(|entry| entry.id != id);
        self.meant.retain(|_, loaded| loaded.version.id != id);
    }

    fn holds(&self, id: Uuid) -> bool {
        self.entries.iter().any(|entry| entry.id == id)
    }

    fn is_within_bounds(&self) -> bool {
        self.entries.len() <= MAX_LOADED && self.size_bytes() <= MAX_LOADED_BYTES
    }

    fn has_room(&self, size_bytes: u64) -> bool {
        self.entries.len() < MAX_LOADED && self.size_bytes() + size_bytes <= MAX_LOADED_BYTES
    }

    fn size_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size_bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::loaded::tests::model;
    use super::*;
    use crate::domain::Origin;
    use chrono::Utc;
    use futures_util::future::join_all;
    use tempfile::TempDir;

    fn version(id: Uuid, digest: &str, size_bytes: u64) -> Version {
        Version {
            id,
            model: "m".parse().unwrap(),
            number: 1,
            origin: Origin::Import,
            parent: None,
            digest: digest.to_owned(),
            size_bytes,
            metrics: serde_json::Value::Null,
            created_at: Utc::now(),
            revoked_at: None,
            replacement: None,
        }
    }

    fn inference() -> (Inference, TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (Inference::new(Artifacts::open(dir.path()).unwrap()), dir)
    }

    #[tokio::test]
    async fn a_version_is_read_once_however_many_ask_and_a_failed_reading_is_tried_again() {
        let (inference, dir) = inference();
        let id = Uuid::now_v7();
        assert!(inference.load(&version(id, "sha256:00", 1)).await.is_err(), "it is not there yet");

        let (digest, size_bytes) = inference.artifacts.models.put(id, &model()).unwrap();
        let version = version(id, &digest, size_bytes);
        let asked = join_all((0..8).map(|_| inference.load(&version))).await;
        let loaded: Vec<_> = asked.into_iter().map(Result::unwrap).collect();
        assert!(loaded.iter().all(|one| std::ptr::eq::<Network>(&***one, &**loaded[0])));

        drop(dir);
        let later = inference.load(&version).await.unwrap();
        assert!(std::ptr::eq::<Network>(&**later, &**loaded[0]), "the disk is not needed again");
        inference.forget(id);
        assert!(inference.load(&version).await.is_err(), "it is");
    }

    #[test]
    fn those_not_asked_for_longest_make_room_and_references_to_them_are_forgotten() {
        let (inference, _dir) = inference();
        let ids: Vec<Uuid> = (0..=MAX_LOADED).map(|_| Uuid::now_v7()).collect();
        let remember = |id, reference| {
            inference.warm(id, 1, &model());
            let network = Arc::new(Network::new(model()));
            let loaded = Arc::new(Loaded::new(version(id, "", 1).to_ref(), network));
            inference.remember(reference, 0, &loaded);
        };
        remember(ids[0], "first");
        remember(ids[1], "second");
        ids[2..MAX_LOADED].iter().for_each(|&id| inference.warm(id, 1, &model()));
        assert_eq!(inference.recall("first", 0).unwrap().version.id, ids[0], "now it is the last to go");

        inference.lock().slot(ids[MAX_LOADED], 1);
        assert!(inference.recall("second", 0).is_none());
        assert!(inference.recall("first", 0).is_some());
        assert!(inference.recall("first", 1).is_none(), "it may mean another by now");
        assert_eq!(inference.in_memory(), (MAX_LOADED, MAX_LOADED as u64));

        inference.lock().slot(Uuid::now_v7(), MAX_LOADED_BYTES + 1);
        assert_eq!(inference.in_memory().0, 1, "one that is too large has the memory for itself");
    }
}
