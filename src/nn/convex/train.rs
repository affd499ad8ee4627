//! Training to the optimum: the recipe's rows, from zero, as the epochs of an observed training.

use super::{Newton, Objective, Penalty, network_of};
use crate::nn::batch::Batch;
use crate::nn::evaluate::{CHUNK, evaluate};
use crate::nn::init::perturbation;
use crate::nn::team::Team;
use crate::nn::train::{BatchReport, EpochReport, Observer, Problem, TrainError, Trained};
use crate::nn::{Recipe, Split, Standard};

/// Products an iteration typically takes; how many there will be is known at its end.
const TYPICAL_PRODUCTS: u64 = 16;

/// Solves the recipe's problem from zero. An epoch is an iteration of Newton's method, a mini-batch is a product with
/// the Hessian; it ends at the optimum, and after `recipe.epochs` iterations whether it is there or not (the last
/// `grad_norm` tells). Losses and accuracies of an epoch are those at its end, its learning rate is the step length.
///
/// # Panics
///
/// If the recipe has hidden layers or no weight decay.
pub(in crate::nn) fn train(
    recipe: &Standard,
    sigma: f64,
    problem: &Problem<'_>,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    assert!(recipe.hidden.is_empty(), "only a network without hidden layers has a convex loss");
    let samples = problem.train;
    let split = Split::new(&Recipe::Standard(recipe.clone()), samples.n_rows(), problem.excluded);
    if split.train.is_empty() {
        return Err(TrainError::NoRows);
    }
    let (n_features, n_classes) = (samples.n_features(), samples.n_classes());
    let n_params = (n_features + 1) * n_classes;
    let penalty =
        Penalty { weight_decay: recipe.weight_decay, noise: perturbation(recipe.seed, sigma, n_params) };
    let objective = Objective::new(samples, &split.train, penalty, observer.threads());
    let mut newton = Newton::new(objective, vec![0.0; n_params]);
    let mut mlp = network_of(&newton.point().weights, n_features, n_classes);
    let mut batch = Batch::new(mlp.shape(), CHUNK);
    let test_rows: Vec<u32> = (0..problem.test.n_rows() as u32).collect();
    let mut given = None;
    for epoch in 1..=recipe.epochs {
        let n_threads = observer.threads();
        newton.objective_mut().set_threads(n_threads);
        if n_threads.get() != batch.n_threads() {
            batch.set_team(Team::of(n_threads));
        }
        let (loss, accuracy) = (newton.point().loss, newton.point().accuracy);
        let step = newton.step(&mut |products| {
            let batch = u64::from(products);
            let batches = batch.max(TYPICAL_PRODUCTS);
            observer.on_batch(&BatchReport { epoch, batch, batches, loss, accuracy })
        });
        let Some(step) = step.continue_value() else {
            return Ok(Trained { model: mlp, report: given, completed: false });
        };
        let point = newton.point();
        mlp = network_of(&point.weights, n_features, n_classes);
        if !(point.gradient_norm.is_finite() && mlp.is_finite()) {
            return Err(TrainError::NonFinite { epoch, batch: u64::from(step.products) });
        }
        let is_over = newton.is_at_optimum() || step.length == 0.0;
        let test = evaluate(&mut batch, &mlp, problem.test, &test_rows);
        let holdout =
            (!split.held_out.is_empty()).then(|| evaluate(&mut batch, &mlp, samples, &split.held_out));
        let report = EpochReport {
            epoch,
            epochs: if is_over { epoch } else { recipe.epochs },
            train_loss: point.loss,
            train_accuracy: point.accuracy,
            test_loss: test.loss,
            test_accuracy: test.accuracy,
            holdout_loss: holdout.map(|h| h.loss),
            holdout_accuracy: holdout.map(|h| h.accuracy),
            reported_accuracy: test.accuracy,
            learning_rate: step.length,
            grad_norm: point.gradient_norm,
            n_samples: split.train.len() as u64,
        };
        given = Some(report);
        if observer.on_epoch(&report, &mlp).is_break() {
            return Ok(Trained { model: mlp, report: given, completed: false });
        }
        if is_over {
            break;
        }
    }
    Ok(Trained { model: mlp, report: given, completed: true })
}
