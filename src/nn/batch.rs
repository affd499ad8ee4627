//! One mini-batch through a network: forward, loss, backward, with nothing allocated per step.

use super::loss::{argmax, cross_entropy_in_place};
use super::matmul::{MatRef, matmul};
use super::simd::{Simd, vectorised};
use super::{Mlp, Samples, Shape};

/// Buffers for batches of up to a fixed number of rows.
///
/// Use: [`score`](Self::score) some rows, [`weigh`](Self::weigh) them, then [`backward`](Self::backward).
#[derive(Debug)]
pub struct Batch {
    shape: Shape,
    n_rows: usize,
    targets: Vec<u32>,
    /// `activations[0]` is the input (`B × D`), `activations[l + 1]` layer `l`'s output. After
    /// [`loss`](Self::loss) the last one holds the gradient of the logits.
    activations: Vec<Vec<f32>>,
    /// Gradient flowing back into each hidden activation.
    deltas: Vec<Vec<f32>>,
    losses: Vec<f32>,
    hits: Vec<bool>,
}

impl Batch {
    pub fn new(shape: &Shape, capacity: usize) -> Self {
        let buffer = |&width: &usize| vec![0.0; capacity * width];
        Self {
            shape: shape.clone(),
            n_rows: 0,
            targets: vec![0; capacity],
            activations: shape.widths.iter().map(buffer).collect(),
            deltas: shape.widths[1..shape.widths.len() - 1].iter().map(buffer).collect(),
            losses: vec![0.0; capacity],
            hits: vec![false; capacity],
        }
    }

    /// Bytes the buffers of such a batch take.
    pub fn size_bytes(shape: &Shape, capacity: usize) -> u128 {
        let hidden: u128 = shape.widths[1..shape.widths.len() - 1].iter().map(|&w| w as u128).sum();
        let all: u128 = shape.widths.iter().map(|&w| w as u128).sum();
        capacity as u128 * (4 * (all + hidden) + 9)
    }

    /// Gathers rows and their labels.
    ///
    /// # Panics
    ///
    /// If there are more rows than the batch was made for.
    pub fn load(&mut self, samples: Samples<'_>, rows: &[u32]) {
        assert!(rows.len() <= self.targets.len(), "{} rows in a batch of {}", rows.len(), self.targets.len());
        self.n_rows = rows.len();
        let d = self.shape.n_features();
        for (i, (&row, x)) in rows.iter().zip(self.activations[0].chunks_exact_mut(d)).enumerate() {
            samples.copy_row(row as usize, x);
            self.targets[i] = samples.label(row as usize);
        }
    }

    /// Computes the logits of the loaded rows.
    pub fn forward(&mut self, mlp: &Mlp) {
        let (b, last) = (self.n_rows, self.shape.n_layers() - 1);
        for l in 0..=last {
            let (d, h) = (self.shape.widths[l], self.shape.widths[l + 1]);
            let (inputs, outputs) = self.activations.split_at_mut(l + 1);
            let (x, z) = (&inputs[l][..b * d], &mut outputs[0][..b * h]);
            matmul(1.0, MatRef::row_major(x, b, d), MatRef::row_major(mlp.weights(l), d, h), 0.0, z);
            if l < last || self.shape.output_relu {
                add_bias_relu(z, mlp.bias(l));
            } else {
                add_bias(z, mlp.bias(l));
            }
        }
    }

    /// The logits, `B × C`. Only between [`forward`](Self::forward) and [`loss`](Self::loss).
    pub fn logits(&self) -> &[f32] {
        let c = self.shape.n_classes();
        &self.activations.last().expect("there is an output layer")[..self.n_rows * c]
    }

    /// Computes every row's loss and turns its logits into their gradient (unscaled: of that row's loss).
    pub fn loss(&mut self) {
        let c = self.shape.n_classes();
        let logits = self.activations.last_mut().expect("there is an output layer");
        for (i, z) in logits[..self.n_rows * c].chunks_exact_mut(c).enumerate() {
            self.hits[i] = argmax(z) == self.targets[i];
            self.losses[i] = cross_entropy_in_place(z, self.targets[i]);
        }
    }

    /// [`load`](Self::load), [`forward`](Self::forward) and [`loss`](Self::loss) in one go.
    pub fn score(&mut self, mlp: &Mlp, samples: Samples<'_>, rows: &[u32]) {
        self.load(samples, rows);
        self.forward(mlp);
        self.loss();
    }

