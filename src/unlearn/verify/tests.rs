//! What a verification owes, on small problems whose answers are known.

use super::super::tests::{Silent, World};
use super::*;
use crate::nn::twin::problem_data;
use crate::nn::{BatchReport, Evaluator, Features, Problem, Recipe, Samples, Split, Standard, train};
use crate::unlearn::report::Verdict;
use crate::unlearn::{GradientAscent, Scrub, unlearn};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

const WIDTH: usize = 40;
const N_CLASSES: usize = 4;

/// A network that has learned some wrong labels by heart.
pub(super) struct Mislabelled {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    truth: Vec<u32>,
    /// Held-out rows with wrong labels.
    lookalikes: (Vec<u8>, Vec<u32>),
    recipe: Recipe,
    parent: Mlp,
    forget: Vec<u32>,
}

impl Mislabelled {
    pub(super) fn new() -> Self {
        let (pixels, truth) = problem_data(400, WIDTH, N_CLASSES as u32);
        let recipe = Recipe::Standard(Standard {
            hidden: vec![64],
            epochs: 40,
            batch_size: 16,
            holdout: 0.25,
            ..Standard::new(5)
        });
        let split = Split::new(&recipe, truth.len(), &[]);
        let forget: Vec<u32> = split.train.into_iter().filter(|row| row % 12 == 0).collect();
        let wrong = |row: u32| {
            let shift = 1 + keyed_hash(3, Purpose::ForgetSample, 0, row) % (N_CLASSES as u64 - 1);
            (truth[row as usize] + shift as u32) % N_CLASSES as u32
        };
        let mut labels = truth.clone();
        forget.iter().for_each(|&row| labels[row as usize] = wrong(row));
        let held_out_pixels =
            split.held_out.iter().flat_map(|&row| &pixels[row as usize * WIDTH..][..WIDTH]).copied();
        let lookalikes = (held_out_pixels.collect(), split.held_out.iter().map(|&row| wrong(row)).collect());
        let samples = Samples::new(Features::U8(&pixels), &labels, WIDTH, N_CLASSES);
        let problem = Problem { train: samples, excluded: &[], test: samples };
        let parent = train(&recipe, &problem, &mut Silent).unwrap().model;
        Self { pixels, labels, truth, lookalikes, recipe, parent, forget }
    }

    pub(super) fn task(&self) -> Task<'_> {
        let (pixels, labels) = &self.lookalikes;
        Task {
            parent: &self.parent,
            known: None,
            recipe: &self.recipe,
            train: Samples::new(Features::U8(&self.pixels), &self.labels, WIDTH, N_CLASSES),
            test: Samples::new(Features::U8(&self.pixels), &self.truth, WIDTH, N_CLASSES),
            excluded: &[],
            parent_is_exact: true,
            forget: &self.forget,
            class: None,
            lookalikes: Some(Samples::new(Features::U8(pixels), labels, WIDTH, N_CLASSES)),
            seed: 1,
        }
    }
}

pub(super) fn nothing(task: &Task<'_>) -> Unlearned {
    task.parent.clone().into()
}

pub(super) fn retrained(task: &Task<'_>) -> Unlearned {
    unlearn(&Method::RETRAIN, task, &mut Silent).unwrap()
}

pub(super) fn measured(task: &Task<'_>, outcome: &Unlearned, level: Level) -> Report {
    verify(task, Some(&Method::RETRAIN), outcome, level, &mut Silent).unwrap()
}

const THOROUGH: Level = Level::Thorough { n: 8 };

#[test]
fn retraining_without_mislabelled_rows_passes_and_doing_nothing_fails_at_every_level_with_a_yardstick() {
    let world = Mislabelled::new();
    let task = world.task();
    for level in [Level::Standard, THOROUGH] {
        let report = measured(&task, &retrained(&task), level);
        assert_eq!(report.verdict, Verdict::Pass, "{} {:?}", report.reason, report.shortcomings);
        for name in ["forget_accuracy", "mia_auc", "loss_distance", "dormant_accuracy", "js_forget"] {
            assert!(report.reason.contains(name), "{name} tells: {}", report.reason);
        }
        // the banks are those of retraining, which is right; the network at hand is not
        let report = measured(&task, &nothing(&task), level);
        assert_eq!(report.verdict, Verdict::Fail, "{}", report.reason);
        assert!(level == Level::Standard || report.reason.contains("lira_members"), "{}", report.reason);
        assert!(!report.worse_than_nothing);
    }
    let quick = measured(&task, &retrained(&task), Level::Quick);
    assert_eq!(quick.verdict, Verdict::Inconclusive);
}

