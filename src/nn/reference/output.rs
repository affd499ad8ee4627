//! The output layer of the reference trainers. Its weights are kept one row per class, so that every
//! loop runs along the hidden units.

use super::gram::sum;
use crate::nn::buffer::Buffer;
use crate::nn::kernels::VANISHED;
use crate::nn::simd::{LANES, Lane, Simd, vectorised};
use crate::nn::state::State;
use crate::nn::{Mlp, Reference, TrainError};

/// Samples whose lanes stay in registers together; the mini-batch of the reference programs.
const TOGETHER: usize = 5;

#[derive(Debug)]
pub(super) struct Output {
    width: usize,
    per_sample_momentum: bool,
    layer: Layer,
    bias: Vec<f32>,
    bias_velocity: Vec<f32>,
}

#[derive(Debug)]
struct Layer {
    n_classes: usize,
    /// The hidden width in whole lanes; the padding stays zero.
    stride: usize,
    momentum: f32,
    learning_rate: f32,
    doubled_hidden_gradient: bool,
    /// `C × stride`.
    weights: Buffer,
    velocity: Buffer,
}

/// A mini-batch on its way back through the layer.
pub(super) struct Backward<'a> {
    /// Gradients of the logits, `B × C`.
    pub(super) dz: &'a [f32],
    /// Hidden activations: a row for each sample, or a single one they share.
    pub(super) h: &'a [f32],
    /// Gradients of the hidden activations, `B × stride`; overwritten.
    pub(super) dh: &'a mut [f32],
}

impl Output {
    pub(super) fn new(mlp: &Mlp, recipe: &Reference) -> Self {
        let (width, n_classes) = (mlp.shape().widths[1], mlp.shape().widths[2]);
        let stride = width.next_multiple_of(LANES);
        let mut weights = Buffer::zeroed(n_classes * stride);
        for (unit, row) in mlp.row_major(1).chunks_exact(n_classes).enumerate() {
            for (class, &weight) in row.iter().enumerate() {
                weights[class * stride + unit] = weight;
            }
        }
        Self {
            width,
            per_sample_momentum: recipe.faults.per_sample_momentum,
            layer: Layer {
                n_classes,
                stride,
                momentum: recipe.momentum as f32,
                learning_rate: recipe.learning_rate as f32,
                doubled_hidden_gradient: recipe.faults.doubled_hidden_gradient,
                velocity: Buffer::zeroed(weights.len()),
                weights,
            },
            bias: mlp.bias(1).to_vec(),
            bias_velocity: vec![0.0; n_classes],
        }
    }

    pub(super) fn n_classes(&self) -> usize {
        self.layer.n_classes
    }

    /// `z = b + h·W` for each row of `h`.
    pub(super) fn forward(&self, h: &[f32], z: &mut [f32]) {
        let rows = h.chunks(TOGETHER * self.layer.stride).zip(z.chunks_mut(TOGETHER * self.layer.n_classes));
        for (h, z) in rows {
            logits(h, &self.layer, &self.bias, z);
        }
    }

    /// All updates of a mini-batch. An update, of one sample or of all: hidden gradients by the old weights,
    /// momentum, step, and maybe hidden gradients again by the new ones.
    pub(super) fn update(&mut self, batch: &mut Backward<'_>) {
        let layer = &mut self.layer;
        let group = if self.per_sample_momentum { layer.n_classes } else { batch.dz.len() };
        for dz in batch.dz.chunks_exact(group) {
            for (class, (bias, velocity)) in self.bias.iter_mut().zip(&mut self.bias_velocity).enumerate() {
                let sum: f32 = dz.iter().skip(class).step_by(layer.n_classes).sum();
                *velocity = layer.momentum * *velocity + layer.learning_rate * sum;
                *bias -= *velocity;
            }
        }
        if !self.per_sample_momentum {
            update_at_once(layer, batch);
            return;
        }
        let shared = batch.h.len() == layer.stride;
        let groups = batch.dz.chunks(TOGETHER * layer.n_classes);
        for (number, (dz, dh)) in groups.zip(batch.dh.chunks_mut(TOGETHER * layer.stride)).enumerate() {
            let first = if shared { 0 } else { number * TOGETHER * layer.stride };
            let h = &batch.h[first..batch.h.len().min(first + dh.len())];
            update_one_by_one(layer, &mut Backward { dz, h, dh });
        }
    }

