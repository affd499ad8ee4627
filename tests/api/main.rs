//! The HTTP interface from outside, one file an area. Most tests ask the router directly; those about
//! sockets, signals and processes start a real server on a free port.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

mod audits;
mod bulk;
mod checkpoints;
mod datasets;
mod diagnoses;
mod errors;
mod events;
mod exchange;
mod formats;
mod idempotency;
mod losses;
mod models;
mod openapi;
mod predict;
mod process;
mod runs;
mod serving;
mod shutdown;
mod unlearn;
mod v2;
mod webhooks;