#[test]
fn what_is_known_of_a_network_beforehand_changes_no_bit_and_no_number() {
    let (wrong, class) = (Mislabelled::new(), World::class(1500));
    let rows_like_any = Task { lookalikes: None, ..wrong.task() };
    for task in [wrong.task(), rows_like_any, class.task()] {
        let known = Known::default();
        let familiar = Task { known: Some(&known), ..task };
        for method in [Method::GradientAscent(GradientAscent::PLAIN), Method::Scrub(Scrub::default())] {
            let outcome = unlearn(&method, &task, &mut Silent).unwrap();
            // nothing is known the first time, and everything the second
            for level in [Level::Quick, Level::Standard] {
                let again = unlearn(&method, &familiar, &mut Silent).unwrap();
                assert!(again.model == outcome.model && again.stopped == outcome.stopped);
                let report =
                    |task, outcome| verify(task, Some(&method), outcome, level, &mut Silent).unwrap();
                assert_eq!(report(&familiar, &again), report(&task, &outcome));
                // and now of the new network too
                assert_eq!(report(&familiar, &again), report(&task, &outcome));
            }
        }
        assert!(known.test.get().is_some());
        assert_eq!(known.held_out.get().is_some(), task.lookalikes.is_none());
    }
}

#[test]
fn the_bank_of_doing_nothing_is_that_of_the_originals() {
    let world = Mislabelled::new();
    let task = world.task();
    let report = verify(&task, None, &nothing(&task), THOROUGH, &mut Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Fail, "{}", report.reason);
    for name in ["epsilon_mean", "ulira_accuracy", "klom_forget", "lira_members"] {
        assert!(report.reason.contains(name), "{name}: {}", report.reason);
        assert_eq!(report.metrics[name].after, report.metrics[name].before, "{name}");
    }
}

#[test]
fn a_retrained_class_passes_thorough() {
    let world = World::class(1500);
    let task = Task { seed: 2, ..world.task() };
    let report = measured(&task, &retrained(&task), THOROUGH);
    assert_eq!(report.verdict, Verdict::Pass, "{} {:?}", report.reason, report.shortcomings);
    assert!(report.reason.contains("lira_members"), "{}", report.reason);
}

#[test]
fn a_method_that_leaves_traces_in_the_bank_fails_thorough() {
    let world = Mislabelled::new();
    let task = world.task();
    let numbers = crate::unlearn::ResetLast { epochs: 3, batch_size: 16, learning_rate: 0.05, shrink: 1.0 };
    let method = Method::ResetLast(numbers);
    // what is published could not be better: only the bank knows how the method fares
    let report = verify(&task, Some(&method), &retrained(&task), THOROUGH, &mut Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Fail, "{}", report.reason);
    for name in ["epsilon_mean", "ulira_accuracy"] {
        assert!(report.reason.contains(name), "{name}: {}", report.reason);
    }
    assert!(!report.reason.contains("lira_members"), "{}", report.reason);
}

#[test]
fn clean_rows_stay_inconclusive_and_the_reason_shows_the_numbers() {
    let world = World::rows(1500);
    let task = world.task();
    for outcome in [retrained(&task), nothing(&task)] {
        let report = measured(&task, &outcome, Level::Standard);
        assert_eq!(report.verdict, Verdict::Inconclusive, "{} {:?}", report.reason, report.shortcomings);
        let auc = &report.metrics["mia_auc"];
        let numbers = format!(
            "the attack scores {:.3} on the original and {:.3} on retrained models",
            auc.before,
            auc.retrain.unwrap()
        );
        assert!(report.reason.contains(&numbers), "{}", report.reason);
        assert!(report.reason.contains("correctly without having seen them"), "{}", report.reason);
        assert!(!report.metrics.contains_key("relearn_ratio"), "nothing is to be relearned");
    }
}

#[test]
fn a_result_worse_than_doing_nothing_is_named() {
    let world = World::rows(1500);
    let task = world.task();
    let broken = Unlearned::from(Mlp::zeroed(task.parent.shape().clone()));
    let report = measured(&task, &broken, Level::Standard);
    assert!(report.worse_than_nothing && report.verdict == Verdict::Fail, "{}", report.reason);
    assert!(report.shortcomings.iter().any(|line| line.starts_with("worse than doing nothing")));
    assert!(!measured(&task, &nothing(&task), Level::Standard).worse_than_nothing);
}

#[test]
fn quick_looks_at_a_probe_of_the_retained_rows_and_says_so() {
    let world = World::rows(3000);
    let task = world.task();
    let definition = |level| {
        let report = measured(&task, &nothing(&task), level);
        report.metrics["retain_accuracy"].definition.clone()
    };
    assert!(definition(Level::Quick).contains("a fixed probe of 2000 retained"));
    assert!(definition(Level::Standard).contains("all retained"));
}

