//! Bodies, read whole: within a limit of their own, within a time, and within what all of them may take together.

use super::error::{Code, Problem};
use super::state::AppState;
use super::{MIB, PREDICT_BODY_LIMIT};
use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use futures_util::{StreamExt, poll};
use http_body_util::LengthLimitError;
use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a body may take from its first byte to its last.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that bodies of more than one piece may take together. A first piece is in the connection's buffer, and bounded
/// with that.
const ALL: usize = 256 * MIB;
/// In which they are counted: half a piece, so that few are counted too large by much.
const UNIT: usize = 4 << 10;

/// What bodies have left to take.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self::of(ALL)
    }
}

impl Budget {
    fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT)))
    }

    /// Enough for so many bytes more, or nothing: whoever waited would hold what it has.
    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        self.0.clone().try_acquire_many_owned(units).map_err(|_| {
            Problem::new(Code::Overloaded, "requests at work have no room for another large body; come back")
                .retry_after(1)
        })
    }
}

/// A body as bytes, within the limit of the route's layer.
#[derive(Debug)]
pub struct ApiBytes(pub Bytes);

impl FromRequest<AppState> for ApiBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, Problem> {
        whole(request.into_body(), usize::MAX, &app.bodies, PATIENCE).await.map(Self)
    }
}

/// Rows to be predicted. It knows its limit itself: a layer costs a twentieth of a prediction.
#[derive(Debug)]
pub struct PredictBytes(pub Bytes);

impl FromRequest<AppState> for PredictBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, Problem> {
        Self::read(request.into_body(), app).await
    }
}

impl PredictBytes {
    pub async fn read(body: Body, app: &AppState) -> Result<Self, Problem> {
        whole(body, PREDICT_BODY_LIMIT, &app.bodies, PATIENCE).await.map(Self)
    }
}

/// A body that trickles in is waited for only so long: whoever sends it holds what the request has been given.
async fn whole(body: Body, limit: usize, budget: &Budget, patience: Duration) -> Result<Bytes, Problem> {
    let mut read = pin!(read(body, limit, budget));
    // most bodies have come with their head: no clock is set for them
    if let Poll::Ready(body) = poll!(read.as_mut()) {
        return body;
    }
    tokio::time::timeout(patience, read).await.unwrap_or_else(|_| {
        Err(Problem::new(
            Code::RequestTimeout,
            format!("the body was not complete after {} seconds; send it faster", patience.as_secs()),
        ))
    })
}

async fn read(body: Body, limit: usize, budget: &Budget) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut pieces = body.into_data_stream();
    let Some(first) = pieces.next().await.transpose().map_err(broken)? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(too_large());
    }
    if pieces.is_end_stream() {
        return Ok(first);
    }
    let mut held = Held { permit: budget.take(first.len())?, bytes: first.into() };
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(broken)?;
        if held.bytes.len() + piece.len() > limit {
            return Err(too_large());
        }
        held.permit.merge(budget.take(piece.len())?);
        held.bytes.extend_from_slice(&piece);
    }
    Ok(Bytes::from_owner(held))
}

/// A body with its share of the budget, given back when the last slice of it is dropped.
struct Held {
    bytes: Vec<u8>,
    permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn too_large() -> Problem {
    Problem::new(Code::PayloadTooLarge, "the body is larger than this address accepts; send a smaller one")
}

fn broken(error: axum::Error) -> Problem {
    let mut cause: Option<&dyn Error> = Some(&error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return too_large();
        }
        cause = error.source();
    }
    Problem::new(Code::BadRequest, "the body ended before it was complete").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_stream::stream;
    use std::io;

    fn pieces(pieces: &[&'static [u8]]) -> Body {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| Ok::<_, io::Error>(Bytes::from_static(piece))).collect();
        Body::from_stream(futures_util::stream::iter(pieces))
    }

    async fn read_of(body: Body, limit: usize, budget: &Budget) -> Result<Bytes, Code> {
        whole(body, limit, budget, PATIENCE).await.map_err(|problem| problem.code)
    }

    #[tokio::test]
    async fn a_body_is_the_same_in_one_piece_or_many() {
        let budget = Budget::of(64 << 10);
        for body in [Body::from("abcd"), pieces(&[b"abcd"]), pieces(&[b"a", b"", b"bcd"])] {
            assert_eq!(read_of(body, 4, &budget).await.unwrap(), "abcd");
        }
        assert_eq!(read_of(Body::empty(), 4, &budget).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_body_over_its_limit_is_refused_declared_or_not() {
        let budget = Budget::of(64 << 10);
        for body in [Body::from("abcd"), pieces(&[b"abcd"]), pieces(&[b"ab", b"cd"])] {
            assert_eq!(read_of(body, 3, &budget).await, Err(Code::PayloadTooLarge));
        }
        let limited = Body::new(http_body_util::Limited::new(pieces(&[b"ab", b"cd"]), 3));
        assert_eq!(read_of(limited, 4, &budget).await, Err(Code::PayloadTooLarge));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_a_bad_request() {
        let broken = Body::from_stream(stream! {
            yield Ok(Bytes::from_static(b"a"));
            yield Err(io::Error::other("reset"));
        });
        assert_eq!(read_of(broken, 9, &Budget::default()).await, Err(Code::BadRequest));
    }

    #[tokio::test]
    async fn a_body_that_trickles_in_is_waited_for_only_so_long() {
        let endless = || Body::from_stream(futures_util::stream::pending::<Result<Bytes, io::Error>>());
        let problem = whole(endless(), 9, &Budget::default(), Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(problem.code, Code::RequestTimeout);
        assert_eq!(whole(Body::from("x"), 9, &Budget::default(), Duration::ZERO).await.unwrap(), "x");
    }

    #[tokio::test]
    async fn large_bodies_share_a_budget_and_give_it_back() {
        let budget = Budget::of(2 * UNIT);
        let two = || pieces(&[b"a", b"b"]);
        let first = read_of(two(), 9, &budget).await.unwrap();
        let slice = first.slice(1..);
        drop(first);
        assert_eq!(read_of(two(), 9, &budget).await, Err(Code::Overloaded));
        assert_eq!(read_of(Body::from("small"), 9, &budget).await.unwrap(), "small");
        drop(slice);
        assert_eq!(read_of(two(), 9, &budget).await.unwrap(), "ab");
    }
}
