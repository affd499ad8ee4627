//! What training and unlearning orders have in common: dataset, tags, deadline, waiting, the answer.

use super::error::{Code, Problem};
use super::number::{Checker, Number, Whole};
use super::state::AppState;
use crate::data::{Catalogue, DataError, Dataset, Entry};
use crate::domain::{DatasetRef, EventKind, ModelName, Run};
use crate::jobs::Notice;
use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// A week: longer than any run this program is for.
const DEADLINE: Whole = Whole { min: 1, max: 604_800 };
const MAX_TAGS: usize = 16;
const MAX_TAG_NAME: usize = 64;
const MAX_TAG_VALUE: usize = 512;
/// `Prefer: wait=N` holds a request this long at most.
pub const MAX_WAIT_S: u64 = 60;

/// Runs blocking dataset work off the async threads.
pub async fn with_catalogue<T: Send + 'static>(
    app: &AppState,
    work: impl FnOnce(&Catalogue) -> T + Send + 'static,
) -> Result<T, Problem> {
    let catalogue = app.engine.catalogue.clone();
    tokio::task::spawn_blocking(move || work(&catalogue)).await.map_err(Problem::internal)
}

/// A dataset as a request found it.
#[derive(Debug)]
pub struct Found {
    /// Its sizes, known even before it is downloaded.
    pub entry: Entry,
    pub reference: DatasetRef,
    /// Absent while it has to be downloaded.
    pub dataset: Option<Arc<Dataset>>,
}

/// Looks a dataset up; opens it if no download is needed.
pub async fn find_dataset(app: &AppState, name: &str) -> Result<Found, Problem> {
    let name = name.to_owned();
    let found = with_catalogue(app, move |catalogue| -> Result<Found, DataError> {
        let entry = catalogue.describe(&name)?;
        let dataset = catalogue.open_local(&name)?;
        let reference = match &dataset {
            Some(dataset) => dataset.to_ref(),
            None => catalogue.pinned_ref(&name).ok_or(DataError::Unknown(name))?,
        };
        Ok(Found { entry, reference, dataset })
    });
    Ok(found.await??)
}

/// Opens a dataset whose rows are to be looked at.
///
/// # Errors
///
/// Also when it would have to be downloaded first: looking downloads nothing.
pub async fn open_dataset(app: &AppState, name: &str) -> Result<Arc<Dataset>, Problem> {
    find_dataset(app, name).await?.dataset.ok_or_else(|| {
        let detail = format!("dataset `{name}` has to be downloaded first; starting a run on it does that");
        Problem::new(Code::DatasetNotLocal, detail)
    })
}

/// Checks `model`, a name of its own choice.
pub fn check_model(model: &str, checker: &mut Checker) {
    if let Err(detail) = model.parse::<ModelName>() {
        checker.fail("/model", detail);
    }
}

/// Checks `deadline_s`.
pub fn check_deadline(deadline_s: Option<Number>, checker: &mut Checker) -> Option<u64> {
    deadline_s.map(|number| checker.whole("/deadline_s", Some(number), DEADLINE, DEADLINE.max))
}

/// Checks the number and length of tags.
pub fn check_tags(tags: BTreeMap<String, String>, checker: &mut Checker) -> BTreeMap<String, String> {
    if tags.len() > MAX_TAGS {
        checker.fail("/tags", format!("must have at most {MAX_TAGS} entries"));
    }
    for (name, value) in tags.iter().take(MAX_TAGS) {
        if name.is_empty() || name.chars().count() > MAX_TAG_NAME || value.chars().count() > MAX_TAG_VALUE {
            let detail = format!(
                "names must have 1 to {MAX_TAG_NAME} characters, values at most {MAX_TAG_VALUE}; shorten `{}`",
                name.chars().take(MAX_TAG_NAME).collect::<String>()
            );
            checker.fail("/tags", detail);
        }
    }
    tags
}

