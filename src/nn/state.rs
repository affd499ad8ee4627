//! A training between two mini-batches: everything that decides what it does from there on.
//!
//! All randomness is a hash of seed, epoch and row, so a state has none: it is numbers and a place.

use super::running::Running;
use super::train::{EpochReport, TrainError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a training goes on from, to the bit, given the recipe and the data it began with.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub cursor: Cursor,
    /// Parameters, velocities and best parameters by name, as they lie in memory.
    pub tensors: BTreeMap<String, Vec<f32>>,
}

/// The place, and what was counted on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    running: Running,
    /// In `nn` and `debug`: by how many updates each row of the hidden layer is behind the last one.
    pub(super) lags: Vec<u64>,
    /// For each network under early stopping: its best epoch and that one's held-out loss.
    pub(super) best: Vec<Option<(u32, f64)>>,
    /// In an ensemble: members that have come to their end.
    pub(super) are_over: Vec<bool>,
    /// Of the epoch whose weights would be given out now.
    pub(super) report: Option<EpochReport>,
}

impl State {
    pub(super) fn new(running: Running, report: Option<EpochReport>) -> Self {
        let cursor = Cursor { running, lags: vec![], best: vec![], are_over: vec![], report };
        Self { cursor, tensors: BTreeMap::new() }
    }

    pub fn epoch(&self) -> u32 {
        self.cursor.running.epoch
    }

    /// Whether nothing of the epoch is left but to measure what came of it.
    pub fn is_at_end_of_epoch(&self) -> bool {
        self.cursor.running.is_over()
    }

    /// Whether all numbers are finite: a state that is not leads nowhere.
    pub fn is_finite(&self) -> bool {
        self.tensors.values().flatten().all(|value| value.is_finite())
    }

    pub(super) fn put(&mut self, name: String, values: &[f32]) {
        self.tensors.insert(name, values.to_vec());
    }

    /// Moves a tensor to where it came from.
    pub(super) fn take(&mut self, name: &str, into: &mut [f32]) -> Result<(), TrainError> {
        let values = self.tensors.remove(name).ok_or(TrainError::Misfit("a tensor is missing"))?;
        if values.len() != into.len() {
            return Err(TrainError::Misfit("a tensor has another size"));
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(TrainError::Misfit("a number is not finite"));
        }
        into.copy_from_slice(&values);
        Ok(())
    }

    /// Where a training of `epochs` epochs of `batches` mini-batches each goes on. An epoch that is over may have had
    /// another number of them.
    pub(super) fn running(&self, epochs: u32, batches: u64) -> Result<Running, TrainError> {
        let running = self.cursor.running;
        if !(1..=epochs).contains(&running.epoch) {
            return Err(TrainError::Misfit("its epoch is not one of this training"));
        }
        if !running.is_over() && (running.batches != batches || running.batch > batches) {
            return Err(TrainError::Misfit("its epoch has another number of mini-batches"));
        }
        Ok(running)
    }

