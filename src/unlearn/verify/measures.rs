//! The table of measures: what each is, how it is compared with retraining, and what a difference means.

use super::closeness::Closeness;
use super::finding::{Finding, Role, Side};
use super::looks::{Look, Looks};
use super::probes::MAX_RELEARN_STEPS;
use crate::unlearn::report::Measure;

/// Accuracies nearer to the retrained models' than this count as equal: two retrained models differ by so
/// little on tens of thousands of rows that their distance alone would condemn a harmless tenth of a point.
const ACCURACY_RESOLUTION: f64 = 0.005;

/// Divergence from retrained models may exceed that between two retrained models by this factor.
const DIVERGENCE_FACTOR: f64 = 1.5;

/// Or by this, in bits: where two retrained models agree almost perfectly, what little they differ by is no measure.
const DIVERGENCE_RESOLUTION: f64 = 0.005;

/// How `after` is compared with `retrain`.
#[derive(Clone, Copy)]
enum Rule {
    /// Two-sided, within the noise of retraining or what so many rows can resolve.
    Accuracy {
        n_rows: usize,
    },
    /// Two-sided, within the noise of retraining or the attack's own interval.
    Interval,
    /// One-sided, within the noise of retraining or what so many rows exceed by chance.
    Apart,
    /// One-sided, within a multiple of the divergence between two retrained models.
    Divergence,
    /// A distance from the retrained pair, shown: the pair's own is yardstick and floor.
    Distance,
    Shown,
}

struct Entry {
    name: &'static str,
    definition: String,
    rule: Rule,
    role: Role,
    of: fn(&Look) -> Option<f64>,
}

/// What the sentences of definitions depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wording {
    /// A whole class is forgotten.
    pub(super) of_class: bool,
    pub(super) every_retained: bool,
    /// The non-members are rows made like the forget set.
    pub(super) lookalikes: bool,
}

/// Every measure of the networks, in the order of the report.
pub(super) fn findings(wording: Wording, looks: &Looks) -> Vec<Finding> {
    entries(wording, &looks.after).iter().filter_map(|entry| entry.finding(looks)).collect()
}

fn entries(wording: Wording, look: &Look) -> Vec<Entry> {
    let entry = |name, rule, role, of: fn(&Look) -> Option<f64>, definition: &str| Entry {
        name,
        definition: definition.to_owned(),
        rule,
        role,
        of,
    };
    let on = |n_rows| Rule::Accuracy { n_rows };
    let mut all = accuracies(wording, look);
    let others =
        if wording.lookalikes { "rows made like them that no model was trained on" } else { "held-out rows" };
    let attack = |by: &str| {
        format!(
            "area under the ROC curve of a membership attack on the forget set by {by}, against {others} weighted to the same mix of classes"
        )
    };
    all.extend([
        entry("mia_auc", Rule::Interval, Role::Membership, |l| l.attack.map(|a| a.auc), &attack("the loss")),
        entry(
            "mia_tpr_at_1pct_fpr",
            Rule::Shown,
            Role::Shown,
            |l| l.attack.map(|a| a.tpr_at_1pct_fpr),
            &format!("forget rows that attack recognises while taking 1 % of {others} for members"),
        ),
        entry(
            "loss_distance",
            Rule::Apart,
            Role::Membership,
            |l| l.apart.map(|d| d.value),
            &format!("Kolmogorov–Smirnov distance between the losses of the forget set and of {others}, weighted to the same mix of classes: rows stand out by too much loss as by too little"),
        ),
        entry("mia_entropy_auc", Rule::Shown, Role::Shown, |l| l.entropy_auc, &attack("the answer's entropy")),
        entry(
            "mia_m_entropy_auc",
            Rule::Shown,
            Role::Shown,
            |l| l.modified_entropy_auc,
            &attack("the answer's modified entropy"),
        ),
        entry(
            "dormant_accuracy",
            on(look.n_forget),
            Role::Knows,
            |l| l.dormant_accuracy,
            "fraction of the forget set labelled correctly after one epoch of training on retained rows only",
        ),
        entry(
            "relearn_ratio",
            Rule::Shown,
            Role::Shown,
            |l| l.relearn_ratio,
            &format!("steps of training on the forget set until its accuracy is within five points of the original's again, at most {MAX_RELEARN_STEPS}, divided by a retrained model's; less than 1 is knowledge that was left"),
        ),
    ]);
    all.extend(distances());
    all
}

fn accuracies(wording: Wording, look: &Look) -> Vec<Entry> {
    let entry = |name, rule, role, of: fn(&Look) -> Option<f64>, definition: &str| Entry {
        name,
        definition: definition.to_owned(),
        rule,
        role,
        of,
    };
    let on = |n_rows| Rule::Accuracy { n_rows };
    let retained = if wording.every_retained {
        "fraction of all retained training rows labelled correctly".to_owned()
    } else {
        format!("fraction of a fixed probe of {} retained training rows labelled correctly", look.n_retain)
    };
    let tested = if wording.of_class {
        "fraction of test rows of the other classes labelled correctly"
    } else {
        "fraction of test rows labelled correctly"
    };
    vec![
        entry(
            "forget_accuracy",
            on(look.n_forget),
            Role::Knows,
            |l| Some(l.forget.accuracy),
            "fraction of the forget set labelled correctly",
        ),
        entry(
            "forget_loss",
            Rule::Shown,
            Role::Shown,
            |l| Some(l.forget.loss),
            "mean cross-entropy on the forget set, nats",
        ),
        entry("retain_accuracy", on(look.n_retain), Role::Harm, |l| Some(l.retain_accuracy), &retained),
        entry("test_accuracy", on(look.n_test), Role::Harm, |l| Some(l.test.accuracy), tested),
        entry(
            "test_class_accuracy",
            Rule::Shown,
            Role::Shown,
            |l| l.test_class_accuracy,
            "fraction of test rows of the forgotten class labelled correctly",
        ),
    ]
}

