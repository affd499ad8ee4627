//! Where an input tile is not zero.

use crate::nn::panels::{BLOCK, PANEL};

/// Columns the sparse kernels take together.
pub const QUAD: usize = 4;

/// The lights of one tile, [`BLOCK`] rows by [`PANEL`] columns.
#[derive(Clone, Debug)]
pub struct Mask {
    /// Bit `j` of `rows[r]` is row `r`, column `j`.
    rows: [u64; BLOCK],
    /// The other way round, from [`finish`](Self::finish) on.
    columns: [u64; PANEL],
    /// Pairs of a row and four neighbouring columns with a light among them.
    n_quads: usize,
}

impl Default for Mask {
    fn default() -> Self {
        Self { rows: [0; BLOCK], columns: [0; PANEL], n_quads: 0 }
    }
}

impl Mask {
    pub fn clear(&mut self) {
        self.rows.fill(0);
    }

    /// Notes where row `row` is not zero: bit `j` for column `j`.
    pub fn note(&mut self, row: usize, lights: u64) {
        self.rows[row] = lights;
    }

    /// Turns what was noted into columns as well. Inlined, as it is to have its caller's instructions.
    #[inline(always)]
    pub fn finish(&mut self) {
        self.columns = self.rows;
        transpose_bits(&mut self.columns);
        let quads = self.columns.as_chunks::<QUAD>().0.iter();
        self.n_quads = quads.map(|[a, b, c, d]| (a | b | c | d).count_ones() as usize).sum();
    }

    /// Rows `first..first + n_rows`: bit `j` of each is column `j`.
    pub fn rows(&self, first: usize, n_rows: usize) -> &[u64] {
        &self.rows[first..first + n_rows]
    }

    /// Rows `first..first + n_rows` of the first `k` columns: bit `r` of column `j` is row `first + r`.
    pub fn columns(&self, k: usize, first: usize, n_rows: usize) -> [u64; PANEL] {
        let rows = u64::MAX >> (BLOCK - n_rows);
        let mut columns = [0; PANEL];
        for (column, bits) in columns[..k].iter_mut().zip(&self.columns) {
            *column = bits >> first & rows;
        }
        columns
    }

    /// Whether skipping zeros pays for a tile of `n_rows` rows and `k` columns, times `lanes` lanes.
    ///
    /// Measured on AVX-512: per row, a light costs about `LIGHT + lanes` where a whole dense quad costs `lanes`.
    /// Both ways give the same bits, so a wrong guess costs time only.
    pub fn is_sparse(&self, n_rows: usize, k: usize, lanes: usize) -> bool {
        const LIGHT: usize = 2;
        self.n_quads * (LIGHT + lanes) < n_rows * k.div_ceil(QUAD) * lanes
    }
}

/// Bit `j` tells whether number `j`, of at most [`PANEL`], is something else than zero.
#[inline(always)]
pub fn lights<T: Copy + Default + PartialEq>(x: &[T]) -> u64 {
    // a byte for each number, then eight bytes gathered into eight bits by one multiplication
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (mut flags, zero) = ([0u8; PANEL], T::default());
    for (flag, &x) in flags.iter_mut().zip(x) {
        *flag = u8::from(x != zero);
    }
    let bytes = flags.as_chunks::<8>().0.iter().map(|&bytes| u64::from_le_bytes(bytes));
    bytes.rev().fold(0, |bits, eight| bits << 8 | eight.wrapping_mul(GATHER) >> 56)
}

/// Transposes a 64×64 matrix of bits: Warren, "Hacker's Delight", 2nd edition, 7-3.
#[inline(always)]
fn transpose_bits(rows: &mut [u64; 64]) {
    let mut kept = 0x0000_0000_ffff_ffffu64;
    for width in [32, 16, 8, 4, 2, 1] {
        for both in rows.chunks_exact_mut(2 * width) {
            let (upper, lower) = both.split_at_mut(width);
            for (upper, lower) in upper.iter_mut().zip(lower) {
                let swapped = (*upper >> width ^ *lower) & kept;
                *upper ^= swapped << width;
                *lower ^= swapped;
            }
        }
        kept ^= kept << (width / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_mask_has_a_bit_for_every_nonzero_number(seed: u64, n_rows in 1usize..=64, k in 1usize..=64) {
            let value = |row: usize, column: usize| {
                match (seed >> ((row * 31 + column * 17) % 61)) & 7 {
                    0 => 1.0,
                    1 => f32::NAN,
                    2 => -1e-45,
                    3 => -0.0,
                    _ => 0.0,
                }
            };
            let mut mask = Mask::default();
            for row in 0..n_rows {
                let x: Vec<f32> = (0..k).map(|column| value(row, column)).collect();
                mask.note(row, lights(&x));
            }
            mask.finish();
            for first in [0, n_rows / 2] {
                let columns = mask.columns(k, first, n_rows - first);
                for (column, bits) in columns.into_iter().enumerate() {
                    for row in 0..64 {
                        let is_lit = column < k && first + row < n_rows && value(first + row, column) != 0.0;
                        prop_assert_eq!(bits >> row & 1 == 1, is_lit, "row {} column {}", row, column);
                    }
                }
            }
        }
    }
}
