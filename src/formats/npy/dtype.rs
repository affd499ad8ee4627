//! The types of numbers numpy writes, as its `descr` names them: byte order, kind, size.

/// A type of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dtype {
    kind: Kind,
    size: usize,
    is_big_endian: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Unsigned,
    Signed,
    Float,
}

impl Dtype {
    /// `|u1`.
    pub const BYTE: Self = Self { kind: Kind::Unsigned, size: 1, is_big_endian: false };

    /// Booleans, integers of 1 to 8 bytes, floats of 4 and 8.
    pub fn parse(descr: &str) -> Option<Self> {
        let (order, rest) = descr.split_at_checked(1)?;
        let (kind, size) = rest.split_at_checked(1)?;
        let size: usize = size.parse().ok()?;
        let (kind, is_known) = match kind {
            "b" => (Kind::Bool, size == 1),
            "u" => (Kind::Unsigned, matches!(size, 1 | 2 | 4 | 8)),
            "i" => (Kind::Signed, matches!(size, 1 | 2 | 4 | 8)),
            "f" => (Kind::Float, matches!(size, 4 | 8)),
            _ => return None,
        };
        let is_big_endian = match order {
            "<" => false,
            ">" => size > 1,
            "|" if size == 1 => false,
            _ => return None,
        };
        is_known.then_some(Self { kind, size, is_big_endian })
    }

    /// Bytes of one number.
    pub const fn size(self) -> usize {
        self.size
    }

    /// Numbers as the nearest `f32`; `bytes` must be whole ones. Floats may come out infinite or NaN.
    pub fn floats(self, bytes: &[u8]) -> Vec<f32> {
        if self == (Self { kind: Kind::Float, size: 4, is_big_endian: false }) {
            let (numbers, _) = bytes.as_chunks::<4>();
            return numbers.iter().map(|&number| f32::from_le_bytes(number)).collect();
        }
        bytes.chunks_exact(self.size).map(|number| self.float(number)).collect()
    }

    fn float(self, number: &[u8]) -> f32 {
        let mut low = [0; 8];
        for (place, &byte) in number.iter().enumerate() {
            low[if self.is_big_endian { self.size - 1 - place } else { place }] = byte;
        }
        let bits = u64::from_le_bytes(low);
        match self.kind {
            Kind::Bool => f32::from(u8::from(bits != 0)),
            Kind::Unsigned => bits as f32,
            Kind::Signed => {
                // the sign bit to the top, and back with copies of itself
                let shift = 64 - 8 * self.size as u32;
                ((bits << shift).cast_signed() >> shift) as f32
            }
            Kind::Float if self.size == 4 => f32::from_bits(bits as u32),
            Kind::Float => f64::from_bits(bits) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(descr: &str, bytes: &[u8]) -> Vec<f32> {
        Dtype::parse(descr).unwrap().floats(bytes)
    }

    #[test]
    fn every_kind_becomes_floats() {
        assert_eq!(floats("|u1", &[0, 255]), [0.0, 255.0]);
        assert_eq!(floats("|b1", &[0, 1]), [0.0, 1.0]);
        assert_eq!(floats("|i1", &[0x80, 127]), [-128.0, 127.0]);
        assert_eq!(floats("<u2", &[1, 2]), [513.0]);
        assert_eq!(floats(">u2", &[1, 2]), [258.0]);
        assert_eq!(floats("<i4", &(-7_i32).to_le_bytes()), [-7.0]);
        assert_eq!(floats(">i8", &i64::MIN.to_be_bytes()), [i64::MIN as f32]);
        assert_eq!(floats("<u8", &u64::MAX.to_le_bytes()), [u64::MAX as f32]);
        assert_eq!(floats("<f4", &1.5_f32.to_le_bytes()), [1.5]);
        assert_eq!(floats(">f4", &1.5_f32.to_be_bytes()), [1.5]);
        assert_eq!(floats("<f8", &0.1_f64.to_le_bytes()), [0.1]);
        assert_eq!(floats("<f8", &1e300_f64.to_le_bytes()), [f32::INFINITY]);
    }

    #[test]
    fn other_types_are_not_numbers_here() {
        for descr in
            ["", "<", "<f", "<f2", "<c8", "|O", "<U3", "|u2", "=u1", "<i3", "<b2", "u1", "<f4 ", "é1"]
        {
            assert_eq!(Dtype::parse(descr), None, "{descr}");
        }
    }
}
