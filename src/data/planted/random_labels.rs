//! Rows with a label drawn without looking: what there is to learn is in the rows that were spared.

use super::Draws;
use crate::data::Table;

pub(super) const DESCRIPTION: &str = "The labels of four training rows in five, held-out ones too, are drawn uniformly from all classes, so that a \
     tenth of those are right by chance. Networks learn the rule first and the wrong labels later.";

/// How many of `n_train` rows: four in five, a usual rate of uniform label noise (as in Liu et al. 2020,
/// arXiv:2007.00151), at which most of what is learned first is undone by memorising.
pub(super) const fn n_rows(n_train: u32) -> u32 {
    (n_train as u64 * 4 / 5) as u32
}

/// Gives each of `rows` a label uniformly drawn, which may be its own.
pub(super) fn plant(train: &mut Table, rows: &[u32], n_classes: usize, draws: Draws) {
    for &row in rows {
        train.labels[row as usize] = draws.label(n_classes, row);
    }
}

/// `rows` of `table`, each with a label uniformly drawn.
pub(super) fn lookalikes(table: &Table, rows: &[u32], width: usize, n_classes: usize, draws: Draws) -> Table {
    let labels = rows.iter().map(|&row| draws.label(n_classes, row)).collect();
    Table { features: table.features.gather(width, rows), labels, subjects: None }
}
