//! A run: a durable piece of work with a lifecycle and an event log.

use super::{ForgetSet, Fork, VersionRef};
use crate::nn::Recipe;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What a run is doing with its life.
///
/// ```text
/// queued ──▶ running ──▶ succeeded | failed
///  ▲ │ │      │ └──▶ canceling ──▶ canceled
///  │ │ └───┐  └──▶ pausing
///  │ └───┐ ▼          │
///  │     │ canceled   │
///  │     ▼            │
///  └── paused ◀───────┘
/// ```
/// A process that dies leaves `running` behind; the next start puts such a run back to `queued`
/// (a `canceling` one to `canceled`, a `pausing` one to `paused`), so that no run claims to be running that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Queued,
    Running,
    /// It stops as soon as it can be gone on with.
    Pausing,
    /// Nobody works on it until it is resumed.
    Paused,
    Canceling,
    Succeeded,
    Failed,
    Canceled,
}

impl Status {
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Pausing,
        Self::Paused,
        Self::Canceling,
        Self::Succeeded,
        Self::Failed,
        Self::Canceled,
    ];

    /// Whether nothing further can happen to the run.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }

    /// Whether a worker has the run.
    pub const fn is_held(self) -> bool {
        self.when_left().is_some()
    }

    /// What becomes of a run whose worker lets go of it, or dies, without an ending; `None` where no worker has it.
    pub const fn when_left(self) -> Option<Self> {
        match self {
            Self::Running => Some(Self::Queued),
            Self::Pausing => Some(Self::Paused),
            Self::Canceling => Some(Self::Canceled),
            Self::Queued | Self::Paused | Self::Succeeded | Self::Failed | Self::Canceled => None,
        }
    }

    /// The one table of transitions: the store's guard and the model test both read it.
    pub const fn can_become(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Running | Self::Paused | Self::Canceled | Self::Failed),
            // back to queued: the process that ran it is gone
            Self::Running => matches!(
                next,
                Self::Succeeded | Self::Failed | Self::Canceling | Self::Pausing | Self::Queued
            ),
            // as below
            Self::Pausing => {
                matches!(next, Self::Paused | Self::Succeeded | Self::Failed | Self::Canceling)
            }
            Self::Paused => matches!(next, Self::Queued | Self::Canceled),
            // a run that finished or failed before it saw the request keeps its own ending
            Self::Canceling => matches!(next, Self::Canceled | Self::Succeeded | Self::Failed),
            Self::Succeeded | Self::Failed | Self::Canceled => false,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
            Self::Canceling => "canceling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// What sort of work a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Train,
    Unlearn,
    Diagnose,
    Audit,
}

/// The checked, fully resolved work order of a run, as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    Train(Train),
    Unlearn(Unlearn),
    Diagnose(Diagnose),
    Audit(Audit),
}

impl Work {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Train(_) => Kind::Train,
            Self::Unlearn(_) => Kind::Unlearn,
            Self::Diagnose(_) => Kind::Diagnose,
            Self::Audit(_) => Kind::Audit,
        }
    }
}

/// Train a model by a recipe, every hyperparameter resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Train {
    pub recipe: Recipe,
    /// Where it begins, if that is not at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<Fork>,
    /// Whether the loss of every sample is kept, epoch by epoch; it decides no bit of the weights.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub track_samples: bool,
}

/// Make a version forget rows of the data it was trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unlearn {
    /// The version that is to forget; it is never changed.
    pub parent: VersionRef,
    pub forget: ForgetSet,
    pub method: crate::unlearn::Method,
    pub verify: Verify,
    pub promote: Option<Promote>,
    pub revoke_parent: bool,
}

/// Find out which fault makes a training learn backwards. Nothing is published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnose {
    /// How the training in question is done.
    pub recipe: Recipe,
    /// The run it was, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosed: Option<Uuid>,
    /// Every variant is trained with so many seeds, that of the run and those that follow it.
    pub n_seeds: u32,
    /// How far they are trained at most.
    pub epochs: u32,
}

/// Measure how well a version has forgotten rows. Nothing is published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// The version looked at; it is not changed.
    pub version: VersionRef,
    /// What it ought not to know; without it, what it was last made to forget.
    pub forget: Option<ForgetSet>,
    pub verify: Verify,
}

/// How thoroughly the effect of unlearning is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// Before and after, with a matched membership-inference attack.
    #[default]
    Quick,
    /// Also beside two models retrained without the forget set, with probes for dormant knowledge.
    Standard,
    /// Also with banks of 16 original, 16 unlearned and 16 retrained models, compared row by row.
    Thorough,
}

/// Move an alias to the new version, but only if every bound holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    pub alias: String,
    #[serde(default)]
    pub only_if: Only,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Only {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forget_accuracy: Option<Bound>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain_accuracy_drop: Option<Bound>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_accuracy_drop: Option<Bound>,
}

/// An upper bound, in fractions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    pub lte: f64,
}

/// Which queued run goes first. Among equals it is the oldest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody's request to be forgotten.
    Erasure,
    /// Somebody is waiting for it.
    #[default]
    Interactive,
    /// Whenever nothing else is to be done.
    Batch,
}

impl Priority {
    pub const ALL: [Self; 3] = [Self::Erasure, Self::Interactive, Self::Batch];
}

/// Which data a run used; never left to guess.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DatasetRef {
    pub name: String,
    pub version: u32,
    /// `sha256:` over features, labels and subjects of every row.
    pub digest: String,
    pub source: Source,
}

/// Where a dataset's bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The configured datasets folder.
    File,
    /// A public mirror, checked by SHA-256 and kept in the cache.
    Download,
    /// Generated by the program itself.
    Embedded,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Progress {
    pub epoch: u32,
    pub epochs: u32,
}

/// The best value of the run's main measure so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Best {
    pub metric: String,
    pub value: f64,
    pub epoch: u32,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunError {
    pub code: String,
    pub message: String,
}

/// A run as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub id: Uuid,
    pub work: Work,
    pub status: Status,
    /// The model name that gets the version this run publishes, whose version it audits, or whose training it diagnoses.
    pub model: String,
    pub dataset: DatasetRef,
    pub seed: u64,
    pub progress: Progress,
    pub best: Option<Best>,
    pub error: Option<RunError>,
    /// Number of the newest durable event; events are numbered from 1 without gaps.
    pub last_seq: u64,
    pub version: Option<VersionRef>,
    /// How often a process has started this run (2 after a crash).
    pub attempt: u32,
    pub priority: Priority,
    /// Memory it is predicted to need.
    pub memory_bytes: u64,
    pub tags: BTreeMap<String, String>,
    pub deadline_s: Option<u64>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

impl Run {
    /// Whether it keeps the losses of its samples.
    pub const fn tracks_samples(&self) -> bool {
        matches!(&self.work, Work::Train(train) if train.track_samples)
    }

    /// A run that is about to be queued, by default with nothing beside its work.
    pub fn queued(work: Work, model: impl Into<String>, dataset: DatasetRef, seed: u64) -> Self {
        Self {
            id: Uuid::now_v7(),
            work,
            status: Status::Queued,
            model: model.into(),
            dataset,
            seed,
            progress: Progress::default(),
            best: None,
            error: None,
            last_seq: 0,
            version: None,
            attempt: 0,
            priority: Priority::default(),
            memory_bytes: 0,
            tags: BTreeMap::new(),
            deadline_s: None,
            created_at: Utc::now(),
            started_at: None,
            finished_at: None,
        }
    }
}
