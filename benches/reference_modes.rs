//! `nn` and `debug` beside a naive program of the same arithmetic: `make bench`.
//!
//! Both train on the same rows in turn, several times; each line is the median of the paired ratios.
#![expect(
    clippy::needless_range_loop,
    clippy::print_stdout,
    reason = "plain loops are the point; a bench prints"
)]

use lethe::data::{Catalogue, FeatureData};
use lethe::nn::{
    BatchReport, EpochReport, Features, Mlp, Observer, Problem, Recipe, Reference, Samples, train,
};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Instant;

const ROWS: usize = 6_000;
const PIXELS: usize = 784;
const HIDDEN: usize = 256;
const CLASSES: usize = 10;
const ROUNDS: usize = 5;

struct Silent;

impl Observer for Silent {
    fn on_batch(&mut self, _: &BatchReport) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    fn on_epoch(&mut self, _: &EpochReport, _: &Mlp) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// The first rows of the embedded digits: how many pixels are lit, and together, decides the work.
fn data() -> (Vec<u8>, Vec<u32>) {
    let nowhere = std::env::temp_dir();
    let digits =
        Catalogue::new(None, nowhere).open_local("digits").ok().flatten().expect("digits are embedded");
    let FeatureData::U8(pixels) = &digits.train.features else { unreachable!("digits are bytes") };
    (pixels[..ROWS * PIXELS].to_vec(), digits.train.labels[..ROWS].to_vec())
}

/// One layer of the reference programs, written as they are: momentum for every weight, for every sample.
struct Layer {
    inputs: usize,
    outputs: usize,
    w: Vec<f32>,
    b: Vec<f32>,
    mw: Vec<f32>,
    mb: Vec<f32>,
}

impl Layer {
    fn new(inputs: usize, outputs: usize) -> Self {
        let w = (0..inputs * outputs).map(|i| ((i * 7919 % 1009) as f32 / 1009.0 - 0.5) * 0.05).collect();
        Self {
            inputs,
            outputs,
            w,
            b: vec![0.0; outputs],
            mw: vec![0.0; inputs * outputs],
            mb: vec![0.0; outputs],
        }
    }

    fn forward(&self, x: &[f32], y: &mut [f32]) {
        y.copy_from_slice(&self.b);
        for i in 0..self.inputs {
            for o in 0..self.outputs {
                y[o] += x[i] * self.w[i * self.outputs + o];
            }
        }
        for o in 0..self.outputs {
            y[o] = y[o].max(0.0);
        }
    }

    fn add_input_gradient(&self, g: &[f32], dx: &mut [f32]) {
        for i in 0..self.inputs {
            for o in 0..self.outputs {
                dx[i] += g[o] * self.w[i * self.outputs + o];
            }
        }
    }

    fn update(&mut self, x: &[f32], g: &[f32]) {
        for i in 0..self.inputs {
            for o in 0..self.outputs {
                let at = i * self.outputs + o;
                self.mw[at] = 0.9 * self.mw[at] + 0.0005 * g[o] * x[i];
                self.w[at] -= self.mw[at];
            }
        }
        for o in 0..self.outputs {
            self.mb[o] = 0.9 * self.mb[o] + 0.0005 * g[o];
            self.b[o] -= self.mb[o];
        }
    }
}

/// One epoch of the naive program over `n_rows` rows.
fn naive_epoch(pixels: &[u8], labels: &[u32], n_rows: usize, misaligned: bool) -> f32 {
    let (mut first, mut second) = (Layer::new(PIXELS, HIDDEN), Layer::new(HIDDEN, CLASSES));
    let buffers = |width: usize| vec![vec![0.0f32; width]; 5];
    let (mut x, mut h, mut g, mut dh) = (buffers(PIXELS), buffers(HIDDEN), buffers(CLASSES), buffers(HIDDEN));
    for row in (0..n_rows).step_by(5) {
        for j in 0..5 {
            let image = if misaligned { row } else { row + j };
            for k in 0..PIXELS {
                x[j][k] = f32::from(pixels[image * PIXELS + k]) / 255.0;
            }
            first.forward(&x[j], &mut h[j]);
            second.forward(&h[j], &mut g[j]);
            let max = g[j].iter().copied().fold(f32::MIN, f32::max);
            g[j].iter_mut().for_each(|z| *z = (*z - max).exp());
            let sum: f32 = g[j].iter().sum();
            g[j].iter_mut().for_each(|z| *z /= sum);
            g[j][labels[row + j] as usize] -= 1.0;
        }
        for j in 0..5 {
            dh[j].fill(0.0);
            second.add_input_gradient(&g[j], &mut dh[j]);
            second.update(&h[j], &g[j]);
            second.add_input_gradient(&g[j], &mut dh[j]);
            for i in 0..HIDDEN {
                dh[j][i] *= if h[j][i] > 0.0 { 1.0 } else { 0.0 };
            }
        }
        for j in 0..5 {
            first.update(&x[j], &dh[j]);
        }
    }
    first.w[0] + second.w[0]
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let (pixels, labels) = data();
    let samples = Samples::new(Features::U8(&pixels), &labels, PIXELS, CLASSES);
    // a test set of one row: evaluation is not what is compared
    let test = Samples::new(Features::U8(&pixels[..PIXELS]), &labels[..1], PIXELS, CLASSES);
    println!("one thread, {ROWS} rows, medians of {ROUNDS} alternating rounds");
    println!("{:8} {:>14} {:>14} {:>8}", "mode", "naive, s/epoch", "lethe, s/epoch", "ratio");
    let modes = [
        ("nn", Recipe::Nn(Reference { epochs: 1, ..Reference::nn(1) }), ROWS * 4 / 5, true),
        ("debug", Recipe::Debug(Reference { epochs: 1, ..Reference::debug(1) }), ROWS, false),
    ];
    for (name, recipe, n_rows, misaligned) in modes {
        let (mut naive, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let slow = seconds(|| {
                black_box(naive_epoch(&pixels, &labels, n_rows, misaligned));
            });
            let fast = seconds(|| {
                let problem = Problem { train: samples, excluded: &[], test };
                black_box(train(&recipe, &problem, &mut Silent).is_ok());
            });
            naive.push(slow);
            ours.push(fast);
            ratios.push(slow / fast);
        }
        println!("{name:8} {:14.3} {:14.3} {:7.1}x", median(naive), median(ours), median(ratios));
    }
}
