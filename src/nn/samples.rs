//! A borrowed view of labelled rows: what the mathematics sees of a dataset.

use super::simd::prefetch;
use std::ops::Range;

/// What the network sees of an image's byte: `byte · BYTE_SCALE`.
pub const BYTE_SCALE: f32 = 1.0 / 255.0;

/// Row-major features, `n_rows × n_features`.
#[derive(Clone, Copy, Debug)]
pub enum Features<'a> {
    /// Image bytes; the network sees `byte / 255`.
    U8(&'a [u8]),
    /// Floats; the network sees them as they are.
    F32(&'a [f32]),
}

impl<'a> Features<'a> {
    /// Numbers in all rows together.
    pub fn len(self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Some of the numbers.
    ///
    /// # Panics
    ///
    /// If there are not as many.
    #[must_use]
    pub fn slice(self, range: Range<usize>) -> Self {
        match self {
            Self::U8(values) => Self::U8(&values[range]),
            Self::F32(values) => Self::F32(&values[range]),
        }
    }
}

/// Labelled rows. A row's id is its position.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    features: Features<'a>,
    labels: &'a [u32],
    subjects: Option<&'a [u64]>,
    n_features: usize,
    n_classes: usize,
}

impl<'a> Samples<'a> {
    /// # Panics
    ///
    /// If there are not `n_features` features for every label, or a label is not below `n_classes`.
    #[track_caller]
    pub fn new(features: Features<'a>, labels: &'a [u32], n_features: usize, n_classes: usize) -> Self {
        let len = features.len();
        let n_rows = labels.len();
        assert_eq!(len, n_rows * n_features, "features are not {n_rows}×{n_features}");
        assert!(labels.iter().all(|&label| (label as usize) < n_classes), "a label is not below {n_classes}");
        Self { features, labels, subjects: None, n_features, n_classes }
    }

    /// The same rows, and whose each of them is.
    ///
    /// # Panics
    ///
    /// If there is not one subject for every row.
    #[track_caller]
    pub fn with_subjects(self, subjects: Option<&'a [u64]>) -> Self {
        if let Some(subjects) = subjects {
            assert_eq!(subjects.len(), self.n_rows(), "not one subject for every row");
        }
        Self { subjects, ..self }
    }

    pub fn features(&self) -> Features<'a> {
        self.features
    }

    pub fn n_rows(&self) -> usize {
        self.labels.len()
    }

    pub fn n_features(&self) -> usize {
        self.n_features
    }

    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    pub fn label(&self, row: usize) -> u32 {
        self.labels[row]
    }

    /// The subject of each row, where that is known.
    pub fn subjects(&self) -> Option<&'a [u64]> {
        self.subjects
    }

    pub fn labels(&self) -> &'a [u32] {
        self.labels
    }

    /// Asks for rows that will be read soon: in a random order, memory is slower than the arithmetic. Asks for no
    /// more than leaves the weights in the cache.
    pub fn prefetch(&self, rows: &[u32]) {
        const MOST_BYTES: usize = 1 << 18;
        let row_bytes = self.n_features
            * match self.features {
                Features::U8(_) => size_of::<u8>(),
                Features::F32(_) => size_of::<f32>(),
            };
        for &row in &rows[..rows.len().min(MOST_BYTES / row_bytes.max(1))] {
            let range = row as usize * self.n_features..(row as usize + 1) * self.n_features;
            match self.features {
                Features::U8(values) => prefetch(&values[range]),
                Features::F32(values) => prefetch(&values[range]),
            }
        }
    }

    /// Writes row `row` as the network sees it.
    pub fn copy_row(&self, row: usize, x: &mut [f32]) {
        let range = row * self.n_features..(row + 1) * self.n_features;
        match self.features {
            Features::U8(values) => {
                for (x, &byte) in x.iter_mut().zip(&values[range]) {
                    *x = f32::from(byte) * BYTE_SCALE;
                }
            }
            Features::F32(values) => x.copy_from_slice(&values[range]),
        }
    }
}
