//! A model for every runtime of ONNX: the network as a graph that takes what clients send.
//!
//! Input `input`, f32 `[N, D]`: 0–255 for images, which the graph scales itself. Outputs `probabilities` and `logits`, f32
//! `[N, C]`, and `label`, int64 `[N]`: the most probable class, the lowest of equals. The metadata is that of the
//! safetensors file, and `digest`, the version's. Source: `onnx.proto` of ONNX 1.12, whose field numbers these are.

use super::Model;
use super::file::Tensor;
use super::model::{bias_name, scale, tensors, weight_name};
use super::protobuf::Message;

/// Of the file format and of the operators: ONNX 1.12, which every runtime in use reads.
const IR_VERSION: u64 = 8;
const OPSET: u64 = 17;

/// `TensorProto.DataType`.
const FLOAT: u64 = 1;
const INT64: u64 = 7;
/// `AttributeProto.AttributeType`.
const INT: u64 = 2;

const INPUT: &str = "input";
const SCALE: &str = "scale";
const PROBABILITIES: &str = "probabilities";
const LOGITS: &str = "logits";
const LABEL: &str = "label";
/// The dimension whose size the caller chooses.
const N_ROWS: &str = "N";

/// The file. `digest` is that of the version.
pub fn onnx(model: &Model, digest: &str) -> Vec<u8> {
    let mut metadata = model.metadata();
    metadata.insert("digest".into(), digest.into());
    let properties = metadata.iter().map(|(key, value)| Message::default().text(1, key).text(2, value));
    Message::default()
        .int(1, IR_VERSION)
        .text(2, "lethe")
        .message(7, &graph(model))
        .message(8, &Message::default().text(1, "").int(2, OPSET))
        .messages(14, properties)
        .into_bytes()
}

fn graph(model: &Model) -> Message {
    let shape = model.mlp.shape();
    let scale = scale(&model.input);
    let (mut nodes, mut initializers) = (Vec::new(), Vec::new());
    let mut last = INPUT.to_owned();
    if scale != 1.0 {
        initializers.push(initializer(&Tensor { name: SCALE.into(), shape: vec![], numbers: vec![scale] }));
        nodes.push(node("Mul", &[&last, SCALE], "scaled", &[]));
        last = "scaled".into();
    }
    for l in 0..shape.n_layers() {
        let is_output = l + 1 == shape.n_layers();
        let is_clipped = !is_output || shape.output_relu;
        let result = if is_output { LOGITS.to_owned() } else { format!("hidden.{l}") };
        let sum = if is_clipped { format!("sum.{l}") } else { result.clone() };
        nodes.push(node("Gemm", &[&last, &weight_name(l), &bias_name(l)], &sum, &[("transB", 1)]));
        if is_clipped {
            nodes.push(node("Relu", &[&sum], &result, &[]));
        }
        last = result;
    }
    nodes.push(node("Softmax", &[LOGITS], PROBABILITIES, &[("axis", 1)]));
    nodes.push(node("ArgMax", &[PROBABILITIES], LABEL, &[("axis", 1), ("keepdims", 0)]));
    initializers.extend(tensors(&model.mlp).map(|tensor| initializer(&tensor)));
    let outputs = [
        value(PROBABILITIES, FLOAT, Some(shape.n_classes())),
        value(LOGITS, FLOAT, Some(shape.n_classes())),
        value(LABEL, INT64, None),
    ];
    Message::default()
        .messages(1, nodes)
        .text(2, "network")
        .messages(5, initializers)
        .messages(11, [value(INPUT, FLOAT, Some(shape.n_features()))])
        .messages(12, outputs)
}

/// An operator, named like its only output.
fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[(&str, u64)]) -> Message {
    let attributes = attributes.iter().map(|&(name, value)| {
        let attribute = Message::default().text(1, name);
        attribute.int(3, value).int(20, INT)
    });
    let inputs = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
    inputs.text(2, output).text(3, output).text(4, operator).messages(5, attributes)
}

fn initializer(tensor: &Tensor) -> Message {
    let dimensions =
        tensor.shape.iter().fold(Message::default(), |message, &size| message.int(1, size as u64));
    dimensions.int(2, FLOAT).text(8, &tensor.name).bytes(9, &tensor.bytes())
}

/// What goes in or out: `[N, columns]`, or `[N]`.
fn value(name: &str, data_type: u64, columns: Option<usize>) -> Message {
    let rows = Message::default().text(2, N_ROWS);
    let columns = columns.map(|size| Message::default().int(1, size as u64));
    let shape = Message::default().messages(1, [rows].into_iter().chain(columns));
    let tensor = Message::default().int(1, data_type).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}
