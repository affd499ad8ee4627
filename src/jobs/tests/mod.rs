//! The engine, driven step by step by a trainer that does only what the test says.

mod endings;
mod listening;
mod real;
mod restarts;
mod script;
