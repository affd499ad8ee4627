//! Safetensors: a file that is taken in is a whole network of finite numbers, and comes back the same from what is written of it.
#![no_main]

use lethe::artifacts::{Artifact, Layout, Model, import, npz, onnx};
use lethe::data::InputSpec;
use lethe::nn::{Mlp, Shape};
use lethe_fuzz::{seed, split};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

fuzz_target!(init: seeds(), |data: &[u8]| {
    let Some((input, body)) = split(data) else { return };
    let layout = match input {
        InputSpec::Image { height, width } => Layout::Image { height, width },
        InputSpec::Vector { columns: Some(names), .. } => Layout::Columns(names),
        InputSpec::Vector { .. } => Layout::Vector,
    };
    for layout in [None, Some(layout)] {
        let Ok(model) = import(body, layout) else { continue };
        assert!(model.mlp.is_finite());
        assert_eq!(model.mlp.shape().n_features(), model.input.n_features());
        assert_eq!(model.mlp.shape().n_classes(), model.class_names.len());
        let digest = "sha256:00";
        assert!(!npz(&model, digest).is_empty() && !onnx(&model, digest).is_empty());
        assert_eq!(import(&model.encode(), None).as_ref(), Ok(&model));
    }
});

fn seeds() {
    let shape = Shape { widths: vec![6, 2, 3], output_relu: true };
    let params: Vec<f32> = (0..shape.n_params()).map(|i| i as f32 / 8.0 - 1.0).collect();
    let model = Model {
        mlp: Mlp::from_params(shape, &params),
        input: InputSpec::Image { height: 2, width: 3 },
        class_names: ["a", "b", "c"].map(str::to_owned).to_vec(),
        lineage: BTreeMap::from([("run".to_owned(), "x".to_owned())]),
    };
    let ours = model.encode();
    seed("model_files", &[[&[0][..], &ours].concat(), [&[0][..], &of_another_program(ours)].concat()]);
}

/// The same file under another name of its format.
fn of_another_program(mut file: Vec<u8>) -> Vec<u8> {
    let format = b"lethe.mlp";
    let at = file.windows(format.len()).position(|window| window == format).expect("it says its format");
    file[at..at + format.len()].copy_from_slice(b"other.mlp");
    file
}
