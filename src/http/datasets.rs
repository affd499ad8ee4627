//! Datasets: what there is, and what its rows look like.

use super::error::{Code, Problem};
use super::extract::{ApiPath, ApiQuery, negotiate};
use super::order;
use super::state::AppState;
use crate::data::{Dataset, Entry, RowError, Split};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// All datasets.
#[derive(Debug, Serialize, ToSchema)]
pub struct DatasetsView {
    pub data: Vec<Entry>,
}

/// A dataset, and how many rows each class and person has.
#[derive(Debug, Serialize, ToSchema)]
pub struct DatasetView {
    #[serde(flatten)]
    pub entry: Entry,
    /// Training rows of each class; absent while the data has to be downloaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_rows_by_class: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_rows_by_class: Option<Vec<u32>>,
}

/// List the datasets this server knows.
#[utoipa::path(get, path = "/datasets", tag = "datasets",
    responses((status = 200, description = "All of them", body = DatasetsView)))]
pub async fn list_datasets(State(app): State<AppState>) -> Result<Json<DatasetsView>, Problem> {
    let data = order::with_catalogue(&app, |catalogue| catalogue.list()).await?;
    Ok(Json(DatasetsView { data }))
}

/// Look at a dataset.
#[utoipa::path(get, path = "/datasets/{name}", tag = "datasets",
    params(("name" = String, Path, description = "The dataset")),
    responses((status = 200, description = "The dataset", body = DatasetView)))]
pub async fn get_dataset(
    State(app): State<AppState>,
    ApiPath(name): ApiPath<String>,
) -> Result<Json<DatasetView>, Problem> {
    let found = order::find_dataset(&app, &name).await?;
    let count = |labels: &[u32], n_classes: usize| {
        let mut counts = vec![0_u32; n_classes];
        for &label in labels {
            counts[label as usize] += 1;
        }
        counts
    };
    let dataset = found.dataset.as_ref();
    Ok(Json(DatasetView {
        train_rows_by_class: dataset.map(|d| count(&d.train.labels, d.n_classes())),
        test_rows_by_class: dataset.map(|d| count(&d.test.labels, d.n_classes())),
        entry: found.entry,
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RowQuery {
    /// Which table: `train` without it.
    #[param(inline)]
    split: Option<Split>,
}

/// One row.
#[derive(Debug, Serialize, ToSchema)]
pub struct RowView {
    pub dataset: String,
    pub split: Split,
    /// Its id: its position in the table.
    pub row: u32,
    pub label: u32,
    pub class_name: String,
    /// The person it came from, where known.
    pub subject: Option<u64>,
    /// Bytes 0 to 255 of an image, row by row, or floats.
    #[schema(value_type = Vec<f32>)]
    pub features: serde_json::Value,
}

/// Look at a row, as numbers or as a picture.
#[utoipa::path(get, path = "/datasets/{name}/rows/{row}", tag = "datasets",
    params(("name" = String, Path, description = "The dataset"),
           ("row" = u32, Path, description = "Position in the table"), RowQuery),
    responses((status = 200, description = "The row",
               content((RowView = "application/json"), (Vec<u8> = "image/png")))))]
pub async fn get_dataset_row(
    State(app): State<AppState>,
    ApiPath((name, row)): ApiPath<(String, u32)>,
    ApiQuery(query): ApiQuery<RowQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = negotiate(&headers, &["application/json", "image/png"])?;
    let dataset = order::open_dataset(&app, &name).await?;
    let split = query.split.unwrap_or_default();
    if wanted == "image/png" {
        let png = dataset.row_png(split, row).map_err(|error| row_problem(&error))?;
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("image/png")),
            (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600")),
        ];
        return Ok((headers, png).into_response());
    }
    Ok(Json(view(&dataset, split, row)?).into_response())
}

fn view(dataset: &Arc<Dataset>, split: Split, row: u32) -> Result<RowView, Problem> {
    let found = dataset.row(split, row).map_err(|error| row_problem(&error))?;
    Ok(RowView {
        dataset: dataset.name.clone(),
        split,
        row,
        label: found.label,
        class_name: dataset.class_names[found.label as usize].clone(),
        subject: found.subject,
        features: serde_json::to_value(found.features).map_err(Problem::internal)?,
    })
}

fn row_problem(error: &RowError) -> Problem {
    let code = match error {
        RowError::NoSuchRow { .. } => Code::RowNotFound,
        RowError::NotAnImage(_) => Code::NotAcceptable,
    };
    Problem::new(code, error.to_string())
}
