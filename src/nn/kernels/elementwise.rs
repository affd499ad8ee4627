//! What is done to every number of a tile by itself, and sums down its columns.

use super::VANISHED;
use crate::nn::simd::{LANES, Simd, vectorised};

/// Fills every row of a tile with the same numbers.
pub fn fill_rows(row: &[f32], tile: &mut [f32]) {
    for out in tile.chunks_exact_mut(row.len()) {
        out.copy_from_slice(row);
    }
}

vectorised! {
    /// `z = max(0, z)`; a NaN stays, so that divergence is seen.
    pub fn relu(z: &mut [f32]) = relu_body;
}

#[inline(always)]
fn relu_body<S: Simd>(simd: S, z: &mut [f32]) {
    // by intrinsics: of the plain loop the compiler makes masked stores, which are slow on AMD's AVX2
    let (lanes, rest) = z.as_chunks_mut::<LANES>();
    for lane in lanes {
        simd.store(simd.clip(simd.load(lane)), lane);
    }
    for z in rest {
        *z = if *z < 0.0 { 0.0 } else { *z };
    }
}

vectorised! {
    /// The ReLU's backward half: `dx = 0` wherever the activation was not positive.
    pub fn mask(dx: &mut [f32], activation: &[f32]) = mask_body;
}

#[inline(always)]
fn mask_body<S: Simd>(simd: S, dx: &mut [f32], activation: &[f32]) {
    debug_assert_eq!(dx.len(), activation.len());
    let ((dx, dx_rest), (a, a_rest)) = (dx.as_chunks_mut::<LANES>(), activation.as_chunks::<LANES>());
    for (dx, a) in dx.iter_mut().zip(a) {
        simd.store(simd.where_positive(simd.load(dx), simd.load(a)), dx);
    }
    for (dx, &a) in dx_rest.iter_mut().zip(a_rest) {
        *dx = if a > 0.0 { *dx } else { 0.0 };
    }
}

vectorised! {
    /// `sums = decay · sums + Σ rows` of a row-major tile.
    pub fn sum_rows(tile: &[f32], decay: f32, sums: &mut [f32]) = sum_rows_body;
}

#[inline(always)]
fn sum_rows_body<S: Simd>(_: S, tile: &[f32], decay: f32, sums: &mut [f32]) {
    sums.iter_mut().for_each(|sum| *sum = if decay == 0.0 { 0.0 } else { decay * *sum });
    for row in tile.chunks_exact(sums.len()) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
}

vectorised! {
    /// `y += a · x`.
    pub fn add_scaled(a: f32, x: &[f32], y: &mut [f32]) = add_scaled_body;
}

#[inline(always)]
fn add_scaled_body<S: Simd>(_: S, a: f32, x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = S::mul_add(a, x, *y);
    }
}

vectorised! {
    /// Writes the transpose of a tile (`rows × width`) to `out` (`width × rows.next_multiple_of(lane)`).
    pub fn transpose(tile: &[f32], width: usize, out_width: usize, out: &mut [f32]) = transpose_body;
}

#[inline(always)]
fn transpose_body<S: Simd>(_: S, tile: &[f32], width: usize, out_width: usize, out: &mut [f32]) {
    for (column, out) in out.chunks_exact_mut(out_width).take(width).enumerate() {
        for (out, row) in out.iter_mut().zip(tile.chunks_exact(width)) {
            *out = row[column];
        }
    }
}

vectorised! {
    /// `Σ x²` in f64, in [`SUMS`] sums of every so many numbers, added up in order at the end.
    pub fn sum_squares(x: &[f32]) -> f64 = sum_squares_body;
}

/// Sums kept side by side, so that no addition waits for the one before it.
const SUMS: usize = 16;

#[inline(always)]
fn sum_squares_body<S: Simd>(_: S, x: &[f32]) -> f64 {
    let mut sums = [0.0f64; SUMS];
    let (chunks, rest) = x.as_chunks::<SUMS>();
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(value) * f64::from(value);
        }
    }
    for (sum, &value) in sums.iter_mut().zip(rest) {
        *sum += f64::from(value) * f64::from(value);
    }
    sums.iter().sum()
}

vectorised! {
    /// `v = momentum·v + scale·gradient`, then `w -= learning_rate·v`. Vanished velocities become zero: below the normal
    /// numbers arithmetic is slow.
    pub fn descend(
        gradient: &[f32],
        scale: f32,
        momentum: f32,
        learning_rate: f32,
        velocity: &mut [f32],
        weights: &mut [f32],
    ) = descend_body;
}

#[inline(always)]
fn descend_body<S: Simd>(
    _: S,
    gradient: &[f32],
    scale: f32,
    momentum: f32,
    learning_rate: f32,
    velocity: &mut [f32],
    weights: &mut [f32],
) {
    for ((v, w), &g) in velocity.iter_mut().zip(weights).zip(gradient) {
        let moved = S::mul_add(scale, g, momentum * *v);
        *v = if moved.abs() < VANISHED { 0.0 } else { moved };
        *w = S::mul_add(-learning_rate, *v, *w);
    }
}

vectorised! {
    /// `x = x²`.
    pub fn square(x: &mut [f32]) = square_body;
}

#[inline(always)]
fn square_body<S: Simd>(_: S, x: &mut [f32]) {
    for x in x {
        *x *= *x;
    }
}
