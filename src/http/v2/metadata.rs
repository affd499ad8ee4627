//! What the server is, what its models take and answer, and whether they are ready.

use super::super::error::Problem;
use super::super::extract::ApiPath;
use super::super::serving::served;
use super::super::state::AppState;
use super::datatype::Datatype;
use super::request::OutputName;
use super::{INPUT, PLATFORM};
use crate::data::InputSpec;
use crate::domain::ModelName;
use crate::inference::Loaded;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// Triton's names of what goes beyond the protocol.
const EXTENSIONS: [&str; 3] = ["binary_tensor_data", "classification", "model_configuration"];

#[derive(Debug, Serialize, ToSchema)]
pub struct ServerMetadata {
    #[schema(value_type = String)]
    name: &'static str,
    #[schema(value_type = String)]
    version: &'static str,
    #[schema(value_type = Vec<String>)]
    extensions: [&'static str; 3],
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ModelMetadata {
    name: String,
    /// Those that can be asked for, oldest first.
    versions: Vec<String>,
    #[schema(value_type = String)]
    platform: &'static str,
    inputs: Vec<TensorMetadata>,
    outputs: Vec<TensorMetadata>,
}

/// A tensor's name, type and shape; -1 stands for any number of rows.
#[derive(Debug, Serialize, ToSchema)]
pub struct TensorMetadata {
    #[schema(value_type = String)]
    name: &'static str,
    /// Other types are taken too: every one of numbers.
    datatype: Datatype,
    shape: Vec<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ModelReady {
    name: String,
    ready: bool,
}

/// What is this server?
#[utoipa::path(get, path = "/v2", tag = "v2",
    responses((status = 200, description = "The server and its extensions", body = ServerMetadata)))]
pub async fn get_v2_server() -> Json<ServerMetadata> {
    Json(ServerMetadata {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        extensions: EXTENSIONS,
    })
}

/// What does a model take and answer?
#[utoipa::path(get, path = "/v2/models/{ref}", tag = "v2",
    params(("ref" = String, Path, description = "`name`, `name@alias`, `name:version` or a version's id")),
    responses((status = 200, description = "The model's tensors", body = ModelMetadata)))]
pub async fn get_v2_model(
    State(app): State<AppState>,
    ApiPath(reference): ApiPath<String>,
) -> Result<Json<ModelMetadata>, Problem> {
    metadata(&app, &reference).await
}

/// What does a version take and answer?
#[utoipa::path(get, path = "/v2/models/{name}/versions/{v}", tag = "v2",
    params(("name" = String, Path, description = "The model"), ("v" = u32, Path, description = "Number of the version")),
    responses((status = 200, description = "The version's tensors", body = ModelMetadata)))]
pub async fn get_v2_version(
    State(app): State<AppState>,
    ApiPath((name, number)): ApiPath<(String, u32)>,
) -> Result<Json<ModelMetadata>, Problem> {
    metadata(&app, &format!("{name}:{number}")).await
}

/// Is a model ready to answer? It is loaded if it is not.
#[utoipa::path(get, path = "/v2/models/{ref}/ready", tag = "v2",
    params(("ref" = String, Path, description = "`name`, `name@alias`, `name:version` or a version's id")),
    responses((status = 200, description = "Ready", body = ModelReady)))]
pub async fn get_v2_model_ready(
    State(app): State<AppState>,
    ApiPath(reference): ApiPath<String>,
) -> Result<Json<ModelReady>, Problem> {
    ready(&app, &reference).await
}

/// Is a version ready to answer? It is loaded if it is not.
#[utoipa::path(get, path = "/v2/models/{name}/versions/{v}/ready", tag = "v2",
    params(("name" = String, Path, description = "The model"), ("v" = u32, Path, description = "Number of the version")),
    responses((status = 200, description = "Ready", body = ModelReady)))]
pub async fn get_v2_version_ready(
    State(app): State<AppState>,
    ApiPath((name, number)): ApiPath<(String, u32)>,
) -> Result<Json<ModelReady>, Problem> {
    ready(&app, &format!("{name}:{number}")).await
}

async fn ready(app: &AppState, reference: &str) -> Result<Json<ModelReady>, Problem> {
    let loaded = served(app, reference).await?;
    Ok(Json(ModelReady { name: loaded.version.model.clone(), ready: true }))
}

async fn metadata(app: &AppState, reference: &str) -> Result<Json<ModelMetadata>, Problem> {
    let loaded = served(app, reference).await?;
    let name: ModelName = loaded.version.model.parse().expect("a version's model has a name");
    let versions = app.engine.store.versions(&name).await?;
    let servable = versions.iter().rev().filter(|version| version.revoked_at.is_none());
    Ok(Json(ModelMetadata {
        name: name.to_string(),
        versions: servable.map(|version| version.number.to_string()).collect(),
        platform: PLATFORM,
        inputs: vec![input(&loaded)],
        outputs: OutputName::ALL.iter().map(|&name| output(&loaded, name)).collect(),
    }))
}

/// `UINT8 [-1, height, width]` or `FP32 [-1, D]`.
fn input(loaded: &Loaded) -> TensorMetadata {
    let spec = &loaded.model.input;
    let row = row_shape(spec).into_iter().map(i64::from);
    TensorMetadata {
        name: INPUT,
        datatype: datatype_of(spec),
        shape: std::iter::once(-1).chain(row).collect(),
    }
}

fn output(loaded: &Loaded, name: OutputName) -> TensorMetadata {
    let shape = match name {
        OutputName::Probabilities | OutputName::Logits => vec![-1, loaded.n_classes() as i64],
        OutputName::Label => vec![-1],
    };
    TensorMetadata { name: name.name(), datatype: name.datatype(), shape }
}

/// What an input's numbers are, where a request does not say.
pub fn datatype_of(spec: &InputSpec) -> Datatype {
    match spec {
        InputSpec::Image { .. } => Datatype::Uint8,
        InputSpec::Vector { .. } => Datatype::Fp32,
    }
}

/// The dimensions of one row.
pub fn row_shape(spec: &InputSpec) -> Vec<u32> {
    match *spec {
        InputSpec::Image { height, width } => vec![height, width],
        InputSpec::Vector { n_features, .. } => vec![n_features],
    }
}
