//! The input tensor: its shape, its numbers, and the rows they make.

use super::super::error::{Code, FieldError, Problem};
use super::super::extract::optional_object;
use super::super::number::{Checker, Number, Whole};
use super::INPUT;
use super::data::{JsonData, MAX_DIMENSIONS, NOT_EXACT};
use super::datatype::Datatype;
use super::request::AtMost;
use crate::data::InputSpec;
use crate::formats::{MAX_ROWS, Values, first_bad};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use utoipa::ToSchema;

/// No tensor of a request is larger than this in any direction, or has more bytes.
const SIZE: Whole = Whole { min: 0, max: u32::MAX as u64 };
const POINTER: &str = "/inputs/0";

/// The rows to answer: all numbers at once, row-major.
#[derive(Debug, Deserialize, ToSchema)]
pub struct InputTensor {
    /// `input`.
    name: String,
    /// `[N, D]`; for images also `[N, height, width]` and `[N, 1, height, width]`.
    #[schema(value_type = Vec<u64>, min_items = 2, max_items = 4)]
    shape: AtMost<Number, MAX_DIMENSIONS>,
    datatype: Datatype,
    #[serde(default, deserialize_with = "optional_object")]
    parameters: Option<InputParameters>,
    /// Absent if the numbers are behind the JSON.
    #[serde(default)]
    data: Option<JsonData>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct InputParameters {
    /// The numbers stand behind the JSON, little-endian, in so many bytes.
    #[serde(default)]
    #[schema(value_type = Option<u64>)]
    binary_data_size: Option<Number>,
    /// Refused: there is no shared memory.
    #[serde(default)]
    #[schema(ignore)]
    shared_memory_region: Option<IgnoredAny>,
}

impl InputTensor {
    /// Bytes of this tensor behind the JSON.
    pub fn binary_size(&self) -> Result<Option<usize>, Problem> {
        let Some(size) = self.parameters.as_ref().and_then(|parameters| parameters.binary_data_size) else {
            return Ok(None);
        };
        let mut checker = Checker::default();
        let size = checker.whole(&at("/parameters/binary_data_size"), Some(size), SIZE, 0);
        checker.finish(Some(size as usize))
    }

    /// The rows, checked as everywhere: whole rows of the model's input, finite, and from 0 to 255 for images.
    /// `binary` is what stands behind the JSON.
    ///
    /// # Errors
    ///
    /// 422 at what must change; 400 if there is more or less behind the JSON than this tensor says.
    pub fn rows(self, binary: Bytes, input: &InputSpec) -> Result<Values, Problem> {
        if self.name != INPUT {
            return Err(refused(
                "/name",
                format!("must be `{INPUT}`, the one input there is, not `{}`", self.name),
            ));
        }
        if self.parameters.as_ref().is_some_and(|parameters| parameters.shared_memory_region.is_some()) {
            let detail = "is not offered; send the numbers with the request";
            return Err(refused("/parameters/shared_memory_region", detail));
        }
        let size = self.binary_size()?;
        if size.unwrap_or_default() != binary.len() {
            let (said, found) = (size.unwrap_or_default(), binary.len());
            let detail = format!("`binary_data_size` says that {said} bytes follow the JSON, but {found} do");
            return Err(Problem::new(Code::BadRequest, detail));
        }
        let shape = self.checked_shape(input)?;
        match (self.data, size) {
            (Some(data), None) => from_json(data, self.datatype, &shape, input),
            (None, Some(_)) => from_binary(binary, self.datatype, &shape, input),
            (None, None) => Err(refused("/data", "is missing, and `parameters` has no `binary_data_size`")),
            (Some(_), Some(_)) => Err(refused("/data", "must not be there beside `binary_data_size`")),
        }
    }

    fn checked_shape(&self, input: &InputSpec) -> Result<Vec<usize>, Problem> {
        let mut checker = Checker::default();
        let mut shape = Vec::with_capacity(MAX_DIMENSIONS);
        for (dimension, &length) in self.shape.0.iter().enumerate() {
            let pointer = at(&format!("/shape/{dimension}"));
            shape.push(checker.whole(&pointer, Some(length), SIZE, 0) as usize);
        }
        let shape = checker.finish(shape)?;
        let shapes = row_shapes(input);
        match shape.split_first() {
            Some((1..=MAX_ROWS, row)) if shapes.iter().any(|accepted| accepted == row) => Ok(shape),
            _ => {
                let accepted: Vec<String> =
                    shapes.iter().map(|row| format!("[N, {}]", listed(row))).collect();
                let accepted = accepted.join(" or ");
                let detail =
                    format!("must be {accepted} with N from 1 to {MAX_ROWS}, not [{}]", listed(&shape));
                Err(refused("/shape", detail))
            }
        }
    }
}

/// What the dimensions behind the first may be.
fn row_shapes(input: &InputSpec) -> Vec<Vec<usize>> {
    match *input {
        InputSpec::Image { height, width } => {
            let (height, width) = (height as usize, width as usize);
            vec![vec![height * width], vec![height, width], vec![1, height, width]]
        }
        InputSpec::Vector { .. } => vec![vec![input.n_features()]],
    }
}

fn from_json(
    data: JsonData,
    datatype: Datatype,
    shape: &[usize],
    input: &InputSpec,
) -> Result<Values, Problem> {
    if !data.fits(shape) {
        let detail = format!(
            "must have {} numbers in one list, or in lists of [{}], not {} in lists of [{}]",
            shape.iter().product::<usize>(),
            listed(shape),
            data.len(),
            listed(&data.nesting())
        );
        return Err(refused("/data", detail));
    }
    let lengths = data.nesting();
    let pointer = |index: usize| format!("/data{}", super::data::pointer(&lengths, index));
    let values = data.typed(datatype).map_err(|(index, detail)| refused(&pointer(index), detail))?;
    checked(values, input, pointer)
}

fn from_binary(
    binary: Bytes,
    datatype: Datatype,
    shape: &[usize],
    input: &InputSpec,
) -> Result<Values, Problem> {
    let wanted = shape.iter().product::<usize>() * datatype.size();
    if binary.len() != wanted {
        let detail = format!(
            "must be {wanted} bytes for a shape of [{}] and {} bytes a number, not {}",
            listed(shape),
            datatype.size(),
            binary.len()
        );
        return Err(refused("/parameters/binary_data_size", detail));
    }
    if datatype == Datatype::Uint8 && matches!(input, InputSpec::Image { .. }) {
        return Ok(Values::U8(binary));
    }
    // where it would stand in the JSON
    let pointer = |index: usize| format!("/data{}", super::data::pointer(shape, index));
    let values = datatype.decode(&binary).map_err(|index| refused(&pointer(index), NOT_EXACT))?;
    checked(values, input, pointer)
}

/// Finite, and within the input's range.
fn checked(
    values: Vec<f32>,
    input: &InputSpec,
    pointer: impl Fn(usize) -> String,
) -> Result<Values, Problem> {
    match first_bad(&values, input) {
        None => Ok(Values::F32(values)),
        Some((index, wanted)) => {
            Err(refused(&pointer(index), format!("must be {wanted}, not {}", values[index])))
        }
    }
}

fn listed(lengths: &[usize]) -> String {
    lengths.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

fn at(member: &str) -> String {
    format!("{POINTER}{member}")
}

fn refused(member: &str, detail: impl Into<String>) -> Problem {
    Problem::invalid(vec![FieldError::new(at(member), detail)])
}
