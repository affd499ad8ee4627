//! The head of a file: magic bytes, the format's version, and a Python dictionary as text.
//!
//! `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 784), }`, padded with spaces so that the numbers begin at a
//! multiple of 64 bytes.

use super::super::Fault;
use super::dtype::Dtype;
use crate::data::InputSpec;
use std::fmt::Write;

const MAGIC: &[u8] = b"\x93NUMPY";
/// Bytes of the dictionary, at most: what numpy itself takes without being told to trust the file.
const MAX_TEXT: usize = 10_000;
/// Dimensions, at most: what numpy has.
const MAX_DIMENSIONS: usize = 64;

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub(super) dtype: Dtype,
    shape: Vec<u64>,
}

impl Header {
    /// The head at the beginning of `bytes` and its length, or `None` if more bytes are needed to tell.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Fault> {
        let known = bytes.len().min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            return Err(Fault::whole("the body is not an npy file: it does not begin with `\\x93NUMPY`"));
        }
        let Some(&[major, minor]) = bytes.get(6..8) else { return Ok(None) };
        let (start, text_len) = match (major, minor) {
            (1, 0) => match bytes.get(8..10) {
                Some(len) => (10, u32::from(len[0]) | u32::from(len[1]) << 8),
                None => return Ok(None),
            },
            (2 | 3, 0) => match bytes.get(8..12) {
                Some(len) => (12, u32::from_le_bytes([len[0], len[1], len[2], len[3]])),
                None => return Ok(None),
            },
            _ => {
                let detail =
                    format!("npy files of version {major}.{minor} are not known; 1.0, 2.0 and 3.0 are");
                return Err(Fault::whole(detail));
            }
        };
        let text_len = text_len as usize;
        if text_len > MAX_TEXT {
            let detail =
                format!("the head of the npy file must have at most {MAX_TEXT} bytes, not {text_len}");
            return Err(Fault::whole(detail));
        }
        let Some(text) = bytes.get(start..start + text_len) else { return Ok(None) };
        let header = std::str::from_utf8(text).ok().map_or_else(|| Err("not text".to_owned()), Self::of_text);
        match header {
            Ok(header) => Ok(Some((header, start + text_len))),
            Err(detail) => Err(Fault::whole(format!("the head of the npy file is {detail}"))),
        }
    }

    fn of_text(text: &str) -> Result<Self, String> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        let mut reader = Reader(text);
        reader.expect('{')?;
        while !reader.skip('}') {
            let key = reader.text()?;
            reader.expect(':')?;
            let is_new = match key {
                "descr" => descr.replace(reader.text()?).is_none(),
                "fortran_order" => fortran.replace(reader.boolean()?).is_none(),
                "shape" => shape.replace(reader.tuple()?).is_none(),
                _ => return Err(format!("not an array's: it has the key `{key}`")),
            };
            if !is_new {
                return Err(format!("ambiguous: it says `{key}` twice"));
            }
            if !reader.skip(',') {
                reader.expect('}')?;
                break;
            }
        }
        reader.end()?;
        let (Some(descr), Some(is_fortran), Some(shape)) = (descr, fortran, shape) else {
            return Err("not whole: it needs `descr`, `fortran_order` and `shape`".to_owned());
        };
        if is_fortran {
            let order = "of an array in Fortran order; save `numpy.ascontiguousarray(array)`";
            return Err(order.to_owned());
        }
        let dtype = Dtype::parse(descr).ok_or_else(|| {
            format!(
                "of an array of `{descr}`; bool, int8 to int64, uint8 to uint64, float32 and float64 are read"
            )
        })?;
        Ok(Self { dtype, shape })
    }

    /// Rows of the array: `[N, D]` or one `[D]`, of pictures also `[N, H, W]` and one `[H, W]`.
    pub fn n_rows(&self, input: &InputSpec) -> Result<u64, Fault> {
        let n_features = input.n_features() as u64;
        let sides = match *input {
            InputSpec::Image { height, width } => Some([u64::from(height), u64::from(width)]),
            InputSpec::Vector { .. } => None,
        };
        let n_rows = match self.shape[..] {
            [d] if d == n_features => 1,
            [n, d] if d == n_features => n,
            [h, w] if sides == Some([h, w]) => 1,
            [n, h, w] if sides == Some([h, w]) => n,
            _ => {
                let pictures =
                    sides.map_or_else(String::new, |[h, w]| format!(", [N, {h}, {w}] or [{h}, {w}]"));
                let detail = format!(
                    "the array must have the shape [N, {n_features}] or [{n_features}]{pictures}, not {:?}",
                    self.shape
                );
                return Err(Fault::whole(detail));
            }
        };
        if n_rows == 0 {
            return Err(Fault::whole("the array must have at least one row"));
        }
        // so that the bytes of all rows can be counted
        let bytes_per_row = self.row_bytes(input) as u64;
        n_rows
            .checked_mul(bytes_per_row)
            .map(|_| n_rows)
            .ok_or_else(|| Fault::whole("the array is too large"))
    }

    /// Bytes of one row.
    pub fn row_bytes(&self, input: &InputSpec) -> usize {
        input.n_features() * self.dtype.size()
    }
}

