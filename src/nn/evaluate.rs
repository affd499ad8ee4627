//! Looking at many rows through a network at the speed of the matrix product.

use super::batch::Batch;
use super::loss::{argmax, cross_entropy};
use super::team::Team;
use super::{Mlp, Pairs, Samples, Shape};
use std::num::NonZeroUsize;

/// Rows looked at together.
pub(super) const CHUNK: usize = 256;

/// A reusable evaluator; allocates once.
#[derive(Debug)]
pub struct Evaluator {
    batch: Batch,
}

/// Mean loss (nats) and accuracy (fraction) over some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    pub loss: f64,
    pub accuracy: f64,
}

impl Evaluator {
    pub fn new(shape: &Shape) -> Self {
        Self { batch: Batch::new(shape, CHUNK) }
    }

    pub fn size_bytes(shape: &Shape) -> u128 {
        Batch::size_bytes(shape, CHUNK)
    }

    /// Which threads look from now on.
    pub fn set_team(&mut self, team: Team) {
        self.batch.set_team(team);
    }

    /// How many threads look from now on.
    pub fn use_threads(&mut self, n_threads: NonZeroUsize) {
        if n_threads.get() != self.batch.n_threads() {
            self.set_team(Team::of(n_threads));
        }
    }

    /// Calls `look(row, logits)` for every row, in order.
    pub fn for_each(&mut self, mlp: &Mlp, samples: Samples<'_>, rows: &[u32], look: impl FnMut(u32, &[f32])) {
        for_each(&mut self.batch, mlp, samples, rows, look);
    }

    /// Calls `look(label row, logits of the features)` for every sample, in order. Neighbours that share their features,
    /// as under `misaligned_labels`, share the way through the network.
    pub fn for_each_pair(
        &mut self,
        mlp: &Mlp,
        samples: Samples<'_>,
        pairs: &Pairs,
        mut look: impl FnMut(u32, &[f32]),
    ) {
        let mut rows = pairs.features_of.clone();
        rows.dedup();
        let mut left = pairs.features_of.iter().zip(&pairs.label_of).peekable();
        self.for_each(mlp, samples, &rows, |row, logits| {
            while let Some((_, &label_row)) = left.next_if(|&(&features, _)| features == row) {
                look(label_row, logits);
            }
        });
    }

    /// The cross-entropy of every sample, in nats, in the place of the row its label is of; `NaN` in the places of all
    /// other rows.
    pub fn losses(&mut self, mlp: &Mlp, samples: Samples<'_>, pairs: &Pairs) -> Vec<f32> {
        let mut losses = vec![f32::NAN; samples.n_rows()];
        self.for_each_pair(mlp, samples, pairs, |label_row, logits| {
            losses[label_row as usize] = cross_entropy(logits, samples.label(label_row as usize));
        });
        losses
    }

    /// Loss and accuracy; both are `NaN` for no rows.
    pub fn evaluate(&mut self, mlp: &Mlp, samples: Samples<'_>, rows: &[u32]) -> Evaluation {
        evaluate(&mut self.batch, mlp, samples, rows)
    }
}

fn for_each(
    batch: &mut Batch,
    mlp: &Mlp,
    samples: Samples<'_>,
    rows: &[u32],
    mut look: impl FnMut(u32, &[f32]),
) {
    let mut logits = vec![0.0; mlp.shape().n_classes()];
    for chunk in rows.chunks(batch.capacity()) {
        batch.load(samples, chunk);
        batch.forward(mlp);
        for (i, &row) in chunk.iter().enumerate() {
            batch.copy_logits(i, &mut logits);
            look(row, &logits);
        }
    }
}

/// [`Evaluator::evaluate`] in a batch that is there already.
pub(super) fn evaluate(batch: &mut Batch, mlp: &Mlp, samples: Samples<'_>, rows: &[u32]) -> Evaluation {
    let (mut loss, mut hits) = (0.0f64, 0u64);
    for_each(batch, mlp, samples, rows, |row, logits| {
        let label = samples.label(row as usize);
        loss += f64::from(cross_entropy(logits, label));
        hits += u64::from(argmax(logits) == label);
    });
    let n = rows.len() as f64;
    Evaluation { loss: loss / n, accuracy: hits as f64 / n }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Features, Recipe, Reference, init::init};

    /// One sample at a time, by the definition in f64.
    fn loss_of(mlp: &Mlp, samples: Samples<'_>, features: u32, label_row: u32) -> f64 {
        let mut logits: Vec<f64> = Vec::new();
        Evaluator::new(mlp.shape())
            .for_each(mlp, samples, &[features], |_, z| logits = z.iter().map(|&z| f64::from(z)).collect());
        let label = samples.label(label_row as usize) as usize;
        logits.iter().map(|z| z.exp()).sum::<f64>().ln() - logits[label]
    }

    #[test]
    fn every_sample_has_the_loss_of_its_features_and_its_label_on_any_number_of_threads() {
        let n = 1_000;
        let pixels: Vec<u8> = (0..n * 6).map(|i| (i * 37 % 251) as u8).collect();
        let labels: Vec<u32> = (0..n as u32).map(|row| row * 7 % 4).collect();
        let samples = Samples::new(Features::U8(&pixels), &labels, 6, 4);
        for recipe in
            [Reference::nn(1), Reference { batch_size: 700, ..Reference::nn(2) }, Reference::debug(3)]
        {
            let recipe = Recipe::Nn(Reference { hidden: 5, ..recipe });
            let mlp = init(&recipe, 6, 4);
            let pairs = Pairs::of(&recipe, n, &[3]);
            let losses = Evaluator::new(mlp.shape()).losses(&mlp, samples, &pairs);
            let mut seen = vec![false; n];
            for (&features, &label_row) in pairs.features_of.iter().zip(&pairs.label_of) {
                let (loss, want) = (losses[label_row as usize], loss_of(&mlp, samples, features, label_row));
                assert!((f64::from(loss) - want).abs() < 1e-5, "{label_row}: {loss}, not {want}");
                seen[label_row as usize] = true;
            }
            assert!(losses.iter().zip(&seen).all(|(loss, seen)| loss.is_nan() != *seen));
            assert!(seen[0] && !seen[3] && !seen[n - 1]);
            let mut team = Evaluator::new(mlp.shape());
            team.use_threads(NonZeroUsize::new(3).unwrap());
            let by_team = team.losses(&mlp, samples, &pairs);
            assert!(losses.iter().zip(&by_team).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}
