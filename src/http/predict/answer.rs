//! Answers as JSON or npy, written without a copy of the numbers for each row.

use super::request::{Output, Parts};
use crate::data::InputSpec;
use crate::domain::VersionRef;
use crate::formats::{Values, npy};
use crate::inference::{Loaded, Outputs};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;
use uuid::Uuid;

/// Which version answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnsweredBy<'a> {
    pub name: &'a str,
    pub version: u32,
    pub id: Uuid,
    pub digest: &'a str,
}

impl AnsweredBy<'_> {
    fn json(version: &VersionRef) -> Box<RawValue> {
        let VersionRef { model: name, version, id, digest } = version;
        to_raw_value(&AnsweredBy { name, version: *version, id: *id, digest }).expect("names and a number")
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PredictView<'a> {
    #[schema(value_type = AnsweredBy<'a>)]
    pub model: &'a RawValue,
    /// One for each row, in order.
    #[schema(value_type = Vec<PredictionView>)]
    pub predictions: Predictions<'a>,
}

/// One row's answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct PredictionView<'a> {
    /// The most probable class; the lowest of equals.
    pub label: u32,
    /// Its probability.
    pub confidence: f32,
    /// Of every class.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<f32>>)]
    pub probabilities: Option<&'a [f32]>,
    /// The most probable classes as `[class, probability]`, best first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Vec<f32>>>)]
    pub top: Option<&'a [(u32, f32)]>,
    /// Of every class, before the softmax.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<f32>>)]
    pub logits: Option<&'a [f32]>,
    /// What the network was given: 0 to 255 for each pixel, in rows from the top, or the numbers of a vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen<'a>>,
}

/// One row of the request.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    values: &'a Values,
    row: usize,
    input: &'a InputSpec,
}

impl Serialize for Seen<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let n_features = self.input.n_features();
        let range = self.row * n_features..(self.row + 1) * n_features;
        match self.values {
            Values::U8(values) => nested(&values[range], self.input, serializer),
            Values::F32(values) => {
                let written: Vec<AsWritten> = values[range].iter().copied().map(AsWritten).collect();
                nested(&written, self.input, serializer)
            }
        }
    }
}

/// A whole number without a fraction of zero, as its sender most likely wrote it.
struct AsWritten(f32);

impl Serialize for AsWritten {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // 2^24: beyond, whole numbers are no longer exact
        if self.0.fract() == 0.0 && self.0.abs() <= 16_777_216.0 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f32(self.0)
        }
    }
}

impl utoipa::PartialSchema for Seen<'_> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        let number = serde_json::json!({ "type": "number" });
        let line = serde_json::json!({ "type": "array", "items": number });
        let schema = serde_json::json!({ "type": "array", "items": { "anyOf": [number, line] } });
        serde_json::from_value(schema).expect("a valid schema")
    }
}

impl utoipa::ToSchema for Seen<'_> {}

/// A list for each line of an image.
fn nested<T: Serialize, S: Serializer>(
    values: &[T],
    input: &InputSpec,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match input {
        InputSpec::Image { width, .. } => serializer.collect_seq(values.chunks_exact(*width as usize)),
        InputSpec::Vector { .. } => serializer.collect_seq(values),
    }
}

/// The answers to some rows, with what is told of them.
#[derive(Debug)]
pub struct Predictions<'a> {
    pub outputs: &'a Outputs,
    /// The rows, if they are told.
    pub seen: Option<&'a Values>,
    pub parts: Parts,
    pub input: &'a InputSpec,
}

impl Predictions<'_> {
    /// Calls `each` with the answer to every row, in order, until it fails.
    pub fn try_for_each<E>(
        &self,
        mut each: impl FnMut(PredictionView<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let n_classes = self.outputs.n_classes();
        let probabilities = self.outputs.probabilities().chunks_exact(n_classes);
        let logits = self.outputs.logits().chunks_exact(n_classes);
        let mut top = Vec::with_capacity(self.parts.top_k);
        for (row, ((probabilities, logits), label)) in
            probabilities.zip(logits).zip(self.outputs.labels()).enumerate()
        {
            best(probabilities, self.parts.top_k, &mut top);
            each(PredictionView {
                label,
                confidence: probabilities[label as usize],
                probabilities: self.parts.probabilities.then_some(probabilities),
                top: (self.parts.top_k > 0).then_some(&top),
                logits: self.parts.logits.then_some(logits),
                seen: self.seen.map(|values| Seen { values, row, input: self.input }),
            })?;
        }
        Ok(())
    }
}

