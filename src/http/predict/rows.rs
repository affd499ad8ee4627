//! The rows of a predict request: JSON, raw bytes or a picture, all checked into what the network sees.

use super::super::error::{FieldError, Problem};
use crate::data::InputSpec;
use crate::inference::Rows;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::io::Cursor;

/// Rows of one request, at most.
pub const MAX_ROWS: usize = 4_096;
/// How an image's bytes become what the network sees, as in training.
const BYTE_SCALE: f32 = 1.0 / 255.0;

/// `inputs` of a JSON body: a list of rows, or one row, read straight into one buffer.
#[derive(Debug, Default)]
pub struct JsonRows {
    values: Vec<f32>,
    /// Where each row ends.
    ends: Vec<usize>,
    /// Whether it was one bare row, `[0, 1, …]`.
    is_bare: bool,
}

impl JsonRows {
    /// Checks lengths and ranges against the model's input.
    pub fn check(self, input: &InputSpec) -> Result<Rows, Problem> {
        let n_features = input.n_features();
        let mut errors = Vec::new();
        if self.ends.is_empty() {
            errors.push(FieldError::new(
                "/inputs",
                format!("must hold at least one row of {n_features} numbers"),
            ));
        }
        let mut start = 0;
        for (row, &end) in self.ends.iter().enumerate() {
            let pointer = if self.is_bare { "/inputs".to_owned() } else { format!("/inputs/{row}") };
            if end - start != n_features {
                let detail = format!("must have {n_features} numbers, not {}", end - start);
                errors.push(FieldError::new(pointer, detail));
            } else if let Some(column) = first_outside(input, &self.values[start..end]) {
                let value = self.values[start + column];
                let detail = format!("must lie between 0 and 255, not be {value}");
                errors.push(FieldError::new(format!("{pointer}/{column}"), detail));
            }
            start = end;
            if errors.len() == MAX_ERRORS {
                break;
            }
        }
        if errors.is_empty() { Ok(scaled(input, self.values)) } else { Err(Problem::invalid(errors)) }
    }
}

/// Errors listed in one answer, at most.
const MAX_ERRORS: usize = 20;

/// The first number an image cannot have. Vectors may hold any finite number.
fn first_outside(input: &InputSpec, values: &[f32]) -> Option<usize> {
    match input {
        InputSpec::Image { .. } => values.iter().position(|value| !(0.0..=255.0).contains(value)),
        InputSpec::Vector { .. } => None,
    }
}

fn scaled(input: &InputSpec, mut values: Vec<f32>) -> Rows {
    if matches!(input, InputSpec::Image { .. }) {
        values.iter_mut().for_each(|value| *value *= BYTE_SCALE);
    }
    Rows::F32(values)
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
                let mut rows = JsonRows::default();
                while seq.next_element_seed(Element(&mut rows))?.is_some() {
                    if rows.ends.len() > MAX_ROWS {
                        return Err(A::Error::custom(format!("must have at most {MAX_ROWS} rows")));
                    }
                }
                if rows.is_bare {
                    rows.ends = vec![rows.values.len()];
                }
                Ok(rows)
            }
        }

        deserializer.deserialize_seq(Outer)
    }
}

/// An element of the outer list: a row, or a number of the one bare row.
struct Element<'a>(&'a mut JsonRows);

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
        while let Some(Finite(value)) = seq.next_element()? {
            self.0.values.push(value);
        }
        self.0.ends.push(self.0.values.len());
        Ok(())
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
            return Err(E::custom("must be a row of numbers like the ones before it"));
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
        let row = serde_json::json!({ "type": "array", "items": { "type": "number" } });
        let schema = serde_json::json!({
            "description": "Rows as the model's input says: 0–255 for each pixel of an image, or floats. One bare row may stand without its list.",
            "anyOf": [{ "type": "array", "items": row, "minItems": 1, "maxItems": MAX_ROWS }, row],
        });
        serde_json::from_value(schema).expect("a valid schema")
    }
}

impl utoipa::ToSchema for JsonRows {}

/// One byte a pixel.
pub fn from_bytes(body: Bytes, input: &InputSpec) -> Result<Rows, Problem> {
    if matches!(input, InputSpec::Vector { .. }) {
        let detail = "this model takes floats; send them as little-endian f32 with `?dtype=f32`, or as JSON";
        return Err(Problem::invalid(vec![FieldError::new("?dtype", detail)]));
    }
    check_length(body.len(), input.n_features(), "bytes (one a pixel)")?;
    Ok(Rows::U8(body))
}

