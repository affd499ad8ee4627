use super::super::report::{Judged, Seconds, Told, metrics, report, rows_digest};
use crate::domain::{Bound, ForgetSet, Only, Promote, Run, Unlearn, VersionRef, Work};
use crate::store::fixtures::unlearn_run;
use crate::unlearn::{Measure, Method, Report, Stopped, Unlearned, Verdict};
use serde_json::{Value, json};
use uuid::Uuid;

fn measure(before: f64, after: f64) -> Measure {
    Measure { before, after, ..Measure::default() }
}

fn measured(verdict: Verdict) -> Report {
    Report {
        verdict,
        reason: "because".into(),
        shortcomings: vec![],
        worse_than_nothing: false,
        per_class: vec![],
        metrics: [
            ("forget_accuracy".into(), measure(0.97, 0.03)),
            ("retain_accuracy".into(), measure(0.98, 0.975)),
            ("test_accuracy".into(), measure(0.975, 0.955)),
        ]
        .into(),
    }
}

fn outcome(stopped: Option<&str>) -> Unlearned {
    let stopped = stopped.map(|reason| Stopped { reason: reason.into(), rolled_back: true });
    Unlearned { stopped, ..super::real::tiny_model().mlp.into() }
}

fn order(only_if: Option<Only>, revoke_parent: bool) -> (Run, Unlearn) {
    let parent = VersionRef { model: "m".into(), version: 1, id: Uuid::nil(), digest: "sha256:1".into() };
    let run = unlearn_run(parent);
    let Work::Unlearn(order) = run.work.clone() else { unreachable!() };
    let promote = only_if.map(|only_if| Promote { alias: "prod".into(), only_if });
    (run, Unlearn { promote, revoke_parent, ..order })
}

fn bounds(forget_accuracy: f64, retain_accuracy_drop: f64) -> Only {
    Only {
        forget_accuracy: Some(Bound { lte: forget_accuracy }),
        retain_accuracy_drop: Some(Bound { lte: retain_accuracy_drop }),
        test_accuracy_drop: None,
    }
}

/// What is promoted, whether the parent goes, and the report.
fn judge(only_if: Option<Only>, verdict: Verdict, stopped: Option<&str>) -> (Option<String>, bool, Value) {
    let (run, order) = order(only_if, true);
    let (outcome, measured) = (outcome(stopped), measured(verdict));
    let judged = Judged::of(&order, &outcome, &measured);
    let seconds = Seconds { unlearn: 0.2, verify: 3.0, retrain: Some(4.5) };
    let told = Told { run: &run, order: &order, forget: &[3, 13], digest: "sha256:f", seconds };
    let report = report(&told, &outcome, &measured, &judged);
    (judged.promoted_alias(&order).map(str::to_owned), judged.revokes(), report)
}

#[test]
fn bounds_that_hold_move_the_alias_and_revoke_the_parent() {
    let (promoted, revokes, report) = judge(Some(bounds(0.05, 0.01)), Verdict::Pass, None);
    assert_eq!((promoted.as_deref(), revokes), (Some("prod"), true));
    assert_eq!(report["promote"]["moved"], true);
    assert_eq!(report["promote"]["why_not"], Value::Null);
    assert_eq!(report["revoke_parent"], json!({ "revoked": true, "why_not": null }));
}

#[test]
fn a_broken_bound_is_named_and_keeps_alias_and_parent() {
    let (promoted, revokes, report) = judge(Some(bounds(0.02, 0.01)), Verdict::Pass, None);
    assert_eq!((promoted, revokes), (None, false));
    let bounds = report["promote"]["bounds"].as_array().unwrap();
    assert_eq!(bounds[0], json!({ "bound": "forget_accuracy", "lte": 0.02, "value": 0.03, "holds": false }));
    assert_eq!(bounds[1]["holds"], true);
    for why in [&report["promote"]["why_not"], &report["revoke_parent"]["why_not"]] {
        assert_eq!(why, "`forget_accuracy` is 0.0300, above 0.02");
    }
}

