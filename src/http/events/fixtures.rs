//! Runs and events for the tests of streams.

use crate::domain::{DatasetRef, EventKind, Run, Source, Train, Work};
use crate::nn::{Recipe, Standard};
use crate::store::NewEvent;
use serde_json::json;

pub(super) fn queued_run() -> Run {
    let recipe = Recipe::Standard(Standard::new(1));
    let dataset = DatasetRef {
        name: "digits".into(),
        version: 1,
        digest: "sha256:00".into(),
        source: Source::Embedded,
    };
    Run::queued(Work::Train(Train { recipe, forked_from: None }), "m", dataset, 1)
}

pub(super) fn phases(n: usize) -> Vec<NewEvent> {
    vec![NewEvent { kind: EventKind::Phase, data: json!({}) }; n]
}
