//! The events of one run, of some or of all, in one order and with one kind of cursor; and what is kept of them.

use super::row::{EventRow, big};
use super::{Store, StoreError};
use crate::domain::{Event, EventKind};
use chrono::{DateTime, Utc};
use sqlx::{Sqlite, SqliteConnection};
use uuid::Uuid;

macro_rules! select_event {
    ($tail:literal) => {
        concat!("select run_id, seq, position, kind, data, at_ms from event ", $tail)
    };
}

/// `$4`: kinds between commas.
const OF_RUN: &str = select_event!(
    "where run_id = $1 and seq > $2 and ($4 is null or $4 like '%,' || kind || ',%') order by seq limit $3"
);
const OF_ALL: &str = select_event!(
    "where position > $1 and ($3 is null or $3 like '%,' || kind || ',%') order by position limit $2"
);
const BOUNDS_OF_RUN: &str = "select pruned_seq, last_seq from run where run_id = $1";
const BOUNDS: &str = "select floor, last_position from event_log";
const TAKE_PLACES: &str = "update event_log set last_position = last_position + $1 returning last_position";
const FIRST_SINCE: &str = "select position from event where position > $1 and at_ms >= $2
    order by position limit 1";
const RAISE_FLOOR: &str = "update event_log set floor = $1";
/// Runs whose whole log lies at or below the floor.
const PRUNABLE: &str = "select r.run_id, r.last_seq
    from run r join event e on e.run_id = r.run_id and e.seq = r.last_seq
    where r.finished_ms is not null and r.pruned_seq < r.last_seq - 1 and e.position <= $1
    order by r.finished_ms limit $2";
const PRUNE_EVENTS: &str = "delete from event where run_id = $1 and seq < $2";
const PRUNE_RUN: &str = "update run set pruned_seq = $2 - 1 where run_id = $1";

/// Runs pruned in one transaction: others wait for it.
const PRUNED_AT_ONCE: i64 = 16;

/// Whose events, and so which numbers a cursor counts: those of the run, or places in the log of all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    Run(Uuid),
    /// In the log of all.
    Runs(Vec<Uuid>),
    All,
}

impl Scope {
    /// What a cursor counts.
    pub fn number(&self, event: &Event) -> u64 {
        match self {
            Self::Run(_) => event.seq,
            Self::Runs(_) | Self::All => event.position,
        }
    }
}

/// A part of the log, as it is at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPage {
    pub events: Vec<Event>,
    /// Everything asked for with a number up to this one is on the page, or was before it.
    pub end: u64,
    /// Nothing up to this number is shown any more.
    pub floor: u64,
    /// Number of the newest event, of whatever kind.
    pub latest: u64,
}

/// How much of the log is kept. Runs that have not ended keep all of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Events of all runs together.
    pub events: u64,
    /// Days; without end if `None`.
    pub days: Option<u32>,
}

impl Store {
    /// Events with a number above `after`, in order, at most `limit`, of the given kinds or of all.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such run, where one is meant.
    pub async fn log(
        &self,
        scope: &Scope,
        kinds: Option<&[EventKind]>,
        after: u64,
        limit: u32,
    ) -> Result<LogPage, StoreError> {
        let kinds =
            kinds.map(|kinds| kinds.iter().fold(String::from(","), |list, kind| list + kind.name() + ","));
        // one moment for all that is read
        let mut tx = self.read.begin().await?;
        let (floor, latest) = bounds(&mut tx, scope).await?;
        let after = after.max(floor);
        // a cursor beyond what the column holds is beyond every event
        let first = i64::try_from(after).unwrap_or(i64::MAX);
        let rows: Vec<EventRow> = match scope {
            Scope::Run(run) => {
                let query = sqlx::query_as(OF_RUN).bind(run.to_string()).bind(first).bind(i64::from(limit));
                query.bind(kinds).fetch_all(&mut *tx).await?
            }
            Scope::All => {
                let query = sqlx::query_as(OF_ALL).bind(first).bind(i64::from(limit));
                query.bind(kinds).fetch_all(&mut *tx).await?
            }
            Scope::Runs(runs) => {
                let mut query = sqlx::QueryBuilder::<Sqlite>::new(select_event!("where position > "));
                query.push_bind(first).push(" and run_id in (");
                let mut ids = query.separated(", ");
                for run in runs {
                    ids.push_bind(run.to_string());
                }
                query.push(")");
                if let Some(kinds) = kinds {
                    query.push(" and ").push_bind(kinds).push(" like '%,' || kind || ',%'");
                }
                query.push(" order by position limit ").push_bind(i64::from(limit));
                query.build_query_as().fetch_all(&mut *tx).await?
            }
        };
        tx.commit().await?;
        let events = rows.into_iter().map(Event::try_from).collect::<Result<Vec<_>, _>>()?;
        let end = match events.last() {
            Some(last) if events.len() >= limit as usize => scope.number(last),
            _ => latest.max(after),
        };
        Ok(LogPage { events, end, floor, latest })
    }

