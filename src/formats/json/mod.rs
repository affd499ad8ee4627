//! Rows as JSON, read straight into one buffer.

mod columns;
mod line;
mod packed;

pub use line::{Id, Line};

use super::{Dtype, Fault, MAX_ROWS, Values, first_bad, raw};
use crate::data::InputSpec;
use columns::Columns;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Faults listed of one body, at most.
const MAX_FAULTS: usize = 20;

/// `inputs`: a list of rows, or one row. A row is a list of numbers or an object of numbers by column; all rows
/// together may be an object with raw numbers in base64.
#[derive(Debug)]
pub struct JsonRows(Written);

#[derive(Debug)]
enum Written {
    Numbers(Numbers),
    Packed { bytes: Vec<u8>, dtype: Dtype },
}

#[derive(Debug, Default)]
struct Numbers {
    values: Vec<f32>,
    /// Where each row ends.
    ends: Vec<usize>,
    /// Whether it was one bare row, `[0, 1, …]`.
    is_bare: bool,
    columns: Option<Columns>,
}

impl JsonRows {
    /// Checks lengths, names and ranges against the model's input. Faults lie below `at`, where the rows stood.
    pub fn check(self, at: &str, input: &InputSpec) -> Result<Values, Vec<Fault>> {
        match self.0 {
            Written::Numbers(numbers) => numbers.check(at, input),
            Written::Packed { bytes, dtype } => raw::decode(bytes.into(), dtype, input).map_err(|fault| {
                let within = if fault.pointer.is_empty() { "/base64".to_owned() } else { fault.pointer };
                let detail = fault.detail.replace("the body must", "must");
                vec![Fault::new(format!("{at}{within}"), detail)]
            }),
        }
    }
}

impl Numbers {
    fn check(mut self, at: &str, input: &InputSpec) -> Result<Values, Vec<Fault>> {
        if let Some(columns) = self.columns.take() {
            self.values = columns.sorted(&self.values, at, input)?;
        }
        let n_features = input.n_features();
        let mut faults = Vec::new();
        if self.ends.is_empty() {
            faults.push(Fault::new(at, format!("must hold at least one row of {n_features} numbers")));
        }
        let mut start = 0;
        for (row, &end) in self.ends.iter().enumerate() {
            let pointer = || if self.is_bare { at.to_owned() } else { format!("{at}/{row}") };
            let values = &self.values[start..end];
            if values.len() != n_features {
                let detail = format!("must have {n_features} numbers, not {}", values.len());
                faults.push(Fault::new(pointer(), detail));
            } else if let Some((column, wanted)) = first_bad(values, input) {
                let detail = format!("must be {wanted}, not {}", values[column]);
                faults.push(Fault::new(format!("{}/{column}", pointer()), detail));
            }
            start = end;
            if faults.len() == MAX_FAULTS {
                break;
            }
        }
        if faults.is_empty() { Ok(Values::F32(self.values)) } else { Err(faults) }
    }
}

impl<'de> Deserialize<'de> for JsonRows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Outer;

        impl<'de> Visitor<'de> for Outer {
            type Value = JsonRows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of rows of numbers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<JsonRows, A::Error> {
                let mut rows = Numbers::default();
                while seq.next_element_seed(Element(&mut rows))?.is_some() {
                    if rows.ends.len() > MAX_ROWS {
                        return Err(A::Error::custom(format!("must have at most {MAX_ROWS} rows")));
                    }
                }
                if rows.is_bare {
                    rows.ends = vec![rows.values.len()];
                }
                Ok(JsonRows(Written::Numbers(rows)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonRows, A::Error> {
                match map.next_key::<String>()? {
                    Some(key) if ["base64", "dtype"].contains(&key.as_str()) => {
                        packed::read(key, map).map(JsonRows)
                    }
                    first => {
                        let mut rows = Numbers { is_bare: true, ..Numbers::default() };
                        rows.named(first, map)?;
                        Ok(JsonRows(Written::Numbers(rows)))
                    }
                }
            }
        }

        deserializer.deserialize_any(Outer)
    }
}

/// An element of the outer list: a row, or a number of the one bare row.
struct Element<'a>(&'a mut Numbers);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.0.is_bare {
            return Err(A::Error::custom("must be a number like the ones before it, not a row"));
        }
        if self.0.columns.is_some() {
            return Err(A::Error::custom("must be an object like the rows before it"));
        }
        while let Some(Finite(value)) = seq.next_element()? {
            self.0.values.push(value);
        }
        self.0.ends.push(self.0.values.len());
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.0.is_bare {
            return Err(A::Error::custom("must be a number like the ones before it, not a row"));
        }
        let first = if self.0.ends.is_empty() { map.next_key()? } else { None };
        self.0.named(first, map)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.bare(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.bare(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.bare(value)
    }
}

impl Element<'_> {
    fn bare<E: Error>(self, value: f64) -> Result<(), E> {
        if !self.0.ends.is_empty() {
            return Err(E::custom("must be a row like the ones before it"));
        }
        self.0.is_bare = true;
        self.0.values.push(finite(value)?);
        Ok(())
    }
}

/// A number that is still finite as an `f32`.
struct Finite(f32);

impl<'de> Deserialize<'de> for Finite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FiniteVisitor;

        impl Visitor<'_> for FiniteVisitor {
            type Value = Finite;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Finite, E> {
                finite(value as f64).map(Finite)
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Finite, E> {
                finite(value as f64).map(Finite)
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Finite, E> {
                finite(value).map(Finite)
            }
        }

        deserializer.deserialize_any(FiniteVisitor)
    }
}

fn finite<E: Error>(value: f64) -> Result<f32, E> {
    let narrow = value as f32;
    if narrow.is_finite() {
        Ok(narrow)
    } else {
        Err(E::custom(format!("must be a finite 32-bit number, not {value}")))
    }
}

impl utoipa::PartialSchema for JsonRows {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        let list = serde_json::json!({ "type": "array", "items": { "type": "number" } });
        let by_column = serde_json::json!({ "type": "object", "additionalProperties": { "type": "number" },
            "description": "Numbers by column, for models whose input names its columns" });
        let row = serde_json::json!({ "anyOf": [list, by_column] });
        let packed = serde_json::json!({ "type": "object", "required": ["base64"], "additionalProperties": false,
            "description": "All rows as raw numbers, one after another",
            "properties": {
                "base64": { "type": "string", "contentEncoding": "base64" },
                "dtype": { "type": "string", "enum": ["u8", "f32"], "default": "u8" } } });
        let schema = serde_json::json!({
            "description": "Rows as the model's input says: 0–255 for each pixel of an image, or floats. One bare row may stand without its list.",
            "anyOf": [{ "type": "array", "items": row, "minItems": 1, "maxItems": MAX_ROWS }, list, by_column, packed],
        });
        serde_json::from_value(schema).expect("a valid schema")
    }
}

impl utoipa::ToSchema for JsonRows {}

#[cfg(test)]
mod tests;
