//! A network in memory, and the version it is asked as.

use super::queue::{self, Queue};
use super::{Outputs, Overloaded, Rows};
use crate::artifacts::Model;
use crate::domain::VersionRef;
use crate::nn::{Forward, Mlp};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Multiplications above which rows are answered off the async threads: about half a millisecond.
const INLINE_COST: usize = 4_000_000;

/// Larger buffers are made anew: those who need them need long for their rows.
const MAX_KEPT_BYTES: u128 = 1 << 20;

/// A model with what it takes to ask it.
#[derive(Debug)]
pub struct Network {
    pub model: Model,
    /// Buffers to answer rows with, while nobody does.
    idle: Mutex<Option<Forward>>,
    pub(super) queue: Queue,
}

/// A version ready to answer.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub version: VersionRef,
    network: Arc<Network>,
}

impl Loaded {
    pub(super) fn new(version: VersionRef, network: Arc<Network>) -> Self {
        Self { version, network }
    }

    /// Answers rows: on this thread while it is short, for a hop to another costs as much as the network itself; in line
    /// with others where it is not.
    ///
    /// # Errors
    ///
    /// When too many others wait already.
    pub async fn ask(&self, rows: Rows) -> Result<Outputs, Overloaded> {
        if self.n_rows(&rows).saturating_mul(self.cost_per_row()) <= INLINE_COST {
            return Ok(queue::answer_here(&self.network, rows).await);
        }
        queue::answer_elsewhere(&self.network, rows).await
    }
}

impl Deref for Loaded {
    type Target = Network;

    fn deref(&self) -> &Network {
        &self.network
    }
}

impl Network {
    pub(super) fn new(model: Model) -> Self {
        Self { model, idle: Mutex::default(), queue: Queue::default() }
    }

    pub fn n_features(&self) -> usize {
        self.mlp().shape().n_features()
    }

    pub fn n_classes(&self) -> usize {
        self.mlp().shape().n_classes()
    }

    /// How many rows these are.
    pub fn n_rows(&self, rows: &Rows) -> usize {
        rows.features().len() / self.n_features()
    }

    /// Answers rows. What a row is answered does not depend on the others.
    ///
    /// # Panics
    ///
    /// If `rows` is not a whole number of rows.
    pub fn answer(&self, rows: &Rows) -> Outputs {
        let mut logits = vec![0.0; self.n_rows(rows) * self.n_classes()];
        let idle = self.idle().take();
        let mut forward = idle.unwrap_or_else(|| Forward::new(self.mlp().shape()));
        forward.logits(self.mlp(), rows.features(), &mut logits);
        if forward.size_bytes() <= MAX_KEPT_BYTES {
            *self.idle() = Some(forward);
        }
        Outputs::new(logits, self.n_classes())
    }

    /// Multiplications one row costs.
    fn cost_per_row(&self) -> usize {
        self.mlp().shape().n_params()
    }

    fn mlp(&self) -> &Mlp {
        &self.model.mlp
    }

    fn idle(&self) -> MutexGuard<'_, Option<Forward>> {
        // nothing is left half done
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::data::InputSpec;
    use crate::nn::Shape;
    use std::collections::BTreeMap;

    pub(crate) fn network() -> Network {
        Network::new(model())
    }

    /// Two inputs, three classes.
    pub(crate) fn model() -> Model {
        let shape = Shape { widths: vec![2, 5, 3], output_relu: false };
        let params: Vec<f32> = (0..shape.n_params()).map(|i| (i * 7 % 11) as f32 / 11.0 - 0.5).collect();
        Model {
            mlp: Mlp::from_params(shape, &params),
            input: InputSpec::Vector { n_features: 2, columns: None },
            class_names: ["a", "b", "c"].map(str::to_owned).to_vec(),
            lineage: BTreeMap::new(),
        }
    }

    #[test]
    fn rows_are_answered_the_same_alone_and_together() {
        let network = network();
        let values = vec![0.5, -1.0, 0.0, 3.0, 2.0, 0.25];
        let together = network.answer(&Rows::F32(values.clone()));
        for (row, values) in values.chunks(2).enumerate() {
            assert_eq!(network.answer(&Rows::F32(values.to_vec())), together.slice(row..row + 1));
        }
    }
}
