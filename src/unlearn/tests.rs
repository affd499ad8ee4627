//! What every method and every verdict owes, on a small problem.

use super::*;
use crate::nn::twin::problem_data;
use crate::nn::{Features, Problem, Split, Standard, train};

pub(super) struct Silent;

impl crate::nn::Observer for Silent {}

impl Observer for Silent {}

/// A trained network, its data, and something it is to forget.
pub(super) struct World {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    pub(super) recipe: Recipe,
    parent: Mlp,
    pub(super) forget: Vec<u32>,
    class: Option<u32>,
}

const WIDTH: usize = 40;

impl World {
    fn new(n_rows: usize, class: Option<u32>, chosen: impl Fn(u32, u32) -> bool) -> Self {
        let (pixels, labels) = problem_data(n_rows, WIDTH, 4);
        let recipe = Recipe::Standard(Standard {
            hidden: vec![24],
            epochs: 6,
            batch_size: 16,
            holdout: 0.2,
            ..Standard::new(5)
        });
        let samples = Samples::new(Features::U8(&pixels), &labels, WIDTH, 4);
        let problem = Problem { train: samples, excluded: &[], test: samples };
        let parent = train(&recipe, &problem, &mut Silent).unwrap().model;
        let trained = Split::new(&recipe, n_rows, &[]).train;
        let forget = trained.into_iter().filter(|&row| chosen(row, labels[row as usize])).collect();
        Self { pixels, labels, recipe, parent, forget, class }
    }

    /// All of class 2.
    pub(super) fn class(n_rows: usize) -> Self {
        Self::new(n_rows, Some(2), |_, label| label == 2)
    }

    /// Every ninth row.
    pub(super) fn rows(n_rows: usize) -> Self {
        Self::new(n_rows, None, |row, _| row % 9 == 0)
    }

    pub(super) fn samples(&self) -> Samples<'_> {
        Samples::new(Features::U8(&self.pixels), &self.labels, WIDTH, 4)
    }

    pub(super) fn task(&self) -> Task<'_> {
        Task {
            parent: &self.parent,
            known: None,
            recipe: &self.recipe,
            train: self.samples(),
            test: self.samples(),
            excluded: &[],
            parent_is_exact: true,
            forget: &self.forget,
            class: self.class,
            lookalikes: None,
            seed: 77,
        }
    }

    /// The same world with other pixels and labels in the forgotten rows.
    fn with_forgotten_rows_replaced(&self) -> (Vec<u8>, Vec<u32>) {
        let (mut pixels, mut labels) = (self.pixels.clone(), self.labels.clone());
        for &row in &self.forget {
            pixels[row as usize * WIDTH..][..WIDTH].iter_mut().for_each(|pixel| *pixel = 255 - *pixel);
            labels[row as usize] = (labels[row as usize] + 1) % 4;
        }
        (pixels, labels)
    }

    fn accuracy(&self, mlp: &Mlp, rows: &[u32]) -> f64 {
        crate::nn::Evaluator::new(mlp.shape()).evaluate(mlp, self.samples(), rows).accuracy
    }
}

/// The methods with numbers for a problem of this size: many steps need many passes over few rows.
fn plain() -> Method {
    Method::GradientAscent(GradientAscent { epochs: 200, learning_rate: 0.05, ..GradientAscent::PLAIN })
}

fn bounded() -> Method {
    Method::GradientAscent(GradientAscent { epochs: 8, batch_size: 16, ..GradientAscent::BOUNDED })
}

fn reset_last() -> Method {
    Method::ResetLast(ResetLast { epochs: 6, batch_size: 16, ..ResetLast::default() })
}

fn all() -> Vec<Method> {
    let others = Method::all().filter(|method| {
        !matches!(
            method,
            Method::Auto(_) | Method::Retrain(_) | Method::GradientAscent(_) | Method::ResetLast(_)
        ) && method.applies_to(&World::class(400).recipe).is_ok()
    });
    [Method::RETRAIN, bounded(), plain(), reset_last()].into_iter().chain(others).collect()
}

