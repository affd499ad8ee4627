//! The registry: models, their versions, and the aliases that point at them.

use super::error::{Code, Problem};
use super::extract::{ApiJson, ApiPath, ApiQuery, DEFAULT_LIMIT, PageQuery, checked_limit};
use super::number::{Checker, Number, Whole};
use super::order::ascii;
use super::state::AppState;
use super::view::{AliasView, PageView, VersionView};
use crate::artifacts::ArtifactError;
use crate::data::InputSpec;
use crate::domain::{ModelName, ModelRef, Selector, Version, VersionRef};
use crate::inference::Loaded;
use crate::jobs::StartError;
use crate::store::StoreError;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

const MAX_LIMIT: u32 = 200;
const VERSION_NUMBER: Whole = Whole { min: 1, max: u32::MAX as u64 };
/// Ancestors named in a lineage, at most.
const MAX_LINEAGE: usize = 100;

/// A model in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelSummary {
    pub name: String,
    /// The newest version that is not revoked: what the bare name means.
    pub latest: Option<VersionView>,
    pub n_versions: usize,
    pub aliases: Vec<AliasView>,
}

/// A model with all its versions, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelView {
    pub name: String,
    /// The number of the newest version that is not revoked.
    pub latest: Option<u32>,
    pub versions: Vec<VersionView>,
    pub aliases: Vec<AliasView>,
}

/// A version with where it comes from and what it takes.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionDetail {
    #[serde(flatten)]
    pub version: VersionView,
    /// Its ancestors, parent first.
    pub lineage: Vec<VersionRef>,
    /// What a row must look like; absent once revoked.
    pub input: Option<InputSpec>,
    pub class_names: Option<Vec<String>>,
    /// Widths of the network's layers from input to output.
    pub widths: Option<Vec<usize>>,
}

/// List the models.
#[utoipa::path(get, path = "/models", tag = "models", params(PageQuery),
    responses((status = 200, description = "A page of models, by name", body = PageView<ModelSummary>)))]
pub async fn list_models(
    State(app): State<AppState>,
    ApiQuery(query): ApiQuery<PageQuery>,
) -> Result<Json<PageView<ModelSummary>>, Problem> {
    let limit = checked_limit(query.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let names = app.engine.store.models(query.after.as_deref(), limit + 1).await?;
    let page = PageView::new(names, limit, ModelName::to_string);
    let mut data = Vec::with_capacity(page.data.len());
    for name in page.data {
        let (aliases, versions) = pointers_and_versions(&app, &name).await?;
        let latest = versions.iter().find(|version| version.revoked_at.is_none()).map(VersionView::of);
        data.push(ModelSummary { name: name.to_string(), latest, n_versions: versions.len(), aliases });
    }
    Ok(Json(PageView { data, has_more: page.has_more, next: page.next }))
}

/// Look at a model and all its versions.
#[utoipa::path(get, path = "/models/{name}", tag = "models",
    params(("name" = String, Path, description = "The model")),
    responses((status = 200, description = "The model", body = ModelView)))]
pub async fn get_model(
    State(app): State<AppState>,
    ApiPath(name): ApiPath<String>,
) -> Result<Json<ModelView>, Problem> {
    let name = model_name(&name)?;
    let (aliases, versions) = pointers_and_versions(&app, &name).await?;
    if versions.is_empty() {
        return Err(Problem::model_not_found(&name));
    }
    Ok(Json(ModelView {
        latest: versions.iter().find(|version| version.revoked_at.is_none()).map(|version| version.number),
        aliases,
        versions: versions.iter().map(VersionView::of).collect(),
        name: name.to_string(),
    }))
}

/// A model's aliases and versions. Aliases are read first: a version published in between is then in the list
/// of versions, instead of missing under an alias that already points at it.
async fn pointers_and_versions(
    app: &AppState,
    name: &ModelName,
) -> Result<(Vec<AliasView>, Vec<Version>), Problem> {
    let aliases = app.engine.store.aliases(name).await?;
    let versions = app.engine.store.versions(name).await?;
    let number_of = |id: Uuid| versions.iter().find(|version| version.id == id).map(|version| version.number);
    let aliases = aliases
        .iter()
        .filter_map(|alias| number_of(alias.version).map(|number| AliasView::of(alias, number)))
        .collect();
    Ok((aliases, versions))
}

/// Look at a version, revoked or not.
#[utoipa::path(get, path = "/models/{name}/versions/{v}", tag = "models",
    params(("name" = String, Path, description = "The model"), ("v" = u32, Path, description = "Number of the version")),
    responses((status = 200, description = "The version", body = VersionDetail)))]
