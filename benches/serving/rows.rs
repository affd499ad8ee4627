//! The rows that are asked about: one of each class, which the model gets right.

use crate::formats;
use crate::wire;
use lethe::data::{Catalogue, FeatureData};
use serde_json::Value;

/// Rows the model is asked about to find them.
const CANDIDATES: usize = 1_000;

pub struct Row {
    /// 28 × 28, as the data has them.
    pub pixels: Vec<u8>,
    /// What the data says it shows.
    pub label: u32,
}

/// Rows of the test set for which the model at `address` says what the data says.
pub fn recognised(address: &str) -> Result<Vec<Row>, String> {
    let nowhere = tempfile::tempdir().map_err(|error| error.to_string())?;
    let catalogue = Catalogue::new(None, nowhere.path().to_owned());
    let digits = catalogue.open_local("digits").map_err(|error| error.to_string())?;
    let digits = digits.expect("digits are embedded");
    let FeatureData::U8(pixels) = &digits.test.features else { unreachable!("digits are pictures") };
    let n_features = digits.input.n_features();
    let pixels = &pixels[..CANDIDATES.min(digits.test.labels.len()) * n_features];
    let answer = wire::ask(address, &formats::raw(pixels)).map_err(|error| error.to_string())?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
    let said = |index: usize| label(&answer["predictions"][index]);
    let mut rows: Vec<Row> = Vec::new();
    for (index, (pixels, &label)) in pixels.chunks_exact(n_features).zip(&digits.test.labels).enumerate() {
        if said(index) == Some(label) && rows.iter().all(|row| row.label != label) {
            rows.push(Row { pixels: pixels.to_vec(), label });
        }
    }
    if rows.is_empty() { Err("the model recognises nothing".to_owned()) } else { Ok(rows) }
}

/// Of one prediction.
pub fn label(prediction: &Value) -> Option<u32> {
    prediction["label"].as_u64().and_then(|label| u32::try_from(label).ok())
}
