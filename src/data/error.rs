//! What can go wrong on the way to a dataset, and how its download is watched.

use std::ops::ControlFlow;

/// Why a dataset could not be had; each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("there is no dataset `{0}`; `GET /datasets` lists them")]
    Unknown(String),
    /// Found, but not what it should be.
    #[error("`{path}` is damaged: {detail}")]
    Damaged { path: String, detail: String },
    /// Neither on disk nor to be downloaded.
    #[error("{0}")]
    Unavailable(String),
    /// The rows asked for by digest are not the rows that can be had now.
    #[error("dataset `{name}` is no longer the one asked for: wanted `{wanted}`, found `{found}`")]
    Changed { name: String, wanted: String, found: String },
    /// The progress callback asked to stop.
    #[error("the download was stopped")]
    Canceled,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Bytes of a download so far.
#[derive(Clone, Copy, Debug)]
pub struct DownloadProgress<'a> {
    pub file: &'a str,
    pub done: u64,
    pub total: Option<u64>,
}

/// Watches a download and may stop it. Called at least every quarter of a second, also while nothing
/// arrives, so that a cancelled run need not wait for a slow mirror.
pub type Progress<'a> = dyn FnMut(DownloadProgress<'_>) -> ControlFlow<()> + 'a;
