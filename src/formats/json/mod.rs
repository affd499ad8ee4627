//! Rows as JSON, read straight into one buffer.

mod line;

pub use line::{Id, Line};

use super::{Dtype, Fault, MAX_ROWS, Values, first_bad, raw};
use crate::data::InputSpec;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::HashMap;
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

/// The columns rows are objects of, in the order of the first.
#[derive(Debug)]
struct Columns {
    names: Vec<String>,
    places: HashMap<String, usize>,
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

impl Columns {
    fn of(names: Vec<String>) -> Option<Self> {
        let places: HashMap<_, _> = names.iter().cloned().zip(0..).collect();
        (places.len() == names.len()).then_some(Self { names, places })
    }

    /// The values of every row in the order of the model's columns.
    fn sorted(&self, values: &[f32], at: &str, input: &InputSpec) -> Result<Vec<f32>, Vec<Fault>> {
        let n_features = input.n_features();
        let Some(wanted) = input.columns() else {
            let detail = format!(
                "this model's columns have no names; send each row as a list of {n_features} numbers"
            );
            return Err(vec![Fault::new(at, detail)]);
        };
        let missing = wanted.iter().filter(|name| !self.places.contains_key(*name));
        let missing = missing.map(|name| format!("lacks the column `{name}`"));
        let unknown = self.names.iter().filter(|name| !wanted.contains(name));
        let unknown = unknown.map(|name| format!("has a column `{name}` the model does not know"));
        let faults: Vec<_> =
            missing.chain(unknown).take(MAX_FAULTS).map(|detail| Fault::new(at, detail)).collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let order: Vec<usize> = wanted.iter().map(|name| self.places[name]).collect();
        let rows = values.chunks_exact(self.names.len());
        Ok(rows.flat_map(|row| order.iter().map(|&place| row[place])).collect())
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
                        packed(key, map).map(JsonRows)
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

/// `{"base64": "…", "dtype": "f32"}`, from behind its first key.
fn packed<'de, A: MapAccess<'de>>(first: String, mut map: A) -> Result<Written, A::Error> {
    let (mut bytes, mut dtype) = (None, None);
    let mut next = Some(first);
    while let Some(key) = next {
        match key.as_str() {
            "base64" if bytes.is_none() => bytes = Some(map.next_value::<Base64>()?.0),
            "dtype" if dtype.is_none() => dtype = Some(map.next_value()?),
            "base64" | "dtype" => return Err(A::Error::custom(format!("duplicate field `{key}`"))),
            _ => return Err(A::Error::unknown_field(&key, &["base64", "dtype"])),
        }
        next = map.next_key()?;
    }
    let bytes = bytes.ok_or_else(|| A::Error::missing_field("base64"))?;
    Ok(Written::Packed { bytes, dtype: dtype.unwrap_or_default() })
}

/// A text in base64 (RFC 4648 §4, padded).
struct Base64(Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Base64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in base64")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Base64, E> {
                STANDARD
                    .decode(text)
                    .map(Base64)
                    .map_err(|error| E::custom(format!("must be base64: {error}")))
            }
        }

        deserializer.deserialize_str(Text)
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

impl Numbers {
    /// A row by columns. The first says which there are: `key` is its first.
    fn named<'de, A: MapAccess<'de>>(&mut self, key: Option<String>, mut map: A) -> Result<(), A::Error> {
        if self.ends.is_empty() {
            let mut names = Vec::new();
            let mut next = key;
            while let Some(name) = next {
                names.push(name);
                let Finite(value) = map.next_value()?;
                self.values.push(value);
                next = map.next_key()?;
            }
            if names.is_empty() {
                return Err(A::Error::custom("must have a number for every column"));
            }
            let columns = Columns::of(names).ok_or_else(|| A::Error::custom("has a column twice"))?;
            self.columns = Some(columns);
        } else {
            let Some(columns) = &self.columns else {
                return Err(A::Error::custom("must be a list of numbers like the rows before it"));
            };
            let start = self.values.len();
            // as no number that is read
            self.values.resize(start + columns.names.len(), f32::NAN);
            let mut expected = 0;
            while let Some(place) = map.next_key_seed(Place { columns, expected })? {
                let Finite(value) = map.next_value()?;
                let slot = &mut self.values[start + place];
                if !slot.is_nan() {
                    return Err(A::Error::custom(format!("has the column `{}` twice", columns.names[place])));
                }
                *slot = value;
                expected = place + 1;
            }
            if let Some(missing) = self.values[start..].iter().position(|value| value.is_nan()) {
                let name = &columns.names[missing];
                return Err(A::Error::custom(format!("lacks the column `{name}` of the rows before it")));
            }
        }
        self.ends.push(self.values.len());
        Ok(())
    }
}

/// Which column a key names; most often the next one.
struct Place<'a> {
    columns: &'a Columns,
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a column")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        if self.columns.names.get(self.expected).is_some_and(|expected| expected == name) {
            return Ok(self.expected);
        }
        let place = self.columns.places.get(name).copied();
        place.ok_or_else(|| E::custom(format!("has a column `{name}` the rows before it have not")))
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
mod tests {
    use super::*;

    const IMAGE: InputSpec = InputSpec::Image { height: 1, width: 2 };

    fn vector() -> InputSpec {
        InputSpec::Vector { n_features: 2, columns: None }
    }

    fn table() -> InputSpec {
        let columns = Some(vec!["age".to_owned(), "height".to_owned()]);
        InputSpec::Vector { n_features: 2, columns }
    }

