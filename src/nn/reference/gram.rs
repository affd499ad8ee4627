//! Inner products of the images of a window.

use super::images::Images;
use crate::nn::simd::{LANES, Lane, Simd, vectorised};

vectorised! {
    /// `K[i·n + k] = xᵢ·xₖ` for the `n` images; the bias's pixel adds 1 to each.
    pub(super) fn gram(images: &Images, products: &mut [f32]) = gram_body;
}

#[inline(always)]
fn gram_body<S: Simd>(simd: S, images: &Images, products: &mut [f32]) {
    if S::WIDTH == 4 {
        tiles::<S, 4>(simd, images, products);
    } else {
        tiles::<S, 2>(simd, images, products);
    }
    let n = images.len();
    for i in 0..n {
        for k in 0..i {
            products[k * n + i] = products[i * n + k];
        }
    }
}

/// All products of an image with itself and those before it, `N × N` at a time.
#[inline(always)]
fn tiles<S: Simd, const N: usize>(simd: S, images: &Images, products: &mut [f32]) {
    let mut i = 0;
    while i < images.len() {
        let whole = i + N <= images.len();
        let end = if whole { i + N } else { i + 1 };
        let mut k = 0;
        while k < end {
            match (whole, k + N <= end) {
                (true, true) => dots::<S, N, N>(simd, images, i, k, products),
                (true, false) => dots::<S, N, 1>(simd, images, i, k, products),
                (false, true) => dots::<S, 1, N>(simd, images, i, k, products),
                (false, false) => dots::<S, 1, 1>(simd, images, i, k, products),
            }
            k += if k + N <= end { N } else { 1 };
        }
        i = end;
    }
}

/// The products of `M` images from `i` with `N` images from `k`.
#[inline(always)]
fn dots<S: Simd, const M: usize, const N: usize>(
    simd: S,
    images: &Images,
    i: usize,
    k: usize,
    products: &mut [f32],
) {
    let none: &[Lane] = &[];
    let (mut left, mut right) = ([none; M], [none; N]);
    let n_chunks = images.x(i).len() / LANES;
    for (m, left) in left.iter_mut().enumerate() {
        *left = &images.x(i + m).as_chunks().0[..n_chunks];
    }
    for (n, right) in right.iter_mut().enumerate() {
        *right = &images.x(k + n).as_chunks().0[..n_chunks];
    }
    let mut parts = [[simd.splat(0.0); N]; M];
    for chunk in 0..n_chunks {
        let mut x = [simd.splat(0.0); N];
        for (x, right) in x.iter_mut().zip(right) {
            *x = simd.load(&right[chunk]);
        }
        for (parts, left) in parts.iter_mut().zip(left) {
            let y = simd.load(&left[chunk]);
            for (part, &x) in parts.iter_mut().zip(&x) {
                *part = simd.fma(y, x, *part);
            }
        }
    }
    for (m, parts) in parts.into_iter().enumerate() {
        for (n, part) in parts.into_iter().enumerate() {
            products[(i + m) * images.len() + k + n] = sum(simd, part);
        }
    }
}

/// The sum of a lane, by halves.
#[inline(always)]
pub(super) fn sum<S: Simd>(simd: S, register: S::Register) -> f32 {
    let mut lane: Lane = [0.0; LANES];
    simd.store(register, &mut lane);
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lane[i] += lane[i + half];
        }
        half /= 2;
    }
    lane[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::simd::tests::on_every_isa;
    use crate::nn::{Features, Samples};

    #[test]
    fn products_are_right_and_the_same_on_every_instruction_set() {
        const PIXELS: usize = 90;
        let values: Vec<f32> = (0..9 * PIXELS).map(|i| libm::sinf(i as f32 * 1.7)).collect();
        for n in 1..=9 {
            let samples = Samples::new(Features::F32(&values), &[0; 9], PIXELS, 1);
            let mut images = Images::new(PIXELS, 9);
            images.load(samples, 0..n);
            let n = n as usize;
            let products = on_every_isa(|| {
                let mut products = vec![f32::NAN; n * n];
                gram(&images, &mut products);
                products
            });
            assert!(products.iter().all(|other| *other == products[0]));
            for i in 0..n {
                for k in 0..n {
                    let pixels = values[i * PIXELS..][..PIXELS].iter().zip(&values[k * PIXELS..]);
                    let want = 1.0 + pixels.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
                    // a sum of 91 numbers up to 1
                    assert!((f64::from(products[0][i * n + k]) - want).abs() < 1e-5, "{i}, {k} of {n}");
                }
            }
        }
    }
}
