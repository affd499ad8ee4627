//! Lethe trains neural-network classifiers on request, streams their progress, serves predictions,
//! and makes models forget, with measured evidence of how well.
//!
//! ```text
//! http ──▶ jobs ──▶ unlearn, checks, diagnosis ──▶ nn  (arrows: "uses"; never backwards)
//!   │        │
//!   └────────┴──▶ store, artifacts, data, formats, health, inference, webhooks, domain   (no axum in any of them)
//! ```
//!
//! `ARCHITECTURE.md` has the map with its invariants.

pub mod artifacts;
pub mod chart;
pub mod checks;
pub mod cli;
pub mod config;
pub mod data;
pub mod diagnosis;
pub mod domain;
pub mod faults;
pub mod formats;
pub mod health;
pub mod http;
pub mod inference;
pub mod jobs;
pub mod nn;
pub mod store;
pub mod unlearn;
pub mod webhooks;
