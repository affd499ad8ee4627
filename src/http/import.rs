//! `POST /models`: models from elsewhere.

use super::body::ApiBytes;
use super::error::{Code, Problem};
use super::extract::{ApiQuery, ContentType};
use super::idempotency::NewId;
use super::number::Checker;
use super::order::ascii;
use super::state::AppState;
use super::view::VersionView;
use crate::artifacts::{ImportError, Layout, Model, import};
use crate::domain::ModelName;
use crate::jobs::StartError;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use utoipa::IntoParams;

/// What the file cannot say.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// The model that gets the new version.
    #[param(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    name: String,
    /// An alias to point at it, in the same moment.
    #[param(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    alias: Option<String>,
    /// What a row is, of a file that was not written by Lethe and so does not say it: `vector` (floats, taken as they
    /// are), `vector:age,height` (the same with the names of its columns, by which rows may then be given), or
    /// `image:28x28` (height × width grey bytes, scaled by 1/255).
    #[param(pattern = "^(vector(:[^,]+(,[^,]+)*)?|image:[0-9]+x[0-9]+)$")]
    input: Option<String>,
}

/// An import, checked.
struct Import {
    name: ModelName,
    alias: Option<ModelName>,
    model: Model,
}

impl Import {
    fn check(query: &ImportQuery, file: &Bytes) -> Result<Self, Problem> {
        let mut checker = Checker::default();
        let name = parsed("?name", &query.name, &mut checker);
        let alias = query.alias.as_deref().map(|alias| parsed("?alias", alias, &mut checker));
        let layout: Option<Option<Layout>> =
            query.input.as_deref().map(|input| parsed("?input", input, &mut checker));
        let model = match layout {
            // there is something to say of it already
            Some(None) => None,
            layout => match import(file, layout.flatten()) {
                Ok(model) => Some(model),
                Err(error) => {
                    let pointer = if matches!(error, ImportError::Layout(_)) { "?input" } else { "" };
                    checker.fail(pointer, error.to_string());
                    None
                }
            },
        };
        let (name, model) = checker.finish((name, model))?;
        Ok(Self {
            name: name.expect("a bad name is an error"),
            alias: alias.flatten(),
            model: model.expect("a bad file is an error"),
        })
    }
}

fn parsed<T: std::str::FromStr<Err = String>>(pointer: &str, text: &str, checker: &mut Checker) -> Option<T> {
    text.parse().map_err(|detail: String| checker.fail(pointer, detail)).ok()
}

/// Bring a model in, as safetensors of at most 64 MiB.
///
/// A file downloaded here or from another server answers as it did there, bit for bit. One of another program must have
/// tensors `layers.{i}.weight` (out × in, f32) and `layers.{i}.bias` from `i` = 0, each layer taking what the one before
/// gives, with ReLU between them; its classes are called by their numbers. The rows an imported version was trained on
/// are unknown here: it predicts, but can neither be made to forget nor be audited.
#[utoipa::path(post, path = "/models", tag = "models", params(ImportQuery),
    request_body(content((Vec<u8> = "application/octet-stream"), (Vec<u8> = "application/vnd.safetensors")),
                 description = "The file"),
    responses((status = 201, description = "Published", body = VersionView,
               headers(("Location" = String, description = "The version"), ("ETag" = String)))))]
pub async fn import_model(
    State(app): State<AppState>,
    NewId(id): NewId,
    ApiQuery(query): ApiQuery<ImportQuery>,
    headers: HeaderMap,
    ApiBytes(body): ApiBytes,
) -> Result<Response, Problem> {
    let content_type = ContentType::of(&headers)?;
    if !matches!(content_type.as_str(), "application/octet-stream" | "application/vnd.safetensors") {
        let detail = format!(
            "the body is {content_type}; send safetensors as `application/octet-stream` or \
             `application/vnd.safetensors`"
        );
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    // reading and checking millions of numbers: not on an async thread
    let check = move || Import::check(&query, &body);
    let Import { name, alias, model } =
        tokio::task::spawn_blocking(check).await.map_err(Problem::internal)??;
    let version = app.engine.import(id, model, name, alias).await.map_err(|error| match error {
        StartError::Store(error) => error.into(),
        StartError::Artifacts(error) => error.into(),
        StartError::Thread(_) => Problem::internal(error),
    })?;
    let view = VersionView::of(&version);
    let headers = [
        (header::LOCATION, ascii(&view.links.this)),
        (header::ETAG, ascii(&format!("\"{}\"", version.digest))),
    ];
    Ok((StatusCode::CREATED, headers, Json(view)).into_response())
}