fn distances() -> [Entry; 6] {
    let entry = |name, rule, role, of: fn(&Look) -> Option<f64>, definition: &str| Entry {
        name,
        definition: definition.to_owned(),
        rule,
        role,
        of,
    };
    fn of(look: &Look, pick: fn(&Closeness) -> f64) -> Option<f64> {
        look.closeness.as_ref().map(pick)
    }
    [
        entry(
            "js_forget",
            Rule::Divergence,
            Role::Knows,
            |l| of(l, |c| c.js_forget),
            "mean Jensen–Shannon divergence of the answers from two retrained models' on the forget set, bits",
        ),
        entry(
            "js_test",
            Rule::Distance,
            Role::Shown,
            |l| of(l, |c| c.js_test),
            "mean Jensen–Shannon divergence of the answers from two retrained models' on the test set, bits",
        ),
        entry(
            "kl_forget",
            Rule::Distance,
            Role::Shown,
            |l| of(l, |c| c.kl_forget),
            "mean KL divergence of the answers from two retrained models' on the forget set, nats",
        ),
        entry(
            "kl_test",
            Rule::Distance,
            Role::Shown,
            |l| of(l, |c| c.kl_test),
            "mean KL divergence of the answers from two retrained models' on the test set, nats",
        ),
        entry(
            "tow",
            Rule::Distance,
            Role::Shown,
            |l| of(l, |c| c.tow),
            "tug-of-war: the product over forget, retained and test rows of 1 − |accuracy − retrained models' accuracy|; blind to membership",
        ),
        entry(
            "average_gap",
            Rule::Distance,
            Role::Shown,
            |l| of(l, |c| c.average_gap),
            "mean of the distances from retrained models in forget, retain and test accuracy, in points, and in 100 times the attack's AUC",
        ),
    ]
}

impl Entry {
    /// The numbers, or `None` where this network or forget set has no such measure.
    fn finding(&self, looks: &Looks) -> Option<Finding> {
        let (before, after) = ((self.of)(&looks.before)?, (self.of)(&looks.after)?);
        let pair = looks.retrained.as_ref().and_then(|[a, b]| (self.of)(a).zip((self.of)(b)));
        let is_distance = matches!(self.rule, Rule::Divergence | Rule::Distance);
        let yardstick = pair.map(|(first, second)| {
            // a distance from the pair has the pair's own for yardstick and floor
            if is_distance { (first, first) } else { ((first + second) / 2.0, (first - second).abs()) }
        });
        let (retrain, floor) = yardstick.unzip();
        let half_width = match self.rule {
            Rule::Interval => looks.after.attack.map(|attack| attack.half_width),
            Rule::Accuracy { n_rows } => Some(1.96 * standard_error(after, n_rows)),
            Rule::Apart | Rule::Divergence | Rule::Distance | Rule::Shown => None,
        };
        let tolerance = yardstick.and_then(|(retrain, floor)| match self.rule {
            Rule::Accuracy { n_rows } => {
                // one model beside the mean of two
                let resolved = 1.96 * 1.5f64.sqrt() * standard_error(retrain, n_rows);
                Some([2.0 * floor, resolved, resolution(n_rows)].into_iter().fold(0.0, f64::max))
            }
            Rule::Interval => Some(f64::max(2.0 * floor, half_width.unwrap_or(0.0))),
            Rule::Apart => {
                let resolution = looks.after.apart.map_or(0.0, |apart| apart.resolution);
                Some(f64::max(2.0 * floor, resolution))
            }
            Rule::Divergence => Some(f64::max((DIVERGENCE_FACTOR - 1.0) * floor, DIVERGENCE_RESOLUTION)),
            Rule::Distance | Rule::Shown => None,
        });
        let side = if is_distance || matches!(self.rule, Rule::Apart) { Side::Above } else { Side::Both };
        let measure = Measure {
            before,
            after,
            retrain,
            floor,
            tolerance,
            power: retrain.map(|retrain| (before - retrain).abs()),
            half_width,
            ideal: if is_distance { "floor" } else { "retrain" }.to_owned(),
            definition: self.definition.clone(),
        };
        Some(Finding { name: self.name, role: self.role, side, measure })
    }
}

/// The least difference in a fraction of `n_rows` rows that counts: more than one row.
pub(super) fn resolution(n_rows: usize) -> f64 {
    f64::max(ACCURACY_RESOLUTION, 1.0 / n_rows as f64)
}

/// Standard error of a fraction measured on `n_rows` rows.
fn standard_error(fraction: f64, n_rows: usize) -> f64 {
    (fraction * (1.0 - fraction) / n_rows as f64).sqrt()
}
