//! Webhooks: who is told of events, and how that went.

use super::error::{Code, FieldError, Problem};
use super::extract::{ApiJson, ApiPath, ApiQuery, DEFAULT_LIMIT, checked_limit};
use super::idempotency::NewId;
use super::number::Checker;
use super::order;
use super::state::AppState;
use super::view::{DeliveryView, PageView, WebhookView};
use crate::domain::{DeliveryStatus, EventKind, Webhook};
use crate::store::{MAX_WEBHOOKS, Page, StoreError};
use crate::webhooks::{Message, check_endpoint, new_secret};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

const MAX_LIMIT: u32 = 200;

/// Who is to be told, and of what.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookRequest {
    /// Where requests are sent: `https://`, with a public address. A server with `--webhook-private` also takes
    /// `http://` and addresses in its own network.
    #[schema(max_length = 2048)]
    url: String,
    /// Durable kinds of events; without it, that a run is over (`done`).
    #[serde(default = "only_done")]
    #[schema(min_items = 1, default = json!(["done"]))]
    events: Vec<EventKind>,
}

fn only_done() -> Vec<EventKind> {
    vec![EventKind::Done]
}

impl WebhookRequest {
    fn check(self, app: &AppState, id: Uuid) -> Result<Webhook, Problem> {
        let mut checker = Checker::default();
        let url = check_endpoint(&self.url, app.webhooks.reach);
        let url = url.unwrap_or_else(|detail| {
            checker.fail("/url", detail);
            String::new()
        });
        if self.events.is_empty() {
            checker.fail("/events", "must name at least one kind of event");
        }
        let mut events: Vec<EventKind> = Vec::new();
        for (place, kind) in self.events.into_iter().enumerate() {
            if !kind.is_durable() {
                let detail = format!("must be a kind that is stored; `{}` is not", kind.name());
                checker.fail(format!("/events/{place}"), detail);
            } else if !events.contains(&kind) {
                events.push(kind);
            }
        }
        checker.finish(Webhook {
            id,
            url,
            events,
            secret: new_secret(),
            created_at: Utc::now(),
            failing_since: None,
            disabled: None,
            dropped: 0,
        })
    }
}

/// A webhook, with what its owner needs to know that requests are ours.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedWebhookView {
    #[serde(flatten)]
    webhook: WebhookView,
    /// The signing key: `whsec_` and Base64. Shown here and never again.
    secret: String,
}

/// Create a webhook.
///
/// From now on every event of these kinds, of any run, is sent to the address as a signed `POST` (Standard Webhooks), at
/// least once and until it is answered with a status from 200 to 299, or ten attempts in 20 hours have failed. There are
/// at most 20 webhooks.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", request_body = WebhookRequest,
    responses((status = 201, description = "Created; keep the `secret`", body = CreatedWebhookView,
               headers(("Location" = String, description = "The webhook")))))]
pub async fn create_webhook(
    State(app): State<AppState>,
    NewId(id): NewId,
    ApiJson(request): ApiJson<WebhookRequest>,
) -> Result<Response, Problem> {
    let webhook = request.check(&app, id)?;
    let Some(webhook) = app.engine.store.insert_webhook(webhook).await? else {
        let detail = format!("there are {MAX_WEBHOOKS} webhooks, as many as there may be; delete one first");
        return Err(Problem::new(Code::TooManyWebhooks, detail));
    };
    let location = [(header::LOCATION, order::ascii(&format!("/webhooks/{}", webhook.id)))];
    let view = CreatedWebhookView { webhook: WebhookView::of(&webhook), secret: webhook.secret.0 };
    Ok((StatusCode::CREATED, location, Json(view)).into_response())
}

/// Every webhook: there are never many.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhooksView {
    data: Vec<WebhookView>,
}

/// List webhooks, oldest first.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks",
    responses((status = 200, description = "All of them", body = WebhooksView)))]
pub async fn list_webhooks(State(app): State<AppState>) -> Result<Json<WebhooksView>, Problem> {
    let webhooks = app.engine.store.webhooks().await?;
    Ok(Json(WebhooksView { data: webhooks.iter().map(WebhookView::of).collect() }))
}

/// Look at a webhook.
#[utoipa::path(get, path = "/webhooks/{id}", tag = "webhooks",
    params(("id" = Uuid, Path, description = "The webhook")),
    responses((status = 200, description = "The webhook", body = WebhookView)))]
