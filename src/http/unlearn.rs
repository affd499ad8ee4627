//! `POST /unlearn`: make a version forget.

use super::error::{Code, FieldError, Problem};
use super::extract::{ApiJson, object, optional_object};
use super::forget::{self, ForgetRequest};
use super::hyperparameters::{DEFAULT_SEED, SEED};
use super::idempotency::NewId;
use super::methods::{self, MethodRequest};
use super::models;
use super::number::{Checker, Number, Real};
use super::order::{self, Found};
use super::state::AppState;
use super::view::RunView;
use crate::config::human_bytes;
use crate::data::{Dataset, check_forget_set};
use crate::domain::{
    Bound, ForgetSet, ModelName, Only, Priority, Progress, Promote, Run, Unlearn, Verify, Version, Work,
};
use crate::jobs::{Lineage, LineageError};
use crate::nn::{self, Recipe, Standard};
use crate::unlearn::{MethodName, N_BANK, N_FOLDS, N_RETRAINED};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

const BOUND: Real = Real { min: 0.0, max: 1.0, max_excluded: false };

const fn auto() -> MethodName {
    MethodName::Auto
}

/// An unlearning order as requested.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnlearnRequest {
    /// The version that is to forget: `name`, `name@alias`, `name:version` or its id. It is not changed.
    model: String,
    /// What to forget.
    #[serde(deserialize_with = "object")]
    forget: ForgetRequest,
    /// How; `GET /unlearn/methods` describes them. Without it `auto`: exact where that is quick, else the best of several
    /// methods now and an exact run behind it.
    #[serde(default = "auto")]
    #[schema(default = "auto")]
    method: MethodName,
    #[serde(default, deserialize_with = "optional_object")]
    hyperparameters: Option<MethodRequest>,
    /// How thoroughly the effect is measured.
    #[serde(default)]
    verify: Verify,
    /// The same seed, model and forget set give the same bits.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 0, maximum = 9007199254740991_i64, default = 1)]
    seed: Option<Number>,
    /// Move an alias to the new version if every bound holds.
    #[serde(default, deserialize_with = "optional_object")]
    promote: Option<PromoteRequest>,
    /// Revoke the parent when the new version is published.
    #[serde(default)]
    revoke_parent: bool,
    /// Which of the waiting runs goes first; among equals it is the oldest.
    #[serde(default = "erasure")]
    #[schema(default = "erasure")]
    priority: Priority,
    /// Seconds after which a run that has not ended fails.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 604800)]
    deadline_s: Option<Number>,
    /// Up to 16 names (1 to 64 characters) with values (up to 512).
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromoteRequest {
    /// The alias to move.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    alias: String,
    #[serde(default, deserialize_with = "object")]
    only_if: OnlyRequest,
}

/// Bounds that must all hold.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OnlyRequest {
    #[serde(default, deserialize_with = "optional_object")]
    forget_accuracy: Option<BoundRequest>,
    #[serde(default, deserialize_with = "optional_object")]
    retain_accuracy_drop: Option<BoundRequest>,
    #[serde(default, deserialize_with = "optional_object")]
    test_accuracy_drop: Option<BoundRequest>,
}

/// An upper bound, in fractions.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BoundRequest {
    #[schema(value_type = f64, minimum = 0.0, maximum = 1.0)]
    lte: Number,
}

impl PromoteRequest {
    fn check(self, checker: &mut Checker) -> Promote {
        if let Err(detail) = self.alias.parse::<ModelName>() {
            checker.fail("/promote/alias", detail);
        }
        let mut bound = |name: &str, bound: Option<BoundRequest>| {
            bound.map(|bound| Bound {
                lte: checker.real(&format!("/promote/only_if/{name}/lte"), Some(bound.lte), BOUND, 0.0),
            })
        };
        Promote {
            only_if: Only {
                forget_accuracy: bound("forget_accuracy", self.only_if.forget_accuracy),
                retain_accuracy_drop: bound("retain_accuracy_drop", self.only_if.retain_accuracy_drop),
                test_accuracy_drop: bound("test_accuracy_drop", self.only_if.test_accuracy_drop),
            },
            alias: self.alias,
        }
    }
}

/// The parent of an unlearning, or an audited version, with what is known of its line.
pub(super) struct Parent {
    pub(super) version: Version,
    pub(super) lineage: Lineage,
    found: Found,
}

