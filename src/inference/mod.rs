//! Loaded versions and the answers they give.
//!
//! Knows nothing of HTTP.

mod cache;
mod loaded;
mod outputs;
mod queue;

pub use cache::Inference;
pub use loaded::{Loaded, Network};
pub use outputs::Outputs;
pub use queue::Overloaded;

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

    /// Whether both are bytes, or both floats.
    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// One behind the other; all are alike.
    fn joined<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        let (mut bytes, mut floats) = (Vec::new(), Vec::new());
        for rows in all {
            match rows {
                Self::U8(values) => bytes.push(values.as_ref()),
                Self::F32(values) => floats.push(values.as_slice()),
            }
        }
        if floats.is_empty() { Self::U8(bytes.concat().into()) } else { Self::F32(floats.concat()) }
    }
}
