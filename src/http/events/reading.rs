//! What a reader wants of the log, and what it is told when that is not there any more.

use crate::domain::{Event, EventKind};
use crate::store::{LogPage, Scope, Store, StoreError};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Whose events, and which.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    pub scope: Scope,
    /// All without it.
    pub kinds: Option<Vec<EventKind>>,
}

impl Selection {
    /// The runs that are named; of all runs none are.
    pub(super) fn runs(&self) -> &[Uuid] {
        match &self.scope {
            Scope::Run(run) => std::slice::from_ref(run),
            Scope::Runs(runs) => runs,
            Scope::All => &[],
        }
    }

    pub(super) fn covers(&self, run: Uuid) -> bool {
        match &self.scope {
            Scope::Run(only) => *only == run,
            Scope::Runs(runs) => runs.contains(&run),
            Scope::All => true,
        }
    }

    pub(super) fn wants(&self, kind: EventKind) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    }

    /// Events of the log behind `after`, and whether the reader must begin anew.
    ///
    /// # Errors
    ///
    /// `NotFound` if the run of a [`Scope::Run`] is gone.
    pub(super) async fn read(&self, store: &Store, after: u64, limit: u32) -> Result<Read, StoreError> {
        // a named run ends with `done`, which ends a stream even if nobody asked to be told
        let mut kinds = self.kinds.clone();
        if let Some(kinds) = kinds.as_mut().filter(|kinds| !kinds.contains(&EventKind::Done)) {
            kinds.push(EventKind::Done);
        }
        self.read_kinds(store, kinds.as_deref(), after, limit).await
    }

    /// The events of a page: the wanted ones alone, and one more than `limit` if there is another page.
    pub(super) async fn page(
        &self,
        store: &Store,
        after: u64,
        limit: u32,
    ) -> Result<(Option<Reset>, Vec<Event>), StoreError> {
        let read = self.read_kinds(store, self.kinds.as_deref(), after, limit + 1).await?;
        Ok((read.reset, read.page.events))
    }

    async fn read_kinds(
        &self,
        store: &Store,
        kinds: Option<&[EventKind]>,
        after: u64,
        limit: u32,
    ) -> Result<Read, StoreError> {
        let mut page = store.log(&self.scope, kinds, after, limit).await?;
        let reason = if after > page.latest {
            page = store.log(&self.scope, kinds, page.floor, limit).await?;
            Some(ResetReason::CursorBeyondEnd)
        } else {
            (after < page.floor).then_some(ResetReason::Pruned)
        };
        let reset =
            reason.map(|reason| Reset { reason, cursor: after, oldest: page.floor + 1, latest: page.latest });
        Ok(Read { reset, page })
    }
}

/// A part of the log as a reader gets it.
#[derive(Debug)]
pub(super) struct Read {
    pub reset: Option<Reset>,
    /// With every `done`, wanted or not.
    pub page: LogPage,
}

impl Read {
    /// Whether there is nothing behind it.
    pub(super) fn is_last(&self) -> bool {
        self.page.end >= self.page.latest
    }
}

/// Forget what you have: it is not the beginning of what follows. Ask the runs for their state (`snapshot` shows that
/// of runs that were named); the log goes on from event `oldest`, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reset {
    pub reason: ResetReason,
    /// The cursor that was given.
    pub cursor: u64,
    /// Number from which on the log is whole.
    pub oldest: u64,
    /// Number of its newest event.
    pub latest: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// Events behind the cursor are not kept any more.
    Pruned,
    /// There has never been an event of that number: the cursor is of another log.
    CursorBeyondEnd,
}
