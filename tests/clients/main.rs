//! Lethe as other people's programs see it: a real server, asked by Python with NumPy, ONNX Runtime and what else
//! `requirements.txt` lists.

#![expect(clippy::unwrap_used, reason = "in a test, what should not happen ends it")]

mod exchange;
mod formats;
mod python;
mod server;
mod triton;
