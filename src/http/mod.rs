//! The HTTP interface: every route on one page. A handler parses, calls, presents; nothing else.
//!
//! `error` holds the one table of problems, `frame` what surrounds every request, `view` the wire types of
//! answers; requests are checked into domain types before anything runs.

mod audits;
mod body;
mod catalogue;
mod checkpoints;
mod checks;
mod connections;
mod control;
pub mod dashboard;
mod datasets;
mod diagnoses;
mod download;
mod error;
mod events;
mod extract;
mod forget;
mod frame;
mod health;
mod hyperparameters;
mod idempotency;
mod import;
mod losses;
mod methods;
mod metrics;
mod models;
mod number;
mod openapi;
mod order;
mod predict;
mod runs;
pub mod serve;
mod serving;
mod state;
mod telemetry;
mod unlearn;
pub mod v2;
mod view;
mod webhooks;

pub use error::{Code, FieldError, Problem};
pub use openapi::yaml as openapi_yaml;
pub use state::{App, AppState, Bounds};

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{any, get};
use frame::Frame;
use std::time::Duration;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// Bodies of everything that is not listed below.
const BODY_LIMIT: usize = MIB;
/// A forget set may name every row of a large dataset.
const UNLEARN_BODY_LIMIT: usize = 8 * MIB;
/// 4,096 images as raw floats and a little more.
const PREDICT_BODY_LIMIT: usize = 16 * MIB;
/// A network of 16 million parameters.
const IMPORT_BODY_LIMIT: usize = 64 * MIB;
/// Bodies of addresses that take none.
const NO_BODY_LIMIT: usize = 64 * KIB;
const TIMEOUT: Duration = Duration::from_secs(30);
/// Those that honour `Prefer: wait` hold on for up to 60 s, after reading the body.
const WAITING_TIMEOUT: Duration = Duration::from_secs(order::MAX_WAIT_S + 30);

/// Every operation; `once` has those that change something answered once under a key.
fn api(once: impl Fn(OpenApiRouter<AppState>) -> OpenApiRouter<AppState>) -> OpenApiRouter<AppState> {
    let looking = OpenApiRouter::with_openapi(openapi::base())
        // runs
        .routes(routes!(runs::list_runs))
        .routes(routes!(runs::get_run, runs::delete_run))
        .routes(routes!(checkpoints::list_checkpoints))
        .routes(routes!(events::get_run_events))
        .routes(routes!(events::get_events))
        .routes(routes!(metrics::get_run_metrics))
        .routes(routes!(metrics::get_run_report))
        .routes(routes!(metrics::get_run_chart))
        .routes(routes!(losses::get_run_losses))
        // catalogues
        .routes(routes!(catalogue::list_modes))
        .routes(routes!(catalogue::list_unlearn_methods))
        // datasets
        .routes(routes!(datasets::list_datasets))
        .routes(routes!(datasets::get_dataset))
        .routes(routes!(datasets::get_dataset_row))
        .routes(routes!(checks::get_dataset_checks))
        // models
        .routes(routes!(models::list_models))
        .routes(routes!(models::get_model))
        .routes(routes!(models::get_version))
        .routes(routes!(download::download_model))
        // webhooks
        .routes(routes!(webhooks::list_webhooks))
        .routes(routes!(webhooks::get_webhook, webhooks::delete_webhook))
        .routes(routes!(webhooks::list_deliveries))
        // the Open Inference Protocol
        .routes(routes!(v2::metadata::get_v2_server))
        .routes(routes!(v2::health::get_v2_live))
        .routes(routes!(v2::health::get_v2_ready))
        .routes(routes!(v2::metadata::get_v2_model))
        .routes(routes!(v2::metadata::get_v2_version))
        .routes(routes!(v2::metadata::get_v2_model_ready))
        .routes(routes!(v2::metadata::get_v2_version_ready))
        .routes(routes!(v2::config::get_v2_model_config))
        .routes(routes!(v2::config::get_v2_version_config))
        .routes(routes!(v2::repository::list_v2_index))
        // operations
        .routes(routes!(health::get_livez))
        .routes(routes!(health::get_readyz))
        .routes(routes!(health::get_version_info))
        .routes(routes!(telemetry::get_metrics))
        .routes(routes!(openapi::get_openapi))
        .layer(RequestBodyLimitLayer::new(NO_BODY_LIMIT))
        .layer(timeout(TIMEOUT));

    let steering = OpenApiRouter::new()
        .routes(routes!(control::cancel_run))
        .routes(routes!(control::pause_run))
        .routes(routes!(control::resume_run))
        .routes(routes!(webhooks::test_webhook));
    let steering = once(steering).layer(RequestBodyLimitLayer::new(NO_BODY_LIMIT)).layer(timeout(TIMEOUT));

    let changing = OpenApiRouter::new()
        .routes(routes!(models::revoke_version))
        .routes(routes!(models::put_alias, models::delete_alias))
        .routes(routes!(webhooks::create_webhook));
    let changing = once(changing).layer(RequestBodyLimitLayer::new(BODY_LIMIT)).layer(timeout(TIMEOUT));

    let importing = OpenApiRouter::new().routes(routes!(import::import_model));
    let importing =
        once(importing).layer(RequestBodyLimitLayer::new(IMPORT_BODY_LIMIT)).layer(timeout(TIMEOUT));

    // they change nothing, so no key is needed; they bound their bodies themselves, so no layer is paid for
    let predicting = OpenApiRouter::new()
        .routes(routes!(predict::predict))
        .routes(routes!(predict::predict_model))
        .routes(routes!(v2::infer::infer))
        .routes(routes!(v2::infer::infer_version));

    let starting = OpenApiRouter::new()
        .routes(routes!(runs::create_run))
        .routes(routes!(checkpoints::fork_run))
        .routes(routes!(diagnoses::create_diagnosis));
    let starting =
        once(starting).layer(RequestBodyLimitLayer::new(BODY_LIMIT)).layer(timeout(WAITING_TIMEOUT));

    let forgetting =
        OpenApiRouter::new().routes(routes!(unlearn::create_unlearn)).routes(routes!(audits::create_audit));
    let forgetting = once(forgetting)
        .layer(RequestBodyLimitLayer::new(UNLEARN_BODY_LIMIT))
        .layer(timeout(WAITING_TIMEOUT));

    looking
        .merge(steering)
        .merge(starting)
        .merge(forgetting)
        .merge(changing)
        .merge(importing)
        .merge(predicting)
}