#[test]
fn a_bound_on_what_was_not_measured_does_not_hold() {
    let (_, order) = order(Some(bounds(1.0, 1.0)), false);
    let mut measured = measured(Verdict::Pass);
    measured.metrics.remove("retain_accuracy");
    let judged = Judged::of(&order, &outcome(None), &measured);
    assert_eq!(judged.promoted_alias(&order), None);
}

#[test]
fn a_verdict_of_fail_never_revokes_and_moves_an_alias_only_by_stated_bounds() {
    let (promoted, revokes, _) = judge(Some(bounds(0.05, 0.01)), Verdict::Fail, None);
    assert_eq!((promoted.as_deref(), revokes), (Some("prod"), false));
    let (promoted, revokes, report) = judge(Some(Only::default()), Verdict::Fail, None);
    assert_eq!((promoted, revokes), (None, false));
    assert_eq!(report["promote"]["why_not"], "the verdict is `fail`: because");
}

#[test]
fn what_the_guard_stopped_moves_nothing_and_says_so() {
    let (promoted, revokes, report) = judge(Some(bounds(1.0, 1.0)), Verdict::Fail, Some("it broke down"));
    assert_eq!((promoted, revokes), (None, false));
    assert_eq!(report["guard"], json!({ "reason": "it broke down", "rolled_back": true }));
    assert_eq!(report["promote"]["why_not"], "the guard stopped the method: it broke down");
    let (_, order) = order(None, false);
    let shown = metrics(&order, &outcome(Some("it broke down")), &measured(Verdict::Fail));
    assert_eq!((&shown["rolled_back"], &shown["forgotten"]), (&json!(true), &json!(false)));
}

#[test]
fn the_report_has_the_published_shape() {
    let (_, _, report) = judge(None, Verdict::Inconclusive, None);
    assert_eq!(report["parent"]["version"], 1);
    assert_eq!(report["forget"], json!({ "class": 3, "rows": 2, "digest": "sha256:f" }));
    assert_eq!((&report["method"], &report["claim"]), (&json!("gradient_ascent"), &json!("empirical")));
    assert_eq!(report["hyperparameters"]["variant"], "bounded");
    assert_eq!((&report["verdict"], &report["reason"]), (&json!("inconclusive"), &json!("because")));
    assert_eq!(report["seconds"], json!({ "unlearn": 0.2, "verify": 3.0, "retrain": 4.5 }));
    assert_eq!(report["metrics"]["forget_accuracy"]["after"], 0.03);
    assert_eq!(report["promote"], Value::Null);
}

#[test]
fn retraining_is_exact_and_forgets_whatever_the_measures_say() {
    let (_, mut order) = order(None, false);
    order.method = Method::RETRAIN;
    let shown = metrics(&order, &outcome(None), &measured(Verdict::Fail));
    assert_eq!((&shown["claim"], &shown["forgotten"]), (&json!("exact"), &json!(true)));
    order.revoke_parent = true;
    assert!(Judged::of(&order, &outcome(None), &measured(Verdict::Fail)).revokes());
}

#[test]
fn the_rows_are_counted_and_people_are_not_listed() {
    let (run, mut order) = order(None, false);
    order.forget = ForgetSet::Subjects(vec![17, 18]);
    let (outcome, measured) = (outcome(None), measured(Verdict::Pass));
    let judged = Judged::of(&order, &outcome, &measured);
    let seconds = Seconds { unlearn: 0.2, verify: 3.0, retrain: None };
    let told = Told { run: &run, order: &order, forget: &[1, 2, 3], digest: "sha256:f", seconds };
    let report = report(&told, &outcome, &measured, &judged);
    assert_eq!(report["forget"], json!({ "subjects": 2, "rows": 3, "digest": "sha256:f" }));
    assert_eq!(report["seconds"]["retrain"], Value::Null);
}

#[test]
fn the_digest_of_a_forget_set_is_sha256_of_little_endian_ids() {
    // printf '\001\000\000\000\000\001\000\000' | sha256sum
    let expected = "sha256:242045e2f1bb37769b514f182fd91b3d215324cb57f187cced1e9c62921dbac3";
    assert_eq!(rows_digest(&[1, 256]), expected);
}
