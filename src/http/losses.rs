//! `GET /runs/{id}/losses`: what every sample lost, epoch by epoch.

use super::error::{Code, Problem};
use super::extract::{ApiPath, negotiate};
use super::order::ascii;
use super::runs;
use super::state::AppState;
use crate::domain::Run;
use crate::formats::npy;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use std::io;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};
use uuid::Uuid;

const NPY: &str = "application/x-npy";
/// Bytes in memory at a time.
const PIECE: usize = 64 << 10;
const F32_BYTES: u64 = size_of::<f32>() as u64;

/// Take home the loss of every training sample at the end of every epoch.
///
/// For trainings ordered with `track_samples`. An array of f32 (`<f4`) with a row for every epoch that is done, from the
/// first, and a column for every row of the training file: the cross-entropy, in nats, of the sample whose label is that
/// row's, with the weights at the end of the epoch. `NaN` in columns of rows not trained on, and in rows of epochs that
/// were not measured: those before a fork begins.
#[utoipa::path(get, path = "/runs/{id}/losses", tag = "runs",
    params(("id" = Uuid, Path, description = "The run")),
    responses((status = 200, description = "Epochs × rows of the training file",
               content((Vec<u8> = "application/x-npy")), headers(("Content-Disposition" = String)))))]
pub async fn get_run_losses(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    negotiate(&headers, &[NPY])?;
    // before the file: what it has of later epochs, not everybody has heard of
    let run = runs::load(&app, id).await?;
    let n_epochs = u64::from(run.progress.epoch);
    let folder = app.engine.artifacts.losses.clone();
    let opened = tokio::task::spawn_blocking(move || folder.open(id)).await.map_err(Problem::internal)?;
    let found = opened.map_err(Problem::internal)?;
    let found = found.filter(|found| (1..=found.n_epochs).contains(&n_epochs) && run.tracks_samples());
    let found = found.ok_or_else(|| no_losses(&run))?;
    let head = npy::head("<f4", &[n_epochs, found.n_rows]);
    let n_bytes = n_epochs * found.n_rows * F32_BYTES;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(NPY)),
        (header::CONTENT_LENGTH, ascii(&(head.len() as u64 + n_bytes).to_string())),
        (header::CONTENT_DISPOSITION, ascii(&format!("attachment; filename=\"losses-{id}.npy\""))),
    ];
    let file = File::from_std(found.file).take(n_bytes);
    Ok((headers, Body::from_stream(pieces(head.into(), file))).into_response())
}

/// An error, or a file that ends too early, cuts the connection before the promised length.
fn pieces(head: Bytes, mut file: impl AsyncRead + Unpin) -> impl Stream<Item = io::Result<Bytes>> {
    async_stream::try_stream! {
        yield head;
        let mut piece = BytesMut::with_capacity(PIECE);
        while file.read_buf(&mut piece).await? > 0 {
            yield piece.split().freeze();
            piece.reserve(PIECE);
        }
    }
}

fn no_losses(run: &Run) -> Problem {
    let detail = if !run.tracks_samples() {
        "only trainings ordered with `\"track_samples\": true` keep the losses of their samples".to_owned()
    } else if run.progress.epoch == 0 {
        format!("run `{}` is {} and has not come to the end of an epoch", run.id, run.status.name())
    } else {
        format!("the losses of run `{}` are gone; they are removed when its version is revoked", run.id)
    };
    Problem::new(Code::LossesNotFound, detail).with("run_status", run.status.name())
}
