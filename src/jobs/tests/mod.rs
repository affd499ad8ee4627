//! The engine, driven step by step by a trainer that does only what the test says.

mod alerts;
mod audit;
mod checkpoints;
mod endings;
mod forget;
mod leases;
mod lineage;
mod listening;
mod real;
mod report;
mod restarts;
mod script;
