//! Opening by name and by digest, with mirrors that work and mirrors that do not.

use super::*;
use crate::data::mnist::tests::real_folder;
use crate::data::mnist::{NOBODY, Reply, Server, carry_on};
use crate::data::{ForgetError, resolve_forget_set};
use crate::domain::ForgetSet;
use std::path::Path;

/// A mirror of real files, if this machine has them; `qmnist` says whether it has the writers.
fn mirror(qmnist: bool) -> Option<Server> {
    let real = real_folder()?.join("mnist");
    Some(Server::start(move |name| match std::fs::read(real.join(name)) {
        Ok(body) if qmnist || !name.starts_with("qmnist") => Reply::Body(body),
        _ => Reply::Status("404 Not Found"),
    }))
}

fn catalogue(datasets_dir: Option<&Path>, cache: &tempfile::TempDir, mirror: &str) -> Catalogue {
    Catalogue::with_mirrors(datasets_dir.map(Path::to_owned), cache.path().to_owned(), Mirrors::test(mirror))
}

#[test]
fn every_name_has_an_entry_and_no_other() {
    let cache = tempfile::tempdir().unwrap();
    let catalogue = catalogue(None, &cache, NOBODY);
    let listed: Vec<_> = catalogue.list().into_iter().map(|entry| entry.name).collect();
    assert_eq!(listed, catalogue.names());
    for name in ["", "MNIST", "../mnist", "cifar"] {
        assert!(matches!(catalogue.describe(name), Err(DataError::Unknown(_))));
        assert!(matches!(catalogue.open_local(name), Err(DataError::Unknown(_))));
        assert!(matches!(catalogue.open(name, &mut carry_on), Err(DataError::Unknown(_))));
        assert_eq!(catalogue.pinned_ref(name), None);
    }
}

#[test]
fn digits_need_neither_files_nor_network() {
    let cache = tempfile::tempdir().unwrap();
    let catalogue = catalogue(None, &cache, NOBODY);
    let dataset = catalogue.open_local("digits").unwrap().unwrap();
    assert_eq!(Some(dataset.to_ref()), catalogue.pinned_ref("digits"));
    let again = catalogue.open_ref(&dataset.to_ref(), &mut carry_on).unwrap();
    assert!(Arc::ptr_eq(&dataset, &again));
}

#[test]
fn rows_that_cannot_be_had_are_not_replaced_by_others() {
    let cache = tempfile::tempdir().unwrap();
    let catalogue = catalogue(None, &cache, NOBODY);
    let other = DatasetRef { digest: "sha256:0".to_owned(), ..catalogue.pinned_ref("digits").unwrap() };
    let error = catalogue.open_ref(&other, &mut carry_on).unwrap_err();
    assert!(matches!(&error, DataError::Changed { wanted, .. } if wanted == "sha256:0"), "{error}");
}

#[test]
fn offline_mnist_is_unavailable_and_nothing_stands_in_for_it() {
    let cache = tempfile::tempdir().unwrap();
    let catalogue = catalogue(None, &cache, NOBODY);
    assert!(catalogue.open_local("mnist").unwrap().is_none());
    assert!(matches!(catalogue.open("mnist", &mut carry_on), Err(DataError::Unavailable(_))));
    let pinned = catalogue.pinned_ref("mnist").unwrap();
    assert_eq!((pinned.digest.as_str(), pinned.source), (Writers::Known.digest(), Source::Download));
    assert!(matches!(catalogue.open_ref(&pinned, &mut carry_on), Err(DataError::Unavailable(_))));
}

#[test]
fn mnist_is_downloaded_once_however_many_ask() {
    let Some(mirror) = mirror(true) else { return };
    let cache = tempfile::tempdir().unwrap();
    let catalogue = catalogue(None, &cache, &mirror.url());
    let pinned = catalogue.pinned_ref("mnist").unwrap();
    let opened = std::thread::scope(|scope| {
        let open = || scope.spawn(|| catalogue.open_ref(&pinned, &mut carry_on).unwrap());
        [open(), open()].map(|thread| thread.join().unwrap())
    });
    assert!(Arc::ptr_eq(&opened[0], &opened[1]));
    assert_eq!(opened[0].to_ref(), pinned);
    let mut asked = mirror.asked();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!((asked.len(), mirror.asked().len()), (6, 6));

    drop(mirror);
    let offline = self::catalogue(None, &cache, NOBODY);
    let kept = offline.open_local("mnist").unwrap().unwrap();
    assert_eq!(kept.to_ref(), pinned);
}

#[test]
fn a_run_that_wants_the_writers_does_not_get_mnist_without_them() {
    let Some(mirror) = mirror(false) else { return };
    let cache = tempfile::tempdir().unwrap();
    let catalogue = catalogue(None, &cache, &mirror.url());
    let with_writers = catalogue.pinned_ref("mnist").unwrap();
    let error = catalogue.open_ref(&with_writers, &mut carry_on).unwrap_err();
    assert!(error.to_string().contains("qmnist-train-labels-idx2-int"), "{error}");

    let dataset = catalogue.open("mnist", &mut carry_on).unwrap();
    assert_eq!(dataset.digest, Writers::Unknown.digest());
    assert_eq!(catalogue.pinned_ref("mnist"), Some(dataset.to_ref()));
    let nobody = resolve_forget_set(&ForgetSet::Subjects(vec![1]), &dataset, &[0, 1]);
    assert_eq!(nobody, Err(ForgetError::NoSubjects("mnist".to_owned())));
}

#[test]
fn mnist_trained_on_without_writers_stays_so_when_they_are_added() {
    let Some(real) = real_folder() else { return };
    let cache = tempfile::tempdir().unwrap();
    let catalogue = catalogue(Some(&real), &cache, NOBODY);
    let with_writers = catalogue.open_local("mnist").unwrap().unwrap();
    let earlier = DatasetRef { digest: Writers::Unknown.digest().to_owned(), ..with_writers.to_ref() };
    let without = catalogue.open_ref(&earlier, &mut carry_on).unwrap();
    assert_eq!((without.digest.as_str(), without.n_subjects()), (Writers::Unknown.digest(), None));
}
