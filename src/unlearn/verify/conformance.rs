//! Mistakes published measures of unlearning were found to make. Ours must not.

use super::closeness::{average_gap, tug_of_war};
use super::divergence::js_bits;
use super::epsilon::bound;
use super::finding::{Finding, Role};
use super::membership::Attack;
use super::scores::modified_entropy;
use super::tests::{measured, nothing, retrained};
use super::*;
use crate::nn::{Evaluation, Evaluator, Features, Samples};
use crate::unlearn::report::Verdict;
use crate::unlearn::responses::responses;
use crate::unlearn::tests::World;

/// Found: `log p` where `log(1 − p)` belongs, and an index that overwrites a column for every label in the batch.
#[test]
fn modified_entropy_takes_one_minus_p_of_the_others_and_each_rows_own_label() {
    let definition = |p: &[f32], y: usize| {
        let p: Vec<f64> = p.iter().map(|&p| f64::from(p)).collect();
        let ln = |x: f64| libm::log(x.max(1e-30));
        let others: f64 = (0..p.len()).filter(|&j| j != y).map(|j| p[j] * ln(1.0 - p[j])).sum();
        -(1.0 - p[y]) * ln(p[y]) - others
    };
    let rows: [&[f32]; 4] = [&[0.7, 0.2, 0.1], &[0.1, 0.1, 0.8], &[1.0, 0.0, 0.0], &[0.25, 0.5, 0.25]];
    for labels in [[0, 1, 2, 0], [2, 2, 0, 1]] {
        let found = responses(&labels, &rows).scores(modified_entropy);
        for ((found, p), &label) in found.iter().zip(rows).zip(&labels) {
            let want = definition(p, label as usize);
            assert!((found - want).abs() < 1e-9, "{found} {want}");
        }
    }
}

/// Found: a mean over rows and classes, so that the divergence shrinks with the number of classes, and the two
/// distributions swapped.
#[test]
fn jensen_shannon_is_in_bits_zero_for_equal_and_one_for_disjoint_answers_of_any_number_of_classes() {
    for n_classes in [2usize, 10, 100] {
        let certain =
            |class: usize| (0..n_classes).map(|j| f32::from(u8::from(j == class))).collect::<Vec<f32>>();
        let even = vec![1.0 / n_classes as f32; n_classes];
        assert_eq!(js_bits(&certain(0), &certain(1)), 1.0, "{n_classes} classes");
        assert_eq!(js_bits(&even, &even), 0.0);
        let between = js_bits(&certain(0), &even);
        assert!(between > 0.0 && between < 1.0);
        assert_eq!(between, js_bits(&even, &certain(0)));
    }
}

/// Found: the smaller of the two bounds, which reports less leakage than there is.
#[test]
fn epsilon_is_the_larger_of_the_two_bounds_a_guarantee_would_have_to_break() {
    let (fpr, fnr) = (0.1, 0.5);
    let of_fnr = libm::log(1.0 - 1e-5 - fpr) - libm::log(fnr);
    let of_fpr = libm::log(1.0 - 1e-5 - fnr) - libm::log(fpr);
    assert!(of_fpr > of_fnr + 0.5);
    assert!((bound(fpr, fnr) - of_fpr).abs() < 1e-12);
    assert!((bound(fnr, fpr) - of_fpr).abs() < 1e-12);
}

/// Found: the accuracy after removal was that of the model before.
#[test]
fn the_accuracy_reported_as_after_is_the_new_models() {
    let world = World::class(400);
    let task = world.task();
    let outcome = retrained(&task);
    let mut evaluator = Evaluator::new(task.parent.shape());
    let mut accuracy = |mlp: &Mlp| evaluator.evaluate(mlp, task.train, task.forget).accuracy;
    let (old, new) = (accuracy(task.parent), accuracy(&outcome.model));
    assert!(old > new + 0.5);
    for level in [Level::Quick, Level::Standard] {
        let measure = &measured(&task, &outcome, level).metrics["forget_accuracy"];
        assert_eq!((measure.before, measure.after), (old, new), "{level:?}");
    }
}

/// Found: forget rows and non-members from different distributions, so that an attack succeeds, or fails, on any
/// model at all.
#[test]
fn the_attack_on_a_retrained_model_is_even_against_non_members_of_the_same_file() {
    let world = World::rows(1500);
    let task = world.task();
    let outcome = retrained(&task);
    let attack = |task: &Task<'_>| {
        let measure = measured(task, &outcome, Level::Quick).metrics["mia_auc"].clone();
        (measure.after - 0.5, measure.half_width.unwrap())
    };
    let (off, half_width) = attack(&task);
    assert!(off.abs() <= half_width, "{off} ± {half_width}");

    // the mistake: non-members that are nothing like the rows
    let samples = task.train;
    let Features::U8(pixels) = samples.features() else { unreachable!("the world is made of bytes") };
    let inverted: Vec<u8> = pixels.iter().map(|pixel| 255 - pixel).collect();
    let (width, n_classes) = (samples.n_features(), samples.n_classes());
    let elsewhere = Samples::new(Features::U8(&inverted), samples.labels(), width, n_classes);
    let (off, half_width) = attack(&Task { lookalikes: Some(elsewhere), ..task });
    assert!(off > 3.0 * half_width, "{off} ± {half_width}");
}

/// Found: doing nothing verified as unlearning, on rows where nothing could have been seen.
#[test]
fn a_model_compared_with_itself_never_passes() {
    for world in [World::class(400), World::rows(400)] {
        let task = world.task();
        for level in [Level::Quick, Level::Standard] {
            let report = measured(&task, &nothing(&task), level);
            assert_ne!(report.verdict, Verdict::Pass, "{}", report.reason);
        }
    }
}

