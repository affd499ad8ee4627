//! All of it on a few rows.

use super::forgetting::Way;
use super::*;
use crate::cli::{Cli, Command};
use crate::nn::twin::{Silent, problem_data};
use crate::nn::{self, BatchReport, Evaluator, Faults, Features, Mode, Observer, Recipe, State};
use clap::Parser;
use std::ops::ControlFlow;

const WIDTH: usize = 40;
const N_ROWS: usize = 1_000;

struct Rows {
    pixels: Vec<u8>,
    labels: Vec<u32>,
}

impl Rows {
    fn new() -> Self {
        let (pixels, labels) = problem_data(N_ROWS, WIDTH, 5);
        Self { pixels, labels }
    }

    fn work(&self, n_threads: usize) -> Work<'_> {
        let samples = Samples::new(Features::U8(&self.pixels), &self.labels, WIDTH, 5);
        let threads = NonZeroUsize::new(n_threads).unwrap();
        Work { name: "rows", train: samples, test: samples, n_seeds: 2, threads, hidden: 24 }
    }
}

const LENGTHS: (reference::Length, forgetting::Length) =
    (reference::Length { nn: 3, debug: 2 }, forgetting::Length { learning: 3, backwards: 20 });

#[test]
fn four_files_are_written_the_same_on_any_number_of_threads() {
    let rows = Rows::new();
    let short = forgetting::Length { backwards: 2, ..LENGTHS.1 };
    let folders = [1, 3].map(|n_threads| {
        let folder = tempfile::tempdir().unwrap();
        let compared = write(&rows.work(n_threads), (LENGTHS.0, short), folder.path()).unwrap();
        assert_eq!(compared, None, "these rows are not the report's");
        folder
    });
    for name in ["reference.csv", "reference.svg", "forgetting.csv", "forgetting.svg"] {
        let [one, three] =
            folders.each_ref().map(|folder| std::fs::read_to_string(folder.path().join(name)).unwrap());
        assert_eq!(one, three, "{name}");
        assert!(!one.contains("NaN"), "{name}: {one}");
    }
    let table = std::fs::read_to_string(folders[0].path().join("reference.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 2 * (3 + 2), "{table}");
}

#[test]
fn every_seed_trains_both_programs_for_all_their_epochs() {
    let rows = Rows::new();
    let curves = reference::run(&rows.work(2), LENGTHS.0).unwrap();
    let trained: Vec<_> = curves.iter().map(|curve| (curve.mode, curve.seed, curve.epochs.len())).collect();
    assert_eq!(trained, [(Mode::Nn, 1, 3), (Mode::Nn, 2, 3), (Mode::Debug, 1, 2), (Mode::Debug, 2, 2)]);
    for curve in &curves {
        // nn prints what it finds on unseen rows, debug what it finds on rows it was just taught
        let first = curve.epochs[0];
        assert_eq!(first.printed == first.test, curve.mode == Mode::Nn, "{curve:?}");
    }
}

#[test]
fn three_ways_go_out_from_one_network_and_learning_backwards_spares_no_class() {
    let rows = Rows::new();
    let courses = forgetting::run(&rows.work(2), LENGTHS.1).unwrap();
    assert_eq!(courses.len(), 6);
    for of_seed in courses.chunks(3) {
        assert_eq!(of_seed.iter().map(|course| course.way).collect::<Vec<_>>(), Way::ALL);
        let before = of_seed[0].looks[0];
        assert!(before.of_class > 0.9 && before.of_others > 0.9, "{before:?}");
        for course in of_seed {
            assert_eq!(course.looks[0], before);
            assert!(course.looks.len() > 3 && course.looks.is_sorted_by(|a, b| a.n_samples < b.n_samples));
        }
        let [backwards, random, _] = of_seed else { panic!("three ways") };
        let end = |course: &forgetting::Course| *course.looks.last().unwrap();
        // twenty epochs of 800 rows; two passes over all of them
        assert_eq!((end(backwards).n_samples, end(random).n_samples), (16_000, 1_600));
        assert!(end(backwards).of_others < before.of_others - 0.1, "{:?}", end(backwards));
        assert!(end(random).of_class < 0.6 && end(random).of_others > 0.9, "{:?}", end(random));
    }
}

/// Keeps the state at the end of each epoch.
#[derive(Default)]
struct Ends(Vec<State>);

impl Observer for Ends {
    fn on_boundary(&mut self, at: &BatchReport, state: &dyn Fn() -> State) -> ControlFlow<()> {
        if at.batch == at.batches {
            self.0.push(state());
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn legs_from_look_to_look_are_one_training() {
    let rows = Rows::new();
    let work = rows.work(1);
    let aligned = Faults { misaligned_labels: false, ..Faults::NN };
    let recipe =
        |epochs, faults| Recipe::Nn(Reference { hidden: work.hidden, epochs, faults, ..Reference::nn(1) });
    let mut ends = Ends::default();
    nn::train(&recipe(3, aligned), &work.problem(), &mut ends).unwrap();
    let state = ends.0.pop().unwrap();
    let whole = nn::resume(&recipe(23, Faults::NN), &work.problem(), state, &mut Silent).unwrap().model;
    // so few rows are all looked at
    let of_class: Vec<u32> = (0..800).filter(|&row| rows.labels[row as usize] == forgetting::CLASS).collect();
    let seen = Evaluator::new(whole.shape()).evaluate(&whole, work.train, &of_class).accuracy;
    let courses = forgetting::run(&work, LENGTHS.1).unwrap();
    assert_eq!(courses[0].looks.last().unwrap().of_class, seen);
    assert!(courses[0].looks.len() > 15 && seen < courses[0].looks[0].of_class, "{seen}");
}

#[test]
fn a_data_set_that_is_not_there_is_a_mistake_of_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let line = ["lethe", "--data-dir", folder, "bench-backwards", "--dataset", "nowhere"];
    let cli = Cli::try_parse_from(line).unwrap();
    let Some(Command::BenchBackwards(args)) = cli.command else { panic!("another command") };
    assert!(matches!(bench(&args, &cli.config), Err(CliError::Usage(_))));
    assert!(Cli::try_parse_from(["lethe", "bench-backwards", "--seeds", "0"]).is_err());
}
