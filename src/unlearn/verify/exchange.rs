//! What a comparison of two banks shows when nothing differs: networks change places at random.
//!
//! If unlearned and retrained networks come from one distribution, which of them are called unlearned does not
//! matter (Fisher 1935, "The Design of Experiments", §21). Every such draw compares banks of the same size, so it has the
//! same bias, cap and noise as the comparison itself; two halves of one bank would have none of these.

use crate::nn::hash::{Purpose, order_rows};

/// Random exchanges tried. A value above all of them is found in one case of a thousand when nothing differs: a report judges
/// five such comparisons, and a method that forgets as retraining does must not fail one report in twenty by chance.
const N_EXCHANGES: u32 = 999;

/// `K` statistics of two banks, and what exchanged networks show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Null<const K: usize> {
    pub(super) mean: [f64; K],
    pub(super) largest: [f64; K],
}

/// Draws the statistics of `n` networks against `n` others with the banks exchanged at random. `statistics` gets
/// for each network whether it is in the first group.
pub(super) fn exchange<const K: usize>(
    n: usize,
    seed: u64,
    statistics: impl Fn(&[bool]) -> [f64; K],
) -> Null<K> {
    let mut null = Null { mean: [0.0; K], largest: [f64::NEG_INFINITY; K] };
    let (mut networks, mut scratch) = ((0..2 * n as u32).collect::<Vec<u32>>(), Vec::new());
    for number in 0..N_EXCHANGES {
        order_rows(&mut networks, &mut scratch, seed, Purpose::Exchange, number);
        let mut is_first = vec![false; 2 * n];
        networks[..n].iter().for_each(|&network| is_first[network as usize] = true);
        for (k, value) in statistics(&is_first).into_iter().enumerate() {
            null.mean[k] += value / f64::from(N_EXCHANGES);
            null.largest[k] = null.largest[k].max(value);
        }
    }
    null
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance of the groups' means.
    fn distance(values: &[f64], is_first: &[bool]) -> f64 {
        let mean = |wanted: bool| {
            let chosen: Vec<f64> =
                values.iter().zip(is_first).filter(|(_, is)| **is == wanted).map(|(v, _)| *v).collect();
            chosen.iter().sum::<f64>() / chosen.len() as f64
        };
        (mean(true) - mean(false)).abs()
    }

    #[test]
    fn every_draw_has_as_many_in_one_group_as_in_the_other() {
        exchange(5, 1, |is_first| {
            assert_eq!((is_first.len(), is_first.iter().filter(|is| **is).count()), (10, 5));
            [0.0]
        });
    }

    #[test]
    fn banks_of_different_networks_lie_beyond_every_exchange_and_equal_ones_do_not() {
        let banks: Vec<bool> = (0..16).map(|network| network < 8).collect();
        let noise = |network: u32| f64::from(network * 7 % 16);
        let equal: Vec<f64> = (0..16).map(noise).collect();
        let apart: Vec<f64> =
            (0..16).map(|network| noise(network) + if network < 8 { 100.0 } else { 0.0 }).collect();
        let beyond = |values: &[f64]| {
            distance(values, &banks) > exchange(8, 3, |is_first| [distance(values, is_first)]).largest[0]
        };
        assert!(beyond(&apart));
        assert!(!beyond(&equal));
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let values: Vec<f64> = (0..12).map(f64::from).collect();
        let draw = |seed| exchange(6, seed, |is_first| [distance(&values, is_first)]);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