    /// Forgets what is beyond `retention`: raises the floor, then cuts down the logs of runs that had ended by
    /// then to their last event, some of them at a time. Returns how many runs' logs were; none: all is done.
    pub async fn prune(&self, retention: Retention, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let mut tx = self.begin("prune").await?;
        let (floor, latest): (i64, i64) = sqlx::query_as(BOUNDS).fetch_one(&mut *tx).await?;
        let mut raised = floor.max(latest.saturating_sub_unsigned(retention.events));
        if let Some(days) = retention.days {
            let since = now - chrono::TimeDelta::days(days.into());
            let query = sqlx::query_scalar(FIRST_SINCE).bind(floor).bind(since.timestamp_millis());
            let first: Option<i64> = query.fetch_optional(&mut *tx).await?;
            raised = raised.max(first.map_or(latest, |first| first - 1));
        }
        if raised > floor {
            sqlx::query(RAISE_FLOOR).bind(raised).execute(&mut *tx).await?;
        }
        let query = sqlx::query_as(PRUNABLE).bind(raised).bind(PRUNED_AT_ONCE);
        let runs: Vec<(String, i64)> = query.fetch_all(&mut *tx).await?;
        for (run, last_seq) in &runs {
            sqlx::query(PRUNE_EVENTS).bind(run).bind(last_seq).execute(&mut *tx).await?;
            sqlx::query(PRUNE_RUN).bind(run).bind(last_seq).execute(&mut *tx).await?;
        }
        if raised > floor || !runs.is_empty() {
            tx.commit().await?;
        }
        Ok(runs.len())
    }
}

/// The floor, and the number of the newest event.
async fn bounds(connection: &mut SqliteConnection, scope: &Scope) -> Result<(u64, u64), StoreError> {
    let bounds: Option<(i64, i64)> = match scope {
        Scope::Run(run) => {
            sqlx::query_as(BOUNDS_OF_RUN).bind(run.to_string()).fetch_optional(connection).await?
        }
        Scope::Runs(_) | Scope::All => sqlx::query_as(BOUNDS).fetch_optional(connection).await?,
    };
    let (floor, latest) = bounds.ok_or(StoreError::NotFound)?;
    let number = |value: i64| {
        u64::try_from(value).map_err(|_| StoreError::Corrupt(format!("event log: {value} is out of range")))
    };
    Ok((number(floor)?, number(latest)?))
}

/// The next `n` places in the log of all; the last of them. Nobody else takes one until the transaction ends, so
/// that places are in the order of the commits.
pub(super) async fn take_places(connection: &mut SqliteConnection, n: usize) -> Result<u64, StoreError> {
    let last: i64 = sqlx::query_scalar(TAKE_PLACES).bind(big(n as u64)).fetch_one(connection).await?;
    u64::try_from(last).map_err(|_| StoreError::Corrupt(format!("event log: {last} is out of range")))
}

#[cfg(test)]
mod tests;
