//! A network in memory, and the version it is asked as.

use super::queue::{self, Queue};
use super::{Outputs, Overloaded, Rows};
use crate::artifacts::Model;
use crate::domain::VersionRef;
use crate::nn::{Forward, Mlp};
use serde_json::value::RawValue;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Multiplications above which rows are answered off the async threads: about half a millisecond.
const INLINE_COST: usize = 4_000_000;

/// What a network keeps at most of buffers nobody uses; what does not fit is made anew.
const MAX_KEPT_BYTES: u128 = 1 << 20;

/// A model with what it takes to ask it.
#[derive(Debug)]
pub struct Network {
    pub model: Model,
    /// Buffers to answer rows with, while nobody does.
    idle: Mutex<Vec<Forward>>,
    pub(super) queue: Queue,
}

/// A version ready to answer.
#[derive(Debug)]
pub struct Loaded {
    pub version: VersionRef,
    /// What its answers say of the version, since the first of them.
    answered_by: OnceLock<Box<RawValue>>,
    network: Arc<Network>,
}

impl Loaded {
    pub(super) fn new(version: VersionRef, network: Arc<Network>) -> Self {
        Self { version, answered_by: OnceLock::new(), network }
    }

    /// The version in JSON, which `write` is asked for once: every answer says the same of it.
    pub fn answered_by(&self, write: fn(&VersionRef) -> Box<RawValue>) -> &RawValue {
        self.answered_by.get_or_init(|| write(&self.version))
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
        let idle = self.idle().pop();
        let mut forward = idle.unwrap_or_else(|| Forward::new(self.mlp().shape()));
        forward.logits(self.mlp(), rows.features(), &mut logits);
        self.keep(forward);
        Outputs::new(logits, self.n_classes())
    }

    fn keep(&self, forward: Forward) {
        let mut idle = self.idle();
        let kept: u128 = idle.iter().map(Forward::size_bytes).sum();
        if kept + forward.size_bytes() <= MAX_KEPT_BYTES {
            idle.push(forward);
        }
    }

    /// Multiplications one row costs.
    fn cost_per_row(&self) -> usize {
        self.mlp().shape().n_params()
    }

    fn mlp(&self) -> &Mlp {
        &self.model.mlp
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Forward>> {
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
    fn buffers_of_several_at_a_time_are_kept_within_bounds() {
        let network = network();
        let size = Forward::new(network.mlp().shape()).size_bytes();
        let room = usize::try_from(MAX_KEPT_BYTES / size).unwrap();
        for n in 0..room + 3 {
            assert_eq!(network.idle().len(), n.min(room));
            network.keep(Forward::new(network.mlp().shape()));
        }
        network.answer(&Rows::F32(vec![0.5, -1.0]));
        assert_eq!(network.idle().len(), room, "who answers takes one and gives it back");
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
