//! Telling others of events: signed requests to addresses of their choice (Standard Webhooks), from a queue in the
//! database.
//!
//! Knows nothing of runs but what their events say, and nobody waits for it.

mod address;
mod courier;
mod endpoint;
mod schedule;
mod sender;
mod signature;

#[cfg(test)]
mod tests;

pub use courier::Courier;
pub use endpoint::check as check_endpoint;
pub use sender::{Message, Outcome, Sender};
pub use signature::{new_secret, sign};

/// Where requests may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To public addresses, over TLS.
    Public,
    /// Also to the machine itself and its own network, and without TLS.
    Anywhere,
}
