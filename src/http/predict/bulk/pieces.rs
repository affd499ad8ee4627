//! The pieces of a request's body, as the network brings them.

use super::super::super::body::PATIENCE;
use super::super::super::error::{Code, Problem};
use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// A body held in memory comes in pieces no larger than the network's.
const MAX_PIECE: usize = 64 << 10;
/// How long a client may go on sending what nobody looks at any more.
const DRAINING: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Pieces {
    body: BodyDataStream,
    pending: Bytes,
    shutdown: CancellationToken,
}

impl Pieces {
    pub fn new(body: Body, shutdown: CancellationToken) -> Self {
        Self { body: body.into_data_stream(), pending: Bytes::new(), shutdown }
    }

    /// How long a row may take from its first byte to its last.
    pub fn patience(&self) -> Duration {
        PATIENCE
    }

    /// The next piece, or `None` at the end.
    pub async fn next(&mut self, deadline: Instant) -> Result<Option<Bytes>, Problem> {
        if self.pending.is_empty() {
            let read = tokio::select! {
                read = timeout_at(deadline, self.body.next()) => read,
                () = self.shutdown.cancelled() => {
                    let detail = "the server ends; send the rows that are not answered yet again, to the next one";
                    return Err(Problem::new(Code::Unavailable, detail).retry_after(2));
                }
            };
            self.pending = match read {
                Ok(Some(Ok(piece))) => piece,
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => {
                    let detail = "the body ended before it was complete";
                    return Err(Problem::new(Code::BadRequest, detail).caused_by(error));
                }
                Err(_) => {
                    let seconds = PATIENCE.as_secs();
                    let detail = format!("no whole row came within {seconds} seconds; send faster");
                    return Err(Problem::new(Code::RequestTimeout, detail));
                }
            };
        }
        Ok(Some(self.pending.split_to(self.pending.len().min(MAX_PIECE))))
    }

    /// Reads what still comes, for a while, and drops it.
    pub async fn drain(&mut self) {
        let rest = async { while let Some(Ok(_)) = self.body.next().await {} };
        tokio::select! {
            // whether it came to its end makes no difference
            _ = timeout(DRAINING, rest) => {}
            () = self.shutdown.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn pieces(body: Body) -> (Pieces, CancellationToken) {
        let shutdown = CancellationToken::new();
        (Pieces::new(body, shutdown.clone()), shutdown)
    }

    fn silent() -> Body {
        Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())
    }

    #[tokio::test]
    async fn a_body_in_memory_is_read_in_pieces() {
        let (mut pieces, _) = pieces(Body::from(vec![7; MAX_PIECE + 3]));
        let deadline = Instant::now() + Duration::from_secs(60);
        assert_eq!(pieces.next(deadline).await.unwrap().unwrap().len(), MAX_PIECE);
        assert_eq!(pieces.next(deadline).await.unwrap().unwrap().len(), 3);
        assert_eq!(pieces.next(deadline).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_client_that_falls_silent_is_waited_for_only_so_long() {
        let (mut pieces, _) = pieces(silent());
        let problem = pieces.next(Instant::now()).await.unwrap_err();
        assert_eq!(problem.code, Code::RequestTimeout);
    }

    #[tokio::test]
    async fn a_body_that_is_cut_off_and_a_server_that_ends_are_told_apart() {
        let deadline = Instant::now() + Duration::from_secs(60);
        let cut = stream::iter([Err::<Bytes, _>(std::io::Error::other("reset"))]);
        let (mut pieces_of_cut, _) = pieces(Body::from_stream(cut));
        assert_eq!(pieces_of_cut.next(deadline).await.unwrap_err().code, Code::BadRequest);
        let (mut pieces, shutdown) = pieces(silent());
        shutdown.cancel();
        assert_eq!(pieces.next(deadline).await.unwrap_err().code, Code::Unavailable);
    }
}
