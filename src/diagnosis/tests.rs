use super::verdict::judge;
use super::*;
use crate::nn::twin::problem_data;
use crate::nn::{Faults, Features, Problem, Recipe, Reference, Samples, Standard};
use std::num::NonZeroUsize;

const SEEDS: [u64; 3] = [1, 2, 3];

fn order(recipe: Recipe, epochs: u32) -> Order<'static> {
    Order { recipe, seeds: SEEDS.to_vec(), epochs, suspected_rows: None, labels_look_wrong: false }
}

/// Trials with a curve each, which differ a little from seed to seed.
fn trials(variant: Variant, curve: &[f64], fell_in: Option<u32>) -> Vec<Trial> {
    let wobble = |seed: u64| (seed as f64 - 2.0) * 0.002;
    let trial = |seed| Trial {
        variant,
        seed,
        test_accuracy: curve.iter().map(|accuracy| accuracy + wobble(seed)).collect(),
        fell_in,
        diverged: false,
    };
    SEEDS.into_iter().map(trial).collect()
}

const FALLING: [f64; 4] = [0.85, 0.80, 0.75, 0.65];
const RISING: [f64; 4] = [0.90, 0.93, 0.95, 0.97];

/// A diagnosis of `nn` with two of its faults on; `curve_of` says which variants fall.
fn diagnosis_of(falls: impl Fn(Variant) -> bool) -> Diagnosis {
    let faults = Faults { misaligned_labels: true, no_shuffle: true, ..none() };
    let order = order(Recipe::Nn(Reference { faults, ..Reference::nn(1) }), 4);
    let suspects = Suspect::of(&order.recipe, false);
    assert_eq!(suspects, [Suspect::MisalignedLabels, Suspect::NoShuffle]);
    let mut variants = vec![Variant::AsIs, Variant::Mended];
    variants.extend(suspects.iter().flat_map(|&s| [Variant::Without(s), Variant::Only(s)]));
    let all: Vec<Trial> = variants
        .into_iter()
        .flat_map(|v| if falls(v) { trials(v, &FALLING, Some(4)) } else { trials(v, &RISING, None) })
        .collect();
    judge(&order, &suspects, &all, 10, 0)
}

fn none() -> Faults {
    Faults {
        misaligned_labels: false,
        no_shuffle: false,
        output_relu: false,
        doubled_hidden_gradient: false,
        per_sample_momentum: false,
    }
}

fn names(findings: &[Finding]) -> Vec<Suspect> {
    findings.iter().map(|finding| finding.fault).collect()
}

#[test]
fn what_alone_restores_learning_is_the_cause_and_the_rest_is_cleared() {
    use Suspect::MisalignedLabels;
    let found = diagnosis_of(|variant| {
        !matches!(
            variant,
            Variant::Mended | Variant::Without(MisalignedLabels) | Variant::Only(Suspect::NoShuffle)
        )
    });
    assert_eq!(found.symptom, Some(Symptom::LearningBackwards));
    assert_eq!(names(&found.causes), [MisalignedLabels]);
    assert_eq!(names(&found.cleared), [Suspect::NoShuffle]);
    let cause = &found.causes[0];
    assert!((cause.effect - 0.32).abs() < 1e-9 && cause.ci[0] > 0.3, "{cause:?}");
    assert!((cause.on_its_own.as_ref().unwrap().effect + 0.32).abs() < 1e-9);
    assert!(found.cleared[0].falls_without && found.cleared[0].effect.abs() < 1e-9);
    assert_eq!(
        found.summary,
        "Turning off `misaligned_labels` alone restores learning: 97.0 ± 0.5 % instead of 65.0 ± 0.5 % at \
         epoch 4; no other fault matters."
    );
}

#[test]
fn two_faults_that_each_suffice_are_both_found_though_leaving_out_one_mends_nothing() {
    let found = diagnosis_of(|variant| variant != Variant::Mended);
    assert_eq!(names(&found.causes), [Suspect::MisalignedLabels, Suspect::NoShuffle]);
    assert!(found.causes.iter().all(|cause| cause.falls_without && cause.on_its_own.as_ref().unwrap().falls));
    assert!(found.summary.contains("`no_shuffle` alone is enough to spoil it"), "{}", found.summary);
}

