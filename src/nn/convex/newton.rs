//! Newton's method to the optimum, its equations solved by preconditioned conjugate gradients.

use super::objective::{Objective, Point};
use super::precondition::Preconditioner;
use super::product::{add_scaled, dot, norm};
use std::ops::ControlFlow;

/// `‖∇L‖` at which an optimum counts as reached.
pub const TOLERANCE: f64 = 1e-10;

/// More iterations mean that something is wrong with the numbers: a line search that always descends needs about ten.
pub const MAX_ITERATIONS: u32 = 100;

/// Products with the Hessian that one system of equations may take.
const MAX_PRODUCTS: u32 = 1_000;

/// Step lengths tried before the iteration counts as stalled.
const MAX_TRIALS: u32 = 40;

/// An iteration towards the optimum of an [`Objective`].
#[derive(Debug)]
pub struct Newton {
    objective: Objective,
    point: Point,
    /// `‖∇L‖` where it began.
    first_norm: f64,
    preconditioner: Option<Preconditioner>,
}

/// What an iteration came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Of the direction that was gone, from the line search; 0 when no step descends any more: the arithmetic is at
    /// its end.
    pub length: f64,
    /// Products with the Hessian.
    pub products: u32,
}

impl Newton {
    /// Begins at `weights`.
    pub fn new(objective: Objective, weights: Vec<f64>) -> Self {
        let point = objective.at(weights);
        Self { first_norm: point.gradient_norm, objective, point, preconditioner: None }
    }

    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    pub fn objective_mut(&mut self) -> &mut Objective {
        &mut self.objective
    }

    /// Where it is.
    pub fn point(&self) -> &Point {
        &self.point
    }

    pub fn is_at_optimum(&self) -> bool {
        self.point.gradient_norm <= TOLERANCE
    }

    /// `‖∇L‖ / λ`: how far the optimum is away at most, in the 2-norm of `W`.
    pub fn distance(&self) -> f64 {
        self.point.gradient_norm / self.objective.weight_decay()
    }

    /// Goes on from other weights.
    pub fn move_to(&mut self, weights: Vec<f64>) {
        self.point = self.objective.at(weights);
    }

    /// One iteration. `on_product` hears of every product with the Hessian, how many there were, and may stop it, which
    /// leaves the point where it was.
    ///
    /// The equations are solved the more precisely the nearer the optimum is, which makes the convergence quadratic
    /// at the end (Dembo, Eisenstat & Steihaug 1982, SIAM J. Numer. Anal. 19).
    pub fn step(&mut self, on_product: &mut dyn FnMut(u32) -> ControlFlow<()>) -> ControlFlow<(), Step> {
        let gradient_norm = self.point.gradient_norm;
        let enough = 0.3 * TOLERANCE / gradient_norm;
        let precision = (gradient_norm / self.first_norm).min(0.1).max(enough);
        let (direction, products) = self.direction(precision, on_product)?;
        let length = self.step_length(&direction);
        if length > 0.0 {
            let mut weights = self.point.weights.clone();
            add_scaled(&mut weights, length, &direction);
            self.move_to(weights);
        }
        ControlFlow::Continue(Step { length, products })
    }

    /// `V` with `‖HV + ∇L‖ ≤ precision·‖∇L‖`, and the products it took. `H` is the Hessian where it is.
    ///
    /// Conjugate gradients (Hestenes & Stiefel 1952), which descend in every step, so `V` is a direction of descent
    /// even when the products run out.
    pub fn direction(
        &mut self,
        precision: f64,
        on_product: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> ControlFlow<(), (Vec<f64>, u32)> {
        let Self { objective, point, preconditioner, .. } = self;
        let preconditioner = preconditioner.get_or_insert_with(|| Preconditioner::new(objective, point));
        let mut direction = vec![0.0; objective.n_params()];
        let mut residual: Vec<f64> = point.gradient.iter().map(|g| -g).collect();
        let mut conditioned = preconditioner.apply(&residual);
        let mut search = conditioned.clone();
        let mut descent = dot(&residual, &conditioned);
        let mut products = 0;
        while norm(&residual) > precision * point.gradient_norm && products < MAX_PRODUCTS {
            let product = objective.hessian_times(point, &search);
            products += 1;
            on_product(products)?;
            let length = descent / dot(&search, &product);
            if !length.is_finite() {
                break;
            }
            add_scaled(&mut direction, length, &search);
            add_scaled(&mut residual, -length, &product);
            conditioned = preconditioner.apply(&residual);
            let next = dot(&residual, &conditioned);
            let kept = next / descent;
            search.iter_mut().zip(&conditioned).for_each(|(s, z)| *s = z + kept * *s);
            descent = next;
        }
        // when the products cost more than a new preconditioner, the curvature has changed too much for the old one
        let product_work = 2 * objective.rows.n_values() * objective.n_classes;
        if products as usize * product_work > Preconditioner::work(objective) {
            self.preconditioner = None;
        }
        ControlFlow::Continue((direction, products))
    }

    /// How far to go along a direction of descent, such that `L` falls; 0 when no trial is good enough.
    ///
    /// Accepts what Hager & Zhang 2005 (SIAM J. Optim. 16) call the approximate Wolfe conditions: near the optimum `L`
    /// changes by less than its rounding, while its slope is still precise. Trials are shortened by the secant of the
    /// slope, which is monotone.
    pub fn step_length(&self, direction: &[f64]) -> f64 {
        const SUFFICIENT: f64 = 1e-4;
        const FLATTER: f64 = 0.8;
        const ROUNDING: f64 = 1e-13;
        let slope = dot(&self.point.gradient, direction);
        if slope >= 0.0 || slope.is_nan() {
            return 0.0;
        }
        let value = self.point.value;
        let moved = self.objective.logits_of(direction);
        let mut length = 1.0;
        for _ in 0..MAX_TRIALS {
            let (trial, trial_slope) = self.objective.along(&self.point, direction, &moved, length);
            let falls = trial <= value + SUFFICIENT * length * slope;
            let falls_within_rounding =
                trial <= value + ROUNDING * (1.0 + value.abs()) && trial_slope <= FLATTER * -slope;
            if falls || falls_within_rounding {
                return length;
            }
            let secant = slope / (slope - trial_slope);
            length *= if secant.is_finite() { secant.clamp(0.1, 0.9) } else { 0.1 };
        }
        0.0
    }
}
