//! The objective from its definition, one row and one class at a time, and what the solver owes.

use super::*;
use crate::nn::twin::{Silent, image, problem_data, softmax};
use crate::nn::{
    BatchReport, EpochReport, Evaluator, Features, Observer, Problem, Recipe, Samples, Split, Standard,
    TrainError,
};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

const DECAY: f64 = 0.02;

/// A small problem; features of both signs when they are floats.
struct Small {
    features: Vec<f32>,
    labels: Vec<u32>,
    n_features: usize,
    n_classes: usize,
}

impl Small {
    fn new(n_rows: usize, n_features: usize, n_classes: usize) -> Self {
        let (pixels, labels) = problem_data(n_rows, n_features, n_classes as u32);
        let signed =
            |(i, &pixel): (usize, &u8)| f32::from(pixel) / 255.0 * if i % 3 == 0 { -1.0 } else { 1.0 };
        Self { features: pixels.iter().enumerate().map(signed).collect(), labels, n_features, n_classes }
    }

    fn samples(&self) -> Samples<'_> {
        Samples::new(Features::F32(&self.features), &self.labels, self.n_features, self.n_classes)
    }

    fn rows(&self) -> Vec<u32> {
        (0..self.labels.len() as u32).collect()
    }

    fn n_params(&self) -> usize {
        (self.n_features + 1) * self.n_classes
    }

    fn objective(&self, rows: &[u32], sigma: f64) -> Objective {
        let noise = crate::nn::init::perturbation(1, sigma, self.n_params());
        Objective::new(self.samples(), rows, Penalty { weight_decay: DECAY, noise }, NonZeroUsize::MIN)
    }

    /// Some weights.
    fn weights(&self, seed: u64) -> Vec<f64> {
        crate::nn::init::perturbation(100 + seed, 0.7, self.n_params()).unwrap()
    }

    /// `L`, from the definition.
    fn value(&self, rows: &[u32], sigma: f64, weights: &[f64]) -> f64 {
        let (n, c) = (rows.len() as f64, self.n_classes);
        let noise =
            crate::nn::init::perturbation(1, sigma, self.n_params()).unwrap_or(vec![0.0; self.n_params()]);
        let mut value = 0.0;
        for &row in rows {
            let x = [image(self.samples(), row), vec![1.0]].concat();
            let z: Vec<f64> =
                (0..c).map(|class| (0..x.len()).map(|j| x[j] * weights[j * c + class]).sum()).collect();
            value -= softmax(&z)[self.labels[row as usize] as usize].ln() / n;
        }
        for (w, b) in weights.iter().zip(noise) {
            value += 0.5 * DECAY * w * w + b * w / n;
        }
        value
    }
}

/// The sizes that take different ways: compiled and general numbers of classes, one part and several.
fn problems() -> [Small; 4] {
    [Small::new(40, 5, 2), Small::new(300, 7, 3), Small::new(90, 6, 12), Small::new(30, 3, 1)]
}