/// As measured on MNIST with 600 wrong labels, in another framework: accuracies on forget, retained and test rows,
/// the attack's AUC, the divergence from retraining on the forget set, and what the dormant probe finds.
#[derive(Clone, Copy)]
struct Row {
    forget: f64,
    retain: f64,
    test: f64,
    auc: f64,
    js: f64,
    dormant: f64,
}

const ORIGINAL: Row =
    Row { forget: 0.633, retain: 0.9976, test: 0.9737, auc: 0.993, js: 0.532, dormant: 0.41 };
const RETRAINED: [Row; 2] = [
    Row { forget: 0.003, retain: 1.0, test: 0.9822, auc: 0.527, js: 0.007, dormant: 0.004 },
    Row { forget: 0.003, retain: 1.0, test: 0.9831, auc: 0.526, js: 0.007, dormant: 0.003 },
];
/// A checkpoint of the first third, trained on without the rows.
const REWOUND: Row = Row { forget: 0.012, retain: 1.0, test: 0.9836, auc: 0.776, js: 0.015, dormant: 0.012 };
/// Ascent bounded at ln 10.
const BOUNDED: Row =
    Row { forget: 0.001, retain: 0.9998, test: 0.9818, auc: 0.926, js: 0.024, dormant: 0.001 };
/// Nearly all weights drawn anew.
const REDRAWN: Row =
    Row { forget: 0.003, retain: 0.9976, test: 0.9806, auc: 0.533, js: 0.010, dormant: 0.005 };

impl Row {
    fn look(self) -> Look {
        let evaluation = |accuracy| Evaluation { loss: 0.1, accuracy };
        let mut look = Look {
            forget: evaluation(self.forget),
            retain_accuracy: self.retain,
            test: evaluation(self.test),
            test_class_accuracy: None,
            per_class: vec![],
            attack: Some(Attack { auc: self.auc, half_width: 0.03, tpr_at_1pct_fpr: 0.0 }),
            apart: None,
            entropy_auc: None,
            modified_entropy_auc: None,
            closeness: None,
            dormant_accuracy: Some(self.dormant),
            relearn_ratio: None,
            n_forget: 600,
            n_retain: 56_400,
            n_test: 10_000,
        };
        let [first, second] = RETRAINED.map(|row| (row.forget, row.retain, row.test, row.auc));
        let reference = closeness::Figures {
            forget: (first.0 + second.0) / 2.0,
            retain: (first.1 + second.1) / 2.0,
            test: (first.2 + second.2) / 2.0,
            auc: Some((first.3 + second.3) / 2.0),
        };
        look.closeness = Some(Closeness {
            js_forget: self.js,
            tow: tug_of_war(&look.figures(), &reference),
            average_gap: average_gap(&look.figures(), &reference),
            ..Closeness::default()
        });
        look
    }
}

fn judged(after: Row) -> (Report, Vec<Finding>) {
    let looks =
        Looks { before: ORIGINAL.look(), after: after.look(), retrained: Some(RETRAINED.map(Row::look)) };
    let wording = Wording { of_class: false, every_retained: true, lookalikes: true };
    let found = findings(wording, &looks);
    let case = Case { method: Some(&Method::RETRAIN), of_class: false, stopped: None };
    (verdict::report(case, &looks, found.clone()), found)
}

#[test]
fn a_report_that_only_looked_at_accuracies_would_certify_failures_ours_does_not() {
    for (name, row) in [("rewind", REWOUND), ("bounded ascent", BOUNDED)] {
        let (report, _) = judged(row);
        for accuracy in ["forget_accuracy", "retain_accuracy", "test_accuracy"] {
            let measure = &report.metrics[accuracy];
            assert!(
                (measure.after - measure.retrain.unwrap()).abs() < 0.01,
                "{name}: {accuracy} looks right"
            );
        }
        assert!(report.metrics["tow"].after > 0.985, "{name}: {}", report.metrics["tow"].after);
        assert_eq!(report.verdict, Verdict::Fail, "{name}");
        assert!(report.reason.contains("mia_auc"), "{name}: {}", report.reason);
        assert!(!report.worse_than_nothing, "{name} is better than nothing all the same");
    }
    let (_, findings) = judged(BOUNDED);
    let is_accuracy = |finding: &&Finding| finding.name.ends_with("_accuracy");
    assert!(
        findings.iter().filter(is_accuracy).all(|finding| !finding.differs()),
        "by accuracies it is perfect"
    );
    // and the rule is not one that nothing passes
    let (report, _) = judged(REDRAWN);
    assert_eq!(report.verdict, Verdict::Pass, "{} {:?}", report.reason, report.shortcomings);
    assert_eq!(judged(ORIGINAL).0.verdict, Verdict::Fail);
}

#[test]
fn what_clean_rows_show_by_generalising_gives_no_power() {
    // the accuracy of the original lies far outside, and means nothing: retrained models know the rows as well
    let known = |forget: f64| Row { forget, dormant: forget, auc: 0.495, js: 0.008, ..RETRAINED[0] };
    let looks = |after: Row| Looks {
        before: Row { js: 0.017, ..known(1.0) }.look(),
        after: after.look(),
        retrained: Some([known(0.97).look(), known(0.97).look()]),
    };
    let wording = Wording { of_class: false, every_retained: true, lookalikes: false };
    let case = Case { method: Some(&Method::RETRAIN), of_class: false, stopped: None };
    for after in [known(0.97), known(1.0)] {
        let looks = looks(after);
        let found = findings(wording, &looks);
        let knows = found.iter().find(|finding| finding.name == "forget_accuracy").unwrap();
        assert!(knows.role == Role::Knows && knows.would_tell());
        let report = verdict::report(case, &looks, found);
        assert_eq!(report.verdict, Verdict::Inconclusive, "{}", report.reason);
    }
}
