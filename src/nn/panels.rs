//! Matrices cut into column panels: how weights, activations and gradients lie in memory.

use super::simd::LANES;
use std::ops::Range;

/// Columns of a panel, and rows of a [block](BLOCK): a tile of both takes a third of a first-level cache.
pub const PANEL: usize = 64;

/// Rows of a batch that are worked on together; one bit each of a `u64`.
pub const BLOCK: usize = 64;

/// The layout of a `rows × cols` matrix in one buffer.
///
/// Columns are padded with zeros to whole [`LANES`] and cut into panels of [`PANEL`], the last one possibly
/// narrower; a panel is row-major, and panels follow one another. So a panel is read as one stream, rows never
/// fall on the same cache sets, a tile of some rows of a panel is one slice, and threads that own different
/// tiles own different slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panels {
    rows: usize,
    cols: usize,
}

impl Panels {
    pub const fn new(rows: usize, cols: usize) -> Self {
        Self { rows, cols }
    }

    pub const fn rows(self) -> usize {
        self.rows
    }

    pub const fn cols(self) -> usize {
        self.cols
    }

    /// Columns with their padding.
    pub const fn padded(self) -> usize {
        self.cols.next_multiple_of(LANES)
    }

    /// Numbers in the buffer.
    pub const fn size(self) -> usize {
        self.rows * self.padded()
    }

    pub const fn n_panels(self) -> usize {
        self.cols.div_ceil(PANEL)
    }

    /// Columns of a panel, with its padding: the distance from row to row in it.
    pub fn width(self, panel: usize) -> usize {
        PANEL.min(self.padded() - panel * PANEL)
    }

    /// Columns of a panel that mean something.
    pub fn used(self, panel: usize) -> usize {
        PANEL.min(self.cols - panel * PANEL)
    }

    /// Where some rows of a panel lie.
    pub fn tile(self, panel: usize, rows: Range<usize>) -> Range<usize> {
        let (start, width) = (panel * PANEL * self.rows, self.width(panel));
        start + rows.start * width..start + rows.end * width
    }

    /// Where a whole panel lies.
    pub fn panel(self, panel: usize) -> Range<usize> {
        self.tile(panel, 0..self.rows)
    }

    /// Copies row `row` of `matrix` out.
    pub fn copy_row(self, matrix: &[f32], row: usize, out: &mut [f32]) {
        for (panel, out) in out[..self.cols].chunks_mut(PANEL).enumerate() {
            out.copy_from_slice(&matrix[self.tile(panel, row..row + 1)][..out.len()]);
        }
    }

    /// Overwrites row `row` of `matrix`; its padding stays.
    pub fn set_row(self, matrix: &mut [f32], row: usize, values: &[f32]) {
        for (panel, values) in values[..self.cols].chunks(PANEL).enumerate() {
            matrix[self.tile(panel, row..row + 1)][..values.len()].copy_from_slice(values);
        }
    }

    /// Overwrites the cells of row `row` of `matrix` from column `first` on.
    pub fn set_cells(self, matrix: &mut [f32], row: usize, first: usize, mut values: &[f32]) {
        let mut col = first;
        while !values.is_empty() {
            let (panel, within) = (col / PANEL, col % PANEL);
            let (here, rest) = values.split_at(values.len().min(PANEL - within));
            matrix[self.tile(panel, row..row + 1)][within..][..here.len()].copy_from_slice(here);
            (col, values) = (col + here.len(), rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_the_buffer_in_order_and_rows_come_back() {
        for (rows, cols) in [(1, 1), (3, 10), (5, 64), (7, 65), (70, 130), (2, 256), (0, 5)] {
            let layout = Panels::new(rows, cols);
            let mut end = 0;
            for panel in 0..layout.n_panels() {
                let range = layout.panel(panel);
                assert_eq!(range.start, end);
                end = range.end;
                assert!(layout.used(panel) <= layout.width(panel));
            }
            assert_eq!(end, layout.size());

            let mut matrix = vec![0.0; layout.size()];
            let value = |row: usize, col: usize| (row * cols + col + 1) as f32;
            for row in 0..rows {
                let values: Vec<f32> = (0..cols).map(|col| value(row, col)).collect();
                layout.set_row(&mut matrix, row, &values);
            }
            let mut out = vec![0.0; cols];
            for row in 0..rows {
                layout.copy_row(&matrix, row, &mut out);
                assert!((0..cols).all(|col| out[col] == value(row, col)));
            }
            let used = matrix.iter().filter(|&&value| value != 0.0).count();
            assert_eq!(used, rows * cols, "padding stays zero");

            let first = cols / 3;
            let mut partly = vec![0.0; layout.size()];
            for row in 0..rows {
                let values: Vec<f32> = (first..cols).map(|col| value(row, col)).collect();
                layout.set_cells(&mut partly, row, first, &values);
                layout.copy_row(&partly, row, &mut out);
                assert!((0..cols).all(|col| out[col] == if col < first { 0.0 } else { value(row, col) }));
            }
        }
    }
}
