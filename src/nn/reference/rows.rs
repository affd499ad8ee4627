//! What is done to rows of weights and their velocities, panel by panel: images projected on them, and updates.
//!
//! Everything here is a matrix of pairs: row `2r` and row `2r + 1` of its panels are `w` and `v` of row `r`
//! (or `a` and `c`, `−Q` and `P` of image `r`), so that a pair is one stretch of memory.

use super::images::{Images, Light, Row, WORD};
use crate::nn::kernels::VANISHED;
use crate::nn::simd::{LANES, Lane, Simd, vectorised};

/// Runs `body::<S, WIDTH, N>(simd, first, …)` for all lanes of rows `WIDTH` lanes wide, `N` at a time.
macro_rules! by_lanes {
    ($simd:ident: $s:ident, $width:expr, $body:ident($($arg:expr),*)) => {
        match ($width / LANES, $s::WIDTH) {
            (4, 4) => $body::<$s, 4, 4>($simd, 0, $($arg),*),
            (3, 4) => $body::<$s, 3, 3>($simd, 0, $($arg),*),
            (4, _) => {
                $body::<$s, 4, 2>($simd, 0, $($arg),*);
                $body::<$s, 4, 2>($simd, 2, $($arg),*);
            }
            (3, _) => {
                $body::<$s, 3, 2>($simd, 0, $($arg),*);
                $body::<$s, 3, 1>($simd, 2, $($arg),*);
            }
            (2, _) => $body::<$s, 2, 2>($simd, 0, $($arg),*),
            (1, _) => $body::<$s, 1, 1>($simd, 0, $($arg),*),
            _ => unreachable!("a panel is one to four lanes wide"),
        }
    };
}

vectorised! {
    /// `a = x·W`, `c = x·V` for every image: a panel of `(w, v)` gives one of `(a, c)`.
    pub(super) fn project(images: &Images, width: usize, rows: &[f32], sums: &mut [f32]) = project_body;
}

#[inline(always)]
fn project_body<S: Simd>(simd: S, images: &Images, width: usize, rows: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    by_lanes!(simd: S, width, project_lanes(images, rows, sums));
}

#[inline(always)]
fn project_lanes<S: Simd, const WIDTH: usize, const N: usize>(
    simd: S,
    first: usize,
    images: &Images,
    rows: &[f32],
    sums: &mut [f32],
) {
    let (rows, sums) = (pairs::<WIDTH>(rows), pairs_mut::<WIDTH>(sums));
    // 64 rows at a time for all images: they stay in the first-level cache
    for (number, rows) in rows.chunks(WORD).enumerate() {
        for (image, sums) in sums.iter_mut().enumerate().take(images.len()) {
            let mut lit = images.words(image)[number];
            if lit == 0 {
                continue;
            }
            let x = &images.x(image)[number * WORD..][..WORD];
            let [mut a, mut c] = load_pair::<S, WIDTH, N>(simd, first, sums);
            while lit != 0 {
                let row = lit.trailing_zeros() as usize % WORD;
                lit &= lit - 1;
                let x = simd.splat(x[row]);
                let [w, v] = &rows[row];
                let (w, v) = (&w[first..][..N], &v[first..][..N]);
                for n in 0..N {
                    a[n] = simd.fma(x, simd.load(&w[n]), a[n]);
                    c[n] = simd.fma(x, simd.load(&v[n]), c[n]);
                }
            }
            store_pair(simd, first, [a, c], sums);
        }
    }
}

vectorised! {
    /// `w' = w − S·v − Σ x·Q`, `v' = μᵏ·v + Σ x·P` for some rows of a panel, over their lights; `decay` is
    /// `(μᵏ, S)`, `steps` the panel of `(−Q, P)`.
    pub(super) fn update(
        images_of: (&[Row], &[Light]),
        decay: (f32, f32),
        steps: &[f32],
        width: usize,
        rows: &mut [f32],
    ) = update_body;
}

#[inline(always)]
fn update_body<S: Simd>(
    simd: S,
    images_of: (&[Row], &[Light]),
    decay: (f32, f32),
    steps: &[f32],
    width: usize,
    rows: &mut [f32],
) {
    by_lanes!(simd: S, width, update_lanes(images_of, decay, steps, rows));
}

