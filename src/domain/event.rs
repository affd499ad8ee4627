//! Events: the durable log of a run, and the ephemeral notices beside it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The durable kinds carry a number and are stored; the ephemeral ones are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    // durable
    Status,
    Epoch,
    Checkpoint,
    Alert,
    Phase,
    Model,
    Done,
    // ephemeral
    Snapshot,
    Reset,
    Ping,
    Batch,
}

impl EventKind {
    pub const DURABLE: [Self; 7] =
        [Self::Status, Self::Epoch, Self::Checkpoint, Self::Alert, Self::Phase, Self::Model, Self::Done];

    pub fn is_durable(self) -> bool {
        Self::DURABLE.contains(&self)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Epoch => "epoch",
            Self::Checkpoint => "checkpoint",
            Self::Alert => "alert",
            Self::Phase => "phase",
            Self::Model => "model",
            Self::Done => "done",
            Self::Snapshot => "snapshot",
            Self::Reset => "reset",
            Self::Ping => "ping",
            Self::Batch => "batch",
        }
    }
}

/// One durable event. `data` is the JSON object sent to clients, `run` and `seq` included.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub run: Uuid,
    pub seq: u64,
    /// Place in the log of all runs, in the order of the commits.
    pub position: u64,
    pub kind: EventKind,
    pub data: serde_json::Value,
    pub at: DateTime<Utc>,
}
