//! Somebody who answers, and what to ask.

use crate::formats::Format;
use crate::load::{self, Figures};
use crate::rows::{self, Row};
use crate::wire;
use serde_json::Value;
use std::time::Duration;

pub struct Contestant {
    pub name: &'static str,
    address: String,
    requests: Vec<Vec<u8>>,
    /// What the answers must say.
    labels: Vec<Option<u32>>,
}

impl Contestant {
    pub fn new(name: &'static str, address: &str, rows: &[Row], format: Format) -> Self {
        let requests = rows.iter().map(format).collect();
        let labels = rows.iter().map(|row| Some(row.label)).collect();
        Self { name, address: address.to_owned(), requests, labels }
    }

    /// Nobody expects it to know anything.
    pub fn without_labels(self) -> Self {
        Self { labels: vec![None; self.labels.len()], ..self }
    }

    /// Asks everything once and looks at the answers, which is not done while it is measured.
    pub fn check(&self) -> Result<(), String> {
        for (request, &label) in self.requests.iter().zip(&self.labels) {
            let answer =
                wire::ask(&self.address, request).map_err(|error| format!("{}: {error}", self.name))?;
            let answer: Value =
                serde_json::from_slice(&answer).map_err(|error| format!("{}: {error}", self.name))?;
            let said = rows::label(&answer["predictions"][0]);
            if label.is_some() && said != label {
                return Err(format!("{} says {said:?} to a row of {label:?}", self.name));
            }
        }
        Ok(())
    }

    pub fn load(&self, n_connections: usize, time: Duration) -> Result<Figures, String> {
        load::run(&self.address, &self.requests, n_connections, time)
            .map_err(|error| format!("{}: {error}", self.name))
    }
}
