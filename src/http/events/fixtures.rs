//! Runs and events for the tests of streams.

use crate::domain::{EventKind, Run};
use crate::store::NewEvent;
use crate::store::fixtures::train_run;
use serde_json::json;

pub(super) fn queued_run() -> Run {
    train_run("m")
}

pub(super) fn phases(n: usize) -> Vec<NewEvent> {
    vec![NewEvent { kind: EventKind::Phase, data: json!({}) }; n]
}
