//! Thousands of clients in one process, each of which checks what it is sent.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};

/// The argument that makes this program the readers.
pub const CHILD: &str = "--readers";
/// Connections being opened at a time: what the server's backlog of them holds.
const OPENING: usize = 64;

/// The readers' process.
pub struct Readers {
    child: Child,
    stdout: BufReader<ChildStdout>,
    opening: Duration,
}

/// What the readers have seen.
pub struct Found {
    /// Readers that saw every event from the first on, once and in order.
    pub n_whole: u64,
    /// The number at which all of those ended.
    pub last: u64,
    /// Until all of them were open.
    pub opening: Duration,
}

impl Readers {
    /// Returns when all of them have been answered.
    pub fn start(address: &str, path: &str, n_readers: u64) -> Self {
        let begun = Instant::now();
        let mut child = Command::new(std::env::current_exe().expect("this program has a file"))
            .args([CHILD, address, path, &n_readers.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the readers answer");
        assert_eq!(line, "open\n");
        Self { child, stdout, opening: begun.elapsed() }
    }

    /// Waits until every stream has ended.
    pub fn end(mut self) -> Found {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("the readers answer");
        self.child.wait().expect("the readers end");
        let (n_whole, last) = line.trim_end().split_once(' ').expect("two numbers");
        Found {
            n_whole: n_whole.parse().expect("a number"),
            last: last.parse().expect("a number"),
            opening: self.opening,
        }
    }
}

/// The readers' process from the inside.
pub fn child(address: &str, path: &str, n_readers: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let found = runtime.block_on(read_all(address, path, n_readers));
    let last = found.iter().flatten().copied().max().unwrap_or(0);
    let n_whole = found.iter().filter(|seen| **seen == Some(last)).count();
    println!("{n_whole} {last}");
}

async fn read_all(address: &str, path: &str, n_readers: usize) -> Vec<Option<u64>> {
    let request: Arc<str> =
        format!("GET {path} HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\n\r\n").into();
    let doors = Arc::new(Semaphore::new(OPENING));
    let (opened, mut all_open) = mpsc::channel::<()>(1);
    let mut readers = Vec::with_capacity(n_readers);
    for _ in 0..n_readers {
        let (address, request) = (address.to_owned(), Arc::clone(&request));
        let (doors, opened) = (Arc::clone(&doors), opened.clone());
        readers.push(tokio::spawn(async move {
            let door = doors.acquire_owned().await.expect("nobody closes it");
            let mut stream = TcpStream::connect(address).await.expect("the server accepts");
            stream.write_all(request.as_bytes()).await.expect("the server reads");
            let mut seen = Seen::default();
            let mut chunk = [0; 4 << 10];
            let mut waiting = Some((door, opened));
            while let Ok(n @ 1..) = stream.read(&mut chunk).await {
                seen.read(&chunk[..n]);
                drop(waiting.take());
            }
            seen.whole()
        }));
    }
    drop(opened);
    all_open.recv().await;
    println!("open");
    std::io::stdout().flush().expect("somebody listens");
    let mut found = Vec::with_capacity(n_readers);
    for reader in readers {
        found.push(reader.await.expect("a reader does not panic"));
    }
    found
}

/// What one reader has seen of the log.
#[derive(Default)]
struct Seen {
    /// The beginning of the line being read.
    line: Vec<u8>,
    last: u64,
    has_gap: bool,
    is_done: bool,
}

/// Of a line, as much as matters here.
const LINE: usize = 32;

impl Seen {
    fn read(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|&b| b == b'\n') {
            let room = LINE - self.line.len().min(LINE);
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        if let Some(number) = self.line.strip_prefix(b"id: ") {
            let number = std::str::from_utf8(number).ok().and_then(|text| text.trim_end().parse().ok());
            self.has_gap |= number != Some(self.last + 1);
            self.last += 1;
        }
        self.is_done |= self.line.starts_with(b"event: done");
        self.line.clear();
    }

    /// The last number, if no event was missed, repeated or out of order.
    fn whole(&self) -> Option<u64> {
        (self.is_done && !self.has_gap).then_some(self.last)
    }
}
