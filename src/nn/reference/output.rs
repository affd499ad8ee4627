//! The output layer of the reference trainers. Its weights are kept one row per class, so that every
//! loop runs along the hidden units.

use crate::nn::Mlp;
use crate::nn::simd::{LANES, Simd, vectorised};

#[derive(Debug)]
pub(super) struct Output {
    width: usize,
    n_classes: usize,
    momentum: f32,
    learning_rate: f32,
    /// `C × stride`, the stride being the hidden width in whole lanes.
    weights: Vec<f32>,
    velocity: Vec<f32>,
    bias: Vec<f32>,
    bias_velocity: Vec<f32>,
}

/// Samples whose gradients make up one update.
pub(super) struct Group<'a> {
    /// Gradients of the logits, `n × C`.
    pub(super) dz: &'a [f32],
    /// Hidden activations: a row for each sample, or a single one they share.
    pub(super) h: &'a [f32],
    /// Gradients of the hidden activations, `n × stride`; added to.
    pub(super) dh: &'a mut [f32],
    /// Whether `dh` gets `W·dz` a second time, with the weights after the update.
    pub(super) doubled: bool,
}

impl Output {
    pub(super) fn new(mlp: &Mlp, momentum: f64, learning_rate: f64) -> Self {
        let (width, n_classes) = (mlp.shape().widths[1], mlp.shape().widths[2]);
        let stride = width.next_multiple_of(LANES);
        let mut weights = vec![0.0; n_classes * stride];
        for (unit, row) in mlp.row_major(1).chunks_exact(n_classes).enumerate() {
            for (class, &weight) in row.iter().enumerate() {
                weights[class * stride + unit] = weight;
            }
        }
        Self {
            width,
            n_classes,
            momentum: momentum as f32,
            learning_rate: learning_rate as f32,
            velocity: vec![0.0; weights.len()],
            weights,
            bias: mlp.bias(1).to_vec(),
            bias_velocity: vec![0.0; n_classes],
        }
    }

    pub(super) fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// `z = b + h·W` for one row.
    pub(super) fn forward(&self, h: &[f32], z: &mut [f32]) {
        z.copy_from_slice(&self.bias);
        add_dots(h, &self.weights, z);
    }

    /// One update: hidden gradients by the old weights, momentum, step, and maybe hidden gradients again.
    pub(super) fn update(&mut self, group: &mut Group<'_>) {
        for (class, (bias, velocity)) in self.bias.iter_mut().zip(&mut self.bias_velocity).enumerate() {
            let sum: f32 = group.dz.iter().skip(class).step_by(self.n_classes).sum();
            *velocity = self.momentum * *velocity + self.learning_rate * sum;
            *bias -= *velocity;
        }
        let rates = (self.momentum, self.learning_rate);
        update_weights(self.n_classes, rates, group, &mut self.weights, &mut self.velocity);
    }

    pub(super) fn write_to(&self, mlp: &mut Mlp) {
        let stride = self.weights.len() / self.n_classes;
        let n_classes = self.n_classes;
        let mut weights = vec![0.0; self.width * n_classes];
        for (unit, row) in weights.chunks_exact_mut(n_classes).enumerate().take(self.width) {
            for (class, weight) in row.iter_mut().enumerate() {
                *weight = self.weights[class * stride + unit];
            }
        }
        mlp.set_layer(1, &weights, &self.bias);
    }
}

vectorised! {
    /// `z[c] += h · W[c]` for every class; each dot product is summed in [`LANES`] parts.
    fn add_dots(h: &[f32], weights: &[f32], z: &mut [f32]) = add_dots_body;
}

#[inline(always)]
fn add_dots_body<S: Simd>(_: S, h: &[f32], weights: &[f32], z: &mut [f32]) {
    for (z, row) in z.iter_mut().zip(weights.chunks_exact(h.len())) {
        let mut parts = [0.0f32; LANES];
        for (h, w) in h.as_chunks::<LANES>().0.iter().zip(row.as_chunks::<LANES>().0) {
            for lane in 0..LANES {
                parts[lane] = S::mul_add(h[lane], w[lane], parts[lane]);
            }
        }
        *z += parts.iter().sum::<f32>();
    }
}

vectorised! {
    /// Lane by lane along the hidden units, class by class, so that weights, velocity and the group's
    /// hidden gradients are each touched once.
    fn update_weights(
        n_classes: usize,
        rates: (f32, f32),
        group: &mut Group<'_>,
        weights: &mut [f32],
        velocity: &mut [f32],
    ) = update_weights_body;
}

#[inline(always)]
fn update_weights_body<S: Simd>(
    _: S,
    n_classes: usize,
    (momentum, learning_rate): (f32, f32),
    group: &mut Group<'_>,
    weights: &mut [f32],
    velocity: &mut [f32],
) {
    let stride = weights.len() / n_classes;
    let n = group.dz.len() / n_classes;
    let h_step = if group.h.len() == stride { 0 } else { stride };
    for class in 0..n_classes {
        let w = &mut weights[class * stride..(class + 1) * stride];
        let v = &mut velocity[class * stride..(class + 1) * stride];
        let chunks = w.as_chunks_mut::<LANES>().0.iter_mut().zip(v.as_chunks_mut::<LANES>().0);
        for (chunk, (w, v)) in chunks.enumerate() {
            let at = chunk * LANES;
            let mut gradient = [0.0f32; LANES];
            for sample in 0..n {
                let g = group.dz[sample * n_classes + class];
                let h = &group.h[sample * h_step + at..][..LANES];
                let dh = &mut group.dh[sample * stride + at..][..LANES];
                for lane in 0..LANES {
                    dh[lane] = S::mul_add(g, w[lane], dh[lane]);
                    gradient[lane] = S::mul_add(g, h[lane], gradient[lane]);
                }
            }
            for lane in 0..LANES {
                v[lane] = S::mul_add(momentum, v[lane], learning_rate * gradient[lane]);
                w[lane] -= v[lane];
            }
            if group.doubled {
                for sample in 0..n {
                    let g = group.dz[sample * n_classes + class];
                    let dh = &mut group.dh[sample * stride + at..][..LANES];
                    for lane in 0..LANES {
                        dh[lane] = S::mul_add(g, w[lane], dh[lane]);
                    }
                }
            }
        }
    }
}
