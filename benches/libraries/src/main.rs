//! `lethe-libraries LIBRARY PRODUCT BATCH` prints how many GFLOP/s a library reaches, on one thread.
//!
//! Products: `forward`, `Z = X·W`, and `gradient`, `V = 0.9·V + Xᵀ·D`, with `X` batch × 784, `W` and `V` 784 × 256,
//! `D` and `Z` batch × 256, all row-major.

use std::hint::black_box;
use std::time::Instant;

const INPUTS: usize = 784;
const OUTPUTS: usize = 256;
const SECONDS: f64 = 0.2;

/// A row-major matrix, or its transpose.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    numbers: &'a [f32],
    row_stride: isize,
    col_stride: isize,
}

fn row_major(numbers: &[f32], cols: usize) -> Matrix<'_> {
    Matrix { numbers, row_stride: cols as isize, col_stride: 1 }
}

fn transposed(numbers: &[f32], cols: usize) -> Matrix<'_> {
    Matrix { numbers, row_stride: 1, col_stride: cols as isize }
}

/// `c = beta·c + a·b`, with `c` `m × OUTPUTS`.
type Product = fn((usize, usize), Matrix<'_>, Matrix<'_>, f32, &mut [f32]);

fn by_gemm((m, k): (usize, usize), a: Matrix<'_>, b: Matrix<'_>, beta: f32, c: &mut [f32]) {
    assert!(c.len() == m * OUTPUTS && a.numbers.len() == m * k && b.numbers.len() == k * OUTPUTS);
    // SAFETY: the sizes were just checked, and strides of a whole matrix or its transpose stay inside it.
    unsafe {
        gemm::gemm(
            m,
            OUTPUTS,
            k,
            c.as_mut_ptr(),
            1,
            OUTPUTS as isize,
            beta != 0.0,
            a.numbers.as_ptr(),
            a.col_stride,
            a.row_stride,
            b.numbers.as_ptr(),
            b.col_stride,
            b.row_stride,
            beta,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

fn by_matrixmultiply((m, k): (usize, usize), a: Matrix<'_>, b: Matrix<'_>, beta: f32, c: &mut [f32]) {
    assert!(c.len() == m * OUTPUTS && a.numbers.len() == m * k && b.numbers.len() == k * OUTPUTS);
    // SAFETY: as above.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            OUTPUTS,
            1.0,
            a.numbers.as_ptr(),
            a.row_stride,
            a.col_stride,
            b.numbers.as_ptr(),
            b.row_stride,
            b.col_stride,
            beta,
            c.as_mut_ptr(),
            OUTPUTS as isize,
            1,
        );
    }
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7919 % 1009) as f32 / 1009.0 + 0.001).collect()
}

fn gflops(flops: f64, mut work: impl FnMut()) -> f64 {
    work();
    let (start, mut times) = (Instant::now(), 0.0);
    while start.elapsed().as_secs_f64() < SECONDS {
        work();
        times += 1.0;
    }
    flops * times / start.elapsed().as_secs_f64() / 1e9
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, product, batch] = arguments.as_slice() else { panic!("LIBRARY PRODUCT BATCH") };
    let multiply: Product = match library.as_str() {
        "gemm" => by_gemm,
        "matrixmultiply" => by_matrixmultiply,
        other => panic!("no library is called {other}"),
    };
    let batch: usize = batch.parse().expect("the batch is a number");
    let flops = 2.0 * (batch * INPUTS * OUTPUTS) as f64;
    let (x, w, d) = (numbers(batch * INPUTS), numbers(INPUTS * OUTPUTS), numbers(batch * OUTPUTS));
    let (mut z, mut v) = (vec![0.0; batch * OUTPUTS], vec![0.0; INPUTS * OUTPUTS]);
    let rate = match product.as_str() {
        "forward" => gflops(flops, || {
            multiply((batch, INPUTS), row_major(&x, INPUTS), row_major(&w, OUTPUTS), 0.0, black_box(&mut z));
        }),
        "gradient" => gflops(flops, || {
            multiply((INPUTS, batch), transposed(&x, INPUTS), row_major(&d, OUTPUTS), 0.9, black_box(&mut v));
        }),
        other => panic!("no product is called {other}"),
    };
    println!("{rate}");
}
