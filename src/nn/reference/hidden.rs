//! The hidden layer of the reference trainers: forward, and all of a mini-batch's updates to a row of
//! weights at once.
//!
//! A row of `W₁` (the weights of one pixel) takes part in a mini-batch only through its own pixel values.
//! Over the mini-batch's updates `j = 1 … B`, each `v ← μ·v + η·x·gⱼ`, `w ← w − v`, linearity gives
//!
//! ```text
//! v' = μᴮ·v + η·x·P            P = Σⱼ μᴮ⁻ʲ·gⱼ
//! w' = w − S·v − η·x·Q         Q = Σⱼ (1 + μ + … + μᴮ⁻ʲ)·gⱼ,   S = μ + … + μᴮ
//! ```
//!
//! with one `(P, Q)` for each image in the mini-batch. A mini-batch that is one update (mended
//! momentum) is the same with all exponents 0 in `P` and `Q` and `B = 1` in `μᴮ` and `S`. A dark pixel has
//! `x = 0`: only decay, made up for when the row is next needed.

use super::decay::Decay;
use crate::nn::Mlp;
use crate::nn::simd::{LANES, Simd, vectorised};

#[derive(Debug)]
pub(super) struct Hidden {
    width: usize,
    /// `width` rounded up to whole lanes; the padding stays zero.
    stride: usize,
    /// `D × stride`.
    weights: Vec<f32>,
    velocity: Vec<f32>,
    bias: Vec<f32>,
    bias_velocity: Vec<f32>,
    decay: Decay,
    learning_rate: f32,
    /// Updates made so far.
    clock: u64,
    /// The update each row is up to date with.
    caught_up: Vec<u64>,
    /// Rows whose pixel is lit in some image of the mini-batch.
    active: Vec<u32>,
    /// `P` and `Q` of each image, `n_images × stride` each.
    p: Vec<f32>,
    q: Vec<f32>,
}

