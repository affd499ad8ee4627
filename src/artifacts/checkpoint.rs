//! The safetensors form of a training's state.
//!
//! Tensors have one dimension and lie as in memory; they are for the build that wrote them, or one like it. Metadata:
//! `format`, and `cursor`, JSON of everything that is not a tensor.

use super::Artifact;
use super::file::{Read, Tensor, floats, json, write};
use crate::nn::State;
use std::collections::BTreeMap;

const FORMAT: &str = "lethe.checkpoint.v1";

impl Artifact for State {
    const WHAT: &str = "checkpoint";
    const FILES: &str = "checkpoints";

    fn encode(&self) -> Vec<u8> {
        let metadata =
            BTreeMap::from([("format".into(), FORMAT.into()), ("cursor".into(), json(&self.cursor))]);
        let tensors = self.tensors.iter().map(|(name, values)| Tensor {
            name: name.clone(),
            shape: vec![values.len()],
            numbers: values.clone(),
        });
        write(&metadata, tensors)
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let file = Read::new(bytes, FORMAT)?;
        let tensor = |name: &String| Ok((name.clone(), floats(&file.tensor(name)?)?));
        let names = file.tensors.names();
        let tensors =
            names.into_iter().map(|name| tensor(&name.to_owned())).collect::<Result<_, String>>()?;
        Ok(Self { cursor: file.parsed("cursor")?, tensors })
    }
}
