//! The slow, obvious twins in f64: written from the descriptions, not from the fast code.
#![expect(clippy::needless_range_loop, reason = "indices as in the formulas they follow")]

use super::batch::Batch;
use super::hash::{Purpose, order_rows};
use super::init::init;
use super::simd::tests::on_every_isa;
use super::*;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// A network as the textbook draws it.
#[derive(Clone)]
pub(crate) struct Net {
    /// `weights[l][i][o]`
    weights: Vec<Vec<Vec<f64>>>,
    bias: Vec<Vec<f64>>,
    output_relu: bool,
}

impl Net {
    pub(crate) fn of(mlp: &Mlp) -> Self {
        let layer = |l: usize| {
            let h = mlp.shape().widths[l + 1];
            mlp.row_major(l).chunks(h).map(|row| row.iter().map(|&w| w.into()).collect()).collect()
        };
        let bias = |l: usize| mlp.bias(l).iter().map(|&b| b.into()).collect();
        Self {
            weights: (0..mlp.n_layers()).map(layer).collect(),
            bias: (0..mlp.n_layers()).map(bias).collect(),
            output_relu: mlp.shape().output_relu,
        }
    }

    /// Every layer's output, the input first.
    pub(crate) fn forward(&self, x: &[f64]) -> Vec<Vec<f64>> {
        let mut outputs = vec![x.to_vec()];
        for (l, (w, b)) in self.weights.iter().zip(&self.bias).enumerate() {
            let input = outputs.last().unwrap();
            let clipped = l + 1 < self.weights.len() || self.output_relu;
            let unit = |o: usize| {
                let sum: f64 = b[o] + input.iter().zip(w).map(|(x, row)| x * row[o]).sum::<f64>();
                if clipped { sum.max(0.0) } else { sum }
            };
            outputs.push((0..b.len()).map(unit).collect());
        }
        outputs
    }

    pub(crate) fn loss(&self, x: &[f64], target: usize) -> f64 {
        -softmax(self.forward(x).last().unwrap())[target].ln()
    }

    pub(crate) fn params(&self) -> Vec<f64> {
        let layer = |(w, b): (&Vec<Vec<f64>>, &Vec<f64>)| [w.concat(), b.clone()].concat();
        self.weights.iter().zip(&self.bias).flat_map(layer).collect()
    }

    /// Whether parameter `index` of the layout of `params` is a weight, not a bias.
    pub(crate) fn is_weight(&self, index: usize) -> bool {
        let mut rest = index;
        for (w, b) in self.weights.iter().zip(&self.bias) {
            let n_weights = w.len() * b.len();
            if rest < n_weights {
                return true;
            }
            rest -= n_weights;
            if rest < b.len() {
                return false;
            }
            rest -= b.len();
        }
        panic!("there is no parameter {index}")
    }

    pub(crate) fn param_mut(&mut self, index: usize) -> &mut f64 {
        let all = self.weights.iter_mut().zip(&mut self.bias);
        let mut flat = all.flat_map(|(w, b)| w.iter_mut().flatten().chain(b.iter_mut()));
        flat.nth(index).unwrap()
    }
}

pub(crate) fn softmax(z: &[f64]) -> Vec<f64> {
    let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = z.iter().map(|z| (z - max).exp()).sum();
    z.iter().map(|z| (z - max).exp() / sum).collect()
}

pub(crate) fn image(samples: Samples<'_>, row: u32) -> Vec<f64> {
    let mut x = vec![0.0f32; samples.n_features()];
    samples.copy_row(row as usize, &mut x);
    x.into_iter().map(f64::from).collect()
}

