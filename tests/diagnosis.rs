//! Diagnoses of real trainings: the cause that is known is found, and nothing where there is none.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod local;

use lethe::data::Dataset;
use lethe::diagnosis::{Diagnosis, Finding, Interval, Observer, Order, Suspect, Symptom, Trial, diagnose};
use lethe::nn::{Features, Problem, Recipe, Reference, Samples, Standard};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

struct Patient;

impl Observer for Patient {
    fn answer(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn on_trial(&mut self, _: &Trial, _: u32, _: u32) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

fn diagnosis(
    recipe: Recipe,
    epochs: u32,
    train: Samples<'_>,
    data: &Dataset,
    wrong: Option<&[u32]>,
) -> Diagnosis {
    let order =
        Order { recipe, seeds: vec![1, 2, 3], epochs, suspected_rows: wrong, labels_look_wrong: false };
    let problem = Problem { train, excluded: &[], test: data.test() };
    diagnose(&order, &problem, &[], NonZeroUsize::new(2).unwrap(), &mut Patient).unwrap()
}

fn faults(findings: &[Finding]) -> Vec<Suspect> {
    let mut faults: Vec<Suspect> = findings.iter().map(|finding| finding.fault).collect();
    faults.sort_unstable();
    faults
}

fn assert_misaligned_labels_alone_are_to_blame(found: &Diagnosis) {
    assert_eq!(found.symptom, Some(Symptom::LearningBackwards), "{found:#?}");
    assert_eq!(faults(&found.causes), [Suspect::MisalignedLabels], "{}", found.summary);
    assert_eq!(
        faults(&found.cleared),
        [Suspect::NoShuffle, Suspect::OutputRelu, Suspect::DoubledHiddenGradient, Suspect::PerSampleMomentum]
    );
    let interval = |finding: &Finding| Interval { mean: finding.effect, ci: finding.ci };
    let cause = interval(&found.causes[0]);
    for cleared in &found.cleared {
        assert!(!interval(cleared).overlaps(&cause), "{}", cleared.detail);
        assert!(cleared.falls_without, "{}", cleared.detail);
    }
    let own = |finding: &Finding| finding.on_its_own.clone().unwrap();
    assert!(own(&found.causes[0]).falls, "{:?}", found.causes[0]);
    assert!(found.cleared.iter().all(|cleared| !own(cleared).falls));
}

#[test]
fn the_reference_trainer_learns_backwards_for_its_misaligned_labels_and_nothing_else() {
    let digits = local::open("digits").unwrap();
    let nn = Recipe::Nn(Reference { hidden: 64, ..Reference::nn(1) });
    assert_misaligned_labels_alone_are_to_blame(&diagnosis(nn, 14, digits.train(), &digits, None));
}

#[test]
#[ignore = "minutes; `make torture` runs it"]
fn on_mnist_too() {
    let Some(mnist) = local::open("mnist") else { return };
    let found = diagnosis(Recipe::Nn(Reference::nn(1)), 10, mnist.train(), &mnist, None);
    assert_misaligned_labels_alone_are_to_blame(&found);
}

#[test]
fn its_repaired_sibling_has_nothing_wrong_with_it() {
    let digits = local::open("digits").unwrap();
    let debug = Recipe::Debug(Reference { hidden: 64, ..Reference::debug(1) });
    let found = diagnosis(debug, 3, digits.train(), &digits, None);
    assert_eq!((found.symptom, faults(&found.causes)), (None, vec![]), "{}", found.summary);
    assert_eq!(found.cleared.len(), 4);
}

#[test]
#[ignore = "a minute and a half: the figures of docs/LEARNING_BACKWARDS.md"]
fn nor_has_it_on_mnist() {
    let Some(mnist) = local::open("mnist") else { return };
    let found = diagnosis(Recipe::Debug(Reference::debug(1)), 10, mnist.train(), &mnist, None);
    assert_eq!((found.symptom, faults(&found.causes)), (None, vec![]), "{}", found.summary);
}

#[test]
fn labels_of_which_most_are_random_are_what_keeps_a_network_from_learning() {
    let digits = local::open("digits").unwrap();
    let Features::U8(pixels) = digits.train().features() else { panic!("images are bytes") };
    let (n, mut wrong) = (8_000, Vec::new());
    let mut labels = digits.train().labels()[..n].to_vec();
    // the rows are in no order: the first are as good as any
    for (row, label) in labels.iter_mut().enumerate().take(n * 4 / 5) {
        let random = ((row as u32).wrapping_mul(2_654_435_761) >> 16) % 10;
        if random != *label {
            wrong.push(row as u32);
        }
        *label = random;
    }
    let noisy = Samples::new(Features::U8(&pixels[..n * 784]), &labels, 784, 10);
    let recipe = Recipe::Standard(Standard { hidden: vec![64], epochs: 6, ..Standard::new(1) });
    let found = diagnosis(recipe.clone(), 6, noisy, &digits, Some(&wrong));
    assert_eq!(faults(&found.causes), [Suspect::LabelNoise], "{}", found.summary);
    assert_eq!(faults(&found.cleared), [Suspect::LearningRate, Suspect::Momentum, Suspect::BatchSize]);

    let clean = Samples::new(Features::U8(&pixels[..n * 784]), &digits.train().labels()[..n], 784, 10);
    let found = diagnosis(recipe, 6, clean, &digits, Some(&wrong[..80]));
    assert_eq!((found.symptom, faults(&found.causes)), (None, vec![]), "{}", found.summary);
}
