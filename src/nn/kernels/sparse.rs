//! Tile products that skip the zeros of their left factor, an input tile `X`.
//!
//! Where registers are wide, four neighbouring columns of `X` are taken together (lit pixels come in clusters): their
//! four rows of the other matrix stay in registers while the rows of `X` with a light in any of them pass by. Where they
//! are narrow, a row of sums fills them, and stays while its lights pass by.

use super::mask::{Mask, QUAD};
use super::{Sums, add_product, load, store};
use crate::nn::simd::{LANES, Lane, Simd, vectorised};

/// An input tile, `m × k`, and where it is not zero.
#[derive(Clone, Copy, Debug)]
pub struct Lit<'a> {
    pub numbers: &'a [f32],
    /// Numbers from row to row.
    pub stride: usize,
    pub k: usize,
    /// Where the block the tile is part of is not zero.
    pub mask: &'a Mask,
    /// The tile's first row in the block.
    pub first: usize,
    /// `m`.
    pub n_rows: usize,
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
    /// Row `row` of the `P` columns from `first` on.
    #[inline(always)]
    fn row<const P: usize>(&self, row: usize, first: usize) -> &[f32; P] {
        self.numbers[row * self.stride + first..].first_chunk().expect("a row is whole")
    }
}

/// The places of the bits that are set, from the lowest on.
struct Lights(u64);

impl Iterator for Lights {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let at = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(at)
    }
}

/// The rows with a light in any of the columns.
#[inline(always)]
fn rows_of(columns: &[u64]) -> Lights {
    let mut rows = 0;
    for column in columns {
        rows |= column;
    }
    Lights(rows)
}

#[inline(always)]
fn forward<S: Simd>(simd: S, x: Lit<'_>, w: &[f32], into: &mut Sums<'_>) {
    assert!(into.decay == 1.0 && into.update.is_none(), "a forward product adds to a bias, and that is all");
    let lanes = into.width / LANES;
    let (w, z) = (w.as_chunks::<LANES>().0, into.tile.as_chunks_mut::<LANES>().0);
    match (lanes, S::WIDTH) {
        (4, 4) => forward_by_quads::<S, 4>(simd, x, w, z),
        (3, 4) => forward_by_quads::<S, 3>(simd, x, w, z),
        (2, 4) => forward_by_quads::<S, 2>(simd, x, w, z),
        (1, 4) => forward_by_quads::<S, 1>(simd, x, w, z),
        (4, _) => forward_by_rows::<S, 4>(simd, x, w, z),
        (3, _) => forward_by_rows::<S, 3>(simd, x, w, z),
        (2, _) => forward_by_rows::<S, 2>(simd, x, w, z),
        (1, _) => forward_by_rows::<S, 1>(simd, x, w, z),
        (lanes, _) => unreachable!("a panel is one to four lanes wide, not {lanes}"),
    }
}

#[inline(always)]
fn forward_by_quads<S: Simd, const N: usize>(simd: S, x: Lit<'_>, w: &[Lane], z: &mut [Lane]) {
    let lit = x.mask.columns(x.k, x.first, x.n_rows);
    let whole = x.k - x.k % QUAD;
    for column in (0..whole).step_by(QUAD) {
        forward_columns::<S, N, QUAD>(simd, x, &lit, column, w, z);
    }
    for column in whole..x.k {
        forward_columns::<S, N, 1>(simd, x, &lit, column, w, z);
    }
}

#[inline(always)]
fn forward_columns<S: Simd, const N: usize, const P: usize>(
    simd: S,
    x: Lit<'_>,
    lit: &[u64],
    column: usize,
    w: &[Lane],
    z: &mut [Lane],
) {
    let mut columns = [[simd.splat(0.0); N]; P];
    for (p, weights) in columns.iter_mut().enumerate() {
        *weights = load(simd, &w[(column + p) * N..]);
    }
    for row in rows_of(&lit[column..][..P]) {
        let z = &mut z[row * N..][..N];
        let mut sums = load::<S, N>(simd, z);
        for (&x, weights) in x.row::<P>(row, column).iter().zip(columns) {
            sums = add_product(simd, x, weights, sums);
        }
        store(simd, sums, z);
    }
}

#[inline(always)]
fn forward_by_rows<S: Simd, const N: usize>(simd: S, x: Lit<'_>, w: &[Lane], z: &mut [Lane]) {
    let w = &w.as_chunks::<N>().0[..x.k];
    let (z, lit) = (z.as_chunks_mut::<N>().0, x.mask.rows(x.first, x.n_rows));
    for (row, (z, &lights)) in z.iter_mut().zip(lit).enumerate() {
        let numbers = &x.numbers[row * x.stride..][..x.k];
        let mut sums = load::<S, N>(simd, z);
        for column in Lights(lights) {
            sums = add_product(simd, numbers[column], load(simd, &w[column]), sums);
        }
        store(simd, sums, z);
    }
}

#[inline(always)]
fn backward<S: Simd>(simd: S, x: Lit<'_>, d: &[f32], into: &mut Sums<'_>) {
    let d = d.as_chunks::<LANES>().0;
    match (into.width / LANES, S::WIDTH) {
        (4, 4) => backward_by_quads::<S, 4>(simd, x, d, into),
        (3, 4) => backward_by_quads::<S, 3>(simd, x, d, into),
        (2, 4) => backward_by_quads::<S, 2>(simd, x, d, into),
        (1, 4) => backward_by_quads::<S, 1>(simd, x, d, into),
        (4, _) => backward_by_columns::<S, 4>(simd, x, d, into),
        (3, _) => backward_by_columns::<S, 3>(simd, x, d, into),
        (2, _) => backward_by_columns::<S, 2>(simd, x, d, into),
        (1, _) => backward_by_columns::<S, 1>(simd, x, d, into),
        (lanes, _) => unreachable!("a panel is one to four lanes wide, not {lanes}"),
    }
}

#[inline(always)]
fn backward_by_quads<S: Simd, const N: usize>(simd: S, x: Lit<'_>, d: &[Lane], into: &mut Sums<'_>) {
    let lit = x.mask.columns(x.k, x.first, x.n_rows);
    let whole = x.k - x.k % QUAD;
    for column in (0..whole).step_by(QUAD) {
        backward_columns::<S, N, QUAD>(simd, x, &lit, column, d, into);
    }
    for column in whole..x.k {
        backward_columns::<S, N, 1>(simd, x, &lit, column, d, into);
    }
}

#[inline(always)]
fn backward_by_columns<S: Simd, const N: usize>(simd: S, x: Lit<'_>, d: &[Lane], into: &mut Sums<'_>) {
    let lit = x.mask.columns(x.k, x.first, x.n_rows);
    for column in 0..x.k {
        backward_columns::<S, N, 1>(simd, x, &lit, column, d, into);
    }
}

#[inline(always)]
fn backward_columns<S: Simd, const N: usize, const P: usize>(
    simd: S,
    x: Lit<'_>,
    lit: &[u64],
    column: usize,
    d: &[Lane],
    into: &mut Sums<'_>,
) {
    let mut columns = [[simd.splat(0.0); N]; P];
    for (p, sums) in columns.iter_mut().enumerate() {
        *sums = into.load(simd, (column + p) * N);
    }
    for row in rows_of(&lit[column..][..P]) {
        let d = load::<S, N>(simd, &d[row * N..]);
        for (&x, sums) in x.row::<P>(row, column).iter().zip(&mut columns) {
            *sums = add_product(simd, x, d, *sums);
        }
    }
    for (p, sums) in columns.into_iter().enumerate() {
        into.store(simd, (column + p) * N, sums);
    }
}
