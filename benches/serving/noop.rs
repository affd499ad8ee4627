//! What there is to be beaten: axum reading a body and answering what is ready.
//!
//! On a runtime like Lethe's, with as many threads, and with the same answer to the byte.

use crate::server::Server;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use bytes::Bytes;
use std::process::Command;
use tokio::net::TcpListener;

/// The argument that makes this program the no-op.
pub const CHILD: &str = "--noop";

/// `answer` is what it says to everything.
pub fn start(answer: &str) -> Result<Server, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    Server::start(Command::new(program).args([CHILD, answer]))
}

/// The no-op's process from the inside.
pub fn child(answer: &str) {
    let answer = Bytes::copy_from_slice(answer.as_bytes());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        println!("listening on http://{}", listener.local_addr().expect("it listens"));
        let handler = post(async move |body: Bytes| {
            std::hint::black_box(body);
            ([(CONTENT_TYPE, "application/json")], answer)
        });
        axum::serve(listener, axum::Router::new().fallback(handler)).await.expect("it serves");
    });
}
