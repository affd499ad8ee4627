//! What a network answers to rows that are the same whatever it is to forget.

use super::responses::Responses;
use std::sync::OnceLock;

/// A network's answers to the held-out rows and to the test set, from when they are first asked for.
///
/// They follow from its weights, the data and what its recipe holds out. So whoever keeps the network can keep them beside it, for
/// all the [tasks](super::Task) it is the parent of: looking at these rows is most of what [`Level::Quick`](super::Level::Quick)
/// does. What comes out is the same, bit for bit.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub(super) held_out: OnceLock<Responses>,
    pub(super) test: OnceLock<Responses>,
}
