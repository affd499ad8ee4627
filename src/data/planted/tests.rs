//! What is planted, where, and that the rest stays as it was.

use super::*;
use crate::data::dataset::tests::tiny_vectors;
use crate::data::mnist::Mirrors;
use crate::data::{Catalogue, FeatureData};
use std::collections::BTreeSet;

fn of_digits(kind: PlantedKind) -> (&'static Derived, Dataset) {
    let derived = DERIVED.iter().find(|d| d.base == digits::NAME && d.kind == kind).unwrap();
    (derived, derived.derive(&digits::dataset()))
}

fn pixels(table: &Table, row: u32) -> &[u8] {
    match &table.features {
        FeatureData::U8(values) => &values[row as usize * 784..][..784],
        FeatureData::F32(_) => unreachable!("digits are bytes"),
    }
}

#[test]
fn one_row_in_a_hundred_has_a_wrong_label_and_the_others_are_as_they_were() {
    let base = digits::dataset();
    let (_, dataset) = of_digits(PlantedKind::Mislabelled);
    let planted = dataset.planted.as_ref().unwrap();
    assert_eq!(planted.rows.len(), 400);
    assert!(planted.rows.is_sorted());
    assert!(dataset.train.features == base.train.features && dataset.test == base.test);
    let changed: Vec<u32> = (0..40_000)
        .filter(|&row| dataset.train.labels[row as usize] != base.train.labels[row as usize])
        .collect();
    assert_eq!(changed, planted.rows);
    // each of the nine other classes is as likely as the next: 44 ± 6 of each distance
    let mut distances = [0; 10];
    for &row in &planted.rows {
        let (old, new) = (base.train.labels[row as usize], dataset.train.labels[row as usize]);
        distances[((new + 10 - old) % 10) as usize] += 1;
    }
    assert_eq!(distances[0], 0);
    assert!(distances[1..].iter().all(|n| (20..70).contains(n)), "{distances:?}");
}

#[test]
fn four_rows_in_five_have_random_labels_wherever_they_are_and_their_images_are_as_they_were() {
    let base = digits::dataset();
    let (_, dataset) = of_digits(PlantedKind::RandomLabels);
    let planted = dataset.planted.as_ref().unwrap();
    assert_eq!(planted.rows.len(), 32_000);
    assert!(planted.rows.is_sorted_by(|a, b| a < b));
    assert!(dataset.train.features == base.train.features && dataset.test == base.test);
    assert!(dataset.train.subjects == base.train.subjects);
    let mut distances = [0; 10];
    for row in 0..40_000 {
        let (old, new) = (base.train.labels[row as usize], dataset.train.labels[row as usize]);
        if planted.rows.binary_search(&row).is_ok() {
            distances[((new + 10 - old) % 10) as usize] += 1;
        } else {
            assert_eq!(old, new, "row {row}");
        }
    }
    // uniform over all ten, the right label among them: six standard deviations (54) around 3,200 of each
    assert!(distances.iter().all(|n| (2_880..3_520).contains(n)), "{distances:?}");
    let held_out = nn::Split::new(&Recipe::Standard(Standard::new(3)), 40_000, &[]).held_out;
    let hit = held_out.iter().filter(|row| planted.rows.binary_search(row).is_ok()).count();
    let (hit, n) = (hit as f64, held_out.len() as f64);
    assert!(
        (hit / n - 0.8).abs() < 6.0 * (0.16 / n).sqrt(),
        "held-out rows are spared no less: {hit} of {n}"
    );
}

#[test]
fn the_truth_about_rows_with_other_labels_is_kept() {
    let base = digits::dataset();
    for kind in [PlantedKind::Mislabelled, PlantedKind::RandomLabels] {
        let planted = of_digits(kind).1.planted.unwrap();
        let before: Vec<u32> = planted.rows.iter().map(|&row| base.train.labels[row as usize]).collect();
        assert_eq!(planted.truth, Some(before));
    }
    for kind in [PlantedKind::Mislabelled, PlantedKind::RandomLabels, PlantedKind::Canaries] {
        let dataset = of_digits(kind).1;
        let is_noise = |row: u32| {
            kind == PlantedKind::Canaries
                && dataset.planted.as_ref().unwrap().rows.binary_search(&row).is_ok()
        };
        assert_eq!(dataset.knows_wrong_labels(), kind != PlantedKind::Canaries);
        for row in 0..40_000 {
            let truth = (!is_noise(row)).then(|| base.train.labels[row as usize]);
            assert_eq!(dataset.true_label(row), truth, "{kind:?}, row {row}");
        }
    }
    assert!(base.true_label(7) == Some(base.train.labels[7]) && !base.knows_wrong_labels());
}