pub async fn get_webhook(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
) -> Result<Json<WebhookView>, Problem> {
    Ok(Json(WebhookView::of(&load(&app, id).await?)))
}

/// Delete a webhook with its deliveries; those that wait are not made any more.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "webhooks",
    params(("id" = Uuid, Path, description = "The webhook")),
    responses((status = 204, description = "Deleted")))]
pub async fn delete_webhook(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
) -> Result<StatusCode, Problem> {
    match app.engine.store.delete_webhook(id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(StoreError::NotFound) => Err(not_found(id)),
        Err(other) => Err(other.into()),
    }
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookTestView {
    /// Whether it was answered with a status from 200 to 299.
    delivered: bool,
    /// Of the answer; its body is not shown.
    answer_status: Option<u16>,
    /// Why it was not delivered.
    error: Option<String>,
    elapsed_ms: u64,
    /// The webhook behind the test.
    webhook: WebhookView,
}

/// Send a test event now, and tell what came of it.
///
/// Its `type` is `webhook.test`. It is attempted once, for at most 10 seconds, and is no delivery. A webhook that was
/// disabled and takes it is in service again, for what happens from then on.
#[utoipa::path(post, path = "/webhooks/{id}/test", tag = "webhooks",
    params(("id" = Uuid, Path, description = "The webhook")),
    responses((status = 200, description = "What came of it, good or bad", body = WebhookTestView)))]
pub async fn test_webhook(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
    NewId(test): NewId,
) -> Result<Json<WebhookTestView>, Problem> {
    let mut webhook = load(&app, id).await?;
    let _permit = app.webhook_tests.try_acquire().map_err(|_| {
        Problem::new(Code::Unavailable, "other webhooks are being tested; try again in a moment")
            .retry_after(5)
    })?;
    let at = Utc::now();
    let body = json!({ "type": "webhook.test", "timestamp": at, "data": { "webhook": id } }).to_string();
    let message = Message { id: test, url: &webhook.url, secret: &webhook.secret, body: &body };
    let outcome = app.webhooks.send(message, at).await;
    if outcome.result.is_ok() && webhook.disabled.is_some() {
        app.engine.store.enable_webhook(id).await?;
        webhook = load(&app, id).await?;
    }
    Ok(Json(WebhookTestView {
        delivered: outcome.result.is_ok(),
        answer_status: outcome.answer_status,
        error: outcome.result.err(),
        elapsed_ms: outcome.elapsed.as_millis() as u64,
        webhook: WebhookView::of(&webhook),
    }))
}

/// Which deliveries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeliveriesQuery {
    /// Deliveries on the page, 20 without it.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
    status: Option<DeliveryStatus>,
}

/// List a webhook's deliveries, newest first.
///
/// Those that wait, and the last thousand that are over.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = Uuid, Path, description = "The webhook"), DeliveriesQuery),
    responses((status = 200, description = "A page of deliveries", body = PageView<DeliveryView>)))]
pub async fn list_deliveries(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
    ApiQuery(query): ApiQuery<DeliveriesQuery>,
) -> Result<Json<PageView<DeliveryView>>, Problem> {
    let limit = checked_limit(query.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let after = query.after.map(|after| Uuid::parse_str(&after)).transpose().map_err(|_| {
        Problem::new(Code::InvalidCursor, "`after` must be the `next` of the page before: a delivery's id")
    })?;
    load(&app, id).await?;
    let deliveries = app.engine.store.deliveries(id, query.status, &Page { limit, after }).await?;
    let views = deliveries.iter().map(DeliveryView::of).collect();
    Ok(Json(PageView::new(views, limit, |delivery: &DeliveryView| delivery.id.to_string())))
}

async fn load(app: &AppState, id: Uuid) -> Result<Webhook, Problem> {
    match app.engine.store.webhook(id).await {
        Ok(webhook) => Ok(webhook),
        Err(StoreError::NotFound) => Err(not_found(id)),
        Err(other) => Err(other.into()),
    }
}

fn not_found(id: Uuid) -> Problem {
    let detail = format!("webhook `{id}` does not exist; `GET /webhooks` lists those that do");
    Problem {
        errors: vec![FieldError::new("{id}", "must be the id of a webhook")],
        ..Problem::new(Code::WebhookNotFound, detail)
    }
}
