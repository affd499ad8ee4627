//! Answers: tensors in the JSON, or behind it.

use super::request::{OutputName, Wanted};
use crate::domain::VersionRef;
use crate::inference::Outputs;
use serde::Serialize;
use utoipa::ToSchema;

/// What a version answers to one inference.
#[derive(Debug, Serialize, ToSchema)]
pub struct InferResponse<'a> {
    pub model_name: &'a str,
    /// The number of the version that answered.
    pub model_version: String,
    /// Of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub outputs: Vec<OutputTensor<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct OutputTensor<'a> {
    name: OutputName,
    /// `BYTES` of classes, else the output's own.
    #[schema(value_type = String)]
    datatype: &'static str,
    shape: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinaryData>,
    /// Row-major; absent if they are behind the JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    data: Option<Elements<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct BinaryData {
    /// Bytes of this tensor behind the JSON, after those of the tensors before it.
    binary_data_size: usize,
}

/// A tensor's elements, row-major.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Elements<'a> {
    Fp32(&'a [f32]),
    Int64(Vec<i64>),
    Bytes(Vec<String>),
}

/// A body, and how much of it is JSON.
#[derive(Debug)]
pub struct Body {
    pub bytes: Vec<u8>,
    /// Absent if all of it is.
    pub json_length: Option<usize>,
}

/// The body of an answer.
pub fn write(
    version: &VersionRef,
    class_names: &[String],
    id: Option<String>,
    outputs: &Outputs,
    wanted: &[Wanted],
) -> Body {
    let mut binary = Vec::new();
    let tensors = wanted.iter().map(|wanted| tensor(outputs, class_names, wanted, &mut binary)).collect();
    let response = InferResponse {
        model_name: &version.model,
        model_version: version.version.to_string(),
        id,
        outputs: tensors,
    };
    let mut bytes = serde_json::to_vec(&response).expect("tensors have no maps");
    let json_length = wanted.iter().any(|wanted| wanted.is_binary).then_some(bytes.len());
    bytes.append(&mut binary);
    Body { bytes, json_length }
}

/// One tensor; its elements are put behind `binary` if they are wanted there.
fn tensor<'a>(
    outputs: &'a Outputs,
    class_names: &[String],
    wanted: &Wanted,
    binary: &mut Vec<u8>,
) -> OutputTensor<'a> {
    let n_rows = outputs.n_rows();
    let numbers = match wanted.name {
        OutputName::Probabilities => outputs.probabilities(),
        OutputName::Logits => outputs.logits(),
        OutputName::Label => &[],
    };
    let (elements, shape) = match (wanted.name, wanted.n_best) {
        (OutputName::Label, _) => (Elements::Int64(outputs.labels().map(i64::from).collect()), vec![n_rows]),
        (_, None) => (Elements::Fp32(numbers), vec![n_rows, outputs.n_classes()]),
        (_, Some(n_best)) => {
            let rows = numbers.chunks_exact(outputs.n_classes());
            let named = rows.flat_map(|row| best(row, n_best, class_names)).collect();
            (Elements::Bytes(named), vec![n_rows, n_best])
        }
    };
    let datatype = elements.datatype();
    let (parameters, data) = if wanted.is_binary {
        let start = binary.len();
        elements.append_to(binary);
        (Some(BinaryData { binary_data_size: binary.len() - start }), None)
    } else {
        (None, Some(elements))
    };
    OutputTensor { name: wanted.name, datatype, shape, parameters, data }
}

/// The classes with the highest values, best first and the lowest of equals first, as `value:index:name`.
fn best(row: &[f32], n_best: usize, class_names: &[String]) -> Vec<String> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    order.truncate(n_best);
    order.iter().map(|&class| format!("{}:{class}:{}", row[class], class_names[class])).collect()
}

impl Elements<'_> {
    fn datatype(&self) -> &'static str {
        match self {
            Self::Fp32(_) => "FP32",
            Self::Int64(_) => "INT64",
            Self::Bytes(_) => "BYTES",
        }
    }

    /// Little-endian; each of `BYTES` behind its length in four bytes.
    fn append_to(&self, binary: &mut Vec<u8>) {
        match self {
            Self::Fp32(values) => binary.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::Int64(values) => binary.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::Bytes(texts) => {
                for text in texts {
                    binary.extend((text.len() as u32).to_le_bytes());
                    binary.extend(text.as_bytes());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_classes_come_first_and_the_lowest_of_equals_wins() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(best(&[0.25, 0.5, 0.25], 3, &names), ["0.5:1:b", "0.25:0:a", "0.25:2:c"]);
        assert_eq!(best(&[-1.5, 2.0, 0.0], 1, &names), ["2:1:b"]);
    }

    #[test]
    fn texts_stand_behind_their_lengths() {
        let mut binary = vec![9];
        Elements::Bytes(vec!["ab".to_owned(), String::new()]).append_to(&mut binary);
        assert_eq!(binary, [9, 2, 0, 0, 0, b'a', b'b', 0, 0, 0, 0]);
        Elements::Int64(vec![-2]).append_to(&mut binary);
        assert_eq!(binary[11..], (-2_i64).to_le_bytes());
    }
}