    /// The values, or the places of the faults; none for what cannot be read at all.
    fn read(text: &str, input: &InputSpec) -> Result<Values, Vec<String>> {
        let rows: JsonRows = serde_json::from_str(text).map_err(|_| vec![])?;
        rows.check("/inputs", input).map_err(|faults| faults.into_iter().map(|fault| fault.pointer).collect())
    }

    fn floats(values: &[f32]) -> Result<Values, Vec<String>> {
        Ok(Values::F32(values.to_vec()))
    }

    fn refused(pointers: &[&str]) -> Result<Values, Vec<String>> {
        Err(pointers.iter().map(|&pointer| pointer.to_owned()).collect())
    }

    #[test]
    fn rows_are_read_flat() {
        assert_eq!(read("[[0,255],[51,102.5]]", &IMAGE), floats(&[0.0, 255.0, 51.0, 102.5]));
        assert_eq!(read("[[-1.5,1e30]]", &vector()), floats(&[-1.5, 1e30]));
        assert_eq!(read("[0,255]", &IMAGE), floats(&[0.0, 255.0]));
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (text, pointers) in [
            ("[]", &["/inputs"][..]),
            ("[[1]]", &["/inputs/0"]),
            ("[[1,2],[1,2,3]]", &["/inputs/1"]),
            ("[[1,256],[-1,0]]", &["/inputs/0/1", "/inputs/1/0"]),
            ("[1,2,3]", &["/inputs"]),
        ] {
            assert_eq!(read(text, &IMAGE), refused(pointers), "{text}");
        }
        for text in
            ["[[1,null]]", "[[1,\"2\"]]", "[[1e39,0]]", "[1,[2]]", "[[1],2]", "[1,{\"a\":2}]", "7", "{}"]
        {
            assert_eq!(read(text, &vector()), refused(&[]), "{text}");
        }
    }

    #[test]
    fn too_many_rows_are_refused_while_reading() {
        let text = format!("[{}]", vec!["[0,0]"; MAX_ROWS + 1].join(","));
        assert!(read(&text, &IMAGE).is_err());
        let text = format!("[{}]", vec!["[0,0]"; MAX_ROWS].join(","));
        assert_eq!(read(&text, &IMAGE).unwrap().len(), 2 * MAX_ROWS);
    }

    #[test]
    fn rows_by_column_are_put_into_the_models_order() {
        let text = r#"[{"height":1.7,"age":30},{"height":1.6,"age":40},{"age":50,"height":1.5}]"#;
        assert_eq!(read(text, &table()), floats(&[30.0, 1.7, 40.0, 1.6, 50.0, 1.5]));
        assert_eq!(read(r#"{"height":1.7,"age":30}"#, &table()), floats(&[30.0, 1.7]));
        assert_eq!(read("[[30,1.7]]", &table()), floats(&[30.0, 1.7]));
    }

    #[test]
    fn columns_that_do_not_fit_are_refused() {
        for (text, pointers) in [
            (r#"[{"age":1}]"#, &["/inputs"][..]),
            (r#"[{"age":1,"weight":2}]"#, &["/inputs", "/inputs"]),
            (r#"[{"age":1,"age":2}]"#, &[]),
            (r#"[{"age":1,"height":2},{"age":1}]"#, &[]),
            (r#"[{"age":1,"height":2},{"age":1,"age":2}]"#, &[]),
            (r#"[{"age":1,"height":2},{"age":1,"weight":2}]"#, &[]),
            (r#"[{"age":1,"height":2},[1,2]]"#, &[]),
            (r#"[[1,2],{"age":1,"height":2}]"#, &[]),
            (r#"[{"age":1,"height":"2"}]"#, &[]),
            ("[{}]", &[]),
        ] {
            assert_eq!(read(text, &table()), refused(pointers), "{text}");
        }
        let named = r#"[{"age":1,"height":2}]"#;
        assert_eq!(read(named, &vector()), refused(&["/inputs"]));
        assert_eq!(read(named, &IMAGE), refused(&["/inputs"]));
    }

    #[test]
    fn raw_numbers_may_stand_in_base64() {
        assert_eq!(read(r#"{"base64":"AP8zBw=="}"#, &IMAGE), Ok(Values::U8(vec![0, 255, 51, 7].into())));
        let text =
            format!(r#"{{"dtype":"f32","base64":"{}"}}"#, STANDARD.encode(1.5_f32.to_le_bytes().repeat(2)));
        assert_eq!(read(&text, &vector()), floats(&[1.5, 1.5]));
        assert_eq!(read(r#"{"base64":"AP8z"}"#, &IMAGE), refused(&["/inputs/base64"]));
        let text = format!(r#"{{"base64":"{}","dtype":"f32"}}"#, STANDARD.encode([0, 0, 128, 127].repeat(2)));
        assert_eq!(read(&text, &IMAGE), refused(&["/inputs/0/0"]));
        for text in [
            r#"{"base64":"AP8"}"#,
            r#"{"base64":"AP8=","base64":"AP8="}"#,
            r#"{"base64":7}"#,
            r#"{"dtype":"u8"}"#,
            r#"{"base64":"AP8=","dtype":"f16"}"#,
            r#"{"base64":"AP8=","shape":[1]}"#,
        ] {
            assert_eq!(read(text, &IMAGE), refused(&[]), "{text}");
        }
    }
}