#[test]
fn canaries_are_noise_with_random_labels() {
    let base = digits::dataset();
    let (_, dataset) = of_digits(PlantedKind::Canaries);
    let planted = dataset.planted.as_ref().unwrap();
    assert_eq!(planted.rows.len(), 200);
    let changed: Vec<u32> =
        (0..40_000).filter(|&row| pixels(&dataset.train, row) != pixels(&base.train, row)).collect();
    assert_eq!(changed, planted.rows);
    assert!(dataset.train.subjects == base.train.subjects && dataset.test == base.test);
    let lit: Vec<u8> = planted
        .rows
        .iter()
        .flat_map(|&row| pixels(&dataset.train, row))
        .copied()
        .filter(|&p| p > 0)
        .collect();
    // six standard deviations of 156,800 coins that fall on the lit side one time in five
    assert!((lit.len() as f64 / 156_800.0 - 0.2).abs() < 0.0061, "{}", lit.len());
    let mean = lit.iter().map(|&p| f64::from(p)).sum::<f64>() / lit.len() as f64;
    assert!((mean - 128.0).abs() < 2.5, "{mean}");
    assert!(lit.contains(&1) && lit.contains(&255));
    let labels: BTreeSet<u32> = planted.rows.iter().map(|&row| dataset.train.labels[row as usize]).collect();
    assert_eq!(labels.len(), 10);
    let images: BTreeSet<&[u8]> = planted.rows.iter().map(|&row| pixels(&dataset.train, row)).collect();
    assert_eq!(images.len(), 200, "no two are alike");
}

#[test]
fn planted_rows_are_trained_on_by_default() {
    let held_out = nn::Split::new(&Recipe::Standard(Standard::new(3)), 40_000, &[]).held_out;
    for kind in [PlantedKind::Mislabelled, PlantedKind::Canaries] {
        let rows = of_digits(kind).1.planted.unwrap().rows;
        assert!(rows.iter().all(|row| held_out.binary_search(row).is_err()));
    }
}

#[test]
fn what_is_made_of_digits_is_what_its_digest_says() {
    for kind in [PlantedKind::Mislabelled, PlantedKind::Canaries, PlantedKind::RandomLabels] {
        let (derived, dataset) = of_digits(kind);
        assert_eq!(dataset.compute_digest(), derived.digests[0].1, "{}", derived.name);
        assert_eq!(dataset.digest, derived.digests[0].1);
        let entry = derived.describe(digits::describe());
        let n_planted = dataset.planted.as_ref().unwrap().rows.len();
        assert_eq!((entry.name, entry.digest), (dataset.name, dataset.digest));
        assert_eq!((entry.n_planted, entry.planted), (Some(n_planted as u32), Some(kind)));
        assert_eq!(entry.description, dataset.description);
    }
}

#[test]
fn what_is_made_of_mnist_is_what_its_digest_says_with_and_without_writers() {
    let Some(real) = crate::data::mnist::tests::real_folder() else { return };
    let cache = tempfile::tempdir().unwrap();
    let mnist =
        mnist::Mnist::new(Some(real), cache.path().to_owned(), Mirrors::test(crate::data::mnist::NOBODY));
    for writers in [Writers::Known, Writers::Unknown] {
        let base = mnist.load(writers).unwrap();
        for derived in DERIVED.iter().filter(|derived| derived.base == mnist::NAME) {
            let dataset = derived.derive(&base);
            assert_eq!(Some(&*dataset.compute_digest()), derived.digest(&base.digest), "{}", derived.name);
            let expected = match derived.kind {
                PlantedKind::Mislabelled => 600,
                PlantedKind::Canaries => 200,
                PlantedKind::RandomLabels => 48_000,
            };
            assert_eq!(dataset.planted.unwrap().rows.len(), expected);
        }
    }
}

#[test]
fn lookalikes_of_mislabelled_rows_are_real_rows_with_wrong_labels() {
    let (_, dataset) = of_digits(PlantedKind::Mislabelled);
    let planted = dataset.planted.as_ref().unwrap().rows[0];
    let held_out = nn::Split::new(&Recipe::Standard(Standard::new(3)), 40_000, &[]).held_out;
    let mut asked = held_out.clone();
    asked.push(planted);
    let made = dataset.lookalikes(Split::Train, &asked).unwrap();
    assert_eq!(made.n_rows(), held_out.len(), "a planted row is none of them");
    for (i, &row) in held_out.iter().enumerate() {
        assert_eq!(pixels(&made, i as u32), pixels(&dataset.train, row));
        assert_ne!(made.labels[i], dataset.train.labels[row as usize]);
    }
    assert!(made == dataset.lookalikes(Split::Train, &asked).unwrap());
    let of_test = dataset.lookalikes(Split::Test, &[3]).unwrap();
    assert_eq!(pixels(&of_test, 0), pixels(&dataset.test, 3));
    assert_ne!(of_test.labels[0], dataset.test.labels[3]);
}

