//! Events as the bytes of a stream.

use crate::domain::{Event, EventKind};
use bytes::Bytes;
use serde::Serialize;

/// How a stream begins: what a client waits before it reconnects (2 s), and a first byte for proxies to pass on.
pub(super) const OPENING: &[u8] = b"retry: 2000\n: ok\n\n";
/// All of a stream when there are too many of them. Any status but 200 would make an `EventSource` give up.
pub(super) const OVERLOADED: &[u8] = b"retry: 30000\n: too many streams; come back\n\n";
pub(super) const BEAT: &[u8] = b": hb\n\n";

/// `number` is what a client sends back as `Last-Event-ID`.
pub(super) fn durable(event: &Event, number: u64) -> Bytes {
    format!("event: {}\nid: {number}\ndata: {}\n\n", event.kind.name(), event.data).into()
}

/// Without a number: it never moves a client's position.
pub(super) fn ephemeral(kind: EventKind, data: &impl Serialize) -> Bytes {
    // compact JSON has no line breaks, which would end the field
    let data = serde_json::to_string(data).expect("events and views have string keys only");
    format!("event: {}\ndata: {data}\n\n", kind.name()).into()
}
