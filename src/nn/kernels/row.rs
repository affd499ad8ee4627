//! The product of a single row: of the other matrix, only the rows are read that meet a number which is not zero.

use super::{add_product, load, store};
use crate::nn::samples::BYTE_SCALE;
use crate::nn::simd::{LANES, Lane, Simd, vectorised};

/// A number of the row that is not zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct Term {
    pub at: u32,
    pub x: f32,
}

/// Collects the numbers of a row that are not zero, in order, at the beginning of `terms`, and tells how many there are.
///
/// # Panics
///
/// If `terms` is shorter than the row.
pub fn collect<T: Copy>(row: &[T], see: impl Fn(T) -> f32, terms: &mut [Term]) -> usize {
    let mut n = 0;
    for (at, &value) in row.iter().enumerate() {
        let x = see(value);
        // written in any case: there is no telling zeros from others ahead of time, and no branch to guess wrong
        terms[n] = Term { at: at as u32, x };
        n += usize::from(x != 0.0);
    }
    n
}

/// [`collect`] of image bytes: most of an image is dark, and dark in one piece.
///
/// # Panics
///
/// If `terms` is shorter than the row.
pub fn collect_bytes(row: &[u8], terms: &mut [Term]) -> usize {
    let mut n = 0;
    for (chunk, bytes) in row.chunks(size_of::<u64>()).enumerate() {
        if bytes.iter().all(|&byte| byte == 0) {
            continue;
        }
        let first = chunk * size_of::<u64>();
        let found = collect(bytes, |byte| f32::from(byte) * BYTE_SCALE, &mut terms[n..]);
        terms[n..n + found].iter_mut().for_each(|term| term.at += first as u32);
        n += found;
    }
    n
}

vectorised! {
    /// `z += x · W`: `width`, from the terms of `x` and `W` (`k × width`).
    ///
    /// # Panics
    ///
    /// If a term lies outside of `W`, or `z` is not one to four lanes wide.
    pub fn product(terms: &[Term], w: &[f32], z: &mut [f32]) = body;
}

#[inline(always)]
fn body<S: Simd>(simd: S, terms: &[Term], w: &[f32], z: &mut [f32]) {
    let (w, z) = (w.as_chunks::<LANES>().0, z.as_chunks_mut::<LANES>().0);
    // a single row of sums fits into the registers of every instruction set
    match z.len() {
        4 => lanes::<S, 4>(simd, terms, w, z),
        3 => lanes::<S, 3>(simd, terms, w, z),
        2 => lanes::<S, 2>(simd, terms, w, z),
        1 => lanes::<S, 1>(simd, terms, w, z),
        lanes => unreachable!("a panel is one to four lanes wide, not {lanes}"),
    }
}

#[inline(always)]
fn lanes<S: Simd, const N: usize>(simd: S, terms: &[Term], w: &[Lane], z: &mut [Lane]) {
    let w = w.as_chunks::<N>().0;
    let mut sums = load::<S, N>(simd, z);
    for term in terms {
        sums = add_product(simd, term.x, load(simd, &w[term.at as usize]), sums);
    }
    store(simd, sums, z);
}
