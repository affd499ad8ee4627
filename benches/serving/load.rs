//! The load generator: one thread in a process of its own, the same for every contestant.
//!
//! Every connection has one request under way, and is asked again as soon as it has answered. One connection is read
//! by waiting for it; of more, those are read that have something to say.

use crate::wire::Answer;
use mio::net::TcpStream as Waited;
use mio::{Events, Interest, Poll, Token};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The argument that makes this program the load generator.
pub const CHILD: &str = "--load";
/// The part of the time that comes before it and is not counted.
const WARM_UP: u32 = 8;
/// Room for so many answers a second, so that none is made while the clock runs.
const MOST_PER_SECOND: u64 = 400_000;

/// What a contestant did.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Figures {
    pub per_second: f64,
    /// Of all answers, from before the request is sent until its last byte is read.
    pub p50_us: f64,
    pub p99_us: f64,
}

/// Asks `requests` in turn, on so many connections, for so long.
pub fn run(
    address: &str,
    requests: &[Vec<u8>],
    n_connections: usize,
    time: Duration,
) -> Result<Figures, String> {
    let mut child = Command::new(std::env::current_exe().map_err(|error| error.to_string())?)
        .args([CHILD, address, &n_connections.to_string(), &time.as_millis().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut stdin = child.stdin.take().expect("it is piped");
    serde_json::to_writer(&stdin, requests).map_err(|error| error.to_string())?;
    stdin.flush().map_err(|error| error.to_string())?;
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|_| format!("{address} could not be asked to the end"))
}

/// The load generator's process from the inside.
pub fn child(address: &str, n_connections: &str, milliseconds: &str) {
    let mut requests = Vec::new();
    io::stdin().read_to_end(&mut requests).expect("somebody says what to ask");
    let requests: Vec<Vec<u8>> = serde_json::from_slice(&requests).expect("requests");
    let time = Duration::from_millis(milliseconds.parse().expect("a number"));
    let n_connections: usize = n_connections.parse().expect("a number");
    let connect = || TcpStream::connect(address).expect("the server listens");
    let mut streams: Vec<TcpStream> = (0..n_connections).map(|_| connect()).collect();
    let mut taken = Taken::new(time);
    let ended = match streams.as_mut_slice() {
        [stream] => one(stream, &requests, &mut taken),
        _ => many(streams, &requests, &mut taken),
    };
    ended.expect("the server answers");
    println!("{}", serde_json::to_string(&taken.figures()).expect("figures are JSON"));
}

fn one(stream: &mut TcpStream, requests: &[Vec<u8>], taken: &mut Taken) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut answer = Answer::default();
    for request in requests.iter().cycle() {
        answer.clear();
        let asked = Instant::now();
        stream.write_all(request)?;
        let mut answered;
        loop {
            answer.read(stream)?;
            // what this program does with it is not the server's time
            answered = Instant::now();
            if answer.is_whole()? {
                break;
            }
        }
        if taken.is_over(asked, answered) {
            break;
        }
    }
    Ok(())
}

struct Connection {
    stream: Waited,
    answer: Answer,
    asked: Instant,
}

impl Connection {
    fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        self.answer.clear();
        self.asked = Instant::now();
        // it fits into the socket's buffer, since there is nothing else in it
        self.stream.write_all(request)
    }

    /// Whether the answer is whole now.
    fn read(&mut self) -> io::Result<bool> {
        loop {
            match self.answer.read(&mut self.stream) {
                Ok(()) if self.answer.is_whole()? => return Ok(true),
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}

fn many(streams: Vec<TcpStream>, requests: &[Vec<u8>], taken: &mut Taken) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(streams.len());
    let mut requests = requests.iter().cycle();
    let mut next = || requests.next().expect("there are requests");
    let mut connections = Vec::with_capacity(streams.len());
    for (number, stream) in streams.into_iter().enumerate() {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = Waited::from_std(stream);
        poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
        let mut connection = Connection { stream, answer: Answer::default(), asked: Instant::now() };
        connection.ask(next())?;
        connections.push(connection);
    }
    let mut n_under_way = connections.len();
    // what is under way at the end is waited for: nobody is left in the middle of an answer
    while n_under_way > 0 {
        poll.poll(&mut events, None)?;
        for event in &events {
            let connection = &mut connections[event.token().0];
            if connection.read()? {
                if taken.is_over(connection.asked, Instant::now()) {
                    n_under_way -= 1;
                } else {
                    connection.ask(next())?;
                }
            }
        }
    }
    Ok(())
}

/// How long answers took, every one of them.
struct Taken {
    nanoseconds: Vec<u32>,
    begin: Instant,
    end: Instant,
}

impl Taken {
    fn new(time: Duration) -> Self {
        let begin = Instant::now() + time / WARM_UP;
        let room = MOST_PER_SECOND * time.as_secs().max(1);
        Self { nanoseconds: Vec::with_capacity(room as usize), begin, end: begin + time }
    }

    /// Counts an answer, if it came within the time; whether that is over.
    fn is_over(&mut self, asked: Instant, answered: Instant) -> bool {
        if (self.begin..self.end).contains(&answered) {
            let taken = answered.duration_since(asked).as_nanos();
            self.nanoseconds.push(u32::try_from(taken).unwrap_or(u32::MAX));
        }
        answered >= self.end
    }

    fn figures(mut self) -> Figures {
        self.nanoseconds.sort_unstable();
        let n = self.nanoseconds.len();
        assert!(n > 0, "no answer came in time");
        let quantile = |q: f64| f64::from(self.nanoseconds[((n - 1) as f64 * q).round() as usize]) / 1e3;
        let seconds = (self.end - self.begin).as_secs_f64();
        Figures { per_second: n as f64 / seconds, p50_us: quantile(0.5), p99_us: quantile(0.99) }
    }
}
