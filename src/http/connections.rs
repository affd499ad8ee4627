//! The accept loop: how many connections there may be, and how long each may keep the server waiting.
//!
//! `axum::serve` sets no limit on the time a client takes to send its headers, never drops a client that has
//! stopped reading, and accepts without a bound. Here every connection holds a permit. When all are taken, a
//! small reserve answers health checks and refuses everything else with a problem document, so that an
//! orchestrator sees a busy server instead of a dead one; beyond the reserve a connection is closed unheard.

use super::state::AppState;
use super::{KIB, WAITING_TIMEOUT};
use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the kernel keeps of an answer its client has not read. A reader of events that falls behind is fed
/// again from the database, so more would only be memory.
const SEND_BUFFER: usize = 64 * KIB;
/// What hyper keeps at most of a request's head, of a body ahead of its reader, and of an answer ahead of the socket.
const HTTP_BUFFER: usize = 24 * KIB;
const MAX_HEADERS: usize = 64;
/// Connections for everything but event streams, when all of those are open.
pub(super) const BESIDE_STREAMS: usize = 536;

/// Bounds on connections.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections that may ask anything.
    pub ordinary: usize,
    /// Further ones that may ask about health.
    pub reserve: usize,
    /// To send the head of a request, the first or the next: an idle connection is closed after this.
    pub header: Duration,
    /// The same in the reserve, where a silent client would keep a health check out.
    pub reserve_header: Duration,
    /// For which sent bytes may stay without an acknowledgement (RFC 5482), and so how long a client that has
    /// stopped reading is kept.
    pub unread: Duration,
    /// After which a connection is asked to end: what it is answering is answered, then it is closed.
    pub lifetime: Duration,
    /// How long that may take. Event streams have no end of their own: they are cut, and resume elsewhere
    /// from the last event they had.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ordinary: 1_000 + BESIDE_STREAMS,
            reserve: 64,
            header: Duration::from_secs(10),
            reserve_header: Duration::from_secs(2),
            unread: Duration::from_secs(30),
            lifetime: Duration::from_hours(12),
            farewell: WAITING_TIMEOUT,
        }
    }
}

impl Limits {
    /// With room for so many event streams.
    pub fn with_streams(n_streams: usize) -> Self {
        Self { ordinary: n_streams + BESIDE_STREAMS, ..Self::default() }
    }

    /// File descriptors a server at its bounds needs, with some for the database, datasets and weights.
    pub fn descriptors(&self) -> u64 {
        (self.ordinary + self.reserve + 256) as u64
    }
}

/// Some of the connections there may be, and what those may ask.
struct Share {
    permits: Arc<Semaphore>,
    http: http1::Builder,
    router: Router,
}

impl Share {
    fn new(n_connections: usize, header: Duration, router: Router) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(header)
            .max_buf_size(HTTP_BUFFER)
            .max_headers(MAX_HEADERS);
        Self { permits: Arc::new(Semaphore::new(n_connections)), http, router }
    }

    /// One request a connection.
    fn without_keep_alive(mut self) -> Self {
        self.http.keep_alive(false);
        self
    }

    /// Ready to serve a connection, while one is free.
    fn admit(&self) -> Option<Admitted> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        let service = TowerToHyperService::new(self.router.clone());
        Some(Admitted { http: self.http.clone(), service, _permit: permit })
    }
}

/// What a connection is served with, and its place among the connections.
struct Admitted {
    http: http1::Builder,
    service: TowerToHyperService<Router>,
    _permit: OwnedSemaphorePermit,
}

