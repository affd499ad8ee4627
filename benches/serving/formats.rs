//! One row in each of the formats clients have, as a request.

use crate::lethe::MODEL;
use crate::rows::Row;
use crate::wire;
use serde_json::json;

/// Makes the request.
pub type Format = fn(&Row) -> Vec<u8>;

const SIDE: u32 = 28;

fn path() -> String {
    format!("/models/{MODEL}/predict")
}

/// A byte for each pixel, of any number of rows.
pub fn raw(pixels: &[u8]) -> Vec<u8> {
    wire::post(&path(), "application/octet-stream", pixels)
}

pub fn u8(row: &Row) -> Vec<u8> {
    raw(&row.pixels)
}

pub fn fastapi_u8(row: &Row) -> Vec<u8> {
    wire::post("/u8", "application/octet-stream", &row.pixels)
}

pub fn f32(row: &Row) -> Vec<u8> {
    let body: Vec<u8> = row.pixels.iter().flat_map(|&pixel| f32::from(pixel).to_le_bytes()).collect();
    wire::post(&format!("{}?dtype=f32", path()), "application/octet-stream", &body)
}

pub fn json(row: &Row) -> Vec<u8> {
    json_to(&path(), row)
}

pub fn fastapi_json(row: &Row) -> Vec<u8> {
    json_to("/json", row)
}

pub fn litserve_json(row: &Row) -> Vec<u8> {
    json_to("/predict", row)
}

/// Whole numbers, 0–255.
fn json_to(path: &str, row: &Row) -> Vec<u8> {
    let body = json!({ "inputs": [row.pixels] }).to_string();
    wire::post(path, "application/json", body.as_bytes())
}

pub fn png(row: &Row) -> Vec<u8> {
    let mut body = Vec::new();
    let mut encoder = png::Encoder::new(&mut body, SIDE, SIDE);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().expect("a header in memory");
    writer.write_image_data(&row.pixels).expect("28 × 28 pixels");
    writer.finish().expect("a picture in memory");
    wire::post(&path(), "image/png", &body)
}
