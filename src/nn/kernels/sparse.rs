//! Tile products that skip the zeros of their left factor, an input tile `X`.
//!
//! Four neighbouring columns of `X` are taken together (lit pixels come in clusters): their four rows of the
//! other matrix stay in registers while the rows of `X` with a light in any of them pass by.

use super::mask::QUAD;
use super::{Sums, add_product, load, store};
use crate::nn::simd::{LANES, Lane, Simd, vectorised};

/// An input tile, `m × k`, and where it is not zero.
#[derive(Clone, Copy, Debug)]
pub struct Lit<'a> {
    pub numbers: &'a [f32],
    /// Numbers from row to row.
    pub stride: usize,
    /// Bit `r` of column `j` tells whether row `r` may be nonzero there; `k` columns.
    pub columns: &'a [u64],
}

vectorised! {
    /// `Z += X · W`: `m × width`, from `X` (`m × k`) and `W` (`k × width`).
    ///
    /// # Panics
    ///
    /// If a slice is too short, `Z` is not one to four lanes wide, is to decay or has an update.
    pub fn product(x: Lit<'_>, w: &[f32], into: &mut Sums<'_>) = forward;
}

vectorised! {
    /// `V = decay · V + Xᵀ · D`: `k × width`, from `X` (`m × k`) and `D` (`m × width`).
    ///
    /// # Panics
    ///
    /// If a slice is too short, or `V` is not one to four lanes wide.
    pub fn transposed_product(x: Lit<'_>, d: &[f32], into: &mut Sums<'_>) = backward;
}

impl Lit<'_> {
    /// The rows with a light among the `P` columns from `first` on.
    #[inline(always)]
    fn rows<const P: usize>(&self, first: usize) -> Rows {
        let mut left = 0;
        for column in &self.columns[first..][..P] {
            left |= column;
        }
        Rows { left }
    }

    /// Row `row` of the `P` columns from `first` on.
    #[inline(always)]
    fn row<const P: usize>(&self, row: usize, first: usize) -> &[f32; P] {
        self.numbers[row * self.stride + first..].first_chunk().expect("a row is whole")
    }
}

/// One bit for each row that is yet to come.
struct Rows {
    left: u64,
}

impl Iterator for Rows {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        let row = self.left.trailing_zeros() as usize;
        self.left &= self.left - 1;
        Some(row)
    }
}

#[inline(always)]
fn forward<S: Simd>(simd: S, x: Lit<'_>, w: &[f32], into: &mut Sums<'_>) {
    assert!(into.decay == 1.0 && into.update.is_none(), "a forward product adds to a bias, and that is all");
    let lanes = into.width / LANES;
    let (w, z) = (w.as_chunks::<LANES>().0, into.tile.as_chunks_mut::<LANES>().0);
    match (lanes, S::WIDTH) {
        (4, 4) => forward_lanes::<S, 4, 4>(simd, x, w, 0, z),
        (3, 4) => forward_lanes::<S, 3, 3>(simd, x, w, 0, z),
        (2, 4) => forward_lanes::<S, 2, 2>(simd, x, w, 0, z),
        (1, _) => forward_lanes::<S, 1, 1>(simd, x, w, 0, z),
        (4, _) => forward_lane_by_lane::<S, 4>(simd, x, w, z),
        (3, _) => forward_lane_by_lane::<S, 3>(simd, x, w, z),
        (2, _) => forward_lane_by_lane::<S, 2>(simd, x, w, z),
        (lanes, _) => unreachable!("a panel is one to four lanes wide, not {lanes}"),
    }
}

#[inline(always)]
fn forward_lane_by_lane<S: Simd, const WIDTH: usize>(simd: S, x: Lit<'_>, w: &[Lane], z: &mut [Lane]) {
    for lane in 0..WIDTH {
        forward_lanes::<S, WIDTH, 1>(simd, x, w, lane, z);
    }
}

