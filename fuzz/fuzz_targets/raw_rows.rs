//! Raw numbers: what is decoded is what stands there, and written again gives the same bytes.
#![no_main]

use bytes::Bytes;
use lethe::formats::{Dtype, Values, raw};
use lethe_fuzz::{assert_sound, numbers, seed_inputs, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds(), |data: &[u8]| {
    let Some((input, body)) = split(data) else { return };
    for dtype in [Dtype::U8, Dtype::F32] {
        let Ok(values) = raw::decode(Bytes::copy_from_slice(body), dtype, &input) else { continue };
        assert_sound(&values, &input);
        let written: Vec<u8> = match &values {
            Values::U8(values) => values.to_vec(),
            Values::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        assert_eq!(written, body);
    }
});

fn seeds() {
    seed_inputs("raw_rows", &[numbers()[..6].to_vec(), numbers()]);
}
