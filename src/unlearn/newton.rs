//! Certified removal: a Newton step towards the retained rows' optimum, and the gradient that is left, measured.

use super::certificate::{Certificate, budget};
use super::context::Context;
use super::convex;
use super::method::{About, Claim, Domain, Field, Unlearner};
use super::{Observer, UnlearnError, Unlearned, go_on};
use crate::nn::convex::{Newton as Solving, network_of, weights_of};
use crate::nn::{Mlp, Recipe, Solver, TrainError};
use serde::{Deserialize, Serialize};

/// How precisely a step's equations are solved, relative to the gradient.
const PRECISION: f64 = 1e-6;

/// A second step fits nearly always.
const MAX_STEPS: u32 = 20;

/// A step that leaves more of the residual than this has come to the end of what f32 weights can express.
const STALLED: f64 = 0.5;

/// What a certificate is to promise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Newton {
    pub epsilon: f64,
    pub delta: f64,
}

impl Default for Newton {
    fn default() -> Self {
        Self { epsilon: 1.0, delta: 1e-4 }
    }
}

impl Unlearner for Newton {
    const ABOUT: About = About {
        claim: Claim::Certified,
        summary: "takes a Newton step towards the retained rows' optimum and certifies what gradient is left, beside the noise the parent was \
                  trained with",
        equation: "Δ = −H⁻¹g, g = n·∇L(W; retain) = parent's own residual − Σ_forget ∇CE − |forget|·λW, H = n·∇²L(W; retain); W ← f32(W + Δ); \
                   again until ‖n·∇L(W; retain)‖ ≤ σε/√(2·ln(1.5/δ))",
        access: &["retain"],
        guarantee: "certified (ε, δ): no one who does not know the noise can tell the weights from retrained ones better than e^ε and δ allow; \
                    the residual is measured on the published f32 weights, its data-dependent bound stands beside it",
        cost: "a few passes over the retained rows and one D × D factorisation",
        known_failure: "only models without hidden layers, trained to the optimum with weight decay and a perturbed objective; the noise costs \
                        accuracy, and it comes from the parent's seed: the certificate says nothing to those who know or guess that seed",
        source: "Guo et al. 2020 (ICML, arXiv:1911.03030), from one logit to softmax, with the true residual in place of its bound",
    };
    const FIELDS: &'static [Field] = &[
        Field::new(
            "epsilon",
            Domain::Real { min: 1e-6, max: 100.0 },
            "ε of the certificate: how much likelier anything may become, as a power of e.",
        ),
        Field::new(
            "delta",
            Domain::Real { min: 1e-12, max: 0.5 },
            "δ of the certificate: the probability that ε does not hold.",
        ),
    ];

    fn applies_to(&self, recipe: &Recipe) -> Result<(), String> {
        perturbation_of(recipe).map(drop).map_err(|error| error.to_string())
    }

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        let sigma = perturbation_of(context.task.recipe)?;
        let budget = budget(sigma, self.epsilon, self.delta);
        let mut newton = convex::begin(context, observer)?;
        let mut before = residual(&newton);
        for steps in 1..=MAX_STEPS {
            newton.objective_mut().set_threads(observer.threads());
            let (model, length, bound) = step(&mut newton, steps, context, observer)?;
            let residual = residual(&newton);
            let fits = residual <= budget;
            let epochs = if fits { steps } else { steps + 1 };
            let n_samples = context.retain.len() as u64;
            go_on(observer.on_epoch(&context.epoch(&model, steps, epochs, length, n_samples)))?;
            if fits {
                let (epsilon, delta) = (self.epsilon, self.delta);
                let certificate = Certificate { epsilon, delta, sigma, residual, bound, budget, steps };
                return Ok(Unlearned { certificate: Some(certificate), ..model.into() });
            }
            if residual > STALLED * before {
                break;
            }
            before = residual;
        }
        Err(UnlearnError::NotApplicable(format!(
            "the residual {:.1e} does not come below the budget of {budget:.1e}, the limit of weights stored as f32; ask for a larger ε or δ, or \
             train with more perturbation",
            residual(&newton)
        )))
    }
}

/// One step to weights that f32 can hold: the network, the step's length, and the bound of the residual there.
///
/// With the change `Δ` as it was published, the gradient there is the linear model `g + HΔ`, measured, and a remainder
/// within [`curvature_bound`](crate::nn::convex::Objective::curvature_bound). So the bound covers an inexact solution
/// and the rounding to f32, and presumes nothing of where it started.
fn step(
    newton: &mut Solving,
    number: u32,
    context: &Context<'_>,
    observer: &mut dyn Observer,
) -> Result<(Mlp, f64, f64), UnlearnError> {
    let samples = context.task.train;
    let mut on_product = convex::tell(newton, number, observer);
    let solved = newton.direction(PRECISION, &mut on_product);
    drop(on_product);
    let (direction, products) = solved.continue_value().ok_or(UnlearnError::Interrupted)?;
    let length = newton.step_length(&direction);
    let here = newton.point();
    let there: Vec<f64> = here.weights.iter().zip(&direction).map(|(w, v)| w + length * v).collect();
    let model = network_of(&there, samples.n_features(), samples.n_classes());
    if !model.is_finite() {
        return Err(TrainError::NonFinite { epoch: number, batch: u64::from(products) }.into());
    }
    let there = weights_of(&model);
    let change: Vec<f64> = there.iter().zip(&here.weights).map(|(there, here)| there - here).collect();
    let objective = newton.objective();
    let product = objective.hessian_times(here, &change);
    let squares = here.gradient.iter().zip(product).map(|(g, h)| (g + h) * (g + h));
    let linear = objective.n_rows() as f64 * squares.sum::<f64>().sqrt();
    let bound = linear + objective.curvature_bound(&change);
    newton.move_to(there);
    Ok((model, length, bound))
}

/// `‖n·∇L‖`
fn residual(newton: &Solving) -> f64 {
    newton.objective().n_rows() as f64 * newton.point().gradient_norm
}

/// `σ` of the parent's objective; without one nothing can be certified.
fn perturbation_of(recipe: &Recipe) -> Result<f64, UnlearnError> {
    match convex::regularised(recipe)?.solver {
        Solver::Optimum { perturbation } if perturbation > 0.0 => Ok(perturbation),
        Solver::Optimum { .. } | Solver::Sgd => Err(UnlearnError::NotApplicable(
            "the parent was trained without noise in its objective, so nothing can be certified of it; train with solver `optimum` and a \
             perturbation above 0, or use method `convex`"
                .to_owned(),
        )),
    }
}