#[test]
fn faults_that_do_harm_only_together_are_each_a_cause() {
    let found = diagnosis_of(|variant| variant == Variant::AsIs);
    assert_eq!(found.causes.len(), 2);
    assert!(found.causes.iter().all(|cause| !cause.on_its_own.as_ref().unwrap().falls));
}

#[test]
fn where_nothing_falls_and_nothing_helps_nothing_is_wrong() {
    let found = diagnosis_of(|_| false);
    assert_eq!((found.symptom, found.causes.len(), found.cleared.len()), (None, 0, 2));
    assert!(found.summary.starts_with("Nothing is wrong: test accuracy is 97.0 ± 0.5 % at epoch 4"));
}

#[test]
fn where_nothing_helps_nobody_is_blamed() {
    let found = diagnosis_of(|_| true);
    assert_eq!((found.symptom, found.causes.len()), (Some(Symptom::LearningBackwards), 0));
    assert_eq!(found.summary, "It learns backwards, and nothing that was suspected is to blame.");
}

#[test]
fn what_helps_but_leaves_it_falling_is_no_cause() {
    let faults = Faults { misaligned_labels: true, no_shuffle: true, ..none() };
    let order = order(Recipe::Nn(Reference { faults, ..Reference::nn(1) }), 4);
    let suspects = Suspect::of(&order.recipe, false);
    let helped = FALLING.map(|accuracy| accuracy + 0.2);
    let all = [
        trials(Variant::AsIs, &FALLING, Some(4)),
        trials(Variant::Mended, &RISING, None),
        trials(Variant::Without(Suspect::MisalignedLabels), &RISING, None),
        trials(Variant::Without(Suspect::NoShuffle), &helped[..3], Some(3)),
        trials(Variant::Only(Suspect::MisalignedLabels), &FALLING, Some(4)),
        trials(Variant::Only(Suspect::NoShuffle), &RISING, None),
    ]
    .concat();
    let found = judge(&order, &suspects, &all, 10, 0);
    assert_eq!(names(&found.causes), [Suspect::MisalignedLabels]);
    let cleared = &found.cleared[0];
    assert!((cleared.effect - 0.2).abs() < 1e-9 && cleared.at_epoch == 3 && cleared.falls_without);
    assert!(
        cleared.detail.ends_with("points (19.5 to 20.5), and it falls all the same"),
        "{}",
        cleared.detail
    );
    assert!(
        found
            .summary
            .ends_with("of the others none does it, and `no_shuffle` changes most, by +20.0 points.")
    );
}

#[test]
fn a_setting_that_keeps_a_training_from_learning_is_found_and_default_ones_are_cleared() {
    let recipe = Recipe::Standard(Standard { learning_rate: 50.0, ..Standard::new(1) });
    let order = order(recipe, 4);
    let suspects = Suspect::of(&order.recipe, false);
    let diverging = |variant| {
        let trial = |trial: Trial| Trial { test_accuracy: vec![], diverged: true, ..trial };
        trials(variant, &[], None).into_iter().map(trial).collect::<Vec<_>>()
    };
    let all = [
        diverging(Variant::AsIs),
        trials(Variant::Without(Suspect::LearningRate), &RISING, None),
        diverging(Variant::Without(Suspect::Momentum)),
        diverging(Variant::Without(Suspect::BatchSize)),
    ]
    .concat();
    let found = judge(&order, &suspects, &all, 10, 0);
    assert_eq!(found.symptom, Some(Symptom::LearningPoorly));
    assert_eq!(names(&found.causes), [Suspect::LearningRate]);
    assert_eq!(
        found.summary,
        "Setting `learning_rate` to 0.05 instead of 50 alone restores learning: 97.0 ± 0.5 % instead of 10.0 ± \
         0.0 % at epoch 4; no other fault matters."
    );
    assert_eq!(found.table[0].n_diverged, 3);
}