    pub(super) fn save(&self, state: &mut State) {
        state.put("output.weights".into(), &self.layer.weights);
        state.put("output.velocity".into(), &self.layer.velocity);
        state.put("output.bias".into(), &self.bias);
        state.put("output.bias_velocity".into(), &self.bias_velocity);
    }

    pub(super) fn restore(&mut self, state: &mut State) -> Result<(), TrainError> {
        state.take("output.weights", &mut self.layer.weights)?;
        state.take("output.velocity", &mut self.layer.velocity)?;
        state.take("output.bias", &mut self.bias)?;
        state.take("output.bias_velocity", &mut self.bias_velocity)
    }

    pub(super) fn write_to(&self, mlp: &mut Mlp) {
        let Layer { n_classes, stride, weights: from, .. } = &self.layer;
        let mut weights = vec![0.0; self.width * n_classes];
        for (unit, row) in weights.chunks_exact_mut(*n_classes).enumerate() {
            for (class, weight) in row.iter_mut().enumerate() {
                *weight = from[class * stride + unit];
            }
        }
        mlp.set_layer(1, &weights, &self.bias);
    }
}

vectorised! {
    /// `z[c] = b[c] + h · W[c]` for every class and up to [`TOGETHER`] rows; a product is summed in [`LANES`] parts.
    fn logits(h: &[f32], layer: &Layer, bias: &[f32], z: &mut [f32]) = logits_body;
}

#[inline(always)]
fn logits_body<S: Simd>(simd: S, h: &[f32], layer: &Layer, bias: &[f32], z: &mut [f32]) {
    match h.len() / layer.stride {
        1 => logits_of::<S, 1>(simd, h, layer, bias, z),
        2 => logits_of::<S, 2>(simd, h, layer, bias, z),
        3 => logits_of::<S, 3>(simd, h, layer, bias, z),
        4 => logits_of::<S, 4>(simd, h, layer, bias, z),
        _ => logits_of::<S, TOGETHER>(simd, h, layer, bias, z),
    }
}

#[inline(always)]
fn logits_of<S: Simd, const N: usize>(simd: S, h: &[f32], layer: &Layer, bias: &[f32], z: &mut [f32]) {
    let n_chunks = layer.stride / LANES;
    let none: &[Lane] = &[];
    let mut rows = [none; N];
    for (n, row) in rows.iter_mut().enumerate() {
        *row = &h[n * layer.stride..].as_chunks().0[..n_chunks];
    }
    for (class, (weights, &bias)) in layer.weights.chunks_exact(layer.stride).zip(bias).enumerate() {
        let mut parts = [simd.splat(0.0); N];
        for (chunk, weights) in weights.as_chunks().0[..n_chunks].iter().enumerate() {
            let w = simd.load(weights);
            for (part, row) in parts.iter_mut().zip(rows) {
                *part = simd.fma(simd.load(&row[chunk]), w, *part);
            }
        }
        for (n, part) in parts.into_iter().enumerate() {
            z[n * layer.n_classes + class] = bias + sum(simd, part);
        }
    }
}

