//! One client on one socket.

use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection on which `bytes` were sent.
pub async fn sent(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// What the server says until it closes the connection, be it by a reset.
pub async fn until_closed(mut stream: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// Status and body of a request on a connection of its own; `None` if there was no answer.
pub async fn ask(address: SocketAddr, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let answer = String::from_utf8(until_closed(stream).await).unwrap();
    let status = answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, serde_json::from_str(body).unwrap_or_default()))
}

/// The answer of a server that has to have one.
pub async fn answered(address: SocketAddr, method: &str, path: &str, body: &Value) -> Value {
    let (status, answer) = ask(address, method, path, body).await.unwrap();
    assert!(status < 300, "{method} {path}: {status} {answer}");
    answer
}

/// The head of a request for a stream of events.
pub fn stream_of(run: &str, after: u64) -> String {
    format!(
        "GET /runs/{run}/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\nlast-event-id: {after}\r\n\r\n"
    )
}
