//! Rows without their zeros: most pixels of most images are black.

use super::parts;
use crate::nn::Samples;
use std::num::NonZeroUsize;

/// Compressed sparse rows, each with a last feature that is 1 (the bias's).
#[derive(Debug)]
pub(super) struct SparseRows {
    /// Where each row begins, and where the last one ends.
    starts: Vec<usize>,
    columns: Vec<u32>,
    /// As the network sees them, which f32 holds exactly.
    values: Vec<f32>,
    n_columns: usize,
}

/// The features of a row that are not zero, columns ascending.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) columns: &'a [u32],
    pub(super) values: &'a [f32],
}

impl SparseRows {
    pub(super) fn new(samples: Samples<'_>, rows: &[u32], n_threads: NonZeroUsize) -> Self {
        let n_features = samples.n_features();
        let bias = u32::try_from(n_features).expect("columns fit u32");
        let ranges = parts::parts_of(rows.len());
        let parts = parts::map(n_threads, ranges.len(), |part| {
            let mut x = vec![0.0f32; n_features];
            let (mut ends, mut columns, mut values) = (Vec::new(), Vec::new(), Vec::new());
            for &row in &rows[ranges[part].clone()] {
                samples.copy_row(row as usize, &mut x);
                for (column, &value) in (0..).zip(&x) {
                    if value != 0.0 {
                        columns.push(column);
                        values.push(value);
                    }
                }
                columns.push(bias);
                values.push(1.0);
                ends.push(columns.len());
            }
            (ends, columns, values)
        });
        let n_values = parts.iter().map(|(_, columns, _)| columns.len()).sum();
        let mut all = Self {
            starts: Vec::with_capacity(rows.len() + 1),
            columns: Vec::with_capacity(n_values),
            values: Vec::with_capacity(n_values),
            n_columns: n_features + 1,
        };
        all.starts.push(0);
        for (ends, columns, values) in parts {
            let before = all.columns.len();
            all.starts.extend(ends.into_iter().map(|end| before + end));
            all.columns.extend(columns);
            all.values.extend(values);
        }
        all
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Features with the bias's.
    pub(super) fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Numbers that are not zero.
    pub(super) fn n_values(&self) -> usize {
        self.values.len()
    }

    #[inline]
    pub(super) fn row(&self, row: usize) -> Row<'_> {
        let range = self.starts[row]..self.starts[row + 1];
        Row { columns: &self.columns[range.clone()], values: &self.values[range] }
    }
}
