//! The IDX format of the MNIST files: two zero bytes, an element type, a rank, big-endian dimensions,
//! then the elements in row-major order. Files may be gzipped.
//!
//! Every size is bounded before memory is spent on it: the decompressed length by the caller's limit,
//! the declared dimensions by the bytes that are really there.

use flate2::bufread::MultiGzDecoder;
use std::borrow::Cow;
use std::io::Read;

/// Why bytes are not the IDX file they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdxError {
    #[error("it holds more than the {limit} bytes allowed for it")]
    TooLarge { limit: u64 },
    #[error("its gzip stream is broken: {0}")]
    Gzip(String),
    #[error("its header is cut off after {found} of {expected} bytes")]
    HeaderCutOff { expected: usize, found: usize },
    #[error("it starts with {found:#010x}, not with {expected:#010x} ({what})")]
    WrongMagic { expected: u32, found: u32, what: &'static str },
    #[error("its dimension {axis} is zero")]
    ZeroDimension { axis: usize },
    #[error("its dimensions {0:?} are larger than any file")]
    Overflow(Vec<u32>),
    #[error("it declares {expected} bytes of data and holds {found}")]
    WrongLength { expected: usize, found: usize },
}

/// Grey images, row-major, one byte a pixel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Images<'a> {
    pub n: u32,
    pub height: u32,
    pub width: u32,
    pub pixels: &'a [u8],
}

/// A table of integers, row-major, as QMNIST's extended labels come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntTable {
    pub n_rows: u32,
    pub n_columns: u32,
    pub values: Vec<i32>,
}

/// The file's own bytes: decompressed if they start as gzip does, at most `limit` of them.
pub fn inflate(raw: &[u8], limit: u64) -> Result<Cow<'_, [u8]>, IdxError> {
    if !raw.starts_with(&[0x1f, 0x8b]) {
        let fits = raw.len() as u64 <= limit;
        return if fits { Ok(Cow::Borrowed(raw)) } else { Err(IdxError::TooLarge { limit }) };
    }
    let mut plain = Vec::new();
    MultiGzDecoder::new(raw)
        .take(limit.saturating_add(1))
        .read_to_end(&mut plain)
        .map_err(|error| IdxError::Gzip(error.to_string()))?;
    if plain.len() as u64 > limit {
        return Err(IdxError::TooLarge { limit });
    }
    Ok(Cow::Owned(plain))
}

/// Reads an image file (`0x00000803`: bytes, rank 3).
pub fn images(plain: &[u8]) -> Result<Images<'_>, IdxError> {
    let ([n, height, width], pixels) = parse(plain, ElementType::U8, "images: bytes, rank 3")?;
    Ok(Images { n, height, width, pixels })
}

/// Reads a label file (`0x00000801`: bytes, rank 1).
pub fn labels(plain: &[u8]) -> Result<&[u8], IdxError> {
    let ([_], labels) = parse(plain, ElementType::U8, "labels: bytes, rank 1")?;
    Ok(labels)
}

/// Reads a table of integers (`0x00000C02`: int32, rank 2).
pub fn int_table(plain: &[u8]) -> Result<IntTable, IdxError> {
    let ([n_rows, n_columns], data) = parse(plain, ElementType::I32, "extended labels: int32, rank 2")?;
    let words = data.as_chunks::<4>().0;
    Ok(IntTable { n_rows, n_columns, values: words.iter().map(|&word| i32::from_be_bytes(word)).collect() })
}

#[derive(Clone, Copy)]
enum ElementType {
    U8,
    I32,
}

impl ElementType {
    const fn code(self) -> u32 {
        match self {
            Self::U8 => 0x08,
            Self::I32 => 0x0c,
        }
    }

    const fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I32 => 4,
        }
    }
}

/// Checks the header and that exactly the declared data follows it.
fn parse<'a, const RANK: usize>(
    plain: &'a [u8],
    element: ElementType,
    what: &'static str,
) -> Result<([u32; RANK], &'a [u8]), IdxError> {
    let header_len = 4 + 4 * RANK;
    let cut_off = IdxError::HeaderCutOff { expected: header_len, found: plain.len() };
    let (magic, rest) = plain.split_first_chunk::<4>().ok_or_else(|| cut_off.clone())?;
    let found = u32::from_be_bytes(*magic);
    let expected = element.code() << 8 | RANK as u32;
    if found != expected {
        return Err(IdxError::WrongMagic { expected, found, what });
    }
    if rest.len() < 4 * RANK {
        return Err(cut_off);
    }
    let (header, data) = rest.split_at(4 * RANK);
    let mut dims = [0; RANK];
    for (axis, (dim, word)) in dims.iter_mut().zip(header.as_chunks::<4>().0).enumerate() {
        *dim = u32::from_be_bytes(*word);
        if *dim == 0 {
            return Err(IdxError::ZeroDimension { axis });
        }
    }
    let expected = dims
        .iter()
        .try_fold(element.size(), |size, &dim| size.checked_mul(usize::try_from(dim).ok()?))
        .ok_or_else(|| IdxError::Overflow(dims.to_vec()))?;
    if data.len() != expected {
        return Err(IdxError::WrongLength { expected, found: data.len() });
    }
    Ok((dims, data))
}

