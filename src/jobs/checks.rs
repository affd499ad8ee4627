//! What the checks of data found, once for all who ask: every run on the same samples, and `GET /datasets/{name}/checks`.

use crate::checks::{Finding, Interrupted, KeepGoing, Subject, examine};
use crate::data::Dataset;
use crate::nn::Recipe;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Subjects whose findings are kept, the newest: a few kilobytes each.
const MOST_KEPT: usize = 64;
/// How often one who waits for another's work is asked whether to go on.
const TICK: Duration = Duration::from_millis(20);

/// The findings follow from the data and the samples alone, whoever asks.
static SHELF: Shelf =
    Shelf { state: Mutex::new(State { kept: VecDeque::new(), underway: Vec::new() }), ended: Condvar::new() };

/// Checks the samples `recipe` makes of the dataset; without one, the tables as they are stored. Blocking, for up to a
/// second where nobody has asked before.
///
/// # Errors
///
/// When `keep_going` says stop.
pub fn findings(
    dataset: &Dataset,
    recipe: Option<&Recipe>,
    n_threads: NonZeroUsize,
    keep_going: &mut KeepGoing<'_>,
) -> Result<Arc<[Finding]>, Interrupted> {
    let (train, test) = (dataset.train(), dataset.test());
    let subject = match recipe {
        Some(recipe) => Subject::of(recipe, train, &[], test),
        None => Subject::as_stored(train, test),
    };
    SHELF.get(key(dataset, &subject), keep_going, |keep_going| examine(&subject, n_threads, keep_going))
}

/// A digest of everything the findings depend on.
type Key = [u8; 32];

fn key(dataset: &Dataset, subject: &Subject<'_>) -> Key {
    let mut hash = Sha256::new();
    hash.update(&dataset.digest);
    hash.update([u8::from(subject.shuffled), u8::from(subject.tests_on_held_out)]);
    let pairs = &subject.pairs;
    for rows in [&pairs.features_of, &pairs.label_of, &subject.tested] {
        hash.update((rows.len() as u64).to_le_bytes());
        for some in rows.chunks(1_024) {
            let bytes: Vec<u8> = some.iter().flat_map(|row| row.to_le_bytes()).collect();
            hash.update(&bytes);
        }
    }
    hash.finalize().into()
}

#[derive(Debug)]
struct Shelf {
    state: Mutex<State>,
    /// Rung when work is over, however it ended.
    ended: Condvar,
}

#[derive(Debug)]
struct State {
    /// The oldest first.
    kept: VecDeque<(Key, Arc<[Finding]>)>,
    underway: Vec<Key>,
}

impl Shelf {
    /// What is kept under `key`, or what `work` finds. Of those who ask for the same at once one works and the others
    /// wait; if it is stopped, the next one works.
    fn get(
        &self,
        key: Key,
        keep_going: &mut KeepGoing<'_>,
        work: impl FnOnce(&mut KeepGoing<'_>) -> Result<Vec<Finding>, Interrupted>,
    ) -> Result<Arc<[Finding]>, Interrupted> {
        let mut state = self.lock();
        loop {
            if let Some((_, found)) = state.kept.iter().find(|(other, _)| *other == key) {
                return Ok(Arc::clone(found));
            }
            if !state.underway.contains(&key) {
                break;
            }
            (state, _) = self.ended.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner);
            if keep_going().is_break() {
                return Err(Interrupted);
            }
        }
        state.underway.push(key);
        drop(state);
        let underway = Underway { shelf: self, key };
        let found: Arc<[Finding]> = work(keep_going)?.into();
        let mut state = self.lock();
        state.kept.push_back((key, Arc::clone(&found)));
        if state.kept.len() > MOST_KEPT {
            state.kept.pop_front();
        }
        drop(state);
        drop(underway);
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // what the lock guards is whole even if a holder panicked
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work that is over when this is dropped, even by a panic.
struct Underway<'a> {
    shelf: &'a Shelf,
    key: Key,
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.shelf.lock().underway.retain(|other| *other != self.key);
        self.shelf.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Catalogue;
    use crate::nn::{Faults, Reference, Standard};
    use std::ops::ControlFlow;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn shelf() -> Shelf {
        let state = Mutex::new(State { kept: VecDeque::new(), underway: Vec::new() });
        Shelf { state, ended: Condvar::new() }
    }

    fn key_of(number: u8) -> Key {
        [number; 32]
    }

    fn on() -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn what_many_ask_at_once_is_found_out_once() {
        let (shelf, n_worked) = (shelf(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    shelf.get(key_of(1), &mut on, |_| {
                        n_worked.fetch_add(1, Ordering::SeqCst);
                        Ok(Vec::new())
                    })
                });
            }
        });
        assert_eq!(n_worked.into_inner(), 1);
    }

    #[test]
    fn work_that_was_stopped_or_panicked_is_done_by_the_next() {
        let shelf = shelf();
        assert_eq!(shelf.get(key_of(1), &mut on, |_| Err(Interrupted)), Err(Interrupted));
        let panicking = || shelf.get(key_of(1), &mut on, |_| panic!("on purpose"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).is_err());
        assert!(shelf.get(key_of(1), &mut on, |_| Ok(Vec::new())).is_ok());
    }

    #[test]
    fn one_who_waits_for_another_can_be_called_off() {
        let shelf = shelf();
        let waited = shelf.get(key_of(1), &mut on, |_| {
            let other = shelf.get(key_of(1), &mut || ControlFlow::Break(()), |_| Ok(Vec::new()));
            assert_eq!(other, Err(Interrupted));
            Ok(Vec::new())
        });
        assert!(waited.is_ok());
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let shelf = shelf();
        for number in 0..=MOST_KEPT as u8 {
            shelf.get(key_of(number), &mut on, |_| Ok(Vec::new())).unwrap();
        }
        assert_eq!(shelf.lock().kept.len(), MOST_KEPT);
        let n_worked = AtomicU32::new(0);
        for number in [1, 0] {
            let work = |_: &mut KeepGoing<'_>| {
                n_worked.fetch_add(1, Ordering::SeqCst);
                Ok(Vec::new())
            };
            shelf.get(key_of(number), &mut on, work).unwrap();
        }
        assert_eq!(n_worked.into_inner(), 1, "the oldest alone is forgotten");
    }

    #[test]
    fn samples_that_differ_have_keys_that_differ() {
        let dir = tempfile::tempdir().unwrap();
        let data = Catalogue::new(None, dir.path().into()).open_local("digits").unwrap().unwrap();
        let key_by = |recipe: Option<Recipe>| match recipe {
            Some(recipe) => key(&data, &Subject::of(&recipe, data.train(), &[], data.test())),
            None => key(&data, &Subject::as_stored(data.train(), data.test())),
        };
        let recipes = [
            None,
            Some(Recipe::Nn(Reference::nn(1))),
            Some(Recipe::Nn(Reference { batch_size: 7, ..Reference::nn(1) })),
            Some(Recipe::Debug(Reference {
                faults: Faults { no_shuffle: false, ..Faults::DEBUG },
                ..Reference::debug(1)
            })),
            Some(Recipe::Standard(Standard::new(1))),
            Some(Recipe::Standard(Standard { holdout: 0.1, ..Standard::new(1) })),
        ];
        let keys: std::collections::BTreeSet<Key> = recipes.into_iter().map(key_by).collect();
        assert_eq!(keys.len(), 6);
        let standard =
            |seed| key_by(Some(Recipe::Standard(Standard { hidden: vec![9], ..Standard::new(seed) })));
        assert_eq!(standard(1), standard(2), "neither seed nor size decide what is shown");
    }
}
