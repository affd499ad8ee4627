//! One line of newline-delimited JSON: a row, or an object with a row and an id of the client's.

use super::JsonRows;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// A line as it was written.
#[derive(Debug)]
pub struct Line {
    pub rows: JsonRows,
    pub id: Option<Id>,
    /// Where the row stands in the line: `/inputs`, or empty for a line that is a row.
    pub at: &'static str,
}

/// A line that is an object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    inputs: JsonRows,
    #[serde(default)]
    id: Option<Id>,
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LineVisitor;

        impl<'de> Visitor<'de> for LineVisitor {
            type Value = Line;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row of numbers, or an object with `inputs`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Line, A::Error> {
                let rows = JsonRows::deserialize(SeqAccessDeserializer::new(seq))?;
                Ok(Line { rows, id: None, at: "" })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Line, A::Error> {
                let Named { inputs, id } = Named::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Line { rows: inputs, id, at: "/inputs" })
            }
        }

        deserializer.deserialize_any(LineVisitor)
    }
}

/// What the client calls a row: a text or a whole number, told again beside the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    Text(String),
    Negative(i64),
    Whole(u64),
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Negative(number) => serializer.serialize_i64(*number),
            Self::Whole(number) => serializer.serialize_u64(*number),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;

        impl Visitor<'_> for IdVisitor {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a whole number")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
                Ok(Id::Text(text.to_owned()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Id, E> {
                Ok(Id::Negative(number))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
                Ok(Id::Whole(number))
            }
        }

        deserializer.deserialize_any(IdVisitor)
    }
}
