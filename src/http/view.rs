//! Wire types of answers: what the domain looks like from outside.

use super::hyperparameters;
use crate::domain::{
    Alias, Best, Checkpoint, DatasetRef, Delivery, DeliveryStatus, DisabledReason, EventKind, ForgetSet,
    Fork, Kind, Origin, Priority, Progress, Promote, Run, RunError, Sample, Status, Verify, Version,
    VersionRef, Webhook, Work,
};
use crate::nn::{Faults, Mode};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageView<T> {
    pub data: Vec<T>,
    pub has_more: bool,
    /// `after` of the next page.
    pub next: Option<String>,
}

impl<T> PageView<T> {
    /// `items` holds one more than `limit` when there is another page.
    pub fn new(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let has_more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items.last().filter(|_| has_more).map(cursor);
        Self { data: items, has_more, next }
    }
}

/// A run.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RunView {
    pub id: Uuid,
    pub kind: Kind,
    /// Of a training run, or of the training that is diagnosed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    pub status: Status,
    /// The model that gets the version this run publishes, whose version it audits, or whose training it diagnoses.
    pub model: String,
    pub dataset: DatasetRef,
    /// Every number that decides the result, resolved.
    pub hyperparameters: Map<String, Value>,
    /// Likewise, in mode `nn` or `debug`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<Faults>,
    /// Of a training run that began where another was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<Fork>,
    /// Of a training run that keeps the loss of every sample.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub track_samples: bool,
    /// Of an unlearning run, as all up to `revoke_parent`; an audit has some of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The version that is to forget, or that is audited; it is not changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<VersionRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forget: Option<ForgetView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promote: Option<Promote>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke_parent: Option<bool>,
    /// Of a diagnosis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<DiagnosisView>,
    pub seed: u64,
    pub progress: Progress,
    pub best: Option<Best>,
    pub error: Option<RunError>,
    /// Number of the newest durable event; also the `ETag`.
    pub last_seq: u64,
    /// What it published.
    pub version: Option<VersionRef>,
    /// How often a process has started it.
    pub attempt: u32,
    /// Which of the waiting runs goes first.
    pub priority: Priority,
    pub tags: BTreeMap<String, String>,
    pub deadline_s: Option<u64>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// By the pace of the epochs so far; while running only.
    pub estimated_finish: Option<DateTime<Utc>>,
    pub links: RunLinks,
}

/// How a training is diagnosed.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct DiagnosisView {
    /// The run it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Uuid>,
    /// How many seeds every variant is trained with.
    pub seeds: u32,
    /// How far variants are trained at most.
    pub epochs: u32,
}

impl DiagnosisView {
    fn of(work: &Work) -> Option<Self> {
        match work {
            Work::Diagnose(order) => {
                Some(Self { run: order.diagnosed, seeds: order.n_seeds, epochs: order.epochs })
            }
            Work::Train(_) | Work::Unlearn(_) | Work::Audit(_) => None,
        }
    }
}

/// A forget set, lists of ids as their counts.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct ForgetView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<u32>,
    /// How many rows were named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// How many people were named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subjects: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// Whether every planted row was meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_memorised: Option<MostMemorisedView>,
}

/// The most memorised rows.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct MostMemorisedView {
    /// How many.
    pub rows: u32,
    pub seed: u64,
}

impl ForgetView {
    fn of(forget: &ForgetSet) -> Self {
        let nothing = Self::default();
        match forget {
            ForgetSet::Class(class) => Self { class: Some(*class), ..nothing },
            ForgetSet::Rows(rows) => Self { rows: Some(rows.len()), ..nothing },
            ForgetSet::Subjects(subjects) => Self { subjects: Some(subjects.len()), ..nothing },
            ForgetSet::Sample(sample) => Self { sample: Some(*sample), ..nothing },
            ForgetSet::Planted => Self { planted: Some(true), ..nothing },
            ForgetSet::MostMemorised(wanted) => {
                let most_memorised = MostMemorisedView { rows: wanted.rows, seed: wanted.seed };
                Self { most_memorised: Some(most_memorised), ..nothing }
            }
        }
    }
}