/// A `standard` training of which leaving out the doubtful rows brings `gain`, and gentler settings a little.
fn noisy(labels_look_wrong: bool, gain: f64) -> Diagnosis {
    let recipe = Recipe::Standard(Standard::new(1));
    let order = Order { suspected_rows: Some(&[1, 2, 3]), labels_look_wrong, ..order(recipe, 4) };
    let suspects = Suspect::of(&order.recipe, true);
    let low = [0.80, 0.85, 0.88, 0.90];
    let all = [
        trials(Variant::AsIs, &low, None),
        trials(Variant::Without(Suspect::LearningRate), &low.map(|accuracy| accuracy + 0.015), None),
        trials(Variant::Without(Suspect::Momentum), &low, None),
        trials(Variant::Without(Suspect::BatchSize), &low, None),
        trials(Variant::Without(Suspect::LabelNoise), &low.map(|accuracy| accuracy + gain), None),
    ];
    judge(&order, &suspects, &all.concat(), 10, 3)
}

#[test]
fn wrong_labels_that_the_checks_find_are_a_cause_though_not_all_of_them_can_be_left_out() {
    let found = noisy(true, 0.012);
    let causes = names(&found.causes);
    assert_eq!((found.symptom, causes), (Some(Symptom::LearningPoorly), vec![Suspect::LabelNoise]));
    assert_eq!(
        found.summary,
        "The data checks find wrong labels, and leaving out the 3 rows whose labels are probably wrong alone \
         brings 91.2 ± 0.5 % instead of 90.0 ± 0.5 % at epoch 4; no other fault matters."
    );
    assert!(found.causes[0].detail.ends_with("and the data checks find wrong labels"), "{:?}", found.causes);
    // without that evidence, or without an effect beyond doubt, nobody is blamed
    for found in [noisy(false, 0.012), noisy(true, 0.001)] {
        assert_eq!((found.symptom, found.causes.len()), (None, 0), "{}", found.summary);
    }
    // and an effect that speaks for itself needs no evidence
    assert_eq!(names(&noisy(false, 0.05).causes), [Suspect::LabelNoise]);
}

/// A trial, and how many of how many epochs lay behind.
type Heard = (Trial, u32, u32);

/// Remembers what it was told, and says stop when it was told of so many trials.
struct Listener {
    heard: Vec<Heard>,
    patience: usize,
}

impl Observer for Listener {
    fn answer(&mut self) -> ControlFlow<()> {
        if self.heard.len() < self.patience { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn on_trial(&mut self, trial: &Trial, done: u32, all: u32) -> ControlFlow<()> {
        self.heard.push((trial.clone(), done, all));
        self.answer()
    }
}

fn carry_out(
    order: &Order<'_>,
    known: &[Trial],
    n_threads: usize,
    patience: usize,
) -> (Result<Diagnosis, DiagnosisError>, Vec<Heard>) {
    let (pixels, labels) = problem_data(200, 30, 4);
    let samples = Samples::new(Features::U8(&pixels), &labels, 30, 4);
    let problem = Problem { train: samples, excluded: &[5], test: samples };
    let mut listener = Listener { heard: Vec::new(), patience };
    let n_threads = NonZeroUsize::new(n_threads).unwrap();
    let found = diagnose(order, &problem, known, n_threads, &mut listener);
    (found, listener.heard)
}

fn small_nn() -> Order<'static> {
    let faults = Faults { misaligned_labels: true, per_sample_momentum: true, ..none() };
    order(Recipe::Nn(Reference { hidden: 16, faults, ..Reference::nn(1) }), 3)
}

#[test]
fn every_variant_is_tried_with_every_seed_and_told_once() {
    let (found, heard) = carry_out(&small_nn(), &[], 2, usize::MAX);
    let found = found.unwrap();
    // as it is, two without, all mended, two alone
    assert_eq!((found.table.len(), heard.len()), (6, 20));
    let seeds = |row: &Row| row.curves.iter().map(|curve| curve.seed).collect::<Vec<_>>();
    assert!(found.table[1..].iter().all(|row| seeds(row) == SEEDS));
    // √2 · 3 of what both are compared with
    assert_eq!((found.table[0].variant, seeds(&found.table[0])), (Variant::AsIs, vec![1, 2, 3, 4, 5]));
    assert_eq!(found.table[0].curves[0].test_accuracy.len(), 3);
    let (_, done, all) = heard.last().unwrap();
    assert_eq!((*done, *all), (60, 60));
}

#[test]
fn what_is_found_depends_neither_on_the_threads_nor_on_interruptions() {
    let (alone, _) = carry_out(&small_nn(), &[], 1, usize::MAX);
    let alone = alone.unwrap();
    let (stopped, heard) = carry_out(&small_nn(), &[], 3, 4);
    assert_eq!(stopped.unwrap_err(), DiagnosisError::Interrupted);
    let known: Vec<Trial> = heard.into_iter().map(|(trial, ..)| trial).collect();
    assert!(known.len() >= 4);
    let (resumed, heard) = carry_out(&small_nn(), &known, 3, usize::MAX);
    assert_eq!(resumed.unwrap(), alone);
    assert_eq!(heard.len() + known.len(), 20);
    let (repeated, heard) = carry_out(&small_nn(), &[], 2, usize::MAX);
    assert_eq!(repeated.unwrap(), alone);
    let known: Vec<Trial> = heard.into_iter().map(|(trial, ..)| trial).collect();
    let (read, heard) = carry_out(&small_nn(), &known, 1, usize::MAX);
    assert!(read.unwrap() == alone && heard.is_empty());
}

#[test]
fn a_trial_as_it_is_is_the_training_itself() {
    let (pixels, labels) = problem_data(200, 30, 4);
    let samples = Samples::new(Features::U8(&pixels), &labels, 30, 4);
    let problem = Problem { train: samples, excluded: &[5], test: samples };
    let recipe =
        Recipe::Standard(Standard { hidden: vec![8], epochs: 5, batch_size: 10, ..Standard::new(2) });
    let (found, _) = carry_out(&order(recipe.clone(), 4), &[], 2, usize::MAX);
    let found = found.unwrap();
    let mut curve = Vec::new();
    crate::nn::train(&recipe, &problem, &mut Curve(&mut curve)).unwrap();
    assert_eq!(found.table[0].curves[1].test_accuracy, curve[..4]);
}

struct Curve<'a>(&'a mut Vec<f64>);

