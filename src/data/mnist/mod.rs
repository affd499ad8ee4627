//! The catalogue entry `mnist`: 70,000 handwritten digits (`LeCun`, Cortes and Burges 1998) with the people
//! who wrote them (QMNIST, Yadav and Bottou 2019).
//!
//! Six files, looked for one by one in `<datasets_dir>/mnist`, then in `<cache_dir>/mnist`, plain or with
//! `.gz`; the bytes of each must have the known SHA-256. The four MNIST files are indispensable. The two
//! QMNIST files only say who wrote what: without them the same images and labels open without subjects,
//! under another digest, and forgetting a person is refused.

mod download;
mod files;

use super::catalogue::Entry;
use super::{DataError, Dataset, FeatureData, InputSpec, Progress, Table, idx};
use crate::domain::Source;
pub(super) use download::Mirrors;
use files::{File, Found};
use std::path::{Path, PathBuf};

pub(super) const NAME: &str = "mnist";
pub(super) const VERSION: u32 = 1;
const INPUT: InputSpec = InputSpec::Image { height: 28, width: 28 };
const N_TRAIN: u32 = 60_000;
const N_TEST: u32 = 10_000;
const N_TRAIN_WRITERS: u32 = 539;
const DESCRIPTION: &str = "MNIST: 28×28 grey handwritten digits; the training and the test images are by \
                           different people.";

/// The column of QMNIST's extended labels that identifies the person who wrote the digit.
const WRITER_COLUMN: usize = 2;
const LABEL_COLUMN: usize = 0;
/// Columns of QMNIST's extended labels.
const N_COLUMNS: u32 = 8;

/// Whether the rows carry their writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writers {
    Known,
    Unknown,
}

impl Writers {
    /// The digest of the whole dataset, a consequence of the six files' hashes.
    pub(super) const fn digest(self) -> &'static str {
        match self {
            Self::Known => "sha256:a39c2b232705069aca996dd5df119aa51ca9f40c93015caf789af2dd7391d35a",
            Self::Unknown => "sha256:41e252136d8abbf0f3557a4857282d9d2c33fa6f7e288267fc34572bbc234520",
        }
    }

    pub(super) fn from_digest(digest: &str) -> Option<Self> {
        [Self::Known, Self::Unknown].into_iter().find(|writers| writers.digest() == digest)
    }
}

/// Where MNIST's files may be.
#[derive(Clone, Debug)]
pub(super) struct Mnist {
    datasets_dir: Option<PathBuf>,
    cache_dir: PathBuf,
    mirrors: Mirrors,
}

impl Mnist {
    pub(super) fn new(datasets_dir: Option<PathBuf>, cache_dir: PathBuf, mirrors: Mirrors) -> Self {
        let folder = |mut dir: PathBuf| {
            dir.push(NAME);
            dir
        };
        Self { datasets_dir: datasets_dir.map(folder), cache_dir: folder(cache_dir), mirrors }
    }

    /// What could be loaded now without a download; looks at file names only.
    pub(super) fn available(&self) -> Result<Option<Writers>, DataError> {
        if !self.missing(&files::IMAGES_AND_LABELS)?.is_empty() {
            return Ok(None);
        }
        let writers_missing = !self.missing(&files::WRITERS)?.is_empty();
        Ok(Some(if writers_missing { Writers::Unknown } else { Writers::Known }))
    }

    /// Downloads what is not here. `Ok` means that `wanted` can be loaded.
    pub(super) fn fetch(&self, wanted: Writers, progress: &mut Progress<'_>) -> Result<(), DataError> {
        let mut missing = self.missing(&files::IMAGES_AND_LABELS)?;
        if wanted == Writers::Known {
            missing.extend(self.missing(&files::WRITERS)?);
        }
        download::fetch(&missing, &self.mirrors, &self.cache_dir, progress).map_err(|failure| match failure {
            download::Failure::Data(error) => error,
            download::Failure::Unreachable(attempts) => {
                DataError::Unavailable(format!("{attempts}; {}", self.advice(&missing)))
            }
        })
    }

