//! The table of measures: what each is, how it is compared with retraining, and what a difference means.

use super::looks::{Look, Yardsticks};
use crate::unlearn::Task;
use crate::unlearn::report::Measure;

/// Accuracies nearer to the retrained models' than this count as equal: two retrained models differ by so
/// little on tens of thousands of rows that their distance alone would condemn a harmless tenth of a point.
const ACCURACY_RESOLUTION: f64 = 0.005;

/// Divergence from a retrained model may exceed that between two retrained models by this factor.
const DIVERGENCE_FACTOR: f64 = 1.5;

/// How `after` is compared with `retrain`.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Two-sided, within the noise of retraining or what so many rows can resolve.
    Accuracy { n_rows: usize },
    /// Two-sided, within the noise of retraining or the attack's own interval.
    Interval,
    /// One-sided, within a multiple of the divergence between two retrained models.
    Divergence,
    /// Shown, not judged: another measure of the same thing is.
    Shown,
}

/// What a difference from retraining means.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Role {
    /// The network was damaged.
    Harm,
    /// Knowledge of a class was left: a retrained network has none. On rows the same measure mostly shows
    /// how well the network generalises.
    KnowsClass,
    /// Single rows stand out, by being remembered or by being avoided.
    Membership,
    Context,
}

pub(super) struct Entry {
    pub(super) name: &'static str,
    definition: &'static str,
    rule: Rule,
    pub(super) role: Role,
    of: fn(&Look) -> Option<f64>,
}

/// Every measure, in the order of the report.
pub(super) fn entries(task: &Task<'_>, look: &Look) -> Vec<Entry> {
    let test_definition = match task.class {
        Some(_) => "fraction of test rows of the other classes labelled correctly",
        None => "fraction of test rows labelled correctly",
    };
    let entry = |name, rule, role, of: fn(&Look) -> Option<f64>, definition| Entry {
        name,
        definition,
        rule,
        role,
        of,
    };
    let on = |n_rows| Rule::Accuracy { n_rows };
    vec![
        entry(
            "forget_accuracy",
            on(look.n_forget),
            Role::KnowsClass,
            |l| Some(l.forget.accuracy),
            "fraction of the forget set labelled correctly",
        ),
        entry(
            "forget_loss",
            Rule::Shown,
            Role::Context,
            |l| Some(l.forget.loss),
            "mean cross-entropy on the forget set, nats",
        ),
        entry(
            "retain_accuracy",
            on(look.n_retain),
            Role::Harm,
            |l| Some(l.retain_accuracy),
            "fraction of all retained training rows labelled correctly",
        ),
        entry("test_accuracy", on(look.n_test), Role::Harm, |l| Some(l.test.accuracy), test_definition),
        entry(
            "test_class_accuracy",
            Rule::Shown,
            Role::Context,
            |l| l.test_class_accuracy,
            "fraction of test rows of the forgotten class labelled correctly",
        ),
        entry(
            "mia_auc",
            Rule::Interval,
            Role::Membership,
            |l| l.attack.map(|a| a.auc),
            "area under the ROC curve of a loss-threshold membership attack on the forget set, against held-out rows weighted \
             to the same mix of classes",
        ),
        entry(
            "mia_tpr_at_1pct_fpr",
            Rule::Shown,
            Role::Context,
            |l| l.attack.map(|a| a.tpr_at_1pct_fpr),
            "forget rows that attack recognises while taking 1 % of the held-out rows for members",
        ),
        entry(
            "js_forget",
            Rule::Divergence,
            Role::KnowsClass,
            |l| l.js_forget,
            "mean Jensen–Shannon divergence from a retrained model's answers on the forget set, bits",
        ),
        entry(
            "kl_forget",
            Rule::Shown,
            Role::Context,
            |l| l.kl_forget,
            "mean KL divergence of the answers from a retrained model's on the forget set, nats",
        ),
        entry(
            "kl_test",
            Rule::Shown,
            Role::Context,
            |l| l.kl_test,
            "mean KL divergence of the answers from a retrained model's on the test set, nats",
        ),
        entry(
            "dormant_accuracy",
            on(look.n_forget),
            Role::KnowsClass,
            |l| l.dormant_accuracy,
            "fraction of the forget set labelled correctly after one epoch of training on retained rows only",
        ),
    ]
}

impl Entry {
    /// The numbers, or `None` where this network or forget set has no such measure.
    pub(super) fn measure(
        &self,
        before: &Look,
        after: &Look,
        yardsticks: Option<&Yardsticks>,
    ) -> Option<Measure> {
        let (old, new) = ((self.of)(before)?, (self.of)(after)?);
        let pair = yardsticks.and_then(|y| Some(((self.of)(&y.first), (self.of)(&y.second)?)));
        // a divergence is measured from the first retrained model, so the second one's is the floor itself
        let (retrain, floor) = match pair {
            Some((Some(first), second)) if !self.is_divergence() => {
                (Some((first + second) / 2.0), Some((first - second).abs()))
            }
            Some((_, second)) => (Some(second), Some(second)),
            None => (None, None),
        };
        let half_width = match self.rule {
            Rule::Interval => after.attack.map(|attack| attack.half_width),
            Rule::Accuracy { n_rows } => Some(1.96 * standard_error(new, n_rows)),
            Rule::Divergence | Rule::Shown => None,
        };
        let tolerance = retrain.zip(floor).and_then(|(retrain, floor)| match self.rule {
            Rule::Accuracy { n_rows } => {
                // one model beside the mean of two
                let resolved = 1.96 * 1.5f64.sqrt() * standard_error(retrain, n_rows);
                Some([2.0 * floor, resolved, ACCURACY_RESOLUTION].into_iter().fold(0.0, f64::max))
            }
            Rule::Interval => Some(f64::max(2.0 * floor, half_width.unwrap_or(0.0))),
            Rule::Divergence => Some((DIVERGENCE_FACTOR - 1.0) * floor),
            Rule::Shown => None,
        });
        Some(Measure {
            before: old,
            after: new,
            retrain,
            floor,
            tolerance,
            power: retrain.map(|retrain| (old - retrain).abs()),
            half_width,
            ideal: if self.is_divergence() { "floor" } else { "retrain" }.to_owned(),
            definition: self.definition.to_owned(),
        })
    }

    /// Whether a value lies further from retraining than the measure's tolerance.
    pub(super) fn differs(&self, value: f64, measure: &Measure) -> bool {
        let (Some(retrain), Some(tolerance)) = (measure.retrain, measure.tolerance) else { return false };
        match self.rule {
            Rule::Divergence => value > retrain + tolerance,
            Rule::Accuracy { .. } | Rule::Interval | Rule::Shown => (value - retrain).abs() > tolerance,
        }
    }

    fn is_divergence(&self) -> bool {
        matches!(self.name, "js_forget" | "kl_forget" | "kl_test")
    }
}

/// Standard error of a fraction measured on `n_rows` rows.
fn standard_error(fraction: f64, n_rows: usize) -> f64 {
    (fraction * (1.0 - fraction) / n_rows as f64).sqrt()
}
