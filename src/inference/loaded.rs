//! A network in memory, and the version it is asked as.

use super::{Outputs, Rows};
use crate::artifacts::Model;
use crate::domain::VersionRef;
use crate::nn::{Forward, Mlp};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A model with what it takes to ask it.
#[derive(Debug)]
pub struct Network {
    pub model: Model,
    /// Buffers to answer single rows with: as many as were needed at the same time.
    idle: Mutex<Vec<Forward>>,
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
}

impl Deref for Loaded {
    type Target = Network;

    fn deref(&self) -> &Network {
        &self.network
    }
}

impl Network {
    pub(super) fn new(model: Model) -> Self {
        Self { model, idle: Mutex::default() }
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
        if logits.len() == self.n_classes() {
            let idle = self.idle().pop();
            let mut forward = idle.unwrap_or_else(|| Forward::one(self.mlp().shape()));
            forward.logits(self.mlp(), rows.features(), &mut logits);
            self.idle().push(forward);
        } else {
            Forward::blocks(self.mlp().shape()).logits(self.mlp(), rows.features(), &mut logits);
        }
        Outputs::new(logits, self.n_classes())
    }

    /// Multiplications one row costs.
    pub fn cost_per_row(&self) -> usize {
        self.mlp().shape().n_params()
    }

    fn mlp(&self) -> &Mlp {
        &self.model.mlp
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Forward>> {
        // nothing is left half done by a push or a pop
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