#[test]
fn the_same_task_gives_the_same_bits_and_changes_the_weights() {
    let world = World::class(1500);
    for method in all() {
        let run = || unlearn(&method, &world.task(), &mut Silent).unwrap();
        let (first, second) = (run(), run());
        assert_eq!(first.model, second.model, "{}", method.name());
        assert!(first.model != world.parent, "{} did nothing", method.name());
    }
}

#[test]
fn what_was_in_the_forgotten_rows_decides_no_bit_of_a_retrained_network() {
    let world = World::rows(400);
    let task = world.task();
    let (pixels, labels) = world.with_forgotten_rows_replaced();
    let replaced = Samples::new(Features::U8(&pixels), &labels, WIDTH, 4);
    let elsewhere = Task { train: replaced, ..task };
    let model = |task: &Task<'_>| unlearn(&Method::RETRAIN, task, &mut Silent).unwrap().model;
    assert_eq!(model(&task), model(&elsewhere));
}

#[test]
fn rows_forgotten_earlier_stay_out_of_a_retraining() {
    let world = World::rows(400);
    let task = world.task();
    let half = world.forget.len() / 2;
    let in_two_steps = Task { excluded: &world.forget[..half], forget: &world.forget[half..], ..task };
    let model = |task: &Task<'_>| unlearn(&Method::RETRAIN, task, &mut Silent).unwrap().model;
    assert_eq!(model(&task), model(&in_two_steps));
}

#[test]
fn bounded_ascent_and_a_new_output_layer_forget_a_class_and_keep_the_rest() {
    let world = World::class(1500);
    let rest: Vec<u32> = (0..1500).filter(|&row| world.labels[row as usize] != 2).collect();
    let before = world.accuracy(&world.parent, &rest);
    for method in [bounded(), reset_last()] {
        let outcome = unlearn(&method, &world.task(), &mut Silent).unwrap();
        assert_eq!(outcome.stopped, None, "{}", method.name());
        assert_eq!(world.accuracy(&outcome.model, &world.forget), 0.0, "{}", method.name());
        assert!(world.accuracy(&outcome.model, &rest) > before - 0.01, "{}", method.name());
    }
}

#[test]
fn plain_ascent_is_stopped_and_rolled_back_before_it_breaks_the_network() {
    let world = World::class(1500);
    // on so easy a problem only a hasty ascent harms the other classes
    let hasty = GradientAscent { epochs: 200, learning_rate: 0.5, ..GradientAscent::PLAIN };
    let outcome = unlearn(&Method::GradientAscent(hasty), &world.task(), &mut Silent).unwrap();
    let stopped = outcome.stopped.expect("the guard steps in");
    assert!(stopped.rolled_back && stopped.reason.contains("below the floor"), "{}", stopped.reason);
    let rest: Vec<u32> = (0..1500).filter(|&row| world.labels[row as usize] != 2).collect();
    assert!(world.accuracy(&outcome.model, &rest) > world.accuracy(&world.parent, &rest) - 0.02);
}

#[test]
fn a_method_that_diverges_gives_back_sound_weights_and_says_so() {
    let world = World::class(400);
    for numbers in [GradientAscent::PLAIN, GradientAscent::BOUNDED] {
        let numbers = GradientAscent { learning_rate: 1e30, ..numbers };
        let outcome = unlearn(&Method::GradientAscent(numbers), &world.task(), &mut Silent).unwrap();
        assert!(outcome.model.is_finite());
        assert!(outcome.stopped.is_some_and(|stopped| stopped.rolled_back));
    }
}

