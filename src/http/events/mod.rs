//! `GET /runs/{id}/events`: one log, as a live stream, a page or a dump.
//!
//! The table is the truth. A stream subscribes first, then replays the table, then follows what it hears,
//! dropping what it has sent; whenever it misses something it reads the table again. Durable events carry
//! `id: <seq>`; `snapshot`, `reset`, `ping` and `batch` carry none, so they never move a client's position.

use super::error::{Code, Problem};
use super::extract::{ApiPath, ApiQuery, checked_limit, negotiate};
use super::runs;
use super::state::AppState;
use super::view::{PageView, RunView};
use crate::domain::{Event, EventKind, Run};
use crate::jobs::Notice;
use crate::store::StoreError;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event as Frame, Sse};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

const EVENT_STREAM: &str = "text/event-stream";
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What a client waits before it reconnects.
const RETRY: Duration = Duration::from_millis(2_000);
/// The same when there are too many streams. Any status but 200 would make an `EventSource` give up.
const RETRY_OVERLOADED: Duration = Duration::from_millis(30_000);
/// Well below the idle limits of proxies (60 s and less). Every second beat is also a `ping` event, which
/// page code can see.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events read from the table at a time.
const CHUNK: u32 = 256;
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

/// Where in the log to begin, and how much of it a JSON page holds.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Number of the last event already seen; `Last-Event-ID` goes before it.
    #[param(value_type = Option<u64>)]
    after: Option<String>,
    /// Events on a JSON page, 100 without it.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// A durable event as a JSON page or dump shows it.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventView {
    pub seq: u64,
    pub event: EventKind,
    pub at: DateTime<Utc>,
    /// What a stream sends as `data`.
    pub data: Value,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self { seq: event.seq, event: event.kind, at: event.at, data: event.data }
    }
}

/// Follow a run.
///
/// As `text/event-stream` (the default): the events after the cursor, then live ones until `done`. Without a
/// cursor a `snapshot` of the run comes first, then the whole log from event 1. Only durable events (`status`,
/// `epoch`, `checkpoint`, `phase`, `model`, `done`) carry an `id`; reconnecting with `Last-Event-ID` or `?after=` continues
/// behind it, and is answered 204 once `done` was seen. A cursor beyond the end is answered by a `reset` and a
/// `snapshot`, then the log from event 1. As `application/json` a page of the log, as
/// `application/x-ndjson` all of it.
#[utoipa::path(get, path = "/runs/{id}/events", tag = "runs",
    params(("id" = Uuid, Path, description = "The run"), EventsQuery,
           ("Last-Event-ID" = Option<u64>, Header, description = "Number of the last event seen")),
    responses(
        (status = 200, description = "The log", content(
            (String = "text/event-stream"), (PageView<EventView> = "application/json"),
            (EventView = "application/x-ndjson"))),
        (status = 204, description = "Nothing will ever follow the cursor: stop reconnecting")))]
pub async fn get_run_events(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
    ApiQuery(query): ApiQuery<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let cursor = cursor(&headers, query.after.as_deref())?;
    match negotiate(&headers, &[EVENT_STREAM, JSON, NDJSON])? {
        JSON => page(&app, id, cursor, query.limit).await,
        NDJSON => dump(&app, id, cursor).await,
        _ => stream(&app, id, cursor).await,
    }
}

/// The last event seen: the header if it is there, the query otherwise.
fn cursor(headers: &HeaderMap, after: Option<&str>) -> Result<Option<u64>, Problem> {
    let header = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?"));
    // an EventSource that has seen nothing may send the header empty
    let Some(text) = header.filter(|text| !text.is_empty()).or(after) else { return Ok(None) };
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).map(Some).ok_or_else(|| {
        Problem::new(
            Code::InvalidCursor,
            "the cursor must be the number of an event, as in `Last-Event-ID: 7` or `?after=7`",
        )
    })
}

async fn page(
    app: &AppState,
    id: Uuid,
    cursor: Option<u64>,
    limit: Option<u32>,
) -> Result<Response, Problem> {
    let limit = checked_limit(limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    runs::load(app, id).await?;
    let events = app.engine.store.events(id, cursor.unwrap_or(0), limit + 1).await?;
    let views = events.into_iter().map(EventView::from).collect();
    Ok(Json(PageView::new(views, limit, |event: &EventView| event.seq.to_string())).into_response())
}

async fn dump(app: &AppState, id: Uuid, cursor: Option<u64>) -> Result<Response, Problem> {
    runs::load(app, id).await?;
    let (store, mut after) = (app.engine.store.clone(), cursor.unwrap_or(0));
    let lines = async_stream::try_stream! {
        loop {
            let events = store.events(id, after, CHUNK).await?;
            let Some(last) = events.last() else { break };
            after = last.seq;
            let mut chunk = Vec::new();
            for event in events {
                serde_json::to_writer(&mut chunk, &EventView::from(event)).expect("events have string keys only");
                chunk.push(b'\n');
            }
            yield chunk;
        }
    };
    let lines: std::pin::Pin<Box<dyn Stream<Item = Result<Vec<u8>, StoreError>> + Send>> = Box::pin(lines);
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response())
}

