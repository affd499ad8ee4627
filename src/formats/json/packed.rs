//! All rows as raw numbers in base64.

use super::Written;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::fmt;

/// `{"base64": "…", "dtype": "f32"}`, from behind its first key.
pub fn read<'de, A: MapAccess<'de>>(first: String, mut map: A) -> Result<Written, A::Error> {
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
