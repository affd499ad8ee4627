//! Nearest neighbours by the matrix kernels: exact but for rounding, and the same bits everywhere.
//!
//! `‖x − y‖² = ‖x‖² − 2·(x·y − ‖y‖²/2)`, and `‖x‖²` is the same for every `y`: the nearest references are the largest
//! logits of a network of one layer whose weights are the references and whose bias is `−‖y‖²/2`.

use super::{Interrupted, KeepGoing, go_on};
use crate::nn::team::Team;
use crate::nn::{Evaluator, Mlp, Samples, Shape};
use std::num::NonZeroUsize;

/// References in one network: as many weights as stay in a second-level cache, nearly.
const AT_ONCE: usize = 1_024;

/// For every row of `queries` the `k` nearest of `references` (rows too, which may come more than once), by their places
/// in that list, the nearest first; of those equally near, the one that comes first. A reference that is the query's own
/// row is none of its neighbours.
pub(super) fn nearest(
    samples: Samples<'_>,
    queries: &[u32],
    references: &[u32],
    k: usize,
    n_threads: NonZeroUsize,
    keep_going: &mut KeepGoing<'_>,
) -> Result<Vec<Vec<usize>>, Interrupted> {
    let mut best: Vec<Vec<(f32, usize)>> = vec![Vec::with_capacity(k + 1); queries.len()];
    for (block, part) in references.chunks(AT_ONCE).enumerate() {
        go_on(keep_going)?;
        let mlp = network_of(samples, part);
        let mut evaluator = Evaluator::new(mlp.shape());
        evaluator.set_team(Team::of(n_threads));
        let mut wanted = best.iter_mut();
        evaluator.for_each(&mlp, samples, queries, |query, logits| {
            let Some(best) = wanted.next() else { return };
            for (i, (&logit, &reference)) in logits.iter().zip(part).enumerate() {
                let is_near = best.len() < k || best.last().is_some_and(|&(least, _)| logit > least);
                if is_near && reference != query {
                    let at = best.partition_point(|&(other, _)| other >= logit);
                    best.insert(at, (logit, block * AT_ONCE + i));
                    best.truncate(k);
                }
            }
        });
    }
    Ok(best.into_iter().map(|best| best.into_iter().map(|(_, place)| place).collect()).collect())
}

/// The network whose logits are larger the nearer the row.
fn network_of(samples: Samples<'_>, references: &[u32]) -> Mlp {
    let (d, n) = (samples.n_features(), references.len());
    let mut weights = vec![0.0; d * n];
    let mut bias = vec![0.0; n];
    let mut y = vec![0.0; d];
    for (column, &row) in references.iter().enumerate() {
        samples.copy_row(row as usize, &mut y);
        for (feature, &value) in y.iter().enumerate() {
            weights[feature * n + column] = value;
        }
        let square: f64 = y.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
        bias[column] = (-square / 2.0) as f32;
    }
    let mut mlp = Mlp::zeroed(Shape { widths: vec![d, n], output_relu: false });
    mlp.set_layer(0, &weights, &bias);
    mlp
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Features;
    use crate::nn::hash::{Purpose, keyed_hash};
    use std::ops::ControlFlow;

    const D: usize = 23;

    fn pixels(n: usize) -> Vec<u8> {
        let byte =
            |i: u32| (keyed_hash(1, Purpose::Check, 9, i) >> 56) as u8 * u8::from(!i.is_multiple_of(4));
        (0..(n * D) as u32).map(byte).collect()
    }

    fn find(pixels: &[u8], queries: &[u32], references: &[u32], n_threads: usize) -> Vec<Vec<usize>> {
        let labels = vec![0; pixels.len() / D];
        let samples = Samples::new(Features::U8(pixels), &labels, D, 1);
        let n_threads = NonZeroUsize::new(n_threads).unwrap();
        nearest(samples, queries, references, 7, n_threads, &mut || ControlFlow::Continue(())).unwrap()
    }

    /// The squared distance, in f64.
    fn distance(pixels: &[u8], a: u32, b: u32) -> f64 {
        let row = |row: u32| pixels[row as usize * D..][..D].iter().map(|&byte| f64::from(byte) / 255.0);
        row(a).zip(row(b)).map(|(a, b)| (a - b) * (a - b)).sum()
    }

    #[test]
    fn neighbours_are_those_of_the_definition_one_distance_at_a_time() {
        // more references than one network holds
        let n = AT_ONCE as u32 + 300;
        let pixels = pixels(n as usize);
        let (queries, references): (Vec<u32>, Vec<u32>) = ((0..n).step_by(97).collect(), (0..n).collect());
        for (query, found) in queries.iter().zip(find(&pixels, &queries, &references, 1)) {
            let of = |place: &usize| distance(&pixels, *query, references[*place]);
            let mut all: Vec<f64> =
                references.iter().filter(|r| *r != query).map(|&r| distance(&pixels, *query, r)).collect();
            all.sort_unstable_by(f64::total_cmp);
            assert_eq!(found.len(), 7);
            for (place, wanted) in found.iter().zip(&all) {
                assert!((of(place) - wanted).abs() < 1e-4, "{query}: {} for {wanted}", of(place));
                assert_ne!(references[*place], *query);
            }
        }
    }

    #[test]
    fn threads_decide_nothing_and_of_the_equally_near_the_first_comes_first() {
        let mut pixels = pixels(400);
        let (queries, references): (Vec<u32>, Vec<u32>) = ((0..50).collect(), (0..400).collect());
        assert_eq!(find(&pixels, &queries, &references, 1), find(&pixels, &queries, &references, 3));
        let same = pixels[..D].to_vec();
        for row in [9, 40, 300] {
            pixels[row * D..][..D].copy_from_slice(&same);
        }
        assert_eq!(find(&pixels, &[0], &references, 1)[0][..3], [9, 40, 300]);
    }

    #[test]
    fn a_row_is_no_neighbour_of_itself_however_often_it_comes() {
        let pixels = pixels(6);
        let found = find(&pixels, &[2], &[2, 1, 2, 5, 2], 1);
        assert_eq!(found[0].len(), 2);
        assert!(found[0].contains(&1) && found[0].contains(&3), "{found:?}");
        assert!(find(&pixels, &[2], &[2], 1)[0].is_empty() && find(&pixels, &[2], &[], 1)[0].is_empty());
    }

    #[test]
    fn it_stops_when_told_to() {
        let (pixels, labels) = (pixels(9), [0; 9]);
        let samples = Samples::new(Features::U8(&pixels), &labels, D, 1);
        let mut stop = || ControlFlow::Break(());
        assert_eq!(nearest(samples, &[0], &[1, 2], 1, NonZeroUsize::MIN, &mut stop), Err(Interrupted));
    }
}
