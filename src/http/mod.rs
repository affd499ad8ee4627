//! The HTTP interface.

pub mod dashboard;
