//! Checks of real data: what would have been learned wrongly is told before it is learned, and nothing else is.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod local;

use lethe::checks::{Check, Finding, Labels, Subject, examine, suspects};
use lethe::data::{Dataset, FeatureData};
use lethe::nn::hash::{Purpose, falls_within, keyed_hash};
use lethe::nn::{Faults, Recipe, Reference, Samples, Standard};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::Instant;

fn findings(subject: &Subject<'_>) -> Vec<Finding> {
    examine(subject, NonZeroUsize::MIN, &mut || ControlFlow::Continue(())).unwrap()
}

fn warnings(findings: &[Finding]) -> Vec<&'static str> {
    let name = |finding: &Finding| match finding.check {
        Check::Labels(_) => "labels",
        Check::Balance(_) => "balance",
        Check::Duplicates(_) => "duplicates",
        Check::Constants(_) => "constants",
        Check::Order(_) => "order",
    };
    findings.iter().filter(|finding| finding.is_warning()).map(name).collect()
}

fn labels(findings: &[Finding]) -> Labels {
    let found = findings.iter().find_map(|finding| match finding.check {
        Check::Labels(labels) => Some(labels),
        _ => None,
    });
    found.unwrap()
}

/// The labels, that share of them drawn blindly from all ten.
fn with_noise(labels: &[u32], share: f64) -> Vec<u32> {
    let drawn = |row: u32| keyed_hash(9, Purpose::WrongLabel, 1, row);
    let is_drawn = |row: u32| falls_within(keyed_hash(9, Purpose::WrongLabel, 0, row), share);
    let noisy = labels.iter().zip(0..);
    noisy.map(|(&label, row)| if is_drawn(row) { (drawn(row) % 10) as u32 } else { label }).collect()
}

fn samples_with<'a>(data: &'a Dataset, labels: &'a [u32]) -> Samples<'a> {
    Samples::new(data.train().features(), labels, data.input.n_features(), 10)
}

/// The recipes of the three modes, and `nn` with its rows shuffled.
fn recipes(seed: u64) -> [Recipe; 4] {
    let shuffled = Faults { no_shuffle: false, ..Faults::NN };
    [
        Recipe::Nn(Reference::nn(seed)),
        Recipe::Nn(Reference { faults: shuffled, ..Reference::nn(seed) }),
        Recipe::Debug(Reference::debug(seed)),
        Recipe::Standard(Standard::new(seed)),
    ]
}

fn assert_is_sound(name: &str) {
    let Some(data) = local::open(name) else { return };
    let stored = findings(&Subject::as_stored(data.train(), data.test()));
    assert!(warnings(&stored).is_empty(), "{name}: {stored:#?}");
    for recipe in &recipes(1)[2..] {
        let found = findings(&Subject::of(recipe, data.train(), &[], data.test()));
        assert!(warnings(&found).is_empty(), "{name}: {found:#?}");
    }
}

#[test]
fn digits_are_sound() {
    assert_is_sound("digits");
}

#[test]
fn what_learns_backwards_is_told_before_it_learns() {
    let data = local::open("digits").unwrap();
    for recipe in &recipes(1)[..2] {
        let found = findings(&Subject::of(recipe, data.train(), &[], data.test()));
        assert_eq!(warnings(&found), ["labels"], "{found:#?}");
        // four labels of five are another row's, which has another class nine times in ten
        let labels = labels(&found);
        assert!(labels.noise > 0.6 && labels.noise < 0.8, "{labels:?}");
        assert_eq!(labels.n_pairs, 5 * labels.n_feature_rows);
    }
}

#[test]
fn labels_of_which_a_fifth_or_most_are_random_are_told() {
    let data = local::open("digits").unwrap();
    for (share, wrong) in [(0.2, 0.18), (0.8, 0.72)] {
        let noisy = with_noise(&data.train.labels, share);
        let found = findings(&Subject::as_stored(samples_with(&data, &noisy), data.test()));
        assert_eq!(warnings(&found), ["labels"], "{found:#?}");
        assert!((labels(&found).noise - wrong).abs() < 0.06, "{:?}", labels(&found));
    }
}

