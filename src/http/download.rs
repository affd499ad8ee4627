//! `GET /models/{ref}/download`: versions as files.

use super::error::Problem;
use super::extract::{ApiPath, ApiQuery};
use super::models::{resolve, weights_problem};
use super::order::ascii;
use super::state::AppState;
use crate::artifacts::{self, ArtifactError, Artifacts};
use crate::domain::Version;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// File formats of a download.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightFormat {
    #[default]
    Safetensors,
    Npz,
    Onnx,
}

impl WeightFormat {
    const fn extension(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Npz => "npz",
            Self::Onnx => "onnx",
        }
    }

    /// No other type is registered for two of them.
    const fn content_type(self) -> &'static str {
        match self {
            Self::Safetensors | Self::Onnx => "application/octet-stream",
            Self::Npz => "application/zip",
        }
    }

    /// The same version gives the same bytes.
    fn file(self, version: &Version, artifacts: &Artifacts) -> Result<Vec<u8>, ArtifactError> {
        let (id, digest) = (version.id, &version.digest);
        let model = || artifacts.models.get(id, digest);
        match self {
            Self::Safetensors => artifacts.models.read_checked(id, digest),
            Self::Npz => Ok(artifacts::npz(&model()?, digest)),
            Self::Onnx => Ok(artifacts::onnx(&model()?, digest)),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DownloadQuery {
    /// `safetensors` without it.
    #[param(inline)]
    format: Option<WeightFormat>,
}

/// Take a version home.
///
/// - `safetensors`: tensors `layers.{i}.weight` (out × in, f32) and `layers.{i}.bias`; the metadata says what the input is.
/// - `npz`, for NumPy: arrays of the same names, and the metadata as the member `metadata.json`.
/// - `onnx` (opset 17): `input` (f32, N × features, images as 0–255) to `probabilities` and `logits` (f32, N × classes) and
///   `label` (int64, N).
#[utoipa::path(get, path = "/models/{ref}/download", tag = "models",
    params(("ref" = String, Path, description = "`name`, `name@alias`, `name:version` or a version's id"), DownloadQuery),
    responses((status = 200, description = "The file; its `ETag` is its SHA-256, that of safetensors the version's digest",
               content((Vec<u8> = "application/octet-stream"), (Vec<u8> = "application/zip")),
               headers(("ETag" = String), ("Content-Disposition" = String)))))]
pub async fn download_model(
    State(app): State<AppState>,
    ApiPath(reference): ApiPath<String>,
    ApiQuery(query): ApiQuery<DownloadQuery>,
) -> Result<Response, Problem> {
    let format = query.format.unwrap_or_default();
    let version = resolve(&app, &reference).await?;
    let (artifacts, of) = (app.engine.artifacts.clone(), version.clone());
    let made = move || format.file(&of, &artifacts).map(|bytes| (artifacts::digest(&bytes), bytes));
    let (digest, bytes) = match tokio::task::spawn_blocking(made).await.map_err(Problem::internal)? {
        Ok(made) => made,
        Err(error) => return Err(weights_problem(&app, &version, error).await),
    };
    let file_name = format!("{}-{}.{}", version.model, version.number, format.extension());
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(format.content_type())),
        (header::CONTENT_DISPOSITION, ascii(&format!("attachment; filename=\"{file_name}\""))),
        (header::ETAG, ascii(&format!("\"{digest}\""))),
    ];
    Ok((headers, bytes).into_response())
}
