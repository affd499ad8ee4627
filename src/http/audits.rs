//! `POST /audits`: measure how well a version has forgotten rows, without changing it.

use super::error::Problem;
use super::extract::{ApiJson, optional_object};
use super::forget::{self, ForgetRequest};
use super::hyperparameters::{DEFAULT_SEED, SEED};
use super::idempotency::NewId;
use super::number::{Checker, Number};
use super::order;
use super::state::AppState;
use super::unlearn::Parent;
use super::view::RunView;
use crate::data::check_forget_set;
use crate::domain::{Audit, ForgetSet, Priority, Run, Verify, Work};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An audit as requested.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditRequest {
    /// The version to audit: `name`, `name@alias`, `name:version` or its id. It is not changed.
    model: String,
    /// What it ought not to know, whether it has been made to forget it or not; without it, what it was last made
    /// to forget.
    #[serde(default, deserialize_with = "optional_object")]
    forget: Option<ForgetRequest>,
    /// How thoroughly it is measured: `quick` compares with no retrained model and so decides nothing.
    #[serde(default = "thorough_enough")]
    #[schema(default = "standard")]
    verify: Verify,
    /// The same seed, model and forget set give the same numbers.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 0, maximum = 9007199254740991_i64, default = 1)]
    seed: Option<Number>,
    /// Which of the waiting runs goes first; among equals it is the oldest.
    #[serde(default)]
    #[schema(default = "interactive")]
    priority: Priority,
    /// Seconds after which a run that has not ended fails.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 604800)]
    deadline_s: Option<Number>,
    /// Up to 16 names (1 to 64 characters) with values (up to 512).
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// The least that comes to a verdict.
const fn thorough_enough() -> Verify {
    Verify::Standard
}

impl AuditRequest {
    /// Checks everything that can be checked before the run is stored.
    fn check(self, audited: &Parent, memory_limit: u64) -> Result<Run, Problem> {
        let mut checker = Checker::default();
        let seed = checker.whole("/seed", self.seed, SEED, DEFAULT_SEED);
        let (is_named, mut choice) = (self.forget.is_some(), 0);
        let forget = self.forget.and_then(|forget| {
            let forget = forget.check(&mut checker)?;
            check_forget(audited, &forget, &mut checker);
            choice = audited.check_choice(&forget, memory_limit, &mut checker);
            Some(forget)
        });
        if !is_named && audited.lineage.steps.is_empty() {
            let detail = "must say which rows: this version has not been made to forget any";
            checker.fail("/forget", detail);
        }
        let memory_bytes = choice.max(audited.check_memory(None, self.verify, memory_limit, &mut checker));
        let deadline_s = order::check_deadline(self.deadline_s, &mut checker);
        let tags = order::check_tags(self.tags, &mut checker);
        checker.finish(Run {
            // no epochs: what is trained on the way is nobody's progress
            priority: self.priority,
            memory_bytes,
            tags,
            deadline_s,
            ..Run::queued(
                Work::Audit(Audit { version: audited.version.to_ref(), forget, verify: self.verify }),
                audited.version.model.to_string(),
                audited.lineage.dataset.clone(),
                seed,
            )
        })
    }
}

/// The forget set against everything the first of the version's line was trained on. Left to the run itself when
/// the very dataset is not here.
fn check_forget(audited: &Parent, forget: &ForgetSet, checker: &mut Checker) {
    let Some(dataset) = audited.dataset() else { return };
    let trained = audited.lineage.trained_at_first(dataset);
    if let Err(error) = check_forget_set(forget, dataset, &trained) {
        checker.fail(forget::pointer(forget), error.to_string());
    }
}

/// Audit a version.
///
/// Measures what it knows of rows it ought to have forgotten, before and after and beside retrained models, as an
/// unlearning does. Nothing is published or changed: the run ends with a report. Answers when the run is durable;
/// with `Prefer: wait=N` it waits up to N ≤ 60 seconds for the end and is then 201.
#[utoipa::path(post, path = "/audits", tag = "runs", request_body = AuditRequest,
    params(("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N ≤ 60 seconds for the end")),
    responses(
        (status = 202, description = "Accepted and durable", body = RunView,
         headers(("Location" = String, description = "The run"), ("ETag" = String))),
        (status = 201, description = "Ended within the time waited", body = RunView,
         headers(("Location" = String, description = "The run"), ("ETag" = String)))))]
pub async fn create_audit(
    State(app): State<AppState>,
    NewId(id): NewId,
    headers: HeaderMap,
    ApiJson(request): ApiJson<AuditRequest>,
) -> Result<Response, Problem> {
    let wait = order::preferred_wait(&headers)?;
    let audited = Parent::named_in_body(&app, &request.model).await?;
    let memory_limit = app.memory_limit.0;
    // resolving a forget set hashes and sorts every training row: not on an async thread
    let run = tokio::task::spawn_blocking(move || request.check(&audited, memory_limit))
        .await
        .map_err(Problem::internal)??;
    order::submit(&app, Run { id, ..run }, wait).await
}
