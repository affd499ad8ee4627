//! Exact unlearning where the optimum is unique: from the parent's weights to the optimum of the retained rows.

#[cfg(test)]
mod tests;

use super::context::Context;
use super::method::{About, Claim, Field, Unlearner};
use super::{Observer, UnlearnError, Unlearned, go_on};
use crate::nn::convex::{MAX_ITERATIONS, Newton, Objective, Penalty, Step, network_of, weights_of};
use crate::nn::init::perturbation;
use crate::nn::{BatchReport, Recipe, Solver, Standard, TrainError};
use serde::{Deserialize, Serialize};

/// Products an iteration typically takes; how many there will be is known at its end.
const TYPICAL_PRODUCTS: u64 = 16;

/// Iterations a warm start typically takes.
const TYPICAL_ITERATIONS: u32 = 4;

/// The recipe, if models trained by it have one optimum.
pub(super) fn regularised(recipe: &Recipe) -> Result<&Standard, UnlearnError> {
    let refuse = |reason: &str| Err(UnlearnError::NotApplicable(reason.to_owned()));
    match recipe {
        Recipe::Nn(_) | Recipe::Debug(_) => {
            refuse("the parent has a hidden layer: its loss is not convex, there is no one optimum")
        }
        Recipe::Standard(standard) if !standard.hidden.is_empty() => {
            refuse("the parent has hidden layers: its loss is not convex, there is no one optimum")
        }
        Recipe::Standard(standard) if standard.weight_decay <= 0.0 => {
            refuse("the parent was trained without weight decay: its optimum is not unique")
        }
        Recipe::Standard(standard) => Ok(standard),
    }
}

/// The retained rows' problem, at the parent's weights. Its noise is the parent's: the objective loses rows, nothing
/// else.
pub(super) fn begin(context: &Context<'_>, observer: &mut dyn Observer) -> Result<Newton, UnlearnError> {
    let task = context.task;
    let recipe = regularised(task.recipe)?;
    if context.retain.is_empty() {
        return Err(TrainError::NoRows.into());
    }
    let start = weights_of(task.parent);
    let sigma = match recipe.solver {
        Solver::Sgd => 0.0,
        Solver::Optimum { perturbation } => perturbation,
    };
    let noise = perturbation(recipe.seed, sigma, start.len());
    let penalty = Penalty { weight_decay: recipe.weight_decay, noise };
    let objective = Objective::new(task.train, &context.retain, penalty, observer.threads());
    Ok(Newton::new(objective, start))
}

/// Tells an observer of the products with the Hessian as of mini-batches.
pub(super) fn tell<'a>(
    newton: &Newton,
    epoch: u32,
    observer: &'a mut dyn Observer,
) -> impl FnMut(u32) -> std::ops::ControlFlow<()> + use<'a> {
    let (loss, accuracy) = (newton.point().loss, newton.point().accuracy);
    move |products| {
        let batch = u64::from(products);
        let batches = batch.max(TYPICAL_PRODUCTS);
        observer.on_batch(&BatchReport { epoch, batch, batches, loss, accuracy })
    }
}

/// Without numbers of its own: the problem is the parent's recipe's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Convex {}

impl Unlearner for Convex {
    const ABOUT: About = About {
        claim: Claim::Exact,
        summary: "solves the retained rows' regularised problem to its one optimum, starting from the parent's weights",
        equation: "W ← argmin 1/n·Σ_retain CE(softmax(Wᵀx), y) + λ/2·‖W‖² + 1/n·⟨noise, W⟩; preconditioned Newton-CG to ‖∇L‖ ≤ 1e-10; \
                   ‖W − W*‖ ≤ ‖∇L‖/λ",
        access: &["retain"],
        guarantee: "exact: the optimum is unique, so the forgotten rows decide nothing of it beyond that tolerance (weights are stored as f32)",
        cost: "a few passes over the retained rows and one D × D factorisation: about a second, whatever the training took",
        known_failure: "only models without hidden layers and with weight decay; biases decay too, so a parent trained by SGD, where they do not, \
                        moves a little even when nothing is forgotten; parent and child together can give a single forgotten row away \
                        (Bertran et al. 2024), so revoke the parent",
        source: "Newton-CG: Dembo, Eisenstat & Steihaug 1982; preconditioner after Böhning 1992; noise as in Guo et al. 2020",
    };
    const FIELDS: &'static [Field] = &[];

    fn applies_to(&self, recipe: &Recipe) -> Result<(), String> {
        regularised(recipe).map(drop).map_err(|error| error.to_string())
    }

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        let (n_features, n_classes) = (context.task.train.n_features(), context.task.train.n_classes());
        let mut newton = begin(context, observer)?;
        for epoch in 1..=MAX_ITERATIONS {
            newton.objective_mut().set_threads(observer.threads());
            let mut on_product = tell(&newton, epoch, observer);
            let step = newton.step(&mut on_product);
            drop(on_product);
            let Step { length, products } = step.continue_value().ok_or(UnlearnError::Interrupted)?;
            let model = network_of(&newton.point().weights, n_features, n_classes);
            if !(newton.point().gradient_norm.is_finite() && model.is_finite()) {
                return Err(TrainError::NonFinite { epoch, batch: u64::from(products) }.into());
            }
            let is_over = newton.is_at_optimum();
            let epochs = if is_over { epoch } else { TYPICAL_ITERATIONS.max(epoch + 1) };
            let n_samples = context.retain.len() as u64;
            go_on(observer.on_epoch(&context.epoch(&model, epoch, epochs, length, n_samples)))?;
            if is_over {
                let reached = format!(
                    "optimum of the retained rows reached: gradient norm {:.1e}, so at most {:.1e} away from it before rounding to f32; \
                     iterations: {epoch}",
                    newton.point().gradient_norm,
                    newton.distance()
                );
                go_on(observer.on_phase("unlearn", &reached))?;
                return Ok(model.into());
            }
            if length == 0.0 {
                break;
            }
        }
        Err(UnlearnError::NotApplicable(format!(
            "the optimum could not be reached in f64: the gradient norm stays at {:.1e}; scale the features or raise the weight decay",
            newton.point().gradient_norm
        )))
    }
}