pub async fn get_version(
    State(app): State<AppState>,
    ApiPath((name, number)): ApiPath<(String, u32)>,
) -> Result<Json<VersionDetail>, Problem> {
    let version = numbered(&app, &model_name(&name)?, number).await?;
    let mut lineage = Vec::new();
    let mut next = version.parent;
    while let Some(parent) = next.filter(|_| lineage.len() < MAX_LINEAGE) {
        let parent = app.engine.store.version(&ModelRef::Id(parent), true).await?;
        lineage.push(parent.to_ref());
        next = parent.parent;
    }
    let loaded = match version.revoked_at {
        None => Some(load(&app, &version).await?),
        Some(_) => None,
    };
    let model = loaded.as_ref().map(|loaded| &loaded.model);
    Ok(Json(VersionDetail {
        version: VersionView::of(&version),
        lineage,
        input: model.map(|model| model.input.clone()),
        class_names: model.map(|model| model.class_names.clone()),
        widths: model.map(|model| model.mlp.shape().widths.clone()),
    }))
}

/// Which version to use instead.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    /// Number of the version clients are sent to, and aliases are moved to.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1)]
    replacement: Option<Number>,
}

/// Revoke a version: it answers 410 from now on, and its weights are deleted.
///
/// This cannot be undone. Revoking a revoked version again changes nothing.
#[utoipa::path(post, path = "/models/{name}/versions/{v}/revoke", tag = "models", request_body = RevokeRequest,
    params(("name" = String, Path, description = "The model"), ("v" = u32, Path, description = "Number of the version")),
    responses((status = 200, description = "Revoked", body = VersionView)))]
pub async fn revoke_version(
    State(app): State<AppState>,
    ApiPath((name, number)): ApiPath<(String, u32)>,
    ApiJson(request): ApiJson<RevokeRequest>,
) -> Result<Json<VersionView>, Problem> {
    let name = model_name(&name)?;
    let version = numbered(&app, &name, number).await?;
    let replacement = match request.replacement {
        None => None,
        Some(replacement) => Some(replacement_of(&app, &name, number, replacement).await?),
    };
    let revoked = match app.engine.revoke(version.id, replacement.clone()).await {
        Ok(revoked) => revoked,
        Err(StartError::Store(StoreError::Revoked { version })) => {
            let detail = format!("version {} is revoked itself; name another", version.number);
            return Err(field("/replacement", detail));
        }
        Err(StartError::Artifacts(error)) => {
            return Err(match &replacement {
                Some(replacement) => weights_problem(&app, replacement, error).await,
                None => error.into(),
            });
        }
        Err(other) => return Err(Problem::internal(other)),
    };
    Ok(Json(VersionView::of(&revoked)))
}

async fn replacement_of(
    app: &AppState,
    name: &ModelName,
    revoked: u32,
    replacement: Number,
) -> Result<Version, Problem> {
    let mut checker = Checker::default();
    let number = checker.whole("/replacement", Some(replacement), VERSION_NUMBER, 0) as u32;
    if number == revoked {
        checker.fail("/replacement", "must be another version than the one being revoked");
    }
    let number = checker.finish(number)?;
    match numbered(app, name, number).await {
        Err(problem) if problem.code == Code::ModelNotFound => {
            Err(field("/replacement", format!("model `{name}` has no version {number}")))
        }
        other => other,
    }
}

/// Which version the alias points at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AliasRequest {
    /// Number of a version of the same model.
    #[schema(value_type = u32, minimum = 1)]
    version: Number,
}

/// Point an alias at a version; requests that follow use it.
#[utoipa::path(put, path = "/models/{name}/aliases/{alias}", tag = "models", request_body = AliasRequest,
    params(("name" = String, Path, description = "The model"), ("alias" = String, Path, description = "The alias")),
    responses((status = 200, description = "It points there now", body = AliasView)))]
pub async fn put_alias(
    State(app): State<AppState>,
    ApiPath((name, alias)): ApiPath<(String, String)>,
    ApiJson(request): ApiJson<AliasRequest>,
) -> Result<Response, Problem> {
    let name = model_name(&name)?;
    let alias: ModelName = alias.parse().map_err(|detail: String| Problem::parameter("{alias}", detail))?;
    let mut checker = Checker::default();
    let number = checker.whole("/version", Some(request.version), VERSION_NUMBER, 1) as u32;
    let number = checker.finish(number)?;
    let version = numbered(&app, &name, number).await?;
    match app.engine.set_alias(alias, version.clone()).await {
        Ok(alias) => {
            let etag = ascii(&format!("\"{}\"", alias.version));
            Ok(([(header::ETAG, etag)], Json(AliasView::of(&alias, number))).into_response())
        }
        Err(StartError::Store(StoreError::Revoked { version })) => Err(revoked_problem(&app, &version).await),
        Err(StartError::Store(StoreError::NotFound)) => {
            Err(Problem::model_not_found(format_args!("{name}:{number}")))
        }
        Err(StartError::Store(other)) => Err(other.into()),
        Err(StartError::Artifacts(error)) => Err(weights_problem(&app, &version, error).await),
        Err(StartError::Thread(error)) => Err(Problem::internal(error)),
    }
}

