//! Tile products whose sums stay in registers: four to eight rows by up to four lanes.

use super::{Sums, add_product, load};
use crate::nn::simd::{LANES, Lane, Simd, vectorised};

/// The left factor, `m × k`; its transpose has the strides swapped.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a> {
    pub numbers: &'a [f32],
    pub row_stride: usize,
    pub col_stride: usize,
}

vectorised! {
    /// `C = decay · C + A · B`: `m × width`, from `A` (`m × k`) and `B` (`k × width`).
    ///
    /// # Panics
    ///
    /// If `A` is too short, or `C` is not one to four lanes wide.
    pub fn product(a: Left<'_>, b: &[f32], into: &mut Sums<'_>) = body;
}

#[inline(always)]
fn body<S: Simd>(simd: S, a: Left<'_>, b: &[f32], into: &mut Sums<'_>) {
    let b = b.as_chunks::<LANES>().0;
    match (into.width / LANES, S::WIDTH) {
        (4, 4) => by_rows::<S, 4, 4>(simd, a, b, 0, into),
        (3, 4) => by_rows::<S, 3, 3>(simd, a, b, 0, into),
        (2, 4) => by_rows::<S, 2, 2>(simd, a, b, 0, into),
        (1, _) => by_rows::<S, 1, 1>(simd, a, b, 0, into),
        (4, _) => lane_by_lane::<S, 4>(simd, a, b, into),
        (3, _) => lane_by_lane::<S, 3>(simd, a, b, into),
        (2, _) => lane_by_lane::<S, 2>(simd, a, b, into),
        (lanes, _) => unreachable!("a panel is one to four lanes wide, not {lanes}"),
    }
}

#[inline(always)]
fn lane_by_lane<S: Simd, const WIDTH: usize>(simd: S, a: Left<'_>, b: &[Lane], into: &mut Sums<'_>) {
    for lane in 0..WIDTH {
        by_rows::<S, WIDTH, 1>(simd, a, b, lane, into);
    }
}

/// All rows of `N` lanes, from lane `first` of rows that are `WIDTH` lanes wide.
#[inline(always)]
fn by_rows<S: Simd, const WIDTH: usize, const N: usize>(
    simd: S,
    a: Left<'_>,
    b: &[Lane],
    first: usize,
    into: &mut Sums<'_>,
) {
    let m = into.n_rows();
    let mut row = 0;
    // 24 registers of sums, four of `b`, one of `a`; or eight sums, enough to hide an addition's latency
    if N < 4 && S::WIDTH == 4 {
        while row + 8 <= m {
            tile::<S, 8, WIDTH, N>(simd, a, b, first, row, into);
            row += 8;
        }
    }
    while row + 6 <= m {
        tile::<S, 6, WIDTH, N>(simd, a, b, first, row, into);
        row += 6;
    }
    while row + 4 <= m {
        tile::<S, 4, WIDTH, N>(simd, a, b, first, row, into);
        row += 4;
    }
    while row < m {
        tile::<S, 1, WIDTH, N>(simd, a, b, first, row, into);
        row += 1;
    }
}

#[inline(always)]
fn tile<S: Simd, const ROWS: usize, const WIDTH: usize, const N: usize>(
    simd: S,
    a: Left<'_>,
    b: &[Lane],
    first: usize,
    row: usize,
    into: &mut Sums<'_>,
) {
    let mut sums = [[simd.splat(0.0); N]; ROWS];
    for (r, sums) in sums.iter_mut().enumerate() {
        *sums = into.load(simd, (row + r) * WIDTH + first);
    }
    for (k, b) in b.as_chunks::<WIDTH>().0.iter().enumerate() {
        let b = load::<S, N>(simd, &b[first..]);
        for (r, sums) in sums.iter_mut().enumerate() {
            let x = a.numbers[(row + r) * a.row_stride + k * a.col_stride];
            *sums = add_product(simd, x, b, *sums);
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        into.store(simd, (row + r) * WIDTH + first, sums);
    }
}