async fn stream(app: &AppState, id: Uuid, cursor: Option<u64>) -> Result<Response, Problem> {
    // before the run is read: what happens after that reading is heard
    let notices = app.engine.subscribe(id);
    let run = runs::load(app, id).await?;
    if run.status.is_terminal() && cursor == Some(run.last_seq) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let Ok(permit) = app.streams.clone().try_acquire_owned() else {
        let full = async_stream::stream! {
            yield Ok::<_, Infallible>(Frame::default().retry(RETRY_OVERLOADED).comment("too many streams; come back"));
        };
        return Ok(event_stream(full));
    };
    Ok(event_stream(follow(app.clone(), run, cursor, notices, permit, HEARTBEAT)))
}

fn event_stream(frames: impl Stream<Item = Result<Frame, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(frames).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // nginx and its kin hold streams back without it
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The frames of one stream, until `done`, the end of the server, or an error of the store (the client
/// reconnects then, and continues where it was).
fn follow(
    app: AppState,
    run: Run,
    cursor: Option<u64>,
    mut notices: Receiver<Notice>,
    permit: OwnedSemaphorePermit,
    every: Duration,
) -> impl Stream<Item = Result<Frame, Infallible>> {
    async_stream::stream! {
        let _permit = permit;
        yield Ok(Frame::default().retry(RETRY).comment("ok"));

        let mut last = cursor.unwrap_or(0);
        if last > run.last_seq {
            yield Ok(reset(last, run.last_seq));
            last = 0;
        }
        if last == 0 {
            yield Ok(snapshot(&app.present(&run)));
        }

        let mut heartbeat = interval_at(Instant::now() + every, every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut n_beats = 0_u64;
        loop {
            // replay: everything the table has that was not sent
            loop {
                let events = match app.engine.store.events(run.id, last, CHUNK).await {
                    Ok(events) => events,
                    Err(error) => {
                        tracing::error!(run = %run.id, %error, "a stream ends because the log cannot be read");
                        return;
                    }
                };
                if events.is_empty() {
                    break;
                }
                for event in events {
                    last = event.seq;
                    yield Ok(durable(&event));
                    if event.kind == EventKind::Done {
                        return;
                    }
                }
                if app.shutdown.is_cancelled() {
                    return;
                }
            }
            if run.status.is_terminal() {
                return;
            }
            // follow: what is heard, as long as nothing is missed
            loop {
                tokio::select! {
                    biased;
                    // without this arm an open stream would keep the server from ending
                    () = app.shutdown.cancelled() => return,
                    notice = notices.recv() => match notice {
                        Ok(Notice::Durable(event)) if event.seq <= last => {}
                        Ok(Notice::Durable(event)) if event.seq == last + 1 => {
                            last = event.seq;
                            yield Ok(durable(&event));
                            if event.kind == EventKind::Done {
                                return;
                            }
                        }
                        Ok(Notice::Durable(_)) | Err(RecvError::Lagged(_)) => break,
                        Ok(Notice::Ephemeral { kind, data }) => yield Ok(ephemeral(kind, &data)),
                        Err(RecvError::Closed) => {
                            // a run that ended and was deleted while this reader lagged has nothing more to say
                            if runs::load(&app, run.id).await.is_err() {
                                return;
                            }
                            notices = app.engine.subscribe(run.id);
                            tokio::time::sleep(Duration::from_millis(100)).await;
                            break;
                        }
                    },
                    _ = heartbeat.tick() => {
                        n_beats += 1;
                        yield Ok(Frame::default().comment("hb"));
                        if n_beats.is_multiple_of(2) {
                            yield Ok(ephemeral(EventKind::Ping, &json!({ "t": Utc::now() })));
                        }
                    }
                }
            }
        }
    }
}

fn durable(event: &Event) -> Frame {
    frame(event.kind, &event.data).id(event.seq.to_string())
}

fn ephemeral(kind: EventKind, data: &Value) -> Frame {
    frame(kind, data)
}

fn frame(kind: EventKind, data: &Value) -> Frame {
    Frame::default().event(kind.name()).json_data(data).expect("a JSON value can be written")
}

/// The run as `GET /runs/{id}` shows it.
fn snapshot(view: &RunView) -> Frame {
    let view = serde_json::to_value(view).expect("a view has string keys only");
    ephemeral(EventKind::Snapshot, &view)
}

/// Forget what you have: the log follows from its first event.
fn reset(cursor: u64, latest: u64) -> Frame {
    let data = json!({ "reason": "cursor_beyond_end", "cursor": cursor, "oldest": 1, "latest": latest });
    ephemeral(EventKind::Reset, &data)
}

#[cfg(test)]
mod tests;
