//! The table itself: rows, labels, subjects, and what a row looks like.

use super::{Planted, digest};
use crate::domain::{DatasetRef, Source};
use crate::nn::{Features, Samples};
use std::fmt;

/// An immutable table of labelled rows, split into a training and a test part.
#[derive(Debug)]
pub struct Dataset {
    pub name: String,
    pub version: u32,
    pub source: Source,
    /// `sha256:` over every row's features, label and subject; see [`Dataset::compute_digest`].
    pub digest: String,
    /// A sentence or two for people.
    pub description: String,
    pub input: InputSpec,
    pub class_names: Vec<String>,
    pub train: Table,
    pub test: Table,
    /// Which training rows were planted, where some were.
    pub planted: Option<Planted>,
}

/// Rows with their labels and, where known, the people they came from.
#[derive(Clone, PartialEq)]
pub struct Table {
    pub features: FeatureData,
    pub labels: Vec<u32>,
    /// The subject of each row.
    pub subjects: Option<Vec<u64>>,
}

/// Row-major features.
#[derive(Clone, PartialEq)]
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
    Vector {
        n_features: u32,
        /// Their names, where they have some.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        columns: Option<Vec<String>>,
    },
}

impl InputSpec {
    pub const fn n_features(&self) -> usize {
        match self {
            Self::Image { height, width } => (*height * *width) as usize,
            Self::Vector { n_features, .. } => *n_features as usize,
        }
    }

    /// The names of a vector's numbers, in their order.
    pub fn columns(&self) -> Option<&[String]> {
        match self {
            Self::Image { .. } => None,
            Self::Vector { columns, .. } => columns.as_deref(),
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

    /// How many different people the training rows came from, where that is known.
    pub fn n_subjects(&self) -> Option<usize> {
        let mut subjects = self.train.subjects.clone()?;
        subjects.sort_unstable();
        subjects.dedup();
        Some(subjects.len())
    }

    pub fn to_ref(&self) -> DatasetRef {
        DatasetRef {
            name: self.name.clone(),
            version: self.version,
            digest: self.digest.clone(),
            source: self.source,
        }
    }

    /// `sha256:` over the canonical encoding of both tables.
    ///
    /// The encoding, integers little-endian: the 18 bytes `lethe dataset v1\n\0`; the input (`0`, height
    /// u32, width u32, or `1`, n_features u32, `0` u32); the number of classes u32; then the training and
    /// the test table, each: number of rows u64; `0` and the feature bytes, or `1` and the features as
    /// f32; the labels as u32; `0`, or `1` and the subjects as u64. Names and source are not part of it:
    /// the same rows have the same digest wherever they came from.
    pub fn compute_digest(&self) -> String {
        digest::dataset(&self.input, self.n_classes(), &[&self.train, &self.test])
    }

    /// Rows that look like this dataset's, for the mathematics.
    ///
    /// # Panics
    ///
    /// If they do not: another number of features a row, or labels past the last class.
    pub fn samples<'a>(&self, table: &'a Table) -> Samples<'a> {
        let features = match &table.features {
            FeatureData::U8(values) => Features::U8(values),
            FeatureData::F32(values) => Features::F32(values),
        };
        Samples::new(features, &table.labels, self.input.n_features(), self.n_classes())
            .with_subjects(table.subjects.as_deref())
    }
}

impl Table {
    pub fn n_rows(&self) -> usize {
        self.labels.len()
    }
}

impl FeatureData {
    /// The given rows, in the given order.
    pub(super) fn gather(&self, width: usize, rows: &[u32]) -> Self {
        fn of<T: Copy>(values: &[T], width: usize, rows: &[u32]) -> Vec<T> {
            rows.iter().flat_map(|&row| &values[row as usize * width..][..width]).copied().collect()
        }
        match self {
            Self::U8(values) => Self::U8(of(values, width, rows)),
            Self::F32(values) => Self::F32(of(values, width, rows)),
        }
    }
}

/// By size only: a log line is no place for 47 MB of pixels, nor for people's data.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subjects = if self.subjects.is_some() { "known" } else { "unknown" };
        write!(f, "Table({} rows, {:?}, subjects {subjects})", self.n_rows(), self.features)
    }
}

impl fmt::Debug for FeatureData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U8(values) => write!(f, "U8({} bytes)", values.len()),
            Self::F32(values) => write!(f, "F32({} values)", values.len()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Six 2×2 training images of three classes by two people, pixels counting up; two test images.
    pub(crate) fn tiny() -> Dataset {
        let train = Table {
            features: FeatureData::U8((0..24).collect()),
            labels: vec![0, 1, 2, 0, 1, 2],
            subjects: Some(vec![100, 100, 101, 101, 101, 100]),
        };
        let test =
            Table { features: FeatureData::U8(vec![3; 8]), labels: vec![1, 0], subjects: Some(vec![7, 8]) };
        dataset("tiny", InputSpec::Image { height: 2, width: 2 }, train, test)
    }

    /// Two rows of floats by nobody in particular.
    pub(crate) fn tiny_vectors() -> Dataset {
        let table = || Table {
            features: FeatureData::F32(vec![0.5, 1.0, 1.5, 2.0]),
            labels: vec![0, 2],
            subjects: None,
        };
        dataset("vectors", InputSpec::Vector { n_features: 2, columns: None }, table(), table())
    }

    fn dataset(name: &str, input: InputSpec, train: Table, test: Table) -> Dataset {
        let mut dataset = Dataset {
            name: name.to_owned(),
            version: 1,
            source: Source::Embedded,
            digest: String::new(),
            description: "For tests.".to_owned(),
            input,
            class_names: ["a", "b", "c"].map(str::to_owned).to_vec(),
            train,
            test,
            planted: None,
        };
        dataset.digest = dataset.compute_digest();
        dataset
    }

    #[test]
    fn debug_output_holds_no_pixels() {
        let text = format!("{:?}", tiny());
        assert!(text.contains("train: Table(6 rows, U8(24 bytes), subjects known)"), "{text}");
        assert!(!text.contains("20, 21") && !text.contains("101"), "{text}");
    }

    #[test]
    fn people_are_counted_once() {
        assert_eq!(tiny().n_subjects(), Some(2));
        assert_eq!(tiny_vectors().n_subjects(), None);
    }

    #[test]
    fn the_mathematics_sees_the_same_rows() {
        let dataset = tiny();
        let samples = dataset.train();
        let mut x = [0.0; 4];
        samples.copy_row(1, &mut x);
        assert_eq!((samples.n_rows(), samples.label(1), x[0]), (6, 1, 4.0 / 255.0));
    }
}
