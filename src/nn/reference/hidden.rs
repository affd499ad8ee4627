//! The hidden layer of the reference trainers. It makes the updates of several mini-batches, a window, in two
//! passes over its weights.
//!
//! A row of `W` (the weights of one pixel; the bias is the row of a pixel that is always 1) takes part in a
//! mini-batch only through its own pixel values. Over the updates `j = 1 … B` of a mini-batch, each
//! `v ← μ·v + η·x·gⱼ`, `w ← w − v`, linearity gives
//!
//! ```text
//! v' = μᴮ·v + Σᵢ xᵢ·Pᵢ            Pᵢ = η·Σⱼ μᴮ⁻ʲ·gⱼ
//! w' = w − S·v − Σᵢ xᵢ·Qᵢ         Qᵢ = η·Σⱼ (1 + μ + … + μᴮ⁻ʲ)·gⱼ,   S = μ + … + μᴮ           (1)
//! ```
//!
//! with one `(Pᵢ, Qᵢ)` for each image, summed over the samples that look at it. A mini-batch that is one update
//! (mended momentum) is the same with all exponents 0 in `P` and `Q` and `B = 1` in `μᴮ` and `S`. A dark pixel
//! has `x = 0`: only decay, made up for when the row is next needed.
//!
//! What image `k` makes of the layer, `a = xₖ·W` and `c = xₖ·V`, is a sum of rows. So by (1) a mini-batch changes
//! it like a row whose pixels are the inner products of the images:
//!
//! ```text
//! c' = μᴮ·c + Σᵢ (xₖ·xᵢ)·Pᵢ
//! a' = a − S·c − Σᵢ (xₖ·xᵢ)·Qᵢ                                                                (2)
//! ```
//!
//! One pass over the weights opens a window: `a` and `c` of its images. Its mini-batches, one after the other, need
//! (2) alone. A second pass closes it: (1) with the updates of all of them, the `(P, Q)` of a mini-batch that `k`
//! updates have followed being `(μᵏ·P, Q + S·P)`, as for any velocity and weight.

use super::decay::Decay;
use super::gram::gram;
use super::images::{Images, Light, Row};
use super::rows::{Missed, catch_up, project, update};
use crate::nn::buffer::Buffer;
use crate::nn::panels::{PANEL, Panels};
use crate::nn::simd::{Simd, vectorised};
use crate::nn::state::State;
use crate::nn::{Mlp, Reference, TrainError};
use std::ops::Range;

#[derive(Debug)]
pub(super) struct Hidden {
    width: usize,
    /// `(w, v)`, a pair of rows for each pixel and one for the bias.
    layout: Panels,
    rows: Buffer,
    decay: Decay,
    learning_rate: f32,
    per_sample_momentum: bool,
    /// Updates made so far.
    clock: u64,
    /// The update each row is up to date with.
    caught_up: Vec<u64>,
    missed: Vec<Missed>,
    window: Window,
}

/// What is known of the window's images.
#[derive(Debug)]
struct Window {
    opened_at: u64,
    n_images: usize,
    /// Pairs of rows, one for each image.
    layout: Panels,
    /// `(a, c)`, as of the clock for the images that are still waiting.
    sums: Buffer,
    /// `(−Q, P)`, as of the end of the image's mini-batch.
    steps: Buffer,
    /// That end, for the images that have had their mini-batch.
    pushed_at: Vec<u64>,
    /// `xₖ·xᵢ`, `n × n` for the window's `n` images; empty if none waits.
    gram: Vec<f32>,
    /// The waiting images as rows, and their products with a mini-batch's images.
    rows: Vec<Row>,
    lights: Vec<Light>,
}

/// A mini-batch's gradients.
pub(super) struct Gradients<'a> {
    /// Its images in the window: one for each sample, or a single one they share.
    pub(super) images: Range<usize>,
    /// Gradients of the samples' activations, masked, `B × stride`.
    pub(super) dh: &'a [f32],
}

