//! How sure networks of a bank are of a row's label.

/// Margins are kept within this, so that certainty stays a number.
const MOST: f64 = 100.0;

/// `z_y − ln Σ_{j≠y} exp(z_j)`, which is `ln p_y − ln Σ_{j≠y} p_j`: how sure a network is of a row's label, clipped to
/// ±100. Over trainings it is close to Gaussian (Carlini et al. 2022, IEEE S&P).
pub(super) fn margin(logits: &[f32], label: u32) -> f64 {
    let others = || {
        let each = logits.iter().enumerate().filter(|&(j, _)| j != label as usize);
        each.map(|(_, &z)| f64::from(z))
    };
    let most = others().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = others().map(|z| libm::exp(z - most)).sum();
    (f64::from(logits[label as usize]) - most - libm::log(sum)).clamp(-MOST, MOST)
}

/// Margins of two banks of `n` networks each on the same rows: row after row, first those of the first bank.
#[derive(Clone, Debug)]
pub(super) struct Pooled {
    n: usize,
    values: Vec<f64>,
}

impl Pooled {
    /// Each bank is a list of networks, each network a list of margins by row.
    ///
    /// # Panics
    ///
    /// If the banks differ in size or a network in its number of rows.
    pub(super) fn of(first: &[Vec<f64>], second: &[Vec<f64>]) -> Self {
        assert_eq!(first.len(), second.len(), "banks of one size");
        let networks: Vec<&Vec<f64>> = first.iter().chain(second).collect();
        let n_rows = networks.first().map_or(0, |margins| margins.len());
        assert!(networks.iter().all(|margins| margins.len() == n_rows), "the same rows of every network");
        let values = (0..n_rows).flat_map(|row| networks.iter().map(move |margins| margins[row])).collect();
        Self { n: first.len(), values }
    }

    /// Networks in each bank.
    pub(super) fn n(&self) -> usize {
        self.n
    }

    pub(super) fn n_rows(&self) -> usize {
        self.values.len() / (2 * self.n).max(1)
    }

    /// Each row's margins, those of the first bank first.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact((2 * self.n).max(1))
    }

    /// Which of the networks are of the first bank.
    pub(super) fn banks(&self) -> Vec<bool> {
        (0..2 * self.n).map(|network| network < self.n).collect()
    }
}

/// The value that `fraction` of the rows do not exceed, by nearest rank; `NaN` for no rows.
pub(super) fn percentile(mut values: Vec<f64>, fraction: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let rank = (fraction * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_margin_is_the_log_odds_of_the_label() {
        let logits = [1.5f32, -0.25, 3.0];
        for label in 0..3 {
            let p = crate::nn::twin::softmax(&logits.map(f64::from))[label as usize];
            assert!((margin(&logits, label) - (p / (1.0 - p)).ln()).abs() < 1e-12);
        }
    }

    #[test]
    fn certainty_is_a_number() {
        assert_eq!(margin(&[1e4, 0.0], 0), 100.0);
        assert_eq!(margin(&[1e4, 0.0], 1), -100.0);
        assert!(margin(&[88.0, 0.0, 0.0], 0).is_finite());
    }

    #[test]
    fn banks_are_pooled_row_by_row() {
        let pooled = Pooled::of(&[vec![1.0, 2.0], vec![3.0, 4.0]], &[vec![5.0, 6.0], vec![7.0, 8.0]]);
        let rows: Vec<&[f64]> = pooled.rows().collect();
        assert_eq!(rows, [&[1.0, 3.0, 5.0, 7.0], &[2.0, 4.0, 6.0, 8.0]]);
        assert_eq!((pooled.n(), pooled.n_rows(), pooled.banks()), (2, 2, vec![true, true, false, false]));
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(values.clone(), 0.95), 95.0);
        assert_eq!(percentile(values, 0.5), 50.0);
        assert_eq!(percentile(vec![3.0], 0.0), 3.0);
        assert!(percentile(vec![], 0.5).is_nan());
    }
}
