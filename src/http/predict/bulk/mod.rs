//! Rows without end: read as they come, and answered while the rest is still being sent.
//!
//! What is in memory is one piece of the request and its answer. The next piece is read when the client has taken the
//! answer to the last, so a client that does not read is not read from.

mod pieces;
mod rows;

use super::super::error::{Code, FieldError, Problem};
use super::super::order::ascii;
use super::super::serving;
use super::super::state::AppState;
use super::super::telemetry::Spent;
use super::answer::{PredictionView, Predictions};
use super::request::{Output, Parts};
use super::{NDJSON, NPY, model_version};
use crate::formats::json::Id;
use crate::inference::Loaded;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::Stream;
use pieces::Pieces;
use rows::Block;
use serde::Serialize;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub use rows::Rows as Incoming;

/// Between two attempts to have a block answered by a server with too much to do.
const PAUSE: Duration = Duration::from_millis(20);

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A JSON object a row, each on its line.
    Lines(Parts),
    /// One file.
    Npy(Output),
}

/// Answers row after row. What is wrong before the first row has a status of its own. What is wrong behind it ends the
/// answer: a last line tells the problem, and an npy file ends before its `content-length`.
pub async fn answer(
    app: &AppState,
    loaded: Arc<Loaded>,
    incoming: Incoming,
    outgoing: Outgoing,
    body: Body,
) -> Result<Response, Problem> {
    let pieces = Pieces::new(body, app.shutdown.clone());
    let mut reader = Reader { incoming, pieces, loaded, tally: Tally::of(app) };
    let mut first = reader.block().await;
    if first.n_rows() == 0 {
        return Err(match first.end.take() {
            Some(Err(problem)) => problem,
            _ => Problem::invalid(vec![FieldError::new("", "the body must have at least one row")]),
        });
    }
    let end = first.end.take();
    // a server with too much to do says so before it has begun
    let first = answered(&reader.loaded, first, outgoing, &mut reader.tally).await?;
    let mut headers = HeaderMap::new();
    headers.extend([model_version(&reader.loaded)]);
    let head = match outgoing {
        Outgoing::Lines(_) => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
            Bytes::new()
        }
        Outgoing::Npy(output) => {
            let n_rows = reader.incoming.n_rows().ok_or_else(|| {
                let detail = format!("nobody knows how many lines there will be; accept `{NDJSON}`");
                Problem::new(Code::NotAcceptable, detail)
            })?;
            let n_classes = reader.loaded.n_classes();
            let head = output.npy_head(n_rows, n_classes);
            let len = head.len() as u128 + u128::from(n_rows) * output.row_bytes(n_classes) as u128;
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(NPY));
            headers.insert(header::CONTENT_LENGTH, ascii(&len.to_string()));
            head.into()
        }
    };
    Ok((headers, Body::from_stream(answers(reader, head, first, end, outgoing))).into_response())
}

/// The answer, a block at a time. An error cuts the connection.
fn answers(
    mut reader: Reader,
    head: Bytes,
    first: Bytes,
    mut end: Option<Result<(), Problem>>,
    outgoing: Outgoing,
) -> impl Stream<Item = io::Result<Bytes>> {
    async_stream::try_stream! {
        if !head.is_empty() {
            yield head;
        }
        yield first;
        while end.is_none() {
            let mut block = reader.block().await;
            end = block.end.take();
            if block.n_rows() > 0 {
                match answered_in_turn(&reader.loaded, block, outgoing, &mut reader.tally).await {
                    Ok(bytes) => yield bytes,
                    Err(problem) => end = Some(Err(problem)),
                }
            }
        }
        if let Some(Err(problem)) = end {
            log(&problem);
            match outgoing {
                Outgoing::Lines(_) => yield last_line(&problem),
                Outgoing::Npy(_) => Err(io::Error::other(problem.detail))?,
            }
            // closed on bytes nobody has read, a connection is reset, and the last line lost on its way
            reader.pieces.drain().await;
        }
    }
}

struct Reader {
    incoming: Incoming,
    pieces: Pieces,
    loaded: Arc<Loaded>,
    tally: Tally,
}

/// What a request came to, counted however it ends.
struct Tally {
    app: AppState,
    n_rows: usize,
    spent: Spent,
}

impl Tally {
    fn of(app: &AppState) -> Self {
        Self { app: app.clone(), n_rows: 0, spent: Spent::default() }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if self.n_rows > 0 {
            self.app.telemetry.predicted(self.n_rows, self.spent);
        }
    }
}

impl Reader {
    /// The rows that come next, at least one unless there are no more.
    async fn block(&mut self) -> Block {
        let input = &self.loaded.model.input;
        // for a whole row, not for a byte of it
        let deadline = Instant::now() + self.pieces.patience();
        loop {
            let piece = self.pieces.next(deadline).await;
            let started = std::time::Instant::now();
            let block = match piece {
                Ok(Some(piece)) => self.incoming.push(&piece, input),
                Ok(None) => self.incoming.finish(input),
                Err(problem) => Block::end(Err(problem)),
            };
            self.tally.spent.parse += started.elapsed();
            if block.n_rows() > 0 || block.end.is_some() {
                return block;
            }
        }
    }
}

/// The answers to a block, whenever there is room for it: what has been begun is not given up for want of it.
async fn answered_in_turn(
    loaded: &Loaded,
    block: Block,
    outgoing: Outgoing,
    tally: &mut Tally,
) -> Result<Bytes, Problem> {
    loop {
        match answered(loaded, block.clone(), outgoing, tally).await {
            Err(problem) if problem.code == Code::Overloaded => sleep(PAUSE).await,
            other => return other,
        }
    }
}

/// The answers to a block.
async fn answered(
    loaded: &Loaded,
    block: Block,
    outgoing: Outgoing,
    tally: &mut Tally,
) -> Result<Bytes, Problem> {
    let Block { values, ids, .. } = block;
    let input = &loaded.model.input;
    let tells_rows = matches!(outgoing, Outgoing::Lines(parts) if parts.seen);
    let seen = tells_rows.then(|| values.clone());
    let started = std::time::Instant::now();
    let outputs = serving::infer(loaded, serving::as_seen(values, input)).await?;
    tally.spent.infer += started.elapsed();
    tally.n_rows += outputs.n_rows();
    let mut bytes = Vec::new();
    match outgoing {
        Outgoing::Npy(output) => output.write_npy(&outputs, &mut bytes),
        Outgoing::Lines(parts) => {
            let mut ids = ids.iter().map(Option::as_ref);
            let predictions = Predictions { outputs: &outputs, seen: seen.as_ref(), parts, input };
            let written = predictions.try_for_each(|prediction| {
                let id = ids.next().flatten();
                serde_json::to_writer(&mut bytes, &LineView { id, prediction })?;
                bytes.push(b'\n');
                Ok::<_, serde_json::Error>(())
            });
            written.expect("an answer is lists and numbers");
        }
    }
    Ok(bytes.into())
}

/// One row's answer on its line.
#[derive(Debug, Serialize)]
struct LineView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Id>,
    #[serde(flatten)]
    prediction: PredictionView<'a>,
}

/// `{"problem": …}`.
fn last_line(problem: &Problem) -> Bytes {
    let mut line = br#"{"problem":"#.to_vec();
    line.extend(problem.to_part());
    line.extend(b"}\n");
    line.into()
}

/// The head has been logged as a success long ago.
fn log(problem: &Problem) {
    let code = problem.code.name();
    match &problem.cause {
        Some(cause) => tracing::error!(code, %cause, "ended a bulk answer"),
        None => tracing::info!(code, "ended a bulk answer"),
    }
}