#[inline(always)]
fn update_lanes<S: Simd, const WIDTH: usize, const N: usize>(
    simd: S,
    first: usize,
    (lit_rows, lights): (&[Row], &[Light]),
    decay: (f32, f32),
    steps: &[f32],
    rows: &mut [f32],
) {
    let (rows, steps) = (pairs_mut::<WIDTH>(rows), pairs::<WIDTH>(steps));
    for row in lit_rows {
        let pair = &mut rows[row.row as usize];
        let [mut w, mut v] = decayed::<S, WIDTH, N>(simd, first, decay, pair);
        for light in &lights[row.first as usize..][..row.n as usize] {
            let x = simd.splat(light.value);
            let [q, p] = &steps[light.image as usize];
            let (q, p) = (&q[first..][..N], &p[first..][..N]);
            for n in 0..N {
                v[n] = simd.fma(x, simd.load(&p[n]), v[n]);
                w[n] = simd.fma(x, simd.load(&q[n]), w[n]);
            }
        }
        store_pair(simd, first, [w, flushed(simd, v)], pair);
    }
}

/// A row whose pixel has been dark: which, and `(μᵏ, S)` over the updates it has missed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missed {
    pub(super) row: u32,
    pub(super) decay: (f32, f32),
}

vectorised! {
    /// `w' = w − S·v`, `v' = μᵏ·v` for rows that have missed updates.
    pub(super) fn catch_up(missed: &[Missed], width: usize, rows: &mut [f32]) = catch_up_body;
}

#[inline(always)]
fn catch_up_body<S: Simd>(simd: S, missed: &[Missed], width: usize, rows: &mut [f32]) {
    by_lanes!(simd: S, width, catch_up_lanes(missed, rows));
}

#[inline(always)]
fn catch_up_lanes<S: Simd, const WIDTH: usize, const N: usize>(
    simd: S,
    first: usize,
    missed: &[Missed],
    rows: &mut [f32],
) {
    let rows = pairs_mut::<WIDTH>(rows);
    for missed in missed {
        let pair = &mut rows[missed.row as usize];
        let [w, v] = decayed::<S, WIDTH, N>(simd, first, missed.decay, pair);
        store_pair(simd, first, [w, flushed(simd, v)], pair);
    }
}

/// The two rows of a pair in a panel.
type Pair<const WIDTH: usize> = [[Lane; WIDTH]; 2];

#[inline(always)]
fn pairs<const WIDTH: usize>(panel: &[f32]) -> &[Pair<WIDTH>] {
    panel.as_chunks::<LANES>().0.as_chunks::<WIDTH>().0.as_chunks::<2>().0
}

#[inline(always)]
fn pairs_mut<const WIDTH: usize>(panel: &mut [f32]) -> &mut [Pair<WIDTH>] {
    panel.as_chunks_mut::<LANES>().0.as_chunks_mut::<WIDTH>().0.as_chunks_mut::<2>().0
}

/// `N` lanes of both rows of a pair, from lane `first`.
#[inline(always)]
fn load_pair<S: Simd, const WIDTH: usize, const N: usize>(
    simd: S,
    first: usize,
    pair: &Pair<WIDTH>,
) -> [[S::Register; N]; 2] {
    let mut registers = [[simd.splat(0.0); N]; 2];
    for (registers, row) in registers.iter_mut().zip(pair) {
        for (register, lane) in registers.iter_mut().zip(&row[first..][..N]) {
            *register = simd.load(lane);
        }
    }
    registers
}

#[inline(always)]
fn store_pair<S: Simd, const WIDTH: usize, const N: usize>(
    simd: S,
    first: usize,
    registers: [[S::Register; N]; 2],
    pair: &mut Pair<WIDTH>,
) {
    for (registers, row) in registers.into_iter().zip(pair) {
        for (register, lane) in registers.into_iter().zip(&mut row[first..][..N]) {
            simd.store(register, lane);
        }
    }
}

/// `w − S·v` and `μᵏ·v`.
#[inline(always)]
fn decayed<S: Simd, const WIDTH: usize, const N: usize>(
    simd: S,
    first: usize,
    (power, sum): (f32, f32),
    pair: &Pair<WIDTH>,
) -> [[S::Register; N]; 2] {
    let [mut w, mut v] = load_pair::<S, WIDTH, N>(simd, first, pair);
    let (power, back) = (simd.splat(power), simd.splat(-sum));
    for n in 0..N {
        w[n] = simd.fma(back, v[n], w[n]);
        v[n] = simd.mul(power, v[n]);
    }
    [w, v]
}

#[inline(always)]
fn flushed<S: Simd, const N: usize>(simd: S, mut v: [S::Register; N]) -> [S::Register; N] {
    for v in &mut v {
        *v = simd.flush(*v, VANISHED);
    }
    v
}
