//! Newline-delimited JSON: lines do not depend on how the text is cut, and rows on them are sound.
#![no_main]

use lethe::formats::json::Line;
use lethe::formats::lines::{Lines, TooLong};
use lethe_fuzz::{assert_sound, seed_inputs, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds(), |data: &[u8]| {
    let Some((input, body)) = split(data) else { return };
    let Some((&piece, body)) = body.split_first() else { return };
    let lines = lines_of(body, usize::from(piece) + 1);
    assert_eq!(lines, lines_of(body, body.len().max(1)));
    for line in lines.into_iter().flatten() {
        assert!(!line.contains(&b'\n'));
        let Ok(Line { rows, at, .. }) = serde_json::from_slice(&line) else { continue };
        if let Ok(values) = rows.check(at, &input) {
            assert_sound(&values, &input);
        }
    }
});

fn lines_of(text: &[u8], len: usize) -> Result<Vec<Vec<u8>>, TooLong> {
    let (mut lines, mut found) = (Lines::default(), Vec::new());
    for piece in text.chunks(len) {
        lines.push(piece, |line| {
            found.push(line.to_vec());
            Ok::<_, TooLong>(())
        })?;
    }
    found.extend(lines.finish());
    Ok(found)
}

fn seeds() {
    let texts = [
        "\u{8}[1,2]\n{\"inputs\":[3,4],\"id\":\"x\"}\r\n\n{\"id\":-7,\"inputs\":{\"a\":1,\"b\":2,\"c\":3}}",
        "\u{2}[0,1,2,3,4,5]\n[[1]]\n",
    ];
    seed_inputs("json_lines", &texts.map(|text| text.as_bytes().to_vec()));
}
