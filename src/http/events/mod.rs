//! `GET /runs/{id}/events` and `GET /events`: the log of one run, of some or of all, as a live stream, a page or a dump.
//!
//! They differ in what a cursor counts (`store::Scope`), and in nothing else. Durable events carry `id: <number>`;
//! `snapshot`, `reset`, `ping` and `batch` carry none, so they never move a client's position.

mod feed;
#[cfg(test)]
mod fixtures;
mod follow;
mod frame;
mod query;
mod reading;

pub use feed::Feeds;
pub use query::{EventsQuery, ManyEventsQuery};
pub use reading::Reset;

use super::error::Problem;
use super::extract::{ApiPath, ApiQuery, checked_limit, negotiate};
use super::runs;
use super::state::AppState;
use super::view::PageView;
use crate::domain::{Event, EventKind, Run};
use crate::store::{Scope, StoreError};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use follow::{HEARTBEAT, Reader, follow};
use futures_util::Stream;
use query::Cursor;
use reading::Selection;
use serde::Serialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use utoipa::ToSchema;
use uuid::Uuid;

const EVENT_STREAM: &str = "text/event-stream";
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// Events a dump reads from the table at a time.
const CHUNK: u32 = 256;
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

/// A durable event as a JSON page or dump shows it.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventView {
    /// Within its run, from 1: the cursor of `/runs/{id}/events`.
    pub seq: u64,
    /// In the log of all runs: the cursor of `/events`.
    pub position: u64,
    pub event: EventKind,
    pub at: DateTime<Utc>,
    /// What a stream sends as `data`.
    pub data: Value,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self { seq: event.seq, position: event.position, event: event.kind, at: event.at, data: event.data }
    }
}

/// One page of the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventPageView {
    #[serde(flatten)]
    pub page: PageView<EventView>,
    /// There if the page does not follow the cursor, but begins anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<Reset>,
}

/// Follow a run.
///
/// As `text/event-stream` (the default): the events after the cursor, then live ones until `done`. Without a
/// cursor a `snapshot` of the run comes first, then the whole log from event 1. Only durable events (`status`,
/// `epoch`, `checkpoint`, `alert`, `phase`, `model`, `done`) carry an `id`; reconnecting with `Last-Event-ID` or `?after=` continues
/// behind it, and is answered 204 once nothing will follow any more. A cursor beyond the end, or before what is kept of
/// the log (of a run that ended long ago only `done` is), is answered by a `reset`, which says why and where the log
/// begins again, and a `snapshot`, then the log from there. `batch` events, at most four a second, tell of mini-batches and
/// are not kept. As `application/json` a page of the log, as `application/x-ndjson` all of it; a page says `reset`, and a
/// dump begins with a line `{"event":"reset","data":{…}}`, where a stream would send one.
#[utoipa::path(get, path = "/runs/{id}/events", tag = "runs",
    params(("id" = Uuid, Path, description = "The run"), EventsQuery,
           ("Last-Event-ID" = Option<u64>, Header, description = "Number of the last event seen")),
    responses(
        (status = 200, description = "The log", content(
            (String = "text/event-stream"), (EventPageView = "application/json"),
            (EventView = "application/x-ndjson"))),
        (status = 204, description = "Nothing will ever follow the cursor: stop reconnecting")))]
pub async fn get_run_events(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
    ApiQuery(query): ApiQuery<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(app, Scope::Run(id), query, &headers).await
}

/// Follow many runs on one connection.
///
/// The same as `/runs/{id}/events`, for the runs that are named or for all, in the order in which the events were
/// committed. Here `id` and cursors are places in the log of all runs (`position`), whatever is filtered. The stream of
/// named runs begins with a `snapshot` of each and ends with the last `done`; that of all runs has no snapshots and
/// no end. The log is kept back to an age and a number the server is told; a cursor before that is answered by a
/// `reset` (`reason: pruned`): ask `GET /runs` how things are, the log is whole from event `oldest` on. Events of deleted
/// runs are gone without one.
#[utoipa::path(get, path = "/events", tag = "runs",
    params(ManyEventsQuery, EventsQuery,
           ("Last-Event-ID" = Option<u64>, Header, description = "Number of the last event seen")),
    responses(
        (status = 200, description = "The log", content(
            (String = "text/event-stream"), (EventPageView = "application/json"),
            (EventView = "application/x-ndjson"))),
        (status = 204, description = "The named runs have ended, and nothing follows the cursor: stop reconnecting")))]