/// Seconds of `Prefer: wait=N`; other preferences are ignored, as RFC 7240 wants.
pub fn preferred_wait(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    for value in headers.get_all("prefer") {
        let Ok(value) = value.to_str() else { continue };
        for preference in value.split([',', ';']).map(str::trim) {
            let Some((name, seconds)) = preference.split_once('=') else { continue };
            if !name.trim().eq_ignore_ascii_case("wait") {
                continue;
            }
            let seconds = seconds.trim().trim_matches('"').parse::<u64>().ok();
            let seconds = seconds.filter(|&seconds| seconds <= MAX_WAIT_S).ok_or_else(|| {
                Problem::new(
                    Code::InvalidHeader,
                    format!("`Prefer: wait=N` takes whole seconds from 0 to {MAX_WAIT_S}"),
                )
            })?;
            return Ok((seconds > 0).then(|| Duration::from_secs(seconds)));
        }
    }
    Ok(None)
}

/// Submits the run, waits for it if asked to, and answers 202, or 201 when it ended in time.
pub async fn submit(app: &AppState, run: Run, wait: Option<Duration>) -> Result<Response, Problem> {
    // before the run exists, so that its end cannot be missed
    let notices = app.engine.subscribe(run.id);
    let run = app.engine.submit(run).await?;
    answer(app, run, notices, wait).await
}

/// Answers a submission; `notices` were subscribed to before it.
pub async fn answer(
    app: &AppState,
    mut run: Run,
    mut notices: Receiver<Notice>,
    wait: Option<Duration>,
) -> Result<Response, Problem> {
    let id = run.id;
    if let Some(wait) = wait {
        let ended = async {
            loop {
                match notices.recv().await {
                    Ok(Notice::Durable(event)) if event.kind == EventKind::Done => break,
                    Ok(_) => {}
                    // the table knows; ask it below
                    Err(RecvError::Lagged(_) | RecvError::Closed) => match app.engine.store.run(id).await {
                        Ok(run) if !run.status.is_terminal() => notices = app.engine.subscribe(id),
                        _ => break,
                    },
                }
            }
        };
        tokio::select! {
            () = ended => {}
            () = tokio::time::sleep(wait) => {}
            () = app.shutdown.cancelled() => {}
        }
        run = app.engine.store.run(id).await?;
    }
    let mut response = present(app, &run);
    if let Some(wait) = wait {
        let applied = ascii(&format!("wait={}", wait.as_secs()));
        response.headers_mut().insert("preference-applied", applied);
    }
    Ok(response)
}

/// A run as whoever ordered it is told of it.
pub fn present(app: &AppState, run: &Run) -> Response {
    let status = if run.status.is_terminal() { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    let mut response = (status, Json(app.present(run))).into_response();
    response.headers_mut().insert(header::LOCATION, ascii(&format!("/runs/{}", run.id)));
    response.headers_mut().insert(header::ETAG, etag(run));
    response
}

/// A run changes exactly when its log grows.
pub fn etag(run: &Run) -> HeaderValue {
    ascii(&format!("\"{}\"", run.last_seq))
}

/// A header value made of ids and numbers.
pub fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("ids and numbers are visible ASCII")
}

/// A prediction as it is stored. One that does not fit was refused.
pub const fn accepted_bytes(predicted: u128) -> u64 {
    const MOST: u64 = i64::MAX as u64;
    if predicted > MOST as u128 { MOST } else { predicted as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefer(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([("prefer".parse().unwrap(), HeaderValue::from_static(value))])
    }

    #[test]
    fn a_preferred_wait_is_read_among_other_preferences() {
        for (value, seconds) in [
            ("wait=5", Some(5)),
            ("respond-async, wait=60", Some(60)),
            ("respond-async", None),
            ("wait=0", None),
        ] {
            let wait = preferred_wait(&prefer(value)).unwrap();
            assert_eq!(wait.map(|wait| wait.as_secs()), seconds, "{value}");
        }
    }

    #[test]
    fn an_impossible_wait_is_refused() {
        for value in ["wait=61", "wait=-1", "wait=soon", "wait=1e2"] {
            assert_eq!(preferred_wait(&prefer(value)).unwrap_err().code, Code::InvalidHeader, "{value}");
        }
    }

    #[test]
    fn tags_are_bounded() {
        let mut checker = Checker::default();
        let many = (0..17).map(|i| (i.to_string(), String::new())).collect();
        check_tags(many, &mut checker);
        check_tags(BTreeMap::from([("é".repeat(65), String::new())]), &mut checker);
        assert_eq!(checker.finish(()).unwrap_err().errors.len(), 2);
    }
}
