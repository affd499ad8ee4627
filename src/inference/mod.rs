//! Loaded versions and the answers they give.
//!
//! Knows nothing of HTTP.

mod cache;
mod outputs;

pub use cache::Inference;
pub use outputs::{Outputs, Prediction};

use crate::artifacts::Model;
use crate::domain::VersionRef;
use crate::nn::{Features, Forward, Mlp};
use bytes::Bytes;
use std::sync::{Mutex, PoisonError};

/// Checked rows, one after another, as [`Features`]: whoever makes them has checked that they are whole rows of
/// the model's input, and finite.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// Image bytes; the network sees `byte / 255`.
    U8(Bytes),
    /// Floats, as the network sees them.
    F32(Vec<f32>),
}

impl Rows {
    pub fn features(&self) -> Features<'_> {
        match self {
            Self::U8(values) => Features::U8(values),
            Self::F32(values) => Features::F32(values),
        }
    }
}

/// A version ready to answer.
#[derive(Debug)]
pub struct Loaded {
    pub version: VersionRef,
    pub model: Model,
    /// Buffers to answer single rows with: as many as were needed at the same time.
    idle: Mutex<Vec<Forward>>,
}

impl Loaded {
    pub fn new(version: VersionRef, model: Model) -> Self {
        Self { version, model, idle: Mutex::default() }
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
            Forward::block(self.mlp().shape()).logits(self.mlp(), rows.features(), &mut logits);
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

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Forward>> {
        // nothing is left half done by a push or a pop
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
