//! What unlearning to the optimum and certified removal owe, on problems small enough to solve from zero.

use crate::nn::init::perturbation;
use crate::nn::twin::{image, problem_data, softmax};
use crate::nn::{
    BatchReport, Evaluator, Features, Mlp, Problem, Recipe, Reference, Samples, Solver, Split, Standard,
    TrainError, train,
};
use crate::unlearn::tests::Silent;
use crate::unlearn::{
    Certificate, Claim, Method, Newton, Observer, Task, UnlearnEpoch, UnlearnError, Unlearned, budget,
    perturbation_for, unlearn,
};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

const WIDTH: usize = 12;
const DECAY: f64 = 0.01;

/// A problem, and a parent that is (about) its optimum.
struct World {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    n_classes: usize,
    recipe: Recipe,
    parent: Mlp,
}

impl World {
    fn new(n_rows: usize, n_classes: usize, recipe: Standard) -> Self {
        let (pixels, labels) = problem_data(n_rows, WIDTH, n_classes as u32);
        let recipe = Recipe::Standard(recipe);
        let samples = Samples::new(Features::U8(&pixels), &labels, WIDTH, n_classes);
        let problem = Problem { train: samples, excluded: &[], test: samples };
        let parent = train(&recipe, &problem, &mut Silent).unwrap().model;
        Self { pixels, labels, n_classes, recipe, parent }
    }

    /// Solved to the optimum, with so much noise.
    fn optimum(n_rows: usize, n_classes: usize, sigma: f64) -> Self {
        Self::new(n_rows, n_classes, recipe(sigma))
    }

    fn samples(&self) -> Samples<'_> {
        Samples::new(Features::U8(&self.pixels), &self.labels, WIDTH, self.n_classes)
    }

    fn trained_rows(&self) -> Vec<u32> {
        Split::new(&self.recipe, self.labels.len(), &[]).train
    }

    /// Evenly spread rows the parent was trained on.
    fn some(&self, n: usize, first: usize) -> Vec<u32> {
        let rows = self.trained_rows();
        (0..n).map(|i| rows[first + i * (rows.len() - first) / n]).collect()
    }

    fn task<'a>(&'a self, parent: &'a Mlp, excluded: &'a [u32], forget: &'a [u32]) -> Task<'a> {
        let (train, test) = (self.samples(), self.samples());
        Task {
            parent,
            known: None,
            recipe: &self.recipe,
            train,
            test,
            excluded,
            parent_is_exact: true,
            forget,
            class: None,
            lookalikes: None,
            seed: 77,
        }
    }

    fn run(&self, method: &Method, forget: &[u32]) -> Result<Unlearned, UnlearnError> {
        unlearn(method, &self.task(&self.parent, &[], forget), &mut Silent)
    }

    /// From zero, with the parent's noise.
    fn retrained(&self, forget: &[u32]) -> Mlp {
        let problem = Problem { train: self.samples(), excluded: forget, test: self.samples() };
        train(&self.recipe, &problem, &mut Silent).unwrap().model
    }

    /// `‖n·∇L‖` over the rows trained on but `forget`, one row after another.
    fn residual(&self, mlp: &Mlp, forget: &[u32], sigma: f64) -> f64 {
        let (c, weights) = (self.n_classes, mlp.to_params());
        let rows: Vec<u32> =
            self.trained_rows().into_iter().filter(|row| forget.binary_search(row).is_err()).collect();
        let mut gradient = perturbation(1, sigma, weights.len()).unwrap_or(vec![0.0; weights.len()]);
        for (g, &w) in gradient.iter_mut().zip(&weights) {
            *g += rows.len() as f64 * DECAY * f64::from(w);
        }
        for row in rows {
            let x = [image(self.samples(), row), vec![1.0]].concat();
            let logit = |class: usize| (0..x.len()).map(|j| x[j] * f64::from(weights[j * c + class])).sum();
            let mut errors = softmax(&(0..c).map(logit).collect::<Vec<f64>>());
            errors[self.labels[row as usize] as usize] -= 1.0;
            for (j, x) in x.iter().enumerate() {
                for (class, error) in errors.iter().enumerate() {
                    gradient[j * c + class] += x * error;
                }
            }
        }
        gradient.iter().map(|g| g * g).sum::<f64>().sqrt()
    }

    fn loss(&self, mlp: &Mlp) -> f64 {
        Evaluator::new(mlp.shape()).evaluate(mlp, self.samples(), &self.trained_rows()).loss
    }
}

