//! How a run ends well: its version, report, alias and revocation appear together with its ending, or none does.
//! A run that only reports has no version.

use super::change::apply;
use super::version::{self, NewVersion};
use super::{Fence, NewEvent, RunChange, Store, StoreError, alias, run};
use crate::domain::{Event, EventKind, Made, ModelName, Origin, Run, Status, Version};
use serde_json::{Value, json};
use sqlx::SqliteConnection;
use uuid::Uuid;

const SET_REPORT: &str = "update run set report = $2 where run_id = $1";

/// What a finished run brings. The weights are already on disk under `version`.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// The new version's id.
    pub version: Uuid,
    pub parent: Option<Uuid>,
    /// `sha256:` of the weights file.
    pub digest: String,
    pub size_bytes: u64,
    /// A JSON object of measures.
    pub metrics: Value,
    /// A JSON object; the store adds `child`, whose number is only known here.
    pub report: Option<Value>,
    /// The alias of the run's model to point at the new version.
    pub promote: Option<ModelName>,
    pub revoke_parent: bool,
    /// A run that is to follow: it is queued in the same moment or not at all.
    pub followed_by: Option<Box<Run>>,
}

/// What a publication wrote.
#[derive(Clone, Debug)]
pub struct Publication {
    pub run: Run,
    pub version: Version,
    /// Of the run and of the one that follows.
    pub events: Vec<Event>,
}

impl Store {
    /// In one transaction: the version, under the model's next number; its alias; the parent's revocation;
    /// the report; and the run's success with the events `model`, `status` and `done`.
    ///
    /// # Errors
    ///
    /// `Revoked` if the parent was revoked meanwhile: its descendant would bring back what someone had
    /// forgotten. `LostClaim` or `WrongState` if the run is not the caller's to end. Nothing is written then.
    pub async fn publish(&self, id: Uuid, fence: Fence, publish: Publish) -> Result<Publication, StoreError> {
        let mut tx = self.begin_registry("publish").await?;
        let mut run = run::load(&mut tx, id).await?;
        fence.check(&run)?;
        if let Some(parent) = publish.parent {
            version::servable(version::load(&mut tx, parent).await?)?;
        }
        let new = NewVersion {
            id: publish.version,
            model: ModelName::try_from(run.model.clone()).map_err(StoreError::Corrupt)?,
            origin: Origin::Run(Box::new(Made {
                run: run.id,
                work: run.work.clone(),
                dataset: run.dataset.clone(),
            })),
            parent: publish.parent,
            digest: publish.digest,
            size_bytes: publish.size_bytes,
            metrics: publish.metrics,
        };
        let version = version::insert(&mut tx, new).await?;
        if let Some(name) = &publish.promote {
            alias::set(&mut tx, &version.model, name, version.id).await?;
        }
        let revoked = version.parent.filter(|_| publish.revoke_parent);
        if let Some(parent) = revoked {
            version::revoke(&mut tx, parent, Some(&version)).await?;
        }
        if let Some(mut report) = publish.report {
            report["child"] = json!(version.to_ref());
            set_report(&mut tx, run.id, &report).await?;
        }
        run.version = Some(version.to_ref());
        let told = NewEvent {
            kind: EventKind::Model,
            data: json!({
                "version": version.to_ref(),
                "parent": version.parent,
                "alias": publish.promote,
                "revoked": revoked,
            }),
        };
        let mut events = apply(&mut tx, &mut run, RunChange::to(Status::Succeeded), vec![told]).await?;
        if let Some(next) = publish.followed_by {
            events.push(run::insert(&mut tx, *next).await?.1);
        }
        tx.commit().await?;
        Ok(Publication { run, version, events })
    }

    /// In one transaction: the report of a run that publishes nothing, and its success with the events `status`
    /// and `done`.
    ///
    /// # Errors
    ///
    /// `LostClaim` or `WrongState` if the run is not the caller's to end. Nothing is written then.
    pub async fn conclude(
        &self,
        id: Uuid,
        fence: Fence,
        report: Value,
    ) -> Result<(Run, Vec<Event>), StoreError> {
        let mut tx = self.begin("conclude").await?;
        let mut run = run::load(&mut tx, id).await?;
        fence.check(&run)?;
        set_report(&mut tx, id, &report).await?;
        let events = apply(&mut tx, &mut run, RunChange::to(Status::Succeeded), vec![]).await?;
        tx.commit().await?;
        Ok((run, events))
    }
}

async fn set_report(connection: &mut SqliteConnection, run: Uuid, report: &Value) -> Result<(), StoreError> {
    sqlx::query(SET_REPORT).bind(run.to_string()).bind(report.to_string()).execute(connection).await?;
    Ok(())
}
