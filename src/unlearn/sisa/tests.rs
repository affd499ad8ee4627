//! What makes `sisa` exact, on a small ensemble.

use super::*;
use crate::nn::hash::{Purpose, keyed_hash};
use crate::nn::twin::problem_data;
use crate::nn::{BatchReport, Evaluator, Features, Mlp, Samples, Split, TrainError, train};
use crate::unlearn::tests::Silent;
use crate::unlearn::{Level, Method, Unlearned, Verdict, unlearn, verify};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

const WIDTH: usize = 30;
const N_PEOPLE: u64 = 12;

struct World {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    subjects: Vec<u64>,
    recipe: Recipe,
    parent: Mlp,
}

impl World {
    fn new(n_rows: usize, recipe: Standard) -> Self {
        let (pixels, labels) = problem_data(n_rows, WIDTH, 4);
        let subjects = (0..n_rows as u64).map(|row| 1_000 + row % N_PEOPLE).collect();
        let recipe = Recipe::Standard(recipe);
        let parent = Mlp::zeroed(crate::nn::Shape { widths: vec![1, 1], output_relu: false });
        let mut world = Self { pixels, labels, subjects, recipe, parent };
        world.parent = world.trained_without(&[]);
        world
    }

    fn small() -> Self {
        Self::new(120, recipe())
    }

    fn samples(&self) -> Samples<'_> {
        Samples::new(Features::U8(&self.pixels), &self.labels, WIDTH, 4).with_subjects(Some(&self.subjects))
    }

    /// The whole ensemble by the parent's recipe and seed.
    fn trained_without(&self, excluded: &[u32]) -> Mlp {
        let problem = Problem { train: self.samples(), excluded, test: self.samples() };
        train(&self.recipe, &problem, &mut Silent).unwrap().model
    }

    /// Rows trained on that `is_wanted` wants.
    fn rows(&self, is_wanted: impl Fn(u32) -> bool) -> Vec<u32> {
        let split = Split::new(&self.recipe, self.labels.len(), &[]);
        split.train.into_iter().filter(|&row| is_wanted(row)).collect()
    }

    fn rows_of(&self, person: u64) -> Vec<u32> {
        self.rows(|row| self.subjects[row as usize] == 1_000 + person)
    }

    fn shard(&self, row: u32) -> u32 {
        shard_of(self.samples(), self.recipe.shards(), row)
    }

    fn task<'a>(&'a self, parent: &'a Mlp, excluded: &'a [u32], forget: &'a [u32]) -> Task<'a> {
        Task {
            parent,
            known: None,
            recipe: &self.recipe,
            train: self.samples(),
            test: self.samples(),
            excluded,
            parent_is_exact: true,
            forget,
            class: None,
            lookalikes: None,
            seed: 77,
        }
    }

    fn forget(&self, rows: &[u32]) -> Mlp {
        forgotten(&self.task(&self.parent, &[], rows))
    }
}

fn recipe() -> Standard {
    Standard { hidden: vec![10], epochs: 2, batch_size: 16, holdout: 0.1, shards: 4, ..Standard::new(5) }
}

fn forgotten(task: &Task<'_>) -> Mlp {
    unlearn(&Method::SISA, task, &mut Silent).unwrap().model
}

#[test]
fn it_gives_the_bits_of_training_the_whole_ensemble_without_the_rows() {
    for recipe in [recipe(), Standard { hidden: vec![9, 7], momentum: 0.5, weight_decay: 1e-3, ..recipe() }] {
        let world = World::new(120, recipe);
        for rows in [
            world.rows_of(3)[..1].to_vec(),
            world.rows_of(7),
            world.rows(|row| row % 9 == 0),
            world.rows(|row| world.labels[row as usize] == 2),
        ] {
            let (new, retrained) = (world.forget(&rows), world.trained_without(&rows));
            assert!(new.params() == retrained.params() && new != world.parent, "{rows:?}");
        }
    }
}

#[test]
fn early_stopping_stays_each_members_own() {
    let early_stopping = Some(crate::nn::EarlyStopping { patience: 1 });
    let world = World::new(120, Standard { epochs: 12, learning_rate: 0.4, early_stopping, ..recipe() });
    let rows = world.rows_of(2);
    assert_eq!(world.forget(&rows), world.trained_without(&rows));
}

