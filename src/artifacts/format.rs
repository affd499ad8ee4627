//! The safetensors form of a model.
//!
//! Tensors `layers.{i}.weight` (`out × in`, f32) and `layers.{i}.bias` (`out`), so that in numpy
//! `x @ weight.T + bias` computes a layer. Metadata, all text:
//!
//! | key | meaning |
//! |---|---|
//! | `format` | `lethe.mlp.v1` |
//! | `input` | JSON: what a row is |
//! | `scale` | what every input is multiplied by first: `1/255` rounded to f32 for images, `1` for vectors |
//! | `classes` | JSON: names, in the order of the outputs |
//! | `output_relu` | `true` if the logits are clipped at zero before the softmax; hidden layers always are |
//! | `lineage.*` | where the weights come from |
//!
//! The header is written here, not by the `safetensors` crate, which keeps metadata in a hash map: its order,
//! and with it the file's digest, would differ between two writes of one model.

use super::Model;
use crate::data::InputSpec;
use crate::nn::{Mlp, Shape};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

const FORMAT: &str = "lethe.mlp.v1";
const LINEAGE: &str = "lineage.";
/// The largest header that is parsed: it holds names and shapes only.
const MAX_HEADER_BYTES: u64 = 1 << 20;
const MAX_LAYERS: usize = 64;
const F32_BYTES: usize = size_of::<f32>();

/// What the network multiplies every input by.
fn scale(input: &InputSpec) -> f32 {
    match input {
        InputSpec::Image { .. } => 1.0 / 255.0,
        InputSpec::Vector { .. } => 1.0,
    }
}

fn weight_name(l: usize) -> String {
    format!("layers.{l}.weight")
}

fn bias_name(l: usize) -> String {
    format!("layers.{l}.bias")
}

