//! Forgetting where the optimum is unique, on real MNIST: threes against eights.
//!
//! Needs the files; says so loudly when they are not there.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod local;

use lethe::data::Dataset;
use lethe::nn::convex::{Newton as Solver, Objective, Penalty, network_of, weights_of};
use lethe::nn::{Evaluator, Features, Mlp, Observer, Problem, Recipe, Samples, Standard, train};
use lethe::unlearn::{self, Method, Newton, Task, Unlearned, unlearn};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

/// Of the protocol of Guo et al. 2020.
const SIGMA: f64 = 10.0;
const N_FORGOTTEN: usize = 1_000;

fn mnist() -> Option<Arc<Dataset>> {
    local::open("mnist")
}

/// Threes are 0 and eights are 1.
struct ThreesAndEights {
    pixels: Vec<u8>,
    labels: Vec<u32>,
}

impl ThreesAndEights {
    fn of(samples: Samples<'_>) -> Self {
        let Features::U8(all) = samples.features() else { panic!("MNIST is made of bytes") };
        let (mut pixels, mut labels) = (vec![], vec![]);
        for (image, &label) in all.chunks_exact(784).zip(samples.labels()) {
            if label == 3 || label == 8 {
                pixels.extend_from_slice(image);
                labels.push(u32::from(label == 8));
            }
        }
        Self { pixels, labels }
    }

    fn samples(&self) -> Samples<'_> {
        Samples::new(Features::U8(&self.pixels), &self.labels, 784, 2)
    }
}

struct Silent;

impl Observer for Silent {}

impl unlearn::Observer for Silent {}

/// A training file, a test file, and how parents are trained on them.
struct World<'a> {
    train: Samples<'a>,
    test: Samples<'a>,
    recipe: Recipe,
}

/// What was forgotten exactly, and how far its weights, and the parent's, lie from solving from zero.
struct Exactly {
    forgot: Mlp,
    apart: f64,
    before: f64,
}

impl World<'_> {
    fn without(&self, excluded: &[u32]) -> Mlp {
        let problem = Problem { train: self.train, excluded, test: self.test };
        let trained = train(&self.recipe, &problem, &mut Silent).unwrap();
        assert!(trained.completed);
        trained.model
    }

    fn forget(&self, method: &Method, parent: &Mlp, forget: &[u32]) -> Unlearned {
        let task = Task {
            parent,
            known: None,
            recipe: &self.recipe,
            train: self.train,
            test: self.test,
            excluded: &[],
            parent_is_exact: true,
            forget,
            class: None,
            lookalikes: None,
            seed: 1,
        };
        unlearn(method, &task, &mut Silent).unwrap()
    }

    /// By `convex`, beside solving from zero; says how long each took.
    fn forget_exactly(&self, parent: &Mlp, forget: &[u32]) -> Exactly {
        let started = Instant::now();
        let forgot = self.forget(&Method::CONVEX, parent, forget).model;
        let warm_s = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let retrained = self.without(forget);
        let cold_s = started.elapsed().as_secs_f64();
        let [forgot_w, retrained_w, parent_w] = [&forgot, &retrained, parent].map(weights_of);
        let (apart, before) = (distance(&forgot_w, &retrained_w), distance(&parent_w, &retrained_w));
        say(&format!(
            "convex, {} of {} rows of {} classes: {warm_s:.2} s from the parent, {cold_s:.2} s from zero (one thread); as published in \
             f32 ‖w − w_r‖ {apart:.1e}, ‖w₀ − w_r‖ {before:.1e}; test accuracy {:.4}, retrained {:.4}",
            forget.len(),
            self.train.n_rows(),
            self.train.n_classes(),
            self.test_accuracy(&forgot),
            self.test_accuracy(&retrained),
        ));
        Exactly { forgot, apart, before }
    }

    fn spread(&self, n: usize) -> Vec<u32> {
        (0..n).map(|i| (i * self.train.n_rows() / n) as u32).collect()
    }

    fn test_accuracy(&self, mlp: &Mlp) -> f64 {
        let rows: Vec<u32> = (0..self.test.n_rows() as u32).collect();
        Evaluator::new(mlp.shape()).evaluate(mlp, self.test, &rows).accuracy
    }
}

