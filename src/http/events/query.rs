//! Which events, from where on, and how many.

use super::super::error::{Code, Problem};
use crate::domain::EventKind;
use axum::http::{HeaderMap, HeaderName};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Runs that may be named at once.
pub(super) const MAX_RUNS: usize = 100;
/// What one may ask for: the durable kinds, and the ephemeral one that is not about the stream itself.
fn kinds() -> impl Iterator<Item = EventKind> {
    EventKind::DURABLE.into_iter().chain([EventKind::Batch])
}

/// Of a run's events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(try_from = "Vec<(String, String)>")]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Number of the last event already seen, or `latest` for what happens from now on; `Last-Event-ID` goes before it.
    #[param(value_type = Option<String>, example = "7")]
    pub after: Option<String>,
    /// Kinds of events, separated by commas or repeated; all without it.
    #[param(value_type = Option<String>, example = "epoch,done")]
    pub kind: Option<Vec<EventKind>>,
    /// Events on a JSON page, 100 without it.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
}

/// Of the events of many runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(try_from = "Vec<(String, String)>")]
#[into_params(parameter_in = Query)]
pub struct ManyEventsQuery {
    /// Runs, separated by commas or repeated, at most 100; all runs without it.
    #[param(value_type = Option<Vec<Uuid>>, style = Form, explode)]
    pub run: Option<Vec<Uuid>>,
    #[param(ignore)]
    pub events: EventsQuery,
}

impl TryFrom<Vec<(String, String)>> for EventsQuery {
    type Error = String;

    fn try_from(pairs: Vec<(String, String)>) -> Result<Self, String> {
        let mut query = Self { after: None, kind: None, limit: None };
        for (name, value) in &pairs {
            query.read(name, value)?;
        }
        Ok(query)
    }
}

impl TryFrom<Vec<(String, String)>> for ManyEventsQuery {
    type Error = String;

    fn try_from(pairs: Vec<(String, String)>) -> Result<Self, String> {
        let (named, others): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(name, _)| name == "run");
        let mut runs = Vec::new();
        for text in named.iter().flat_map(|(_, value)| value.split(',')) {
            runs.push(Uuid::parse_str(text.trim()).map_err(|_| format!("run: `{text}` is no run's id"))?);
        }
        runs.sort_unstable();
        runs.dedup();
        if runs.len() > MAX_RUNS {
            return Err(format!(
                "run: at most {MAX_RUNS} runs may be named; follow all and choose among them"
            ));
        }
        Ok(Self { run: Some(runs).filter(|runs| !runs.is_empty()), events: others.try_into()? })
    }
}

impl EventsQuery {
    fn read(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "after" if self.after.is_none() => self.after = Some(value.to_owned()),
            "limit" if self.limit.is_none() => {
                self.limit = Some(value.parse().map_err(|error| format!("limit: {error}"))?);
            }
            "after" | "limit" => return Err(format!("duplicate field `{name}`")),
            "kind" => {
                for text in value.split(',') {
                    let kind = parse_kind(text.trim())?;
                    let kinds = self.kind.get_or_insert_default();
                    if !kinds.contains(&kind) {
                        kinds.push(kind);
                    }
                }
            }
            _ => return Err(format!("unknown field `{name}`; there are `after`, `kind` and `limit`")),
        }
        Ok(())
    }
}

fn parse_kind(text: &str) -> Result<EventKind, String> {
    kinds().find(|kind| kind.name() == text).ok_or_else(|| {
        let known: Vec<_> = kinds().map(EventKind::name).collect();
        format!("kind: `{text}` is not a kind to choose; they are {}", known.join(", "))
    })
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cursor {
    Beginning,
    /// Behind the event of this number.
    After(u64),
    /// Behind everything there is.
    Latest,
}

impl Cursor {
    /// The last event seen: the header if it is there, the query otherwise.
    pub(super) fn of(headers: &HeaderMap, after: Option<&str>) -> Result<Self, Problem> {
        let header = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?"));
        // an EventSource that has seen nothing may send the header empty
        let header = header.filter(|text| !text.is_empty());
        let text = match (header, after) {
            (None, None) => return Ok(Self::Beginning),
            (None, Some("latest")) => return Ok(Self::Latest),
            (Some(text), _) | (None, Some(text)) => text,
        };
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(0) if is_number => Ok(Self::Beginning),
            Ok(number) if is_number => Ok(Self::After(number)),
            _ => Err(Problem::new(
                Code::InvalidCursor,
                "the cursor must be the number of an event, as in `Last-Event-ID: 7` or `?after=7`, or `?after=latest`",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn last_event_id(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(LAST_EVENT_ID, HeaderValue::from_static(value))])
    }

    fn read(pairs: &[(&str, &str)]) -> Result<ManyEventsQuery, String> {
        let pairs: Vec<_> = pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        pairs.try_into()
    }

    #[test]
    fn the_header_goes_before_the_query() {
        assert_eq!(Cursor::of(&last_event_id("7"), Some("3")).unwrap(), Cursor::After(7));
        assert_eq!(Cursor::of(&last_event_id("7"), Some("latest")).unwrap(), Cursor::After(7));
        assert_eq!(Cursor::of(&last_event_id(""), Some("3")).unwrap(), Cursor::After(3));
        assert_eq!(Cursor::of(&HeaderMap::new(), Some("latest")).unwrap(), Cursor::Latest);
        assert_eq!(Cursor::of(&HeaderMap::new(), Some("0")).unwrap(), Cursor::Beginning);
        assert_eq!(Cursor::of(&HeaderMap::new(), None).unwrap(), Cursor::Beginning);
    }

    #[test]
    fn what_is_no_event_number_is_a_bad_cursor() {
        for text in ["-1", "+1", "1.5", "one", " 1", "99999999999999999999", "", "Latest"] {
            let problem = Cursor::of(&HeaderMap::new(), Some(text)).unwrap_err();
            assert_eq!(problem.code, Code::InvalidCursor, "{text}");
        }
        assert!(
            Cursor::of(&last_event_id("latest"), None).is_err(),
            "nobody has seen an event of that number"
        );
    }

    #[test]
    fn runs_and_kinds_are_repeated_or_separated_by_commas() {
        let (a, b) = (Uuid::now_v7(), Uuid::now_v7());
        let both = format!("{b},{a}");
        let one = a.to_string();
        for pairs in [vec![("run", both.as_str())], vec![("run", both.as_str()), ("run", one.as_str())]] {
            assert_eq!(read(&pairs).unwrap().run.unwrap(), [a, b]);
        }
        let kinds = read(&[("kind", "epoch, done"), ("kind", "epoch")]).unwrap().events.kind.unwrap();
        assert_eq!(kinds, [EventKind::Epoch, EventKind::Done]);
        assert!(read(&[]).unwrap().run.is_none());
    }

    #[test]
    fn what_cannot_be_asked_is_named() {
        for (pair, named) in [
            (("run", "x"), "run: "),
            (("run", ""), "run: "),
            (("kind", "ping"), "kind: "),
            (("kind", ""), "kind: "),
            (("limit", "x"), "limit: "),
            (("from", "3"), "unknown field `from`"),
        ] {
            let error = read(&[pair]).unwrap_err();
            assert!(error.starts_with(named), "{error}");
        }
        assert!(read(&[("after", "1"), ("after", "2")]).unwrap_err().contains("duplicate"));
        let many: Vec<String> = (0..=MAX_RUNS).map(|_| Uuid::now_v7().to_string()).collect();
        assert!(read(&[("run", &many.join(","))]).unwrap_err().contains("at most 100"));
    }
}
