//! What the networks last looked at are known to answer, for those that ask of the same ones again.

use crate::unlearn::Known;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Versions of which it is kept, those last made or asked for: for MNIST 700 KB each.
const MOST_KEPT: usize = 8;

/// Requests to forget come one after another, of the same version or each of what the one before it made.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownShelf(Arc<Mutex<Kept>>);

/// The one nobody has asked for the longest first.
type Kept = VecDeque<(Uuid, Arc<Known>)>;

impl KnownShelf {
    /// What is known of a version so far, to be added to.
    pub(super) fn of(&self, version: Uuid) -> Arc<Known> {
        let mut kept = self.lock();
        let at = kept.iter().position(|(other, _)| *other == version);
        let known = at.and_then(|at| kept.remove(at)).map_or_else(Arc::default, |(_, known)| known);
        keep(&mut kept, version, Arc::clone(&known));
        known
    }

    pub(super) fn add(&self, version: Uuid, known: Known) {
        keep(&mut self.lock(), version, Arc::new(known));
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // what the lock guards is whole even if a holder panicked
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep(kept: &mut Kept, version: Uuid, known: Arc<Known>) {
    kept.push_back((version, known));
    if kept.len() > MOST_KEPT {
        kept.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_the_versions_last_asked_for_is_kept() {
        let (shelf, first, other) = (KnownShelf::default(), Uuid::now_v7(), Uuid::now_v7());
        let (of_first, of_other) = (shelf.of(first), shelf.of(other));
        assert!(!Arc::ptr_eq(&of_first, &of_other));
        for _ in 2..MOST_KEPT {
            shelf.add(Uuid::now_v7(), Known::default());
        }
        assert!(
            Arc::ptr_eq(&of_first, &shelf.of(first)),
            "all are kept so far, and this one was asked for last"
        );
        shelf.add(Uuid::now_v7(), Known::default());
        assert!(Arc::ptr_eq(&of_first, &shelf.of(first)));
        assert!(!Arc::ptr_eq(&of_other, &shelf.of(other)), "there was no place left");
    }
}