/// The reference programs, statement by statement (`docs/decisions/0002-reference-modes.md`): the network, and how
/// many samples of the last epoch were right after the update on them.
fn reference_twin(whole: &Recipe, recipe: &Reference, samples: Samples<'_>) -> (Net, usize) {
    let mut rows = Split::new(whole, samples.n_rows(), &[]).train;
    if !recipe.faults.no_shuffle {
        order_rows(&mut rows, &mut Vec::new(), recipe.seed, Purpose::Order, 0);
    }
    let mut net = Net::of(&init(whole, samples.n_features(), samples.n_classes()));
    let (mu, eta) = (recipe.momentum, recipe.learning_rate);
    let (d, h, c) = (net.weights[0].len(), net.bias[0].len(), net.bias[1].len());
    let (mut m1, mut mb1) = (vec![vec![0.0; h]; d], vec![0.0; h]);
    let (mut m2, mut mb2) = (vec![vec![0.0; c]; h], vec![0.0; c]);
    let mut hits = 0;
    for _ in 0..recipe.epochs {
        hits = 0;
        for batch in rows.chunks(recipe.batch_size) {
            let mut xs = Vec::new();
            let mut hs = Vec::new();
            let mut gs = Vec::new();
            for (j, &row) in batch.iter().enumerate() {
                let x = image(samples, if recipe.faults.misaligned_labels { batch[0] } else { batch[j] });
                let outputs = net.forward(&x);
                let mut g = softmax(&outputs[2]);
                g[samples.label(row as usize) as usize] -= 1.0;
                xs.push(x);
                hs.push(outputs[1].clone());
                gs.push(g);
            }
            let mut dhs = vec![vec![0.0; h]; batch.len()];
            // one group a sample, or one for all when momentum is mended
            let groups: Vec<Vec<usize>> = if recipe.faults.per_sample_momentum {
                (0..batch.len()).map(|j| vec![j]).collect()
            } else {
                vec![(0..batch.len()).collect()]
            };
            for group in &groups {
                for &j in group {
                    for i in 0..h {
                        dhs[j][i] = (0..c).map(|o| net.weights[1][i][o] * gs[j][o]).sum();
                    }
                }
                for o in 0..c {
                    let grad: f64 = group.iter().map(|&j| gs[j][o]).sum();
                    mb2[o] = mu * mb2[o] + eta * grad;
                    net.bias[1][o] -= mb2[o];
                    for i in 0..h {
                        let grad: f64 = group.iter().map(|&j| gs[j][o] * hs[j][i]).sum();
                        m2[i][o] = mu * m2[i][o] + eta * grad;
                        net.weights[1][i][o] -= m2[i][o];
                    }
                }
                if recipe.faults.doubled_hidden_gradient {
                    for &j in group {
                        for i in 0..h {
                            dhs[j][i] += (0..c).map(|o| net.weights[1][i][o] * gs[j][o]).sum::<f64>();
                        }
                    }
                }
            }
            for j in 0..batch.len() {
                for i in 0..h {
                    if hs[j][i] <= 0.0 {
                        dhs[j][i] = 0.0;
                    }
                }
            }
            for group in &groups {
                for o in 0..h {
                    let grad: f64 = group.iter().map(|&j| dhs[j][o]).sum();
                    mb1[o] = mu * mb1[o] + eta * grad;
                    net.bias[0][o] -= mb1[o];
                    for i in 0..d {
                        let grad: f64 = group.iter().map(|&j| dhs[j][o] * xs[j][i]).sum();
                        m1[i][o] = mu * m1[i][o] + eta * grad;
                        net.weights[0][i][o] -= m1[i][o];
                    }
                }
            }
            for (x, &row) in xs.iter().zip(batch) {
                let z = &net.forward(x)[2];
                let best = (0..c).fold(0, |best, o| if z[o] > z[best] { o } else { best });
                hits += usize::from(best == samples.label(row as usize) as usize);
            }
        }
    }
    (net, hits)
}

/// Gradient of one row's loss by the chain rule, in the layout of `Net::params`.
pub(crate) fn gradient(net: &Net, x: &[f64], target: usize) -> Vec<f64> {
    gradient_by(net, x, |logits| {
        let mut dz = softmax(logits);
        dz[target] -= 1.0;
        dz
    })
}

/// Likewise of any loss, given its gradient by the logits.
pub(crate) fn gradient_by(net: &Net, x: &[f64], of: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let outputs = net.forward(x);
    let mut dz = of(outputs.last().unwrap());
    let mut layers = Vec::new();
    for l in (0..net.weights.len()).rev() {
        let input = &outputs[l];
        let dw: Vec<f64> = input.iter().flat_map(|&x| dz.iter().map(move |&g| x * g)).collect();
        layers.push([dw, dz.clone()].concat());
        let back = |(i, row): (usize, &Vec<f64>)| {
            let sum: f64 = row.iter().zip(&dz).map(|(w, g)| w * g).sum();
            if input[i] > 0.0 { sum } else { 0.0 }
        };
        dz = net.weights[l].iter().enumerate().map(back).collect();
    }
    layers.reverse();
    layers.concat()
}

