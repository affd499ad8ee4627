//! Fetching files from public mirrors: bounded in time and bytes, checked by content, written whole or
//! not at all.

use super::super::{DataError, DownloadProgress, Progress};
use super::files::{self, File, Origin};
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Without a single byte.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// For one file from one mirror.
const FILE_TIMEOUT: Duration = Duration::from_mins(10);
/// How often the watcher is asked whether to go on while nothing arrives.
const TICK: Duration = Duration::from_millis(200);

/// Addresses that end in `/`, to be followed by a file's name; tried in order.
#[derive(Clone, Debug)]
pub(in crate::data) struct Mirrors {
    pub(super) mnist: Vec<String>,
    pub(super) qmnist: Vec<String>,
    /// Off only where a test serves files itself, on this machine and without TLS.
    pub(super) https_only: bool,
}

impl Mirrors {
    pub(in crate::data) fn public() -> Self {
        let owned = |urls: &[&str]| urls.iter().map(|&url| url.to_owned()).collect();
        Self {
            mnist: owned(&[
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://raw.githubusercontent.com/fgnt/mnist/master/",
            ]),
            qmnist: owned(&["https://raw.githubusercontent.com/facebookresearch/qmnist/master/"]),
            https_only: true,
        }
    }

    fn of(&self, origin: Origin) -> &[String] {
        match origin {
            Origin::Mnist => &self.mnist,
            Origin::Qmnist => &self.qmnist,
        }
    }
}

/// Why a file did not arrive.
#[derive(Debug)]
pub(super) enum Failure {
    Data(DataError),
    /// No mirror had it; the text says what each of them answered.
    Unreachable(String),
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}

/// Downloads `files` into `dir` (as `NAME.gz`), one after the other.
///
/// Blocking; drives its own single-threaded runtime, so it must not be called on an async thread.
pub(super) fn fetch(
    files: &[File<'_>],
    mirrors: &Mirrors,
    dir: &Path,
    progress: &mut Progress<'_>,
) -> Result<(), Failure> {
    if files.is_empty() {
        return Ok(());
    }
    let client = client(mirrors).map_err(|error| Failure::Unreachable(describe(&error)))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DataError::from)?;
    let result = runtime.block_on(async {
        for file in files {
            let bytes = fetch_file(&client, mirrors.of(file.origin), file, progress).await?;
            store(&bytes, dir, file).map_err(DataError::from)?;
        }
        Ok(())
    });
    // a name lookup that hangs must not hold up the answer
    runtime.shutdown_background();
    result
}

fn client(mirrors: &Mirrors) -> reqwest::Result<reqwest::Client> {
    // fails only if another part of the process was first, which is as good
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("lethe/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(IDLE_TIMEOUT)
        .timeout(FILE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::limited(5));
    // a test's own server is not behind whatever proxy the machine has
    let builder = if mirrors.https_only { builder.https_only(true) } else { builder.no_proxy() };
    builder.build()
}

/// The file's bytes as the first mirror that has the right ones sends them.
async fn fetch_file(
    client: &reqwest::Client,
    mirrors: &[String],
    file: &File<'_>,
    progress: &mut Progress<'_>,
) -> Result<Vec<u8>, Failure> {
    let mut attempts = format!("`{}` could not be downloaded", file.name);
    for mirror in mirrors {
        let url = format!("{mirror}{}.gz", file.name);
        match fetch_from(client, &url, file, progress).await? {
            Ok(bytes) => return Ok(bytes),
            Err(reason) => {
                tracing::warn!(url, reason, "a mirror failed");
                write!(attempts, "; {url}: {reason}").expect("a string takes every character");
            }
        }
    }
    Err(Failure::Unreachable(attempts))
}

/// The inner error is the mirror's failure, in words; the outer one ends the whole download.
async fn fetch_from(
    client: &reqwest::Client,
    url: &str,
    file: &File<'_>,
    progress: &mut Progress<'_>,
) -> Result<Result<Vec<u8>, String>, DataError> {
    let mut seen = DownloadProgress { file: file.name, done: 0, total: None };
    let mut response = match watched(client.get(url).send(), &seen, progress).await? {
        Ok(response) if response.status().is_success() => response,
        Ok(response) => return Ok(Err(format!("answered {}", response.status()))),
        Err(error) => return Ok(Err(describe(&error.without_url()))),
    };
    let limit = file.max_stored_len();
    seen.total = response.content_length();
    if seen.total.is_some_and(|total| total > limit) {
        return Ok(Err(format!("announced more than {limit} bytes")));
    }
    let mut bytes = Vec::new();
    loop {
        match watched(response.chunk(), &seen, progress).await? {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Ok(Err(describe(&error.without_url()))),
        }
        if bytes.len() as u64 > limit {
            return Ok(Err(format!("sent more than {limit} bytes")));
        }
        seen.done = bytes.len() as u64;
        if progress(seen).is_break() {
            return Err(DataError::Canceled);
        }
    }
    Ok(files::check(file, &bytes).map(drop).map(|()| bytes))
}

/// Awaits `future`, asking the watcher now and then whether to go on.
async fn watched<F: Future>(
    future: F,
    seen: &DownloadProgress<'_>,
    progress: &mut Progress<'_>,
) -> Result<F::Output, DataError> {
    let mut future = std::pin::pin!(future);
    loop {
        if let Ok(output) = tokio::time::timeout(TICK, &mut future).await {
            return Ok(output);
        }
        if progress(*seen).is_break() {
            return Err(DataError::Canceled);
        }
    }
}

/// Writes a temporary file, syncs it, gives it its name, and syncs the folder: whoever finds the name
/// finds all of the bytes.
fn store(bytes: &[u8], dir: &Path, file: &File<'_>) -> std::io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    std::fs::create_dir_all(dir)?;
    let unique = format!("{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
    let temporary = dir.join(format!(".{}.{unique}.part", file.name));
    let written = std::fs::File::create_new(&temporary).and_then(|mut out| {
        out.write_all(bytes)?;
        out.sync_all()?;
        std::fs::rename(&temporary, dir.join(format!("{}.gz", file.name)))?;
        std::fs::File::open(dir)?.sync_all()
    });
    if written.is_err() {
        // the first error is the one worth telling
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// The error with its causes: reqwest's own text alone hides why.
fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, ": {error}").expect("a string takes every character");
        cause = error.source();
    }
    text
}

#[cfg(test)]
pub(super) mod tests;
