//! Raw numbers as base64 within JSON: read as the raw numbers are, whatever the text around them.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use lethe::formats::json::JsonRows;
use lethe::formats::{Dtype, raw};
use lethe_fuzz::{assert_sound, numbers, seed_inputs, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds(), |data: &[u8]| {
    let Some((input, body)) = split(data) else { return };
    for (dtype, name) in [(Dtype::U8, "u8"), (Dtype::F32, "f32")] {
        let text = serde_json::json!({ "dtype": name, "base64": STANDARD.encode(body) }).to_string();
        let read = serde_json::from_str::<JsonRows>(&text).unwrap().check("", &input).ok();
        assert_eq!(read, raw::decode(Bytes::copy_from_slice(body), dtype, &input).ok());
    }
    // the body as the text itself
    if let Ok(text) = std::str::from_utf8(body) {
        let text = serde_json::json!({ "base64": text }).to_string();
        if let Ok(Ok(values)) = serde_json::from_str::<JsonRows>(&text).map(|rows| rows.check("", &input)) {
            assert_sound(&values, &input);
        }
    }
});

fn seeds() {
    seed_inputs("base64_rows", &[numbers(), b"AAECAwQF".to_vec()]);
}
