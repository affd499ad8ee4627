//! Datasets: where rows come from, and which of them a forget set means.
//!
//! [`Catalogue`] knows the datasets by name and opens them; a [`Dataset`] is an immutable table whose
//! digest says exactly which rows it holds. The entries: `mnist` (files, or public mirrors), `digits` (drawn by
//! the program itself), and each of them with rows planted into it. Nothing here falls back from one source to another in
//! silence: what was loaded is in the dataset's `source` and `digest`.

mod catalogue;
mod dataset;
mod digest;
mod digits;
mod error;
mod forget;
pub mod idx;
mod mnist;
mod planted;
mod rows;
mod turn;

pub use catalogue::{Catalogue, Entry};
pub use dataset::{Dataset, FeatureData, InputSpec, Table};
pub use error::{DataError, DownloadProgress, Progress};
pub use forget::{ForgetError, check_forget_set, resolve_forget_set};
pub use planted::{Planted, PlantedKind};
pub use rows::{Row, RowError, RowFeatures, Split};
