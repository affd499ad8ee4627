//! The reference runs and the main job on real MNIST.
//!
//! Needs the files; says so loudly when they are not there.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod local;

use lethe::data::Dataset;
use lethe::formats::picture::{Picture, Prepare};
use lethe::nn::{
    EpochReport, Evaluator, Faults, Features, Mlp, Observer, Problem, Recipe, Reference, Samples, Split,
    Standard, Trained, train,
};
use lethe::unlearn::{self, GradientAscent, Level, Method, Report, Task, Unlearned, Verdict, unlearn};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;

fn mnist() -> Option<Arc<Dataset>> {
    local::open("mnist")
}

/// Keeps every epoch's report.
#[derive(Default)]
struct History(Vec<EpochReport>);

impl Observer for History {
    fn on_epoch(&mut self, report: &EpochReport, _: &Mlp) -> ControlFlow<()> {
        self.0.push(*report);
        ControlFlow::Continue(())
    }
}

impl unlearn::Observer for History {}

fn run(recipe: &Recipe, data: &Dataset) -> (Trained, Vec<EpochReport>) {
    let mut history = History::default();
    let problem = Problem { train: data.train(), excluded: &[], test: data.test() };
    let trained = train(recipe, &problem, &mut history).unwrap();
    (trained, history.0)
}

/// What the program of each mode prints, in percent.
fn curve(recipe: &Recipe, data: &Dataset) -> Vec<f64> {
    run(recipe, data).1.iter().map(|epoch| 100.0 * epoch.reported_accuracy).collect()
}

fn nn(seed: u64, epochs: u32, faults: Faults) -> Recipe {
    Recipe::Nn(Reference { epochs, faults, ..Reference::nn(seed) })
}

/// Trains on so many threads.
struct Threads(usize);

impl Observer for Threads {
    fn threads(&mut self) -> NonZeroUsize {
        NonZeroUsize::new(self.0).unwrap()
    }
}

#[test]
fn one_two_and_three_threads_train_the_same_network() {
    let Some(data) = mnist() else { return };
    let problem = Problem { train: data.train(), excluded: &[], test: data.test() };
    for batch_size in [64, 512] {
        let recipe = Recipe::Standard(Standard { epochs: 2, batch_size, ..Standard::new(7) });
        let on = |n_threads| train(&recipe, &problem, &mut Threads(n_threads)).unwrap().model;
        let alone = on(1);
        assert!(on(2) == alone && on(3) == alone, "batch {batch_size}");
    }
}

/// Spearman's rank correlation of a curve with its epochs.
fn rank_correlation(curve: &[f64]) -> f64 {
    let mut ranks: Vec<usize> = (0..curve.len()).collect();
    ranks.sort_by(|&a, &b| curve[a].total_cmp(&curve[b]));
    let n = curve.len() as f64;
    let squares: f64 =
        ranks.iter().enumerate().map(|(rank, &epoch)| (rank as f64 - epoch as f64).powi(2)).sum();
    1.0 - 6.0 * squares / (n * (n * n - 1.0))
}

#[test]
fn debug_prints_the_published_table_within_three_tenths_of_a_point() {
    let Some(data) = mnist() else { return };
    let published = [95.27, 98.31, 99.02, 99.41, 99.65, 99.79, 99.88, 99.92, 99.95, 99.98];
    let (trained, history) = run(&Recipe::Debug(Reference::debug(1)), &data);
    for (epoch, want) in history.iter().zip(published) {
        let got = 100.0 * epoch.reported_accuracy;
        assert!((got - want).abs() <= 0.3, "epoch {}: {got:.2}, published {want}", epoch.epoch);
    }
    assert!(trained.completed && history.len() == 10);
    // what it prints is not what it knows
    let honest = 100.0 * history[9].test_accuracy;
    assert!((97.0..98.2).contains(&honest), "{honest}");
}

/// Four seeds to epoch 20. Where a single one is at epoch 10 is decided by the last bits of its weights: over eight
/// seeds 58.9 to 69.0 %, and 59.8 to 66.8 % with the same sums in another order. So the bands hold for the mean,
/// and each seed is within three points of them.
#[test]
fn nn_learns_backwards_as_published() {
    let Some(data) = mnist() else { return };
    let curves = [1, 2, 3, 4].map(|seed| curve(&nn(seed, 20, Faults::NN), &data));
    for (epoch, least, most) in [(1, 77.0, 88.0), (10, 60.0, 72.0), (20, 47.0, 60.0)] {
        let accuracies = curves.each_ref().map(|curve| curve[epoch - 1]);
        let mean = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
        assert!((least..=most).contains(&mean), "epoch {epoch}: {accuracies:.2?}");
        assert!(accuracies.iter().all(|one| (least - 3.0..=most + 3.0).contains(one)), "{accuracies:.2?}");
    }
    for (seed, curve) in (1..).zip(&curves) {
        let rho = rank_correlation(curve);
        assert!(rho < -0.9, "seed {seed}: rank correlation {rho:.3}");
    }
}

#[test]
fn turning_off_the_misaligned_labels_alone_makes_nn_climb() {
    let Some(data) = mnist() else { return };
    let aligned = Faults { misaligned_labels: false, ..Faults::NN };
    let curve = curve(&nn(1, 12, aligned), &data);
    assert!(curve[11] >= 97.5, "{curve:?}");
    assert!(curve.iter().all(|&accuracy| accuracy > 95.0), "{curve:?}");
}

