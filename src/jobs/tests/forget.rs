//! Forget sets that take more than the stored data to resolve.

use super::super::forget::lookalikes;
use super::super::lineage::Lineage;
use super::real::{digits, end_of, engine, unlearn, unlearn_run_on};
use crate::data::Catalogue;
use crate::domain::{
    EventKind, ForgetSet, ModelRef, MostMemorised, Status, Unlearn, Verify, VersionRef, Work,
};
use crate::nn::{Recipe, Reference, Standard};
use crate::store::fixtures::{FOR_EVER, assert_consistent, open, product, publish, train_run, unlearn_run};
use crate::store::{Fence, Publish, RunChange};
use crate::unlearn::{Method, ResetLast};

fn forgetting(parent: &VersionRef, forget: ForgetSet) -> Unlearn {
    Unlearn {
        parent: parent.clone(),
        forget,
        method: Method::ResetLast(ResetLast { epochs: 1, batch_size: 64, learning_rate: 0.05, shrink: 1.0 }),
        verify: Verify::Quick,
        promote: None,
        revoke_parent: false,
    }
}

fn memorised(rows: u32, chosen: Option<Vec<u32>>) -> ForgetSet {
    ForgetSet::MostMemorised(MostMemorised { rows, seed: 3, chosen })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_most_memorised_rows_are_chosen_once_and_known_to_every_descendant() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let parent = digits(&engine).await;
    let ended = unlearn(&engine, forgetting(&parent, memorised(30, None))).await;
    assert_eq!((ended.status, &ended.error), (Status::Succeeded, &None));
    let Work::Unlearn(Unlearn { forget: ForgetSet::MostMemorised(settled), .. }) = &ended.work else {
        panic!("{:?}", ended.work)
    };
    let chosen = settled.chosen.clone().unwrap();
    assert_eq!((settled.rows, settled.seed, chosen.len()), (30, 3, 30));
    let report = engine.store.report(ended.id).await.unwrap().unwrap();
    assert_eq!(report["forget"]["most_memorised"], serde_json::json!({ "rows": 30, "seed": 3 }));

    // the run may go; the version knows
    engine.store.delete_run(ended.id).await.unwrap();
    let child = ended.version.unwrap();
    let version = engine.store.version(&ModelRef::Id(child.id), false).await.unwrap();
    let data = engine.catalogue.open_local("digits").unwrap().unwrap();
    let rows = Lineage::of(&engine.store, &version).await.unwrap().rows(&data).unwrap();
    assert_eq!(rows.forgotten, chosen);
    let next = unlearn(&engine, forgetting(&child, ForgetSet::Class(3))).await;
    assert_eq!((next.status, &next.error), (Status::Succeeded, &None));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_once_chosen_are_not_chosen_again() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let parent = digits(&engine).await;
    let data = engine.catalogue.open_local("digits").unwrap().unwrap();
    let trained = crate::nn::Split::new(&Recipe::Standard(Standard::new(0)), 40_000, &[]).train;
    // as another attempt finds the run after a crash
    let chosen = trained[..7].to_vec();
    let ended = unlearn(&engine, forgetting(&parent, memorised(7, Some(chosen.clone())))).await;
    assert_eq!((ended.status, &ended.error), (Status::Succeeded, &None));
    let events = engine.store.events(ended.id, 0, 99).await.unwrap();
    let phases: Vec<_> =
        events.iter().filter(|e| e.kind == EventKind::Phase).map(|e| e.data["phase"].clone()).collect();
    assert!(!phases.is_empty() && phases.iter().all(|phase| phase != "select"), "{phases:?}");
    let version = ended.version.unwrap();
    let version = engine.store.version(&ModelRef::Id(version.id), false).await.unwrap();
    let rows = Lineage::of(&engine.store, &version).await.unwrap().rows(&data).unwrap();
    assert_eq!(rows.forgotten, chosen);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_choice_is_bounded_and_can_be_canceled() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let parent = digits(&engine).await;
    let ended = unlearn(&engine, forgetting(&parent, memorised(30_000, None))).await;
    assert_eq!((ended.status, ended.error.unwrap().code.as_str()), (Status::Failed, "forget_set_invalid"));

    let run = unlearn_run_on(&engine, forgetting(&parent, memorised(10, None))).await;
    let mut heard = engine.subscribe(run.id);
    engine.submit(run.clone()).await.unwrap();
    loop {
        if let Ok(super::super::Notice::Durable(event)) = heard.recv().await
            && event.data["phase"] == "select"
        {
            break;
        }
    }
    engine.cancel(run.id).await.unwrap();
    assert_eq!(end_of(&engine, run.id).await.status, Status::Canceled);
    engine.shutdown().await;
}

#[tokio::test]
async fn what_a_run_has_found_out_is_there_for_its_next_attempt_and_for_its_version() {
    let (_dir, store) = open().await;
    let parent = publish(&store, train_run("m"), product()).await;
    let run = unlearn_run(parent.clone());
    store.insert_run(run.clone()).await.unwrap();
    let (claimed, _) = store.claim(FOR_EVER).await.unwrap().unwrap();
    let work = Work::Unlearn(forgetting(&parent, memorised(2, Some(vec![4, 7]))));
    let change = RunChange { work: Some(Box::new(work.clone())), ..RunChange::default() };
    store.advance(run.id, Some(Fence(claimed.attempt)), change, vec![]).await.unwrap();
    // the process dies
    store.reconcile(None).await.unwrap();
    let (again, _) = store.claim(FOR_EVER).await.unwrap().unwrap();
    assert_eq!((again.attempt, &again.work), (2, &work));
    let child = Publish { parent: Some(parent.id), ..product() };
    let done = store.publish(run.id, Fence(2), child).await.unwrap();
    assert_eq!(done.version.origin.made().unwrap().work, work);
    assert_consistent(&store, run.id).await;
}

#[test]
fn only_a_forget_set_of_planted_rows_has_lookalikes() {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::new(None, dir.path().to_owned());
    let noisy = catalogue.open_local("digits-mislabelled").unwrap().unwrap();
    let standard = Recipe::Standard(Standard::new(1));
    let planted = &noisy.planted.as_ref().unwrap().rows;
    let other = (0..).find(|row| planted.binary_search(row).is_err()).unwrap();
    let made = lookalikes(&noisy, &standard, &planted[..5]).unwrap();
    let held_out = crate::nn::Split::new(&standard, noisy.train.n_rows(), &[]).held_out;
    assert_eq!(made.n_rows(), held_out.len());
    assert!(lookalikes(&noisy, &standard, &[planted[0], other]).is_none());
    // a recipe that trains on the whole file leaves the test rows
    let whole = Recipe::Debug(Reference::debug(1));
    assert_eq!(lookalikes(&noisy, &whole, planted).unwrap().n_rows(), noisy.test.n_rows());
    // some planted rows are among the last fifth, which `nn` never trains on
    let tail = Recipe::Nn(Reference::nn(1));
    let n_made = lookalikes(&noisy, &tail, &planted[..5]).unwrap().n_rows();
    assert!((7_850..8_000).contains(&n_made), "{n_made}");
    let plain = catalogue.open_local("digits").unwrap().unwrap();
    assert!(lookalikes(&plain, &standard, &[1]).is_none());
}
