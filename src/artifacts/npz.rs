//! A model for NumPy: `numpy.load("model.npz", allow_pickle=False)`.
//!
//! Arrays named as the tensors of the safetensors file, and `metadata.json`: an object of the same texts as that file's
//! metadata, and `digest`, the version's. NumPy hands it out as bytes.

use super::Model;
use super::file::{Tensor, json};
use super::model::tensors;
use super::zip::zip;

/// Where an array's numbers begin: at a multiple of as many bytes.
const ALIGNMENT: usize = 64;

/// The file. `digest` is that of the version.
pub fn npz(model: &Model, digest: &str) -> Vec<u8> {
    let mut metadata = model.metadata();
    metadata.insert("digest".into(), digest.into());
    let metadata = ("metadata.json".to_owned(), json(&metadata).into_bytes());
    let arrays = tensors(&model.mlp).map(|tensor| (format!("{}.npy", tensor.name), npy(&tensor)));
    zip(arrays.chain([metadata]))
}

/// One array as a file of format version 1.0 (NumPy enhancement proposal 1): magic, length of the header, a Python
/// dictionary, the numbers.
fn npy(tensor: &Tensor) -> Vec<u8> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    // the comma that makes a tuple of one number
    let shape: String = tensor.shape.iter().map(|n| format!("{n}, ")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    let before = MAGIC.len() + size_of::<u16>();
    let end = (before + header.len() + 1).next_multiple_of(ALIGNMENT);
    header.extend(std::iter::repeat_n(' ', end - before - header.len() - 1));
    header.push('\n');
    let length = u16::try_from(header.len()).expect("a header of two dimensions is short");
    [MAGIC, &length.to_le_bytes(), header.as_bytes(), &tensor.bytes()].concat()
}
