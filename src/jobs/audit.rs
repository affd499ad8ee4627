//! A run of kind `audit`: a version, rows it ought not to know; a report, and nothing else changed.

use super::executor::{Failure, Workshop};
use super::forget::{invalid, lookalikes, settle};
use super::journal::Journal;
use super::lineage::Lineage;
use super::unlearn::{Watch, go, level, whole_class};
use super::{report, train};
use crate::artifacts::ArtifactError;
use crate::data::{Dataset, resolve_forget_set};
use crate::domain::{Audit, ForgetSet, ModelRef, Run, Version, VersionRef, Work};
use crate::nn::Mlp;
use crate::store::StoreError;
use crate::unlearn::{self, Method, Task, Unlearned};
use serde_json::{Value, json};
use std::time::Instant;

pub(super) fn execute(
    workshop: &Workshop,
    run: &Run,
    order: &Audit,
    journal: &mut Journal<'_>,
) -> Result<Value, Failure> {
    let (version, lineage) = find(order, journal)?;
    let weights = workshop.artifacts.models.get(version.id, &version.digest)?;
    let dataset = train::open(workshop, &run.dataset, journal)?;
    let asked = Asked::of(order, &version, &lineage, &dataset, journal)?;
    let original = original(workshop, &version, journal)?;
    let lookalikes = lookalikes(&dataset, &lineage.recipe, &asked.rows);
    let known = workshop.known.of(original.as_ref().map_or(version.id, |(parent, _)| parent.id));
    let task = Task {
        parent: original.as_ref().map_or(&weights.mlp, |(_, mlp)| mlp),
        known: Some(&known),
        recipe: &lineage.recipe,
        train: dataset.train(),
        test: dataset.test(),
        excluded: &asked.excluded,
        parent_is_exact: lineage.is_exact(),
        forget: &asked.rows,
        lookalikes: lookalikes.as_ref().map(|made| dataset.samples(made)),
        class: whole_class(&dataset, &asked.trained, &asked.rows),
        seed: run.seed,
    };
    let outcome = Unlearned::from(weights.mlp.clone());

    let mut watch = Watch::aside(journal);
    watch.journal.expect_nothing();
    let started = Instant::now();
    let measured = unlearn::verify(&task, asked.method.as_ref(), &outcome, level(order.verify), &mut watch)?;
    watch.retrain.stop();
    let verify_s = started.elapsed().saturating_sub(watch.retrain.total).as_secs_f64();
    let retrain_s = watch.retrain.of_one_s(watch.threads);
    go(watch.journal.halted())?;

    let mut told = json!(measured);
    let before = original.as_ref().map_or(&order.version, |(version, _)| version);
    if version.parent.is_some()
        && original.is_none()
        && let Some(shortcomings) = told["shortcomings"].as_array_mut()
    {
        let without =
            "the version it was made from is gone: `before` is measured on the audited version itself";
        shortcomings.push(json!(without));
    }
    let about = json!({
        "run": run.id,
        "model": order.version,
        "parent": order.version,
        "before": before,
        "forget": report::forget(&asked.set, asked.rows.len(), &report::rows_digest(&asked.rows)),
        "method": asked.method.as_ref().map(Method::name),
        "hyperparameters": asked.method.as_ref().map(Method::hyperparameters),
        "verify": order.verify,
        "claim": asked.method.as_ref().map(Method::claim),
        "guard": null,
        "promote": null,
        "revoke_parent": null,
        "seconds": { "unlearn": null, "verify": verify_s, "retrain": retrain_s },
    });
    if let (Value::Object(told), Value::Object(about)) = (&mut told, about) {
        told.extend(about);
    }
    Ok(told)
}

/// The audited version, if it may still be used, and how it came to be.
fn find(order: &Audit, journal: &Journal<'_>) -> Result<(Version, Lineage), Failure> {
    let store = journal.store();
    let version = journal.wait(store.version(&ModelRef::Id(order.version.id), false));
    let version = version.map_err(|error| match error {
        StoreError::NotFound => {
            Failure::failed("version_not_found", &format_args!("there is no version {}", order.version.id))
        }
        StoreError::Revoked { version } => Failure::failed(
            "version_revoked",
            &format_args!(
                "version {} of `{}` is revoked and its weights are gone",
                version.number, version.model
            ),
        ),
        other => Failure::Store(other),
    })?;
    let lineage = journal.wait(Lineage::of(store, &version))?;
    Ok((version, lineage))
}

/// What the version ought not to know.
struct Asked {
    set: ForgetSet,
    /// Sorted.
    rows: Vec<u32>,
    /// Rows no network to compare with is trained on either, besides `rows`. Sorted.
    excluded: Vec<u32>,
    /// Rows among which `set` is understood. Sorted.
    trained: Vec<u32>,
    /// How the version was made to forget just these rows; `None` if it was not.
    method: Option<Method>,
}

impl Asked {
    fn of(
        order: &Audit,
        version: &Version,
        lineage: &Lineage,
        dataset: &Dataset,
        journal: &mut Journal<'_>,
    ) -> Result<Self, Failure> {
        let last = version.origin.made().map(|made| &made.work);
        match (&order.forget, last) {
            (Some(set), _) => {
                let rows = lineage.rows(dataset)?;
                let as_work = |forget| Work::Audit(Audit { forget: Some(forget), ..order.clone() });
                let set = settle(set, dataset, lineage, &rows, journal, as_work)?;
                // whether it has forgotten them or not
                let trained = lineage.trained_at_first(dataset);
                let forget = resolve_forget_set(&set, dataset, &trained).map_err(|error| invalid(&error))?;
                Ok(Self { excluded: rows.excluded_beside(&forget), set, rows: forget, trained, method: None })
            }
            (None, Some(Work::Unlearn(last))) => {
                let rows = lineage.before_last().rows(dataset)?;
                let forget = resolve_forget_set(&last.forget, dataset, &rows.trained)
                    .map_err(|error| invalid(&error))?;
                Ok(Self {
                    set: last.forget.clone(),
                    excluded: rows.excluded_beside(&forget),
                    rows: forget,
                    trained: rows.trained,
                    method: Some(last.method.clone()),
                })
            }
            (None, Some(Work::Train(_) | Work::Diagnose(_) | Work::Audit(_)) | None) => Err(Failure::failed(
                "forget_set_invalid",
                &"the version was never made to forget anything; say which rows it ought not to know",
            )),
        }
    }
}

/// The version the audited one was made from, if its weights still exist.
fn original(
    workshop: &Workshop,
    version: &Version,
    journal: &Journal<'_>,
) -> Result<Option<(VersionRef, Mlp)>, Failure> {
    let Some(parent) = version.parent else { return Ok(None) };
    let parent = match journal.wait(journal.store().version(&ModelRef::Id(parent), false)) {
        Ok(parent) => parent,
        Err(StoreError::NotFound | StoreError::Revoked { .. }) => return Ok(None),
        Err(other) => return Err(Failure::Store(other)),
    };
    match workshop.artifacts.models.get(parent.id, &parent.digest) {
        Ok(model) => Ok(Some((parent.to_ref(), model.mlp))),
        // revoked since
        Err(ArtifactError::Missing { .. }) => Ok(None),
        Err(other) => Err(other.into()),
    }
}
