//! The multi-layer perceptron: every parameter in one buffer, and views into it.

use super::loss::softmax;
use super::simd::{Simd, vectorised};
use std::ops::Range;

/// What a network looks like, without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Widths from input to output: `[784, 256, 10]`. At least two.
    pub widths: Vec<usize>,
    /// Whether the logits are clipped at zero before the softmax (a defect of the reference trainers).
    /// Its gradient ignores the clipping, as theirs does.
    pub output_relu: bool,
}

impl Shape {
    pub fn n_params(&self) -> usize {
        self.widths.windows(2).map(|w| (w[0] + 1) * w[1]).sum()
    }

    pub fn n_layers(&self) -> usize {
        self.widths.len() - 1
    }

    pub fn n_features(&self) -> usize {
        self.widths[0]
    }

    pub fn n_classes(&self) -> usize {
        *self.widths.last().expect("a shape has at least two widths")
    }

    /// Where layer `l`'s weights and bias lie in the parameter buffer.
    pub fn layer_ranges(&self, l: usize) -> (Range<usize>, Range<usize>) {
        let start: usize = self.widths.windows(2).take(l).map(|w| (w[0] + 1) * w[1]).sum();
        let bias = start + self.widths[l] * self.widths[l + 1];
        (start..bias, bias..bias + self.widths[l + 1])
    }
}

/// A network with its parameters.
///
/// Layer `l` holds `W` (`D × H`, row-major: one row per input) and then `b` (`H`); layers follow one
/// another in one buffer. A hidden layer computes `max(0, x·W + b)`, the last one `x·W + b`.
/// One row per input lets a zero input (most pixels of a digit) skip its row.
#[derive(Clone, PartialEq)]
pub struct Mlp {
    shape: Shape,
    params: Vec<f32>,
}

impl Mlp {
    /// # Panics
    ///
    /// If `params` does not have exactly `shape`'s number of parameters.
    #[track_caller]
    pub fn from_params(shape: Shape, params: Vec<f32>) -> Self {
        assert_eq!(params.len(), shape.n_params(), "parameters do not fit {:?}", shape.widths);
        Self { shape, params }
    }

    pub fn zeroed(shape: Shape) -> Self {
        let params = vec![0.0; shape.n_params()];
        Self { shape, params }
    }

    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    pub fn params(&self) -> &[f32] {
        &self.params
    }

    pub fn params_mut(&mut self) -> &mut [f32] {
        &mut self.params
    }

    pub fn n_layers(&self) -> usize {
        self.shape.n_layers()
    }

    /// `W` of layer `l`, `D × H` row-major.
    pub fn weights(&self, l: usize) -> &[f32] {
        &self.params[self.shape.layer_ranges(l).0]
    }

    /// `b` of layer `l`, `H`.
    pub fn bias(&self, l: usize) -> &[f32] {
        &self.params[self.shape.layer_ranges(l).1]
    }

    /// `W` and `b` of layer `l`.
    pub fn layer_mut(&mut self, l: usize) -> (&mut [f32], &mut [f32]) {
        let (weights, bias) = self.shape.layer_ranges(l);
        let (head, tail) = self.params.split_at_mut(bias.start);
        (&mut head[weights], &mut tail[..bias.len()])
    }

    pub fn is_finite(&self) -> bool {
        self.params.iter().all(|p| p.is_finite())
    }

    /// Class probabilities of one row, which is as the network sees it (images: `byte / 255`).
    ///
    /// The answer does not depend on what else is asked at the same time, nor on the instruction set.
    ///
    /// # Panics
    ///
    /// If `x` does not have the network's number of features.
    pub fn predict_row(&self, x: &[f32]) -> Vec<f32> {
        assert_eq!(x.len(), self.shape.n_features(), "wrong number of features");
        let last = self.n_layers() - 1;
        let mut input = x.to_vec();
        for l in 0..=last {
            let mut z = self.bias(l).to_vec();
            add_rows(&input, self.weights(l), &mut z);
            if l < last || self.shape.output_relu {
                z.iter_mut().for_each(|z| *z = z.max(0.0));
            }
            input = z;
        }
        softmax(&mut input);
        input
    }
}

impl std::fmt::Debug for Mlp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mlp").field("shape", &self.shape).finish_non_exhaustive()
    }
}

vectorised! {
    /// `z += x · W` for one row `x` (`D`) and row-major `W` (`D × H`), rows of zero inputs skipped.
    pub fn add_rows(x: &[f32], weights: &[f32], z: &mut [f32]) = add_rows_body;
}

#[inline(always)]
fn add_rows_body<S: Simd>(x: &[f32], weights: &[f32], z: &mut [f32]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny(output_relu: bool) -> Mlp {
        let shape = Shape { widths: vec![2, 3, 2], output_relu };
        let params =
            vec![1.0, -1.0, 0.5, 2.0, 0.0, -1.0, 0.1, 0.2, 0.3, 1.0, -1.0, 0.0, 2.0, 1.0, 1.0, -5.0, 0.5];
        Mlp::from_params(shape, params)
    }

    #[test]
    fn a_prediction_is_what_the_definition_says() {
        // hidden = max(0, [1, 0]·W0 + b0) = [1.1, 0, 0.8]; logits = hidden·W1 + b1 = [-3.1, 0.2]
        let p = tiny(false).predict_row(&[1.0, 0.0]);
        let want = 1.0 / (1.0 + 3.3f64.exp());
        assert!((f64::from(p[0]) - want).abs() < 1e-6, "{p:?} {want}");
        // clipped: [0, 0.2]
        let p = tiny(true).predict_row(&[1.0, 0.0]);
        let want = 1.0 / (1.0 + 0.2f64.exp());
        assert!((f64::from(p[0]) - want).abs() < 1e-6, "{p:?} {want}");
    }

    #[test]
    fn layers_tile_the_parameter_buffer() {
        let shape = Shape { widths: vec![4, 7, 5, 3], output_relu: false };
        let mut end = 0;
        for l in 0..3 {
            let (weights, bias) = shape.layer_ranges(l);
            assert_eq!((weights.start, weights.end), (end, bias.start));
            end = bias.end;
        }
        assert_eq!(end, shape.n_params());
    }

    #[test]
    #[should_panic(expected = "parameters do not fit [2, 2]")]
    fn parameters_of_another_shape_are_refused() {
        Mlp::from_params(Shape { widths: vec![2, 2], output_relu: false }, vec![0.0; 5]);
    }
}
