//! Canaries: noise with a label that nothing explains (Carlini et al. 2019, USENIX Security, "The secret sharer").

use super::{Draw, Draws};
use crate::data::{FeatureData, Table};
use crate::nn::hash::falls_within;

pub(super) const N_ROWS: u32 = 200;
pub(super) const DESCRIPTION: &str = "200 training rows are replaced by random noise with random labels, planted to be forgotten: no other row \
     says anything about them. Each keeps the person of the row it replaced.";

/// Part of the pixels that are lit, as in images of digits.
const LIT: f64 = 0.2;

/// Replaces `rows` by noise, with labels uniformly drawn.
pub(super) fn plant(train: &mut Table, rows: &[u32], width: usize, n_classes: usize, draws: Draws) {
    for &row in rows {
        let place = row as usize * width..(row as usize + 1) * width;
        match &mut train.features {
            FeatureData::U8(values) => {
                for (value, noise) in values[place].iter_mut().zip(noise(row, width, draws)) {
                    *value = noise;
                }
            }
            FeatureData::F32(values) => {
                for (value, noise) in values[place].iter_mut().zip(noise(row, width, draws)) {
                    *value = f32::from(noise) / 255.0;
                }
            }
        }
        train.labels[row as usize] = draws.label(n_classes, row);
    }
}

/// Noise of the same kind as `table`'s features, one row for each of `rows`.
pub(super) fn lookalikes(table: &Table, rows: &[u32], width: usize, n_classes: usize, draws: Draws) -> Table {
    let noise = rows.iter().flat_map(|&row| noise(row, width, draws));
    let features = match table.features {
        FeatureData::U8(_) => FeatureData::U8(noise.collect()),
        FeatureData::F32(_) => FeatureData::F32(noise.map(|grey| f32::from(grey) / 255.0).collect()),
    };
    let labels = rows.iter().map(|&row| draws.label(n_classes, row)).collect();
    Table { features, labels, subjects: None }
}

/// The pixels of a row: dark, or lit by any grey above zero.
fn noise(row: u32, width: usize, draws: Draws) -> impl Iterator<Item = u8> {
    let width = u32::try_from(width).expect("a row has fewer features than u32 counts");
    (0..width).map(move |pixel| {
        let hash = draws.hash(Draw::Pixel(pixel), row);
        // whether it is lit is decided by the high bits, how brightly by the low ones
        let grey = 1 + (((hash & 0x7ff) * 255) >> 11) as u8;
        if falls_within(hash, LIT) { grey } else { 0 }
    })
}