fn recipe(sigma: f64) -> Standard {
    Standard { weight_decay: DECAY, holdout: 0.1, ..Standard::optimum(1, sigma) }
}

fn newton(epsilon: f64, delta: f64) -> Method {
    Method::Newton(Newton { epsilon, delta })
}

fn distance(a: &Mlp, b: &Mlp) -> f64 {
    let squares = a.to_params().into_iter().zip(b.to_params()).map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum::<f64>().sqrt()
}

fn refusal(outcome: Result<Unlearned, UnlearnError>) -> String {
    match outcome {
        Err(UnlearnError::NotApplicable(reason)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn forgetting_one_row_or_many_comes_to_what_training_from_zero_comes_to() {
    for (n_classes, sigma) in [(2, 0.0), (4, 0.0), (3, 2.0)] {
        let world = World::optimum(400, n_classes, sigma);
        for n in [1, 10, 150] {
            let forget = world.some(n, 0);
            let (forgot, retrained) =
                (world.run(&Method::CONVEX, &forget).unwrap(), world.retrained(&forget));
            let apart = distance(&forgot.model, &retrained);
            assert!(apart < 1e-6, "{n} rows: {apart:.1e}");
            assert!(distance(&world.parent, &retrained) > 1e-4, "there was something to forget");
            assert!(forgot.stopped.is_none() && forgot.certificate.is_none());
        }
    }
}

#[test]
fn any_parent_without_hidden_layers_comes_to_the_same_optimum() {
    let optimum = World::optimum(300, 3, 0.0);
    let sgd = World::new(300, 3, Standard { solver: Solver::Sgd, epochs: 3, ..recipe(0.0) });
    assert!(distance(&optimum.parent, &sgd.parent) > 0.01);
    let forget = optimum.some(20, 3);
    let of = |world: &World| world.run(&Method::CONVEX, &forget).unwrap().model;
    assert!(distance(&of(&optimum), &of(&sgd)) < 1e-6);
}

#[test]
fn forgetting_nothing_changes_nothing() {
    let world = World::optimum(300, 3, 2.0);
    for method in [Method::CONVEX, newton(1.0, 1e-4)] {
        let forgot = world.run(&method, &[]).unwrap().model;
        assert!(distance(&forgot, &world.parent) < 1e-6, "{}", method.name());
    }
}

#[test]
fn two_deletions_come_to_the_same_in_any_order_and_at_once() {
    let world = World::optimum(400, 3, 1.0);
    let (all, first) = (world.some(40, 0), world.some(40, 0)[..20].to_vec());
    let second = &all[20..];
    let one_after_the_other = |first: &[u32], second: &[u32]| {
        let between = world.run(&Method::CONVEX, first).unwrap().model;
        unlearn(&Method::CONVEX, &world.task(&between, first, second), &mut Silent).unwrap().model
    };
    let at_once = world.run(&Method::CONVEX, &all).unwrap().model;
    let (forth, back) = (one_after_the_other(&first, second), one_after_the_other(second, &first));
    assert!(distance(&forth, &back) < 1e-6 && distance(&forth, &at_once) < 1e-6);
}

#[test]
fn what_stands_in_forgotten_rows_is_never_read() {
    let mut world = World::optimum(300, 3, 2.0);
    let forget = world.some(30, 1);
    let methods = [Method::CONVEX, newton(1.0, 1e-4)];
    let models = |world: &World| methods.each_ref().map(|method| world.run(method, &forget).unwrap().model);
    let before = models(&world);
    for &row in &forget {
        world.pixels[row as usize * WIDTH..][..WIDTH].fill(200);
        world.labels[row as usize] = (world.labels[row as usize] + 1) % 3;
    }
    assert_eq!(models(&world), before);
}

#[test]
fn what_has_no_single_optimum_is_refused_with_the_reason() {
    let mut world = World::optimum(100, 3, 1.0);
    let forget = world.some(3, 0);
    let both = [Method::CONVEX, newton(1.0, 1e-4)];
    let without_decay = Recipe::Standard(Standard { weight_decay: 0.0, ..recipe(1.0) });
    let hidden = Recipe::Standard(Standard { hidden: vec![4], ..recipe(1.0) });
    for (recipe, reason) in [
        (without_decay, "without weight decay"),
        (hidden, "hidden layers"),
        (Recipe::Nn(Reference::nn(1)), "hidden layer"),
    ] {
        world.recipe = recipe;
        for method in &both {
            let told = refusal(world.run(method, &forget));
            assert!(told.contains(reason), "{}: {told}", method.name());
        }
    }
}

#[test]
fn nothing_is_certified_of_a_parent_without_noise() {
    let mut world = World::optimum(100, 3, 0.0);
    let forget = world.some(3, 0);
    assert!(refusal(world.run(&newton(1.0, 1e-4), &forget)).contains("without noise"));
    world.recipe = Recipe::Standard(Standard { solver: Solver::Sgd, ..recipe(0.0) });
    assert!(refusal(world.run(&newton(1.0, 1e-4), &forget)).contains("without noise"));
}

#[test]
fn forgetting_every_row_is_an_error() {
    let world = World::optimum(60, 2, 1.0);
    for method in [Method::CONVEX, newton(1.0, 1e-4)] {
        let outcome = world.run(&method, &world.trained_rows());
        assert_eq!(outcome.unwrap_err(), UnlearnError::Train(TrainError::NoRows));
    }
}

/// A Newton step with its sign turned round moves away from the retrained model.
#[test]
fn a_newton_step_leads_towards_the_retrained_model() {
    let world = World::optimum(400, 3, 2.0);
    for n in [1, 10, 100] {
        let forget = world.some(n, 0);
        // so much is certified that one step is enough
        let forgot = world.run(&newton(100.0, 0.5), &forget).unwrap();
        assert_eq!(forgot.certificate.unwrap().steps, 1);
        let retrained = world.retrained(&forget);
        let (after, before) = (distance(&forgot.model, &retrained), distance(&world.parent, &retrained));
        assert!(after < 0.5 * before, "{n} rows: {after:.1e}, doing nothing {before:.1e}");
    }
}

#[test]
fn the_residual_is_the_gradient_that_is_left_and_below_budget_and_bound() {
    for n_classes in [2, 3, 5] {
        let sigma = 0.5;
        let world = World::optimum(400, n_classes, sigma);
        for n in [1, 10, 100] {
            let forget = world.some(n, 0);
            let forgot = world.run(&newton(1.0, 1e-4), &forget).unwrap();
            let told: Certificate = forgot.certificate.unwrap();
            let measured = world.residual(&forgot.model, &forget, sigma);
            assert!(
                (told.residual - measured).abs() < 1e-9 * (1.0 + measured),
                "{} {measured}",
                told.residual
            );
            assert!(told.residual <= told.bound, "{told:?}");
            assert!(told.residual <= told.budget && told.budget == budget(sigma, 1.0, 1e-4), "{told:?}");
            assert!(world.residual(&world.parent, &forget, sigma) > told.residual);
            assert_eq!((told.sigma, told.epsilon, told.delta), (sigma, 1.0, 1e-4));
        }
    }
}

/// A certificate that takes the parent for an optimum leaves its own residual out.
#[test]
fn a_parent_that_is_no_optimum_is_measured_not_trusted() {
    let world = World::new(400, 3, Standard { epochs: 1, ..recipe(2.0) });
    let forget = world.some(1, 0);
    assert!(world.residual(&world.parent, &[], 2.0) > budget(2.0, 1.0, 1e-4), "far from the optimum");
    let forgot = world.run(&newton(1.0, 1e-4), &forget).unwrap();
    let told = forgot.certificate.unwrap();
    let measured = world.residual(&forgot.model, &forget, 2.0);
    assert!(measured <= told.budget && measured <= told.bound, "{told:?} {measured}");
}

#[test]
fn a_small_budget_takes_more_steps_and_none_is_refused() {
    let world = World::optimum(400, 3, 0.1);
    let forget = world.some(100, 0);
    let steps = |epsilon| world.run(&newton(epsilon, 1e-4), &forget).unwrap().certificate.unwrap().steps;
    assert!(steps(100.0) < steps(0.01), "{} {}", steps(100.0), steps(0.01));
    assert!(refusal(world.run(&newton(1e-6, 1e-12), &forget)).contains("limit of weights stored as f32"));
}

#[test]
fn the_budget_is_the_published_one_and_noise_is_chosen_for_it() {
    // σ = 10, ε = 1, δ = 10⁻⁴: the protocol of Guo et al. on MNIST
    assert!((budget(10.0, 1.0, 1e-4) - 2.2803).abs() < 1e-4, "{}", budget(10.0, 1.0, 1e-4));
    for (residual, epsilon, delta) in [(0.3, 0.1, 1e-5), (2.0, 5.0, 1e-3)] {
        let sigma = perturbation_for(residual, epsilon, delta);
        assert!((budget(sigma, epsilon, delta) - residual).abs() < 1e-12);
    }
}

/// A table in which a stronger promise costs less has a wrong σ in it.
#[test]
fn a_stronger_promise_never_gives_a_better_model() {
    let losses = [5.0, 2.0, 1.0, 0.5, 0.1, 0.05].map(|epsilon| {
        let world = World::optimum(300, 3, perturbation_for(0.5, epsilon, 1e-4));
        let forget = world.some(10, 0);
        let told = world.run(&newton(epsilon, 1e-4), &forget).unwrap().certificate.unwrap();
        assert!((told.budget - 0.5).abs() < 1e-12);
        world.loss(&world.retrained(&forget))
    });
    assert!(losses.windows(2).all(|pair| pair[0] < pair[1]), "{losses:?}");
}

#[test]
fn their_claims_say_what_they_rest_on() {
    assert_eq!(Method::CONVEX.claim(), Claim::Exact);
    assert_eq!(newton(1.0, 1e-4).claim(), Claim::Certified);
}

/// Counts what it hears, on so many threads, and stops after so many words.
struct Watch {
    n_threads: usize,
    words: u32,
    stop_after: u32,
    epochs: Vec<UnlearnEpoch>,
    phases: Vec<String>,
}

impl Watch {
    fn new(n_threads: usize, stop_after: u32) -> Self {
        Self { n_threads, words: 0, stop_after, epochs: vec![], phases: vec![] }
    }

    fn hear(&mut self) -> ControlFlow<()> {
        self.words += 1;
        if self.words == self.stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Observer for Watch {
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        assert!(report.batch <= report.batches);
        self.hear()
    }
    fn on_epoch(&mut self, report: &UnlearnEpoch) -> ControlFlow<()> {
        self.epochs.push(*report);
        self.hear()
    }
    fn on_phase(&mut self, phase: &str, detail: &str) -> ControlFlow<()> {
        assert_eq!(phase, "unlearn");
        self.phases.push(detail.to_owned());
        self.hear()
    }
    fn threads(&mut self) -> NonZeroUsize {
        NonZeroUsize::new(self.n_threads).unwrap()
    }
}

#[test]
fn any_number_of_threads_forgets_to_the_same_bits() {
    let world = World::optimum(400, 3, 1.0);
    let forget = world.some(50, 0);
    for method in [Method::CONVEX, newton(0.1, 1e-4)] {
        let on = |n_threads| {
            let mut watch = Watch::new(n_threads, 0);
            let task = world.task(&world.parent, &[], &forget);
            let outcome = unlearn(&method, &task, &mut watch).unwrap();
            (outcome.model, outcome.certificate, watch.epochs)
        };
        assert!(on(1) == on(2) && on(1) == on(5), "{}", method.name());
    }
}

#[test]
fn an_observer_hears_of_every_iteration_and_may_stop_at_any_word() {
    let world = World::optimum(400, 3, 1.0);
    let forget = world.some(50, 0);
    let task = world.task(&world.parent, &[], &forget);
    for method in [Method::CONVEX, newton(0.1, 1e-4)] {
        let mut watch = Watch::new(1, 0);
        unlearn(&method, &task, &mut watch).unwrap();
        let last = watch.epochs.last().unwrap();
        assert_eq!((last.epoch as usize, last.epochs), (watch.epochs.len(), last.epoch));
        for stop_after in 1..=watch.words {
            let outcome = unlearn(&method, &task, &mut Watch::new(1, stop_after));
            assert!(matches!(outcome, Err(UnlearnError::Interrupted)), "{} at {stop_after}", method.name());
        }
    }
    let mut watch = Watch::new(1, 0);
    unlearn(&Method::CONVEX, &task, &mut watch).unwrap();
    assert!(watch.phases.last().unwrap().contains("gradient norm"), "{:?}", watch.phases);
}

#[test]
fn without_noise_retraining_has_one_answer_whatever_the_seed() {
    let world = World::optimum(200, 3, 0.0);
    let forget = world.some(10, 0);
    let retrained = world.run(&Method::RETRAIN, &forget).unwrap().model;
    assert_eq!(retrained, world.retrained(&forget));
}
