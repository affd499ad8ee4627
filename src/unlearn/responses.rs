//! What a network answers to some rows, kept for everything that is computed from it.

use crate::nn::loss::{argmax, cross_entropy, softmax};
use crate::nn::{Evaluation, Evaluator, Mlp, Samples};

/// A network's answers to the rows of one set.
#[derive(Clone, Debug, Default)]
pub(super) struct Responses {
    pub(super) n_classes: usize,
    pub(super) labels: Vec<u32>,
    /// Cross-entropy of each row, nats.
    pub(super) losses: Vec<f64>,
    hits: Vec<bool>,
    /// Class probabilities, row after row.
    probabilities: Vec<f32>,
}

impl Responses {
    pub(super) fn of(evaluator: &mut Evaluator, mlp: &Mlp, samples: Samples<'_>, rows: &[u32]) -> Self {
        let n_classes = samples.n_classes();
        let mut all = Self {
            n_classes,
            labels: rows.iter().map(|&row| samples.label(row as usize)).collect(),
            losses: Vec::with_capacity(rows.len()),
            hits: Vec::with_capacity(rows.len()),
            probabilities: Vec::with_capacity(rows.len() * n_classes),
        };
        evaluator.for_each(mlp, samples, rows, |row, logits| {
            let label = samples.label(row as usize);
            all.losses.push(f64::from(cross_entropy(logits, label)));
            all.hits.push(argmax(logits) == label);
            let start = all.probabilities.len();
            all.probabilities.extend_from_slice(logits);
            softmax(&mut all.probabilities[start..]);
        });
        all
    }

    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Mean loss and accuracy; both are `NaN` for no rows.
    pub(super) fn evaluation(&self) -> Evaluation {
        let n = self.len() as f64;
        let hits = self.hits.iter().filter(|&&hit| hit).count();
        Evaluation { loss: self.losses.iter().sum::<f64>() / n, accuracy: hits as f64 / n }
    }

    /// Each row's probabilities.
    pub(super) fn probabilities(&self) -> impl Iterator<Item = &[f32]> {
        self.probabilities.chunks_exact(self.n_classes.max(1))
    }

    /// Each row's label and whether it was answered.
    pub(super) fn hits(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        self.labels.iter().copied().zip(self.hits.iter().copied())
    }

    /// The rows whose label is `wanted`.
    pub(super) fn of_labels(&self, wanted: impl Fn(u32) -> bool) -> Self {
        let places: Vec<usize> = (0..self.len()).filter(|&at| wanted(self.labels[at])).collect();
        let row = |at: usize| &self.probabilities[at * self.n_classes..][..self.n_classes];
        Self {
            n_classes: self.n_classes,
            labels: places.iter().map(|&at| self.labels[at]).collect(),
            losses: places.iter().map(|&at| self.losses[at]).collect(),
            hits: places.iter().map(|&at| self.hits[at]).collect(),
            probabilities: places.iter().flat_map(|&at| row(at)).copied().collect(),
        }
    }

    /// A score of every row from its probabilities and its label.
    pub(super) fn scores(&self, score: fn(&[f32], u32) -> f64) -> Vec<f64> {
        self.probabilities().zip(&self.labels).map(|(p, &label)| score(p, label)).collect()
    }
}

#[cfg(test)]
pub(super) fn responses(labels: &[u32], probabilities: &[&[f32]]) -> Responses {
    let rows = labels.iter().zip(probabilities);
    Responses {
        n_classes: probabilities[0].len(),
        labels: labels.to_vec(),
        losses: rows.clone().map(|(&label, p)| -f64::from(p[label as usize]).ln()).collect(),
        hits: rows.map(|(&label, p)| argmax(p) == label).collect(),
        probabilities: probabilities.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_the_rows() {
        let responses = responses(&[0, 1], &[&[0.75, 0.25], &[0.5, 0.5]]);
        let found = responses.evaluation();
        assert_eq!(found.accuracy, 0.5, "a tie goes to the first class");
        assert!((found.loss - 0.5 * (-(0.75f64.ln()) - 0.5f64.ln())).abs() < 1e-7);
    }

    #[test]
    fn rows_of_some_labels_are_what_they_were_among_all() {
        let p: [&[f32]; 3] = [&[0.75, 0.25], &[0.5, 0.5], &[0.25, 0.75]];
        let some = responses(&[0, 1, 1], &p).of_labels(|label| label == 1);
        assert_eq!(some.losses, responses(&[1, 1], &p[1..]).losses);
        assert!(some.hits().eq([(1, false), (1, true)]));
        assert!(some.probabilities().eq(p[1..].iter().copied()));
    }
}
