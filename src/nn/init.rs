//! Initial weights, from a seed, the same on every platform.

use super::{Mlp, Recipe, Shape};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// ChaCha streams, one for each use of randomness, so that none disturbs another.
const INIT_STREAM: u64 = 1;
const RESET_STREAM: u64 = 2;
const PERTURBATION_STREAM: u64 = 9;
const SHRINK_STREAM: u64 = 10;

/// Fresh weights by the recipe's rule, zero biases.
///
/// - `nn`, `debug`: uniform in `±√(2 / fan_in)`, as the reference programs.
/// - `standard`: normal with variance `2 / fan_in` (He et al. 2015, arXiv:1502.01852, eq. 10).
pub fn init(recipe: &Recipe, n_features: usize, n_classes: usize) -> Mlp {
    let mut widths = vec![n_features];
    widths.extend_from_slice(recipe.hidden());
    widths.push(n_classes);
    let shape = Shape { widths, output_relu: recipe.output_relu() };
    let (seed, draw): (u64, fn(&mut ChaCha8Rng) -> f64) = match recipe {
        Recipe::Nn(recipe) | Recipe::Debug(recipe) => (recipe.seed, uniform),
        Recipe::Standard(recipe) => (recipe.seed, normal),
    };
    filled(shape, &mut stream(seed, INIT_STREAM), draw)
}

/// Replaces one layer by fresh He-normal weights and zero biases.
pub fn reset_layer(mlp: &mut Mlp, l: usize, seed: u64) {
    let mut rng = stream(seed, RESET_STREAM);
    fill_layer(mlp, l, &mut rng, normal);
}

/// `mlp` with every parameter shrunk to `shrink` of itself, and `1 − shrink` of fresh He-normal weights: 1 is the network as it
/// is, 0 a new one.
///
/// Shrink and perturb: Ash & Adams 2020 (NeurIPS, arXiv:1910.08475), in the convex form of D'Oro et al. 2023 (ICLR).
pub fn shrink_perturb(mlp: &Mlp, shrink: f64, seed: u64) -> Mlp {
    let mut mixed = filled(mlp.shape().clone(), &mut stream(seed, SHRINK_STREAM), normal);
    let (kept, new) = (shrink as f32, (1.0 - shrink) as f32);
    mixed.params_mut().iter_mut().zip(mlp.params()).for_each(|(f, w)| *f = kept * w + new * *f);
    mixed
}

/// The linear term of a perturbed objective: `n_params` draws from `N(0, sigma²)`, or nothing when `sigma` is 0.
///
/// Its secrecy is what a certificate of removal rests on: who knows the seed knows the noise.
pub fn perturbation(seed: u64, sigma: f64, n_params: usize) -> Option<Vec<f64>> {
    let mut rng = stream(seed, PERTURBATION_STREAM);
    (sigma > 0.0).then(|| (0..n_params).map(|_| sigma * normal(&mut rng)).collect())
}

fn filled(shape: Shape, rng: &mut ChaCha8Rng, draw: fn(&mut ChaCha8Rng) -> f64) -> Mlp {
    let mut mlp = Mlp::zeroed(shape);
    for l in 0..mlp.n_layers() {
        fill_layer(&mut mlp, l, rng, draw);
    }
    mlp
}

fn fill_layer(mlp: &mut Mlp, l: usize, rng: &mut ChaCha8Rng, draw: fn(&mut ChaCha8Rng) -> f64) {
    let scale = (2.0 / mlp.shape().widths[l] as f64).sqrt();
    let (d, h) = (mlp.shape().widths[l], mlp.shape().widths[l + 1]);
    let weights: Vec<f32> = (0..d * h).map(|_| (scale * draw(rng)) as f32).collect();
    mlp.set_layer(l, &weights, &vec![0.0; h]);
}

fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Uniform in `[0, 1)` with 53 random bits.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Uniform in `[-1, 1)`.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    2.0 * unit(rng) - 1.0
}

/// Standard normal: Box & Muller 1958, the cosine half.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    // 1 − u lies in (0, 1]: the logarithm stays finite
    let radius = (-2.0 * libm::log(1.0 - unit(rng))).sqrt();
    radius * libm::cos(std::f64::consts::TAU * unit(rng))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Reference, Standard};

    #[test]
    fn reference_weights_are_uniform_within_their_bound() {
        let mlp = init(&Recipe::Nn(Reference::nn(1)), 784, 10);
        let bound = (2.0f32 / 784.0).sqrt();
        let weights = mlp.row_major(0);
        assert!(weights.iter().all(|w| w.abs() <= bound));
        // a uniform variable has a third of its bound's square as variance; 200,704 draws, four sigmas
        let n = weights.len() as f64;
        let mean_square = weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / n;
        let expected = f64::from(bound).powi(2) / 3.0;
        assert!((mean_square / expected - 1.0).abs() < 4.0 * (0.8 / n).sqrt(), "{mean_square} {expected}");
        assert!(mlp.bias(0).iter().chain(mlp.bias(1)).all(|&b| b == 0.0));
    }

    #[test]
    fn standard_weights_are_normal_with_he_variance() {
        let mlp = init(&Recipe::Standard(Standard::new(1)), 784, 10);
        let weights = mlp.row_major(0);
        let n = weights.len() as f64;
        let variance = weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / n;
        assert!((variance / (2.0 / 784.0) - 1.0).abs() < 4.0 * (2.0 / n).sqrt());
        let beyond = weights.iter().filter(|w| w.abs() > 2.0 * (2.0f32 / 784.0).sqrt()).count() as f64 / n;
        assert!((beyond - 0.0455).abs() < 0.002, "{beyond}");
    }

    #[test]
    fn a_shrunk_network_is_the_old_and_a_new_one_in_the_parts_that_were_asked() {
        let old = init(&Recipe::Standard(Standard::new(1)), 784, 10);
        let shrunk = |part| shrink_perturb(&old, part, 5);
        assert_eq!(shrunk(1.0), old);
        let (new, mixed) = (shrunk(0.0), shrunk(0.25));
        for l in 0..2 {
            let n = new.row_major(l).len() as f64;
            let variance = new.row_major(l).iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / n;
            let wanted = 2.0 / old.shape().widths[l] as f64;
            assert!((variance / wanted - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "layer {l}: {variance}");
            // nothing of the old weights is in the new ones
            let product: f64 = new
                .row_major(l)
                .iter()
                .zip(old.row_major(l))
                .map(|(&a, b)| f64::from(a) * f64::from(b))
                .sum();
            assert!((product / n / wanted).abs() < 4.0 / n.sqrt(), "layer {l}: {product}");
        }
        for ((&mixed, &old), &new) in mixed.params().iter().zip(old.params()).zip(new.params()) {
            let wanted = 0.25 * f64::from(old) + 0.75 * f64::from(new);
            assert!(
                (f64::from(mixed) - wanted).abs()
                    <= 4.0 * f64::from(f32::EPSILON) * f64::from(old.abs() + new.abs())
            );
        }
    }

    #[test]
    fn a_seed_decides_every_weight() {
        let weights = |seed| init(&Recipe::Standard(Standard::new(seed)), 20, 3);
        assert_eq!(weights(3), weights(3));
        assert_ne!(weights(3), weights(4));
    }
}