impl crate::nn::Observer for Curve<'_> {
    fn on_epoch(&mut self, report: &crate::nn::EpochReport, _: &crate::nn::Mlp) -> ControlFlow<()> {
        self.0.push(report.test_accuracy);
        ControlFlow::Continue(())
    }
}

#[test]
fn rows_under_suspicion_are_left_out_where_label_noise_is_mended() {
    let everything: Vec<u32> = (0..200).collect();
    let recipe =
        Recipe::Standard(Standard { hidden: vec![8], epochs: 2, batch_size: 10, ..Standard::new(1) });
    let none_left = Order { suspected_rows: Some(&everything), ..order(recipe.clone(), 2) };
    let (found, _) = carry_out(&none_left, &[], 2, usize::MAX);
    assert_eq!(found.unwrap_err(), DiagnosisError::Train(TrainError::NoRows));
    let some = Order { suspected_rows: Some(&everything[..50]), ..order(recipe, 2) };
    let (found, _) = carry_out(&some, &[], 2, usize::MAX);
    let found = found.unwrap();
    let without =
        found.table.iter().find(|row| row.variant == Variant::Without(Suspect::LabelNoise)).unwrap();
    assert_eq!(without.change.as_deref(), Some("leaving out the 50 rows whose labels are probably wrong"));
    assert_ne!(without.curves, found.table[0].curves);
}

#[test]
fn one_suspect_alone_needs_no_more_than_two_variants() {
    let faults = Faults { misaligned_labels: true, ..none() };
    let one = order(Recipe::Nn(Reference { hidden: 8, faults, ..Reference::nn(1) }), 2);
    let (found, heard) = carry_out(&one, &[], 2, usize::MAX);
    assert_eq!((found.unwrap().table.len(), heard.len()), (2, 6));
}

#[test]
fn a_trial_survives_being_written_down() {
    let trial = Trial {
        variant: Variant::Without(Suspect::LabelNoise),
        seed: 7,
        test_accuracy: vec![0.1, 2.0 / 3.0],
        fell_in: Some(2),
        diverged: true,
    };
    let text = serde_json::to_string(&trial).unwrap();
    assert!(text.contains(r#""variant":"without","fault":"label_noise""#), "{text}");
    assert_eq!(serde_json::from_str::<Trial>(&text).unwrap(), trial);
    let text = serde_json::to_string(&Trial { variant: Variant::AsIs, ..trial }).unwrap();
    assert!(text.contains(r#""variant":"as_is","seed":7"#), "{text}");
}