/// Addresses of a run's parts.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RunLinks {
    #[serde(rename = "self")]
    pub this: String,
    pub events: String,
    pub metrics: String,
    pub chart: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// Absent once the run has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel: Option<String>,
    /// While it is queued or running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<String>,
    /// While it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
    /// Of a training run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoints: Option<String>,
    /// Of a training run that keeps the loss of every sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub losses: Option<String>,
    /// The published version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl RunView {
    /// `estimated_finish` is the engine's to know.
    pub fn of(run: &Run, estimated_finish: Option<DateTime<Utc>>) -> Self {
        let (mode, faults, forked_from, method, hyperparameters) = match &run.work {
            Work::Train(train) => {
                let recipe = &train.recipe;
                let faults = hyperparameters::faults_of(recipe);
                let forked_from = train.forked_from.clone();
                (Some(recipe.mode()), faults, forked_from, None, hyperparameters::present(recipe))
            }
            Work::Unlearn(unlearn) => {
                let method = &unlearn.method;
                (None, None, None, Some(method.name().to_owned()), method.hyperparameters())
            }
            Work::Diagnose(diagnose) => {
                let recipe = &diagnose.recipe;
                let faults = hyperparameters::faults_of(recipe);
                (Some(recipe.mode()), faults, None, None, hyperparameters::present(recipe))
            }
            Work::Audit(_) => (None, None, None, None, Map::new()),
        };
        let unlearn = match &run.work {
            Work::Train(_) | Work::Diagnose(_) | Work::Audit(_) => None,
            Work::Unlearn(unlearn) => Some(unlearn),
        };
        let (parent, forget, verify) = match &run.work {
            Work::Train(_) | Work::Diagnose(_) => (None, None, None),
            Work::Unlearn(unlearn) => {
                (Some(unlearn.parent.clone()), Some(&unlearn.forget), Some(unlearn.verify))
            }
            Work::Audit(audit) => (Some(audit.version.clone()), audit.forget.as_ref(), Some(audit.verify)),
        };
        Self {
            id: run.id,
            kind: run.work.kind(),
            mode,
            status: run.status,
            model: run.model.clone(),
            dataset: run.dataset.clone(),
            hyperparameters,
            faults,
            forked_from,
            track_samples: run.tracks_samples(),
            method,
            parent,
            forget: forget.map(ForgetView::of),
            verify,
            promote: unlearn.and_then(|unlearn| unlearn.promote.clone()),
            revoke_parent: unlearn.map(|unlearn| unlearn.revoke_parent),
            diagnosis: DiagnosisView::of(&run.work),
            seed: run.seed,
            progress: run.progress,
            best: run.best.clone(),
            error: run.error.clone(),
            last_seq: run.last_seq,
            version: run.version.clone(),
            attempt: run.attempt,
            priority: run.priority,
            tags: run.tags.clone(),
            deadline_s: run.deadline_s,
            created_at: run.created_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            estimated_finish,
            links: links(run),
        }
    }
}

fn links(run: &Run) -> RunLinks {
    let this = format!("/runs/{}", run.id);
    let has_report = run.work.kind() != Kind::Train;
    RunLinks {
        events: format!("{this}/events"),
        metrics: format!("{this}/metrics"),
        chart: format!("{this}/chart.svg"),
        report: has_report.then(|| format!("{this}/report")),
        cancel: (!run.status.is_terminal()).then(|| format!("{this}/cancel")),
        pause: matches!(run.status, Status::Queued | Status::Running).then(|| format!("{this}/pause")),
        resume: (run.status == Status::Paused).then(|| format!("{this}/resume")),
        checkpoints: (run.work.kind() == Kind::Train).then(|| format!("{this}/checkpoints")),
        losses: run.tracks_samples().then(|| format!("{this}/losses")),
        version: run.version.as_ref().map(|v| format!("/models/{}/versions/{}", v.model, v.version)),
        this,
    }
}

/// What a run can be gone on with from.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CheckpointView {
    pub id: Uuid,
    /// From 1: the epoch under way, or over.
    pub epoch: u32,
    /// Mini-batches of it that are done.
    pub batch: u64,
    /// Mini-batches it has; when all are done the epoch is over, and a fork can begin here.
    pub batches: u64,
    /// `sha256:` of the file.
    pub digest: String,
    pub size_bytes: u64,
    /// What was measured at the end of the epoch, where it is one.
    pub metrics: Option<Map<String, Value>>,
    pub created_at: DateTime<Utc>,
}

impl CheckpointView {
    pub fn of(checkpoint: &Checkpoint) -> Self {
        Self {
            id: checkpoint.id,
            epoch: checkpoint.epoch,
            batch: checkpoint.batch,
            batches: checkpoint.batches,
            digest: checkpoint.digest.clone(),
            size_bytes: checkpoint.size_bytes,
            metrics: checkpoint.metrics.clone(),
            created_at: checkpoint.created_at,
        }
    }
}