impl Hidden {
    /// For windows of at most `capacity` images. If it is not `windowed`, a window is one mini-batch and ends with
    /// its update: no image ever waits.
    pub(super) fn new(mlp: &Mlp, recipe: &Reference, capacity: usize, windowed: bool) -> Self {
        let (d, width) = (mlp.shape().widths[0], mlp.shape().widths[1]);
        let layout = Panels::new(2 * (d + 1), width);
        let mut rows = Buffer::zeroed(layout.size());
        for (row, weights) in mlp.row_major(0).chunks_exact(width).chain([mlp.bias(0)]).enumerate() {
            layout.set_row(&mut rows, 2 * row, weights);
        }
        let of_images = Panels::new(2 * capacity, width);
        let products = if windowed { capacity * capacity } else { 0 };
        Self {
            width,
            layout,
            rows,
            decay: Decay::new(recipe.momentum),
            learning_rate: recipe.learning_rate as f32,
            per_sample_momentum: recipe.faults.per_sample_momentum,
            clock: 0,
            caught_up: vec![0; d + 1],
            missed: Vec::with_capacity(d + 1),
            window: Window {
                opened_at: 0,
                n_images: 0,
                layout: of_images,
                sums: Buffer::zeroed(of_images.size()),
                steps: Buffer::zeroed(of_images.size()),
                pushed_at: Vec::with_capacity(capacity),
                gram: vec![0.0; products],
                rows: Vec::with_capacity(capacity),
                lights: Vec::with_capacity(products),
            },
        }
    }

    /// Numbers of a row of activations: the width in whole lanes.
    pub(super) fn stride(&self) -> usize {
        self.layout.padded()
    }

    /// Opens a window with these images.
    pub(super) fn open(&mut self, images: &Images) {
        self.catch_up(images.rows().iter().map(|row| row.row as usize));
        let window = &mut self.window;
        window.opened_at = self.clock;
        window.n_images = images.len();
        window.pushed_at.clear();
        for panel in 0..self.layout.n_panels() {
            let rows = &self.rows[self.layout.panel(panel)];
            let sums = &mut window.sums[window.layout.tile(panel, 0..2 * images.len())];
            project(images, self.layout.width(panel), rows, sums);
        }
        if !window.gram.is_empty() {
            gram(images, &mut window.gram);
        }
    }

    /// `h = max(0, a)` for some images; `h` is `n × stride`.
    pub(super) fn activate(&self, images: Range<usize>, h: &mut [f32]) {
        let layout = self.window.layout;
        for (image, h) in images.zip(h.chunks_exact_mut(layout.padded())) {
            for (panel, h) in h.chunks_mut(PANEL).enumerate() {
                relu(&self.window.sums[layout.tile(panel, 2 * image..2 * image + 1)], h);
            }
        }
    }

    /// Makes the updates of the next mini-batch. Only the images that are `waiting` are told.
    pub(super) fn push(&mut self, gradients: &Gradients<'_>, waiting: Range<usize>) {
        let stride = self.stride();
        let b = gradients.dh.len() / stride;
        let (window, images) = (&mut self.window, gradients.images.clone());
        let layout = window.layout;
        for panel in 0..layout.n_panels() {
            window.steps[layout.tile(panel, 2 * images.start..2 * images.end)].fill(0.0);
        }
        for (j, g) in gradients.dh.chunks_exact(stride).enumerate() {
            let left = if self.per_sample_momentum { (b - 1 - j) as u64 } else { 0 };
            let (power, sum) = self.decay.over(left);
            let factors = (-self.learning_rate * (1.0 + sum), self.learning_rate * power);
            let image = if images.len() == 1 { images.start } else { images.start + j };
            for (panel, g) in g.chunks(PANEL).enumerate() {
                add_twice(factors, g, &mut window.steps[layout.tile(panel, 2 * image..2 * image + 2)]);
            }
        }
        let updates = if self.per_sample_momentum { b as u64 } else { 1 };
        self.clock += updates;
        window.pushed_at.resize(images.end, self.clock);

        window.rows.clear();
        window.lights.clear();
        for k in waiting {
            let first = window.lights.len() as u32;
            window.rows.push(Row { row: k as u32, first, n: images.len() as u32 });
            let products = &window.gram[k * window.n_images..][images.clone()];
            let lights = images.clone().zip(products);
            window.lights.extend(lights.map(|(i, &value)| Light { image: i as u32, value }));
        }
        for panel in 0..layout.n_panels() {
            let (steps, sums) = (&window.steps[layout.panel(panel)], &mut window.sums[layout.panel(panel)]);
            let rows = (&window.rows[..], &window.lights[..]);
            update(rows, self.decay.over(updates), steps, layout.width(panel), sums);
        }
    }