fn standard_twin(recipe: &Standard, samples: Samples<'_>) -> Net {
    let whole = Recipe::Standard(recipe.clone());
    let mut rows = Split::new(&whole, samples.n_rows(), &[]).train;
    let mut net = Net::of(&init(&whole, samples.n_features(), samples.n_classes()));
    let n_params = net.params().len();
    let mut velocity = vec![0.0; n_params];
    let is_weight: Vec<bool> = net
        .weights
        .iter()
        .zip(&net.bias)
        .flat_map(|(w, b)| [vec![true; w.len() * b.len()], vec![false; b.len()]].concat())
        .collect();
    let per_epoch = rows.len().div_ceil(recipe.batch_size);
    let steps = per_epoch * recipe.epochs as usize;
    let mut step = 0usize;
    for epoch in 1..=recipe.epochs {
        order_rows(&mut rows, &mut Vec::new(), recipe.seed, Purpose::Order, epoch);
        for batch in rows.chunks(recipe.batch_size) {
            let mut mean = vec![0.0; n_params];
            for &row in batch {
                let g = gradient(&net, &image(samples, row), samples.label(row as usize) as usize);
                mean.iter_mut().zip(g).for_each(|(m, g)| *m += g / batch.len() as f64);
            }
            let rate = match recipe.schedule {
                Schedule::Constant => recipe.learning_rate,
                Schedule::Step { every_epochs, factor } => {
                    recipe.learning_rate * factor.powi(((epoch - 1) / every_epochs) as i32)
                }
                Schedule::Cosine => {
                    let progress = step as f64 / steps as f64;
                    recipe.learning_rate * (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0
                }
            };
            for i in 0..n_params {
                let decay = if is_weight[i] { recipe.weight_decay } else { 0.0 };
                let w = net.param_mut(i);
                velocity[i] = recipe.momentum * velocity[i] + mean[i] + decay * *w;
                *w -= rate * velocity[i];
            }
            step += 1;
        }
    }
    net
}

/// Rows with zeros in most places, as digits have, and labels a network can learn.
pub(crate) fn problem_data(n_rows: usize, n_features: usize, n_classes: u32) -> (Vec<u8>, Vec<u32>) {
    use rand::{Rng, SeedableRng};
    let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(11);
    let labels: Vec<u32> = (0..n_rows).map(|_| rng.next_u32() % n_classes).collect();
    let pixel = |label: u32, i: usize, noise: u32| match (noise % 4, (i as u32 + label) % n_classes) {
        (0, 0) => 255,
        (1, 0) => (noise >> 8) as u8,
        (2, 1) => (noise >> 9) as u8 / 2,
        _ => 0,
    };
    let pixels = labels
        .iter()
        .flat_map(|&label| (0..n_features).map(move |i| (label, i)))
        .map(|(label, i)| pixel(label, i, rng.next_u32()))
        .collect();
    (pixels, labels)
}

pub(crate) struct Silent;

impl Observer for Silent {}

fn train_on(recipe: &Recipe, samples: Samples<'_>) -> Mlp {
    train(recipe, &Problem { train: samples, excluded: &[], test: samples }, &mut Silent).unwrap().model
}

/// Largest difference between the weights of the two, and the largest weight.
fn distance(mlp: &Mlp, net: &Net) -> (f64, f64) {
    let pairs = mlp.to_params().into_iter().map(f64::from).zip(net.params());
    pairs.fold((0.0, 0.0), |(gap, size), (a, b)| (f64::max(gap, (a - b).abs()), f64::max(size, b.abs())))
}

/// A training of `n` mini-batches in f32 adds a handful of roundings of relative size ε to each weight at
/// every step and passes earlier ones on through a nearly linear map: n·ε·(a few) of the largest weight. It does not
/// matter whether the reference modes add a step to the weights first, and then the weights up, or to the sum.
pub(crate) fn assert_near(mlp: &Mlp, net: &Net, n_batches: usize, what: &str) {
    let (gap, size) = distance(mlp, net);
    let bound = 8.0 * n_batches as f64 * f64::from(f32::EPSILON) * size;
    assert!(gap <= bound, "{what}: {gap:e} apart, bound {bound:e}");
}

#[test]
fn every_combination_of_faults_follows_the_reference_arithmetic() {
    let (pixels, labels) = problem_data(123, 40, 4);
    let samples = Samples::new(Features::U8(&pixels), &labels, 40, 4);
    for bits in 0..32u32 {
        let on = |bit: u32| bits >> bit & 1 == 1;
        let faults = Faults {
            misaligned_labels: on(0),
            no_shuffle: on(1),
            output_relu: on(2),
            doubled_hidden_gradient: on(3),
            per_sample_momentum: on(4),
        };
        // a hidden width that is not a whole number of lanes, a last mini-batch that is not full
        let recipe = Reference {
            hidden: 21,
            epochs: 3,
            learning_rate: 0.01,
            faults,
            ..Reference::nn(u64::from(bits))
        };
        for whole in [Recipe::Nn(recipe.clone()), Recipe::Debug(recipe.clone())] {
            let mlp = train_on(&whole, samples);
            let (net, _) = reference_twin(&whole, &recipe, samples);
            assert_near(&mlp, &net, 3 * 25, &format!("{faults:?}"));
            let start = init(&whole, 40, 4);
            assert!(distance(&start, &net).0 > 1e-2, "training did not move the weights");
        }
    }
}

/// Keeps the last epoch's report, and stops after some mini-batches.
struct Last {
    stop_after: u64,
    epoch: Option<EpochReport>,
}

impl Observer for Last {
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        if report.batch == self.stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
    fn on_epoch(&mut self, report: &EpochReport, _: &Mlp) -> ControlFlow<()> {
        self.epoch = Some(*report);
        ControlFlow::Continue(())
    }
}

/// What `debug` makes of `recipe` on every instruction set, all of them the same and near the twin.
fn assert_follows_the_reference(recipe: &Reference, samples: Samples<'_>, what: &str) {
    let whole = Recipe::Debug(recipe.clone());
    let results = simd::tests::on_every_isa(|| {
        let mut last = Last { stop_after: u64::MAX, epoch: None };
        let trained = train(&whole, &Problem { train: samples, excluded: &[], test: samples }, &mut last);
        (trained.unwrap().model, last.epoch.unwrap())
    });
    let (net, hits) = reference_twin(&whole, recipe, samples);
    let n_batches = recipe.epochs as usize * samples.n_rows().div_ceil(recipe.batch_size);
    for (mlp, report) in &results {
        assert_near(mlp, &net, n_batches, what);
        assert!(*mlp == results[0].0, "{what}: other bits on another instruction set");
        assert_eq!(report.train_loss, results[0].1.train_loss, "{what}");
        assert_eq!(report.grad_norm, results[0].1.grad_norm, "{what}");
        assert_eq!(report.reported_accuracy, hits as f64 / samples.n_rows() as f64, "{what}");
    }
}

#[test]
fn the_reference_modes_give_the_same_bits_on_every_instruction_set_at_the_extremes() {
    let (mut pixels, labels) = problem_data(123, 40, 4);
    // an image that is dark all over, a pixel that is lit in all others
    pixels[40..80].fill(0);
    pixels.chunks_exact_mut(40).enumerate().filter(|(row, _)| *row != 1).for_each(|(_, x)| x[17] = 200);
    let samples = Samples::new(Features::U8(&pixels), &labels, 40, 4);
    let base = Reference { hidden: 21, epochs: 2, learning_rate: 0.01, ..Reference::debug(5) };
    for (misaligned_labels, per_sample_momentum) in
        [(false, true), (true, true), (false, false), (true, false)]
    {
        let faults = Faults { misaligned_labels, per_sample_momentum, ..Faults::NN };
        let base = Reference { faults, ..base.clone() };
        // a mini-batch of 40 has more images than a window, one of 1000 more than there are
        for batch_size in [1, 2, 7, 29, 30, 31, 40, 1000] {
            // gradients of a mini-batch are summed, not averaged
            let learning_rate = 0.01 / (1.0 + batch_size as f64 / 5.0);
            let recipe = Reference { batch_size, learning_rate, ..base.clone() };
            assert_follows_the_reference(&recipe, samples, &format!("{recipe:?}"));
        }
        // one lane, whole panels, panels of one to four lanes
        for hidden in [1, 16, 33, 64, 100, 128, 129] {
            let recipe = Reference { hidden, epochs: 1, ..base.clone() };
            assert_follows_the_reference(&recipe, samples, &format!("{recipe:?}"));
        }
        for momentum in [0.0, 0.5, 0.99] {
            let recipe = Reference { momentum, learning_rate: 0.01 * (1.0 - momentum), ..base.clone() };
            assert_follows_the_reference(&recipe, samples, &format!("{recipe:?}"));
        }
    }
}

#[test]
fn features_are_taken_as_they_are() {
    let (pixels, labels) = problem_data(60, 130, 4);
    let sign = |i: usize| if i.is_multiple_of(3) { -1.0 } else { 1.0 };
    let features: Vec<f32> =
        pixels.iter().enumerate().map(|(i, &pixel)| sign(i) * f32::from(pixel) / 64.0).collect();
    let samples = Samples::new(Features::F32(&features), &labels, 130, 4);
    let recipe = Reference { hidden: 21, epochs: 2, ..Reference::debug(2) };
    assert_follows_the_reference(&recipe, samples, "numbers of both signs");
}

#[test]
fn a_pixel_may_stay_dark_for_longer_than_the_table_of_decay_remembers() {
    const ROWS: usize = 4400;
    let pixels: Vec<u8> = (0..ROWS * 6)
        .map(|i| match (i / 6, i % 6) {
            (0..10 | 4390.., 0) => 255,
            (0..10, 1) => 128,
            (row, column) if (row * 7 + column * 3) % 5 == 0 && column > 1 => (row % 251) as u8,
            _ => 0,
        })
        .collect();
    let labels: Vec<u32> = (0..ROWS as u32).map(|row| row % 3).collect();
    let samples = Samples::new(Features::U8(&pixels), &labels, 6, 3);
    for momentum in [0.9, 0.999] {
        let recipe = Reference { hidden: 3, epochs: 1, momentum, ..Reference::debug(4) };
        assert_follows_the_reference(&recipe, samples, &format!("{momentum}"));
    }
}

#[test]
fn a_training_that_is_stopped_has_made_the_updates_of_the_mini_batches_it_was_shown() {
    let (pixels, labels) = problem_data(123, 40, 4);
    for faults in [Faults::NN, Faults::DEBUG] {
        let recipe = Reference { hidden: 21, epochs: 1, learning_rate: 0.01, faults, ..Reference::debug(3) };
        let whole = Recipe::Debug(recipe.clone());
        for n_batches in [1, 5, 6, 7, 13] {
            let all = Samples::new(Features::U8(&pixels), &labels, 40, 4);
            let mut last = Last { stop_after: n_batches as u64, epoch: None };
            let trained = train(&whole, &Problem { train: all, excluded: &[], test: all }, &mut last);
            let rows = n_batches * recipe.batch_size;
            let shown = Samples::new(Features::U8(&pixels[..rows * 40]), &labels[..rows], 40, 4);
            let (net, _) = reference_twin(&whole, &recipe, shown);
            assert_near(&trained.unwrap().model, &net, n_batches, &format!("{n_batches} mini-batches"));
        }
    }
}

#[test]
fn standard_follows_its_definition() {
    let (pixels, labels) = problem_data(150, 30, 4);
    let samples = Samples::new(Features::U8(&pixels), &labels, 30, 4);
    let base = Standard { hidden: vec![19], epochs: 3, batch_size: 16, ..Standard::new(3) };
    let variants = [
        base.clone(),
        Standard { hidden: vec![], ..base.clone() },
        Standard { hidden: vec![17, 9], weight_decay: 0.01, ..base.clone() },
        Standard { schedule: Schedule::Constant, momentum: 0.0, ..base.clone() },
        Standard { schedule: Schedule::Step { every_epochs: 1, factor: 0.5 }, batch_size: 1000, ..base },
    ];
    for recipe in variants {
        let mlp = train_on(&Recipe::Standard(recipe.clone()), samples);
        assert_near(&mlp, &standard_twin(&recipe, samples), 3 * 10, &format!("{recipe:?}"));
    }
}

#[test]
fn gradients_match_central_differences() {
    let (pixels, labels) = problem_data(6, 12, 3);
    let samples = Samples::new(Features::U8(&pixels), &labels, 12, 3);
    for hidden in [vec![], vec![7], vec![8, 5]] {
        let recipe = Recipe::Standard(Standard { hidden, ..Standard::new(9) });
        let mlp = init(&recipe, 12, 3);
        let weights = [0.5f32, -0.25, 1.0, 0.0, 2.0, -1.0];
        let mut batch = batch::Batch::new(mlp.shape(), 6);
        batch.load(samples, &[0, 1, 2, 3, 4, 5]);
        batch.forward(&mlp);
        batch.loss();
        batch.weigh(|i, _| weights[i]);
        let mut padded = mlp.clone();
        padded.params_mut().fill(f32::NAN);
        batch.backward(&mlp, 0.0, padded.params_mut());
        let grad = padded.to_params();

        let loss = |net: &Net| -> f64 {
            let row = |r: u32| net.loss(&image(samples, r), samples.label(r as usize) as usize);
            (0..6).map(|r| f64::from(weights[r as usize]) * row(r)).sum()
        };
        let net = Net::of(&mlp);
        for i in 0..grad.len() {
            let h = 1e-5;
            let (mut up, mut down) = (net.clone(), net.clone());
            *up.param_mut(i) += h;
            *down.param_mut(i) -= h;
            let numeric = (loss(&up) - loss(&down)) / (2.0 * h);
            // sums of a few dozen products of numbers near 1, in f32
            assert!((f64::from(grad[i]) - numeric).abs() < 2e-5, "{i}: {} vs {numeric}", grad[i]);
        }
    }
}

/// Leaves so many threads to the training, another number every epoch when it is zero.
struct Threads(usize);

impl Observer for Threads {
    fn on_epoch(&mut self, report: &EpochReport, _: &Mlp) -> ControlFlow<()> {
        if self.0 == 0 {
            self.0 = report.epoch as usize % 3;
        }
        ControlFlow::Continue(())
    }
    fn threads(&mut self) -> NonZeroUsize {
        NonZeroUsize::new(self.0).unwrap_or(NonZeroUsize::MIN)
    }
}

/// Recipes of all modes on data wide enough that every kernel and every way to share out work is used.
fn recipes() -> Vec<Recipe> {
    let standard = Standard { hidden: vec![300], epochs: 3, ..Standard::new(3) };
    let reference = Reference { hidden: 20, epochs: 2, ..Reference::debug(3) };
    vec![
        Recipe::Standard(standard.clone()),
        Recipe::Standard(Standard { hidden: vec![], batch_size: 100, ..standard.clone() }),
        Recipe::Standard(Standard {
            hidden: vec![90, 200, 5],
            batch_size: 150,
            weight_decay: 0.01,
            ..standard
        }),
        Recipe::Debug(reference.clone()),
        Recipe::Nn(Reference { faults: Faults::NN, ..reference }),
    ]
}

fn bits(mlp: &Mlp) -> Vec<u32> {
    mlp.params().iter().map(|param| param.to_bits()).collect()
}

#[test]
fn the_same_recipe_gives_the_same_bits_on_any_number_of_threads() {
    let (pixels, labels) = problem_data(400, 150, 4);
    let samples = Samples::new(Features::U8(&pixels), &labels, 150, 4);
    let problem = Problem { train: samples, excluded: &[], test: samples };
    for recipe in recipes() {
        let alone = train_on(&recipe, samples);
        for n_threads in [2, 3, 5, 0] {
            let together = train(&recipe, &problem, &mut Threads(n_threads)).unwrap().model;
            assert!(bits(&together) == bits(&alone), "{n_threads} threads, {recipe:?}");
        }
    }
}

#[test]
fn the_same_recipe_gives_the_same_bits_on_every_instruction_set() {
    let (pixels, labels) = problem_data(200, 150, 4);
    let samples = Samples::new(Features::U8(&pixels), &labels, 150, 4);
    for recipe in recipes() {
        let models = on_every_isa(|| bits(&train_on(&recipe, samples)));
        assert!(models.iter().all(|model| *model == models[0]), "{recipe:?}");
    }
}

#[test]
fn bytes_and_floats_of_the_same_rows_give_the_same_bits() {
    let (pixels, labels) = problem_data(200, 150, 4);
    let floats: Vec<f32> = pixels.iter().map(|&pixel| f32::from(pixel) * (1.0 / 255.0)).collect();
    for recipe in recipes() {
        let of = |features| bits(&train_on(&recipe, Samples::new(features, &labels, 150, 4)));
        assert!(of(Features::U8(&pixels)) == of(Features::F32(&floats)), "{recipe:?}");
    }
}

#[test]
fn the_same_recipe_gives_the_same_bits_on_any_thread() {
    let (pixels, labels) = problem_data(200, 30, 4);
    let samples = Samples::new(Features::U8(&pixels), &labels, 30, 4);
    let standard = Standard { hidden: vec![20], epochs: 2, ..Standard::new(3) };
    let reference = Reference { hidden: 20, epochs: 2, ..Reference::debug(3) };
    for recipe in [Recipe::Standard(standard), Recipe::Debug(reference)] {
        let alone = train_on(&recipe, samples);
        let together: Vec<Mlp> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..3).map(|_| scope.spawn(|| train_on(&recipe, samples))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        assert!(together.iter().all(|mlp| *mlp == alone));
    }
}

/// Numbers that lie as the parameter buffer does, without their padding.
fn without_padding(mlp: &Mlp, numbers: &[f32]) -> Vec<f32> {
    let mut holder = mlp.clone();
    holder.params_mut().copy_from_slice(numbers);
    holder.to_params()
}

#[test]
fn squared_gradients_are_summed_row_by_row() {
    for hidden in [vec![], vec![70], vec![20, 9]] {
        let (pixels, labels) = problem_data(150, 70, 4);
        let samples = Samples::new(Features::U8(&pixels), &labels, 70, 4);
        let mlp = init(&Recipe::Standard(Standard { hidden, ..Standard::new(3) }), 70, 4);
        let net = Net::of(&mlp);
        let rows: Vec<u32> = (0..150).step_by(2).collect();
        let mut batch = Batch::new(mlp.shape(), 100);
        let mut sums = vec![0.0; mlp.params().len()];
        batch.score(&mlp, samples, &rows);
        batch.squared_gradients(&mlp, 0.0, &mut sums);
        // a second helping is added
        batch.score(&mlp, samples, &rows[..10]);
        batch.squared_gradients(&mlp, 1.0, &mut sums);

        let mut want = vec![0.0; net.params().len()];
        for &row in rows.iter().chain(&rows[..10]) {
            let g = gradient(&net, &image(samples, row), samples.label(row as usize) as usize);
            want.iter_mut().zip(g).for_each(|(sum, g)| *sum += g * g);
        }
        // each of up to 85 terms is a product of squares of numbers that carry a few roundings themselves
        let largest = want.iter().copied().fold(0.0, f64::max);
        for (got, want) in without_padding(&mlp, &sums).into_iter().zip(&want) {
            let bound = 200.0 * f64::from(f32::EPSILON) * (want + 1e-3 * largest);
            assert!((f64::from(got) - want).abs() <= bound, "{got} {want}");
        }
    }
}

#[test]
fn input_gradients_are_those_of_the_loss() {
    for hidden in [vec![], vec![70], vec![20, 9]] {
        let (pixels, labels) = problem_data(40, 33, 4);
        let samples = Samples::new(Features::U8(&pixels), &labels, 33, 4);
        let mlp = init(&Recipe::Standard(Standard { hidden, ..Standard::new(3) }), 33, 4);
        let net = Net::of(&mlp);
        let rows = [3, 1, 39, 7];
        let mut batch = Batch::new(mlp.shape(), 8);
        batch.score(&mlp, samples, &rows);
        let gradients = batch.input_gradients(&mlp);
        for (row, got) in rows.iter().zip(gradients.chunks_exact(33)) {
            let (x, target) = (image(samples, *row), samples.label(*row as usize) as usize);
            for (i, &got) in got.iter().enumerate() {
                let h = 1e-6;
                let moved = |by: f64| {
                    let mut x = x.clone();
                    x[i] += by;
                    net.loss(&x, target)
                };
                let want = (moved(h) - moved(-h)) / (2.0 * h);
                // h² of the difference quotient, and roundings of a sum of 70 products below one
                assert!((f64::from(got) - want).abs() < 1e-5, "{got} {want}");
            }
        }
    }
}
