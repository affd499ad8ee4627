//! What a prediction may be asked for and answered in: every format, and what is wrong with it.

use crate::support::{Answer, TestApp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lethe::formats::npy;
use serde_json::json;

const URL: &str = "/models/digits/predict";
const NPY: &str = "application/x-npy";
const RAW: &str = "application/octet-stream";

fn array(descr: &str, shape: &[u64], numbers: &[u8]) -> Vec<u8> {
    [&npy::head(descr, shape)[..], numbers].concat()
}

fn bytes_of(floats: impl IntoIterator<Item = f32>) -> Vec<u8> {
    floats.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// The numbers of an answer as npy, behind a head that must be this one.
#[track_caller]
fn numbers<'a>(answer: &'a Answer, descr: &str, shape: &[u64]) -> &'a [u8] {
    assert_eq!((answer.status, answer.header("content-type")), (200, NPY), "{}", answer.text());
    assert_eq!(answer.header("x-model-version"), "digits:1");
    answer.body.strip_prefix(&npy::head(descr, shape)[..]).unwrap()
}

#[tokio::test]
async fn arrays_and_base64_mean_the_same_as_lists() {
    let app = TestApp::with_model().await;
    let two = [app.pixels(3).await, app.pixels(4).await].concat();
    let rows: Vec<&[u8]> = two.chunks(784).collect();
    let expected = app.post(URL, &json!({ "inputs": rows })).await.json();
    assert_eq!(expected["predictions"].as_array().unwrap().len(), 2);

    let floats = bytes_of(two.iter().map(|&pixel| f32::from(pixel)));
    let doubles: Vec<u8> = two.iter().flat_map(|&pixel| f64::from(pixel).to_be_bytes()).collect();
    let shorts: Vec<u8> = two.iter().flat_map(|&pixel| i16::from(pixel).to_le_bytes()).collect();
    for (descr, shape, bytes) in [
        ("|u1", &[2, 784][..], &two),
        ("|u1", &[2, 28, 28], &two),
        ("<f4", &[2, 784], &floats),
        (">f8", &[2, 28, 28], &doubles),
        ("<i2", &[2, 784], &shorts),
    ] {
        let answer = app.post_as(URL, NPY, array(descr, shape, bytes)).await;
        assert_eq!(answer.json(), expected, "{descr} {shape:?}");
    }
    for inputs in [
        json!({ "base64": STANDARD.encode(&two) }),
        json!({ "base64": STANDARD.encode(&floats), "dtype": "f32" }),
    ] {
        assert_eq!(app.post(URL, &json!({ "inputs": inputs })).await.json(), expected);
    }
    let one = app.post_as(URL, NPY, array("|u1", &[28, 28], &two[..784])).await.json();
    assert_eq!(one["predictions"][0], expected["predictions"][0]);
}

#[tokio::test]
async fn answers_as_arrays_are_the_numbers_of_the_answers_as_json() {
    let app = TestApp::with_model().await;
    let two = [app.pixels(3).await, app.pixels(4).await].concat();
    let told = app.post_as(&format!("{URL}?return=logits,probabilities"), RAW, two.clone()).await.json();
    let floats = |part: &str| {
        let rows = told["predictions"].as_array().unwrap().iter();
        let values =
            rows.flat_map(|row| row[part].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32));
        bytes_of(values)
    };
    for (path, part) in
        [("", "probabilities"), ("?output=probabilities", "probabilities"), ("?output=logits", "logits")]
    {
        let answer = app.exchange(&format!("{URL}{path}"), RAW, NPY, two.clone()).await;
        assert_eq!(numbers(&answer, "<f4", &[2, 10]), floats(part), "{path}");
    }
    let answer = app.exchange(&format!("{URL}?output=label"), RAW, NPY, two).await;
    let labels =
        told["predictions"].as_array().unwrap().iter().map(|row| row["label"].as_u64().unwrap() as u32);
    assert_eq!(numbers(&answer, "<u4", &[2]), labels.flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
}