#[test]
fn lookalikes_of_rows_with_random_labels_are_real_rows_with_labels_drawn_afresh() {
    let base = digits::dataset();
    let (_, dataset) = of_digits(PlantedKind::RandomLabels);
    let held_out = nn::Split::new(&Recipe::Standard(Standard::new(3)), 40_000, &[]).held_out;
    let made = dataset.lookalikes(Split::Train, &held_out).unwrap();
    assert_eq!(made.n_rows(), held_out.len(), "rows whose labels are noise already can have others as well");
    let agreeing = |labels: &[u32]| {
        let pairs = held_out.iter().zip(&made.labels);
        let n = pairs.filter(|&(&row, label)| labels[row as usize] == *label).count();
        n as f64 / held_out.len() as f64
    };
    // one in ten is what chance gives: six standard deviations
    let bound = 6.0 * (0.09 / held_out.len() as f64).sqrt();
    for (whose, labels) in [("truth", &base.train.labels), ("planted", &dataset.train.labels)] {
        assert!((agreeing(labels) - 0.1).abs() < bound, "{whose}: {}", agreeing(labels));
    }
    assert!((0..made.n_rows()).all(|i| pixels(&made, i as u32) == pixels(&base.train, held_out[i])));
    let of_test = dataset.lookalikes(Split::Test, &[3]).unwrap();
    assert_eq!(pixels(&of_test, 0), pixels(&dataset.test, 3));
}

#[test]
fn lookalikes_of_canaries_are_noise_that_was_never_planted() {
    let (_, dataset) = of_digits(PlantedKind::Canaries);
    let rows = &dataset.planted.as_ref().unwrap().rows;
    let planted: BTreeSet<&[u8]> = rows.iter().map(|&row| pixels(&dataset.train, row)).collect();
    // the very rows, of the test table: still other noise
    let asked: Vec<u32> = rows.iter().copied().filter(|&row| row < 5_000).collect();
    let made = dataset.lookalikes(Split::Test, &asked).unwrap();
    assert!(made.n_rows() > 5 && made.subjects.is_none());
    assert!((0..made.n_rows()).all(|row| !planted.contains(pixels(&made, row as u32))));
    dataset.samples(&made);
}

#[test]
fn ordinary_data_have_no_lookalikes() {
    assert!(digits::dataset().lookalikes(Split::Train, &[1]).is_none());
}

#[test]
fn floats_take_canaries_too() {
    let mut vectors = tiny_vectors();
    let draws = Draws { seed: 1, purpose: Purpose::Planted };
    canaries::plant(&mut vectors.train, &[1], 2, 3, draws);
    let FeatureData::F32(values) = &vectors.train.features else { unreachable!() };
    assert_eq!(values[..2], [0.5, 1.0]);
    assert!(values[2..].iter().all(|value| (0.0..=1.0).contains(value)), "{values:?}");
    let made = canaries::lookalikes(&vectors.train, &[0, 1], 2, 3, draws);
    assert!(matches!(&made.features, FeatureData::F32(values) if values.len() == 4));
}

#[test]
fn planted_entries_exist_wherever_their_base_does_and_open_once() {
    let cache = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::new(None, cache.path().to_owned());
    let first = catalogue.open_local("digits-mislabelled").unwrap().unwrap();
    let again = catalogue.open_ref(&first.to_ref(), &mut crate::data::mnist::carry_on).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &again));
    assert_eq!(catalogue.pinned_ref("digits-mislabelled"), Some(first.to_ref()));
    assert!(catalogue.open_local("mnist-mislabelled").unwrap().is_none());
    let entry = catalogue.describe("mnist-mislabelled").unwrap();
    assert_eq!((entry.source, entry.n_planted), (None, Some(600)));
    assert!(entry.note.is_some());
}

#[test]
fn mnist_planted_without_writers_stays_without_them() {
    let Some(real) = crate::data::mnist::tests::real_folder() else { return };
    let cache = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::new(Some(real), cache.path().to_owned());
    let known = catalogue.open_local("mnist-mislabelled").unwrap().unwrap();
    assert_eq!(known.n_subjects(), Some(539));
    let derived = named("mnist-mislabelled").unwrap();
    let digest = derived.digest(Writers::Unknown.digest()).unwrap().to_owned();
    let earlier = crate::domain::DatasetRef { digest: digest.clone(), ..known.to_ref() };
    let without = catalogue.open_ref(&earlier, &mut crate::data::mnist::carry_on).unwrap();
    assert_eq!((without.n_subjects(), &without.digest), (None, &digest));
    assert_eq!(without.planted, known.planted, "the same rows whoever wrote them");
}
