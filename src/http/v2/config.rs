//! The model configuration extension: what Triton's `ModelConfig` says, as far as it says anything of our models.

use super::super::error::Problem;
use super::super::extract::ApiPath;
use super::super::serving::served;
use super::super::state::AppState;
use super::datatype::Datatype;
use super::metadata::{datatype_of, row_shape};
use super::request::OutputName;
use super::{INPUT, PLATFORM};
use crate::formats::MAX_ROWS;
use crate::inference::Loaded;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct ModelConfig {
    name: String,
    #[schema(value_type = String)]
    platform: &'static str,
    /// Rows of one request.
    max_batch_size: usize,
    input: Vec<TensorConfig>,
    output: Vec<TensorConfig>,
}

/// A tensor without its first dimension, the rows.
#[derive(Debug, Serialize, ToSchema)]
pub struct TensorConfig {
    #[schema(value_type = String)]
    name: &'static str,
    /// `TYPE_` and the data type.
    data_type: String,
    dims: Vec<u32>,
    /// Of an output that has no dimension but the rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    reshape: Option<Reshape>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Reshape {
    shape: Vec<u32>,
}

/// How does a model appear in Triton's configuration?
#[utoipa::path(get, path = "/v2/models/{ref}/config", tag = "v2",
    params(("ref" = String, Path, description = "`name`, `name@alias`, `name:version` or a version's id")),
    responses((status = 200, description = "The configuration", body = ModelConfig)))]
pub async fn get_v2_model_config(
    State(app): State<AppState>,
    ApiPath(reference): ApiPath<String>,
) -> Result<Json<ModelConfig>, Problem> {
    served(&app, &reference).await.map(|loaded| Json(config(&loaded)))
}

/// How does a version appear in Triton's configuration?
#[utoipa::path(get, path = "/v2/models/{name}/versions/{v}/config", tag = "v2",
    params(("name" = String, Path, description = "The model"), ("v" = u32, Path, description = "Number of the version")),
    responses((status = 200, description = "The configuration", body = ModelConfig)))]
pub async fn get_v2_version_config(
    State(app): State<AppState>,
    ApiPath((name, number)): ApiPath<(String, u32)>,
) -> Result<Json<ModelConfig>, Problem> {
    served(&app, &format!("{name}:{number}")).await.map(|loaded| Json(config(&loaded)))
}

fn config(loaded: &Loaded) -> ModelConfig {
    let spec = &loaded.model.input;
    let input = TensorConfig {
        name: INPUT,
        data_type: data_type(datatype_of(spec)),
        dims: row_shape(spec),
        reshape: None,
    };
    ModelConfig {
        name: loaded.version.model.clone(),
        platform: PLATFORM,
        max_batch_size: MAX_ROWS,
        input: vec![input],
        output: OutputName::ALL.iter().map(|&name| output(loaded, name)).collect(),
    }
}

fn output(loaded: &Loaded, name: OutputName) -> TensorConfig {
    // dims may not be empty: a scalar a row is one number, reshaped to none
    let (dims, reshape) = match name {
        OutputName::Probabilities | OutputName::Logits => (vec![loaded.n_classes() as u32], None),
        OutputName::Label => (vec![1], Some(Reshape { shape: Vec::new() })),
    };
    TensorConfig { name: name.name(), data_type: data_type(name.datatype()), dims, reshape }
}

fn data_type(datatype: Datatype) -> String {
    format!("TYPE_{}", datatype.name())
}
