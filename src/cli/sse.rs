//! Server-sent events: the wire format, and a stream that survives broken connections.

use super::error::{CliError, Problem};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// A longer line or event than this is no event stream of ours.
const MAX_EVENT_BYTES: usize = 4 << 20;

/// One dispatched event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub event: String,
    pub data: String,
    /// The cursor after this event: the last `id:` seen so far.
    pub last_id: String,
}

/// Incremental reader of `text/event-stream` (WHATWG HTML §9.2.6).
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    seen_any_line: bool,
    event: String,
    data: String,
    /// The `id:` of the event being received: no cursor before the event is complete.
    id: String,
    last_id: String,
    /// What the server asked for by `retry:`.
    pub retry: Option<Duration>,
}

impl Parser {
    /// Takes the next bytes and appends the events they complete.
    ///
    /// # Errors
    ///
    /// If a line or an event's data grows past any of ours.
    pub fn feed(&mut self, bytes: &[u8], frames: &mut VecDeque<Frame>) -> Result<(), &'static str> {
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    self.take_line(&line, frames);
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > MAX_EVENT_BYTES {
                return Err("an event is larger than any of ours");
            }
        }
        Ok(())
    }

    /// Drops a half-received event, as when the connection broke; the cursor stays.
    pub fn restart(&mut self) {
        let last_id = std::mem::take(&mut self.last_id);
        *self = Self { id: last_id.clone(), last_id, retry: self.retry, ..Self::default() };
    }

    fn take_line(&mut self, line: &[u8], frames: &mut VecDeque<Frame>) {
        let mut text = String::from_utf8_lossy(line).into_owned();
        if !std::mem::replace(&mut self.seen_any_line, true) {
            text = text.trim_start_matches('\u{feff}').to_owned();
        }
        if text.is_empty() {
            return self.dispatch(frames);
        }
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" => self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry),
            // comments have an empty field name; unknown fields are for later versions
            _ => {}
        }
    }

    fn dispatch(&mut self, frames: &mut VecDeque<Frame>) {
        let event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        self.last_id.clone_from(&self.id);
        if data.is_empty() {
            return;
        }
        data.pop();
        let event = if event.is_empty() { "message".to_owned() } else { event };
        frames.push_back(Frame { event, data, last_id: self.last_id.clone() });
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Between two attempts, until the server names its own delay.
    pub retry: Duration,
    /// A connection without a byte for this long is taken for dead (the server comments every 15 s).
    pub silence: Duration,
    /// Without any connection for this long the server is taken for gone.
    pub outage: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            retry: Duration::from_secs(2),
            silence: Duration::from_secs(45),
            outage: Duration::from_secs(60),
        }
    }
}

/// Events of one address, across as many connections as it takes. Every numbered event is delivered once.
#[derive(Debug)]
pub struct EventStream {
    http: reqwest::Client,
    url: String,
    patience: Patience,
    parser: Parser,
    frames: VecDeque<Frame>,
    connection: Option<reqwest::Response>,
}

impl EventStream {
    pub fn new(http: reqwest::Client, url: String, patience: Patience) -> Self {
        let (parser, frames) = (Parser::default(), VecDeque::new());
        Self { http, url, patience, parser, frames, connection: None }
    }

    /// The next event; `None` when the server says that there will be no more.
    ///
    /// # Errors
    ///
    /// `Refused` when the server refuses the stream for good, `Unreachable` when it stays away.
    pub async fn next(&mut self) -> Result<Option<Frame>, CliError> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Ok(Some(frame));
            }
            let Some(connection) = &mut self.connection else {
                match self.connect().await? {
                    Some(connection) => self.connection = Some(connection),
                    None => return Ok(None),
                }
                continue;
            };
            match timeout(self.patience.silence, connection.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    let fed = self.parser.feed(&bytes, &mut self.frames);
                    fed.map_err(|why| {
                        CliError::Failed(format!("{} sends no event stream: {why}", self.url))
                    })?;
                }
                Ok(Ok(None) | Err(_)) | Err(_) => {
                    self.connection = None;
                    self.parser.restart();
                    sleep(self.delay()).await;
                }
            }
        }
    }

    fn delay(&self) -> Duration {
        self.parser.retry.unwrap_or(self.patience.retry)
    }

    async fn connect(&mut self) -> Result<Option<reqwest::Response>, CliError> {
        let deadline = Instant::now() + self.patience.outage;
        loop {
            let mut request = self.http.get(&self.url).header("accept", "text/event-stream");
            if !self.parser.last_id.is_empty() {
                request = request.header("last-event-id", &self.parser.last_id);
            }
            let failure = match timeout(self.patience.silence, request.send()).await {
                Ok(Ok(response)) => match response.status().as_u16() {
                    204 => return Ok(None),
                    200 => return Ok(Some(response)),
                    // a proxy whose server restarts, or a server that is full
                    status @ (429 | 500..) => format!("it answers {status}"),
                    status => {
                        let body = response.text().await.unwrap_or_default();
                        return Err(CliError::Refused(Problem::read(status, &body)));
                    }
                },
                Ok(Err(error)) => super::client::cause(&error),
                Err(_) => "it does not answer".to_owned(),
            };
            if Instant::now() + self.delay() >= deadline {
                return Err(CliError::Unreachable(format!("lost the server at {}: {failure}", self.url)));
            }
            sleep(self.delay()).await;
        }
    }
}

#[cfg(test)]
mod tests;