impl Hidden {
    pub(super) fn new(mlp: &Mlp, momentum: f64, learning_rate: f64) -> Self {
        let (d, width) = (mlp.shape().widths[0], mlp.shape().widths[1]);
        let stride = width.next_multiple_of(LANES);
        let mut weights = vec![0.0; d * stride];
        for (padded, row) in weights.chunks_exact_mut(stride).zip(mlp.row_major(0).chunks_exact(width)) {
            padded[..width].copy_from_slice(row);
        }
        let mut bias = vec![0.0; stride];
        bias[..width].copy_from_slice(mlp.bias(0));
        Self {
            width,
            stride,
            velocity: vec![0.0; weights.len()],
            weights,
            bias_velocity: vec![0.0; stride],
            bias,
            decay: Decay::new(momentum),
            learning_rate: learning_rate as f32,
            clock: 0,
            caught_up: vec![0; d],
            active: Vec::with_capacity(d),
            p: Vec::new(),
            q: Vec::new(),
        }
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// Notes which pixels are lit in any of the images `x` (`n_images × D`).
    pub(super) fn find_active(&mut self, x: &[f32], n_images: usize) {
        let d = self.caught_up.len();
        self.active.clear();
        let lit = |&row: &u32| (0..n_images).any(|image| x[image * d + row as usize] != 0.0);
        self.active.extend((0..d as u32).filter(lit));
    }

    /// `h = max(0, b + x·W)` for each image; `h` is `n_images × stride`.
    pub(super) fn forward(&mut self, x: &[f32], n_images: usize, h: &mut [f32]) {
        for i in 0..self.active.len() {
            self.catch_up(self.active[i] as usize);
        }
        let d = self.caught_up.len();
        for (x, h) in x.chunks_exact(d).zip(h.chunks_exact_mut(self.stride)).take(n_images) {
            h.copy_from_slice(&self.bias);
            add_rows(x, &self.weights, h);
            h.iter_mut().for_each(|h| *h = if *h < 0.0 { 0.0 } else { *h });
        }
    }

    /// All updates of the mini-batch: `dh` is `B × stride`, masked.
    pub(super) fn update(&mut self, x: &[f32], n_images: usize, dh: &[f32], per_sample_momentum: bool) {
        let b = dh.len() / self.stride;
        let updates = if per_sample_momentum { b as u64 } else { 1 };
        self.p.clear();
        self.p.resize(n_images * self.stride, 0.0);
        self.q.clear();
        self.q.resize(n_images * self.stride, 0.0);
        for (j, g) in dh.chunks_exact(self.stride).enumerate() {
            let left = if per_sample_momentum { (b - 1 - j) as u64 } else { 0 };
            let (power, sum) = self.decay.over(left);
            let image = if n_images == 1 { 0 } else { j };
            let range = image * self.stride..(image + 1) * self.stride;
            add_two_scaled(
                self.learning_rate * power,
                self.learning_rate * (1.0 + sum),
                g,
                &mut self.p[range.clone()],
                &mut self.q[range],
            );
        }
        let factors = self.decay.over(updates);
        let d = self.caught_up.len();
        self.clock += updates;
        for &row in &self.active {
            let row = row as usize;
            self.caught_up[row] = self.clock;
            let range = row * self.stride..(row + 1) * self.stride;
            let (w, v) = (&mut self.weights[range.clone()], &mut self.velocity[range]);
            decay_row(factors, w, v);
            for image in 0..n_images {
                let pixel = x[image * d + row];
                if pixel != 0.0 {
                    let range = image * self.stride..(image + 1) * self.stride;
                    step_row(pixel, &self.p[range.clone()], &self.q[range], w, v);
                }
            }
        }
        decay_row(factors, &mut self.bias, &mut self.bias_velocity);
        for (p, q) in self.p.chunks_exact(self.stride).zip(self.q.chunks_exact(self.stride)) {
            step_row(1.0, p, q, &mut self.bias, &mut self.bias_velocity);
        }
    }

    fn catch_up(&mut self, row: usize) {
        let behind = self.clock - self.caught_up[row];
        if behind > 0 {
            let range = row * self.stride..(row + 1) * self.stride;
            decay_row(self.decay.over(behind), &mut self.weights[range.clone()], &mut self.velocity[range]);
            self.caught_up[row] = self.clock;
        }
    }

    /// Brings every row up to date and copies the layer out.
    pub(super) fn write_to(&mut self, mlp: &mut Mlp) {
        for row in 0..self.caught_up.len() {
            self.catch_up(row);
        }
        let rows = self.weights.chunks_exact(self.stride);
        let weights: Vec<f32> = rows.flat_map(|row| row[..self.width].iter().copied()).collect();
        mlp.set_layer(0, &weights, &self.bias[..self.width]);
    }
}

vectorised! {
    /// `w −= S·v`, then `v ·= μᵏ`, with `(μᵏ, S)` from [`Decay::over`].
    fn decay_row(factors: (f32, f32), w: &mut [f32], v: &mut [f32]) = decay_row_body;
}

#[inline(always)]
fn decay_row_body<S: Simd>(_: S, (power, sum): (f32, f32), w: &mut [f32], v: &mut [f32]) {
    for (w, v) in w.iter_mut().zip(v) {
        *w = S::mul_add(-sum, *v, *w);
        *v *= power;
    }
}

vectorised! {
    /// `v += x·P`, `w −= x·Q`.
    fn step_row(x: f32, p: &[f32], q: &[f32], w: &mut [f32], v: &mut [f32]) = step_row_body;
}

#[inline(always)]
fn step_row_body<S: Simd>(_: S, x: f32, p: &[f32], q: &[f32], w: &mut [f32], v: &mut [f32]) {
    for (((w, v), &p), &q) in w.iter_mut().zip(v).zip(p).zip(q) {
        *v = S::mul_add(x, p, *v);
        *w = S::mul_add(-x, q, *w);
    }
}

vectorised! {
    /// `p += a·g`, `q += b·g`.
    fn add_two_scaled(a: f32, b: f32, g: &[f32], p: &mut [f32], q: &mut [f32]) = add_two_scaled_body;
}

#[inline(always)]
fn add_two_scaled_body<S: Simd>(_: S, a: f32, b: f32, g: &[f32], p: &mut [f32], q: &mut [f32]) {
    for ((&g, p), q) in g.iter().zip(p).zip(q) {
        *p = S::mul_add(a, g, *p);
        *q = S::mul_add(b, g, *q);
    }
}

vectorised! {
    /// `z += x · W` for one row `x` (`D`) and row-major `W` (`D × H`), rows of zero inputs skipped.
    fn add_rows(x: &[f32], weights: &[f32], z: &mut [f32]) = add_rows_body;
}

#[inline(always)]
fn add_rows_body<S: Simd>(_: S, x: &[f32], weights: &[f32], z: &mut [f32]) {
    let mut lit = x.iter().zip(weights.chunks_exact(z.len())).filter(|&(&x, _)| x != 0.0);
    loop {
        // four rows a pass: `z` is loaded and stored once for them, and summed in the same order
        match [lit.next(), lit.next(), lit.next(), lit.next()] {
            [Some((&x0, row0)), Some((&x1, row1)), Some((&x2, row2)), Some((&x3, row3))] => {
                for ((((z, &w0), &w1), &w2), &w3) in z.iter_mut().zip(row0).zip(row1).zip(row2).zip(row3) {
                    let sum = S::mul_add(x1, w1, S::mul_add(x0, w0, *z));
                    *z = S::mul_add(x3, w3, S::mul_add(x2, w2, sum));
                }
            }
            rest => {
                for (&x, row) in rest.into_iter().flatten() {
                    for (z, &w) in z.iter_mut().zip(row) {
                        *z = S::mul_add(x, w, *z);
                    }
                }
                return;
            }
        }
    }
}