/// Remove an alias; the version stays.
#[utoipa::path(delete, path = "/models/{name}/aliases/{alias}", tag = "models",
    params(("name" = String, Path, description = "The model"), ("alias" = String, Path, description = "The alias")),
    responses((status = 204, description = "Removed")))]
pub async fn delete_alias(
    State(app): State<AppState>,
    ApiPath((name, alias)): ApiPath<(String, String)>,
) -> Result<StatusCode, Problem> {
    let name = model_name(&name)?;
    let not_found = || {
        let detail =
            format!("model `{name}` has no alias `{alias}`; `GET /models/{name}` lists those it has");
        Problem::new(Code::AliasNotFound, detail)
    };
    let parsed: ModelName = alias.parse().map_err(|_| not_found())?;
    match app.engine.delete_alias(name.clone(), parsed).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(StoreError::NotFound) => Err(not_found()),
        Err(other) => Err(other.into()),
    }
}

/// The version a reference means, or a 404, or a 410 that names the replacement.
pub async fn resolve(app: &AppState, reference: &str) -> Result<Version, Problem> {
    let parsed: ModelRef = reference.parse().map_err(|detail: String| {
        Problem::new(Code::ModelNotFound, format!("`{reference}` is no model reference: {detail}"))
    })?;
    match app.engine.store.version(&parsed, false).await {
        Ok(version) => Ok(version),
        Err(StoreError::NotFound) => Err(Problem::model_not_found(reference)),
        Err(StoreError::Revoked { version }) => Err(revoked_problem(app, &version).await),
        Err(other) => Err(other.into()),
    }
}

/// 410 with `replacement`: the version named when it was revoked, or `null`.
pub async fn revoked_problem(app: &AppState, version: &Version) -> Problem {
    let replacement = match version.replacement {
        Some(id) => app.engine.store.version(&ModelRef::Id(id), true).await.ok(),
        None => None,
    };
    let name = format!("{}:{}", version.model, version.number);
    let detail = match &replacement {
        Some(other) => {
            format!("version `{name}` was revoked; use `{}:{}` instead", other.model, other.number)
        }
        None => format!("version `{name}` was revoked and has no replacement"),
    };
    let replacement = replacement.map(|version| version.to_ref());
    Problem::new(Code::VersionRevoked, detail)
        .with("replacement", serde_json::to_value(replacement).expect("a reference is plain data"))
}

/// A version by number, revoked or not.
async fn numbered(app: &AppState, name: &ModelName, number: u32) -> Result<Version, Problem> {
    let reference = ModelRef::Named { name: name.clone(), selector: Selector::Number(number) };
    match app.engine.store.version(&reference, true).await {
        Ok(version) => Ok(version),
        Err(StoreError::NotFound) => Err(Problem::model_not_found(reference)),
        Err(other) => Err(other.into()),
    }
}

fn model_name(text: &str) -> Result<ModelName, Problem> {
    text.parse().map_err(|detail: String| {
        Problem::new(Code::ModelNotFound, format!("`{text}` is no model's name: it {detail}"))
    })
}

fn field(pointer: &str, detail: String) -> Problem {
    Problem::invalid(vec![super::error::FieldError::new(pointer, detail)])
}

/// The version, ready to answer.
pub async fn load(app: &AppState, version: &Version) -> Result<Arc<Loaded>, Problem> {
    match app.engine.inference.load(version).await {
        Ok(loaded) => Ok(loaded),
        Err(error) => Err(weights_problem(app, version, error).await),
    }
}

/// Weights may be gone because the version was revoked since it was looked up; otherwise its file is to blame, or the
/// server.
pub async fn weights_problem(app: &AppState, version: &Version, error: ArtifactError) -> Problem {
    match (resolve(app, &version.id.to_string()).await, error) {
        (Err(problem), _) => problem,
        (Ok(_), ArtifactError::Io(error)) => ArtifactError::Io(error).into(),
        (Ok(_), error) => {
            let detail = format!(
                "the file of version `{}:{}` is damaged or missing, so it is not used; put a copy of it back, or use \
                 another version",
                version.model, version.number
            );
            Problem::new(Code::WeightsDamaged, detail).caused_by(error)
        }
    }
}
