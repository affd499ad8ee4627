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

use super::Artifact;
use super::file::{Read, Tensor, floats, json, write};
use super::folder::digest;
use crate::data::InputSpec;
use crate::nn::{BYTE_SCALE, Mlp, Shape};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const FORMAT: &str = "lethe.mlp.v1";
const LINEAGE: &str = "lineage.";
const MAX_LAYERS: usize = 64;

/// A version's file, decoded: the network and what one needs to use it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub mlp: Mlp,
    pub input: InputSpec,
    pub class_names: Vec<String>,
    /// Lineage and provenance, as written in the file's metadata under `lineage.*`.
    pub lineage: BTreeMap<String, String>,
}

impl Model {
    /// `sha256:` over the parameters alone, layer by layer as in the file: equal for equal networks, whichever
    /// run they come from.
    pub fn weights_digest(&self) -> String {
        let bytes: Vec<Vec<u8>> = tensors(&self.mlp).map(|tensor| tensor.bytes()).collect();
        digest(&bytes.concat())
    }

    /// All that is not a number of the network, as in the table above.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        let lineage = self.lineage.iter().map(|(key, value)| (format!("{LINEAGE}{key}"), value.clone()));
        let mut metadata: BTreeMap<String, String> = lineage.collect();
        metadata.insert("format".into(), FORMAT.into());
        metadata.insert("input".into(), json(&self.input));
        metadata.insert("scale".into(), scale(&self.input).to_string());
        metadata.insert("classes".into(), json(&self.class_names));
        metadata.insert("output_relu".into(), self.mlp.shape().output_relu.to_string());
        metadata
    }
}

impl Artifact for Model {
    const WHAT: &str = "model";
    const FILES: &str = "models";

    fn encode(&self) -> Vec<u8> {
        write(&self.metadata(), tensors(&self.mlp))
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let file = Read::new(bytes, FORMAT)?;
        let input: InputSpec = file.parsed("input")?;
        let class_names: Vec<String> = file.parsed("classes")?;
        let output_relu: bool = file.parsed("output_relu")?;
        if *file.field("scale")? != scale(&input).to_string() {
            return Err(format!("inputs scaled by `{}` are not supported", file.field("scale")?));
        }

        let shape = Shape { widths: widths(&file)?, output_relu };
        let n_features = n_features(&input);
        if n_features != shape.n_features() as u64 {
            return Err(format!("its input has {n_features} values, its first layer {}", shape.n_features()));
        }
        check_columns(&input)?;
        if class_names.len() != shape.n_classes() {
            return Err(format!(
                "it names {} classes, its last layer has {}",
                class_names.len(),
                shape.n_classes()
            ));
        }
        Ok(Self { mlp: network(&file, shape)?, input, class_names, lineage: lineage(file.metadata()) })
    }
}

/// The network of a shape that is the tensors'.
pub(super) fn network(file: &Read<'_>, shape: Shape) -> Result<Mlp, String> {
    // as many numbers as the file really holds: the reader has checked that the tensors tile it
    let mut mlp = Mlp::zeroed(shape);
    for l in 0..mlp.n_layers() {
        let (n_in, n_out) = (mlp.shape().widths[l], mlp.shape().widths[l + 1]);
        let stored = floats(&file.tensor(&weight_name(l))?)?;
        let mut weights = vec![0.0; stored.len()];
        for (o, row) in stored.chunks_exact(n_in).enumerate() {
            for (i, &value) in row.iter().enumerate() {
                weights[i * n_out + o] = value;
            }
        }
        mlp.set_layer(l, &weights, &floats(&file.tensor(&bias_name(l))?)?);
    }
    Ok(mlp)
}

/// What the network multiplies every input by.
pub(super) fn scale(input: &InputSpec) -> f32 {
    match input {
        InputSpec::Image { .. } => BYTE_SCALE,
        InputSpec::Vector { .. } => 1.0,
    }
}

pub(super) fn weight_name(l: usize) -> String {
    format!("layers.{l}.weight")
}

pub(super) fn bias_name(l: usize) -> String {
    format!("layers.{l}.bias")
}

/// Every layer's weight, `out × in`, and bias, in the order of files.
pub(super) fn tensors(mlp: &Mlp) -> impl Iterator<Item = Tensor> {
    mlp.shape().widths.windows(2).enumerate().flat_map(|(l, widths)| {
        let (n_in, n_out) = (widths[0], widths[1]);
        let by_input = mlp.row_major(l);
        let weight = (0..n_out).flat_map(|o| (0..n_in).map(move |i| (i, o)));
        let weight = weight.map(|(i, o)| by_input[i * n_out + o]).collect();
        [
            Tensor { name: weight_name(l), shape: vec![n_out, n_in], numbers: weight },
            Tensor { name: bias_name(l), shape: vec![n_out], numbers: mlp.bias(l).to_vec() },
        ]
    })
}

/// Layer widths from the tensors' shapes, each fitting the next, with nothing left over.
pub(super) fn widths(file: &Read<'_>) -> Result<Vec<usize>, String> {
    let tensors = &file.tensors;
    let n_layers = tensors.len() / 2;
    if n_layers == 0 || n_layers > MAX_LAYERS || !tensors.len().is_multiple_of(2) {
        return Err(format!(
            "it has {} tensors, not a weight and a bias for 1 to {MAX_LAYERS} layers",
            tensors.len()
        ));
    }
    let mut widths: Vec<usize> = Vec::with_capacity(n_layers + 1);
    for l in 0..n_layers {
        let weight = file.tensor(&weight_name(l))?;
        let bias = file.tensor(&bias_name(l))?;
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

/// Like `InputSpec::n_features`, for dimensions nobody has checked yet.
pub(super) fn n_features(input: &InputSpec) -> u64 {
    match input {
        InputSpec::Image { height, width } => u64::from(*height) * u64::from(*width),
        InputSpec::Vector { n_features, .. } => u64::from(*n_features),
    }
}

/// As many names as there are values, all different.
fn check_columns(input: &InputSpec) -> Result<(), String> {
    let Some(columns) = input.columns() else { return Ok(()) };
    let different: BTreeSet<&String> = columns.iter().collect();
    if columns.len() == input.n_features() && different.len() == columns.len() {
        Ok(())
    } else {
        let (n_names, n_features) = (different.len(), input.n_features());
        Err(format!("its input has {n_features} values, but {n_names} different names for them"))
    }
}

fn lineage(metadata: &HashMap<String, String>) -> BTreeMap<String, String> {
    let entries = metadata.iter().filter_map(|(key, value)| Some((key.strip_prefix(LINEAGE)?, value)));
    entries.map(|(key, value)| (key.to_owned(), value.clone())).collect()
}
