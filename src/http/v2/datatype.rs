//! The protocol's data types, as far as they are numbers, and what they become: `f32`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The data type of an input's elements. `BOOL` and `BYTES` are no numbers, and not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Datatype {
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Fp32,
    Fp64,
}

impl Datatype {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
        }
    }

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::Uint8 | Self::Int8 => 1,
            Self::Uint16 | Self::Int16 | Self::Fp16 => 2,
            Self::Uint32 | Self::Int32 | Self::Fp32 => 4,
            Self::Uint64 | Self::Int64 | Self::Fp64 => 8,
        }
    }

    /// The least number of the type and the least above its greatest; `None` for floats.
    pub fn whole_range(self) -> Option<(f32, f32)> {
        let bits = self.size() as i32 * 8;
        match self {
            Self::Uint8 | Self::Uint16 | Self::Uint32 | Self::Uint64 => Some((0.0, 2_f32.powi(bits))),
            Self::Int8 | Self::Int16 | Self::Int32 | Self::Int64 => {
                Some((-2_f32.powi(bits - 1), 2_f32.powi(bits - 1)))
            }
            Self::Fp16 | Self::Fp32 | Self::Fp64 => None,
        }
    }

    /// Little-endian elements. `FP64` is rounded to the nearest `f32`, which may be infinite; whole numbers are
    /// not rounded.
    ///
    /// # Errors
    ///
    /// The index of the first whole number that no `f32` is equal to.
    ///
    /// # Panics
    ///
    /// If these are not whole elements.
    pub fn decode(self, bytes: &[u8]) -> Result<Vec<f32>, usize> {
        match self {
            Self::Uint8 => whole(bytes, u8::from_le_bytes),
            Self::Uint16 => whole(bytes, u16::from_le_bytes),
            Self::Uint32 => whole(bytes, u32::from_le_bytes),
            Self::Uint64 => whole(bytes, u64::from_le_bytes),
            Self::Int8 => whole(bytes, i8::from_le_bytes),
            Self::Int16 => whole(bytes, i16::from_le_bytes),
            Self::Int32 => whole(bytes, i32::from_le_bytes),
            Self::Int64 => whole(bytes, i64::from_le_bytes),
            Self::Fp16 => Ok(elements(bytes).map(|half| widened(u16::from_le_bytes(half))).collect()),
            Self::Fp32 => Ok(elements(bytes).map(f32::from_le_bytes).collect()),
            Self::Fp64 => Ok(elements(bytes).map(|double| f64::from_le_bytes(double) as f32).collect()),
        }
    }
}

fn elements<const SIZE: usize>(bytes: &[u8]) -> impl ExactSizeIterator<Item = [u8; SIZE]> {
    let (elements, rest) = bytes.as_chunks::<SIZE>();
    assert!(rest.is_empty(), "{} bytes are no whole elements of {SIZE}", bytes.len());
    elements.iter().copied()
}

fn whole<const SIZE: usize, T: Into<i128>>(
    bytes: &[u8],
    from_le_bytes: impl Fn([u8; SIZE]) -> T,
) -> Result<Vec<f32>, usize> {
    let numbers = elements(bytes).map(|element| exact(from_le_bytes(element).into()));
    numbers.enumerate().map(|(index, number)| number.ok_or(index)).collect()
}

/// The `f32` equal to a whole number, if there is one.
pub fn exact(number: i128) -> Option<f32> {
    let narrow = number as f32;
    (narrow as i128 == number).then_some(narrow)
}

/// IEEE 754 binary16 as binary32: always exact.
fn widened(half: u16) -> f32 {
    let (sign, exponent, fraction) = (u32::from(half >> 15), (half >> 10) & 0x1f, u32::from(half & 0x3ff));
    let magnitude = match exponent {
        // subnormal: units of 2^-24
        0 => fraction as f32 * 2_f32.powi(-24),
        0x1f => f32::from_bits(0xff << 23 | fraction << 13),
        // from a bias of 15 to one of 127
        _ => f32::from_bits((u32::from(exponent) + 127 - 15) << 23 | fraction << 13),
    };
    f32::from_bits(magnitude.to_bits() | sign << 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_decoded_little_endian() {
        for (datatype, bytes) in [
            (Datatype::Uint8, &[3][..]),
            (Datatype::Int8, &[3]),
            (Datatype::Uint16, &3_u16.to_le_bytes()),
            (Datatype::Int16, &3_i16.to_le_bytes()),
            (Datatype::Uint32, &3_u32.to_le_bytes()),
            (Datatype::Int32, &3_i32.to_le_bytes()),
            (Datatype::Uint64, &3_u64.to_le_bytes()),
            (Datatype::Int64, &3_i64.to_le_bytes()),
            (Datatype::Fp16, &[0x00, 0x42]),
            (Datatype::Fp32, &3_f32.to_le_bytes()),
            (Datatype::Fp64, &3_f64.to_le_bytes()),
        ] {
            assert_eq!(bytes.len(), datatype.size(), "{datatype:?}");
            assert_eq!(serde_json::to_value(datatype).unwrap(), datatype.name());
            assert_eq!(datatype.decode(bytes), Ok(vec![3.0]), "{datatype:?}");
        }
        assert_eq!(Datatype::Int8.decode(&[0x80, 0xff]), Ok(vec![-128.0, -1.0]));
        assert_eq!(Datatype::Int16.decode(&[0x00, 0x80, 1, 0]), Ok(vec![-32768.0, 1.0]));
    }

    #[test]
    fn whole_numbers_are_taken_exactly_or_not_at_all() {
        let largest = 1_u32 << 24;
        let bytes: Vec<u8> = [largest, largest + 1].iter().flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!(Datatype::Uint32.decode(&bytes[..4]), Ok(vec![16_777_216.0]));
        assert_eq!(Datatype::Uint32.decode(&bytes), Err(1));
        assert_eq!(Datatype::Int64.decode(&i64::MIN.to_le_bytes()), Ok(vec![i64::MIN as f32]));
        assert_eq!(Datatype::Int64.decode(&i64::MAX.to_le_bytes()), Err(0));
        assert_eq!(Datatype::Uint64.decode(&u64::MAX.to_le_bytes()), Err(0));
    }

    #[test]
    fn half_precision_is_widened_exactly() {
        for (half, single) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65_504.0),
            (0x0400, 2_f32.powi(-14)),
            (0x0001, 2_f32.powi(-24)),
            (0x83ff, -1_023.0 * 2_f32.powi(-24)),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(widened(half), single, "{half:#06x}");
        }
        assert!(widened(0x8000).is_sign_negative());
        assert!(widened(0x7e00).is_nan() && widened(0xfc01).is_nan());
    }

    #[test]
    fn ranges_are_those_of_the_types() {
        assert_eq!(Datatype::Uint8.whole_range(), Some((0.0, 256.0)));
        assert_eq!(Datatype::Int16.whole_range(), Some((-32_768.0, 32_768.0)));
        assert_eq!(Datatype::Fp32.whole_range(), None);
    }
}