#[inline(always)]
fn forward_lanes<S: Simd, const WIDTH: usize, const N: usize>(
    simd: S,
    x: Lit<'_>,
    w: &[Lane],
    first: usize,
    z: &mut [Lane],
) {
    let k = x.columns.len();
    let whole = k - k % QUAD;
    for column in (0..whole).step_by(QUAD) {
        forward_columns::<S, WIDTH, N, QUAD>(simd, x, w, column, first, z);
    }
    for column in whole..k {
        forward_columns::<S, WIDTH, N, 1>(simd, x, w, column, first, z);
    }
}

#[inline(always)]
fn forward_columns<S: Simd, const WIDTH: usize, const N: usize, const P: usize>(
    simd: S,
    x: Lit<'_>,
    w: &[Lane],
    column: usize,
    first: usize,
    z: &mut [Lane],
) {
    let mut columns = [[simd.splat(0.0); N]; P];
    for (p, weights) in columns.iter_mut().enumerate() {
        *weights = load(simd, &w[(column + p) * WIDTH + first..]);
    }
    for row in x.rows::<P>(column) {
        let z = &mut z[row * WIDTH + first..][..N];
        let mut sums = load::<S, N>(simd, z);
        for (&x, weights) in x.row::<P>(row, column).iter().zip(columns) {
            sums = add_product(simd, x, weights, sums);
        }
        store(simd, sums, z);
    }
}

#[inline(always)]
fn backward<S: Simd>(simd: S, x: Lit<'_>, d: &[f32], into: &mut Sums<'_>) {
    let d = d.as_chunks::<LANES>().0;
    match (into.width / LANES, S::WIDTH) {
        (4, 4) => backward_lanes::<S, 4, 4>(simd, x, d, 0, into),
        (3, 4) => backward_lanes::<S, 3, 3>(simd, x, d, 0, into),
        (2, 4) => backward_lanes::<S, 2, 2>(simd, x, d, 0, into),
        (1, _) => backward_lanes::<S, 1, 1>(simd, x, d, 0, into),
        (4, _) => backward_lane_by_lane::<S, 4>(simd, x, d, into),
        (3, _) => backward_lane_by_lane::<S, 3>(simd, x, d, into),
        (2, _) => backward_lane_by_lane::<S, 2>(simd, x, d, into),
        (lanes, _) => unreachable!("a panel is one to four lanes wide, not {lanes}"),
    }
}

#[inline(always)]
fn backward_lane_by_lane<S: Simd, const WIDTH: usize>(simd: S, x: Lit<'_>, d: &[Lane], into: &mut Sums<'_>) {
    for lane in 0..WIDTH {
        backward_lanes::<S, WIDTH, 1>(simd, x, d, lane, into);
    }
}

#[inline(always)]
fn backward_lanes<S: Simd, const WIDTH: usize, const N: usize>(
    simd: S,
    x: Lit<'_>,
    d: &[Lane],
    first: usize,
    into: &mut Sums<'_>,
) {
    let k = x.columns.len();
    let whole = k - k % QUAD;
    for column in (0..whole).step_by(QUAD) {
        backward_columns::<S, WIDTH, N, QUAD>(simd, x, d, column, first, into);
    }
    for column in whole..k {
        backward_columns::<S, WIDTH, N, 1>(simd, x, d, column, first, into);
    }
}

#[inline(always)]
fn backward_columns<S: Simd, const WIDTH: usize, const N: usize, const P: usize>(
    simd: S,
    x: Lit<'_>,
    d: &[Lane],
    column: usize,
    first: usize,
    into: &mut Sums<'_>,
) {
    let mut columns = [[simd.splat(0.0); N]; P];
    for (p, sums) in columns.iter_mut().enumerate() {
        *sums = into.load(simd, (column + p) * WIDTH + first);
    }
    for row in x.rows::<P>(column) {
        let d = load::<S, N>(simd, &d[row * WIDTH + first..]);
        for (&x, sums) in x.row::<P>(row, column).iter().zip(&mut columns) {
            *sums = add_product(simd, x, d, *sums);
        }
    }
    for (p, sums) in columns.into_iter().enumerate() {
        into.store(simd, (column + p) * WIDTH + first, sums);
    }
}