#[tokio::test]
async fn an_answer_tells_what_was_asked_for() {
    let app = TestApp::with_model().await;
    let pixels = app.pixels(3).await;
    let names = |answer: &Answer| {
        let answer = answer.json();
        let mut names: Vec<String> = answer["predictions"][0].as_object().unwrap().keys().cloned().collect();
        names.sort_unstable();
        names.join(" ")
    };
    for (parts, expected) in [
        (json!(null), "confidence label probabilities top"),
        (json!([]), "confidence label"),
        (json!(["logits", "seen"]), "confidence label logits seen"),
        (json!(["top"]), "confidence label top"),
    ] {
        let answer = app.post(URL, &json!({ "inputs": [pixels], "return": parts })).await;
        assert_eq!(names(&answer), expected, "{parts}");
        let Some(parts) = parts.as_array() else { continue };
        let listed: Vec<_> = parts.iter().map(|part| part.as_str().unwrap()).collect();
        let url = format!("{URL}?return={}", listed.join(","));
        assert_eq!(app.post_as(&url, RAW, pixels.clone()).await.json(), answer.json());
    }

    let answer =
        app.post(URL, &json!({ "inputs": [pixels], "return": ["logits", "probabilities"] })).await.json();
    let read = |part: &str| -> Vec<f64> {
        let values = answer["predictions"][0][part].as_array().unwrap();
        values.iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let exponentials: Vec<f64> = read("logits").iter().map(|logit| logit.exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    for (probability, exponential) in read("probabilities").iter().zip(exponentials) {
        assert!((probability - exponential / sum).abs() < 1e-5, "{answer}");
    }

    app.post(URL, &json!({ "inputs": [pixels], "return": ["odds"] })).await.pointers(&["/return/0"]);
    for path in ["?return=odds", "?output=odds", "?output=logits", "?prepare=blur"] {
        app.post_as(&format!("{URL}{path}"), RAW, pixels.clone()).await.problem(400, "invalid_parameter");
    }
    let answer = app.exchange(&format!("{URL}?return=logits"), RAW, NPY, pixels.clone()).await;
    answer.problem(400, "invalid_parameter");
    app.exchange(URL, RAW, "image/png", pixels).await.problem(406, "not_acceptable");
}

/// A PNG of `side × side` grey pixels.
fn png(side: u32, pixels: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    file
}

/// Black ink on white paper, each pixel three times as wide and high.
fn on_paper(pixels: &[u8]) -> Vec<u8> {
    let line = |y: usize| (0..84).map(move |x| 255 - pixels[y / 3 * 28 + x / 3]);
    png(84, &(0..84).flat_map(line).collect::<Vec<u8>>())
}

async fn seen(app: &TestApp, path: &str, picture: Vec<u8>) -> Vec<u8> {
    let answer = app.post_as(&format!("{URL}{path}"), "image/png", picture).await.json();
    let lines = answer["predictions"][0]["seen"].as_array().unwrap();
    assert_eq!(lines.len(), 28);
    lines.iter().flat_map(|line| line.as_array().unwrap()).map(|v| v.as_u64().unwrap() as u8).collect()
}

#[tokio::test]
async fn a_picture_is_made_like_those_of_the_training_and_the_answer_shows_it() {
    let app = TestApp::with_model().await;
    let original = app.pixels(3).await;
    let exact = png(28, &original);
    assert_eq!(seen(&app, "?return=seen", exact.clone()).await, original);
    assert_eq!(seen(&app, "?return=seen&prepare=none", exact.clone()).await, original);
    assert_eq!(seen(&app, "?return=seen&prepare=resize", exact).await, original);

    let paper = on_paper(&original);
    let prepared = seen(&app, "?return=seen", paper.clone()).await;
    assert_eq!(seen(&app, "?return=seen&prepare=digit", paper.clone()).await, prepared);
    let difference =
        prepared.iter().zip(&original).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / 784.0;
    assert!(prepared[0] == 0 && difference < 30.0, "{difference}");
    let scaled = seen(&app, "?return=seen&prepare=resize", paper.clone()).await;
    assert_eq!(scaled, original.iter().map(|&pixel| 255 - pixel).collect::<Vec<u8>>());

    app.post_as(&format!("{URL}?prepare=none"), "image/png", paper.clone()).await.pointers(&[""]);
    for len in [0, 8, 40, paper.len() / 2] {
        app.post_as(URL, "image/png", paper[..len].to_vec()).await.pointers(&[""]);
    }
}

#[tokio::test]
async fn bad_arrays_and_base64_are_pointed_at() {
    let app = TestApp::with_model().await;
    let whole = array("|u1", &[2, 784], &[7; 1_568]);
    for body in [
        vec![],
        b"PK\x03\x04".to_vec(),
        whole[..60].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], &[0]].concat(),
        array("|u1", &[2, 783], &[7; 1_566]),
        array("|u1", &[0, 784], &[]),
        array("|u1", &[4_097, 784], &vec![0; 4_097 * 784]),
        array("<c8", &[784], &[0; 784 * 8]),
    ] {
        app.post_as(URL, NPY, body).await.pointers(&[""]);
    }
    let mut floats = vec![1.0; 1_568];
    floats[784 + 5] = f32::NAN;
    app.post_as(URL, NPY, array("<f4", &[2, 784], &bytes_of(floats))).await.pointers(&["/1/5"]);
    for (inputs, pointer) in [
        (json!({ "base64": "AAA" }), "/inputs/base64"),
        (json!({ "base64": "AAAA" }), "/inputs/base64"),
        (json!({ "base64": STANDARD.encode([0; 784]), "dtype": "u16" }), "/inputs/dtype"),
        (json!({ "base64": STANDARD.encode(bytes_of([f32::NAN; 784])), "dtype": "f32" }), "/inputs/0/0"),
        (json!({ "x": 1 }), "/inputs"),
    ] {
        app.post(URL, &json!({ "inputs": inputs })).await.pointers(&[pointer]);
    }
    app.post_as(URL, "text/csv", "1,2").await.problem(415, "unsupported_media_type");
    let too_large = vec![0; (16 << 20) + 1];
    for content_type in [NPY, RAW, "image/png", "application/json"] {
        app.post_as(URL, content_type, too_large.clone()).await.problem(413, "payload_too_large");
    }
}