#[test]
fn turning_off_any_other_fault_alone_does_not() {
    let Some(data) = mnist() else { return };
    let others = [
        Faults { no_shuffle: false, ..Faults::NN },
        Faults { output_relu: false, ..Faults::NN },
        Faults { doubled_hidden_gradient: false, ..Faults::NN },
        Faults { per_sample_momentum: false, ..Faults::NN },
    ];
    std::thread::scope(|scope| {
        for faults in others {
            let data = &data;
            scope.spawn(move || {
                let curve = curve(&nn(1, 12, faults), data);
                assert!(curve.iter().all(|&accuracy| accuracy < 90.0), "{faults:?}: {curve:?}");
                assert!(curve[11] < curve[2] - 5.0, "{faults:?}: {curve:?}");
            });
        }
    });
}

#[test]
fn standard_reaches_98_percent_and_forgets_a_class_as_retraining_does() {
    let Some(data) = mnist() else { return };
    let recipe = Recipe::Standard(Standard::new(7));
    let (trained, history) = run(&recipe, &data);
    let last = history.last().unwrap();
    assert!(history.len() <= 15 && last.test_accuracy >= 0.98, "{}", last.test_accuracy);

    let rows = Split::new(&recipe, data.train().n_rows(), &[]).train;
    let forget: Vec<u32> = rows.into_iter().filter(|&row| data.train().label(row as usize) == 3).collect();
    let task = Task {
        parent: &trained.model,
        known: None,
        recipe: &recipe,
        train: data.train(),
        test: data.test(),
        excluded: &[],
        parent_is_exact: true,
        forget: &forget,
        class: Some(3),
        lookalikes: None,
        seed: 1,
    };
    let (bounded, report) = forget_by(GradientAscent::BOUNDED, &task);
    assert_eq!(bounded.stopped, None);
    let measure = |name: &str| &report.metrics[name];
    assert!(measure("forget_accuracy").after <= 0.01);
    assert!(measure("dormant_accuracy").after <= 0.01, "{}", measure("dormant_accuracy").after);
    for name in ["retain_accuracy", "test_accuracy"] {
        let gap = (measure(name).after - measure(name).retrain.unwrap()).abs();
        assert!(gap <= 0.005, "{name}: {gap}");
    }
    assert!(measure("dormant_accuracy").before > 0.5, "the probe must be able to find what is hidden");

    let (plain, report) = forget_by(GradientAscent::PLAIN, &task);
    assert!(
        plain.stopped.is_some_and(|stopped| stopped.rolled_back),
        "plain ascent is stopped and rolled back"
    );
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(report.metrics["test_accuracy"].after > 0.96, "the network is not broken");
    assert!(report.shortcomings.iter().any(|line| line.contains("comes back")), "{:?}", report.shortcomings);
}

fn forget_by(numbers: GradientAscent, task: &Task<'_>) -> (Unlearned, Report) {
    let method = Method::GradientAscent(numbers);
    let outcome = unlearn(&method, task, &mut History::default()).unwrap();
    let report =
        unlearn::verify(task, Some(&method), &outcome, Level::Standard, &mut History::default()).unwrap();
    (outcome, report)
}

/// The picture enlarged so many times, as ink on white paper with a margin around it.
fn on_paper(pixels: &[u8], times: usize, margin: usize) -> Picture {
    let side = 28 * times + 2 * margin;
    let mut grey = vec![255; side * side];
    for y in 0..28 * times {
        for x in 0..28 * times {
            grey[(y + margin) * side + x + margin] = 255 - pixels[y / times * 28 + x / times];
        }
    }
    Picture { width: side, height: side, grey, alpha: None }
}

/// What a picture of a digit becomes is what MNIST's makers made of theirs: the network knows it as well.
#[test]
fn digits_on_paper_are_recognised_like_the_originals() {
    let Some(data) = mnist() else { return };
    let recipe = Recipe::Standard(Standard { epochs: 4, ..Standard::new(7) });
    let model = run(&recipe, &data).0.model;
    let test = data.test();
    let Features::U8(originals) = test.features() else { panic!("MNIST is made of bytes") };
    let accuracy = |pixels: &[u8]| {
        let samples = Samples::new(Features::U8(pixels), test.labels(), 784, 10);
        let rows: Vec<u32> = (0..samples.n_rows() as u32).collect();
        Evaluator::new(model.shape()).evaluate(&model, samples, &rows).accuracy
    };
    let of_pictures = |prepare: Prepare, picture: &dyn Fn(&[u8]) -> Picture| {
        let prepared =
            originals.chunks_exact(784).map(|pixels| picture(pixels).prepare(prepare, 28, 28).unwrap());
        accuracy(&prepared.flatten().collect::<Vec<u8>>())
    };
    let original = accuracy(originals);
    let enlarged = of_pictures(Prepare::Digit, &|pixels| on_paper(pixels, 5, 0));
    let off_centre = of_pictures(Prepare::Digit, &|pixels| on_paper(pixels, 3, 50));
    let scaled = of_pictures(Prepare::Resize, &|pixels| on_paper(pixels, 3, 50));
    println!(
        "originals {original:.4}, 5 times {enlarged:.4}, with a margin {off_centre:.4}, only scaled {scaled:.4}"
    );
    assert!(original > 0.97, "{original}");
    assert!((original - enlarged).abs() < 0.005, "{original} and {enlarged}");
    assert!((original - off_centre).abs() < 0.005, "{original} and {off_centre}");
    // without the preparation it is a stranger
    assert!(scaled < 0.5, "{scaled}");
}
