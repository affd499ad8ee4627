//! Rows without end: answered while they are sent, in constant memory, with an end that says what went wrong.

use crate::support::{Answer, TestApp};
use axum::body::{Body, Bytes};
use futures_util::{Stream, StreamExt, stream};
use lethe::formats::npy;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const URL: &str = "/models/digits/predict";
const LINES: &str = "application/x-ndjson";
const NPY: &str = "application/x-npy";

/// A row of grey pixels, different for every index.
fn row(index: usize) -> Vec<u8> {
    (0..784).map(|pixel| ((pixel * 7 + index * 13) % 256) as u8).collect()
}

fn array(n_rows: usize) -> Vec<u8> {
    let rows = (0..n_rows).flat_map(row);
    npy::head("|u1", &[n_rows as u64, 784]).into_iter().chain(rows).collect()
}

#[track_caller]
fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!((answer.status, answer.header("content-type")), (200, LINES), "{}", answer.text());
    assert_eq!(answer.header("x-model-version"), "digits:1");
    assert_eq!(answer.body.last(), Some(&b'\n'));
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn lines_and_arrays_are_answered_like_requests_of_their_own() {
    let app = TestApp::with_model().await;
    let expected = app.post(URL, &json!({ "inputs": (0..5).map(row).collect::<Vec<_>>() })).await.json();
    let expected = expected["predictions"].as_array().unwrap();

    let text: String = (0..5).map(|index| format!("{}\n", json!(row(index)))).collect();
    assert_eq!(lines(&app.post_as(URL, LINES, text).await), *expected);
    let text: String =
        (0..5).map(|index| format!("{}\r\n\n", json!({ "inputs": [row(index)], "id": index }))).collect();
    for (index, line) in lines(&app.post_as("/predict?model=digits", LINES, text).await).iter().enumerate() {
        assert_eq!(line["id"], index);
        assert_eq!(line["probabilities"], expected[index]["probabilities"]);
    }
    assert_eq!(lines(&app.exchange(URL, NPY, LINES, array(5)).await), *expected);

    let answer = app.exchange(URL, NPY, NPY, array(5)).await;
    let probabilities = expected.iter().flat_map(|row| row["probabilities"].as_array().unwrap());
    let numbers = probabilities.flat_map(|p| (p.as_f64().unwrap() as f32).to_le_bytes());
    assert_eq!(answer.body, npy::head("<f4", &[5, 10]).into_iter().chain(numbers).collect::<Vec<u8>>());
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());

    let told = lines(&app.post_as(&format!("{URL}?return=seen"), LINES, json!(row(3)).to_string()).await);
    let seen: Vec<Value> = told[0]["seen"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|line| line.as_array().unwrap().clone())
        .collect();
    assert_eq!(seen, row(3).into_iter().map(|pixel| json!(pixel)).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_wrong_before_the_first_row_has_its_own_status() {
    let app = TestApp::with_model().await;
    for (body, pointer) in [("", ""), ("\n\n", ""), ("[1]\n", "/0"), ("\n{\"inputs\":7}\n", "/1/inputs")] {
        app.post_as(URL, LINES, body).await.pointers(&[pointer]);
    }
    app.post_as(URL, LINES, "{").await.problem(400, "invalid_json");
    app.post_as(URL, LINES, vec![b' '; (1 << 20) + 1]).await.problem(413, "payload_too_large");
    app.exchange(URL, LINES, NPY, "").await.problem(406, "not_acceptable");
    app.exchange(URL, LINES, "application/json", "").await.problem(406, "not_acceptable");
    for body in [vec![], b"PK".to_vec(), array(1)[..200].to_vec(), npy::head("|u1", &[1, 783])] {
        app.exchange(URL, NPY, NPY, body).await.pointers(&[""]);
    }
    app.post_as("/models/nobody/predict", LINES, "[1]").await.problem(404, "model_not_found");
    app.post_as("/predict", LINES, "[1]").await.pointers(&["/model"]);
    app.post_as(&format!("{URL}?top_k=11"), LINES, "[1]").await.pointers(&["?top_k"]);
}

#[tokio::test]
async fn what_is_wrong_later_is_told_on_the_last_line() {
    let app = TestApp::with_model().await;
    let good = json!(row(0)).to_string();
    for (bad, code, status, pointer) in [
        ("[1]", "invalid_request", 422, json!("/2")),
        ("[nan]", "invalid_json", 400, json!(null)),
        ("{\"inputs\":{\"base64\":\"!\"}}", "invalid_request", 422, json!("/2/inputs/base64")),
    ] {
        let text = format!("{good}\n{good}\n{bad}\n{good}\n");
        let told = lines(&app.post_as(URL, LINES, text).await);
        assert_eq!(told.len(), 3, "{told:?}");
        let problem = &told[2]["problem"];
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)));
        assert_eq!(problem["errors"][0]["pointer"], pointer);
        assert!(problem["detail"].as_str().unwrap().contains('2'), "{problem}");
    }

    let whole = array(3);
    let told = lines(&app.exchange(URL, NPY, LINES, whole[..whole.len() - 1].to_vec()).await);
    assert_eq!((told.len(), &told[2]["problem"]["code"]), (3, &json!("invalid_request")));
    // an npy file has no place for a problem: it is cut short
    let body = Body::from(whole[..whole.len() - 1].to_vec());
    let pieces: Vec<_> = app.open(URL, NPY, NPY, body).await.into_body().into_data_stream().collect().await;
    assert!(pieces.last().unwrap().is_err());
}