vectorised! {
    /// Every sample is an update. Up to [`TOGETHER`] of them pass over the weights together, one after the other
    /// at every weight.
    fn update_one_by_one(layer: &mut Layer, batch: &mut Backward<'_>) = update_one_by_one_body;
}

#[inline(always)]
fn update_one_by_one_body<S: Simd>(simd: S, layer: &mut Layer, batch: &mut Backward<'_>) {
    match batch.dz.len() / layer.n_classes {
        1 => one_by_one::<S, 1>(simd, layer, batch),
        2 => one_by_one::<S, 2>(simd, layer, batch),
        3 => one_by_one::<S, 3>(simd, layer, batch),
        4 => one_by_one::<S, 4>(simd, layer, batch),
        _ => one_by_one::<S, TOGETHER>(simd, layer, batch),
    }
}

#[inline(always)]
fn one_by_one<S: Simd, const N: usize>(simd: S, layer: &mut Layer, batch: &mut Backward<'_>) {
    let (n_classes, stride) = (layer.n_classes, layer.stride);
    let h_step = if batch.h.len() == stride { 0 } else { stride };
    let (momentum, rate) = (simd.splat(layer.momentum), simd.splat(layer.learning_rate));
    let minus = simd.splat(-1.0);
    for chunk in 0..stride / LANES {
        let (mut step, mut dh) = ([simd.splat(0.0); N], [simd.splat(0.0); N]);
        for (n, step) in step.iter_mut().enumerate() {
            *step = simd.mul(rate, simd.load(&batch.h[n * h_step..].as_chunks().0[chunk]));
        }
        for class in 0..n_classes {
            let weights = &mut layer.weights[class * stride..].as_chunks_mut().0[chunk];
            let velocity = &mut layer.velocity[class * stride..].as_chunks_mut().0[chunk];
            let (mut w, mut v) = (simd.load(weights), simd.load(velocity));
            for (n, (dh, &step)) in dh.iter_mut().zip(&step).enumerate() {
                let g = simd.splat(batch.dz[n * n_classes + class]);
                *dh = simd.fma(g, w, *dh);
                v = simd.fma(g, step, simd.mul(momentum, v));
                w = simd.fma(minus, v, w);
                if layer.doubled_hidden_gradient {
                    *dh = simd.fma(g, w, *dh);
                }
            }
            simd.store(w, weights);
            simd.store(simd.flush(v, VANISHED), velocity);
        }
        for (n, dh) in dh.into_iter().enumerate() {
            simd.store(dh, &mut batch.dh[n * stride..].as_chunks_mut().0[chunk]);
        }
    }
}

vectorised! {
    /// The mini-batch is one update.
    fn update_at_once(layer: &mut Layer, batch: &mut Backward<'_>) = update_at_once_body;
}

#[inline(always)]
fn update_at_once_body<S: Simd>(simd: S, layer: &mut Layer, batch: &mut Backward<'_>) {
    let (n_classes, stride) = (layer.n_classes, layer.stride);
    let h_step = if batch.h.len() == stride { 0 } else { stride };
    let (momentum, rate) = (simd.splat(layer.momentum), simd.splat(layer.learning_rate));
    let minus = simd.splat(-1.0);
    batch.dh.fill(0.0);
    for class in 0..n_classes {
        let weights = layer.weights[class * stride..(class + 1) * stride].as_chunks_mut().0;
        let velocity = layer.velocity[class * stride..(class + 1) * stride].as_chunks_mut().0;
        for (chunk, (weights, velocity)) in weights.iter_mut().zip(velocity).enumerate() {
            let (mut w, mut gradient) = (simd.load(weights), simd.splat(0.0));
            for (sample, dz) in batch.dz.chunks_exact(n_classes).enumerate() {
                let g = simd.splat(dz[class]);
                let dh = &mut batch.dh[sample * stride..].as_chunks_mut().0[chunk];
                simd.store(simd.fma(g, w, simd.load(dh)), dh);
                let h = &batch.h[sample * h_step..].as_chunks().0[chunk];
                gradient = simd.fma(g, simd.load(h), gradient);
            }
            let v = simd.fma(momentum, simd.load(velocity), simd.mul(rate, gradient));
            w = simd.fma(minus, v, w);
            simd.store(w, weights);
            simd.store(simd.flush(v, VANISHED), velocity);
            if layer.doubled_hidden_gradient {
                for (sample, dz) in batch.dz.chunks_exact(n_classes).enumerate() {
                    let dh = &mut batch.dh[sample * stride..].as_chunks_mut().0[chunk];
                    simd.store(simd.fma(simd.splat(dz[class]), w, simd.load(dh)), dh);
                }
            }
        }
    }
}
