//! Audits: what they find, and that nothing else comes of them.

use super::real::{digits, end_of, engine, unlearn};
use super::script::{Bench, Step};
use crate::domain::{
    Audit, EventKind, ForgetSet, ModelRef, MostMemorised, Run, Sample, Status, Unlearn, Verify, VersionRef,
    Work,
};
use crate::jobs::Engine;
use crate::store::fixtures::{FOR_EVER, assert_consistent, audit_run, broken, train_run};
use crate::store::{Fence, StoreError};
use crate::unlearn::Method;
use serde_json::{Value, json};
use uuid::Uuid;

fn retraining(parent: &VersionRef, verify: Verify, revoke_parent: bool) -> Unlearn {
    Unlearn {
        parent: parent.clone(),
        forget: ForgetSet::Class(3),
        method: Method::RETRAIN,
        verify,
        promote: None,
        revoke_parent,
    }
}

async fn audit(engine: &Engine, version: &VersionRef, forget: Option<ForgetSet>, verify: Verify) -> Run {
    let audited = engine.store.version(&ModelRef::Id(version.id), true).await.unwrap();
    let dataset = audited.origin.made().unwrap().dataset.clone();
    let order = Audit { version: version.clone(), forget, verify };
    let run = Run { id: Uuid::now_v7(), dataset, work: Work::Audit(order), ..audit_run(version.clone()) };
    engine.submit(run.clone()).await.unwrap();
    end_of(engine, run.id).await
}