fn solved(objective: Objective, start: Vec<f64>) -> Newton {
    let mut newton = Newton::new(objective, start);
    for _ in 0..MAX_ITERATIONS {
        if newton.is_at_optimum() {
            return newton;
        }
        let before = newton.point().value;
        let step = newton.step(&mut |_| ControlFlow::Continue(())).continue_value().unwrap();
        assert!(step.length > 0.0);
        assert!(newton.point().value <= before + 1e-12, "it climbed");
    }
    panic!("no optimum: ‖∇L‖ = {}", newton.point().gradient_norm);
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn the_objective_and_its_gradient_are_their_definition() {
    for problem in problems() {
        for sigma in [0.0, 3.0] {
            let rows: Vec<u32> = problem.rows().into_iter().filter(|row| row % 5 != 2).collect();
            let weights = problem.weights(1);
            let point = problem.objective(&rows, sigma).at(weights.clone());
            let value = problem.value(&rows, sigma, &weights);
            assert!((point.value - value).abs() < 1e-12 * value.abs().max(1.0), "{} {value}", point.value);
            for i in 0..weights.len() {
                let moved = |by: f64| {
                    let mut weights = weights.clone();
                    weights[i] += by;
                    problem.value(&rows, sigma, &weights)
                };
                let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((point.gradient[i] - numeric).abs() < 1e-8, "{i}: {} {numeric}", point.gradient[i]);
            }
        }
    }
}

#[test]
fn a_hessian_product_is_the_difference_of_gradients() {
    for problem in problems() {
        let objective = problem.objective(&problem.rows(), 1.0);
        let (weights, v) = (problem.weights(1), problem.weights(2));
        let gradient = |by: f64| {
            let moved: Vec<f64> = weights.iter().zip(&v).map(|(w, v)| w + by * v).collect();
            objective.at(moved).gradient
        };
        let (up, down) = (gradient(1e-5), gradient(-1e-5));
        let product = objective.hessian_times(&objective.at(weights.clone()), &v);
        for i in 0..product.len() {
            let numeric = (up[i] - down[i]) / 2e-5;
            assert!((product[i] - numeric).abs() < 1e-8, "{i}: {} {numeric}", product[i]);
        }
    }
}

#[test]
fn the_optimum_is_where_plain_gradient_descent_comes_to() {
    let problem = Small::new(40, 5, 3);
    let objective = problem.objective(&problem.rows(), 2.0);
    let mut weights = vec![0.0; problem.n_params()];
    for _ in 0..20_000 {
        let gradient = objective.at(weights.clone()).gradient;
        weights.iter_mut().zip(gradient).for_each(|(w, g)| *w -= 0.3 * g);
    }
    let newton = solved(objective, vec![0.0; problem.n_params()]);
    assert!(distance(&newton.point().weights, &weights) < 1e-8);
}

#[test]
fn two_starts_come_to_one_optimum_within_the_stated_distance() {
    for problem in problems() {
        let from = |start| solved(problem.objective(&problem.rows(), 1.0), start);
        let (zero, far) = (from(vec![0.0; problem.n_params()]), from(problem.weights(3)));
        let apart = distance(&zero.point().weights, &far.point().weights);
        assert!(zero.distance() <= TOLERANCE / DECAY && far.distance() <= TOLERANCE / DECAY);
        assert!(apart <= zero.distance() + far.distance() + 1e-14, "{apart}");
    }
}

#[test]
fn the_distance_to_the_optimum_is_never_above_its_bound() {
    let problem = Small::new(60, 5, 3);
    let optimum = solved(problem.objective(&problem.rows(), 0.0), vec![0.0; problem.n_params()]);
    for seed in 0..20 {
        let elsewhere = Newton::new(problem.objective(&problem.rows(), 0.0), problem.weights(seed));
        let apart = distance(&elsewhere.point().weights, &optimum.point().weights);
        assert!(apart <= elsewhere.distance(), "{apart} {}", elsewhere.distance());
    }
}

#[test]
fn for_two_classes_the_preconditioner_is_the_hessian() {
    let problem = Small::new(200, 8, 2);
    let mut newton = Newton::new(problem.objective(&problem.rows(), 1.0), problem.weights(1));
    let found = newton.direction(1e-9, &mut |_| ControlFlow::Continue(())).continue_value().unwrap();
    assert_eq!(found.1, 1, "one product proves the solution");
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let problem = Small::new(500, 30, 4);
    let on = |n_threads| {
        let mut objective = problem.objective(&problem.rows(), 1.0);
        objective.set_threads(NonZeroUsize::new(n_threads).unwrap());
        let bound = objective.norm_bound();
        (solved(objective, vec![0.0; problem.n_params()]).point().weights.clone(), bound)
    };
    let alone = on(1);
    assert!(on(2) == alone && on(3) == alone && on(7) == alone);
}

#[test]
fn many_features_are_solved_without_a_factor() {
    let problem = Small::new(30, precondition::MAX_FACTOR, 3);
    let newton = solved(problem.objective(&problem.rows(), 0.0), vec![0.0; problem.n_params()]);
    assert!(newton.point().accuracy > 0.9);
}

#[test]
fn a_product_that_is_interrupted_leaves_the_point_where_it_was() {
    let problem = Small::new(40, 5, 3);
    let mut newton = Newton::new(problem.objective(&problem.rows(), 0.0), problem.weights(1));
    assert!(newton.step(&mut |_| ControlFlow::Break(())).is_break());
    assert_eq!(newton.point().weights, problem.weights(1));
}

#[test]
fn the_gradient_after_a_change_is_within_its_bound() {
    for problem in problems() {
        let objective = problem.objective(&problem.rows(), 1.0);
        let n = objective.n_rows() as f64;
        for (seed, scale) in [(4, 1e-3), (5, 0.1), (6, 1.0), (7, 10.0)] {
            let here = objective.at(problem.weights(seed));
            let change: Vec<f64> = problem.weights(seed + 10).iter().map(|v| scale * v).collect();
            let there = objective.at(here.weights.iter().zip(&change).map(|(w, v)| w + v).collect());
            let linear = objective.hessian_times(&here, &change);
            let model: Vec<f64> = here.gradient.iter().zip(linear).map(|(g, h)| g + h).collect();
            let wrong = n * distance(&there.gradient, &model);
            let bound = objective.curvature_bound(&change);
            assert!(wrong <= bound + 1e-9, "{wrong} {bound}");
            // of two classes and a small step it is within the constants lost and the spread of the rows
            if problem.n_classes == 2 && scale < 1.0 {
                assert!(bound < 1_000.0 * wrong, "{wrong} {bound}");
            }
        }
    }
}

#[test]
fn the_norm_of_the_rows_is_never_bounded_from_below() {
    for problem in problems() {
        let bound = problem.objective(&problem.rows(), 0.0).norm_bound();
        // power iterations approach the norm from below
        let rows: Vec<Vec<f64>> =
            problem.rows().iter().map(|&row| [image(problem.samples(), row), vec![1.0]].concat()).collect();
        let mut v = vec![1.0; problem.n_features + 1];
        let mut norm = 0.0;
        for _ in 0..200 {
            let mut product = vec![0.0; v.len()];
            for x in &rows {
                let along: f64 = x.iter().zip(&v).map(|(x, v)| x * v).sum();
                product.iter_mut().zip(x).for_each(|(p, x)| *p += along * x);
            }
            let length = distance(&product, &vec![0.0; v.len()]);
            norm = length.sqrt();
            v = product.into_iter().map(|p| p / length).collect();
        }
        assert!(bound >= norm && bound < 2.0 * norm, "{bound} {norm}");
    }
}

/// Keeps every epoch, and stops after so many mini-batches.
struct Watch {
    epochs: Vec<EpochReport>,
    n_batches: u32,
    stop_after: u32,
}

impl Observer for Watch {
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        assert!(report.batch >= 1 && report.batch <= report.batches);
        self.n_batches += 1;
        if self.n_batches == self.stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
    fn on_epoch(&mut self, report: &EpochReport, model: &Mlp) -> ControlFlow<()> {
        assert!(model.is_finite());
        self.epochs.push(*report);
        ControlFlow::Continue(())
    }
}

fn watch(stop_after: u32) -> Watch {
    Watch { epochs: vec![], n_batches: 0, stop_after }
}

fn trained(recipe: &Standard, problem: &Problem<'_>, observer: &mut dyn Observer) -> crate::nn::Trained {
    crate::nn::train(&Recipe::Standard(recipe.clone()), problem, observer).unwrap()
}

#[test]
fn a_training_to_the_optimum_says_when_it_is_there() {
    let small = Small::new(400, 10, 4);
    let problem = Problem { train: small.samples(), excluded: &[], test: small.samples() };
    let recipe = Standard { weight_decay: DECAY, holdout: 0.1, ..Standard::optimum(1, 1.5) };
    let mut watch = watch(u32::MAX);
    let trained = trained(&recipe, &problem, &mut watch);
    let (last, all) = (watch.epochs.last().unwrap(), &watch.epochs);
    assert!(trained.completed && trained.report == Some(*last) && last.epochs == last.epoch);
    assert!(last.grad_norm <= TOLERANCE && all.len() < 15, "{} epochs", all.len());
    assert!(all.windows(2).all(|pair| pair[0].grad_norm > TOLERANCE && pair[0].epochs == 100));

    let rows = Split::new(&Recipe::Standard(recipe), 400, &[]).train;
    let newton = solved(small.objective(&rows, 1.5), small.weights(2));
    let apart = distance(&weights_of(&trained.model), &newton.point().weights);
    // f32 rounds each weight by 2⁻²⁵ of itself at most
    assert!(apart < 1e-7 * distance(&newton.point().weights, &vec![0.0; small.n_params()]), "{apart}");
    let seen = Evaluator::new(trained.model.shape()).evaluate(&trained.model, small.samples(), &rows);
    assert!((seen.loss - last.train_loss).abs() < 1e-5 && seen.accuracy == last.train_accuracy);
}

#[test]
fn what_stands_in_excluded_rows_decides_no_bit_of_the_optimum() {
    let small = Small::new(200, 10, 3);
    let excluded: Vec<u32> = (0..200).filter(|row| row % 7 == 0).collect();
    let recipe = Standard { weight_decay: DECAY, ..Standard::optimum(1, 1.0) };
    let on = |samples| {
        let problem = Problem { train: samples, excluded: &excluded, test: small.samples() };
        trained(&recipe, &problem, &mut Silent).model
    };
    let mut features = small.features.clone();
    for &row in &excluded {
        features[row as usize * 10..][..10].fill(9.0);
    }
    let other = Samples::new(Features::F32(&features), &small.labels, 10, 3);
    assert_eq!(on(small.samples()), on(other));
}

#[test]
fn a_training_to_the_optimum_stops_when_it_is_told_to() {
    let small = Small::new(100, 10, 3);
    let problem = Problem { train: small.samples(), excluded: &[], test: small.samples() };
    for stop_after in [1, 2, 5] {
        assert!(!trained(&Standard::optimum(1, 0.0), &problem, &mut watch(stop_after)).completed);
    }
    let brief = Standard { epochs: 2, ..Standard::optimum(1, 0.0) };
    let mut watch = watch(u32::MAX);
    assert!(trained(&brief, &problem, &mut watch).completed && watch.epochs.len() == 2);
}

#[test]
fn no_rows_and_numbers_that_are_none_are_errors() {
    let mut small = Small::new(20, 4, 2);
    let train = |small: &Small, excluded: &[u32]| {
        let problem = Problem { train: small.samples(), excluded, test: small.samples() };
        let recipe = Standard { holdout: 0.0, ..Standard::optimum(1, 0.0) };
        crate::nn::train(&Recipe::Standard(recipe), &problem, &mut Silent)
    };
    assert_eq!(train(&small, &small.rows()).unwrap_err(), TrainError::NoRows);
    small.features[3] = f32::NAN;
    assert!(matches!(train(&small, &[]), Err(TrainError::NonFinite { epoch: 1, .. })));
}

#[test]
fn the_noise_comes_from_the_seed_with_the_asked_deviation() {
    let draw = |seed, sigma| crate::nn::init::perturbation(seed, sigma, 20_000);
    assert_eq!(draw(1, 0.0), None);
    assert_eq!(draw(1, 2.0), draw(1, 2.0));
    assert_ne!(draw(1, 2.0), draw(2, 2.0));
    let noise = draw(1, 2.0).unwrap();
    let variance = noise.iter().map(|b| b * b).sum::<f64>() / noise.len() as f64;
    assert!((variance / 4.0 - 1.0).abs() < 4.0 * (2.0 / noise.len() as f64).sqrt(), "{variance}");
}
