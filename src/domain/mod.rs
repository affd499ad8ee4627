//! The product's nouns: runs, events, models, forget sets. Plain data, no I/O.
//!
//! `store` maps these to rows, `http` presents them, `jobs` moves them through their lives.

mod checkpoint;
mod event;
mod forget;
mod method;
mod model;
mod run;
mod webhook;

pub use checkpoint::{Checkpoint, Fork, superfluous};
pub use event::{Event, EventKind};
pub use forget::{ForgetSet, MostMemorised, Sample};
pub use model::{Alias, Made, ModelName, ModelRef, Origin, Selector, Version, VersionRef};
pub use run::{
    Audit, Best, Bound, DatasetRef, Diagnose, Kind, Only, Priority, Progress, Promote, Run, RunError, Source,
    Status, Train, Unlearn, Verify, Work,
};
pub use webhook::{Delivery, DeliveryStatus, Disabled, DisabledReason, Secret, Webhook};