fn timeout(after: Duration) -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, after)
}

/// Pages for people: not part of the description.
fn pages() -> Router<AppState> {
    let mut pages = Router::new().merge(
        SwaggerUi::new("/docs")
            // by default a page seen from another machine asks a public validator about this server
            .config(
                Config::from("/openapi.yaml")
                    .display_operation_id(true)
                    .deep_linking(true)
                    .validator_url("none"),
            ),
    );
    for asset in dashboard::ASSETS {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(dashboard::CONTENT_SECURITY_POLICY)),
        ];
        pages = pages.route(asset.path, get(async move || (headers, asset.body).into_response()));
    }
    pages
}

/// The description of the interface.
pub fn document() -> utoipa::openapi::OpenApi {
    openapi::complete(api(|routes| routes).into_openapi())
}

/// The whole interface, ready to be served or to be asked directly in tests.
pub fn router(state: AppState) -> Router {
    let once = from_fn_with_state(state.clone(), idempotency::idempotent);
    let (api, _) = api(|routes| routes.layer(once.clone())).split_for_parts();
    framed(api.merge(pages()).route("/v2/{*rest}", any(v2::not_offered)), state)
}

/// What a server without a free connection still answers: whether it lives, and that it is busy.
fn reserve_router(state: AppState) -> Router {
    let health = Router::new()
        .route("/livez", get(health::get_livez))
        .route("/readyz", get(health::get_readyz))
        .route("/v2/health/live", get(v2::health::get_v2_live))
        .route("/v2/health/ready", get(v2::health::get_v2_ready))
        .fallback(health::too_many_connections)
        .layer(RequestBodyLimitLayer::new(NO_BODY_LIMIT))
        .layer(timeout(TIMEOUT));
    framed(health, state)
}

/// What surrounds every request.
fn framed(routes: Router<AppState>, state: AppState) -> Router {
    routes.layer(Frame::new(state.clone())).with_state(state)
}