#[test]
fn every_measure_of_a_thorough_report_says_what_it_is_and_stands_beside_retraining() {
    let world = Mislabelled::new();
    let task = world.task();
    let report = measured(&task, &retrained(&task), THOROUGH);
    for name in [
        "forget_accuracy",
        "forget_loss",
        "retain_accuracy",
        "test_accuracy",
        "mia_auc",
        "mia_tpr_at_1pct_fpr",
        "loss_distance",
        "mia_entropy_auc",
        "mia_m_entropy_auc",
        "dormant_accuracy",
        "relearn_ratio",
        "js_forget",
        "js_test",
        "kl_forget",
        "kl_test",
        "tow",
        "average_gap",
        "epsilon_mean",
        "epsilon_median",
        "epsilon_p95",
        "forgetting_quality",
        "ulira_accuracy",
        "ulira_auc",
        "ulira_tpr_at_1pct_fpr",
        "klom_forget",
        "klom_retain",
        "klom_held_out",
        "lira_members",
    ] {
        let measure = report.metrics.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert!(!measure.definition.is_empty() && !measure.ideal.is_empty(), "{name}");
        let numbers =
            [Some(measure.before), Some(measure.after), measure.retrain, measure.floor, measure.power];
        assert!(numbers.iter().all(|number| number.is_some_and(f64::is_finite)), "{name}: {measure:?}");
    }
    assert!(report.metrics["epsilon_mean"].definition.contains("ln(8 − 1) = 1.95"), "the cap is stated");
    assert!(report.metrics["mia_auc"].definition.contains("made like them"), "and who the non-members are");
    let relearning = &report.metrics["relearn_ratio"];
    assert_eq!((relearning.before, relearning.retrain), (0.0, Some(1.0)));
    assert!((0.5..2.0).contains(&relearning.after), "{}", relearning.after);
}

#[test]
fn a_smaller_bank_than_shows_anything_is_not_trained() {
    let world = World::class(400);
    let task = world.task();
    let report = measured(&task, &retrained(&task), Level::Thorough { n: 1 });
    assert!(report.metrics["klom_forget"].definition.contains("of 8 unlearned"));
}

#[test]
fn accuracies_by_class_add_up_to_the_test_sets() {
    let world = World::class(1500);
    let task = world.task();
    let report = measured(&task, &retrained(&task), Level::Standard);
    let all: Vec<u32> = (0..1500).collect();
    let whole = Evaluator::new(task.parent.shape()).evaluate(task.parent, task.test, &all).accuracy;
    let sum: f64 = report.per_class.iter().map(|class| class.rows as f64 * class.before).sum();
    assert!((sum / 1500.0 - whole).abs() < 1e-12);
    let forgotten = &report.per_class[2];
    assert_eq!((forgotten.class, forgotten.after, forgotten.retrain), (2, 0.0, Some(0.0)));
    assert!(forgotten.before > 0.9);
}

/// A number of threads; stops at the first mini-batch of a phase.
struct At {
    threads: usize,
    stop_in: &'static str,
    reached: bool,
}

impl Observer for At {
    fn on_batch(&mut self, _: &BatchReport) -> ControlFlow<()> {
        if self.reached { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
    fn on_phase(&mut self, phase: &str, _: &str) -> ControlFlow<()> {
        self.reached = phase == self.stop_in;
        ControlFlow::Continue(())
    }
    fn threads(&mut self) -> NonZeroUsize {
        NonZeroUsize::new(self.threads).unwrap()
    }
}

#[test]
fn a_report_is_the_same_on_any_number_of_threads() {
    let world = World::class(400);
    let task = world.task();
    let outcome = retrained(&task);
    let report = |threads| {
        let mut observer = At { threads, stop_in: "", reached: false };
        verify(&task, Some(&Method::RETRAIN), &outcome, THOROUGH, &mut observer).unwrap()
    };
    let alone = report(1);
    assert_eq!(report(3), alone);
}

#[test]
fn one_word_ends_a_thorough_verification_wherever_it_is() {
    let world = World::class(400);
    let task = world.task();
    let outcome = retrained(&task);
    for stop_in in ["retrain", "probe", "bank"] {
        let mut observer = At { threads: 2, stop_in, reached: false };
        let report = verify(&task, Some(&Method::RETRAIN), &outcome, THOROUGH, &mut observer);
        assert!(matches!(report, Err(UnlearnError::Interrupted)), "{stop_in}");
    }
}

#[test]
fn rows_made_like_the_forgotten_ones_are_the_non_members_and_the_guards_target() {
    let world = Mislabelled::new();
    let task = world.task();
    let without = Task { lookalikes: None, ..task };
    let loss = |task: &Task<'_>| Context::new(task).matched_held_out_loss().unwrap();
    assert!(loss(&task) > loss(&without) + 1.0, "wrong labels cost more: {} {}", loss(&task), loss(&without));
    let auc = |task: &Task<'_>| measured(task, &retrained(task), Level::Quick).metrics["mia_auc"].after;
    assert!((auc(&task) - 0.5).abs() < 0.2, "rows of one kind: {}", auc(&task));
    assert!(auc(&without) < 0.1, "rows of another: {}", auc(&without));
}