impl Serialize for Predictions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.outputs.n_rows()))?;
        self.try_for_each(|prediction| list.serialize_element(&prediction))?;
        list.end()
    }
}

/// The `k` most probable classes with their probabilities, best first, the lower of equals before the other.
fn best(probabilities: &[f32], k: usize, top: &mut Vec<(u32, f32)>) {
    top.clear();
    for (class, &probability) in probabilities.iter().enumerate() {
        let is_full = top.len() == k;
        if is_full && top.last().is_none_or(|&(_, least)| probability <= least) {
            continue;
        }
        if is_full {
            top.pop();
        }
        let place = top.partition_point(|&(_, other)| other >= probability);
        top.insert(place, (class as u32, probability));
    }
}

/// The whole answer as a JSON document.
pub fn json(loaded: &Loaded, predictions: Predictions<'_>) -> Vec<u8> {
    let view = PredictView { model: loaded.answered_by(AnsweredBy::json), predictions };
    // about what it takes, so that it need not grow
    let n_numbers = view.predictions.outputs.n_rows() * (view.predictions.outputs.n_classes() + 12);
    let mut bytes = Vec::with_capacity(256 + 12 * n_numbers);
    serde_json::to_writer(&mut bytes, &view).expect("an answer is lists and numbers");
    bytes
}

impl Output {
    /// As numpy calls it.
    const fn descr(self) -> &'static str {
        match self {
            Self::Probabilities | Self::Logits => "<f4",
            Self::Label => "<u4",
        }
    }

    /// The head of a file with the answers to so many rows.
    pub fn npy_head(self, n_rows: u64, n_classes: usize) -> Vec<u8> {
        match self {
            Self::Probabilities | Self::Logits => npy::head(self.descr(), &[n_rows, n_classes as u64]),
            Self::Label => npy::head(self.descr(), &[n_rows]),
        }
    }

    /// Bytes of the answer to one row.
    pub const fn row_bytes(self, n_classes: usize) -> usize {
        match self {
            Self::Probabilities | Self::Logits => n_classes * size_of::<f32>(),
            Self::Label => size_of::<u32>(),
        }
    }

    /// Appends the numbers behind the head.
    pub fn write_npy(self, outputs: &Outputs, file: &mut Vec<u8>) {
        match self {
            Self::Probabilities => file.extend(outputs.probabilities().iter().flat_map(|p| p.to_le_bytes())),
            Self::Logits => file.extend(outputs.logits().iter().flat_map(|logit| logit.to_le_bytes())),
            Self::Label => file.extend(outputs.labels().flat_map(u32::to_le_bytes)),
        }
    }
}

/// The whole answer as an npy file.
pub fn npy(outputs: &Outputs, output: Output) -> Vec<u8> {
    let (n_rows, n_classes) = (outputs.n_rows(), outputs.n_classes());
    let mut file = output.npy_head(n_rows as u64, n_classes);
    file.reserve_exact(n_rows * output.row_bytes(n_classes));
    output.write_npy(outputs, &mut file);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(probabilities: &[f32], k: usize) -> Vec<(u32, f32)> {
        let mut top = Vec::new();
        best(probabilities, k, &mut top);
        top
    }

    #[test]
    fn the_best_classes_come_first_and_the_lower_of_equals_before_the_other() {
        assert_eq!(top(&[0.1, 0.4, 0.4, 0.1], 3), [(1, 0.4), (2, 0.4), (0, 0.1)]);
        assert_eq!(top(&[0.1, 0.2, 0.3, 0.4], 2), [(3, 0.4), (2, 0.3)]);
        assert_eq!(top(&[0.5, 0.5], 9), [(0, 0.5), (1, 0.5)]);
        assert_eq!(top(&[0.5, 0.5], 0), []);
    }

    #[test]
    fn what_was_seen_is_told_line_by_line() {
        let values = Values::U8((0..12).collect::<Vec<u8>>().into());
        let image = InputSpec::Image { height: 2, width: 3 };
        let seen = Seen { values: &values, row: 1, input: &image };
        assert_eq!(serde_json::to_string(&seen).unwrap(), "[[6,7,8],[9,10,11]]");
        let values = Values::F32(vec![0.5, 2.0]);
        let vector = InputSpec::Vector { n_features: 2, columns: None };
        let seen = Seen { values: &values, row: 0, input: &vector };
        assert_eq!(serde_json::to_string(&seen).unwrap(), "[0.5,2]");
    }
}
