//! What a run measured: its history as columns, its report, its picture.

use super::error::{Code, Problem};
use super::extract::{ApiPath, ApiQuery, negotiate};
use super::runs;
use super::state::AppState;
use crate::chart::{self, Findings, Series};
use crate::domain::{Event, EventKind, Kind, Run, Work};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Events read from the table at a time.
const CHUNK: u32 = 1_000;

/// How to write the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Json,
    Csv,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MetricsQuery {
    /// Goes before the `Accept` header, so that a plain link can ask for CSV.
    #[param(inline)]
    format: Option<Format>,
    /// Epochs at most: evenly thinned, the last one kept.
    #[param(minimum = 2, maximum = 100000)]
    max_points: Option<u32>,
}

/// A run's history: one list a measure, one entry an epoch.
#[derive(Debug, Serialize, ToSchema)]
pub struct MetricsView {
    pub run: Uuid,
    /// Entries in every column.
    pub n_points: usize,
    /// By measure, as in the `epoch` events; `null` where an epoch did not measure it.
    pub columns: BTreeMap<String, Vec<Option<f64>>>,
}

/// Take a run's history home.
#[utoipa::path(get, path = "/runs/{id}/metrics", tag = "runs",
    params(("id" = Uuid, Path, description = "The run"), MetricsQuery),
    responses((status = 200, description = "One column a measure, one row an epoch",
               content((MetricsView = "application/json"), (String = "text/csv")))))]
pub async fn get_run_metrics(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
    ApiQuery(query): ApiQuery<MetricsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let is_csv = match query.format {
        Some(format) => format == Format::Csv,
        None => negotiate(&headers, &["application/json", "text/csv"])? == "text/csv",
    };
    if let Some(max) = query.max_points.filter(|max| !(2..=100_000).contains(max)) {
        return Err(Problem::parameter(
            "?max_points",
            format!("must lie between 2 and 100000, not be {max}"),
        ));
    }
    runs::load(&app, id).await?;
    let epochs = thin(epoch_events(&app, id).await?, query.max_points);
    let columns = columns(&epochs);
    if is_csv {
        let content_type = HeaderValue::from_static("text/csv; charset=utf-8");
        return Ok(([(header::CONTENT_TYPE, content_type)], csv(&columns, epochs.len())).into_response());
    }
    Ok(Json(MetricsView { run: id, n_points: epochs.len(), columns }).into_response())
}

async fn epoch_events(app: &AppState, run: Uuid) -> Result<Vec<Event>, Problem> {
    events_of(app, run, EventKind::Epoch).await
}

/// Every event of a kind in a run's log.
pub async fn events_of(app: &AppState, run: Uuid, kind: EventKind) -> Result<Vec<Event>, Problem> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let events = app.engine.store.events(run, after, CHUNK).await?;
        let Some(last) = events.last() else { return Ok(found) };
        after = last.seq;
        found.extend(events.into_iter().filter(|event| event.kind == kind));
    }
}

/// At most `max` of `epochs`, evenly spaced, first and last among them.
fn thin<T>(epochs: Vec<T>, max: Option<u32>) -> Vec<T> {
    let (len, max) = (epochs.len(), max.map_or(usize::MAX, |max| max as usize));
    if len <= max {
        return epochs;
    }
    let mut next = 0;
    epochs
        .into_iter()
        .enumerate()
        .filter(|(index, _)| {
            let is_wanted = *index == next * (len - 1) / (max - 1);
            next += usize::from(is_wanted);
            is_wanted
        })
        .map(|(_, epoch)| epoch)
        .collect()
}

/// Every numeric member of the events, as a column.
fn columns(epochs: &[Event]) -> BTreeMap<String, Vec<Option<f64>>> {
    let mut columns: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    for (row, event) in epochs.iter().enumerate() {
        let Some(members) = event.data.as_object() else { continue };
        for (name, value) in members {
            if let Some(number) = value.as_f64() {
                let column = columns.entry(name.clone()).or_default();
                column.resize(row, None);
                column.push(Some(number));
            }
        }
    }
    for column in columns.values_mut() {
        column.resize(epochs.len(), None);
    }
    columns
}

/// RFC 4180, `epoch` first. Names and numbers need no quoting.
fn csv(columns: &BTreeMap<String, Vec<Option<f64>>>, n_rows: usize) -> String {
    let mut names: Vec<&String> = columns.keys().collect();
    names.sort_by_key(|name| (name.as_str() != "epoch", name.as_str()));
    let mut text = names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(",");
    text.push_str("\r\n");
    let ordered: Vec<&[Option<f64>]> = names.iter().map(|name| columns[*name].as_slice()).collect();
    for row in 0..n_rows {
        for (index, column) in ordered.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            if let Some(number) = column[row] {
                write!(text, "{number}").expect("writing to a string never fails");
            }
        }
        text.push_str("\r\n");
    }
    text
}

/// Read what an unlearning run achieved, or what an audit or a diagnosis found.
#[utoipa::path(get, path = "/runs/{id}/report", tag = "runs",
    params(("id" = Uuid, Path, description = "The run")),
    responses((status = 200, description = "Of forgetting: before, after, and beside models that never saw the rows. Of a diagnosis: causes, what is cleared, and every variant's curves",
               body = serde_json::Value)))]