/// Little-endian `f32`: 0–255 for each pixel of an image, or floats.
pub fn from_floats(body: &[u8], input: &InputSpec) -> Result<Rows, Problem> {
    let n_features = input.n_features();
    check_length(body.len(), n_features * 4, &format!("bytes ({n_features} little-endian f32)"))?;
    let (floats, _) = body.as_chunks::<4>();
    let values: Vec<f32> = floats.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let bad = values.iter().position(|value| !value.is_finite());
    if let Some(index) = bad.or_else(|| first_outside(input, &values)) {
        let (row, column) = (index / n_features, index % n_features);
        let wanted = if matches!(input, InputSpec::Image { .. }) { "between 0 and 255" } else { "finite" };
        let detail = format!("must be {wanted}, not {}", values[index]);
        return Err(Problem::invalid(vec![FieldError::new(format!("/{row}/{column}"), detail)]));
    }
    Ok(scaled(input, values))
}

fn check_length(len: usize, row_len: usize, unit: &str) -> Result<(), Problem> {
    let detail = if len == 0 || !len.is_multiple_of(row_len) {
        format!("the body must have a multiple of {row_len} {unit}, not {len} bytes")
    } else if len / row_len > MAX_ROWS {
        format!("the body must have at most {MAX_ROWS} rows, not {}", len / row_len)
    } else {
        return Ok(());
    };
    Err(Problem::invalid(vec![FieldError::new("", detail)]))
}

/// One picture of exactly the model's size; colours become grey by Rec. 601, transparency shows black.
pub fn from_png(body: &[u8], input: &InputSpec) -> Result<Rows, Problem> {
    let refuse = |detail: String| Problem::invalid(vec![FieldError::new("", detail)]);
    let InputSpec::Image { height, width } = *input else {
        let n_features = input.n_features();
        return Err(refuse(format!("this model takes {n_features} floats a row, not pictures; send JSON")));
    };
    let unreadable = |error: png::DecodingError| refuse(format!("the body is not a readable PNG: {error}"));
    let mut decoder = png::Decoder::new(Cursor::new(body));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(unreadable)?;
    // before anything of that size is allocated
    let (found_width, found_height) = (reader.info().width, reader.info().height);
    if (found_width, found_height) != (width, height) {
        return Err(refuse(format!(
            "the picture must be {width}×{height} pixels, not {found_width}×{found_height}; scale it first"
        )));
    }
    let size = reader.output_buffer_size().ok_or_else(|| refuse("the picture is too large".to_owned()))?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(unreadable)?;
    let grey = |pixel: &[u8]| match *pixel {
        [grey] => grey,
        [grey, alpha] => on_black(grey, alpha),
        [red, green, blue] => luma(red, green, blue),
        [red, green, blue, alpha] => on_black(luma(red, green, blue), alpha),
        _ => unreachable!("a PNG has one to four channels"),
    };
    let n_channels = frame.color_type.samples();
    let pixels = &pixels[..frame.buffer_size()];
    Ok(Rows::U8(pixels.chunks_exact(n_channels).map(grey).collect()))
}

/// Rec. 601, rounded.
fn luma(red: u8, green: u8, blue: u8) -> u8 {
    ((u32::from(red) * 299 + u32::from(green) * 587 + u32::from(blue) * 114 + 500) / 1000) as u8
}

