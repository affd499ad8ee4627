//! Webhooks: who is told of events, and how that went.

use super::EventKind;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// Somebody who is told of events.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    pub id: Uuid,
    pub url: String,
    /// Durable kinds, each once.
    pub events: Vec<EventKind>,
    pub secret: Secret,
    pub created_at: DateTime<Utc>,
    /// The first attempt that failed since the last one that succeeded.
    pub failing_since: Option<DateTime<Utc>>,
    pub disabled: Option<Disabled>,
    /// Events it was not told of because too many waited.
    pub dropped: u64,
}

/// It is told nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disabled {
    pub at: DateTime<Utc>,
    pub reason: DisabledReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// It answered 410.
    Gone,
    /// No attempt has succeeded for days.
    Failing,
}

impl DisabledReason {
    pub const ALL: [Self; 2] = [Self::Gone, Self::Failing];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}

/// A signing key as its owner keeps it: `whsec_` and Base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whsec_…")
    }
}

/// One event for one webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The same in every attempt.
    pub id: Uuid,
    pub webhook: Uuid,
    pub run: Uuid,
    pub seq: u64,
    pub kind: EventKind,
    pub status: DeliveryStatus,
    pub attempts: u32,
    /// The next attempt; absent once there is none.
    pub due_at: Option<DateTime<Utc>>,
    /// Of the last attempt.
    pub answer_status: Option<u16>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    Pending,
    Delivered,
    Failed,
}

impl DeliveryStatus {
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}
