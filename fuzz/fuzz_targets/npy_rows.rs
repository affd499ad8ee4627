//! npy files: the same rows whole and in pieces, and written again they are the same rows.
#![no_main]

use bytes::Bytes;
use lethe::data::InputSpec;
use lethe::formats::{Values, npy};
use lethe_fuzz::{assert_sound, floats, numbers, seed_inputs, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds(), |data: &[u8]| {
    let Some((input, body)) = split(data) else { return };
    let Some((&piece, body)) = body.split_first() else { return };
    let whole = npy::decode(Bytes::copy_from_slice(body), &input);
    let pieces = in_pieces(body, usize::from(piece) + 1, &input);
    let Ok(values) = whole else {
        // of many rows the first may have been taken before what is wrong came
        assert!(pieces.is_none_or(|rows| rows.len() > 4_096 * input.n_features()));
        return;
    };
    assert_sound(&values, &input);
    let numbers = floats(&values);
    assert_eq!(pieces.as_deref(), Some(&numbers[..]));

    let n_rows = (numbers.len() / input.n_features()) as u64;
    let mut file = npy::head("<f4", &[n_rows, input.n_features() as u64]);
    file.extend(numbers.iter().flat_map(|value| value.to_le_bytes()));
    assert_eq!(npy::decode(file.into(), &input), Ok(Values::F32(numbers)));
});

/// The rows of a file that comes a few bytes at a time; none if anything is wrong with it.
fn in_pieces(file: &[u8], len: usize, input: &InputSpec) -> Option<Vec<f32>> {
    let (mut head, mut rows, mut numbers) = (Vec::new(), None::<npy::Rows>, Vec::new());
    for piece in file.chunks(len) {
        match &mut rows {
            Some(rows) => rows.push(piece),
            None => {
                head.extend_from_slice(piece);
                rows = npy::Rows::begin(&head, input).ok()?;
            }
        }
        if let Some(rows) = &mut rows {
            numbers.extend(floats(&rows.take(input).ok()?));
        }
    }
    rows?.finish(input).ok()?;
    Some(numbers)
}

fn seeds() {
    let numbers = numbers();
    let arrays = [
        ("|u1", &[1, 2, 3][..], &numbers[..6]),
        ("<f4", &[2, 3], &numbers),
        ("<f4", &[3, 2], &numbers),
        (">i2", &[6], &numbers[..12]),
    ];
    let files = arrays.map(|(descr, shape, numbers)| [&[40][..], &npy::head(descr, shape), numbers].concat());
    seed_inputs("npy_rows", &files);
}
