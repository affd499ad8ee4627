//! `lethe predict`.

use super::args::PredictArgs;
use super::draw::{self, Style, percent};
use super::error::CliError;
use super::out::{say, say_as_is};
use super::server::Server;
use serde_json::{Value, json};
use std::io::Read as _;

/// Larger inputs than this are not read; the server would refuse them anyway.
const MAX_INPUT_BYTES: u64 = 64 << 20;
const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

pub async fn predict(args: &PredictArgs, server: &Server) -> Result<(), CliError> {
    let style = Style::of_stdout();
    let path = format!("/models/{}/predict", args.model);
    if let (Some(dataset), Some(row)) = (&args.dataset, args.row) {
        let row =
            server.client().get(&format!("/datasets/{dataset}/rows/{row}?split={}", args.split)).await?;
        let request = json!({ "inputs": [row["features"]], "top_k": args.top_k });
        let answer = server.client().post(&path, &request).await?;
        if args.connection.json {
            say!("{answer}");
        } else {
            say_as_is!("{}", picture(&grey_values(&row["features"]), style));
            say_as_is!("{}", describe(&answer, style));
            say!("  the label says {}", row["label"]);
        }
        return Ok(());
    }
    for file in &args.files {
        let bytes = read(file)?;
        let (content_type, pixels) = if bytes.starts_with(PNG_SIGNATURE) {
            ("image/png", decode(&bytes).unwrap_or_default())
        } else {
            ("application/octet-stream", bytes.clone())
        };
        let path = format!("{path}?top_k={}", args.top_k);
        let mut answer = server.client().post_bytes(&path, content_type, bytes).await?;
        if args.connection.json {
            answer["file"] = file.as_str().into();
            say!("{answer}");
            continue;
        }
        if args.files.len() > 1 {
            say!("{}", style.bold(file));
        }
        let one = answer["predictions"].as_array().is_some_and(|predictions| predictions.len() == 1);
        if one {
            say_as_is!("{}", picture(&pixels, style));
        }
        say_as_is!("{}", describe(&answer, style));
    }
    Ok(())
}

fn read(file: &str) -> Result<Vec<u8>, CliError> {
    let cannot = |error: std::io::Error| CliError::Usage(format!("can't read {file}: {error}"));
    let mut bytes = Vec::new();
    let source: Box<dyn std::io::Read> = if file == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(cannot)?)
    };
    source.take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_INPUT_BYTES {
        return Err(CliError::Usage(format!("{file} holds more than {} MB", MAX_INPUT_BYTES >> 20)));
    }
    Ok(bytes)
}

/// The grey bytes of a PNG, if they are that simple; only for the picture on the terminal.
fn decode(png: &[u8]) -> Option<Vec<u8>> {
    let decoder = png::Decoder::new_with_limits(std::io::Cursor::new(png), png::Limits { bytes: 1 << 20 });
    let mut reader = decoder.read_info().ok()?;
    let mut pixels = vec![0; reader.output_buffer_size().filter(|&size| size <= 1 << 20)?];
    let frame = reader.next_frame(&mut pixels).ok()?;
    let simple = frame.color_type == png::ColorType::Grayscale && frame.bit_depth == png::BitDepth::Eight;
    simple.then_some(pixels)
}

/// A JSON row's features as grey bytes.
pub fn grey_values(features: &Value) -> Vec<u8> {
    let byte = |value: &Value| value.as_f64().unwrap_or_default().clamp(0.0, 255.0) as u8;
    features.as_array().map(|values| values.iter().map(byte).collect()).unwrap_or_default()
}

/// A square image on the terminal; nothing for what is not square.
pub fn picture(pixels: &[u8], style: Style) -> String {
    let side = pixels.len().isqrt();
    if side * side == pixels.len() && side <= 64 { draw::digit(pixels, side, style) } else { String::new() }
}

/// Every prediction with its most probable labels.
pub fn describe(answer: &Value, style: Style) -> String {
    let model = &answer["model"];
    let name = format!("{}:{}", model["name"].as_str().unwrap_or("?"), model["version"]);
    let mut text = String::new();
    for prediction in answer["predictions"].as_array().into_iter().flatten() {
        let confidence = percent(prediction["confidence"].as_f64().unwrap_or_default());
        let label = style.bold(&label_of(&prediction["label"]));
        text.push_str(&format!("{name} says {label}, {confidence} sure\n"));
        for entry in prediction["top"].as_array().into_iter().flatten() {
            let part = entry[1].as_f64().unwrap_or_default();
            let bar = draw::bar(part, 24, style);
            text.push_str(&format!("  {:>3} {bar} {:>8}\n", label_of(&entry[0]), percent(part)));
        }
    }
    text
}

fn label_of(label: &Value) -> String {
    label.as_str().map_or_else(|| label.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_bars() {
        let answer = json!({"model": {"name": "digits", "version": 12},
            "predictions": [{"label": 7, "confidence": 0.75, "top": [[7, 0.75], [1, 0.25]]}]});
        let expected = "\
digits:12 says 7, 75.00 % sure
    7 ##################        75.00 %
    1 ######                    25.00 %
";
        assert_eq!(describe(&answer, Style::PLAIN), expected);
    }

    #[test]
    fn only_square_rows_are_pictures() {
        assert_eq!(picture(&[255; 4], Style::PLAIN), "@@\n");
        assert_eq!(picture(&[255; 5], Style::PLAIN), "");
        assert_eq!(grey_values(&json!([0, 255.0, 300, -1])), [0, 255, 255, 0]);
    }

    #[test]
    fn a_grey_png_is_decoded_and_a_broken_one_is_not() {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 2, 1);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&[7, 9]).unwrap();
        assert_eq!(decode(&file), Some(vec![7, 9]));
        assert_eq!(decode(&file[..20]), None);
    }
}