#[derive(Serialize)]
struct Tensor {
    dtype: &'static str,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

pub(super) fn encode(model: &Model) -> Vec<u8> {
    let shape = model.mlp.shape();
    let mut metadata: BTreeMap<String, String> =
        model.lineage.iter().map(|(key, value)| (format!("{LINEAGE}{key}"), value.clone())).collect();
    metadata.insert("format".into(), FORMAT.into());
    metadata.insert("input".into(), json(&model.input));
    metadata.insert("scale".into(), scale(&model.input).to_string());
    metadata.insert("classes".into(), json(&model.class_names));
    metadata.insert("output_relu".into(), shape.output_relu.to_string());

    let mut header = format!("{{\"__metadata__\":{}", json(&metadata));
    let mut offset = 0;
    for (l, widths) in shape.widths.windows(2).enumerate() {
        let (n_in, n_out) = (widths[0], widths[1]);
        for (name, dims) in [(weight_name(l), vec![n_out, n_in]), (bias_name(l), vec![n_out])] {
            let end = offset + dims.iter().product::<usize>() * F32_BYTES;
            let tensor = Tensor { dtype: "F32", shape: dims, data_offsets: [offset, end] };
            header += &format!(",{}:{}", json(&name), json(&tensor));
            offset = end;
        }
    }
    header.push('}');
    // the data begins at a multiple of eight bytes
    let padded = header.len().next_multiple_of(8);
    header.extend(std::iter::repeat_n(' ', padded - header.len()));

    let data = tensor_bytes(&model.mlp);
    let mut bytes = Vec::with_capacity(8 + padded + data.len());
    bytes.extend((padded as u64).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// Every layer's weight, `out × in`, and bias, little-endian.
pub(super) fn tensor_bytes(mlp: &Mlp) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(mlp.params().len() * F32_BYTES);
    for (l, widths) in mlp.shape().widths.windows(2).enumerate() {
        let (n_in, n_out) = (widths[0], widths[1]);
        let weights = mlp.row_major(l);
        for o in 0..n_out {
            bytes.extend((0..n_in).flat_map(|i| weights[i * n_out + o].to_le_bytes()));
        }
        bytes.extend(mlp.bias(l).iter().flat_map(|value| value.to_le_bytes()));
    }
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Result<Model, String> {
    let declared = bytes.first_chunk().copied().map(u64::from_le_bytes);
    let declared = declared.ok_or("it is too short to be a safetensors file")?;
    if declared > MAX_HEADER_BYTES {
        return Err(format!("its header claims {declared} bytes; at most {MAX_HEADER_BYTES} are read"));
    }
    let not_safetensors = |error| format!("it is not a safetensors file: {error:?}");
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(not_safetensors)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(not_safetensors)?;
    let metadata = header.metadata().as_ref().ok_or("it has no metadata")?;
    let field = |key: &str| metadata.get(key).ok_or_else(|| format!("its metadata has no `{key}`"));
    if field("format")? != FORMAT {
        return Err(format!("its format is `{}`; this program reads `{FORMAT}`", field("format")?));
    }
    let input: InputSpec = parse("input", field("input")?)?;
    let class_names: Vec<String> = parse("classes", field("classes")?)?;
    let output_relu: bool = parse("output_relu", field("output_relu")?)?;
    if *field("scale")? != scale(&input).to_string() {
        return Err(format!("inputs scaled by `{}` are not supported", field("scale")?));
    }

    let shape = Shape { widths: widths(&tensors)?, output_relu };
    let n_features = n_features(&input);
    if n_features != shape.n_features() as u64 {
        return Err(format!("its input has {n_features} values, its first layer {}", shape.n_features()));
    }
    if class_names.len() != shape.n_classes() {
        return Err(format!(
            "it names {} classes, its last layer has {}",
            class_names.len(),
            shape.n_classes()
        ));
    }
    // as many numbers as the file really holds: the reader has checked that the tensors tile it
    let mut mlp = Mlp::zeroed(shape);
    for l in 0..mlp.n_layers() {
        let (n_in, n_out) = (mlp.shape().widths[l], mlp.shape().widths[l + 1]);
        let stored = floats(&tensor(&tensors, &weight_name(l))?)?;
        let mut weights = vec![0.0; stored.len()];
        for (o, row) in stored.chunks_exact(n_in).enumerate() {
            for (i, &value) in row.iter().enumerate() {
                weights[i * n_out + o] = value;
            }
        }
        mlp.set_layer(l, &weights, &floats(&tensor(&tensors, &bias_name(l))?)?);
    }
    Ok(Model { mlp, input, class_names, lineage: lineage(metadata) })
}

/// Layer widths from the tensors' shapes, each fitting the next, with nothing left over.
fn widths(tensors: &SafeTensors<'_>) -> Result<Vec<usize>, String> {
    let n_layers = tensors.len() / 2;
    if n_layers == 0 || n_layers > MAX_LAYERS || !tensors.len().is_multiple_of(2) {
        return Err(format!(
            "it has {} tensors, not a weight and a bias for 1 to {MAX_LAYERS} layers",
            tensors.len()
        ));
    }
    let mut widths: Vec<usize> = Vec::with_capacity(n_layers + 1);
    for l in 0..n_layers {
        let weight = tensor(tensors, &weight_name(l))?;
        let bias = tensor(tensors, &bias_name(l))?;
        let &[n_out, n_in] = weight.shape() else {
            return Err(format!("`{}` has {} dimensions, not 2", weight_name(l), weight.shape().len()));
        };
        if n_in == 0 || n_out == 0 {
            return Err(format!("`{}` is empty", weight_name(l)));
        }
        if bias.shape() != [n_out] {
            return Err(format!("`{}` has the shape {:?}, not [{n_out}]", bias_name(l), bias.shape()));
        }
        match widths.last() {
            None => widths.push(n_in),
            Some(&before) if before == n_in => {}
            Some(before) => {
                return Err(format!("layer {l} takes {n_in} values, the one before gives {before}"));
            }
        }
        widths.push(n_out);
    }
    Ok(widths)
}

fn tensor<'a>(tensors: &SafeTensors<'a>, name: &str) -> Result<TensorView<'a>, String> {
    let view = tensors.tensor(name).map_err(|_| format!("it has no tensor `{name}`"))?;
    if view.dtype() != Dtype::F32 {
        return Err(format!("`{name}` holds {:?}, not F32", view.dtype()));
    }
    Ok(view)
}

fn floats(view: &TensorView<'_>) -> Result<Vec<f32>, String> {
    let (chunks, _) = view.data().as_chunks::<F32_BYTES>();
    let values: Vec<f32> = chunks.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
    if values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err("it holds numbers that are not finite".into())
    }
}

/// Like `InputSpec::n_features`, for dimensions nobody has checked yet.
fn n_features(input: &InputSpec) -> u64 {
    match input {
        InputSpec::Image { height, width } => u64::from(*height) * u64::from(*width),
        InputSpec::Vector { n_features } => u64::from(*n_features),
    }
}

fn lineage(metadata: &HashMap<String, String>) -> BTreeMap<String, String> {
    let entries = metadata.iter().filter_map(|(key, value)| Some((key.strip_prefix(LINEAGE)?, value)));
    entries.map(|(key, value)| (key.to_owned(), value.clone())).collect()
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names and numbers serialise")
}

fn parse<T: serde::de::DeserializeOwned>(key: &str, text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("its metadata `{key}` makes no sense: {error}"))
}
