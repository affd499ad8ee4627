//! Random numbers that are the same on every machine: ChaCha8's raw output, turned into uniform and
//! normal numbers by exact arithmetic only (no logarithm, no sine, nothing a platform may round its own way).

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// What a stream of numbers is for; each purpose and number has a stream of its own, so that adding a
/// draw in one place moves nothing elsewhere.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// A writer's general style, by writer.
    Style = 1,
    /// A writer's own form of a digit, by writer and digit.
    Shape = 2,
    /// One drawn digit of the training table, by row.
    Train = 3,
    /// One drawn digit of the test table, by row.
    Test = 4,
}

/// One stream of random numbers.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub(super) fn new(purpose: Purpose, number: u32) -> Self {
        let mut rng = ChaCha8Rng::from_seed(*b"lethe: invented writers' digits.");
        rng.set_stream((purpose as u64) << 32 | u64::from(number));
        Self(rng)
    }

    /// Uniform in [0, 1), a multiple of 2⁻²⁴.
    pub(super) fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Uniform in [`low`, `high`).
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform among 0 … `n` − 1, to within `n`/2³².
    pub(super) fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(n)) >> 32) as u32
    }

    /// Whether something of probability `p` happens.
    pub(super) fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// Nearly normal, mean 0, variance 1, never beyond ±3.47: the sum of four uniform numbers. Hands
    /// have no wilder moments than that.
    pub(super) fn normal(&mut self) -> f32 {
        let bits = self.0.next_u64();
        let sum = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum::<u64>();
        // four numbers of mean 32767.5 and variance (2³² − 1)/12
        (sum as f32 - 131_070.0) / 37_837.23
    }

    /// An index, drawn in proportion to `weights`.
    pub(super) fn pick(&mut self, weights: impl Iterator<Item = f32> + Clone) -> usize {
        let mut left = self.unit() * weights.clone().sum::<f32>();
        let mut last = 0;
        for (index, weight) in weights.enumerate() {
            last = index;
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_the_moments_they_claim() {
        let mut random = Random::new(Purpose::Style, 0);
        let n = 200_000;
        let draws: Vec<f64> = (0..n).map(|_| f64::from(random.normal())).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((variance - 1.0).abs() < 0.01, "{variance}");
        assert!(draws.iter().all(|x| x.abs() < 3.47));
    }

    #[test]
    fn streams_are_apart() {
        let draw = |purpose, number| Random::new(purpose, number).0.next_u64();
        let mut first = vec![draw(Purpose::Style, 0), draw(Purpose::Shape, 0), draw(Purpose::Shape, 1)];
        assert_eq!(draw(Purpose::Style, 0), first[0]);
        first.dedup();
        assert_eq!(first.len(), 3);
    }

    #[test]
    fn weights_decide_how_often_an_index_is_drawn() {
        let mut random = Random::new(Purpose::Style, 1);
        let mut counts = [0; 3];
        for _ in 0..30_000 {
            counts[random.pick([1.0, 0.0, 3.0].into_iter())] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((22_000..23_000).contains(&counts[2]), "{counts:?}");
    }
}
