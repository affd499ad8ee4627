//! Loaded versions and the answers they give.
//!
//! Knows nothing of HTTP.

mod cache;
mod loaded;
mod outputs;

pub use cache::Inference;
pub use loaded::{Loaded, Network};
pub use outputs::{Outputs, Prediction};

use crate::nn::Features;
use bytes::Bytes;

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
