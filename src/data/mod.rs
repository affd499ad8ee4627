//! Datasets: where rows come from, and which of them a forget set means.

use crate::domain::{DatasetRef, Source};
use crate::nn::{Features, Samples};
use std::path::PathBuf;
use std::sync::Arc;

/// An immutable table of labelled rows, split into a training and a test part.
#[derive(Debug)]
pub struct Dataset {
    pub name: String,
    pub version: u32,
    pub source: Source,
    /// `sha256:` over every row's features, label and subject.
    pub digest: String,
    /// One sentence for people.
    pub description: String,
    pub input: InputSpec,
    pub class_names: Vec<String>,
    pub train: Table,
    pub test: Table,
}

/// Rows with their labels and, where known, the people they came from.
#[derive(Debug)]
pub struct Table {
    pub features: FeatureData,
    pub labels: Vec<u32>,
    /// The subject of each row.
    pub subjects: Option<Vec<u64>>,
}

#[derive(Debug)]
pub enum FeatureData {
    U8(Vec<u8>),
    F32(Vec<f32>),
}

/// What one row looks like.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InputSpec {
    /// `height × width` grey bytes, scaled by 1/255.
    Image { height: u32, width: u32 },
    /// `n_features` floats, taken as they are.
    Vector { n_features: u32 },
}

impl InputSpec {
    pub const fn n_features(&self) -> usize {
        match self {
            Self::Image { height, width } => (*height * *width) as usize,
            Self::Vector { n_features } => *n_features as usize,
        }
    }
}

impl Dataset {
    pub fn train(&self) -> Samples<'_> {
        self.samples(&self.train)
    }

    pub fn test(&self) -> Samples<'_> {
        self.samples(&self.test)
    }

    pub fn n_classes(&self) -> usize {
        self.class_names.len()
    }

    pub fn to_ref(&self) -> DatasetRef {
        DatasetRef {
            name: self.name.clone(),
            version: self.version,
            digest: self.digest.clone(),
            source: self.source,
        }
    }

    fn samples<'a>(&self, table: &'a Table) -> Samples<'a> {
        let features = match &table.features {
            FeatureData::U8(values) => Features::U8(values),
            FeatureData::F32(values) => Features::F32(values),
        };
        Samples::new(features, &table.labels, self.input.n_features(), self.n_classes())
    }
}

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

/// The datasets this server knows. Cheap to clone; an opened dataset is kept while anyone uses it.
#[derive(Clone, Debug)]
pub struct Catalogue {
    _datasets_dir: Option<PathBuf>,
    _cache_dir: PathBuf,
}

impl Catalogue {
    /// `datasets_dir` is searched first, `cache_dir` next and then filled by downloads.
    pub fn new(datasets_dir: Option<PathBuf>, cache_dir: PathBuf) -> Self {
        Self { _datasets_dir: datasets_dir, _cache_dir: cache_dir }
    }

    /// Names, in the order they are listed.
    pub fn names(&self) -> Vec<&'static str> {
        vec!["digits", "mnist"]
    }

    /// Opens a dataset that needs no download; `Ok(None)` when it would have to be fetched.
    /// Blocking: call it off the async threads.
    pub fn open_local(&self, name: &str) -> Result<Option<Arc<Dataset>>, DataError> {
        let _ = name;
        todo!()
    }

    /// Opens a dataset, downloading it if need be. Blocking.
    pub fn open(
        &self,
        name: &str,
        progress: &mut dyn FnMut(DownloadProgress<'_>),
    ) -> Result<Arc<Dataset>, DataError> {
        let _ = (name, progress);
        todo!()
    }

    /// What `name` will be once downloaded: its pinned digest, for runs accepted before the bytes are here.
    pub fn pinned_ref(&self, name: &str) -> Option<DatasetRef> {
        let _ = name;
        todo!()
    }
}

/// Why a forget set means nothing here. The text goes to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForgetError {
    #[error("class {class} does not exist; the dataset has classes 0 to {max}", max = .n_classes - 1)]
    NoSuchClass { class: u32, n_classes: u32 },
    #[error("row {row} is not among the rows this model was trained on: {why}")]
    NotTrainedOn { row: u32, why: &'static str },
    #[error("subject {0} has no rows among those this model was trained on")]
    NoSuchSubject(u64),
    #[error("dataset `{0}` does not say which person a row came from")]
    NoSubjects(String),
    #[error("the forget set is empty")]
    Empty,
    #[error("the forget set holds every training row; revoke the model instead")]
    Everything,
    #[error("fraction must lie between 0 and 1, both excluded")]
    BadFraction,
}

/// The rows `forget` means, sorted, all among `trained` (sorted row ids the model was trained on).
pub fn resolve_forget_set(
    forget: &crate::domain::ForgetSet,
    dataset: &Dataset,
    trained: &[u32],
) -> Result<Vec<u32>, ForgetError> {
    let _ = (forget, dataset, trained);
    todo!()
}