/// What is left of a dictionary's text.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn skip(&mut self, character: char) -> bool {
        self.0 = self.0.trim_ascii_start();
        let rest = self.0.strip_prefix(character);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, character: char) -> Result<(), String> {
        if self.skip(character) { Ok(()) } else { Err(self.unexpected(&format!("`{character}`"))) }
    }

    fn end(&mut self) -> Result<(), String> {
        self.0 = self.0.trim_ascii_start();
        if self.0.is_empty() { Ok(()) } else { Err(self.unexpected("its end")) }
    }

    fn unexpected(&self, wanted: &str) -> String {
        let mut found = String::new();
        for character in self.0.chars().take(20) {
            found.extend(character.escape_default());
        }
        format!("not a Python dictionary: {wanted} was expected before `{found}`")
    }

    /// A quoted text without escapes.
    fn text(&mut self) -> Result<&'a str, String> {
        let quote = ['\'', '"'].into_iter().find(|&quote| self.skip(quote));
        let quote = quote.ok_or_else(|| self.unexpected("a text"))?;
        let (text, rest) = self.0.split_once(quote).ok_or_else(|| self.unexpected("the end of a text"))?;
        self.0 = rest;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, String> {
        self.0 = self.0.trim_ascii_start();
        for (word, value) in [("False", false), ("True", true)] {
            if let Some(rest) = self.0.strip_prefix(word) {
                self.0 = rest;
                return Ok(value);
            }
        }
        Err(self.unexpected("`True` or `False`"))
    }

    /// Whole numbers in parentheses.
    fn tuple(&mut self) -> Result<Vec<u64>, String> {
        let mut numbers = Vec::new();
        self.expect('(')?;
        while !self.skip(')') {
            self.0 = self.0.trim_ascii_start();
            let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
            let (digits, rest) = self.0.split_at(end);
            numbers.push(digits.parse().map_err(|_| self.unexpected("a dimension"))?);
            self.0 = rest;
            if numbers.len() > MAX_DIMENSIONS {
                return Err(format!("of an array of more than {MAX_DIMENSIONS} dimensions"));
            }
            if !self.skip(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(numbers)
    }
}

/// The head of a file of version 1.0; the numbers follow it row by row, as `descr` says.
///
/// # Panics
///
/// If the shape has so many dimensions that version 1.0 cannot hold it.
pub fn head(descr: &str, shape: &[u64]) -> Vec<u8> {
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (");
    for dimension in shape {
        write!(text, "{dimension}, ").expect("a text takes everything");
    }
    text.push_str("), }");
    let padding = (10 + text.len() + 1).next_multiple_of(64) - (10 + text.len() + 1);
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    let len = u16::try_from(text.len()).expect("a shape of a few dimensions");
    let mut head = MAGIC.to_vec();
    head.extend([1, 0]);
    head.extend(len.to_le_bytes());
    head.extend(text.into_bytes());
    head
}