#[test]
fn an_observer_stops_every_method_and_its_verification() {
    struct StopAfter(u32);
    impl StopAfter {
        fn tick(&mut self) -> ControlFlow<()> {
            self.0 = self.0.saturating_sub(1);
            if self.0 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    impl Observer for StopAfter {
        fn on_batch(&mut self, _: &BatchReport) -> ControlFlow<()> {
            self.tick()
        }
        fn on_epoch(&mut self, _: &UnlearnEpoch) -> ControlFlow<()> {
            self.tick()
        }
        fn on_phase(&mut self, _: &str, _: &str) -> ControlFlow<()> {
            self.tick()
        }
        fn on_guard(&mut self, _: &GuardReport) -> ControlFlow<()> {
            self.tick()
        }
    }
    let world = World::class(400);
    for method in all() {
        for ticks in [1, 2, 5] {
            let outcome = unlearn(&method, &world.task(), &mut StopAfter(ticks));
            assert!(matches!(outcome, Err(UnlearnError::Interrupted)), "{} after {ticks}", method.name());
        }
        let outcome = unlearn(&method, &world.task(), &mut Silent).unwrap();
        // of the models trained side by side at least a backlog of mini-batches is heard, seldom all
        for ticks in [1, 2, 3, 30] {
            let report =
                verify(&world.task(), Some(&method), &outcome, Level::Standard, &mut StopAfter(ticks));
            assert!(matches!(report, Err(UnlearnError::Interrupted)), "{} after {ticks}", method.name());
        }
    }
}

#[test]
fn retraining_passes_and_doing_nothing_never_does() {
    let world = World::class(1500);
    // how far one pair of so small networks lies apart on an unknown class is misjudged for one seed in ten
    let task = Task { seed: 78, ..world.task() };
    let retrained = unlearn(&Method::RETRAIN, &task, &mut Silent).unwrap();
    let report = verify(&task, Some(&Method::RETRAIN), &retrained, Level::Standard, &mut Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Pass, "{} {:?}", report.reason, report.shortcomings);

    let nothing = Unlearned::from(world.parent.clone());
    let method = reset_last();
    let report = verify(&task, Some(&method), &nothing, Level::Standard, &mut Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Fail, "{}", report.reason);
    assert!(report.shortcomings.iter().any(|line| line.contains("of the class is still recognised")));
    let quick = verify(&task, Some(&method), &nothing, Level::Quick, &mut Silent).unwrap();
    assert_eq!(quick.verdict, Verdict::Fail);
}

#[test]
fn rows_that_cannot_be_told_apart_leave_the_verdict_open() {
    let world = World::rows(1500);
    let task = world.task();
    let retrained = unlearn(&Method::RETRAIN, &task, &mut Silent).unwrap();
    for outcome in [retrained, Unlearned::from(world.parent.clone())] {
        let report = verify(&task, Some(&Method::RETRAIN), &outcome, Level::Standard, &mut Silent).unwrap();
        assert_eq!(report.verdict, Verdict::Inconclusive, "{} {:?}", report.reason, report.shortcomings);
    }
    // nor without anything to compare with
    let nothing = Unlearned::from(world.parent.clone());
    let report = verify(&task, None, &nothing, Level::Quick, &mut Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Inconclusive);
}

#[test]
fn a_report_carries_every_measure_with_its_definition() {
    let world = World::class(400);
    let task = world.task();
    let outcome = unlearn(&reset_last(), &task, &mut Silent).unwrap();
    let method = reset_last();
    let quick = verify(&task, Some(&method), &outcome, Level::Quick, &mut Silent).unwrap();
    let full = verify(&task, Some(&method), &outcome, Level::Standard, &mut Silent).unwrap();
    for name in [
        "forget_accuracy",
        "forget_loss",
        "retain_accuracy",
        "test_accuracy",
        "mia_auc",
        "mia_tpr_at_1pct_fpr",
    ] {
        let measure = &quick.metrics[name];
        assert!(measure.retrain.is_none() && !measure.definition.is_empty(), "{name}");
        assert_eq!(full.metrics[name].after, measure.after, "{name}");
    }
    for name in
        ["forget_accuracy", "js_forget", "kl_forget", "kl_test", "dormant_accuracy", "test_class_accuracy"]
    {
        let measure = &full.metrics[name];
        assert!(measure.retrain.is_some() && measure.floor.is_some() && measure.power.is_some(), "{name}");
    }
    let accuracy = &full.metrics["forget_accuracy"];
    assert_eq!(accuracy.before, world.accuracy(&world.parent, &world.forget));
    assert_eq!(accuracy.after, world.accuracy(&outcome.model, &world.forget));
}

#[test]
fn what_a_mask_holds_stays_bit_for_bit() {
    let world = World::class(1500);
    let task = world.task();
    let mask = saliency::mask(&context::Context::new(&task), 0.5);
    let method = Method::Saliency(Saliency { epochs: 3, batch_size: 16, learning_rate: 0.1, fraction: 0.5 });
    let model = unlearn(&method, &task, &mut Silent).unwrap().model;
    let (mut held, mut moved) = (0, 0);
    for ((&factor, new), old) in mask.iter().zip(model.params()).zip(task.parent.params()) {
        if factor == 0.0 {
            assert_eq!(new.to_bits(), old.to_bits());
            held += 1;
        } else if new != old {
            moved += 1;
        }
    }
    assert!(held > 100 && moved > 100, "{held} held, {moved} moved");
}

#[test]
fn a_method_that_moves_nothing_says_so() {
    let world = World::class(400);
    let nothing = Method::Saliency(Saliency { fraction: 0.0, ..Saliency::default() });
    let outcome = unlearn(&nothing, &world.task(), &mut Silent).unwrap();
    assert!(outcome.stopped.is_some_and(|stopped| stopped.reason.contains("changed no parameter")));
}

#[test]
fn no_methods_defaults_cost_more_than_a_point_without_stopping_themselves() {
    for world in [World::class(1500), World::rows(1500)] {
        let task = world.task();
        let retain: Vec<u32> = Split::new(&world.recipe, 1500, &world.forget).train;
        let before = world.accuracy(&world.parent, &retain);
        for method in Method::all().filter(|method| method.applies_to(&world.recipe).is_ok()) {
            let outcome = unlearn(&method, &task, &mut Silent).unwrap();
            let after = world.accuracy(&outcome.model, &retain);
            assert!(after >= before - 0.0101, "{}: {before} {after}, {:?}", method.name(), outcome.stopped);
        }
    }
}

/// Keeps what a method at work shows.
#[derive(Default)]
struct Watch {
    steps: Vec<(Mlp, u64)>,
    looks: Vec<GuardReport>,
}

impl Observer for Watch {
    fn on_step(&mut self, network: &Mlp, n_rows: u64) -> ControlFlow<()> {
        self.steps.push((network.clone(), n_rows));
        ControlFlow::Continue(())
    }
    fn on_guard(&mut self, report: &GuardReport) -> ControlFlow<()> {
        self.looks.push(*report);
        ControlFlow::Continue(())
    }
}

#[test]
fn an_observer_sees_the_network_of_every_step() {
    let world = World::rows(400);
    let mut watch = Watch::default();
    let method = Method::RandomLabel(RandomLabel { epochs: 2, batch_size: 50, learning_rate: 0.01 });
    let outcome = unlearn(&method, &world.task(), &mut watch).unwrap();
    let steps = watch.steps;
    let n_trained = Split::new(&world.recipe, 400, &[]).train.len() as u64;
    let (last, n_rows) = steps.last().unwrap();
    assert!(*last == outcome.model && *n_rows == 2 * n_trained, "{n_rows} of {n_trained}");
    assert!(steps.is_sorted_by(|a, b| a.1 < b.1) && steps[0].1 <= 50 && steps[0].0 != world.parent);
}

#[test]
fn in_a_pass_of_few_steps_the_guard_looks_at_its_end_or_once_the_rows_are_as_good_as_forgotten() {
    let world = World::rows(400);
    let batch_size = world.forget.len().div_ceil(3);
    let looks = |learning_rate| {
        let plain = GradientAscent { epochs: 2, batch_size, learning_rate, ..GradientAscent::PLAIN };
        let mut watch = Watch::default();
        unlearn(&Method::GradientAscent(plain), &world.task(), &mut watch).unwrap();
        watch.looks
    };
    let steps: Vec<u64> = looks(1e-6).iter().map(|look| look.step).collect();
    assert_eq!(steps, [0, 3, 6]);
    let hasty = looks(5.0);
    assert!(hasty.len() == 2 && hasty[1].step < 3, "{hasty:?}");
    assert!(hasty[1].forget_loss >= hasty[1].target_loss.unwrap(), "{hasty:?}");
}
