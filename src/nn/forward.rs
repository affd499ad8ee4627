//! A network's answers: forward and nothing else.

use super::batch::Batch;
use super::buffer::Buffer;
use super::kernels::elementwise::relu;
use super::kernels::row::{self, Term};
use super::loss::softmax;
use super::panels::{BLOCK, PANEL, Panels};
use super::{Features, Mlp, Samples, Shape};

/// Buffers to answer rows with. A row's answer does not depend on how many are taken at a time, on its neighbours, or on
/// the instruction set.
#[derive(Debug)]
pub struct Forward {
    /// For a row that comes alone.
    row: Row,
    /// For several, which read the weights once: as large as was needed at most so far.
    block: Option<Block>,
}

impl Forward {
    pub fn new(shape: &Shape) -> Self {
        Self { row: Row::new(shape), block: None }
    }

    /// Bytes the buffers take.
    pub fn size_bytes(&self) -> u128 {
        let Self { row, block } = self;
        row.size_bytes() + block.as_ref().map_or(0, Block::size_bytes)
    }

    /// Writes the logits of every row to `logits`, `N × C` for `N × D` features.
    ///
    /// # Panics
    ///
    /// If `features` is not a whole number of the network's rows, or `logits` has not its place for each.
    pub fn logits(&mut self, mlp: &Mlp, features: Features<'_>, logits: &mut [f32]) {
        let (d, c) = (mlp.shape().n_features(), mlp.shape().n_classes());
        let n_rows = logits.len() / c;
        assert_eq!((features.len(), logits.len()), (n_rows * d, n_rows * c), "logits do not fit the rows");
        if n_rows == 1 {
            return self.row.logits(mlp, features, logits);
        }
        let at_a_time = n_rows.clamp(1, BLOCK);
        let is_enough = |block: &Block| block.batch.capacity() >= at_a_time;
        let fresh = || Block::new(mlp.shape(), at_a_time.next_power_of_two());
        let block = self.block.take().filter(is_enough).unwrap_or_else(fresh);
        let block = self.block.insert(block);
        for (step, logits) in logits.chunks_mut(at_a_time * c).enumerate() {
            let first = step * at_a_time;
            let features = features.slice(first * d..(first + logits.len() / c) * d);
            block.logits(mlp, features, logits);
        }
    }
}

/// A row and what the layers make of it.
#[derive(Debug)]
struct Row {
    terms: Vec<Term>,
    /// A layer's input and its output, which take turns.
    activations: [Buffer; 2],
}

impl Row {
    fn new(shape: &Shape) -> Self {
        let widest = shape.widths.iter().copied().max().unwrap_or_default();
        let buffer = || Buffer::zeroed(Panels::new(1, widest).size());
        Self { terms: vec![Term::default(); widest], activations: [buffer(), buffer()] }
    }

    fn size_bytes(&self) -> u128 {
        let floats = self.activations.iter().map(|buffer| buffer.len() as u128);
        size_of_val(self.terms.as_slice()) as u128 + floats.map(Buffer::size_bytes).sum::<u128>()
    }

    fn logits(&mut self, mlp: &Mlp, features: Features<'_>, logits: &mut [f32]) {
        let Self { terms, activations: [input, output] } = self;
        let mut n_terms = match features {
            Features::U8(bytes) => row::collect_bytes(bytes, terms),
            Features::F32(values) => row::collect(values, |value| value, terms),
        };
        let shape = mlp.shape();
        for l in 0..shape.n_layers() {
            let layout = shape.layer(l);
            let z = &mut output[..layout.padded()];
            z.copy_from_slice(mlp.padded_bias(l));
            for (panel, z) in z.chunks_mut(PANEL).enumerate() {
                row::product(&terms[..n_terms], &mlp.weights(l)[layout.panel(panel)], z);
            }
            if l + 1 < shape.n_layers() || shape.output_relu {
                relu(z);
            }
            std::mem::swap(input, output);
            n_terms = row::collect(&input[..layout.cols()], |value| value, terms);
        }
        logits.copy_from_slice(&input[..shape.n_classes()]);
    }
}

/// Up to [`BLOCK`] rows as a mini-batch.
#[derive(Debug)]
struct Block {
    batch: Batch,
    /// A mini-batch names its rows and has labels: here the rows are all there are, and nobody looks at the labels.
    rows: Vec<u32>,
    labels: Vec<u32>,
}

