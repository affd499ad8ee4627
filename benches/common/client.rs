//! As much HTTP as the bench needs: one request a connection, whole answers.

use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;

pub fn get(address: &str, path: &str) -> Value {
    ask(address, &format!("GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n"))
}

/// `headers` end in line breaks.
pub fn post(address: &str, path: &str, body: &Value, headers: &str) -> Value {
    let body = body.to_string();
    ask(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
}

fn ask(address: &str, request: &str) -> Value {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    assert!(head.starts_with("HTTP/1.1 2"), "{answer}");
    serde_json::from_str(body).expect("JSON")
}
