use super::super::lineage::{ACHIEVED, Lineage, LineageError, Rows, Step};
use crate::data::{Dataset, FeatureData, ForgetError, InputSpec, Table};
use crate::domain::{ForgetSet, ModelRef, Source, Unlearn, VersionRef, Work};
use crate::nn::{Recipe, Reference};
use crate::store::fixtures::{open, product, publish, train_run, unlearn_run};
use crate::store::{Publish, Store};
use crate::unlearn::Method;
use serde_json::json;
use uuid::Uuid;

/// Ten rows; row `i` has the label `i % 3`.
fn ten_rows() -> Dataset {
    let table = || Table {
        features: FeatureData::F32(vec![0.0; 10]),
        labels: (0..10).map(|row| row % 3).collect(),
        subjects: None,
    };
    Dataset {
        name: "ten".into(),
        version: 1,
        source: Source::Embedded,
        digest: "sha256:0".into(),
        description: "Ten rows.".into(),
        input: InputSpec::Vector { n_features: 1, columns: None },
        class_names: vec!["a".into(), "b".into(), "c".into()],
        train: table(),
        test: table(),
        planted: None,
    }
}

struct Asked {
    forget: ForgetSet,
    achieved: bool,
    exact: bool,
}

fn asked(forget: ForgetSet) -> Asked {
    Asked { forget, achieved: true, exact: false }
}

fn rows_after(steps: Vec<Asked>) -> Result<Rows, LineageError> {
    let step = |asked: Asked| Step {
        version: Uuid::nil(),
        forget: asked.forget,
        achieved: asked.achieved,
        exact: asked.exact,
    };
    // `debug` trains on every row
    let lineage = Lineage {
        recipe: Recipe::Debug(Reference::debug(1)),
        dataset: ten_rows().to_ref(),
        steps: steps.into_iter().map(step).collect(),
    };
    lineage.rows(&ten_rows())
}

#[test]
fn what_ancestors_forgot_is_forgotten_for_good() {
    let rows = rows_after(vec![asked(ForgetSet::Class(1)), asked(ForgetSet::Rows(vec![0, 9]))]).unwrap();
    assert_eq!(rows.forgotten, [0, 1, 4, 7, 9]);
    assert_eq!(rows.trained, [2, 3, 5, 6, 8]);
    assert!(rows.owed.is_empty());
    assert_eq!(rows.excluded_beside(&[2]), [0, 1, 4, 7, 9]);
}

#[test]
fn what_was_wanted_forgotten_in_vain_may_be_asked_for_again_and_is_never_trained_on() {
    let failed = || Asked { achieved: false, ..asked(ForgetSet::Class(1)) };
    let rows = rows_after(vec![failed()]).unwrap();
    assert_eq!((rows.trained.len(), rows.forgotten.len()), (10, 0));
    assert_eq!(rows.owed, [1, 4, 7]);
    assert_eq!(rows.excluded_beside(&[4]), [1, 7], "the rest of the debt stays out");
    let rows = rows_after(vec![failed(), asked(ForgetSet::Rows(vec![4]))]).unwrap();
    assert_eq!((rows.forgotten, rows.owed), (vec![4], vec![1, 7]));
}

#[test]
fn retraining_pays_every_debt() {
    let failed = Asked { achieved: false, ..asked(ForgetSet::Class(1)) };
    let retrained = Asked { exact: true, ..asked(ForgetSet::Rows(vec![0])) };
    let rows = rows_after(vec![failed, retrained]).unwrap();
    assert_eq!(rows.forgotten, [0, 1, 4, 7]);
    assert!(rows.owed.is_empty());
}

#[test]
fn an_exact_step_makes_up_for_approximate_ones_before_it_and_not_after() {
    let is_exact = |steps: &[bool]| {
        let step =
            |&exact: &bool| Step { version: Uuid::nil(), forget: ForgetSet::Class(1), achieved: true, exact };
        Lineage {
            recipe: Recipe::Debug(Reference::debug(1)),
            dataset: ten_rows().to_ref(),
            steps: steps.iter().map(step).collect(),
        }
        .is_exact()
    };
    assert!(is_exact(&[]) && is_exact(&[true]) && is_exact(&[false, true]));
    assert!(!is_exact(&[false]) && !is_exact(&[true, false]));
}

#[test]
fn a_step_that_means_nothing_any_more_is_named() {
    let error = rows_after(vec![asked(ForgetSet::Class(1)), asked(ForgetSet::Class(1))]).unwrap_err();
    assert!(matches!(error, LineageError::Forgotten { cause: ForgetError::Empty, .. }), "{error}");
}

async fn child_of(store: &Store, parent: &VersionRef, forget: ForgetSet, achieved: bool) -> VersionRef {
    let run = unlearn_run(parent.clone());
    let Work::Unlearn(order) = run.work.clone() else { unreachable!() };
    let method = if achieved { Method::RETRAIN } else { order.method.clone() };
    let run = crate::domain::Run { work: Work::Unlearn(Unlearn { forget, method, ..order }), ..run };
    let metrics = json!({ ACHIEVED: achieved });
    publish(store, run, Publish { parent: Some(parent.id), metrics, ..product() }).await
}

#[tokio::test]
async fn a_line_is_followed_back_through_revoked_versions_and_deleted_runs() {
    let (_dir, store) = open().await;
    let root = publish(&store, train_run("m"), product()).await;
    let child = child_of(&store, &root, ForgetSet::Class(1), false).await;
    let grandchild = child_of(&store, &child, ForgetSet::Rows(vec![2]), true).await;
    for version in [&root, &child] {
        let made = store.version(&ModelRef::Id(version.id), false).await.unwrap();
        store.delete_run(made.origin.made().unwrap().run).await.unwrap();
        store.revoke(version.id, None).await.unwrap();
    }
    let version = store.version(&ModelRef::Id(grandchild.id), false).await.unwrap();
    let lineage = Lineage::of(&store, &version).await.unwrap();
    let Work::Train(order) = train_run("m").work else { unreachable!() };
    assert_eq!((lineage.recipe, lineage.dataset), (order.recipe, train_run("m").dataset));
    let steps = [
        Step { version: child.id, forget: ForgetSet::Class(1), achieved: false, exact: false },
        Step { version: grandchild.id, forget: ForgetSet::Rows(vec![2]), achieved: true, exact: true },
    ];
    assert_eq!(lineage.steps, steps);
}