impl Block {
    fn new(shape: &Shape, n_rows: usize) -> Self {
        Self { batch: Batch::new(shape, n_rows), rows: (0..n_rows as u32).collect(), labels: vec![0; n_rows] }
    }

    fn size_bytes(&self) -> u128 {
        Batch::size_bytes(self.batch.shape(), self.batch.capacity())
    }

    fn logits(&mut self, mlp: &Mlp, features: Features<'_>, logits: &mut [f32]) {
        let (d, c) = (mlp.shape().n_features(), mlp.shape().n_classes());
        let n = logits.len() / c;
        self.batch.load(Samples::new(features, &self.labels[..n], d, c), &self.rows[..n]);
        self.batch.forward(mlp);
        for (row, logits) in logits.chunks_exact_mut(c).enumerate() {
            self.batch.copy_logits(row, logits);
        }
    }
}

/// Turns the logits of `n_classes` classes, row after row, into probabilities.
pub fn probabilities(logits: &mut [f32], n_classes: usize) {
    for row in logits.chunks_exact_mut(n_classes) {
        softmax(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny(output_relu: bool) -> Mlp {
        let shape = Shape { widths: vec![2, 3, 2], output_relu };
        let params =
            vec![1.0, -1.0, 0.5, 2.0, 0.0, -1.0, 0.1, 0.2, 0.3, 1.0, -1.0, 0.0, 2.0, 1.0, 1.0, -5.0, 0.5];
        Mlp::from_params(shape, &params)
    }

    /// Probabilities of one row.
    fn answer(mlp: &Mlp, x: &[f32]) -> Vec<f32> {
        let mut answer = vec![0.0; mlp.shape().n_classes()];
        Forward::new(mlp.shape()).logits(mlp, Features::F32(x), &mut answer);
        probabilities(&mut answer, mlp.shape().n_classes());
        answer
    }

    fn some_network(widths: Vec<usize>) -> Mlp {
        let shape = Shape { widths, output_relu: false };
        let params: Vec<f32> = (0..shape.n_params()).map(|i| (i * 29 % 31) as f32 / 31.0 - 0.5).collect();
        Mlp::from_params(shape, &params)
    }

    #[test]
    fn a_prediction_is_what_the_definition_says() {
        // hidden = max(0, [1, 0]·W0 + b0) = [1.1, 0, 0.8]; logits = hidden·W1 + b1 = [-3.1, 0.2]
        let p = answer(&tiny(false), &[1.0, 0.0]);
        let want = 1.0 / (1.0 + 3.3f64.exp());
        assert!((f64::from(p[0]) - want).abs() < 1e-6, "{p:?} {want}");
        // clipped: [0, 0.2]
        let p = answer(&tiny(true), &[1.0, 0.0]);
        let want = 1.0 / (1.0 + 0.2f64.exp());
        assert!((f64::from(p[0]) - want).abs() < 1e-6, "{p:?} {want}");
    }

    #[test]
    fn one_row_at_a_time_and_many_give_the_same_bits() {
        for (widths, n_rows) in [(vec![5, 3], 1), (vec![70, 33, 9, 4], 65), (vec![1, 1, 2], 130)] {
            let (d, c) = (widths[0], widths[widths.len() - 1]);
            let mlp = some_network(widths);
            let bytes: Vec<u8> =
                (0..n_rows * d).map(|i| (i * 37 % 256) as u8 * u8::from(i % 3 > 0)).collect();
            let floats: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) * (1.0 / 255.0)).collect();
            let mut forward = Forward::new(mlp.shape());
            let mut single = vec![0.0; n_rows * c];
            for (x, logits) in floats.chunks_exact(d).zip(single.chunks_exact_mut(c)) {
                forward.logits(&mlp, Features::F32(x), logits);
            }
            // what is left in the buffers from more rows, or from others, does not matter
            for n in [2, 33, n_rows, 1, n_rows].map(|n| n.min(n_rows)) {
                let mut many = vec![0.0; n * c];
                forward.logits(&mlp, Features::U8(&bytes[..n * d]), &mut many);
                assert_eq!(many, single[..n * c]);
            }
            for (row, logits) in single.chunks_exact_mut(c).enumerate() {
                probabilities(logits, c);
                assert_eq!(logits, answer(&mlp, &floats[row * d..][..d]));
            }
        }
    }
}
