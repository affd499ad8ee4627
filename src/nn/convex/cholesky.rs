//! The Cholesky factorisation of a symmetric positive definite matrix, in blocks.

use super::parts::triangle_bands;
use super::product::dot;
use std::num::NonZeroUsize;
use std::ops::Range;

/// Rows eliminated together: what they subtract from the rest is a product of matrices.
const BLOCK: usize = 32;
/// Of those, how many are subtracted in one pass over a row.
const UNROLL: usize = 8;

/// `U` of `A = UᵀU`, upper triangular, row-major; what is below the diagonal means nothing.
#[derive(Debug)]
pub(super) struct Cholesky {
    n: usize,
    upper: Vec<f64>,
}

impl Cholesky {
    /// Factors `a`, `n × n` row-major, of which only the upper triangle is read.
    ///
    /// `None` when a pivot is not a positive number: `a` is not positive definite to working precision.
    pub(super) fn factor(mut a: Vec<f64>, n: usize, n_threads: NonZeroUsize) -> Option<Self> {
        debug_assert_eq!(a.len(), n * n);
        for start in (0..n).step_by(BLOCK) {
            let end = (start + BLOCK).min(n);
            let (block, rest) = a[start * n..].split_at_mut((end - start) * n);
            eliminate_block(block, start, n)?;
            subtract(block, rest, start..end, n, n_threads);
        }
        Some(Self { n, upper: a })
    }

    /// Replaces each right-hand side, `n` numbers one after another, by its solution.
    pub(super) fn solve(&self, sides: &mut [f64]) {
        let n = self.n;
        for k in 0..n {
            let row = &self.upper[k * n..][..n];
            for side in sides.chunks_exact_mut(n) {
                let (head, tail) = side.split_at_mut(k + 1);
                head[k] /= row[k];
                let y = head[k];
                tail.iter_mut().zip(&row[k + 1..]).for_each(|(b, u)| *b -= y * u);
            }
        }
        for k in (0..n).rev() {
            let row = &self.upper[k * n..][..n];
            for side in sides.chunks_exact_mut(n) {
                side[k] = (side[k] - dot(&row[k + 1..], &side[k + 1..])) / row[k];
            }
        }
    }
}

/// Makes rows of `U` out of some rows from which all earlier ones have been subtracted. `block` begins at row and
/// column `start`'s row.
fn eliminate_block(block: &mut [f64], start: usize, n: usize) -> Option<()> {
    for k in 0..block.len() / n {
        let (done, row) = block.split_at_mut(k * n);
        let row = &mut row[start + k..n];
        for earlier in done.chunks_exact(n) {
            let earlier = &earlier[start + k..];
            let factor = earlier[0];
            row.iter_mut().zip(earlier).for_each(|(a, u)| *a -= factor * u);
        }
        let pivot = row[0];
        if !(pivot > 0.0 && pivot.is_finite()) {
            return None;
        }
        let root = pivot.sqrt();
        row.iter_mut().for_each(|a| *a /= root);
    }
    Some(())
}

/// `A ← A − BᵀB` for the rows below a finished block `B`; each row by itself, so threads decide no bit.
fn subtract(block: &[f64], rest: &mut [f64], done: Range<usize>, n: usize, n_threads: NonZeroUsize) {
    let bands = triangle_bands(done.end..n, n_threads.get());
    std::thread::scope(|scope| {
        let mut rest = rest;
        for (number, band) in (1..).zip(bands) {
            let (rows, tail) = std::mem::take(&mut rest).split_at_mut(band.len() * n);
            rest = tail;
            let work = move || {
                for (i, row) in band.zip(rows.chunks_exact_mut(n)) {
                    subtract_from_row(block, &mut row[i..], i, n);
                }
            };
            if number == n_threads.get() {
                work();
            } else {
                scope.spawn(work);
            }
        }
    });
}

/// `row` is columns `i..` of row `i`.
fn subtract_from_row(block: &[f64], row: &mut [f64], i: usize, n: usize) {
    let mut groups = block.chunks_exact(UNROLL * n);
    for group in groups.by_ref() {
        let lines: [&[f64]; UNROLL] = std::array::from_fn(|k| &group[k * n + i..(k + 1) * n][..row.len()]);
        let factors: [f64; UNROLL] = std::array::from_fn(|k| lines[k][0]);
        for (j, a) in row.iter_mut().enumerate() {
            let mut sum = 0.0;
            for k in 0..UNROLL {
                sum += factors[k] * lines[k][j];
            }
            *a -= sum;
        }
    }
    for line in groups.remainder().chunks_exact(n) {
        let factor = line[i];
        row.iter_mut().zip(&line[i..]).for_each(|(a, u)| *a -= factor * u);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::hash::{Purpose, keyed_hash};

    /// In `[-1, 1)`.
    fn number(i: usize, j: usize) -> f64 {
        (keyed_hash(3, Purpose::Probe, i as u32, j as u32) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// `RᵀR + I/10`.
    fn positive_definite(n: usize) -> Vec<f64> {
        let entry = |i: usize, j: usize| {
            let sum: f64 = (0..n).map(|k| number(k, i) * number(k, j)).sum();
            sum + if i == j { 0.1 } else { 0.0 }
        };
        (0..n * n).map(|at| entry(at / n, at % n)).collect()
    }

    #[test]
    fn a_solution_put_into_the_equations_gives_the_right_hand_side() {
        for n in [1, 2, 7, BLOCK, BLOCK + 1, 3 * BLOCK + 11] {
            let a = positive_definite(n);
            let wanted: Vec<f64> = (0..2 * n).map(|i| number(900, i)).collect();
            let factor = Cholesky::factor(a.clone(), n, NonZeroUsize::MIN).unwrap();
            let mut x = wanted.clone();
            factor.solve(&mut x);
            for (x, b) in x.chunks(n).zip(wanted.chunks(n)) {
                for i in 0..n {
                    let got: f64 = (0..n).map(|j| a[i * n + j] * x[j]).sum();
                    assert!((got - b[i]).abs() < 1e-9, "n = {n}, row {i}: {got} {}", b[i]);
                }
            }
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_factor() {
        let n = 150;
        let factor = |n_threads| {
            let n_threads = NonZeroUsize::new(n_threads).unwrap();
            Cholesky::factor(positive_definite(n), n, n_threads).unwrap().upper
        };
        let alone = factor(1);
        assert!(factor(2) == alone && factor(5) == alone);
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_is_refused() {
        assert!(Cholesky::factor(vec![1.0, 2.0, 2.0, 1.0], 2, NonZeroUsize::MIN).is_none());
        assert!(Cholesky::factor(vec![f64::NAN], 1, NonZeroUsize::MIN).is_none());
    }
}
