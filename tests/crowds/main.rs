//! Crowds of clients of the worst kind, on real sockets: what they cost, and that they keep nobody else out.
//!
//! The server is a process of its own, under the bounds it has in service. `make test` runs a short form of what is not
//! slow by nature, `make torture` the whole. What a crowd needs of time is told by the kernel's and the server's own
//! clocks, so these tests run one at a time there.

#![expect(clippy::unwrap_used, reason = "a test")]

mod client;
mod flood;
mod health;
mod kernel;
#[expect(dead_code, reason = "benches ask for more")]
#[path = "../../benches/common/server.rs"]
mod server;
mod slow_readers;
mod slowloris;
mod storm;

use server::Server;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// Whether the long form was asked for.
fn is_torture() -> bool {
    std::env::var_os("LETHE_TORTURE").is_some()
}

/// A crowd of this many, and fewer in the short form or where not so many files may be open.
fn crowd(whole: usize, short: usize) -> usize {
    let wanted = if is_torture() { whole } else { short };
    let others = 256;
    let files = rlimit::increase_nofile_limit((wanted + others) as u64).unwrap() as usize;
    assert!(files >= wanted + others || !is_torture(), "{wanted} clients need so many open files");
    wanted.min(files.saturating_sub(others))
}

/// A server on that address, its log in its folder.
fn serve(mut command: Command, data_dir: &Path, listen: &str) -> (Server, SocketAddr) {
    let log = File::options().create(true).append(true).open(log_of(data_dir)).unwrap();
    command.args(["--train-threads", "1", "--listen", listen, "--data-dir"]).arg(data_dir).stderr(log);
    let server = Server::start(&mut command).unwrap();
    let address = server.address.parse().unwrap();
    (server, address)
}

fn lethe() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lethe"))
}

fn log_of(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("server.log")
}

const ANY_PORT: &str = "127.0.0.1:0";
