//! Looking at one row: its values, its label, its person, and its picture.

use super::{Dataset, FeatureData, InputSpec};
use serde::{Deserialize, Serialize};

/// Which of a dataset's two tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    #[default]
    Train,
    Test,
}

impl Split {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// One row, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'a> {
    /// Position in its table.
    pub row: u32,
    pub split: Split,
    pub features: RowFeatures<'a>,
    pub label: u32,
    pub subject: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum RowFeatures<'a> {
    U8(&'a [u8]),
    F32(&'a [f32]),
}

/// Why there is no such row, or no picture of it. The text goes to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    #[error("row {row} does not exist; the {} table has rows 0 to {max}", .split.name())]
    NoSuchRow { row: u32, split: Split, max: usize },
    #[error("rows of dataset `{0}` are not images")]
    NotAnImage(String),
}

impl Dataset {
    pub fn row(&self, split: Split, row: u32) -> Result<Row<'_>, RowError> {
        let table = match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        };
        let index = row as usize;
        let Some(&label) = table.labels.get(index) else {
            return Err(RowError::NoSuchRow { row, split, max: table.n_rows().saturating_sub(1) });
        };
        let width = self.input.n_features();
        let range = index * width..(index + 1) * width;
        let features = match &table.features {
            FeatureData::U8(values) => RowFeatures::U8(&values[range]),
            FeatureData::F32(values) => RowFeatures::F32(&values[range]),
        };
        let subject = table.subjects.as_ref().map(|subjects| subjects[index]);
        Ok(Row { row, split, features, label, subject })
    }

    /// The row as an 8-bit grey PNG, ink light on dark as the network sees it.
    pub fn row_png(&self, split: Split, row: u32) -> Result<Vec<u8>, RowError> {
        let row = self.row(split, row)?;
        match (&self.input, row.features) {
            (&InputSpec::Image { height, width }, RowFeatures::U8(pixels)) => {
                Ok(grey_png(width, height, pixels))
            }
            _ => Err(RowError::NotAnImage(self.name.clone())),
        }
    }
}

/// # Panics
///
/// If there are not `width × height` pixels.
fn grey_png(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("a vector takes every byte");
    writer.write_image_data(pixels).expect("as many pixels as the header says");
    writer.finish().expect("a vector takes every byte");
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::dataset::tests::{tiny, tiny_vectors};
    use super::*;

    #[test]
    fn a_row_comes_with_its_label_and_its_person() {
        let dataset = tiny();
        let row = dataset.row(Split::Train, 2).unwrap();
        assert_eq!(row.features, RowFeatures::U8(&[8, 9, 10, 11]));
        assert_eq!((row.label, row.subject), (2, Some(101)));
        assert_eq!(dataset.row(Split::Test, 0).unwrap().label, 1);
    }

    #[test]
    fn a_row_past_the_end_is_named() {
        let error = tiny().row(Split::Test, 9).unwrap_err();
        assert_eq!(error.to_string(), "row 9 does not exist; the test table has rows 0 to 1");
    }

    #[test]
    fn the_picture_decodes_to_the_same_pixels() {
        let bytes = tiny().row_png(Split::Train, 1).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height, info.color_type), (2, 2, png::ColorType::Grayscale));
        assert_eq!(pixels, [4, 5, 6, 7]);
    }

    #[test]
    fn vectors_have_no_picture() {
        let error = tiny_vectors().row_png(Split::Train, 0).unwrap_err();
        assert_eq!(error, RowError::NotAnImage("vectors".to_owned()));
    }
}
