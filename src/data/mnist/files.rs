//! The six files: what they are called, what they hold, and where they lie.

use super::super::{DataError, idx};
use super::damaged;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A file known by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct File<'a> {
    /// Without `.gz`.
    pub(super) name: &'a str,
    /// Of the uncompressed bytes, in hex.
    pub(super) sha256: &'a str,
    /// Uncompressed, in bytes.
    pub(super) len: u64,
    pub(super) origin: Origin,
}

/// Which mirrors carry a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Mnist,
    Qmnist,
}

/// A file on this machine.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) in_cache: bool,
}

/// Training, test.
pub(super) const IMAGES: [File<'static>; 2] = [
    File {
        name: "train-images-idx3-ubyte",
        sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        len: 47_040_016,
        origin: Origin::Mnist,
    },
    File {
        name: "t10k-images-idx3-ubyte",
        sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        len: 7_840_016,
        origin: Origin::Mnist,
    },
];

/// Training, test.
pub(super) const LABELS: [File<'static>; 2] = [
    File {
        name: "train-labels-idx1-ubyte",
        sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        len: 60_008,
        origin: Origin::Mnist,
    },
    File {
        name: "t10k-labels-idx1-ubyte",
        sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        len: 10_008,
        origin: Origin::Mnist,
    },
];

/// Training, test.
pub(super) const WRITERS: [File<'static>; 2] = [
    File {
        name: "qmnist-train-labels-idx2-int",
        sha256: "bb1b6e1ec7b04fd5696f1ed50b5f58f8ef195118edd5c93c81783df9740b8ac5",
        len: 1_920_012,
        origin: Origin::Qmnist,
    },
    File {
        name: "qmnist-test-labels-idx2-int",
        sha256: "92d0ccb8c25f9c6534270fb4be7e1d24a1c6d315edfc8a638bfbd31c70f362dd",
        len: 1_920_012,
        origin: Origin::Qmnist,
    },
];

pub(super) const IMAGES_AND_LABELS: [File<'static>; 4] = [LABELS[0], LABELS[1], IMAGES[0], IMAGES[1]];
pub(super) const ALL: [File<'static>; 6] =
    [LABELS[0], LABELS[1], IMAGES[0], IMAGES[1], WRITERS[0], WRITERS[1]];

impl File<'_> {
    /// The most bytes the file may take on disk or on the wire: gzip adds little even to noise.
    pub(super) const fn max_stored_len(&self) -> u64 {
        self.len + self.len / 100 + 1024
    }
}

/// Where `file` lies in `dir`, gzipped or plain.
pub(super) fn find_in(dir: &Path, file: &File<'_>) -> Result<Option<PathBuf>, DataError> {
    for name in [format!("{}.gz", file.name), file.name.to_owned()] {
        let path = dir.join(name);
        match path.try_exists() {
            Ok(true) => return Ok(Some(path)),
            Ok(false) => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
    }
    Ok(None)
}

/// The uncompressed bytes of the file at `path`, which must be the known ones.
pub(super) fn read_checked(file: &File<'_>, path: &Path) -> Result<Vec<u8>, DataError> {
    let mut raw = Vec::new();
    let limit = file.max_stored_len();
    std::fs::File::open(path)
        .and_then(|opened| opened.take(limit + 1).read_to_end(&mut raw))
        .map_err(|error| unreadable(path, &error))?;
    if raw.len() as u64 > limit {
        return Err(damaged(path, idx::IdxError::TooLarge { limit }.to_string()));
    }
    let plain = check(file, &raw).map_err(|detail| damaged(path, detail))?;
    Ok(plain.into_owned())
}

/// Unpacks `raw` and compares it with what is known of `file`.
pub(super) fn check<'a>(file: &File<'_>, raw: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
    let plain = idx::inflate(raw, file.len).map_err(|error| error.to_string())?;
    if plain.len() as u64 != file.len {
        return Err(format!("it holds {} bytes unpacked, `{}` has {}", plain.len(), file.name, file.len));
    }
    let sha256 = hex::encode(Sha256::digest(&plain));
    if sha256 != file.sha256 {
        return Err(format!("its SHA-256 is {sha256}, that of `{}` is {}", file.name, file.sha256));
    }
    Ok(plain)
}

fn unreadable(path: &Path, error: &std::io::Error) -> DataError {
    damaged(path, format!("it cannot be read: {error}"))
}
