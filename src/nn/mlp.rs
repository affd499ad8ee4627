//! The multi-layer perceptron: every parameter in one buffer, and views into it.

use super::buffer::Buffer;
use super::panels::Panels;
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

    /// How layer `l`'s weights lie in memory: `D × H`, one row per input.
    pub fn layer(&self, l: usize) -> Panels {
        Panels::new(self.widths[l], self.widths[l + 1])
    }

    /// Where layer `l`'s weights and bias lie in the parameter buffer.
    pub fn layer_ranges(&self, l: usize) -> (Range<usize>, Range<usize>) {
        let sizes = |l: usize| (self.layer(l).size(), self.layer(l).padded());
        let start: usize = (0..l).map(sizes).map(|(weights, bias)| weights + bias).sum();
        let (weights, bias) = sizes(l);
        (start..start + weights, start + weights..start + weights + bias)
    }

    /// Numbers in the parameter buffer: the parameters and their padding.
    pub fn buffer_len(&self) -> usize {
        self.layer_ranges(self.n_layers() - 1).1.end
    }
}

/// A network with its parameters.
///
/// A hidden layer computes `max(0, x·W + b)`, the last one `x·W + b`, with `W` (`D × H`) and `b` (`H`). The
/// buffer holds `W` in [`Panels`] and then `b`, padded likewise, layer after layer; padding is zero.
#[derive(Clone, PartialEq)]
pub struct Mlp {
    shape: Shape,
    params: Buffer,
}

impl Mlp {
    /// From parameters without padding: for each layer `W`, row-major, one row per input, then `b`.
    ///
    /// # Panics
    ///
    /// If `params` does not have exactly `shape`'s number of parameters.
    #[track_caller]
    pub fn from_params(shape: Shape, params: &[f32]) -> Self {
        assert_eq!(params.len(), shape.n_params(), "parameters do not fit {:?}", shape.widths);
        let mut mlp = Self::zeroed(shape);
        let mut rest = params;
        for l in 0..mlp.n_layers() {
            let layout = mlp.shape.layer(l);
            let (weights, tail) = rest.split_at(mlp.shape.widths[l] * layout.cols());
            let (bias, tail) = tail.split_at(layout.cols());
            mlp.set_layer(l, weights, bias);
            rest = tail;
        }
        mlp
    }

    pub fn zeroed(shape: Shape) -> Self {
        let params = Buffer::zeroed(shape.buffer_len());
        Self { shape, params }
    }

    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The parameters without padding, as [`from_params`](Self::from_params) takes them.
    pub fn to_params(&self) -> Vec<f32> {
        (0..self.n_layers()).flat_map(|l| [self.row_major(l), self.bias(l).to_vec()].concat()).collect()
    }

    /// The parameter buffer, padding included.
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// The parameter buffer. What is zero because it is padding must stay zero.
    pub fn params_mut(&mut self) -> &mut [f32] {
        &mut self.params
    }

    pub fn n_layers(&self) -> usize {
        self.shape.n_layers()
    }

    /// `W` of layer `l` in the layout [`Shape::layer`] tells.
    pub fn weights(&self, l: usize) -> &[f32] {
        &self.params[self.shape.layer_ranges(l).0]
    }

    /// `W` of layer `l`, `D × H` row-major.
    pub fn row_major(&self, l: usize) -> Vec<f32> {
        let (layout, weights) = (self.shape.layer(l), self.weights(l));
        let mut rows = vec![0.0; self.shape.widths[l] * layout.cols()];
        for (row, out) in rows.chunks_exact_mut(layout.cols()).enumerate() {
            layout.copy_row(weights, row, out);
        }
        rows
    }

    /// `b` of layer `l`, `H`.
    pub fn bias(&self, l: usize) -> &[f32] {
        &self.padded_bias(l)[..self.shape.widths[l + 1]]
    }

    /// `b` of layer `l` with its padding.
    pub fn padded_bias(&self, l: usize) -> &[f32] {
        &self.params[self.shape.layer_ranges(l).1]
    }

    /// Overwrites layer `l` by `weights` (`D × H`, row-major) and `bias` (`H`).
    ///
    /// # Panics
    ///
    /// If they have other sizes.
    pub fn set_layer(&mut self, l: usize, weights: &[f32], bias: &[f32]) {
        let layout = self.shape.layer(l);
        assert_eq!(weights.len(), self.shape.widths[l] * layout.cols(), "weights do not fit layer {l}");
        let (to_weights, to_bias) = self.layer_mut(l);
        for (row, values) in weights.chunks_exact(layout.cols()).enumerate() {
            layout.set_row(to_weights, row, values);
        }
        to_bias[..layout.cols()].copy_from_slice(bias);
    }

    /// `W` in its layout and `b` with its padding, of layer `l`.
    pub fn layer_mut(&mut self, l: usize) -> (&mut [f32], &mut [f32]) {
        let (weights, bias) = self.shape.layer_ranges(l);
        let (head, tail) = self.params.split_at_mut(bias.start);
        (&mut head[weights], &mut tail[..bias.len()])
    }

    pub fn is_finite(&self) -> bool {
        self.params.iter().all(|p| p.is_finite())
    }
}

impl std::fmt::Debug for Mlp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mlp").field("shape", &self.shape).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_tile_the_parameter_buffer() {
        let shape = Shape { widths: vec![4, 7, 5, 3], output_relu: false };
        let mut end = 0;
        for l in 0..3 {
            let (weights, bias) = shape.layer_ranges(l);
            assert_eq!((weights.start, weights.end), (end, bias.start));
            end = bias.end;
        }
        assert_eq!(end, shape.buffer_len());
    }

    #[test]
    fn parameters_come_back_as_they_went_in() {
        let shape = Shape { widths: vec![5, 130, 3], output_relu: false };
        let params: Vec<f32> = (0..shape.n_params()).map(|i| i as f32 + 1.0).collect();
        let mlp = Mlp::from_params(shape, &params);
        assert_eq!(mlp.to_params(), params);
        let padding = mlp.params().iter().filter(|&&value| value == 0.0).count();
        assert_eq!(padding + params.len(), mlp.params().len());
    }

    #[test]
    #[should_panic(expected = "parameters do not fit [2, 2]")]
    fn parameters_of_another_shape_are_refused() {
        Mlp::from_params(Shape { widths: vec![2, 2], output_relu: false }, &[0.0; 5]);
    }
}
