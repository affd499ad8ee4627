//! The two reference programs, written down as they are: one epoch, timed.
//!
//! ```text
//! lethe-naive nn|debug FOLDER
//! ```
//!
//! `FOLDER` holds `train.x` (one byte a pixel) and `train.y` (one byte a label). Prints the seconds the epoch
//! took, without reading the rows, and the accuracy the program would print.
//!
//! Their arithmetic is told in `docs/decisions/0002-reference-modes.md`. Nothing is reorganised: momentum for
//! every weight, for every sample. What a C compiler does unasked under `-ffast-math` is written out, so that
//! this is as fast as that: fused multiply-adds, and numbers too small to be normal taken for zero.

use std::time::Instant;
use std::{env, fs};

const HIDDEN: usize = 256;
const CLASSES: usize = 10;
const BATCH: usize = 5;
const LEARNING_RATE: f32 = 0.0005;
const MOMENTUM: f32 = 0.9;

/// Rows as the programs hold them: pixels are floats before training begins.
struct Rows {
    x: Vec<f32>,
    labels: Vec<u8>,
    pixels: usize,
}

impl Rows {
    fn read(folder: &str) -> Self {
        let read = |name: &str| {
            fs::read(format!("{folder}/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        let (bytes, labels) = (read("train.x"), read("train.y"));
        let pixels = bytes.len() / labels.len();
        Self { x: bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect(), labels, pixels }
    }

    fn image(&self, row: usize) -> &[f32] {
        &self.x[row * self.pixels..(row + 1) * self.pixels]
    }

    fn label(&self, row: usize) -> usize {
        usize::from(self.labels[row])
    }
}

/// `a·b + c`: one instruction where the machine has it.
#[inline(always)]
fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { a.mul_add(b, c) } else { a * b + c }
}

struct Layer {
    outputs: usize,
    w: Vec<f32>,
    b: Vec<f32>,
    mw: Vec<f32>,
    mb: Vec<f32>,
}

impl Layer {
    /// Weights uniform in ±√(2 / inputs), from a generator as simple as C's.
    fn new(inputs: usize, outputs: usize) -> Self {
        let mut state = 1u32;
        let mut uniform = || {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            (state >> 16) as f32 / 32_768.0 - 1.0
        };
        let reach = (2.0 / inputs as f32).sqrt();
        Self {
            outputs,
            w: (0..inputs * outputs).map(|_| uniform() * reach).collect(),
            b: vec![0.0; outputs],
            mw: vec![0.0; inputs * outputs],
            mb: vec![0.0; outputs],
        }
    }

    fn forward(&self, x: &[f32], y: &mut [f32]) {
        y.copy_from_slice(&self.b);
        for (&x, row) in x.iter().zip(self.w.chunks_exact(self.outputs)) {
            for (y, &w) in y.iter_mut().zip(row) {
                *y = mul_add(x, w, *y);
            }
        }
        for y in y {
            *y = y.max(0.0);
        }
    }

    fn add_input_gradient(&self, g: &[f32], dx: &mut [f32]) {
        for (dx, row) in dx.iter_mut().zip(self.w.chunks_exact(self.outputs)) {
            for (&g, &w) in g.iter().zip(row) {
                *dx = mul_add(g, w, *dx);
            }
        }
    }

    fn update(&mut self, x: &[f32], g: &[f32]) {
        let rows = self.w.chunks_exact_mut(self.outputs).zip(self.mw.chunks_exact_mut(self.outputs));
        for (&x, (w, m)) in x.iter().zip(rows) {
            step(LEARNING_RATE * x, g, w, m);
        }
        step(LEARNING_RATE, g, &mut self.b, &mut self.mb);
    }
}

/// `m = 0.9·m + rate·g; w −= m`.
#[inline(always)]
fn step(rate: f32, g: &[f32], w: &mut [f32], m: &mut [f32]) {
    for ((w, m), &g) in w.iter_mut().zip(m).zip(g) {
        *m = mul_add(MOMENTUM, *m, rate * g);
        *w -= *m;
    }
}

/// The network with one mini-batch's buffers.
struct Program {
    first: Layer,
    second: Layer,
    h: [[f32; HIDDEN]; BATCH],
    z: [[f32; CLASSES]; BATCH],
    dh: [[f32; HIDDEN]; BATCH],
}

impl Program {
    fn new(pixels: usize) -> Self {
        Self {
            first: Layer::new(pixels, HIDDEN),
            second: Layer::new(HIDDEN, CLASSES),
            h: [[0.0; HIDDEN]; BATCH],
            z: [[0.0; CLASSES]; BATCH],
            dh: [[0.0; HIDDEN]; BATCH],
        }
    }

    /// Logits of one image into slot `j`, and whether the largest is its label's.
    fn forward(&mut self, j: usize, image: &[f32], label: usize) -> bool {
        self.first.forward(image, &mut self.h[j]);
        self.second.forward(&self.h[j], &mut self.z[j]);
        let z = &self.z[j];
        (0..CLASSES).fold(0, |best, class| if z[class] > z[best] { class } else { best }) == label
    }

    /// One step: sample `j` is `image(j)` with `label(j)`.
    fn train<'a>(&mut self, image: impl Fn(usize) -> &'a [f32], label: impl Fn(usize) -> usize) {
        for j in 0..BATCH {
            self.forward(j, image(j), label(j));
            to_gradient(&mut self.z[j], label(j));
        }
        for j in 0..BATCH {
            let (h, g, dh) = (&self.h[j], &self.z[j], &mut self.dh[j]);
            dh.fill(0.0);
            self.second.add_input_gradient(g, dh);
            self.second.update(h, g);
            self.second.add_input_gradient(g, dh);
            for (dh, &h) in dh.iter_mut().zip(h) {
                *dh = if h > 0.0 { *dh } else { 0.0 };
            }
        }
        for j in 0..BATCH {
            self.first.update(image(j), &self.dh[j]);
        }
    }
}

/// Logits become `softmax − onehot`.
fn to_gradient(z: &mut [f32; CLASSES], label: usize) {
    let max = z.iter().copied().fold(f32::MIN, f32::max);
    for z in z.iter_mut() {
        *z = (*z - max).exp();
    }
    let sum: f32 = z.iter().sum();
    for z in z.iter_mut() {
        *z /= sum;
    }
    z[label] -= 1.0;
}

/// `nn`: trains on four fifths, every sample of a mini-batch with the first one's image, and tests on the
/// rest.
fn nn(rows: &Rows, program: &mut Program) -> f64 {
    let boundary = rows.labels.len() * 4 / 5;
    for row in (0..boundary / BATCH).map(|batch| batch * BATCH) {
        program.train(|_| rows.image(row), |j| rows.label(row + j));
    }
    let tested = boundary..rows.labels.len();
    let n = tested.len();
    tested.filter(|&row| program.forward(0, rows.image(row), rows.label(row))).count() as f64 / n as f64
}

/// `debug`: trains on everything, and after each step looks at the mini-batch once more.
fn debug(rows: &Rows, program: &mut Program) -> f64 {
    let batches = rows.labels.len() / BATCH;
    let mut hits = 0;
    for row in (0..batches).map(|batch| batch * BATCH) {
        program.train(|j| rows.image(row + j), |j| rows.label(row + j));
        hits += (0..BATCH).filter(|&j| program.forward(j, rows.image(row + j), rows.label(row + j))).count();
    }
    hits as f64 / (batches * BATCH) as f64
}

/// From here on, numbers too small to be normal count as zero, as a C program's do under `-ffast-math`.
///
/// Without it the momentum of a pixel long dark decays into such numbers and stays there, and processors take
/// a hundred times as long over each: the epoch of `nn` took 45 s instead of 3.
fn flush_subnormals() {
    #[cfg(target_arch = "x86_64")]
    {
        const FLUSH_RESULTS_AND_OPERANDS: u32 = 1 << 15 | 1 << 6;
        let mut control = 0u32;
        // SAFETY: every x86-64 processor has both instructions; they store to and load from `control`, which is
        // a live, aligned u32 whose address they get. The bits set are defined on all x86-64 processors with
        // AVX or FMA, the rest stays as it was, no exception is unmasked. The compiler assumes that subnormals
        // are kept; nothing here depends on whether one is, no comparison or branch but `max` and `>` looks at
        // such a number, and those stay well-defined when it reads as zero.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut control, options(nostack, preserves_flags));
            control |= FLUSH_RESULTS_AND_OPERANDS;
            std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const control, options(nostack, preserves_flags));
        }
    }
}

fn main() {
    flush_subnormals();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [mode, folder] = arguments.as_slice() else { panic!("lethe-naive nn|debug FOLDER") };
    let rows = Rows::read(folder);
    let mut program = Program::new(rows.pixels);
    let start = Instant::now();
    let accuracy = match mode.as_str() {
        "nn" => nn(&rows, &mut program),
        "debug" => debug(&rows, &mut program),
        other => panic!("{other} is neither nn nor debug"),
    };
    println!("{} {accuracy}", start.elapsed().as_secs_f64());
}