/// An immutable version of a model.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VersionView {
    pub model: String,
    pub version: u32,
    pub id: Uuid,
    /// `sha256:` of the safetensors file.
    pub digest: String,
    pub size_bytes: u64,
    pub origin: OriginKind,
    /// The run that published it; `null` if it was imported.
    pub run: Option<Uuid>,
    /// The version it was made from by unlearning.
    pub parent: Option<Uuid>,
    /// The data it was trained on; `null` if it was imported, for then nobody here knows.
    pub dataset: Option<DatasetRef>,
    /// Measures at publication.
    pub metrics: Value,
    pub created_at: DateTime<Utc>,
    /// Since when it answers 410.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Which version to use instead of a revoked one.
    pub replacement: Option<Uuid>,
    pub links: VersionLinks,
}

/// Where a version's weights come from: a run here, or a file that was sent.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OriginKind {
    Run,
    Import,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VersionLinks {
    #[serde(rename = "self")]
    pub this: String,
    /// Absent if it was imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Absent once revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predict: Option<String>,
    /// Absent once revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<String>,
}

impl VersionView {
    pub fn of(version: &Version) -> Self {
        let reference = format!("/models/{}:{}", version.model, version.number);
        let is_servable = version.revoked_at.is_none();
        let made = version.origin.made();
        Self {
            model: version.model.to_string(),
            version: version.number,
            id: version.id,
            digest: version.digest.clone(),
            size_bytes: version.size_bytes,
            origin: match version.origin {
                Origin::Run(_) => OriginKind::Run,
                Origin::Import => OriginKind::Import,
            },
            run: made.map(|made| made.run),
            parent: version.parent,
            dataset: made.map(|made| made.dataset.clone()),
            metrics: version.metrics.clone(),
            created_at: version.created_at,
            revoked_at: version.revoked_at,
            replacement: version.replacement,
            links: VersionLinks {
                this: format!("/models/{}/versions/{}", version.model, version.number),
                run: made.map(|made| format!("/runs/{}", made.run)),
                predict: is_servable.then(|| format!("{reference}/predict")),
                download: is_servable.then(|| format!("{reference}/download")),
            },
        }
    }
}

/// A movable pointer to a version.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AliasView {
    pub alias: String,
    /// How to refer to it: `digits@prod`.
    pub reference: String,
    /// The version it points at.
    pub version: u32,
    pub id: Uuid,
    pub updated_at: DateTime<Utc>,
}

impl AliasView {
    pub fn of(alias: &Alias, number: u32) -> Self {
        Self {
            alias: alias.alias.to_string(),
            reference: format!("{}@{}", alias.model, alias.alias),
            version: number,
            id: alias.version,
            updated_at: alias.updated_at,
        }
    }
}

/// A webhook, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WebhookView {
    pub id: Uuid,
    pub url: String,
    pub events: Vec<EventKind>,
    pub created_at: DateTime<Utc>,
    /// The first attempt that failed since the last one that succeeded.
    pub failing_since: Option<DateTime<Utc>>,
    /// Since when it is told nothing; a successful test takes it into service again.
    pub disabled_at: Option<DateTime<Utc>>,
    /// `gone`: it answered 410; `failing`: nothing succeeded for five days.
    pub disabled_reason: Option<DisabledReason>,
    /// Events it was never told of because a thousand others waited.
    pub dropped: u64,
}

impl WebhookView {
    pub fn of(webhook: &Webhook) -> Self {
        Self {
            id: webhook.id,
            url: webhook.url.clone(),
            events: webhook.events.clone(),
            created_at: webhook.created_at,
            failing_since: webhook.failing_since,
            disabled_at: webhook.disabled.map(|disabled| disabled.at),
            disabled_reason: webhook.disabled.map(|disabled| disabled.reason),
            dropped: webhook.dropped,
        }
    }
}

/// One event for one webhook.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeliveryView {
    /// Sent as `webhook-id`, the same in every attempt.
    pub id: Uuid,
    /// The kind of event.
    pub event: EventKind,
    pub run: Uuid,
    pub seq: u64,
    pub status: DeliveryStatus,
    pub attempts: u32,
    /// Absent once it is over.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Of the last attempt that was answered.
    pub answer_status: Option<u16>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

impl DeliveryView {
    pub fn of(delivery: &Delivery) -> Self {
        Self {
            id: delivery.id,
            event: delivery.kind,
            run: delivery.run,
            seq: delivery.seq,
            status: delivery.status,
            attempts: delivery.attempts,
            next_attempt_at: delivery.due_at,
            answer_status: delivery.answer_status,
            error: delivery.error.clone(),
            created_at: delivery.created_at,
            finished_at: delivery.finished_at,
        }
    }
}
