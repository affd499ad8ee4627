//! Bodies as bytes, and the numbers in them.
//!
//! A decoder takes bytes and what a row of the model is. It gives whole rows of finite numbers, or says what is wrong
//! and where. Nothing here knows HTTP; every decoder has a fuzz target.

pub mod json;
pub mod lines;
pub mod npy;
pub mod picture;
pub mod raw;

use crate::data::InputSpec;
use bytes::Bytes;
use serde::Deserialize;

/// Rows of one request that is answered as a whole, at most.
pub const MAX_ROWS: usize = 4_096;

/// Whole rows, one after another, as the client wrote them: pixels from 0 to 255, or the finite floats of a vector.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    U8(Bytes),
    F32(Vec<f32>),
}

impl Values {
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How raw numbers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// One byte a number.
    #[default]
    U8,
    /// IEEE 754 single precision, little-endian.
    F32,
}

/// What is wrong with one part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where: `/row/column`, `/row`, or empty for the body as a whole.
    pub pointer: String,
    /// What to change.
    pub detail: String,
}

impl Fault {
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }

    /// Of the body as a whole.
    pub fn whole(detail: impl Into<String>) -> Self {
        Self::new("", detail)
    }
}

/// The first of `values` that no row of `input` can hold, with what it must be instead.
pub fn first_bad(values: &[f32], input: &InputSpec) -> Option<(usize, &'static str)> {
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Some((index, "finite"));
    }
    match input {
        InputSpec::Image { .. } => values
            .iter()
            .position(|value| !(0.0..=255.0).contains(value))
            .map(|index| (index, "between 0 and 255")),
        InputSpec::Vector { .. } => None,
    }
}

/// Whole rows of numbers a row of `input` can hold; the first of them is row `first_row` of the body.
fn checked(values: Vec<f32>, first_row: u64, input: &InputSpec) -> Result<Values, Fault> {
    match first_bad(&values, input) {
        None => Ok(Values::F32(values)),
        Some((index, wanted)) => {
            let (row, column) = (index / input.n_features(), index % input.n_features());
            let pointer = format!("/{}/{column}", first_row + row as u64);
            Err(Fault::new(pointer, format!("must be {wanted}, not {}", values[index])))
        }
    }
}