#[test]
fn classes_that_are_missing_rows_there_twice_and_rows_in_order_are_told() {
    let data = local::open("digits").unwrap();
    let FeatureData::U8(pixels) = &data.train.features else { panic!("images are bytes") };
    let made_of = |rows: &[u32]| -> Vec<u8> {
        rows.iter().flat_map(|&row| &pixels[row as usize * 784..][..784]).copied().collect()
    };
    let told = |rows: &[u32]| {
        let features = made_of(rows);
        let labels: Vec<u32> = rows.iter().map(|&row| data.train.labels[row as usize]).collect();
        let train = Samples::new(lethe::nn::Features::U8(&features), &labels, 784, 10);
        warnings(&findings(&Subject::as_stored(train, data.test()))).join(" ")
    };
    let label = |row: &u32| data.train.labels[*row as usize];
    let first: Vec<u32> = (0..4_000).collect();
    assert_eq!(told(&first), "");
    let without: Vec<u32> = first.iter().copied().filter(|row| label(row) != 3).collect();
    assert_eq!(told(&without), "balance");
    let twice: Vec<u32> = first.iter().copied().chain(0..100).collect();
    assert_eq!(told(&twice), "duplicates");
    let mut sorted = first;
    sorted.sort_by_key(label);
    assert_eq!(told(&sorted), "order");
}

/// The figures of `docs/CHECKS.md`.
#[test]
#[ignore = "takes minutes; `make torture` runs it"]
fn every_entry_of_the_catalogue_is_sound_with_twenty_seeds_and_what_is_wrong_is_told() {
    for name in
        ["digits", "digits-mislabelled", "digits-canaries", "mnist", "mnist-mislabelled", "mnist-canaries"]
    {
        let Some(data) = local::open(name) else { continue };
        let begun = Instant::now();
        let stored = findings(&Subject::as_stored(data.train(), data.test()));
        println!("{name}, {:.0} ms:", begun.elapsed().as_secs_f64() * 1e3);
        for finding in &stored {
            println!("  {finding:?}");
        }
        assert!(warnings(&stored).is_empty());
        for seed in 1..=20 {
            for (recipe, expected) in recipes(seed).iter().zip([&["labels"][..], &["labels"], &[], &[]]) {
                let found = findings(&Subject::of(recipe, data.train(), &[], data.test()));
                assert_eq!(warnings(&found), expected, "{name}, {seed}, {recipe:?}: {found:#?}");
                if seed == 1 {
                    println!("  {:?}: {}", recipe.mode(), found[0].detail);
                }
            }
        }
        for share in [0.01, 0.05, 0.1, 0.2, 0.5, 0.8] {
            let noisy = with_noise(&data.train.labels, share);
            let found = findings(&Subject::as_stored(samples_with(&data, &noisy), data.test()));
            println!("  {share} random: {:?} {}", warnings(&found), found[0].detail);
        }
    }
}

/// Precision and recall of the suspects, as in `docs/CHECKS.md`.
#[test]
#[ignore = "takes minutes; `make torture` runs it"]
fn suspects_are_mostly_wrong_and_most_of_the_wrong_are_suspected() {
    for name in ["digits", "mnist"] {
        let Some(data) = local::open(name) else { continue };
        let rows: Vec<u32> = (0..data.train.n_rows() as u32).collect();
        for share in [0.0, 0.01, 0.2, 0.8] {
            let noisy = with_noise(&data.train.labels, share);
            let begun = Instant::now();
            let two = NonZeroUsize::new(2).unwrap();
            let found =
                suspects(samples_with(&data, &noisy), &rows, 1, two, &mut |_| ControlFlow::Continue(()))
                    .unwrap();
            let is_wrong = |row: &u32| noisy[*row as usize] != data.train.labels[*row as usize];
            let (n_wrong, n_hit) = (
                rows.iter().filter(|r| is_wrong(r)).count(),
                found.rows.iter().filter(|r| is_wrong(r)).count(),
            );
            let precision = n_hit as f64 / found.rows.len() as f64;
            let recall = n_hit as f64 / n_wrong as f64;
            println!(
                "{name}, {share} random: {n_wrong} wrong, {} suspected, precision {precision:.3}, recall {recall:.3}, noise \
                 {:.3} {:.3?}, {:.1} s",
                found.rows.len(),
                found.noise,
                found.noise_interval,
                begun.elapsed().as_secs_f64()
            );
            if share >= 0.2 {
                assert!(precision > 0.9 && recall > 0.85, "{precision} {recall}");
            }
        }
    }
}
