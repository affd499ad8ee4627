//! Inference requests of the Open Inference Protocol: JSON and what stands behind it, split anywhere.
#![no_main]

use bytes::Bytes;
use lethe::http::v2::request::Request;
use lethe_fuzz::{assert_sound, numbers, seed_inputs, split};
use libfuzzer_sys::fuzz_target;

const CLASSES: usize = 3;

fuzz_target!(init: seeds(), |data: &[u8]| {
    let Some((input, body)) = split(data) else { return };
    let Some((length, body)) = body.split_first_chunk() else { return };
    let body = Bytes::copy_from_slice(body);
    // 0 stands for a body that is JSON alone
    let json_length = Some(usize::from(u16::from_le_bytes(*length))).filter(|&length| length > 0);
    let Ok(request) = Request::read(&body, json_length) else { return };
    if let Ok(wanted) = request.wanted(CLASSES) {
        assert!((1..=3).contains(&wanted.len()));
        assert!(wanted.iter().all(|one| one.n_best.is_none_or(|n_best| (1..=CLASSES).contains(&n_best))));
    }
    if let Ok(values) = request.rows(&input) {
        assert_sound(&values, &input);
    }
});

fn seeds() {
    let tensor = |datatype: &str, shape: &str, rest: &str| {
        format!(r#"{{"inputs":[{{"name":"input","datatype":"{datatype}","shape":{shape},{rest}}}]}}"#)
    };
    let flat = tensor("UINT8", "[1,2,3]", r#""data":[1,2,3,4,5,6]"#);
    let nested = tensor("FP32", "[3,2]", r#""data":[[0,1.5],[255,3],[4,5]]"#);
    let binary = tensor("FP32", "[2,3]", r#""parameters":{"binary_data_size":24}"#);
    let half = tensor("FP16", "[6,2]", r#""parameters":{"binary_data_size":24}"#);
    let named = flat.replacen('{', r#"{"outputs":[{"name":"logits","parameters":{"classification":2}}],"#, 1);
    let split = |json: &str| [&(json.len() as u16).to_le_bytes()[..], json.as_bytes(), &numbers()].concat();
    let alone = |json: &str| [&[0, 0][..], json.as_bytes()].concat();
    seed_inputs(
        "inference_requests",
        &[alone(&flat), alone(&nested), alone(&named), split(&binary), split(&half)],
    );
}