/// Accepts until the server is to end, then waits for the connections there are.
///
/// Dropping the future cuts them.
pub async fn serve(mut listener: TcpListener, state: AppState, limits: Limits) {
    let shutdown = state.shutdown.clone();
    let ordinary = Share::new(limits.ordinary, limits.header, super::router(state.clone()));
    let reserve = Share::new(limits.reserve, limits.reserve_header, super::reserve_router(state));
    let reserve = reserve.without_keep_alive();
    let mut connections = JoinSet::new();
    let mut full = false;
    loop {
        let stream = tokio::select! {
            () = shutdown.cancelled() => break,
            // axum's accept: it waits a second after an error such as too many open files
            (stream, _) = Listener::accept(&mut listener) => stream,
            Some(_) = connections.join_next() => continue,
        };
        let admitted = ordinary.admit().or_else(|| reserve.admit());
        let was_full = std::mem::replace(&mut full, admitted.is_none());
        if let Some(admitted) = admitted {
            connections.spawn(connection(stream, admitted, limits.clone(), shutdown.clone()));
        } else if !was_full {
            tracing::warn!("too many connections: more are closed until some end");
        }
    }
    // nobody else is let in
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// One connection from its first byte to its end.
async fn connection(stream: TcpStream, admitted: Admitted, limits: Limits, shutdown: CancellationToken) {
    if let Err(error) = bound(&stream, limits.unread) {
        tracing::debug!(%error, "a connection keeps the system's settings");
    }
    let Admitted { http, service, _permit } = admitted;
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = asked_to_end(&shutdown, limits.lifetime) => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(limits.farewell, connection).await {
                Ok(ended) => ended,
                Err(_) => return tracing::debug!("a connection was cut: it outlived its time"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

async fn asked_to_end(shutdown: &CancellationToken, lifetime: Duration) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(lifetime) => {}
    }
}

/// Bounds what the kernel holds for a connection, and for how long.
fn bound(stream: &TcpStream, unread: Duration) -> io::Result<()> {
    // answers are small and whole: waiting for more to fill a packet only delays them
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(unread))?;
    #[cfg(not(target_os = "linux"))]
    let _ = unread;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::idle_app;
    use super::*;
    use crate::domain::EventKind;
    use crate::store::fixtures::train_run;
    use crate::store::{NewEvent, RunChange};
    use serde_json::json;
    use std::net::SocketAddr;
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Longer than any limit below, shorter than a defect would take.
    const PATIENCE: Duration = Duration::from_secs(20);

    struct Serving {
        address: SocketAddr,
        shutdown: CancellationToken,
        serving: JoinSet<()>,
        _dir: TempDir,
    }

    async fn serving(limits: Limits) -> Serving {
        serving_of(idle_app().await, limits).await
    }

    async fn serving_of((state, dir): (AppState, TempDir), limits: Limits) -> Serving {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = state.shutdown.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, state, limits));
        Serving { address, shutdown, serving: tasks, _dir: dir }
    }

    /// A connection on which `bytes` were sent.
    async fn sent(address: SocketAddr, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_ref()).await.unwrap();
        stream
    }

    /// All the server says until it closes the connection.
    async fn until_closed(mut stream: TcpStream) -> String {
        let mut answer = Vec::new();
        // a reset is a close too
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        let _ = closed.expect("the server closes the connection");
        String::from_utf8(answer).unwrap()
    }

    /// A connection that was answered once, and so holds its permit.
    async fn held(address: SocketAddr) -> TcpStream {
        let mut stream = sent(address, "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        stream
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
    }

    #[tokio::test]
    async fn clients_that_send_no_whole_head_in_time_are_let_go() {
        let limits = Limits { header: Duration::from_millis(50), ..Limits::default() };
        let server = serving(limits).await;
        let silent = sent(server.address, "").await;
        let halfway = sent(server.address, "GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
        let idle = held(server.address).await;
        for stream in [silent, halfway, idle] {
            until_closed(stream).await;
        }
    }

    #[tokio::test]
    async fn heads_with_too_many_headers_are_refused() {
        let server = serving(Limits::default()).await;
        let ask = |headers: usize| {
            let many: String = (1..headers).map(|i| format!("x-{i}: y\r\n")).collect();
            sent(server.address, format!("GET /livez HTTP/1.1\r\nconnection: close\r\n{many}\r\n"))
        };
        let answer = until_closed(ask(MAX_HEADERS).await).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let answer = until_closed(ask(MAX_HEADERS + 1).await).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    #[tokio::test]
    async fn a_full_server_answers_health_checks_and_refuses_the_rest_as_a_problem() {
        let server = serving(Limits { ordinary: 2, reserve: 1, ..Limits::default() }).await;
        let (_one, two) = (held(server.address).await, held(server.address).await);

        for path in ["/readyz", "/v2/health/ready"] {
            let health = until_closed(sent(server.address, get(path)).await).await;
            assert!(health.starts_with("HTTP/1.1 200"), "{health}");
        }
        let refused = until_closed(sent(server.address, get("/runs")).await).await;
        assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
        assert!(refused.contains("application/problem+json"), "{refused}");
        assert!(refused.contains("retry-after: "), "{refused}");

        drop(two);
        let answered = async {
            while !until_closed(
                sent(server.address, "GET /runs HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await,
            )
            .await
            .starts_with("HTTP/1.1 200")
            {}
        };
        tokio::time::timeout(PATIENCE, answered).await.expect("a permit given back serves again");
    }

    #[tokio::test]
    async fn connections_beyond_the_reserve_are_closed_and_a_silent_one_keeps_it_no_longer_than_its_limit() {
        let limits = Limits {
            ordinary: 1,
            reserve: 1,
            reserve_header: Duration::from_millis(500),
            ..Limits::default()
        };
        let server = serving(limits).await;
        let _ordinary = held(server.address).await;
        let silent = sent(server.address, "").await;
        assert_eq!(until_closed(sent(server.address, "").await).await, "");
        until_closed(silent).await;
        let health = async {
            while !until_closed(sent(server.address, get("/livez")).await).await.starts_with("HTTP/1.1 200") {
            }
        };
        tokio::time::timeout(PATIENCE, health).await.expect("the reserve is free again");
    }

    #[tokio::test]
    async fn a_connection_ends_with_its_lifetime() {
        let limits = Limits { lifetime: Duration::from_millis(50), ..Limits::default() };
        let server = serving(limits).await;
        // its next head would be waited for much longer
        until_closed(held(server.address).await).await;
    }

    #[tokio::test]
    async fn the_kernel_keeps_little_of_what_is_not_read_and_not_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        bound(&stream, Duration::from_secs(30)).unwrap();
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap());
        // Linux doubles what it is asked for, to have room for its bookkeeping
        assert!(socket.send_buffer_size().unwrap() <= 2 * SEND_BUFFER);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
    }

    #[tokio::test]
    async fn a_reader_that_has_stopped_reading_gives_its_place_to_another() {
        let (state, dir) = idle_app().await;
        let (run, _) = state.engine.store.insert_run(train_run("m")).await.unwrap();
        // far more than the buffers of a socket hold
        let phase = NewEvent { kind: EventKind::Phase, data: json!({ "phase": "x".repeat(8_000) }) };
        state.engine.store.advance(run.id, None, RunChange::default(), vec![phase; 1_000]).await.unwrap();
        let limits =
            Limits { ordinary: 1, reserve: 0, unread: Duration::from_millis(300), ..Limits::default() };
        let server = serving_of((state, dir), limits).await;
        let mut reader = sent(server.address, get(&format!("/runs/{}/events", run.id))).await;
        let mut head = [0; 15];
        reader.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        let another = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let answered = async {
            while !until_closed(sent(server.address, another).await).await.starts_with("HTTP/1.1 200") {}
        };
        tokio::time::timeout(PATIENCE, answered).await.expect("there is a place again");
        drop(reader);
    }

    #[tokio::test]
    async fn idle_connections_are_closed_when_the_server_ends() {
        let mut server = serving(Limits::default()).await;
        let idle = held(server.address).await;
        server.shutdown.cancel();
        until_closed(idle).await;
        let ended = tokio::time::timeout(PATIENCE, server.serving.join_next()).await;
        ended.expect("the loop ends").unwrap().unwrap();
    }
}
