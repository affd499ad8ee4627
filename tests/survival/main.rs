//! What is left when the server, its disk or its database fails: at every step there is, and at any moment.
//!
//! `make test` runs a short form of the two long ones, `make torture` the whole.

#![expect(clippy::unwrap_used, reason = "a test")]

mod client;
mod faults;
mod full_disk;
mod kill;
mod ledger;
mod moments;
mod mounted;
#[cfg(target_os = "linux")]
mod power;
mod receiver;
mod server;
mod storage;
mod upgrade;

/// Whether the long form was asked for.
fn is_torture() -> bool {
    std::env::var_os("LETHE_TORTURE").is_some()
}
