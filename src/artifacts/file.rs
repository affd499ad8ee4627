//! The safetensors format: text metadata, then named tensors of `f32`, little-endian.
//!
//! The header is written here, not by the `safetensors` crate, which keeps metadata in a hash map: its order,
//! and with it the file's digest, would differ between two writes of the same.

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// The largest header that is parsed: it holds names, shapes and a little text.
const MAX_HEADER_BYTES: u64 = 1 << 20;
const F32_BYTES: usize = size_of::<f32>();

#[derive(Serialize)]
struct Tensor {
    dtype: &'static str,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// A file of tensors by name and shape, whose numbers `numbers` adds, one tensor's behind the other's.
pub(super) fn write(
    metadata: &BTreeMap<String, String>,
    tensors: impl IntoIterator<Item = (String, Vec<usize>)>,
    numbers: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut header = format!("{{\"__metadata__\":{}", json(metadata));
    let mut offset = 0;
    for (name, shape) in tensors {
        let end = offset + shape.iter().product::<usize>() * F32_BYTES;
        let tensor = Tensor { dtype: "F32", shape, data_offsets: [offset, end] };
        header += &format!(",{}:{}", json(&name), json(&tensor));
        offset = end;
    }
    header.push('}');
    // the data begins at a multiple of eight bytes
    let padded = header.len().next_multiple_of(8);
    header.extend(std::iter::repeat_n(' ', padded - header.len()));
    let mut bytes = Vec::with_capacity(8 + padded + offset);
    bytes.extend((padded as u64).to_le_bytes());
    bytes.extend(header.as_bytes());
    numbers(&mut bytes);
    assert_eq!(bytes.len(), 8 + padded + offset, "the tensors tile their numbers");
    bytes
}

/// A file's tensors and metadata, nothing in it trusted.
pub(super) struct Read<'a> {
    pub(super) tensors: SafeTensors<'a>,
    metadata: HashMap<String, String>,
}

impl<'a> Read<'a> {
    pub(super) fn new(bytes: &'a [u8], format: &str) -> Result<Self, String> {
        let declared = bytes.first_chunk().copied().map(u64::from_le_bytes);
        let declared = declared.ok_or("it is too short to be a safetensors file")?;
        if declared > MAX_HEADER_BYTES {
            return Err(format!("its header claims {declared} bytes; at most {MAX_HEADER_BYTES} are read"));
        }
        let not_safetensors = |error| format!("it is not a safetensors file: {error:?}");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(not_safetensors)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(not_safetensors)?;
        let metadata = header.metadata().clone().ok_or("it has no metadata")?;
        let read = Self { tensors, metadata };
        let found = read.field("format")?;
        if found != format {
            return Err(format!("its format is `{found}`; this program reads `{format}`"));
        }
        Ok(read)
    }

    pub(super) fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    pub(super) fn field(&self, key: &str) -> Result<&String, String> {
        self.metadata.get(key).ok_or_else(|| format!("its metadata has no `{key}`"))
    }

    /// A field that is JSON.
    pub(super) fn parsed<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<T, String> {
        serde_json::from_str(self.field(key)?)
            .map_err(|error| format!("its metadata `{key}` makes no sense: {error}"))
    }

    pub(super) fn tensor(&self, name: &str) -> Result<TensorView<'a>, String> {
        let view = self.tensors.tensor(name).map_err(|_| format!("it has no tensor `{name}`"))?;
        if view.dtype() != Dtype::F32 {
            return Err(format!("`{name}` holds {:?}, not F32", view.dtype()));
        }
        Ok(view)
    }
}

pub(super) fn floats(view: &TensorView<'_>) -> Result<Vec<f32>, String> {
    let (chunks, _) = view.data().as_chunks::<F32_BYTES>();
    let values: Vec<f32> = chunks.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
    if values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err("it holds numbers that are not finite".into())
    }
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names and numbers serialise")
}