    /// [`weigh`](Self::weigh) for the mean over the batch.
    pub fn weigh_mean(&mut self) {
        let mean = 1.0 / self.n_rows as f32;
        self.weigh(|_, _| mean);
    }

    /// Each row's loss in nats.
    pub fn losses(&self) -> &[f32] {
        &self.losses[..self.n_rows]
    }

    /// Whether each row's greatest logit was its label's.
    pub fn hits(&self) -> &[bool] {
        &self.hits[..self.n_rows]
    }

    /// Multiplies row `i`'s logit gradient by `weight(i, loss)`: `1/B` for a mean, negative to ascend,
    /// zero to leave a row out.
    pub fn weigh(&mut self, weight: impl Fn(usize, f32) -> f32) {
        let c = self.shape.n_classes();
        let gradients = self.activations.last_mut().expect("there is an output layer");
        for (i, dz) in gradients[..self.n_rows * c].chunks_exact_mut(c).enumerate() {
            let weight = weight(i, self.losses[i]);
            dz.iter_mut().for_each(|dz| *dz *= weight);
        }
    }

    /// `gradient = decay · gradient + ∇` with `∇` the weighted sum of the rows' gradients, in the layout of
    /// the parameters. With `decay` zero the old content is not read; with the momentum it is the
    /// velocity update of SGD in one pass.
    pub fn backward(&mut self, mlp: &Mlp, decay: f32, gradient: &mut [f32]) {
        let b = self.n_rows;
        for l in (0..self.shape.n_layers()).rev() {
            let (d, h) = (self.shape.widths[l], self.shape.widths[l + 1]);
            let (lower, upper) = self.deltas.split_at_mut(l);
            let dz = match upper.first() {
                Some(delta) => &delta[..b * h],
                None => &self.activations[l + 1][..b * h],
            };
            let x = &self.activations[l][..b * d];
            let (weights, bias) = self.shape.layer_ranges(l);
            matmul(
                1.0,
                MatRef::row_major(x, b, d).t(),
                MatRef::row_major(dz, b, h),
                decay,
                &mut gradient[weights],
            );
            sum_rows(dz, decay, &mut gradient[bias]);
            if let Some(dx) = lower.last_mut() {
                let dx = &mut dx[..b * d];
                matmul(
                    1.0,
                    MatRef::row_major(dz, b, h),
                    MatRef::row_major(mlp.weights(l), d, h).t(),
                    0.0,
                    dx,
                );
                mask(dx, x);
            }
        }
    }
}

vectorised! {
    /// `z += b` on every row.
    pub fn add_bias(z: &mut [f32], bias: &[f32]) = add_bias_body;
}

#[inline(always)]
fn add_bias_body<S: Simd>(z: &mut [f32], bias: &[f32]) {
    for z in z.chunks_exact_mut(bias.len()) {
        for (z, &b) in z.iter_mut().zip(bias) {
            *z += b;
        }
    }
}

vectorised! {
    /// `z = max(0, z + b)` on every row.
    pub fn add_bias_relu(z: &mut [f32], bias: &[f32]) = add_bias_relu_body;
}

#[inline(always)]
fn add_bias_relu_body<S: Simd>(z: &mut [f32], bias: &[f32]) {
    for z in z.chunks_exact_mut(bias.len()) {
        for (z, &b) in z.iter_mut().zip(bias) {
            let sum = *z + b;
            // not `max`: a NaN has to survive, so that divergence is seen
            *z = if sum < 0.0 { 0.0 } else { sum };
        }
    }
}

vectorised! {
    /// The ReLU's backward half: `dx = 0` wherever the activation was not positive.
    pub fn mask(dx: &mut [f32], activation: &[f32]) = mask_body;
}

#[inline(always)]
fn mask_body<S: Simd>(dx: &mut [f32], activation: &[f32]) {
    for (dx, &a) in dx.iter_mut().zip(activation) {
        *dx = if a > 0.0 { *dx } else { 0.0 };
    }
}

vectorised! {
    /// `sums = decay · sums + Σ rows` of a row-major matrix; with `decay` zero `sums` is not read.
    pub fn sum_rows(matrix: &[f32], decay: f32, sums: &mut [f32]) = sum_rows_body;
}

#[inline(always)]
fn sum_rows_body<S: Simd>(matrix: &[f32], decay: f32, sums: &mut [f32]) {
    if decay == 0.0 {
        sums.fill(0.0);
    } else {
        sums.iter_mut().for_each(|sum| *sum *= decay);
    }
    for row in matrix.chunks_exact(sums.len()) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
}
