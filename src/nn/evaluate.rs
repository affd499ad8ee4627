//! Looking at many rows through a network at the speed of the matrix product.

use super::batch::Batch;
use super::loss::{argmax, cross_entropy};
use super::team::Team;
use super::{Mlp, Samples, Shape};

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

    /// Calls `look(row, logits)` for every row, in order.
    pub fn for_each(&mut self, mlp: &Mlp, samples: Samples<'_>, rows: &[u32], look: impl FnMut(u32, &[f32])) {
        for_each(&mut self.batch, mlp, samples, rows, look);
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