pub async fn get_run_report(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
) -> Result<Json<Value>, Problem> {
    let run = runs::load(&app, id).await?;
    match app.engine.store.report(id).await? {
        Some(report) => Ok(Json(report)),
        None => Err(no_report(&run)),
    }
}

fn no_report(run: &Run) -> Problem {
    let detail = if run.work.kind() == Kind::Train {
        "trainings have no report; their measures are at `/metrics`".to_owned()
    } else if run.status.is_terminal() {
        format!("run `{}` {} before it had a report", run.id, run.status.name())
    } else {
        format!("run `{}` is {}; its report follows when it has succeeded", run.id, run.status.name())
    };
    Problem::new(Code::ReportNotFound, detail).with("run_status", run.status.name())
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChartQuery {
    /// A second run, drawn beside the first.
    compare: Option<Uuid>,
}

/// See a run's accuracy and loss, or what a diagnosis found.
#[utoipa::path(get, path = "/runs/{id}/chart.svg", tag = "runs",
    params(("id" = Uuid, Path, description = "The run"), ChartQuery),
    responses((status = 200, description = "The curves", body = String, content_type = "image/svg+xml")))]
pub async fn get_run_chart(
    State(app): State<AppState>,
    ApiPath(id): ApiPath<Uuid>,
    ApiQuery(query): ApiQuery<ChartQuery>,
) -> Result<Response, Problem> {
    let run = runs::load(&app, id).await?;
    if let (Work::Diagnose(_), None) = (&run.work, query.compare) {
        return diagnosis_chart(&app, &run).await;
    }
    let mut drawn = vec![(run, epoch_events(&app, id).await?)];
    if let Some(other) = query.compare {
        drawn.push((runs::load(&app, other).await?, epoch_events(&app, other).await?));
    }
    let names = names_of(drawn.iter().map(|(run, _)| run));
    let title = names.join(" and ");
    let series: Vec<Series> = (names.into_iter().zip(&drawn))
        .map(|(name, (_, epochs))| Series::from_events(name, epochs.iter().map(|event| &event.data)))
        .collect();
    picture(move || chart::draw(&title, &series)).await
}

/// A diagnosis: its findings, or what it has tried so far.
async fn diagnosis_chart(app: &AppState, run: &Run) -> Result<Response, Problem> {
    let findings = match app.engine.store.report(run.id).await? {
        Some(report) => Findings::from_report(&report),
        None => {
            let events = events_of(app, run.id, EventKind::Phase).await?;
            Findings::from_trials(events.iter().filter_map(|event| event.data.get("trial")))
        }
    };
    let title = name_of(run);
    picture(move || chart::draw_diagnosis(&title, &findings)).await
}

async fn picture(draw: impl FnOnce() -> String + Send + 'static) -> Result<Response, Problem> {
    let svg = tokio::task::spawn_blocking(draw).await.map_err(Problem::internal)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Ok((headers, svg).into_response())
}

/// The runs in a legend: what each does and on what; where that is not enough to tell them apart, the end of
/// their ids too.
fn names_of<'a>(runs: impl Iterator<Item = &'a Run> + Clone) -> Vec<String> {
    let plain: Vec<String> = runs.clone().map(name_of).collect();
    let alike = plain.iter().enumerate().any(|(i, name)| plain[..i].contains(name));
    let with_id = |(name, run): (String, &Run)| {
        let id = run.id.simple().to_string();
        if alike { format!("{name} · {}", &id[id.len() - 6..]) } else { name }
    };
    plain.into_iter().zip(runs).map(with_id).collect()
}

fn name_of(run: &Run) -> String {
    let what = match &run.work {
        Work::Train(train) => train.recipe.mode().name().to_owned(),
        Work::Unlearn(unlearn) => unlearn.method.name().to_owned(),
        Work::Diagnose(diagnose) => {
            format!("a diagnosis of {}", diagnose.recipe.mode().name())
        }
        Work::Audit(_) => "audit".to_owned(),
    };
    format!("{what} on {}", run.dataset.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use serde_json::json;

    fn epoch(data: Value) -> Event {
        Event {
            run: Uuid::nil(),
            seq: 1,
            position: 1,
            kind: EventKind::Epoch,
            data,
            at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn columns_are_as_long_as_the_history_whatever_an_epoch_left_out() {
        let epochs = [
            epoch(json!({ "epoch": 1, "a": 0.5, "run": "text" })),
            epoch(json!({ "epoch": 2, "b": null })),
            epoch(json!({ "epoch": 3, "a": 0.25 })),
        ];
        let columns = columns(&epochs);
        assert_eq!(columns["a"], [Some(0.5), None, Some(0.25)]);
        assert_eq!(columns.keys().collect::<Vec<_>>(), ["a", "epoch"]);
        assert_eq!(csv(&columns, 3), "epoch,a\r\n1,0.5\r\n2,\r\n3,0.25\r\n");
    }

    #[test]
    fn thinning_keeps_the_first_and_the_last() {
        for len in 0..40_usize {
            for max in 2..10_u32 {
                let kept = thin((0..len).collect(), Some(max));
                assert_eq!(kept.len(), len.min(max as usize), "{len} to {max}");
                assert_eq!(kept.first(), (0..len).collect::<Vec<_>>().first());
                assert_eq!(kept.last().copied(), len.checked_sub(1));
            }
        }
    }
}