/// Pieces of a body that counts how many of them have been asked for.
fn counted<S: Stream<Item = Bytes> + Send + 'static>(pieces: S) -> (Body, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let pieces = pieces.map(move |piece| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Infallible>(piece)
    });
    (Body::from_stream(pieces), asked)
}

/// Reads an answer, of which `measure` says how much a piece is, and `per_piece` how much of it a piece of the request
/// comes to. Whatever part has been read, the server has read no further in the request than a few pieces.
async fn read_in_step(
    answer: Body,
    asked: &AtomicUsize,
    measure: fn(&[u8]) -> usize,
    per_piece: usize,
) -> usize {
    let mut n_read = 0;
    let mut pieces = answer.into_data_stream();
    while let Some(piece) = pieces.next().await {
        n_read += measure(&piece.unwrap());
        let ahead = asked.load(Ordering::Relaxed).saturating_sub(n_read / per_piece);
        assert!(ahead <= 3, "{ahead} pieces ahead after {n_read}");
    }
    n_read
}

#[tokio::test]
async fn two_hundred_thousand_rows_of_an_array_are_never_in_memory_together() {
    const N_ROWS: usize = 200_000;
    const ROWS_PER_PIECE: usize = 80;
    let app = TestApp::with_model().await;
    let head = Bytes::from(npy::head("|u1", &[N_ROWS as u64, 784]));
    let rows = Bytes::from(vec![0; ROWS_PER_PIECE * 784]);
    let pieces = stream::iter([head]).chain(stream::repeat(rows).take(N_ROWS / ROWS_PER_PIECE));
    let (body, asked) = counted(pieces);
    let answer = app.open(&format!("{URL}?output=label"), NPY, NPY, body).await;
    assert!(asked.load(Ordering::Relaxed) <= 3, "the answer begins before the request ends");
    let n_bytes = read_in_step(answer.into_body(), &asked, <[u8]>::len, ROWS_PER_PIECE * 4).await;
    assert_eq!(n_bytes, npy::head("<u4", &[N_ROWS as u64]).len() + N_ROWS * 4);
}

#[tokio::test]
async fn lines_are_read_no_faster_than_their_answers() {
    const N_PIECES: usize = 500;
    const ROWS_PER_PIECE: usize = 20;
    let app = TestApp::with_model().await;
    let piece = Bytes::from(format!("{}\n", json!(vec![0; 784])).repeat(ROWS_PER_PIECE));
    let (body, asked) = counted(stream::repeat(piece).take(N_PIECES));
    let answer = app.open(&format!("{URL}?return="), LINES, LINES, body).await;
    let count = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count();
    let n_lines = read_in_step(answer.into_body(), &asked, count, ROWS_PER_PIECE).await;
    assert_eq!(n_lines, N_PIECES * ROWS_PER_PIECE);
}
