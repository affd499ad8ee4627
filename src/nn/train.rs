//! Training by any recipe, watched and stoppable by an observer.

use super::batch::Batch;
use super::buffer::Buffer;
use super::evaluate::Evaluator;
use super::simd::LANES;
use super::state::State;
use super::{Mlp, Recipe, Samples, Shape, Solver};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// What a training run may look at. Rows are positions in the respective samples.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    pub train: Samples<'a>,
    /// Rows of `train` that must not be used: they were forgotten.
    /// Sorted, without duplicates.
    pub excluded: &'a [u32],
    /// The official test set; only reported, never tuned on.
    pub test: Samples<'a>,
}

/// The state of an epoch so far, after a mini-batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchReport {
    /// From 1.
    pub epoch: u32,
    /// Mini-batches done in this epoch, from 1.
    pub batch: u64,
    pub batches: u64,
    /// Running means over the epoch's mini-batches.
    pub loss: f64,
    pub accuracy: f64,
}

/// A finished epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// From 1.
    pub epoch: u32,
    pub epochs: u32,
    /// Mean cross-entropy in nats over the epoch's mini-batches, each measured before its update.
    pub train_loss: f64,
    pub train_accuracy: f64,
    /// On rows never trained on.
    pub test_loss: f64,
    pub test_accuracy: f64,
    /// On the held-out part of the training file, where the recipe keeps one.
    pub holdout_loss: Option<f64>,
    pub holdout_accuracy: Option<f64>,
    /// What the reference program of this mode prints.
    pub reported_accuracy: f64,
    /// At the epoch's last mini-batch.
    pub learning_rate: f64,
    /// L2 norm of the epoch's last gradient.
    pub grad_norm: f64,
    /// Samples trained on in this epoch.
    pub n_samples: u64,
}

/// Watches a training; either answer may stop it at once.
pub trait Observer {
    fn on_batch(&mut self, _report: &BatchReport) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn on_epoch(&mut self, _report: &EpochReport, _model: &Mlp) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Between two mini-batches, where a training can go on from what `state` gives: behind [`on_batch`](Self::on_batch),
    /// but not behind every one. At the end of an epoch it comes before the network is measured; going on from there
    /// measures and reports again.
    ///
    /// `standard` offers this behind every mini-batch, `nn` and `debug` every few, ensembles at the end of an epoch,
    /// training to the optimum never.
    fn on_boundary(&mut self, _at: &BatchReport, _state: &dyn Fn() -> State) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// How many threads the training may use, asked before every epoch. It decides speed, not bits; `nn` and
    /// `debug`, whose steps are too small to share, use one.
    fn threads(&mut self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }
}

/// What came of a training.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The last epoch's weights, or the best one's under early stopping.
    pub model: Mlp,
    /// Of the epoch that had these weights at its end; `None` for a training that came to no end of an epoch.
    pub report: Option<EpochReport>,
    /// `false` when the observer stopped it.
    pub completed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    #[error("the loss stopped being a finite number in epoch {epoch}, mini-batch {batch}")]
    NonFinite { epoch: u32, batch: u64 },
    #[error("no training rows are left")]
    NoRows,
    #[error("the state is not one of this training: {0}")]
    Misfit(&'static str),
}

/// Trains a new network.
///
/// The same recipe and problem give the same bits, on any number of threads and any instruction set.
///
/// # Errors
///
/// [`TrainError::NonFinite`] at the first mini-batch whose loss is not a number, [`TrainError::NoRows`]
/// when nothing is left to train on.
pub fn train(
    recipe: &Recipe,
    problem: &Problem<'_>,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    go_on(recipe, problem, None, observer)
}

/// Goes on with a training from a state [`Observer::on_boundary`] gave: to the same bits as if it had never been
/// interrupted, with the same reports from there on.
///
/// The recipe may differ in what decides the mini-batches still to come (epochs, rates, schedule, early stopping, faults
/// other than `output_relu`), and the size of a mini-batch may if the state is that of an epoch's end: then the training
/// turns another way from here.
///
/// # Errors
///
/// As [`train`], and [`TrainError::Misfit`] where the state cannot be one of such a training.
pub fn resume(
    recipe: &Recipe,
    problem: &Problem<'_>,
    state: State,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    go_on(recipe, problem, Some(state), observer)
}

fn go_on(
    recipe: &Recipe,
    problem: &Problem<'_>,
    from: Option<State>,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    match recipe {
        Recipe::Nn(reference) | Recipe::Debug(reference) => {
            super::reference::train(recipe, reference, problem, from, observer)
        }
        Recipe::Standard(standard) => match (standard.solver, from) {
            (Solver::Sgd, from) if standard.shards > 1 => {
                super::sisa::train(standard, problem, from, observer)
            }
            (Solver::Sgd, from) => super::standard::train(standard, problem, from, observer),
            (Solver::Optimum { perturbation }, None) => {
                super::convex::train(standard, perturbation, problem, observer)
            }
            (Solver::Optimum { .. }, Some(_)) => {
                Err(TrainError::Misfit("training to the optimum has no states between its steps"))
            }
        },
    }
}

/// Bytes a training will hold beside the dataset, for admission before anything is allocated; states it gives out are
/// not counted.
pub fn predicted_bytes(recipe: &Recipe, n_rows: usize, n_features: usize, n_classes: usize) -> u128 {
    let (network, measuring) = network_bytes(&recipe.network_hidden(), n_features, n_classes);
    let (member, _) = network_bytes(recipe.hidden(), n_features, n_classes);
    let shape = shape_of(recipe.hidden(), n_features, n_classes);
    let batch = match recipe {
        Recipe::Nn(recipe) | Recipe::Debug(recipe) => {
            super::reference::size_bytes(recipe, n_features, n_classes)
        }
        Recipe::Standard(recipe) => match recipe.solver {
            Solver::Sgd => Batch::size_bytes(&shape, recipe.batch_size),
            Solver::Optimum { .. } => super::convex::size_bytes(n_rows, n_features, n_classes),
        },
    };
    // a gradient; the working copy of the reference modes fits in these
    let params = state_bytes(recipe, n_features, n_classes) + member
        // and the network that members make
        + if recipe.shards() > 1 { network } else { 0 };
    // row lists with the order's scratch; what is looked at sample by sample, with a loss each
    let rows = (24 + 16) * n_rows as u128;
    // measured by the training itself, and by whoever looks on with a `Probe` and sample by sample
    params + rows + batch + 3 * measuring
}

/// Bytes of a training's [`State`]: each network's weights, velocity and best weights.
pub fn state_bytes(recipe: &Recipe, n_features: usize, n_classes: usize) -> u128 {
    let (member, _) = network_bytes(recipe.hidden(), n_features, n_classes);
    3 * u128::from(recipe.shards().max(1)) * member
}

/// Bytes of one network's parameters, and of measuring networks of its shape.
pub fn network_bytes(hidden: &[usize], n_features: usize, n_classes: usize) -> (u128, u128) {
    let shape = shape_of(hidden, n_features, n_classes);
    // not `Shape::buffer_len`: what is asked for may be more than a `usize` counts
    let padded = |width: usize| (width as u128).next_multiple_of(LANES as u128);
    let n_numbers = shape.widths.windows(2).map(|w| (w[0] as u128 + 1) * padded(w[1])).sum();
    (Buffer::size_bytes(n_numbers), Evaluator::size_bytes(&shape))
}

fn shape_of(hidden: &[usize], n_features: usize, n_classes: usize) -> Shape {
    Shape { widths: [&[n_features], hidden, &[n_classes]].concat(), output_relu: false }
}
