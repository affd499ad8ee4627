//! What a network makes of a few of the rows it is trained on.

use super::batch::Batch;
use super::evaluate::CHUNK;
use super::{Mlp, Samples, Shape};

/// Rows looked at, at most: enough to tell five points of accuracy from chance, few beside any epoch.
const N_ROWS: usize = 1_024;

/// Looks at always the same rows, evenly spread over the table.
#[derive(Debug)]
pub struct Probe {
    rows: Vec<u32>,
    batch: Batch,
    /// One row of activations.
    row: Vec<f32>,
}

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probed {
    /// Share of the rows whose label has the greatest logit.
    pub accuracy: f64,
    /// Share of units that are zero for every row, in the hidden layer with the greatest such share; `None` without
    /// hidden layers.
    pub dead_units: Option<f64>,
}

impl Probe {
    pub fn new(shape: &Shape, n_rows: usize) -> Self {
        let n = Self::n_rows_of(n_rows);
        let rows = (0..n).map(|i| (i as u64 * n_rows as u64 / n as u64) as u32).collect();
        let widest = shape.widths.iter().copied().max().unwrap_or_default();
        Self { rows, batch: Batch::new(shape, CHUNK), row: vec![0.0; widest] }
    }

    /// How many rows of a table of so many are looked at.
    pub fn n_rows_of(n_rows: usize) -> usize {
        n_rows.min(N_ROWS)
    }

    /// `NaN` accuracy for no rows.
    pub fn look(&mut self, mlp: &Mlp, samples: Samples<'_>) -> Probed {
        let hidden = &mlp.shape().widths[1..mlp.shape().n_layers()];
        let mut is_alive: Vec<Vec<bool>> = hidden.iter().map(|&width| vec![false; width]).collect();
        let mut n_hits = 0;
        for rows in self.rows.chunks(CHUNK) {
            self.batch.load(samples, rows);
            self.batch.forward(mlp);
            for (layer, is_alive) in is_alive.iter_mut().enumerate() {
                let row = &mut self.row[..is_alive.len()];
                for i in 0..rows.len() {
                    self.batch.copy_hidden(layer, i, row);
                    is_alive.iter_mut().zip(&*row).for_each(|(alive, &value)| *alive |= value > 0.0);
                }
            }
            self.batch.loss();
            n_hits += self.batch.hits().iter().filter(|&&hit| hit).count();
        }
        let dead = is_alive
            .iter()
            .map(|layer| layer.iter().filter(|&&alive| !alive).count() as f64 / layer.len().max(1) as f64);
        Probed { accuracy: n_hits as f64 / self.rows.len() as f64, dead_units: dead.max_by(f64::total_cmp) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Features;

    /// Two features, three hidden units of which the last is never positive, two classes told apart by the sign.
    fn network() -> Mlp {
        let shape = Shape { widths: vec![2, 3, 2], output_relu: false };
        let params = [
            1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, // weights row by row, then bias
            1.0, -1.0, -1.0, 1.0, 0.0, 0.0, 0.0, 0.0,
        ];
        Mlp::from_params(shape, &params)
    }

    #[test]
    fn dead_units_and_hits_are_counted_over_all_rows() {
        let features = [1.0, 0.0, -1.0, 0.0, 2.0, 0.0, -2.0, 0.0];
        let labels = [0, 1, 0, 0];
        let samples = Samples::new(Features::F32(&features), &labels, 2, 2);
        let mlp = network();
        let seen = Probe::new(mlp.shape(), 4).look(&mlp, samples);
        assert_eq!(seen, Probed { accuracy: 0.75, dead_units: Some(1.0 / 3.0) });
        // a unit that only rows of another chunk wake is alive
        let n = 700;
        let features: Vec<f32> = (0..n).flat_map(|i| [if i == 699 { 1.0 } else { -1.0 }, 0.0]).collect();
        let labels = vec![1; n];
        let samples = Samples::new(Features::F32(&features), &labels, 2, 2);
        let seen = Probe::new(mlp.shape(), n).look(&mlp, samples);
        assert_eq!(seen.dead_units, Some(1.0 / 3.0));
        assert!((seen.accuracy - 699.0 / 700.0).abs() < 1e-12);
    }

    #[test]
    fn a_network_without_hidden_layers_has_no_dead_units() {
        let mlp = Mlp::zeroed(Shape { widths: vec![2, 2], output_relu: false });
        let samples = Samples::new(Features::F32(&[0.0, 0.0]), &[0], 2, 2);
        assert_eq!(Probe::new(mlp.shape(), 1).look(&mlp, samples).dead_units, None);
    }

    #[test]
    fn the_rows_are_spread_over_the_whole_table() {
        let shape = Shape { widths: vec![1, 2], output_relu: false };
        let probe = Probe::new(&shape, 60_000);
        assert_eq!((probe.rows.len(), probe.rows[0]), (Probe::n_rows_of(60_000), 0));
        assert!(*probe.rows.last().unwrap() > 59_900);
        assert!(probe.rows.is_sorted_by(|a, b| a < b));
        assert_eq!(Probe::new(&shape, 3).rows, [0, 1, 2]);
    }
}
