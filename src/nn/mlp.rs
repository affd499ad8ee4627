//! The multi-layer perceptron: every parameter in one buffer, and views into it.

/// What a network looks like, without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Widths from input to output: `[784, 256, 10]`. At least two.
    pub widths: Vec<usize>,
    /// Whether the logits are clipped at zero before the softmax (a defect of the reference trainers).
    pub output_relu: bool,
}

/// A network with its parameters.
///
/// Layer `l` holds `W` (`D × H`, row-major: one row per input) and then `b` (`H`); layers follow one
/// another in one buffer. A hidden layer computes `max(0, x·W + b)`, the last one `x·W + b`.
#[derive(Clone, Debug, PartialEq)]
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
        self.shape.widths.len() - 1
    }

    /// `W` of layer `l`, `D × H` row-major.
    pub fn weights(&self, l: usize) -> &[f32] {
        let (weights, _) = self.shape.layer_ranges(l);
        &self.params[weights]
    }

    /// `b` of layer `l`, `H`.
    pub fn bias(&self, l: usize) -> &[f32] {
        let (_, bias) = self.shape.layer_ranges(l);
        &self.params[bias]
    }
}

impl Shape {
    pub fn n_params(&self) -> usize {
        self.widths.windows(2).map(|w| (w[0] + 1) * w[1]).sum()
    }

    pub fn n_features(&self) -> usize {
        self.widths[0]
    }

    pub fn n_classes(&self) -> usize {
        *self.widths.last().expect("a shape has at least two widths")
    }

    /// Where layer `l`'s weights and bias lie in the parameter buffer.
    pub fn layer_ranges(&self, l: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let start: usize = self.widths.windows(2).take(l).map(|w| (w[0] + 1) * w[1]).sum();
        let bias = start + self.widths[l] * self.widths[l + 1];
        (start..bias, bias..bias + self.widths[l + 1])
    }
}
