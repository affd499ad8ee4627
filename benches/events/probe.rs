//! How long predictions take.

use super::machine::Neighbours;
use serde_json::json;
use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Between the beginnings of two requests: what one client asks must not depend on how fast it is answered.
const EVERY: Duration = Duration::from_millis(5);

pub struct Latencies {
    sorted: Vec<Duration>,
    /// Cores others used meanwhile, the most of it.
    pub others: f64,
}

impl Latencies {
    pub fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    fn quantile(&self, q: f64) -> Duration {
        self.sorted[((self.sorted.len() - 1) as f64 * q) as usize]
    }

    pub fn extend(&mut self, other: Self) {
        self.sorted.extend(other.sorted);
        self.sorted.sort_unstable();
        self.others = self.others.max(other.others);
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |q| self.quantile(q).as_secs_f64() * 1e3;
        let n = self.sorted.len();
        write!(
            f,
            "p50 {:6.2} ms, p99 {:6.2} ms, {n} requests; others used {:.2} cores",
            ms(0.5),
            ms(0.99),
            self.others
        )
    }
}

/// Asks on one connection for `time`. A late answer makes the requests behind it late, which counts.
pub fn predictions(address: &str, time: Duration) -> Latencies {
    let body = json!({ "model": "digits", "inputs": [vec![0; 784]] }).to_string();
    let request = format!(
        "POST /predict HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    let neighbours = Neighbours::watch();
    let begun = Instant::now();
    let mut taken = Vec::new();
    let mut due = begun;
    while due < begun + time {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        stream.write_all(request.as_bytes()).expect("the server reads");
        read_answer(&mut stream);
        taken.push(due.elapsed());
        due += EVERY;
    }
    taken.sort_unstable();
    Latencies { sorted: taken, others: neighbours.cores().unwrap_or(0.0) }
}

fn read_answer(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        let n = stream.read(&mut chunk).expect("the server answers");
        assert!(n > 0, "the server closed the connection");
        answer.extend_from_slice(&chunk[..n]);
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&answer[..end]).expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.expect("answers say their length").parse().expect("a number");
        if answer.len() >= end + 4 + length {
            return;
        }
    }
}
