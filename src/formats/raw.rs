//! Raw numbers, nothing before and nothing behind them.

use super::{Dtype, Fault, MAX_ROWS, Values, checked};
use crate::data::InputSpec;
use bytes::Bytes;

/// At most [`MAX_ROWS`] whole rows; bytes are not copied.
pub fn decode(body: Bytes, dtype: Dtype, input: &InputSpec) -> Result<Values, Fault> {
    let n_features = input.n_features();
    match dtype {
        Dtype::U8 if matches!(input, InputSpec::Vector { .. }) => {
            let detail = "this model takes floats; send them as little-endian `f32`";
            Err(Fault::whole(detail))
        }
        Dtype::U8 => {
            check_length(body.len(), n_features, "bytes (one a pixel)")?;
            Ok(Values::U8(body))
        }
        Dtype::F32 => {
            let unit = format!("bytes ({n_features} little-endian f32)");
            check_length(body.len(), n_features * size_of::<f32>(), &unit)?;
            let (floats, _) = body.as_chunks::<4>();
            checked(floats.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(), 0, input)
        }
    }
}

fn check_length(len: usize, row_len: usize, unit: &str) -> Result<(), Fault> {
    if len == 0 || !len.is_multiple_of(row_len) {
        let detail = format!("the body must have a multiple of {row_len} {unit}, not {len} bytes");
        Err(Fault::whole(detail))
    } else if len / row_len > MAX_ROWS {
        Err(Fault::whole(format!("the body must have at most {MAX_ROWS} rows, not {}", len / row_len)))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: InputSpec = InputSpec::Image { height: 1, width: 2 };

    fn vector() -> InputSpec {
        InputSpec::Vector { n_features: 2, columns: None }
    }

    fn bytes_of(floats: &[f32]) -> Bytes {
        floats.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn bytes_and_floats_are_rows_as_they_stand() {
        let body = Bytes::from_static(&[0, 255, 51, 7]);
        assert_eq!(decode(body.clone(), Dtype::U8, &IMAGE), Ok(Values::U8(body)));
        let floats = [0.0, 255.0, 51.5, 7.0];
        assert_eq!(decode(bytes_of(&floats), Dtype::F32, &IMAGE), Ok(Values::F32(floats.to_vec())));
        assert_eq!(decode(bytes_of(&[-1e30, 3.0]), Dtype::F32, &vector()).unwrap().len(), 2);
    }

    #[test]
    fn a_length_that_is_not_whole_rows_is_refused() {
        for (len, dtype) in [(0, Dtype::U8), (1, Dtype::U8), (4, Dtype::F32), (2 * (MAX_ROWS + 1), Dtype::U8)]
        {
            let fault = decode(vec![0; len].into(), dtype, &IMAGE).unwrap_err();
            assert_eq!(fault.pointer, "", "{len}");
        }
        assert!(decode(Bytes::from_static(&[1, 2]), Dtype::U8, &vector()).is_err());
    }

    #[test]
    fn a_number_no_row_can_hold_is_pointed_at() {
        for bad in [f32::NAN, f32::INFINITY, 256.0, -1.0] {
            let fault = decode(bytes_of(&[0.0, 0.0, 0.0, bad]), Dtype::F32, &IMAGE).unwrap_err();
            assert_eq!(fault.pointer, "/1/1", "{bad}");
        }
        assert!(decode(bytes_of(&[0.0, f32::NAN]), Dtype::F32, &vector()).is_err());
    }
}
