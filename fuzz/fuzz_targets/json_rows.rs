//! Rows as JSON: sound if they are read at all, and written as lists they are the same rows.
#![no_main]

use lethe::formats::json::JsonRows;
use lethe_fuzz::{assert_sound, floats, seed_inputs, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds(), |data: &[u8]| {
    let Some((input, body)) = split(data) else { return };
    let Ok(rows) = serde_json::from_slice::<JsonRows>(body) else { return };
    let Ok(values) = rows.check("/inputs", &input) else { return };
    assert_sound(&values, &input);
    let numbers = floats(&values);
    let lists: Vec<&[f32]> = numbers.chunks(input.n_features()).collect();
    let again: JsonRows = serde_json::from_str(&serde_json::to_string(&lists).unwrap()).unwrap();
    assert_eq!(floats(&again.check("", &input).unwrap()), numbers);
});

fn seeds() {
    let texts = [
        "[[0,255,7,1.5,2e1,3]]",
        "[1,2]",
        "[]",
        r#"[{"a":1,"b":2,"c":3},{"c":1,"b":2,"a":3}]"#,
        r#"{"base64":"AAECAwQF","dtype":"u8"}"#,
        r#"{"base64":"AACAPwAAgD8=","dtype":"f32"}"#,
    ];
    seed_inputs("json_rows", &texts.map(|text| text.as_bytes().to_vec()));
}
