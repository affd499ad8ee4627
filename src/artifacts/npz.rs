//! A model for NumPy: `numpy.load("model.npz", allow_pickle=False)`.
//!
//! Arrays named as the tensors of the safetensors file, and `metadata.json`: an object of the same texts as that file's
//! metadata, and `digest`, the version's. NumPy hands it out as bytes.

use super::Model;
use super::file::{Tensor, json};
use super::model::tensors;
use super::zip::zip;
use crate::formats::npy;

/// The file. `digest` is that of the version.
pub fn npz(model: &Model, digest: &str) -> Vec<u8> {
    let mut metadata = model.metadata();
    metadata.insert("digest".into(), digest.into());
    let metadata = ("metadata.json".to_owned(), json(&metadata).into_bytes());
    let arrays = tensors(&model.mlp).map(|tensor| (format!("{}.npy", tensor.name), array(&tensor)));
    zip(arrays.chain([metadata]))
}

/// One array as numpy saves it.
fn array(tensor: &Tensor) -> Vec<u8> {
    let shape: Vec<u64> = tensor.shape.iter().map(|&length| length as u64).collect();
    [npy::head("<f4", &shape), tensor.bytes()].concat()
}
