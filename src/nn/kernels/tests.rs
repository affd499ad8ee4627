//! Every kernel beside its definition in f64, and beside itself on other instruction sets.

use super::mask::{Mask, lights};
use super::row::Term;
use super::sparse::Lit;
use super::{Sums, Update, dense, elementwise, row, sparse};
use crate::nn::simd::tests::on_every_isa;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};

/// Numbers in `[-1, 1]`, zero where `density` says so.
fn numbers(len: usize, density: f64, seed: u64) -> Vec<f32> {
    let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
    let mut number = || {
        let (value, chance) = (rng.next_u32() % 2001, rng.next_u32());
        if f64::from(chance) < density * f64::from(u32::MAX) { value as f32 / 1000.0 - 1.0 } else { 0.0 }
    };
    (0..len).map(|_| number()).collect()
}

/// A cell by its definition, and the bound of its error: `k + 2` roundings of at most `Σ|aₖ·bₖ| + |decay·c|`.
fn cell(terms: impl Iterator<Item = (f32, f32)>, decay: f32, c: f32) -> (f64, f64) {
    let start = f64::from(decay) * f64::from(c);
    let (mut sum, mut size, mut k) = (start, start.abs(), 0);
    for (a, b) in terms {
        let term = f64::from(a) * f64::from(b);
        (sum, size, k) = (sum + term, size + term.abs(), k + 1);
    }
    (sum, f64::from(k + 2) * f64::from(f32::EPSILON) * size)
}

fn mask_of(x: &[f32], stride: usize, k: usize) -> Mask {
    let mut mask = Mask::default();
    for (row, x) in x.chunks(stride).enumerate() {
        mask.note(row, lights(&x[..k]));
    }
    mask.finish();
    mask
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_product_is_its_definition_whether_zeros_are_skipped_or_not_on_every_instruction_set(
        m in 1usize..=64, k in 1usize..=64, lanes in 1usize..=4, density in 0.0f64..1.0, seed: u64,
    ) {
        let (width, stride) = (lanes * 16, k.next_multiple_of(16));
        let mut x = numbers(m * stride, density, seed);
        x.chunks_mut(stride).for_each(|row| row[k..].fill(0.0));
        let (w, before) = (numbers(k * width, 1.0, seed ^ 1), numbers(m * width, 1.0, seed ^ 2));
        let mask = mask_of(&x, stride, k);

        let results = on_every_isa(|| {
            let (mut dense, mut sparse, mut in_parts) = (before.clone(), before.clone(), before.clone());
            let sums = |tile| Sums { tile, width, decay: 1.0, update: None };
            let left = dense::Left { numbers: &x, row_stride: stride, col_stride: 1 };
            dense::product(left, &w, &mut sums(&mut dense));
            let lit = Lit { numbers: &x, stride, k, mask: &mask, first: 0, n_rows: m };
            sparse::product(lit, &w, &mut sums(&mut sparse));
            // some rows first, the others later
            let first = m / 3;
            let (top, bottom) = in_parts.split_at_mut(first * width);
            if first > 0 {
                sparse::product(Lit { n_rows: first, ..lit }, &w, &mut sums(top));
            }
            let others = Lit { numbers: &x[first * stride..], first, n_rows: m - first, ..lit };
            sparse::product(others, &w, &mut sums(bottom));
            // each by itself
            let mut row_by_row = before.clone();
            for (x, z) in x.chunks(stride).zip(row_by_row.chunks_mut(width)) {
                let mut terms = vec![Term::default(); k];
                let n_terms = row::collect(&x[..k], |x| x, &mut terms);
                row::product(&terms[..n_terms], &w, z);
            }
            [dense, sparse, in_parts, row_by_row]
        });
        let first = &results[0][0];
        prop_assert!(results.iter().flatten().all(|result| result == first));
        for row in 0..m {
            for col in 0..width {
                let terms = (0..k).map(|i| (x[row * stride + i], w[i * width + col]));
                let (want, bound) = cell(terms, 1.0, before[row * width + col]);
                let got = f64::from(first[row * width + col]);
                prop_assert!((got - want).abs() <= bound, "({row}, {col}): {got}, want {want} ± {bound}");
            }
        }
    }

    #[test]
    fn a_gradient_is_its_definition_whether_zeros_are_skipped_or_not_on_every_instruction_set(
        m in 1usize..=64, k in 1usize..=64, lanes in 1usize..=4, density in 0.0f64..1.0,
        decay in prop::sample::select(vec![0.0f32, 0.9, 1.0]), seed: u64,
    ) {
        let (width, stride) = (lanes * 16, k.next_multiple_of(16));
        let mut x = numbers(m * stride, density, seed);
        x.chunks_mut(stride).for_each(|row| row[k..].fill(0.0));
        let d = numbers(m * width, 1.0, seed ^ 1);
        // with decay zero, what was there must not be read
        let before = if decay == 0.0 { vec![f32::NAN; k * width] } else { numbers(k * width, 1.0, seed ^ 2) };
        let old_weights = numbers(k * width, 1.0, seed ^ 3);
        let (learning_rate, weight_decay) = (0.1, if seed & 1 == 0 { 0.0 } else { 0.01 });
        let mask = mask_of(&x, stride, k);

        let results = on_every_isa(|| {
            let run = |is_sparse: bool, is_updating: bool| {
                let (mut v, mut weights) = (before.clone(), old_weights.clone());
                let update = is_updating.then(|| Update { weights: &mut weights, learning_rate, weight_decay });
                let mut sums = Sums { tile: &mut v, width, decay, update };
                if is_sparse {
                    let lit = Lit { numbers: &x, stride, k, mask: &mask, first: 0, n_rows: m };
                    sparse::transposed_product(lit, &d, &mut sums);
                } else {
                    let left = dense::Left { numbers: &x, row_stride: 1, col_stride: stride };
                    dense::product(left, &d, &mut sums);
                }
                (v, weights)
            };
            [run(false, false), run(true, false), run(false, true), run(true, true)]
        });
        for result in &results {
            prop_assert!(*result == results[0]);
            prop_assert!(result[0] == result[1] && result[2] == result[3]);
        }
        let [(gradient, untouched), _, (velocity, weights), _] = &results[0];
        prop_assert_eq!(untouched, &old_weights);
        for at in 0..k * width {
            let (row, col) = (at / width, at % width);
            let terms = || (0..m).map(|i| (x[i * stride + row], d[i * width + col]));
            let old = if decay == 0.0 { 0.0 } else { before[at] };
            let (want, bound) = cell(terms(), decay, old);
            prop_assert!((f64::from(gradient[at]) - want).abs() <= bound);
            let decayed = (weight_decay, old_weights[at]);
            let (want, bound) = cell(terms().chain([decayed]), decay, old);
            prop_assert!((f64::from(velocity[at]) - want).abs() <= bound);
            let (want, bound) = cell([(-learning_rate, velocity[at])].into_iter(), 1.0, old_weights[at]);
            prop_assert!((f64::from(weights[at]) - want).abs() <= bound);
        }
    }
}

