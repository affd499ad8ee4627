//! Loaded versions and the answers they give.
//!
//! A version is read once, however many ask for it at the same time, and stays until others are asked for
//! more. Knows nothing of HTTP.

use crate::artifacts::{ArtifactError, Artifacts, Model};
use crate::domain::{Version, VersionRef};
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Versions kept in memory.
const MAX_LOADED: usize = 32;
/// Bytes of weight files kept in memory; one larger version is still served.
const MAX_LOADED_BYTES: u64 = 512 << 20;

/// A version ready to answer.
#[derive(Debug)]
pub struct Loaded {
    pub version: VersionRef,
    pub model: Model,
}

/// One row's answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The most probable class; the lowest of equals.
    pub label: u32,
    /// Its probability.
    pub confidence: f32,
    /// Of every class.
    pub probabilities: Vec<f32>,
    /// The most probable classes with their probabilities, best first.
    pub top: Vec<(u32, f32)>,
}

impl Loaded {
    /// Answers rows, one after another in `rows`, each as the network sees it. What a row is answered does
    /// not depend on the others.
    ///
    /// # Panics
    ///
    /// If `rows` is not a whole number of rows.
    pub fn predict(&self, rows: &[f32], top_k: usize) -> Vec<Prediction> {
        let n_features = self.model.input.n_features();
        assert_eq!(rows.len() % n_features, 0, "not a whole number of rows");
        rows.chunks_exact(n_features).map(|row| prediction(self.model.mlp.predict_row(row), top_k)).collect()
    }

    /// Multiplications one row costs.
    pub fn cost_per_row(&self) -> usize {
        self.model.mlp.shape().n_params()
    }
}

fn prediction(probabilities: Vec<f32>, top_k: usize) -> Prediction {
    let mut order: Vec<u32> = (0..probabilities.len() as u32).collect();
    // stable: of equals the lowest class comes first
    order.sort_by(|&a, &b| probabilities[b as usize].total_cmp(&probabilities[a as usize]));
    let best = order[0];
    let top = order.iter().take(top_k).map(|&class| (class, probabilities[class as usize])).collect();
    Prediction { label: best, confidence: probabilities[best as usize], probabilities, top }
}

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
                    Ok(Loaded { version: reference, model })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_classes_come_first_and_the_lowest_of_equals_wins() {
        let answer = prediction(vec![0.1, 0.4, 0.4, 0.1], 3);
        assert_eq!(answer.label, 1);
        assert_eq!(answer.confidence, 0.4);
        assert_eq!(answer.top, [(1, 0.4), (2, 0.4), (0, 0.1)]);
    }

    #[test]
    fn asking_for_more_classes_than_there_are_gives_all() {
        assert_eq!(prediction(vec![0.5, 0.5], 9).top.len(), 2);
    }
}
