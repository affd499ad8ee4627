//! `data` of an input tensor in JSON, read straight into one buffer.

use super::datatype::{Datatype, exact};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;

/// Lists within lists, at most: as many as a shape may have dimensions.
pub const MAX_DIMENSIONS: usize = 4;

/// Numbers in row-major order, in one flat list or nested as the tensor's shape is.
#[derive(Debug, Default)]
pub struct JsonData {
    values: Vec<f32>,
    /// How many elements the lists have, outermost first; `None` while the first of its kind is being read.
    lengths: Vec<Option<usize>>,
    /// How many lists are around every number.
    depth: Option<usize>,
    /// The first that is no whole number.
    first_broken: Option<usize>,
    /// The first whole number that no `f32` is equal to.
    first_rounded: Option<usize>,
}

impl JsonData {
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether these are the elements of a tensor of that shape.
    pub fn fits(&self, shape: &[usize]) -> bool {
        let is_flat = self.lengths.len() == 1;
        let nested = || self.lengths.iter().copied().eq(shape.iter().map(|&length| Some(length)));
        if is_flat { self.len() == shape.iter().product::<usize>() } else { nested() }
    }

    /// How the lists are nested, for people.
    pub fn nesting(&self) -> Vec<usize> {
        self.lengths.iter().map(|length| length.unwrap_or_default()).collect()
    }

    /// The numbers, if all are of that type.
    ///
    /// # Errors
    ///
    /// Which one is not, and what is wrong with it.
    pub fn typed(self, datatype: Datatype) -> Result<Vec<f32>, (usize, String)> {
        let Some((min, end)) = datatype.whole_range() else { return Ok(self.values) };
        let outside = || self.values.iter().position(|value| !(min..end).contains(value));
        if let Some(index) = self.first_broken.or_else(outside) {
            return Err((index, format!("must be a number of the data type, not {}", self.values[index])));
        }
        match self.first_rounded {
            Some(index) => Err((index, NOT_EXACT.to_owned())),
            None => Ok(self.values),
        }
    }
}

/// Where in lists of these lengths, outermost first, a number stands: `/1/27/3`.
pub fn pointer(lengths: &[usize], mut index: usize) -> String {
    let mut places = Vec::with_capacity(lengths.len());
    for &length in lengths.iter().rev() {
        places.push(index % length);
        index /= length;
    }
    places.iter().rev().map(|place| format!("/{place}")).collect()
}

/// What is wrong with a whole number that would be rounded.
pub const NOT_EXACT: &str = "is a whole number that no 32-bit float is equal to; send floats";

impl<'de> Deserialize<'de> for JsonData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut data = Self::default();
        deserializer.deserialize_seq(Element { data: &mut data, depth: 0 })?;
        Ok(data)
    }
}

/// What stands within `depth` lists: a number or a list.
struct Element<'a> {
    data: &'a mut JsonData,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.depth == 0 { "a list of numbers" } else { "a number, or a list of them" })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { data, depth } = self;
        if depth == MAX_DIMENSIONS {
            return Err(A::Error::custom(format!("must have at most {MAX_DIMENSIONS} lists in each other")));
        }
        if data.lengths.len() == depth {
            data.lengths.push(None);
        }
        let mut length = 0;
        while seq.next_element_seed(Element { data, depth: depth + 1 })?.is_some() {
            length += 1;
        }
        match *data.lengths[depth].get_or_insert(length) {
            first if first == length => Ok(()),
            first => Err(A::Error::custom(format!(
                "must have {first} elements like those before it, not {length}"
            ))),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.whole(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.whole(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        let narrow = value as f32;
        if !narrow.is_finite() {
            return Err(E::custom(format!("must be a finite 32-bit number, not {value}")));
        }
        let is_whole = value.fract() == 0.0;
        self.push(narrow, is_whole, is_whole && f64::from(narrow) != value)
    }
}

impl Element<'_> {
    fn whole<E: Error, T: Into<i128>>(self, value: T) -> Result<(), E> {
        let value = value.into();
        self.push(value as f32, true, exact(value).is_none())
    }

    fn push<E: Error>(self, value: f32, is_whole: bool, is_rounded: bool) -> Result<(), E> {
        let Self { data, depth } = self;
        if *data.depth.get_or_insert(depth) != depth {
            return Err(E::custom("must stand within as many lists as the numbers before it"));
        }
        let index = data.values.len();
        if !is_whole {
            data.first_broken.get_or_insert(index);
        }
        if is_rounded {
            data.first_rounded.get_or_insert(index);
        }
        data.values.push(value);
        Ok(())
    }
}