impl Parent {
    async fn find(app: &AppState, reference: &str) -> Result<Self, Problem> {
        let version = models::resolve(app, reference).await?;
        let lineage = Lineage::of(&app.engine.store, &version).await.map_err(|error| match error {
            LineageError::Imported { .. } => {
                let detail = "was imported: nobody here knows which rows it was trained on";
                Problem::invalid(vec![FieldError::new("/model", detail)])
            }
            other => Problem::internal(other),
        })?;
        let found = order::find_dataset(app, &lineage.dataset.name).await?;
        Ok(Self { version, lineage, found })
    }

    /// A version that is a field of the request, `model`, not its address.
    pub(super) async fn named_in_body(app: &AppState, reference: &str) -> Result<Self, Problem> {
        Self::find(app, reference).await.map_err(|problem| match problem.code {
            Code::ModelNotFound | Code::VersionRevoked => {
                Problem { errors: vec![FieldError::new("/model", problem.detail.clone())], ..problem }
            }
            _ => problem,
        })
    }

    /// The very dataset it was trained on, if it is here.
    pub(super) fn dataset(&self) -> Option<&Dataset> {
        self.found.dataset.as_deref().filter(|found| found.digest == self.lineage.dataset.digest)
    }

    /// The forget set against the rows this version was trained on. Left to the run itself when the very
    /// dataset is not here.
    fn check_forget(&self, forget: &ForgetSet, batch_size: Option<usize>, checker: &mut Checker) {
        let Some(dataset) = self.dataset() else { return };
        let trained = match self.lineage.rows(dataset) {
            Ok(rows) => rows.trained,
            Err(error) => {
                tracing::error!(version = %self.version.id, %error, "the rows of a version cannot be derived");
                return;
            }
        };
        if let Err(error) = check_forget_set(forget, dataset, &trained) {
            checker.fail(forget::pointer(forget), error.to_string());
        }
        if batch_size.is_some_and(|size| size > trained.len()) {
            let detail = format!("must be at most {}, the rows this version was trained on", trained.len());
            checker.fail("/hyperparameters/batch_size", detail);
        }
    }

    /// Memory of the trainings, maybe side by side, that find the most memorised rows.
    pub(super) fn check_choice(&self, forget: &ForgetSet, memory_limit: u64, checker: &mut Checker) -> u64 {
        let ForgetSet::MostMemorised(_) = forget else { return 0 };
        let entry = &self.found.entry;
        let (n_features, n_classes) = (entry.input.n_features(), entry.class_names.len());
        let recipe = &self.lineage.recipe;
        let (network, measuring) = nn::network_bytes(recipe.hidden(), n_features, n_classes);
        let one = network + nn::predicted_bytes(recipe, entry.n_train as usize, n_features, n_classes);
        let predicted = N_FOLDS as u128 * one + measuring;
        if predicted > u128::from(memory_limit) {
            let detail = format!(
                "finding them trains {N_FOLDS} networks and needs about {} of memory, above this server's limit of {}",
                human_bytes(predicted),
                human_bytes(u128::from(memory_limit)),
            );
            checker.fail("/forget/most_memorised", detail);
        }
        order::accepted_bytes(predicted)
    }

    /// Memory of the method's own training and of a retraining for comparison, whichever is larger, and of the
    /// networks that are looked at beside it.
    pub(super) fn check_memory(
        &self,
        batch_size: Option<usize>,
        verify: Verify,
        memory_limit: u64,
        checker: &mut Checker,
    ) -> u64 {
        let entry = &self.found.entry;
        let (n_features, n_classes) = (entry.input.n_features(), entry.class_names.len());
        let needed =
            |recipe: &Recipe| nn::predicted_bytes(recipe, entry.n_train as usize, n_features, n_classes);
        let hidden = self.lineage.recipe.network_hidden();
        let (network, measuring) = nn::network_bytes(&hidden, n_features, n_classes);
        let beside = |verify| match verify {
            // the parent
            Verify::Quick => measuring + network,
            // the parent, the new network, and one retrained while the other one trains
            Verify::Standard => measuring + 3 * network,
            // each of a bank measures for itself, and has the original beside what becomes of it
            Verify::Thorough => (1 + u128::from(N_BANK)) * (measuring + 3 * network),
        };
        let one = needed(&self.lineage.recipe);
        // those to compare with may be trained side by side
        let at_once = match verify {
            Verify::Quick => 1,
            Verify::Standard => N_RETRAINED as u128,
            Verify::Thorough => u128::from(N_BANK),
        };
        let method = batch_size.map_or(0, |batch_size| {
            needed(&Recipe::Standard(Standard { hidden: hidden.clone(), batch_size, ..Standard::new(0) }))
        });
        let memory_limit = u128::from(memory_limit);
        let retrain = at_once * one;
        let made_at_once = if verify == Verify::Thorough { at_once } else { 1 };
        let predicted = retrain.max(made_at_once * method) + beside(verify);
        if predicted > memory_limit {
            let (pointer, advice) = if one.max(method) + beside(Verify::Quick) <= memory_limit {
                ("/verify", "; `quick` needs less")
            } else if method > retrain {
                ("/hyperparameters/batch_size", "; use smaller batches")
            } else {
                ("/model", "; start the server with a higher `--memory-limit`")
            };
            let (predicted, limit) = (human_bytes(predicted), human_bytes(memory_limit));
            let detail =
                format!("needs about {predicted} of memory, above this server's limit of {limit}{advice}");
            checker.fail(pointer, detail);
        }
        order::accepted_bytes(predicted)
    }
}

