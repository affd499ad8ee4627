//! As much HTTP as measuring needs: requests are ready bytes, of answers only status and length are looked at.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// Most answers fit; longer ones make their own room.
const ROOM: usize = 16 << 10;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes()
}

pub fn post(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The body of the answer to one request on a connection of its own.
pub fn ask(address: &str, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request)?;
    let mut answer = Answer::default();
    while !answer.is_whole()? {
        answer.read(&mut stream)?;
    }
    Ok(answer.body().to_vec())
}

/// An answer as far as it has come. Its room is used again for the next.
pub struct Answer {
    bytes: Vec<u8>,
    filled: usize,
}

impl Default for Answer {
    fn default() -> Self {
        Self { bytes: vec![0; ROOM], filled: 0 }
    }
}

impl Answer {
    /// Reads once.
    pub fn read(&mut self, stream: &mut impl Read) -> io::Result<()> {
        if self.filled == self.bytes.len() {
            self.bytes.resize(2 * self.filled, 0);
        }
        match stream.read(&mut self.bytes[self.filled..])? {
            0 => Err(io::Error::other("the server closed the connection")),
            n => {
                self.filled += n;
                Ok(())
            }
        }
    }

    /// Whether all of it is there. Anything but a success is an error, and so is an answer that does not say its length.
    pub fn is_whole(&self) -> io::Result<bool> {
        let Some(end) = self.end_of_head() else { return Ok(false) };
        let head = &self.bytes[..end];
        let refuse = || {
            let status = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
            let text = |bytes| String::from_utf8_lossy(bytes);
            io::Error::other(format!("{} {}", text(status), text(self.body())))
        };
        if !head.starts_with(b"HTTP/1.1 200") {
            return Err(refuse());
        }
        let length = content_length(head).ok_or_else(refuse)?;
        Ok(self.filled >= end + END_OF_HEAD.len() + length)
    }

    pub fn body(&self) -> &[u8] {
        let start = self.end_of_head().map_or(self.filled, |end| end + END_OF_HEAD.len());
        &self.bytes[start..self.filled]
    }

    pub fn clear(&mut self) {
        self.filled = 0;
    }

    fn end_of_head(&self) -> Option<usize> {
        self.bytes[..self.filled].windows(END_OF_HEAD.len()).position(|four| four == END_OF_HEAD)
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|&byte| byte == b'\n');
    let line =
        lines.find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))?;
    std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}