    /// Reads, checks and assembles the files found.
    pub(super) fn load(&self, writers: Writers) -> Result<Dataset, DataError> {
        let mut from_cache = false;
        let mut read = |file: &File<'_>| -> Result<(PathBuf, Vec<u8>), DataError> {
            let found = self.find(file)?.ok_or_else(|| {
                DataError::Unavailable(format!("`{}` is gone; {}", file.name, self.advice(&[*file])))
            })?;
            from_cache |= found.in_cache;
            let plain = files::read_checked(file, &found.path).map_err(|error| match error {
                DataError::Damaged { path, detail } if found.in_cache => {
                    let detail = format!("{detail}; once deleted it will be downloaded again");
                    DataError::Damaged { path, detail }
                }
                error => error,
            })?;
            Ok((found.path, plain))
        };
        let mut table = |part: usize| -> Result<Table, DataError> {
            let [images, labels] = [files::IMAGES[part], files::LABELS[part]];
            let (path, plain) = read(&images)?;
            let pixels = pixels(plain).map_err(|detail| damaged(&path, detail))?;
            let (path, plain) = read(&labels)?;
            let labels = idx::labels(&plain).map_err(|error| damaged(&path, error.to_string()))?;
            let labels: Vec<u32> = labels.iter().copied().map(u32::from).collect();
            let subjects = match writers {
                Writers::Unknown => None,
                Writers::Known => {
                    let (path, plain) = read(&files::WRITERS[part])?;
                    Some(subjects(&plain, &labels).map_err(|detail| damaged(&path, detail))?)
                }
            };
            Ok(Table { features: FeatureData::U8(pixels), labels, subjects })
        };
        let [train, test] = [table(0)?, table(1)?];
        Ok(Dataset {
            name: NAME.to_owned(),
            version: VERSION,
            source: if from_cache { Source::Download } else { Source::File },
            digest: writers.digest().to_owned(),
            description: description(writers),
            input: INPUT,
            class_names: class_names(),
            train,
            test,
            planted: None,
        })
    }

    pub(super) fn describe(&self) -> Entry {
        let available = self.available();
        let writers = available.as_ref().ok().copied().flatten();
        let shown = writers.unwrap_or(Writers::Known);
        let note = match (available, writers) {
            (Err(error), _) => Some(error.to_string()),
            (Ok(_), None) => Some(format!(
                "not on this machine yet: downloaded (11 MB) by the first run that uses it; or {}",
                self.advice(&files::ALL)
            )),
            (Ok(_), Some(Writers::Unknown)) => {
                Some(format!("opens without the people its rows came from; {}", self.advice(&files::WRITERS)))
            }
            (Ok(_), Some(Writers::Known)) => None,
        };
        Entry {
            name: NAME.to_owned(),
            version: VERSION,
            description: description(shown),
            input: INPUT,
            class_names: class_names(),
            n_train: N_TRAIN,
            n_test: N_TEST,
            n_subjects: (shown == Writers::Known).then_some(N_TRAIN_WRITERS),
            planted: None,
            n_planted: None,
            digest: shown.digest().to_owned(),
            source: writers.map(|writers| self.source(writers)),
            note,
        }
    }

    fn source(&self, writers: Writers) -> Source {
        let needed = match writers {
            Writers::Known => &files::ALL[..],
            Writers::Unknown => &files::IMAGES_AND_LABELS[..],
        };
        let from_cache =
            needed.iter().any(|file| matches!(self.find(file), Ok(Some(found)) if found.in_cache));
        if from_cache { Source::Download } else { Source::File }
    }

    fn missing(&self, wanted: &[File<'static>]) -> Result<Vec<File<'static>>, DataError> {
        let mut missing = Vec::new();
        for file in wanted {
            if self.find(file)?.is_none() {
                missing.push(*file);
            }
        }
        Ok(missing)
    }

    fn find(&self, file: &File<'_>) -> Result<Option<Found>, DataError> {
        if let Some(dir) = &self.datasets_dir
            && let Some(path) = files::find_in(dir, file)?
        {
            return Ok(Some(Found { path, in_cache: false }));
        }
        Ok(files::find_in(&self.cache_dir, file)?.map(|path| Found { path, in_cache: true }))
    }

    /// Which files to put where by hand.
    fn advice(&self, wanted: &[File<'_>]) -> String {
        let names: Vec<_> = wanted.iter().map(|file| format!("`{}.gz`", file.name)).collect();
        let names = names.join(", ");
        match &self.datasets_dir {
            Some(dir) => format!("put {names} (or the same files unpacked) into `{}`", dir.display()),
            None => format!(
                "put {names} (or the same files unpacked) into `{}`, or into the folder `mnist` of a datasets \
                 folder named by `--datasets-dir` or `LETHE_DATASETS_DIR`",
                self.cache_dir.display()
            ),
        }
    }
}

fn description(writers: Writers) -> String {
    match writers {
        Writers::Known => format!("{DESCRIPTION} Every row names its writer (QMNIST)."),
        Writers::Unknown => {
            format!("{DESCRIPTION} Opened without QMNIST's writers: nobody can be forgotten by name.")
        }
    }
}

fn class_names() -> Vec<String> {
    (0..10).map(|digit| digit.to_string()).collect()
}

fn damaged(path: &Path, detail: String) -> DataError {
    DataError::Damaged { path: path.display().to_string(), detail }
}

/// The pixels of an image file, in the buffer it was read into.
fn pixels(mut plain: Vec<u8>) -> Result<Vec<u8>, String> {
    let images = idx::images(&plain).map_err(|error| error.to_string())?;
    if (images.height, images.width) != (28, 28) {
        return Err(format!("its images are {}×{}, not 28×28", images.height, images.width));
    }
    let header = plain.len() - images.pixels.len();
    plain.drain(..header);
    Ok(plain)
}

/// The writers of the rows with these labels. QMNIST's test file goes on for another 50,000 rows that
/// MNIST does not have.
fn subjects(plain: &[u8], labels: &[u32]) -> Result<Vec<u64>, String> {
    let table = idx::int_table(plain).map_err(|error| error.to_string())?;
    if table.n_columns != N_COLUMNS || (table.n_rows as usize) < labels.len() {
        return Err(format!("it holds {}×{} numbers", table.n_rows, table.n_columns));
    }
    let rows = table.values.chunks_exact(N_COLUMNS as usize).zip(labels).enumerate();
    rows.map(|(row, (columns, &label))| {
        if i64::from(columns[LABEL_COLUMN]) != i64::from(label) {
            return Err(format!("row {row} says {}, MNIST says {label}", columns[LABEL_COLUMN]));
        }
        u64::try_from(columns[WRITER_COLUMN]).map_err(|_| format!("row {row} names no writer"))
    })
    .collect()
}

#[cfg(test)]
pub(super) mod tests;
#[cfg(test)]
pub(super) use download::tests::{NOBODY, Reply, Server, carry_on};
