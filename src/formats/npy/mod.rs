//! Arrays as numpy writes them: the NPY format, versions 1.0 to 3.0.
//!
//! A short head says the type of the numbers and the shape, the numbers follow. Rows are read as they come ([`Rows`])
//! or all at once ([`decode`]); answers have a head made by [`head`].

mod dtype;
mod header;

pub use header::{Header, head};

use super::{Fault, MAX_ROWS, Values, checked};
use crate::data::InputSpec;
use bytes::{Buf, Bytes, BytesMut};
use dtype::Dtype;

/// A whole file of at most [`MAX_ROWS`] rows; pixels written as bytes are not copied.
pub fn decode(mut body: Bytes, input: &InputSpec) -> Result<Values, Fault> {
    let Some((header, head_len)) = Header::parse(&body)? else {
        return Err(Fault::whole("the body ends within the head of the npy file"));
    };
    let n_rows = header.n_rows(input)?;
    if n_rows > MAX_ROWS as u64 {
        let detail = format!(
            "the array must have at most {MAX_ROWS} rows, not {n_rows}; more are answered one after another, to \
             `accept: application/x-npy` or `application/x-ndjson`"
        );
        return Err(Fault::whole(detail));
    }
    body.advance(head_len);
    let row_len = header.row_bytes(input);
    if body.len() != n_rows as usize * row_len {
        return Err(wrong_length(u128::from(n_rows) * row_len as u128, body.len() as u128));
    }
    values(body, &header, 0, input)
}

/// Whole rows of a file that comes in pieces.
#[derive(Debug)]
pub struct Rows {
    header: Header,
    n_rows: u64,
    n_read: u64,
    pending: BytesMut,
}

impl Rows {
    /// From the first bytes of a file; `None` if its head is not whole yet.
    pub fn begin(bytes: &[u8], input: &InputSpec) -> Result<Option<Self>, Fault> {
        let Some((header, head_len)) = Header::parse(bytes)? else { return Ok(None) };
        let n_rows = header.n_rows(input)?;
        Ok(Some(Self { header, n_rows, n_read: 0, pending: BytesMut::from(&bytes[head_len..]) }))
    }

    /// Rows the file has.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The rows that are whole and have not been taken.
    pub fn take(&mut self, input: &InputSpec) -> Result<Values, Fault> {
        let row_len = self.header.row_bytes(input);
        let left = self.n_rows - self.n_read;
        let n_rows = (self.pending.len() / row_len).min(usize::try_from(left).unwrap_or(usize::MAX));
        let bytes = self.pending.split_to(n_rows * row_len).freeze();
        if n_rows as u64 == left && !self.pending.is_empty() {
            let whole = u128::from(self.n_rows) * row_len as u128;
            return Err(wrong_length(whole, whole + self.pending.len() as u128));
        }
        let values = values(bytes, &self.header, self.n_read, input)?;
        self.n_read += n_rows as u64;
        Ok(values)
    }

    /// Whether every row was there, at the end of the file.
    pub fn finish(&self, input: &InputSpec) -> Result<(), Fault> {
        let row_len = self.header.row_bytes(input) as u128;
        let found = u128::from(self.n_read) * row_len + self.pending.len() as u128;
        if self.n_read == self.n_rows {
            Ok(())
        } else {
            Err(wrong_length(u128::from(self.n_rows) * row_len, found))
        }
    }
}

fn wrong_length(wanted: u128, found: u128) -> Fault {
    let what = if found < wanted { "ends too early" } else { "goes on too long" };
    Fault::whole(format!(
        "the npy file {what}: its head promises {wanted} bytes of numbers, there are {found}"
    ))
}

/// The numbers of whole rows, of which the first is row `first_row`.
fn values(bytes: Bytes, header: &Header, first_row: u64, input: &InputSpec) -> Result<Values, Fault> {
    if header.dtype == Dtype::BYTE && matches!(input, InputSpec::Image { .. }) {
        return Ok(Values::U8(bytes));
    }
    checked(header.dtype.floats(&bytes), first_row, input)
}

#[cfg(test)]
mod tests;