/// Whoever asks to be forgotten goes first.
const fn erasure() -> Priority {
    Priority::Erasure
}

impl UnlearnRequest {
    /// Checks everything that can be checked before the run is stored.
    fn check(self, parent: &Parent, memory_limit: u64) -> Result<Run, Problem> {
        let mut checker = Checker::default();
        let seed = checker.whole("/seed", self.seed, SEED, DEFAULT_SEED);
        let method = methods::resolve(self.method, self.hyperparameters, &mut checker);
        let batch_size = method.batch_size();
        if let Err(reason) = method.applies_to(&parent.lineage.recipe) {
            checker.fail("/method", reason);
        }
        let forget = self.forget.check(&mut checker);
        if let Some(forget) = &forget {
            parent.check_forget(forget, batch_size, &mut checker);
        }
        let choice =
            forget.as_ref().map_or(0, |forget| parent.check_choice(forget, memory_limit, &mut checker));
        let memory_bytes =
            choice.max(parent.check_memory(batch_size, self.verify, memory_limit, &mut checker));
        let promote = self.promote.map(|promote| promote.check(&mut checker));
        let deadline_s = order::check_deadline(self.deadline_s, &mut checker);
        let tags = order::check_tags(self.tags, &mut checker);
        let forget = checker.finish(forget)?.expect("a missing forget set is an error");
        let progress = Progress { epoch: 0, epochs: method.epochs(&parent.lineage.recipe) };
        let work = Work::Unlearn(Unlearn {
            parent: parent.version.to_ref(),
            forget,
            method,
            verify: self.verify,
            promote,
            revoke_parent: self.revoke_parent,
        });
        let (model, dataset) = (parent.version.model.to_string(), parent.lineage.dataset.clone());
        Ok(Run {
            progress,
            priority: self.priority,
            memory_bytes,
            tags,
            deadline_s,
            ..Run::queued(work, model, dataset, seed)
        })
    }
}

/// Make a version forget rows of its training data.
///
/// The version itself is not changed: a new version of the same model is published. Answers when the run is
/// durable; with `Prefer: wait=N` it waits up to N ≤ 60 seconds for the end and is then 201.
#[utoipa::path(post, path = "/unlearn", tag = "runs", request_body = UnlearnRequest,
    params(("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N ≤ 60 seconds for the end")),
    responses(
        (status = 202, description = "Accepted and durable", body = RunView,
         headers(("Location" = String, description = "The run"), ("ETag" = String))),
        (status = 201, description = "Ended within the time waited", body = RunView,
         headers(("Location" = String, description = "The run"), ("ETag" = String)))))]
pub async fn create_unlearn(
    State(app): State<AppState>,
    NewId(id): NewId,
    headers: HeaderMap,
    ApiJson(request): ApiJson<UnlearnRequest>,
) -> Result<Response, Problem> {
    let wait = order::preferred_wait(&headers)?;
    let parent = Parent::named_in_body(&app, &request.model).await?;
    let memory_limit = app.memory_limit.0;
    // resolving a forget set hashes and sorts every training row: not on an async thread
    let run = tokio::task::spawn_blocking(move || request.check(&parent, memory_limit))
        .await
        .map_err(Problem::internal)??;
    order::submit(&app, Run { id, ..run }, wait).await
}