fn on_black(grey: u8, alpha: u8) -> u8 {
    ((u32::from(grey) * u32::from(alpha) + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::super::super::extract::from_json;
    use super::*;

    const IMAGE: InputSpec = InputSpec::Image { height: 1, width: 2 };
    const VECTOR: InputSpec = InputSpec::Vector { n_features: 2 };

    fn check_json(text: &str, input: &InputSpec) -> Result<Rows, Vec<String>> {
        from_json::<JsonRows>(text.as_bytes())
            .and_then(|rows| rows.check(input))
            .map_err(|problem| problem.errors.into_iter().map(|error| error.pointer).collect())
    }

    #[test]
    fn rows_are_read_flat_and_scaled_as_in_training() {
        assert_eq!(
            check_json("[[0,255],[51,102.0]]", &IMAGE),
            Ok(Rows::F32(vec![0.0, 1.0, 51.0 * BYTE_SCALE, 102.0 * BYTE_SCALE]))
        );
        assert_eq!(check_json("[[-1.5,1e30]]", &VECTOR), Ok(Rows::F32(vec![-1.5, 1e30])));
        assert_eq!(check_json("[0,255]", &IMAGE), Ok(Rows::F32(vec![0.0, 1.0])));
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (text, pointers) in [
            ("[]", vec!["/inputs"]),
            ("[[1]]", vec!["/inputs/0"]),
            ("[[1,2],[1,2,3]]", vec!["/inputs/1"]),
            ("[[1,256],[-1,0]]", vec!["/inputs/0/1", "/inputs/1/0"]),
            ("[1,2,3]", vec!["/inputs"]),
        ] {
            assert_eq!(
                check_json(text, &IMAGE),
                Err(pointers.into_iter().map(str::to_owned).collect()),
                "{text}"
            );
        }
        for text in ["[[1,null]]", "[[1,\"2\"]]", "[[1e39,0]]", "[1,[2]]", "[[1],2]", "7", "{}"] {
            assert!(check_json(text, &VECTOR).is_err(), "{text}");
        }
    }

    #[test]
    fn too_many_rows_are_refused_while_reading() {
        let text = format!("[{}]", vec!["[0,0]"; MAX_ROWS + 1].join(","));
        assert!(check_json(&text, &IMAGE).is_err());
        let text = format!("[{}]", vec!["[0,0]"; MAX_ROWS].join(","));
        assert_eq!(check_json(&text, &IMAGE).unwrap().features().len(), 2 * MAX_ROWS);
    }

    #[test]
    fn raw_bytes_and_raw_floats_mean_the_same() {
        let floats: Vec<u8> =
            [0.0_f32, 255.0, 51.0, 7.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let bytes = Bytes::from_static(&[0, 255, 51, 7]);
        assert_eq!(from_bytes(bytes.clone(), &IMAGE).unwrap(), Rows::U8(bytes));
        let expected = [0.0, 255.0, 51.0, 7.0].map(|value| value * BYTE_SCALE);
        assert_eq!(from_floats(&floats, &IMAGE).unwrap(), Rows::F32(expected.to_vec()));
    }

    #[test]
    fn raw_bodies_of_the_wrong_length_or_range_are_refused() {
        assert!(from_bytes(Bytes::new(), &IMAGE).is_err());
        assert!(from_bytes(Bytes::from_static(&[1]), &IMAGE).is_err());
        assert!(from_bytes(Bytes::from_static(&[1, 2]), &VECTOR).is_err());
        assert!(from_bytes(vec![0; 2 * (MAX_ROWS + 1)].into(), &IMAGE).is_err());
        for bad in [f32::NAN, f32::INFINITY, 256.0, -1.0] {
            let body: Vec<u8> =
                [0.0, 0.0, 0.0, bad].iter().flat_map(|value: &f32| value.to_le_bytes()).collect();
            assert_eq!(from_floats(&body, &IMAGE).unwrap_err().errors[0].pointer, "/1/1", "{bad}");
        }
    }

    fn png_of(color: png::ColorType, palette: Option<&[u8]>, data: &[u8], width: u32) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, 1);
        encoder.set_color(color);
        encoder.set_depth(png::BitDepth::Eight);
        if let Some(palette) = palette {
            encoder.set_palette(palette);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        file
    }

    #[test]
    fn pictures_of_every_colour_type_become_grey() {
        use png::ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
        for (color, palette, data) in [
            (Grayscale, None, &[0, 200][..]),
            (GrayscaleAlpha, None, &[9, 0, 200, 255]),
            (Rgb, None, &[0, 0, 0, 200, 200, 200]),
            (Rgba, None, &[255, 255, 255, 0, 200, 200, 200, 255]),
            (Indexed, Some(&[200, 200, 200, 0, 0, 0][..]), &[1, 0]),
        ] {
            let rows = from_png(&png_of(color, palette, data, 2), &IMAGE).unwrap();
            assert_eq!(rows, Rows::U8(Bytes::from_static(&[0, 200])), "{color:?}");
        }
    }

    #[test]
    fn a_picture_of_another_size_is_told_the_right_one() {
        let file = png_of(png::ColorType::Grayscale, None, &[0; 3], 3);
        let problem = from_png(&file, &IMAGE).unwrap_err();
        assert!(problem.detail.contains("2×1") && problem.detail.contains("3×1"), "{}", problem.detail);
        assert!(from_png(b"not a png", &IMAGE).is_err());
        assert!(from_png(&file[..20], &IMAGE).is_err());
        assert!(from_png(&file, &VECTOR).is_err());
    }
}