impl std::fmt::Debug for Images<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Images({} of {}×{})", self.n, self.height, self.width)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    pub(crate) fn encode(code: u8, dims: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, code, u8::try_from(dims.len()).unwrap()];
        bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Whatever a reader makes of `raw`, it must return.
    fn read_all(raw: &[u8]) -> [bool; 3] {
        let Ok(plain) = inflate(raw, 1 << 16) else { return [false; 3] };
        [images(&plain).is_ok(), labels(&plain).is_ok(), int_table(&plain).is_ok()]
    }

    proptest! {
        #[test]
        fn images_survive_a_round_trip(n in 1_u32..5, height in 1_u32..6, width in 1_u32..6, zipped: bool, fill: u8) {
            let pixels: Vec<u8> = (0..n * height * width).map(|i| (i as u8).wrapping_mul(7) ^ fill).collect();
            let plain = encode(8, &[n, height, width], &pixels);
            let raw = if zipped { gzip(&plain) } else { plain };
            let bytes = inflate(&raw, 1 << 16).unwrap();
            prop_assert_eq!(images(&bytes).unwrap(), Images { n, height, width, pixels: &pixels });
        }

        #[test]
        fn labels_survive_a_round_trip(labels_in in proptest::collection::vec(any::<u8>(), 1..50), zipped: bool) {
            let plain = encode(8, &[u32::try_from(labels_in.len()).unwrap()], &labels_in);
            let raw = if zipped { gzip(&plain) } else { plain };
            let bytes = inflate(&raw, 1 << 16).unwrap();
            prop_assert_eq!(labels(&bytes).unwrap(), &labels_in[..]);
        }

        #[test]
        fn integers_survive_a_round_trip(values in proptest::collection::vec(any::<[i32; 3]>(), 1..20)) {
            let flat: Vec<i32> = values.iter().flatten().copied().collect();
            let data: Vec<u8> = flat.iter().flat_map(|value| value.to_be_bytes()).collect();
            let plain = encode(12, &[u32::try_from(values.len()).unwrap(), 3], &data);
            let table = int_table(&plain).unwrap();
            prop_assert_eq!((table.n_columns, table.values), (3, flat));
        }

        #[test]
        fn flipped_bytes_never_panic(flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6), zipped: bool, code in prop_oneof![Just(8_u8), Just(12)], rank in 1_usize..4) {
            let dims = &[2, 3, 4][..rank];
            let n: u32 = dims.iter().product::<u32>() * if code == 12 { 4 } else { 1 };
            let plain = encode(code, dims, &vec![9; n as usize]);
            let mut raw = if zipped { gzip(&plain) } else { plain };
            for (at, flip) in flips {
                let at = at % raw.len();
                raw[at] ^= flip;
            }
            read_all(&raw);
        }

        #[test]
        fn arbitrary_bytes_never_panic(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            read_all(&raw);
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        let files =
            [encode(8, &[2, 3, 4], &[7; 24]), encode(8, &[5], &[7; 5]), encode(12, &[2, 3], &[7; 24])];
        for plain in files {
            assert!(read_all(&plain).contains(&true));
            for len in 0..plain.len() {
                assert_eq!(read_all(&plain[..len]), [false; 3], "cut to {len} bytes");
            }
            let zipped = gzip(&plain);
            assert!(read_all(&zipped).contains(&true));
            for len in 0..zipped.len() {
                assert_eq!(read_all(&zipped[..len]), [false; 3], "gzip cut to {len} bytes");
            }
        }
    }

    #[test]
    fn each_defect_has_its_own_message() {
        let overlong = encode(8, &[2], &[1, 2, 3]);
        assert_eq!(labels(&overlong), Err(IdxError::WrongLength { expected: 2, found: 3 }));
        assert_eq!(labels(&encode(8, &[0], &[])), Err(IdxError::ZeroDimension { axis: 0 }));
        assert_eq!(images(&encode(8, &[3, 0, 2], &[])).unwrap_err().to_string(), "its dimension 1 is zero");
        assert_eq!(
            images(&encode(8, &[3], &[1, 2, 3])).unwrap_err().to_string(),
            "it starts with 0x00000801, not with 0x00000803 (images: bytes, rank 3)"
        );
        let vast = encode(8, &[u32::MAX; 3], &[1]);
        assert_eq!(images(&vast), Err(IdxError::Overflow(vec![u32::MAX; 3])));
        let missing = encode(8, &[1_000_000, 1000], &[1]);
        assert!(matches!(int_table(&missing), Err(IdxError::WrongMagic { .. })));
        assert_eq!(labels(&[0, 0, 8, 1, 0]), Err(IdxError::HeaderCutOff { expected: 8, found: 5 }));
    }

    #[test]
    fn a_small_file_that_inflates_without_end_is_refused_at_the_limit() {
        let bomb = gzip(&vec![0; 1 << 20]);
        assert!(bomb.len() < 1 << 13);
        assert_eq!(inflate(&bomb, 1000), Err(IdxError::TooLarge { limit: 1000 }));
        assert_eq!(inflate(&[0; 20], 19), Err(IdxError::TooLarge { limit: 19 }));
        assert_eq!(inflate(&bomb, 1 << 20).unwrap().len(), 1 << 20);
    }

    #[test]
    fn bytes_after_the_gzip_stream_are_an_error() {
        let mut raw = gzip(&encode(8, &[1], &[1]));
        raw.extend(b"tail");
        assert!(matches!(inflate(&raw, 100), Err(IdxError::Gzip(_))));
    }
}