    /// Closes the window: makes the updates of its mini-batches on the weights.
    pub(super) fn close(&mut self, images: &Images) {
        let window = &mut self.window;
        if self.clock == window.opened_at {
            return;
        }
        let layout = window.layout;
        for image in 0..images.len() {
            // an image that has not had its mini-batch when training stops has no part in it
            let pushed_at = window.pushed_at.get(image).copied();
            for panel in 0..layout.n_panels() {
                let steps = &mut window.steps[layout.tile(panel, 2 * image..2 * image + 2)];
                match pushed_at {
                    Some(then) => age(self.decay.over(self.clock - then), steps),
                    None => steps.fill(0.0),
                }
            }
        }
        let decay = self.decay.over(self.clock - window.opened_at);
        for panel in 0..self.layout.n_panels() {
            let (steps, rows) =
                (&window.steps[layout.panel(panel)], &mut self.rows[self.layout.panel(panel)]);
            update((images.rows(), images.lights()), decay, steps, layout.width(panel), rows);
        }
        for row in images.rows() {
            self.caught_up[row.row as usize] = self.clock;
        }
    }

    /// Brings rows up to date with the clock.
    fn catch_up(&mut self, rows: impl Iterator<Item = usize>) {
        self.missed.clear();
        for row in rows {
            let behind = self.clock - self.caught_up[row];
            if behind > 0 {
                self.missed.push(Missed { row: row as u32, decay: self.decay.over(behind) });
                self.caught_up[row] = self.clock;
            }
        }
        for panel in 0..self.layout.n_panels() {
            let rows = &mut self.rows[self.layout.panel(panel)];
            catch_up(&self.missed, self.layout.width(panel), rows);
        }
    }

    /// Adds rows and lags to `state`. Rows are not brought up to date: decay over two spans in turn is not, to the last
    /// bit, decay over both.
    pub(super) fn save(&self, state: &mut State) {
        state.put("hidden".into(), &self.rows);
        state.cursor.lags = self.caught_up.iter().map(|then| self.clock - then).collect();
    }

    /// Takes back what [`save`](Self::save) added. The clock begins anew: only lags behind it count.
    pub(super) fn restore(&mut self, state: &mut State) -> Result<(), TrainError> {
        state.take("hidden", &mut self.rows)?;
        let lags = std::mem::take(&mut state.cursor.lags);
        if lags.len() != self.caught_up.len() {
            return Err(TrainError::Misfit("it has another number of features"));
        }
        self.clock = lags.iter().copied().max().unwrap_or_default();
        self.caught_up = lags.into_iter().map(|lag| self.clock - lag).collect();
        Ok(())
    }

    /// Brings every row up to date and copies the layer out. No window may be open.
    pub(super) fn write_to(&mut self, mlp: &mut Mlp) {
        self.catch_up(0..self.caught_up.len());
        let mut weights = vec![0.0; self.caught_up.len() * self.width];
        for (row, weights) in weights.chunks_exact_mut(self.width).enumerate() {
            self.layout.copy_row(&self.rows, 2 * row, weights);
        }
        let (weights, bias) = weights.split_at(weights.len() - self.width);
        mlp.set_layer(0, weights, bias);
    }
}

vectorised! {
    /// `h = max(0, a)`; a NaN stays, so that divergence is seen.
    fn relu(a: &[f32], h: &mut [f32]) = relu_body;
}

#[inline(always)]
fn relu_body<S: Simd>(_: S, a: &[f32], h: &mut [f32]) {
    for (&a, h) in a.iter().zip(h) {
        *h = if a < 0.0 { 0.0 } else { a };
    }
}

vectorised! {
    /// Adds `g` times a factor each to the two rows of a pair.
    fn add_twice(factors: (f32, f32), g: &[f32], pair: &mut [f32]) = add_twice_body;
}

#[inline(always)]
fn add_twice_body<S: Simd>(_: S, factors: (f32, f32), g: &[f32], pair: &mut [f32]) {
    let (first, second) = pair.split_at_mut(g.len());
    for ((&g, first), second) in g.iter().zip(first).zip(second) {
        *first = S::mul_add(factors.0, g, *first);
        *second = S::mul_add(factors.1, g, *second);
    }
}

vectorised! {
    /// `Q' = Q + S·P`, `P' = μᵏ·P` of one image, `(−Q, P)` being given.
    fn age(decay: (f32, f32), pair: &mut [f32]) = age_body;
}

#[inline(always)]
fn age_body<S: Simd>(_: S, (power, sum): (f32, f32), pair: &mut [f32]) {
    let (q, p) = pair.split_at_mut(pair.len() / 2);
    for (q, p) in q.iter_mut().zip(p) {
        *q = S::mul_add(-sum, *p, *q);
        *p *= power;
    }
}
