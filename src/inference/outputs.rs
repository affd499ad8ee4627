//! What a network says of rows, and how it is read.

use crate::nn::probabilities;
use std::ops::Range;
use std::sync::Arc;

/// The answers to some rows.
#[derive(Clone, Debug)]
pub struct Outputs {
    whole: Arc<Whole>,
    /// Those of the rows, among all that were answered together.
    cells: Range<usize>,
}

#[derive(Debug)]
struct Whole {
    logits: Vec<f32>,
    probabilities: Vec<f32>,
    n_classes: usize,
}

impl Outputs {
    pub(super) fn new(logits: Vec<f32>, n_classes: usize) -> Self {
        let mut of_classes = logits.clone();
        probabilities(&mut of_classes, n_classes);
        let cells = 0..logits.len();
        Self { whole: Arc::new(Whole { logits, probabilities: of_classes, n_classes }), cells }
    }

    /// The answers to some of the rows.
    pub(super) fn slice(&self, rows: Range<usize>) -> Self {
        let (first, n_classes) = (self.cells.start, self.n_classes());
        let cells = first + rows.start * n_classes..first + rows.end * n_classes;
        Self { whole: Arc::clone(&self.whole), cells }
    }

    pub fn n_rows(&self) -> usize {
        self.cells.len() / self.n_classes()
    }

    pub fn n_classes(&self) -> usize {
        self.whole.n_classes
    }

    /// Of every class, row after row, `N × C`.
    pub fn logits(&self) -> &[f32] {
        &self.whole.logits[self.cells.clone()]
    }

    /// Of every class, row after row, `N × C`.
    pub fn probabilities(&self) -> &[f32] {
        &self.whole.probabilities[self.cells.clone()]
    }

    /// Each row's most probable class; the lowest of equals.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = u32> {
        self.probabilities().chunks_exact(self.n_classes()).map(best)
    }
}

impl PartialEq for Outputs {
    fn eq(&self, other: &Self) -> bool {
        let logits = (self.n_classes(), self.logits()) == (other.n_classes(), other.logits());
        logits && self.probabilities() == other.probabilities()
    }
}

fn best(probabilities: &[f32]) -> u32 {
    let mut best = 0;
    for (class, probability) in probabilities.iter().enumerate() {
        if *probability > probabilities[best] {
            best = class;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_of_equals_wins() {
        assert_eq!(best(&[0.1, 0.4, 0.4, 0.1]), 1);
    }

    #[test]
    fn probabilities_are_those_of_the_logits() {
        let outputs = Outputs::new(vec![0.0, 0.0, 3f32.ln(), 0.0], 2);
        assert_eq!(outputs.logits(), [0.0, 0.0, 3f32.ln(), 0.0]);
        let expected = [0.5, 0.5, 0.75, 0.25];
        assert!(outputs.probabilities().iter().zip(expected).all(|(p, e)| (p - e).abs() < 1e-6));
        assert_eq!(outputs.labels().collect::<Vec<_>>(), [0, 0]);
        assert_eq!((outputs.n_rows(), outputs.n_classes()), (2, 2));
    }
}