async fn report(engine: &Engine, run: &Run) -> Value {
    assert_eq!((run.status, &run.error), (Status::Succeeded, &None));
    engine.store.report(run.id).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_finds_what_the_unlearning_found_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let parent = digits(&engine).await;
    let unlearned = unlearn(&engine, retraining(&parent, Verify::Standard, false)).await;
    let own = report(&engine, &unlearned).await;
    let child = unlearned.version.unwrap();
    let n_versions = engine.store.versions(&"digits".parse().unwrap()).await.unwrap().len();

    // by the same seed
    let audited = audit(&engine, &child, None, Verify::Standard).await;
    let found = report(&engine, &audited).await;
    assert_consistent(&engine.store, audited.id).await;
    for member in ["metrics", "verdict", "reason", "shortcomings", "forget", "method", "claim", "verify"] {
        assert_eq!(found[member], own[member], "{member}");
    }
    assert_eq!(
        (&found["model"], &found["parent"], &found["before"]),
        (&json!(child), &json!(child), &json!(parent))
    );
    assert!(found["child"].is_null() && found["seconds"]["unlearn"].is_null());
    assert!(found["seconds"]["retrain"].as_f64().unwrap() > 0.0);
    assert_eq!(audited.version, None);
    assert_eq!(engine.store.versions(&"digits".parse().unwrap()).await.unwrap().len(), n_versions);
    let events = engine.store.events(audited.id, 0, 99).await.unwrap();
    assert!(events.iter().all(|event| event.kind != EventKind::Model && event.kind != EventKind::Epoch));
    assert_eq!(events.last().unwrap().data["version"], Value::Null);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_forgot_nothing_never_passes() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let version = digits(&engine).await;
    let class = audit(&engine, &version, Some(ForgetSet::Class(3)), Verify::Standard).await;
    let found = report(&engine, &class).await;
    assert_eq!(found["verdict"], "fail", "{found}");
    assert_eq!(
        (&found["before"], &found["method"], &found["claim"]),
        (&json!(version), &json!(null), &json!(null))
    );
    let clean = ForgetSet::Sample(Sample { fraction: 0.01, seed: 1 });
    let clean = audit(&engine, &version, Some(clean), Verify::Standard).await;
    assert_ne!(report(&engine, &clean).await["verdict"], "pass");
    // nothing retrained, nothing decided
    let quick = audit(&engine, &version, Some(ForgetSet::Rows(vec![0, 1])), Verify::Quick).await;
    assert_eq!(report(&engine, &quick).await["verdict"], "inconclusive");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_audited_whether_they_were_forgotten_or_not_and_chosen_if_need_be() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let parent = digits(&engine).await;
    let unlearned = unlearn(&engine, retraining(&parent, Verify::Quick, true)).await;
    let child = unlearned.version.unwrap();
    let class = audit(&engine, &child, Some(ForgetSet::Class(3)), Verify::Quick).await;
    let found = report(&engine, &class).await;
    assert_eq!((&found["before"], &found["forget"]["class"]), (&json!(child), &json!(3)));
    assert_eq!(found["metrics"]["forget_accuracy"]["after"], 0.0);
    let said = found["shortcomings"].as_array().unwrap();
    assert!(said.iter().any(|text| text.as_str().unwrap().contains("is gone")), "{said:?}");

    let memorised = ForgetSet::MostMemorised(MostMemorised { rows: 9, seed: 1, chosen: None });
    let memorised = audit(&engine, &child, Some(memorised), Verify::Quick).await;
    assert_eq!(report(&engine, &memorised).await["forget"]["rows"], 9);
    let Work::Audit(Audit { forget: Some(ForgetSet::MostMemorised(settled)), .. }) = &memorised.work else {
        panic!("{:?}", memorised.work)
    };
    assert_eq!(settled.chosen.as_ref().map(Vec::len), Some(9));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_of_nothing_or_of_a_revoked_version_fails_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let version = digits(&engine).await;
    let nothing = audit(&engine, &version, None, Verify::Quick).await;
    assert_eq!(
        (nothing.status, nothing.error.unwrap().code.as_str()),
        (Status::Failed, "forget_set_invalid")
    );
    engine.revoke(version.id, None).await.unwrap();
    let gone = audit(&engine, &version, Some(ForgetSet::Class(3)), Verify::Quick).await;
    assert_eq!((gone.status, gone.error.unwrap().code.as_str()), (Status::Failed, "version_revoked"));
    let unknown = VersionRef { id: Uuid::now_v7(), ..version };
    let run = Run { id: Uuid::now_v7(), ..audit_run(unknown) };
    engine.submit(run.clone()).await.unwrap();
    assert_eq!(end_of(&engine, run.id).await.error.unwrap().code, "version_not_found");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_report_ends_a_run_that_publishes_nothing() {
    let (_dir, mut bench) = Bench::new(1).await;
    let version = VersionRef { model: "m".into(), version: 1, id: Uuid::nil(), digest: "sha256:1".into() };
    let run = audit_run(version);
    let heard = bench.submit(run.clone()).await;
    let mut desk = bench.desk().await;
    assert_eq!(desk.step(Step::Report(json!({ "verdict": "fail" }))).await, None);
    let kinds: Vec<&str> = heard.into_events().await.iter().map(|event| event.kind.name()).collect();
    assert_eq!(kinds, ["status", "status", "status", "done"]);
    assert_eq!(bench.engine.store.report(run.id).await.unwrap(), Some(json!({ "verdict": "fail" })));
    assert_consistent(&bench.engine.store, run.id).await;
}

#[tokio::test]
async fn nobody_reports_on_a_run_that_is_not_theirs() {
    let (_dir, store) = crate::store::fixtures::open().await;
    let (run, _) = store.insert_run(train_run("m")).await.unwrap();
    let (claimed, _) = store.claim(FOR_EVER).await.unwrap().unwrap();
    let other = store.conclude(run.id, Fence(claimed.attempt + 1), json!({})).await;
    assert!(matches!(other, Err(StoreError::LostClaim)));
    assert_eq!(store.report(run.id).await.unwrap(), None);
    store.advance(run.id, Some(Fence(claimed.attempt)), broken(), vec![]).await.unwrap();
    let late = store.conclude(run.id, Fence(claimed.attempt), json!({})).await;
    assert!(matches!(late, Err(StoreError::LostClaim)));
}