#[test]
fn what_is_not_a_number_comes_through() {
    let mut z = [f32::NAN, -1.0, 2.0, -0.0];
    elementwise::relu(&mut z);
    assert!(z[0].is_nan());
    assert_eq!(z[1..], [0.0, 2.0, 0.0]);

    let mut sums = [0.0f32; 16];
    elementwise::sum_rows(&[f32::NAN; 16], 0.9, &mut sums);
    assert!(sums.iter().all(|sum| sum.is_nan()));
    elementwise::sum_rows(&[1.0; 48], 0.0, &mut sums);
    assert_eq!(sums, [3.0; 16], "with decay zero the old content is not read");
}

#[test]
fn clipping_and_masking_are_what_they_say_bit_by_bit_on_every_machine() {
    let edges = [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY];
    let edges = [&edges[..], &[f32::NAN, -f32::NAN, f32::MIN_POSITIVE]].concat();
    // every edge in every lane, and behind the last whole one
    let all: Vec<f32> = edges.iter().copied().cycle().take(13 * 16 + 13).collect();
    // and beside every other one
    let others: Vec<f32> = (0..all.len()).map(|at| edges[(at + at / edges.len()) % edges.len()]).collect();
    let bits = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
    for (clipped, masked) in on_every_isa(|| {
        let (mut clipped, mut masked) = (all.clone(), others.clone());
        elementwise::relu(&mut clipped);
        elementwise::mask(&mut masked, &all);
        (clipped, masked)
    }) {
        let want: Vec<f32> = all.iter().map(|&z| if z < 0.0 { 0.0 } else { z }).collect();
        assert_eq!(bits(&clipped), bits(&want));
        let want: Vec<f32> =
            all.iter().zip(&others).map(|(&a, &dx)| if a > 0.0 { dx } else { 0.0 }).collect();
        assert_eq!(bits(&masked), bits(&want));
    }
}

#[test]
fn a_transpose_is_one() {
    let tile = numbers(7 * 32, 1.0, 5);
    let mut out = vec![f32::NAN; 32 * 16];
    elementwise::transpose(&tile, 32, 16, &mut out);
    for row in 0..7 {
        assert!((0..32).all(|col| out[col * 16 + row] == tile[row * 32 + col]));
    }
}
