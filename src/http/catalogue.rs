//! Machine-readable catalogues: what can be asked for, with which numbers.

use super::hyperparameters::ModeView;
use super::methods::MethodView;
use crate::nn::Mode;
use crate::unlearn::MethodName;
use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// All modes.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModesView {
    pub data: Vec<ModeView>,
}

/// List the training modes, with schemas and defaults.
#[utoipa::path(get, path = "/modes", tag = "catalogue",
    responses((status = 200, description = "All of them", body = ModesView)))]
pub async fn list_modes() -> Json<ModesView> {
    Json(ModesView { data: Mode::ALL.into_iter().map(ModeView::of).collect() })
}

/// All unlearning methods.
#[derive(Debug, Serialize, ToSchema)]
pub struct MethodsView {
    pub data: Vec<MethodView>,
}

/// List the unlearning methods, with schemas, defaults and what they can promise.
#[utoipa::path(get, path = "/unlearn/methods", tag = "catalogue",
    responses((status = 200, description = "All of them", body = MethodsView)))]
pub async fn list_unlearn_methods() -> Json<MethodsView> {
    Json(MethodsView { data: MethodName::ALL.iter().copied().map(MethodView::of).collect() })
}