    /// Nothing may be left over: what is not known was not restored.
    pub(super) fn finish(self) -> Result<(), TrainError> {
        if self.tensors.is_empty() { Ok(()) } else { Err(TrainError::Misfit("it has unknown tensors")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::twin::{Silent, problem_data};
    use crate::nn::{
        BatchReport, EarlyStopping, Faults, Features, Mlp, Observer, Problem, Recipe, Reference, Samples,
        Schedule, Solver, Standard, Trained, resume, train,
    };
    use std::num::NonZeroUsize;
    use std::ops::ControlFlow;

    const N_ROWS: usize = 90;
    const WIDTH: usize = 40;
    const CLASSES: usize = 4;

    struct World {
        pixels: Vec<u8>,
        labels: Vec<u32>,
    }

    impl World {
        /// Most pixels are dark, some in every row but a few: rows of weights stay behind the clock for long.
        fn new() -> Self {
            let (mut pixels, labels) = problem_data(N_ROWS, WIDTH, CLASSES as u32);
            for (i, pixel) in pixels.iter_mut().enumerate() {
                let (row, column) = (i / WIDTH, i % WIDTH);
                if (row * 7 + column * 3) % 11 > 3 || (column < 4 && row % 29 != 0) {
                    *pixel = 0;
                }
            }
            Self { pixels, labels }
        }

        fn problem(&self) -> Problem<'_> {
            let samples = Samples::new(Features::U8(&self.pixels), &self.labels, WIDTH, CLASSES);
            Problem { train: samples, excluded: &[3, 50], test: samples }
        }
    }

    /// Keeps everything it is offered, and stops where it is told to.
    #[derive(Default)]
    struct Keeper {
        reports: Vec<EpochReport>,
        /// With the reports there had been.
        states: Vec<(State, usize)>,
        stop_at: Option<usize>,
    }

    impl Observer for Keeper {
        fn on_epoch(&mut self, report: &EpochReport, _: &Mlp) -> ControlFlow<()> {
            self.reports.push(*report);
            ControlFlow::Continue(())
        }
        fn on_boundary(&mut self, at: &BatchReport, state: &dyn Fn() -> State) -> ControlFlow<()> {
            let state = state();
            assert_eq!((state.epoch(), state.is_at_end_of_epoch()), (at.epoch, at.batch == at.batches));
            self.states.push((state, self.reports.len()));
            if self.stop_at == Some(self.states.len()) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }
        fn threads(&mut self) -> NonZeroUsize {
            NonZeroUsize::new(1 + self.reports.len() % 2).unwrap()
        }
    }

    fn recipes() -> Vec<Recipe> {
        let standard = Standard { hidden: vec![20], epochs: 4, batch_size: 16, ..Standard::new(3) };
        let stopping = Standard {
            holdout: 0.2,
            early_stopping: Some(EarlyStopping { patience: 1 }),
            ..standard.clone()
        };
        let reference = Reference { hidden: 20, epochs: 3, ..Reference::debug(3) };
        let large = Reference { batch_size: 40, ..reference.clone() };
        let once = Faults { per_sample_momentum: false, ..Faults::NN };
        vec![
            Recipe::Standard(Standard { schedule: Schedule::Cosine, weight_decay: 0.01, ..standard.clone() }),
            Recipe::Standard(Standard { hidden: vec![], ..standard.clone() }),
            Recipe::Standard(Standard { learning_rate: 1.0, ..stopping.clone() }),
            Recipe::Standard(Standard { shards: 3, ..standard }),
            Recipe::Standard(Standard { shards: 3, learning_rate: 1.0, ..stopping }),
            Recipe::Debug(reference.clone()),
            Recipe::Debug(large),
            Recipe::Nn(Reference { faults: Faults::NN, ..reference.clone() }),
            Recipe::Nn(Reference { faults: once, ..reference }),
        ]
    }

    fn bits(trained: &Trained) -> Vec<u32> {
        trained.model.params().iter().map(|param| param.to_bits()).collect()
    }

    #[test]
    fn every_boundary_leads_to_the_bits_and_reports_of_a_training_without_interruption() {
        let world = World::new();
        for recipe in recipes() {
            let mut keeper = Keeper::default();
            let whole = train(&recipe, &world.problem(), &mut keeper).unwrap();
            let ends = keeper.states.iter().filter(|(state, _)| state.is_at_end_of_epoch()).count();
            assert_eq!(ends, keeper.reports.len(), "every end of an epoch is a boundary: {recipe:?}");
            for (state, n_reports) in &keeper.states {
                let mut rest = Keeper::default();
                let trained = resume(&recipe, &world.problem(), state.clone(), &mut rest).unwrap();
                assert!(bits(&trained) == bits(&whole), "{:?} {recipe:?}", state.cursor);
                assert_eq!((trained.report, trained.completed), (whole.report, true));
                assert_eq!(rest.reports, keeper.reports[*n_reports..], "{:?} {recipe:?}", state.cursor);
            }
        }
    }

    #[test]
    fn a_training_stopped_at_boundary_after_boundary_comes_to_the_same_bits() {
        let world = World::new();
        for recipe in recipes() {
            let whole = train(&recipe, &world.problem(), &mut Silent).unwrap();
            let mut keeper = Keeper { stop_at: Some(1), ..Keeper::default() };
            let mut trained = train(&recipe, &world.problem(), &mut keeper).unwrap();
            let mut n_stops = 0;
            while !trained.completed {
                n_stops += 1;
                let state = keeper.states.last().unwrap().0.clone();
                keeper.states.clear();
                trained = resume(&recipe, &world.problem(), state, &mut keeper).unwrap();
            }
            assert!(n_stops > 1, "{recipe:?}");
            assert!(bits(&trained) == bits(&whole), "{recipe:?}");
        }
    }

    #[test]
    fn what_is_to_come_may_be_changed_at_the_end_of_an_epoch() {
        let world = World::new();
        let base = Standard { hidden: vec![20], epochs: 2, batch_size: 16, ..Standard::new(3) };
        let mut keeper = Keeper::default();
        train(&Recipe::Standard(base.clone()), &world.problem(), &mut keeper).unwrap();
        let end = |epoch| {
            let at_end = |(state, _): &&(State, usize)| state.epoch() == epoch && state.is_at_end_of_epoch();
            keeper.states.iter().find(at_end).unwrap().0.clone()
        };
        let changed =
            Standard { epochs: 5, batch_size: 10, learning_rate: 0.01, momentum: 0.5, ..base.clone() };
        let mut rest = Keeper::default();
        let trained = resume(&Recipe::Standard(changed), &world.problem(), end(1), &mut rest).unwrap();
        assert_eq!(rest.reports.iter().map(|report| report.epoch).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(rest.reports[0].train_loss, keeper.reports[0].train_loss);
        assert!(trained.completed && rest.reports[4].train_loss < keeper.reports[1].train_loss);
        // and a training that is over gives its weights once more
        let over = resume(&Recipe::Standard(base.clone()), &world.problem(), end(2), &mut Silent).unwrap();
        let whole = train(&Recipe::Standard(base), &world.problem(), &mut Silent).unwrap();
        assert!(bits(&over) == bits(&whole));
    }

    #[test]
    fn a_state_of_another_training_is_refused() {
        let world = World::new();
        let base = Standard { hidden: vec![20], epochs: 3, batch_size: 16, ..Standard::new(3) };
        let mut keeper = Keeper::default();
        train(&Recipe::Standard(base.clone()), &world.problem(), &mut keeper).unwrap();
        let (first, last) = (keeper.states[0].0.clone(), keeper.states.last().unwrap().0.clone());
        let mut broken = first.clone();
        broken.tensors.get_mut("weights").unwrap()[0] = f32::NAN;
        assert!(!broken.is_finite() && first.is_finite());
        let mut lacking = first.clone();
        lacking.tensors.remove("velocity");
        let mut foreign = first.clone();
        foreign.tensors.insert("hidden".into(), vec![0.0]);
        let of = |recipe: Standard| Recipe::Standard(recipe);
        let reference = Recipe::Debug(Reference { hidden: 20, epochs: 3, ..Reference::debug(3) });
        for (recipe, state, because) in [
            (of(Standard { hidden: vec![24], ..base.clone() }), &first, "another size"),
            (of(Standard { batch_size: 10, ..base.clone() }), &first, "number of mini-batches"),
            (of(Standard { epochs: 2, ..base.clone() }), &last, "not one of this training"),
            (of(Standard { shards: 2, ..base.clone() }), &last, "number of members"),
            (
                of(Standard { solver: Solver::Optimum { perturbation: 0.0 }, ..base.clone() }),
                &last,
                "optimum",
            ),
            (of(base.clone()), &broken, "not finite"),
            (of(base.clone()), &lacking, "missing"),
            (of(base.clone()), &foreign, "unknown"),
            (reference, &last, "missing"),
        ] {
            let error = resume(&recipe, &world.problem(), state.clone(), &mut Silent).unwrap_err();
            assert!(error.to_string().contains(because), "{error} instead of {because}");
        }
    }
}