/// Counts the members it is told of, on so many threads.
struct Listener {
    phases: Vec<String>,
    epochs: Vec<UnlearnEpoch>,
    n_threads: usize,
    stop_after: usize,
}

impl Listener {
    fn new(n_threads: usize) -> Self {
        Self { phases: Vec::new(), epochs: Vec::new(), n_threads, stop_after: usize::MAX }
    }

    fn tick(&mut self) -> ControlFlow<()> {
        self.stop_after -= 1;
        if self.stop_after == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Observer for Listener {
    fn on_batch(&mut self, _: &BatchReport) -> ControlFlow<()> {
        self.tick()
    }
    fn on_epoch(&mut self, report: &UnlearnEpoch) -> ControlFlow<()> {
        self.epochs.push(*report);
        self.tick()
    }
    fn on_phase(&mut self, _: &str, detail: &str) -> ControlFlow<()> {
        self.phases.push(detail.to_owned());
        self.tick()
    }
    fn threads(&mut self) -> NonZeroUsize {
        NonZeroUsize::new(self.n_threads).unwrap()
    }
}

#[test]
fn forgetting_a_subject_trains_one_member_and_leaves_every_bit_of_the_others() {
    let world = World::small();
    let Recipe::Standard(recipe) = &world.recipe else { unreachable!("the recipe is standard") };
    let joint = Joint::of(recipe, WIDTH, 4);
    for person in 0..N_PEOPLE {
        let rows = world.rows_of(person);
        let mut listener = Listener::new(1);
        let task = world.task(&world.parent, &[], &rows);
        let mut new = unlearn(&Method::SISA, &task, &mut listener).unwrap().model;
        assert!(listener.phases.contains(&"training 1 of 4 members again".to_owned()));
        let shard = world.shard(rows[0]) as usize;
        let silent = Mlp::zeroed(joint.member().clone());
        let mut old = world.parent.clone();
        assert_ne!(new, old);
        joint.replace(&mut new, shard, &silent);
        joint.replace(&mut old, shard, &silent);
        assert_eq!(new, old, "person {person}");
    }
}

#[test]
fn what_was_in_the_forgotten_rows_decides_no_bit() {
    let world = World::small();
    let rows = world.rows_of(4);
    let mut other = World { parent: world.parent.clone(), recipe: world.recipe.clone(), ..World::small() };
    for &row in &rows {
        other.pixels[row as usize * WIDTH..][..WIDTH].iter_mut().for_each(|pixel| *pixel = 255 - *pixel);
        other.labels[row as usize] = (other.labels[row as usize] + 1) % 4;
    }
    assert_eq!(world.forget(&rows), other.forget(&rows));
}

#[test]
fn forgetting_in_steps_in_any_order_is_forgetting_at_once() {
    let world = World::small();
    let (first, second) =
        (world.rows_of(1), world.rows(|row| row % 11 == 0 && world.subjects[row as usize] != 1_001));
    let mut both = [&first[..], &second[..]].concat();
    both.sort_unstable();
    let at_once = world.forget(&both);
    for (now, then) in [(&first, &second), (&second, &first)] {
        let between = world.forget(now);
        assert_eq!(forgotten(&world.task(&between, now, then)), at_once);
    }
}

#[test]
fn forgetting_nothing_changes_nothing() {
    let world = World::small();
    assert_eq!(world.forget(&[]), world.parent);
}

#[test]
fn every_member_is_trained_again_where_an_approximate_method_was_at_work() {
    let world = World::small();
    let (earlier, now) = (world.rows_of(1), world.rows_of(2));
    let mut touched = world.parent.clone();
    for (i, param) in touched.params_mut().iter_mut().enumerate() {
        // padding stays as it is
        *param += if *param == 0.0 { 0.0 } else { keyed_hash(1, Purpose::Probe, 0, i as u32) as f32 / 1e20 };
    }
    let task = Task { parent_is_exact: false, ..world.task(&touched, &earlier, &now) };
    let mut both = [earlier.clone(), now.clone()].concat();
    both.sort_unstable();
    assert_eq!(forgotten(&task).to_params(), world.trained_without(&both).to_params());
}

#[test]
fn a_member_whose_rows_are_all_forgotten_says_nothing_and_an_ensemble_without_rows_is_an_error() {
    let world = World::small();
    let shard = world.shard(0);
    let rows = world.rows(|row| world.shard(row) == shard);
    assert_eq!(world.forget(&rows), world.trained_without(&rows));
    let everything = world.rows(|_| true);
    let result = unlearn(&Method::SISA, &world.task(&world.parent, &[], &everything), &mut Silent);
    assert_eq!(result.unwrap_err(), UnlearnError::Train(TrainError::NoRows));
}

#[test]
fn a_single_network_and_one_of_another_shape_are_refused_with_a_reason() {
    let world = World::new(60, Standard { shards: 1, ..recipe() });
    let rows = world.rows_of(1);
    let refused = unlearn(&Method::SISA, &world.task(&world.parent, &[], &rows), &mut Silent).unwrap_err();
    assert!(refused.to_string().contains("`shards` of at least 2"), "{refused}");
    assert_eq!(
        Method::SISA.applies_to(&world.recipe).map_err(UnlearnError::NotApplicable).unwrap_err(),
        refused
    );

    let ensemble = World::small();
    assert_eq!(Method::SISA.applies_to(&ensemble.recipe), Ok(()));
    let task = ensemble.task(&world.parent, &[], &rows);
    let refused = unlearn(&Method::SISA, &task, &mut Silent).unwrap_err();
    assert!(matches!(&refused, UnlearnError::NotApplicable(reason) if reason.contains("shape")), "{refused}");
}

#[test]
fn threads_decide_no_bit_and_epochs_are_told_with_the_measures_of_the_ensemble() {
    let world = World::small();
    let rows = world.rows_of(5);
    let task = world.task(&world.parent, &[], &rows);
    let alone = world.forget(&rows);
    for n_threads in [1, 2, 3] {
        let mut listener = Listener::new(n_threads);
        let new = unlearn(&Method::SISA, &task, &mut listener).unwrap().model;
        assert_eq!(new, alone);
        assert_eq!(listener.epochs.iter().map(|report| report.epoch).collect::<Vec<_>>(), [1, 2]);
        let last = listener.epochs.last().unwrap();
        let shard = world.shard(rows[0]);
        let seen = world.rows(|row| world.shard(row) == shard).len() - rows.len();
        assert_eq!((last.epochs, last.n_samples), (2, seen as u64));
        let mut evaluator = Evaluator::new(new.shape());
        let forget = evaluator.evaluate(&new, world.samples(), &rows);
        let all: Vec<u32> = (0..120).collect();
        let test = evaluator.evaluate(&new, world.samples(), &all);
        assert_eq!((last.forget_accuracy, last.test_accuracy), (forget.accuracy, test.accuracy));
        // the same few dozen terms in another order
        assert!((last.forget_loss - forget.loss).abs() < 1e-5 && (last.test_loss - test.loss).abs() < 1e-5);
    }
}

#[test]
fn an_observer_stops_it() {
    let world = World::small();
    let rows = world.rows_of(5);
    for stop_after in [1, 2, 3, 5] {
        let mut listener = Listener { stop_after, ..Listener::new(1) };
        let outcome = unlearn(&Method::SISA, &world.task(&world.parent, &[], &rows), &mut listener);
        assert!(matches!(outcome, Err(UnlearnError::Interrupted)), "{stop_after}");
    }
}

#[test]
fn it_passes_where_doing_nothing_fails() {
    let world = World::new(1500, Standard { hidden: vec![24], epochs: 6, shards: 2, ..recipe() });
    let rows = world.rows(|row| world.labels[row as usize] == 2);
    // one pair of so small networks sometimes lies closer together than most do
    let task = Task { class: Some(2), seed: 3, ..world.task(&world.parent, &[], &rows) };
    let new = Unlearned::from(forgotten(&task));
    let report = verify(&task, Some(&Method::SISA), &new, Level::Standard, &mut Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Pass, "{} {:?}", report.reason, report.shortcomings);
    let nothing = Unlearned::from(world.parent.clone());
    let report = verify(&task, Some(&Method::SISA), &nothing, Level::Standard, &mut Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Fail, "{}", report.reason);
}