pub async fn get_events(
    State(app): State<AppState>,
    ApiQuery(query): ApiQuery<ManyEventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(app, query.run.map_or(Scope::All, Scope::Runs), query.events, &headers).await
}

async fn answer(
    app: AppState,
    scope: Scope,
    query: EventsQuery,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let cursor = Cursor::of(headers, query.after.as_deref())?;
    let selection = Selection { scope, kinds: query.kind };
    match negotiate(headers, &[EVENT_STREAM, JSON, NDJSON])? {
        JSON => page(&app, &selection, cursor, query.limit).await,
        NDJSON => dump(&app, selection, cursor).await,
        _ => stream(&app, selection, cursor).await,
    }
}

/// The named runs, or a 404 that names the one that is not there.
async fn named(app: &AppState, selection: &Selection) -> Result<Vec<Run>, Problem> {
    let mut found = Vec::new();
    for &id in selection.runs() {
        found.push(runs::load(app, id).await?);
    }
    Ok(found)
}

/// The number to read on from.
async fn begin(app: &AppState, selection: &Selection, cursor: Cursor) -> Result<u64, StoreError> {
    match cursor {
        Cursor::Beginning => Ok(0),
        Cursor::After(number) => Ok(number),
        Cursor::Latest => Ok(app.engine.store.log(&selection.scope, None, u64::MAX, 1).await?.latest),
    }
}

async fn page(
    app: &AppState,
    selection: &Selection,
    cursor: Cursor,
    limit: Option<u32>,
) -> Result<Response, Problem> {
    let limit = checked_limit(limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    named(app, selection).await?;
    let after = begin(app, selection, cursor).await?;
    let (reset, events) = selection.page(&app.engine.store, after, limit).await?;
    let number = match selection.scope {
        Scope::Run(_) => |event: &EventView| event.seq.to_string(),
        Scope::Runs(_) | Scope::All => |event: &EventView| event.position.to_string(),
    };
    let views = events.into_iter().map(EventView::from).collect();
    Ok(Json(EventPageView { page: PageView::new(views, limit, number), reset }).into_response())
}

async fn dump(app: &AppState, selection: Selection, cursor: Cursor) -> Result<Response, Problem> {
    named(app, &selection).await?;
    let mut after = begin(app, &selection, cursor).await?;
    let store = app.engine.store.clone();
    let lines = async_stream::try_stream! {
        // a log that grows as fast as it is read would have no end
        let mut until = None;
        loop {
            let read = selection.read(&store, after, CHUNK).await?;
            let mut chunk = Vec::new();
            if let Some(reset) = read.reset {
                line(&mut chunk, &json!({ "event": EventKind::Reset, "data": reset }));
            }
            let until = *until.get_or_insert(read.page.latest);
            after = read.page.end;
            for event in read.page.events.into_iter().filter(|event| selection.wants(event.kind)) {
                line(&mut chunk, &EventView::from(event));
            }
            if !chunk.is_empty() {
                yield chunk;
            }
            if after >= until {
                break;
            }
        }
    };
    let lines: std::pin::Pin<Box<dyn Stream<Item = Result<Vec<u8>, StoreError>> + Send>> = Box::pin(lines);
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response())
}

fn line(chunk: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(&mut *chunk, value).expect("events have string keys only");
    chunk.push(b'\n');
}

async fn stream(app: &AppState, selection: Selection, cursor: Cursor) -> Result<Response, Problem> {
    let mut runs = named(app, &selection).await?;
    let is_over = !runs.is_empty() && runs.iter().all(|run| run.status.is_terminal());
    let after = begin(app, &selection, cursor).await?;
    if is_over && after > 0 {
        let (reset, events) = selection.page(&app.engine.store, after, 1).await?;
        if reset.is_none() && events.is_empty() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    let Ok(permit) = app.streams.clone().try_acquire_owned() else {
        let full = futures_util::stream::iter([Ok(Bytes::from_static(frame::OVERLOADED))]);
        return Ok(event_stream(full));
    };
    let heard = (!is_over).then(|| Feeds::subscribe(app, &selection.scope));
    if heard.is_some() {
        // what happened before the subscription is in the state, what happens after it is heard
        runs = named(app, &selection).await?;
    }
    let greet = !matches!(cursor, Cursor::After(_));
    let reader = Reader { selection, after, runs, greet, heard, permit, every: HEARTBEAT };
    Ok(event_stream(follow(app.clone(), reader)))
}

fn event_stream(frames: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
        // nginx and its kin hold streams back without it
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(frames)).into_response()
}
