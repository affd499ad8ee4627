//! The inner loops: sums of products over tiles of at most [`BLOCK`](super::panels::BLOCK) rows and
//! [`PANEL`](super::panels::PANEL) columns.
//!
//! Every cell of a product is one sum, taken in the order of its inner index, each step a fused
//! multiply-add. Lanes run along a row of cells. So neither the width of registers, nor how cells are cut
//! into tiles and shared out among threads, nor whether zeros are skipped decides a single bit:
//!
//! ```text
//! c ← fma(aₖ, bₖ, c)   for k = 0, 1, 2, …         (adding 0·b changes nothing)
//! ```
//!
//! [`dense`] keeps sums in registers; [`sparse`] walks over the cells whose left factor is not zero, found by
//! [`mask`]; [`row`] does for a row by itself. [`elementwise`] is everything else.

pub(super) mod dense;
pub(super) mod elementwise;
pub(super) mod gather;
pub(super) mod mask;
pub(super) mod row;
pub(super) mod sparse;
#[cfg(test)]
mod tests;

use super::simd::{LANES, Lane, Simd};

/// Velocities below this are set to zero: 2⁻¹⁰². The velocity of a weight whose input stays dark decays for ever,
/// and arithmetic on subnormal numbers is slower by two orders of magnitude, while what moves a weight by less
/// than 2⁻¹⁰² has long stopped to matter.
pub(super) const VANISHED: f32 = f32::MIN_POSITIVE * 16_777_216.0;

/// Where the sums of a product go: a tile whose rows are one to four lanes wide.
///
/// ```text
/// c ← decay · c + Σ …        with decay zero the old content is not read
/// ```
#[derive(Debug)]
pub(super) struct Sums<'a> {
    pub(super) tile: &'a mut [f32],
    /// Numbers in a row.
    pub(super) width: usize,
    pub(super) decay: f32,
    /// What follows when the tile is a velocity and its gradient is complete.
    pub(super) update: Option<Update<'a>>,
}

/// The update of weights by their velocity, made while both are at hand:
///
/// ```text
/// v ← v + λ·w, zero if |v| < 2⁻¹⁰²;   w ← w − η·v
/// ```
#[derive(Debug)]
pub(super) struct Update<'a> {
    /// As long as the tile of `v`.
    pub(super) weights: &'a mut [f32],
    pub(super) learning_rate: f32,
    pub(super) weight_decay: f32,
}

impl Sums<'_> {
    /// Rows of the tile.
    fn n_rows(&self) -> usize {
        self.tile.len() / self.width
    }

    /// `N` lanes from lane `at` on, decayed.
    #[inline(always)]
    fn load<S: Simd, const N: usize>(&self, simd: S, at: usize) -> [S::Register; N] {
        let mut registers = [simd.splat(0.0); N];
        if self.decay != 0.0 {
            let factor = simd.splat(self.decay);
            let tile = &self.tile.as_chunks::<LANES>().0[at..][..N];
            for (register, lane) in registers.iter_mut().zip(tile) {
                *register = simd.mul(factor, simd.load(lane));
            }
        }
        registers
    }

    /// Writes `N` lanes from lane `at` on, and makes the update they take part in.
    #[inline(always)]
    fn store<S: Simd, const N: usize>(&mut self, simd: S, at: usize, mut sums: [S::Register; N]) {
        if let Some(update) = &mut self.update {
            let weights = &mut update.weights.as_chunks_mut::<LANES>().0[at..][..N];
            let back = simd.splat(-update.learning_rate);
            for (velocity, weights) in sums.iter_mut().zip(weights) {
                let weight = simd.load(weights);
                if update.weight_decay != 0.0 {
                    *velocity = simd.fma(simd.splat(update.weight_decay), weight, *velocity);
                }
                *velocity = simd.flush(*velocity, VANISHED);
                simd.store(simd.fma(back, *velocity, weight), weights);
            }
        }
        store(simd, sums, &mut self.tile.as_chunks_mut::<LANES>().0[at..]);
    }
}

// No closures from here on: what is inside one is compiled for itself first, without the instruction set that
// its caller has, and may stay so.

#[inline(always)]
fn load<S: Simd, const N: usize>(simd: S, from: &[Lane]) -> [S::Register; N] {
    let from = &from[..N];
    let mut registers = [simd.splat(0.0); N];
    for (register, lane) in registers.iter_mut().zip(from) {
        *register = simd.load(lane);
    }
    registers
}

#[inline(always)]
fn store<S: Simd, const N: usize>(simd: S, registers: [S::Register; N], to: &mut [Lane]) {
    for (register, lane) in registers.into_iter().zip(&mut to[..N]) {
        simd.store(register, lane);
    }
}

/// `sums + x · row`.
#[inline(always)]
fn add_product<S: Simd, const N: usize>(
    simd: S,
    x: f32,
    row: [S::Register; N],
    sums: [S::Register; N],
) -> [S::Register; N] {
    let x = simd.splat(x);
    let mut added = sums;
    for (sum, number) in added.iter_mut().zip(row) {
        *sum = simd.fma(x, number, *sum);
    }
    added
}
