//! Rows with a wrong label: a network that answers it has memorised the row.

use super::{Draw, Draws};
use crate::data::Table;

pub(super) const DESCRIPTION: &str = "One training row in a hundred carries a wrong label, planted to be forgotten: only a network that memorised \
     such a row answers that label.";

/// Gives each of `rows` another label, uniformly drawn.
pub(super) fn plant(train: &mut Table, rows: &[u32], n_classes: usize, draws: Draws) {
    for &row in rows {
        let label = &mut train.labels[row as usize];
        *label = wrong(*label, row, n_classes, draws);
    }
}

/// `rows` of `table`, each with a wrong label.
pub(super) fn lookalikes(table: &Table, rows: &[u32], width: usize, n_classes: usize, draws: Draws) -> Table {
    let labels = rows.iter().map(|&row| wrong(table.labels[row as usize], row, n_classes, draws)).collect();
    Table { features: table.features.gather(width, rows), labels, subjects: None }
}

/// Any class but `label`, all as likely.
fn wrong(label: u32, row: u32, n_classes: usize, draws: Draws) -> u32 {
    let n_classes = u32::try_from(n_classes).expect("labels are u32, so classes are too");
    (label + 1 + draws.below(n_classes - 1, Draw::Label, row)) % n_classes
}
