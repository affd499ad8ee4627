//! The matrix product. The only file that calls the GEMM library.
//!
//! One contract: `dst (m×n) = α · lhs (m×k) · rhs (k×n) + β · dst`, all in f32.

/// A borrowed matrix; a transpose only swaps its strides.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a> {
    data: &'a [f32],
    n_rows: usize,
    n_cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> MatRef<'a> {
    /// Views `data` as a row-major matrix.
    ///
    /// # Panics
    ///
    /// If `data` does not hold exactly `n_rows × n_cols` numbers.
    #[track_caller]
    pub fn row_major(data: &'a [f32], n_rows: usize, n_cols: usize) -> Self {
        assert_eq!(data.len(), n_rows * n_cols, "matrix data is not {n_rows}×{n_cols}");
        Self { data, n_rows, n_cols, row_stride: n_cols, col_stride: 1 }
    }

    /// The transposed view.
    pub fn t(self) -> Self {
        Self {
            n_rows: self.n_cols,
            n_cols: self.n_rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// Computes `dst = alpha · lhs · rhs + beta · dst` into a row-major slice.
///
/// With `beta` zero `dst` is not read. The order of every sum depends on the shapes and the kernel
/// family alone, so the same call gives the same bits on every machine of that family.
///
/// # Accuracy
///
/// For inner dimension `k`: `|error| ≤ (k + 3)·ε·(|α|·Σ|lhs||rhs| + |β·dst|)`, ε = 2⁻²³; held by test.
///
/// # Panics
///
/// If the inner dimensions differ or `dst` does not have the product's size.
#[track_caller]
pub fn matmul(alpha: f32, lhs: MatRef<'_>, rhs: MatRef<'_>, beta: f32, dst: &mut [f32]) {
    let (m, k, n) = (lhs.n_rows, lhs.n_cols, rhs.n_cols);
    assert_eq!(k, rhs.n_rows, "inner dimensions differ: {m}×{k} · {}×{n}", rhs.n_rows);
    assert_eq!(dst.len(), m * n, "dst is not {m}×{n}");
    let stride = |stride: usize| isize::try_from(stride).expect("a slice's length fits isize");

    #[expect(unsafe_code, reason = "the library takes pointers and strides")]
    // SAFETY: `row_major` checked that `n_rows * n_cols` elements are there and `t` only swaps
    // dimensions together with strides, so `r * row_stride + c * col_stride` stays inside for every
    // `r < n_rows`, `c < n_cols`; `dst` holds `m * n` elements, is addressed row-major, and being
    // `&mut` overlaps neither operand.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            alpha,
            lhs.data.as_ptr(),
            stride(lhs.row_stride),
            stride(lhs.col_stride),
            rhs.data.as_ptr(),
            stride(rhs.row_stride),
            stride(rhs.col_stride),
            beta,
            dst.as_mut_ptr(),
            stride(n),
            1,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(m: MatRef<'_>, row: usize, col: usize) -> f64 {
        f64::from(m.data[row * m.row_stride + col * m.col_stride])
    }

    /// The definition in f64, with the magnitude its error bound needs.
    fn check(alpha: f32, lhs: MatRef<'_>, rhs: MatRef<'_>, beta: f32, before: &[f32], after: &[f32]) {
        for row in 0..lhs.n_rows {
            for col in 0..rhs.n_cols {
                let terms = (0..lhs.n_cols).map(|i| at(lhs, row, i) * at(rhs, i, col));
                let (sum, magnitude) =
                    terms.fold((0.0, 0.0), |(sum, magnitude), term| (sum + term, magnitude + term.abs()));
                let cell = row * rhs.n_cols + col;
                let old = if beta == 0.0 { 0.0 } else { f64::from(beta) * f64::from(before[cell]) };
                let want = f64::from(alpha) * sum + old;
                let scale = f64::from(alpha).abs() * magnitude + old.abs();
                let bound = (lhs.n_cols as f64 + 3.0) * f64::from(f32::EPSILON) * scale;
                let got = f64::from(after[cell]);
                assert!((got - want).abs() <= bound, "({row}, {col}): {got}, want {want} ± {bound}");
            }
        }
    }

    fn numbers(len: usize, seed: u64) -> Vec<f32> {
        use rand::{Rng, SeedableRng};
        let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
        (0..len).map(|_| (rng.next_u32() % 2001) as f32 / 1000.0 - 1.0).collect()
    }

    fn agree(m: usize, k: usize, n: usize, transposed: (bool, bool), alpha: f32, beta: f32, seed: u64) {
        let (a, b) = (numbers(m * k, seed), numbers(k * n, seed + 1));
        let lhs = if transposed.0 { MatRef::row_major(&a, k, m).t() } else { MatRef::row_major(&a, m, k) };
        let rhs = if transposed.1 { MatRef::row_major(&b, n, k).t() } else { MatRef::row_major(&b, k, n) };
        // beta = 0 must not read what was there
        let before = if beta == 0.0 { vec![f32::NAN; m * n] } else { numbers(m * n, seed + 2) };
        let mut after = before.clone();
        matmul(alpha, lhs, rhs, beta, &mut after);
        check(alpha, lhs, rhs, beta, &before, &after);
    }

    proptest! {
        #[test]
        fn products_of_any_shape_agree_with_the_definition(
            m in 0usize..40, k in 0usize..40, n in 0usize..40,
            transposed: (bool, bool), alpha in -2.0f32..2.0, beta in prop::sample::select(vec![0.0f32, 1.0, 0.9]),
            seed: u64,
        ) {
            agree(m, k, n, transposed, alpha, beta, seed >> 1);
        }
    }

    #[test]
    fn products_at_the_sizes_of_training_agree_with_the_definition() {
        for (m, k, n) in [(1, 784, 256), (64, 784, 256), (784, 64, 256), (63, 257, 10), (5, 1, 300)] {
            agree(m, k, n, (false, false), 1.0, 0.0, 3);
            agree(m, k, n, (true, true), 1.0, 0.9, 4);
        }
    }

    #[test]
    fn a_row_of_the_product_does_not_depend_on_how_many_rows_there_are() {
        let (k, n) = (784, 256);
        let (a, b) = (numbers(65 * k, 1), numbers(k * n, 2));
        let product = |m: usize| {
            let mut dst = vec![0.0; m * n];
            matmul(1.0, MatRef::row_major(&a[..m * k], m, k), MatRef::row_major(&b, k, n), 0.0, &mut dst);
            dst[..n].to_vec()
        };
        let alone = product(1);
        for m in [2, 3, 14, 15, 64, 65] {
            assert_eq!(product(m), alone, "{m} rows");
        }
    }

    #[test]
    #[should_panic(expected = "inner dimensions differ: 2×3 · 2×2")]
    fn mismatched_shapes_are_named() {
        matmul(
            1.0,
            MatRef::row_major(&[0.0; 6], 2, 3),
            MatRef::row_major(&[0.0; 4], 2, 2),
            0.0,
            &mut [0.0; 4],
        );
    }
}
