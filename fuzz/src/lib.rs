//! What the targets share: what they begin from, inputs of models, and what decoded rows must be.

use lethe::data::InputSpec;
use lethe::formats::Values;
use std::fs;

/// Images and vectors of few numbers, so that whole rows are found early.
pub fn inputs() -> [InputSpec; 4] {
    let columns = Some(["a", "b", "c"].map(str::to_owned).to_vec());
    [
        InputSpec::Image { height: 2, width: 3 },
        InputSpec::Image { height: 1, width: 1 },
        InputSpec::Vector { n_features: 2, columns: None },
        InputSpec::Vector { n_features: 3, columns },
    ]
}

/// The first byte chooses the input, the others are the body.
pub fn split(data: &[u8]) -> Option<(InputSpec, &[u8])> {
    let (&choice, body) = data.split_first()?;
    let [image, pixel, vector, table] = inputs();
    let input = match choice % 4 {
        0 => image,
        1 => pixel,
        2 => vector,
        _ => table,
    };
    Some((input, body))
}

/// The decoded numbers.
pub fn floats(values: &Values) -> Vec<f32> {
    match values {
        Values::U8(values) => values.iter().map(|&value| f32::from(value)).collect(),
        Values::F32(values) => values.clone(),
    }
}

/// Exactly n·D finite numbers, n > 0, pixels within their range.
pub fn assert_sound(values: &Values, input: &InputSpec) {
    let is_image = matches!(input, InputSpec::Image { .. });
    assert!(!values.is_empty() && values.len().is_multiple_of(input.n_features()));
    for value in floats(values) {
        assert!(value.is_finite() && (!is_image || (0.0..=255.0).contains(&value)), "{value}");
    }
}

/// Writes what a target begins from to its corpus.
pub fn seed(target: &str, seeds: &[Vec<u8>]) {
    let folder = format!("{}/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(&folder).expect("a folder for the corpus");
    for (n, seed) in seeds.iter().enumerate() {
        fs::write(format!("{folder}/seed-{n}"), seed).expect("a file in it");
    }
}

/// The same for targets whose first byte chooses the input: every body with every choice.
pub fn seed_inputs(target: &str, bodies: &[Vec<u8>]) {
    let with_choices =
        bodies.iter().flat_map(|body| (0..4).map(move |choice| [&[choice][..], body].concat()));
    seed(target, &with_choices.collect::<Vec<_>>());
}

/// Six numbers, little-endian.
pub fn numbers() -> Vec<u8> {
    [0.0_f32, 1.5, 255.0, 3.0, 4.0, 5.0].iter().flat_map(|value| value.to_le_bytes()).collect()
}