impl utoipa::PartialSchema for JsonData {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        let schema = serde_json::json!({
            "type": "array",
            "items": {},
            "description": "The elements in row-major order: numbers, or lists of them nested as the shape is.",
        });
        serde_json::from_value(schema).expect("a valid schema")
    }
}

impl utoipa::ToSchema for JsonData {}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &str) -> JsonData {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn flat_and_nested_lists_mean_the_same() {
        for text in ["[1,2,3,4]", "[[1,2],[3,4]]", "[[[1,2]],[[3,4.0]]]"] {
            assert_eq!(data(text).typed(Datatype::Uint8), Ok(vec![1.0, 2.0, 3.0, 4.0]), "{text}");
        }
    }

    #[test]
    fn nested_lists_have_the_shape_flat_ones_its_size() {
        for (text, shape) in [
            ("[1,2,3,4]", &[4][..]),
            ("[1,2,3,4]", &[2, 2]),
            ("[1,2,3,4]", &[1, 2, 2]),
            ("[[1,2],[3,4]]", &[2, 2]),
            ("[[[[1]],[[2]]]]", &[1, 2, 1, 1]),
        ] {
            assert!(data(text).fits(shape), "{text} {shape:?}");
        }
        for (text, shape) in [
            ("[1,2,3,4]", &[2, 3][..]),
            ("[[1,2],[3,4]]", &[4, 1]),
            ("[[1,2],[3,4]]", &[4]),
            ("[[1],[]]", &[1, 1]),
            ("[[1],[[]]]", &[2, 1]),
            ("[]", &[1]),
        ] {
            let fits = serde_json::from_str::<JsonData>(text).is_ok_and(|data| data.fits(shape));
            assert!(!fits, "{text} {shape:?}");
        }
    }

    #[test]
    fn lists_that_are_no_tensor_are_refused_while_reading() {
        for text in [
            "[[1,2],[3]]",
            "[1,[2]]",
            "[[1],2]",
            "[[1],[[2]]]",
            "[[[[[1]]]]]",
            "[null]",
            "[true]",
            "[\"1\"]",
            "[{}]",
            "[1e39]",
            "7",
            "{}",
            "\"\"",
        ] {
            assert!(serde_json::from_str::<JsonData>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn places_in_nested_lists_are_pointers() {
        assert_eq!(pointer(&[6], 5), "/5");
        assert_eq!(pointer(&[2, 3], 5), "/1/2");
        assert_eq!(pointer(&[2, 1, 3], 4), "/1/0/1");
    }

    #[test]
    fn a_number_must_be_one_of_the_data_type() {
        for (text, datatype, index) in [
            ("[1,256]", Datatype::Uint8, 1),
            ("[[1],[-1]]", Datatype::Uint64, 1),
            ("[-129]", Datatype::Int8, 0),
            ("[0,0.5]", Datatype::Int32, 1),
            ("[16777217]", Datatype::Int32, 0),
            ("[9007199254740993]", Datatype::Int64, 0),
            ("[18446744073709551616]", Datatype::Uint64, 0),
        ] {
            assert_eq!(data(text).typed(datatype).unwrap_err().0, index, "{text}");
        }
        assert_eq!(data("[16777217,0.1]").typed(Datatype::Fp32), Ok(vec![16_777_216.0, 0.1]));
        assert_eq!(data("[255,0]").typed(Datatype::Uint8), Ok(vec![255.0, 0.0]));
        assert_eq!(data("[-128]").typed(Datatype::Int8), Ok(vec![-128.0]));
    }
}
