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

/// Numbers under a name.
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// As many as the shape says, the last dimension innermost.
    pub(super) numbers: Vec<f32>,
}

impl Tensor {
    /// The numbers as files have them, little-endian.
    pub(super) fn bytes(&self) -> Vec<u8> {
        bytes(&self.numbers)
    }
}

/// Little-endian. Not one byte after another: a network has a million of them.
pub(super) fn bytes(numbers: &[f32]) -> Vec<u8> {
    let numbers: Vec<[u8; F32_BYTES]> = numbers.iter().map(|number| number.to_le_bytes()).collect();
    numbers.into_flattened()
}

/// A tensor in the header.
#[derive(Serialize)]
struct Entry {
    dtype: &'static str,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// A file of these tensors, in their order.
pub(super) fn write(
    metadata: &BTreeMap<String, String>,
    tensors: impl IntoIterator<Item = Tensor>,
) -> Vec<u8> {
    let mut header = format!("{{\"__metadata__\":{}", json(metadata));
    let mut numbers = Vec::new();
    for tensor in tensors {
        let begin = numbers.len();
        numbers.extend(tensor.bytes());
        let data_offsets = [begin, numbers.len()];
        let entry = Entry { dtype: "F32", shape: tensor.shape, data_offsets };
        header += &format!(",{}:{}", json(&tensor.name), json(&entry));
    }
    header.push('}');
    // the data begins at a multiple of eight bytes
    let padded = header.len().next_multiple_of(8);
    header.extend(std::iter::repeat_n(' ', padded - header.len()));
    [&(padded as u64).to_le_bytes()[..], header.as_bytes(), &numbers].concat()
}

/// A file's tensors and metadata, nothing in it trusted.
pub(super) struct Read<'a> {
    pub(super) tensors: SafeTensors<'a>,
    metadata: HashMap<String, String>,
}

impl<'a> Read<'a> {
    /// Of this format.
    pub(super) fn new(bytes: &'a [u8], format: &str) -> Result<Self, String> {
        let read = Self::of_any_format(bytes)?;
        let found = read.field("format")?;
        if found != format {
            return Err(format!("its format is `{found}`; this program reads `{format}`"));
        }
        Ok(read)
    }

    /// Whoever wrote it, with metadata or without.
    pub(super) fn of_any_format(bytes: &'a [u8]) -> Result<Self, String> {
        let declared = bytes.first_chunk().copied().map(u64::from_le_bytes);
        let declared = declared.ok_or("it is too short to be a safetensors file")?;
        if declared > MAX_HEADER_BYTES {
            return Err(format!("its header claims {declared} bytes; at most {MAX_HEADER_BYTES} are read"));
        }
        let not_safetensors = |error| format!("it is not a safetensors file: {error:?}");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(not_safetensors)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(not_safetensors)?;
        Ok(Self { tensors, metadata: header.metadata().clone().unwrap_or_default() })
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
