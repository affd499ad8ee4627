//! The Open Inference Protocol, version 2 (KServe's and Triton's HTTP), with the extensions `GET /v2` lists.
//!
//! Requests are read without axum (`request`), so that a fuzzer can reach them. Sources: the protocol's
//! `inference_rest.md`, and of Triton's extensions binary tensor data, classification and model configuration.

pub mod answer;
pub mod body;
pub mod config;
pub mod data;
pub mod datatype;
pub mod health;
pub mod infer;
pub mod metadata;
pub mod repository;
pub mod request;
pub mod tensor;

use super::error::{Code, Problem};

/// The name of the one input.
pub const INPUT: &str = "input";
/// What `platform` says of every model: a multilayer perceptron of this program.
pub const PLATFORM: &str = "lethe_mlp";

/// Whether an address is one of the protocol's, whose errors have a member `error`.
pub fn has(path: &str) -> bool {
    path == "/v2" || path.starts_with("/v2/")
}

/// The protocol's addresses that nothing answers at: loading, unloading, statistics, shared memory, tracing, logging.
pub async fn not_offered() -> Problem {
    let detail = "this part of the protocol is not offered; `GET /v2` lists the extensions that are, and models \
                  are loaded when they are asked";
    Problem::new(Code::RouteNotFound, detail)
}