fn recipe(perturbation: f64) -> Recipe {
    Recipe::Standard(Standard { holdout: 0.0, ..Standard::optimum(1, perturbation) })
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// To be read with `--nocapture`.
fn say(words: &str) {
    println!("{words}");
}

#[test]
fn a_thousand_threes_and_eights_are_forgotten_exactly_in_a_second() {
    let Some(data) = mnist() else { return };
    let (train, test) = (ThreesAndEights::of(data.train()), ThreesAndEights::of(data.test()));
    let world = World { train: train.samples(), test: test.samples(), recipe: recipe(0.0) };
    assert_eq!(world.train.n_rows(), 11_982);
    let parent = world.without(&[]);
    let forget = world.spread(N_FORGOTTEN);

    let Exactly { forgot, apart, before } = world.forget_exactly(&parent, &forget);
    assert!(apart < 1e-6 && before > 0.1, "{apart:.1e} {before}");

    // what rounding to f32 hides
    let rows: Vec<u32> =
        (0..world.train.n_rows() as u32).filter(|row| forget.binary_search(row).is_err()).collect();
    let solve = |start: Vec<f64>| {
        let penalty = Penalty { weight_decay: 1e-3, noise: None };
        let mut solver = Solver::new(Objective::new(world.train, &rows, penalty, NonZeroUsize::MIN), start);
        while !solver.is_at_optimum() {
            solver.step(&mut |_| ControlFlow::Continue(())).continue_value().unwrap();
        }
        solver.point().weights.clone()
    };
    let (warm, cold) = (solve(weights_of(&parent)), solve(vec![0.0; 785 * 2]));
    say(&format!("convex: in f64 ‖w − w_r‖ {:.1e}", distance(&warm, &cold)));
    assert!(distance(&warm, &cold) < 1e-7);
    assert!(distance(&weights_of(&network_of(&warm, 784, 2)), &weights_of(&forgot)) < 1e-7);
}

#[test]
fn the_certified_residual_is_within_budget_and_far_below_its_bound() {
    let Some(data) = mnist() else { return };
    let (train, test) = (ThreesAndEights::of(data.train()), ThreesAndEights::of(data.test()));
    let world = World { train: train.samples(), test: test.samples(), recipe: recipe(SIGMA) };
    let parent = world.without(&[]);
    for n in [1, N_FORGOTTEN] {
        let forget = world.spread(n);
        let started = Instant::now();
        let forgot = world.forget(&Method::Newton(Newton::default()), &parent, &forget);
        let seconds = started.elapsed().as_secs_f64();
        let told = forgot.certificate.unwrap();
        let retrained = weights_of(&world.without(&forget));
        let apart = distance(&weights_of(&forgot.model), &retrained);
        let before = distance(&weights_of(&parent), &retrained);
        say(&format!(
            "newton, {n}: residual {:.2e}, bound {:.2e} ({:.0}×), budget {:.3} (σ {}, ε {}, δ {}), {} steps, {seconds:.2} s; \
             ‖w − w_r‖ {apart:.1e}, ‖w₀ − w_r‖ {before:.3}; test accuracy {:.4}, parent {:.4}",
            told.residual,
            told.bound,
            told.bound / told.residual,
            told.budget,
            told.sigma,
            told.epsilon,
            told.delta,
            told.steps,
            world.test_accuracy(&forgot.model),
            world.test_accuracy(&parent),
        ));
        assert!(told.residual <= told.budget && told.residual <= told.bound, "{told:?}");
        assert!((told.budget - 2.2803).abs() < 1e-4 && apart < before, "{told:?}");
    }
}

/// Beside the tables of Langevin unlearning (Chien et al. 2024): one row removed, δ = 1/n, as small an ε as they go.
#[test]
fn a_single_row_is_certified_gone_at_every_published_epsilon_without_loss_of_accuracy() {
    /// A residual that is certified must fit into the noise; what one row leaves is a tenth of this.
    const ROOM: f64 = 2e-3;
    let Some(data) = mnist() else { return };
    let (train, test) = (ThreesAndEights::of(data.train()), ThreesAndEights::of(data.test()));
    let delta = 1.0 / train.labels.len() as f64;
    for epsilon in [0.05, 0.1, 0.5, 1.0, 2.0, 5.0] {
        let sigma = unlearn::perturbation_for(ROOM, epsilon, delta);
        let world = World { train: train.samples(), test: test.samples(), recipe: recipe(sigma) };
        let parent = world.without(&[]);
        let started = Instant::now();
        let forgot = world.forget(&Method::Newton(Newton { epsilon, delta }), &parent, &[5_003]);
        let seconds = started.elapsed().as_secs_f64();
        let told = forgot.certificate.unwrap();
        assert!(told.residual <= told.budget, "{told:?}");
        let (accuracy, before) = (world.test_accuracy(&forgot.model), world.test_accuracy(&parent));
        say(&format!(
            "newton, 1 row at ε {epsilon}, δ 1/n: σ {sigma:.1e}, residual {:.1e}, test accuracy {accuracy:.4}, \
             parent {before:.4}, {seconds:.2} s",
            told.residual
        ));
        assert!(accuracy > 0.96, "ε {epsilon}: {accuracy}");
    }
}

/// Beside the tables of DeltaGrad (Wu et al. 2020): ten classes, weight decay 0.001, a part of the rows removed.
#[test]
#[ignore = "a minute and a half; `make torture` runs it"]
fn of_ten_classes_what_is_left_is_the_optimum_without_the_rows() {
    let Some(data) = mnist() else { return };
    let world = World { train: data.train(), test: data.test(), recipe: recipe(0.0) };
    let parent = world.without(&[]);
    for n in [1, 60] {
        let Exactly { apart, before, .. } = world.forget_exactly(&parent, &world.spread(n));
        assert!(apart < 1e-5 && apart < before / 10.0, "{n}: {apart:.1e} {before:.1e}");
    }
}
