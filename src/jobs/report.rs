//! The report of an unlearning run: what was measured, what follows from it, and who and when.

use super::lineage::ACHIEVED;
use crate::artifacts;
use crate::domain::{Bound, ForgetSet, Run, Unlearn};
use crate::unlearn::{Claim, Report, Unlearned, Verdict};
use serde_json::{Value, json};

/// Seconds of the steps. `verify` leaves out what it spent retraining; `retrain` is the mean of one retraining.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seconds {
    pub(super) unlearn: f64,
    pub(super) verify: f64,
    pub(super) retrain: Option<f64>,
}

/// Who asked for what.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) run: &'a Run,
    pub(super) order: &'a Unlearn,
    /// Sorted.
    pub(super) forget: &'a [u32],
    pub(super) digest: &'a str,
    pub(super) seconds: Seconds,
}

/// What follows from the measures: whether the alias moves and the parent goes.
#[derive(Debug)]
pub(super) struct Judged {
    bounds: Vec<Checked>,
    /// Why the alias stays; `None` when it moves, or when no one asked.
    stays: Option<String>,
    /// Why the parent stays, likewise.
    unrevoked: Option<String>,
    promotes: bool,
    revokes: bool,
}

/// A stated bound beside what was measured.
#[derive(Debug)]
struct Checked {
    name: &'static str,
    lte: f64,
    value: Option<f64>,
}

impl Checked {
    fn holds(&self) -> bool {
        self.value.is_some_and(|value| value <= self.lte)
    }

    fn sentence(&self) -> String {
        match self.value {
            Some(value) => format!("`{}` is {value:.4}, above {}", self.name, self.lte),
            None => format!("`{}` was not measured", self.name),
        }
    }
}

impl Judged {
    /// A result the guard had to stop moves and revokes nothing. Otherwise stated bounds decide about the
    /// alias (without any, a verdict of `fail` keeps it), and the parent, whose weights would be gone for
    /// good, only goes when they hold and the verdict is not `fail`. The verdict does not count against an
    /// exact method, whose claim rests on how it was done.
    pub(super) fn of(order: &Unlearn, outcome: &Unlearned, measured: &Report) -> Self {
        let bounds = check(order, measured);
        let broken: Vec<String> = bounds.iter().filter(|b| !b.holds()).map(Checked::sentence).collect();
        let failed = is_refuted(order, measured);
        let obstacle = match &outcome.stopped {
            Some(stopped) => Some(format!("the guard stopped the method: {}", stopped.reason)),
            None if !broken.is_empty() => Some(broken.join("; ")),
            None => None,
        };
        let verdict = || format!("the verdict is `fail`: {}", measured.reason);
        let stays = obstacle.clone().or_else(|| (failed && bounds.is_empty()).then(verdict));
        let unrevoked = obstacle.or_else(|| failed.then(verdict));
        Self {
            bounds,
            promotes: order.promote.is_some() && stays.is_none(),
            revokes: order.revoke_parent && unrevoked.is_none(),
            stays: stays.filter(|_| order.promote.is_some()),
            unrevoked: unrevoked.filter(|_| order.revoke_parent),
        }
    }

    pub(super) fn promoted_alias<'a>(&self, order: &'a Unlearn) -> Option<&'a str> {
        order.promote.as_ref().filter(|_| self.promotes).map(|promote| promote.alias.as_str())
    }

    pub(super) fn revokes(&self) -> bool {
        self.revokes
    }
}

/// Whether the measures contradict that the rows are forgotten.
fn is_refuted(order: &Unlearn, measured: &Report) -> bool {
    measured.verdict == Verdict::Fail && order.method.claim() == Claim::Empirical
}

fn check(order: &Unlearn, measured: &Report) -> Vec<Checked> {
    let Some(promote) = &order.promote else { return vec![] };
    let measure = |name: &str| measured.metrics.get(name);
    let drop_of = |name: &str| measure(name).map(|m| m.before - m.after);
    let stated: [(&'static str, Option<Bound>, Option<f64>); 3] = [
        ("forget_accuracy", promote.only_if.forget_accuracy, measure("forget_accuracy").map(|m| m.after)),
        ("retain_accuracy_drop", promote.only_if.retain_accuracy_drop, drop_of("retain_accuracy")),
        ("test_accuracy_drop", promote.only_if.test_accuracy_drop, drop_of("test_accuracy")),
    ];
    stated
        .into_iter()
        .filter_map(|(name, bound, value)| bound.map(|bound| Checked { name, lte: bound.lte, value }))
        .collect()
}

/// The report without `child`, which the store adds.
pub(super) fn report(told: &Told<'_>, outcome: &Unlearned, measured: &Report, judged: &Judged) -> Value {
    let order = told.order;
    let promote = order.promote.as_ref().map(|promote| {
        let bounds: Vec<Value> = judged
            .bounds
            .iter()
            .map(|b| json!({ "bound": b.name, "lte": b.lte, "value": b.value, "holds": b.holds() }))
            .collect();
        json!({ "alias": promote.alias, "moved": judged.promotes, "why_not": judged.stays, "bounds": bounds })
    });
    let revoke =
        order.revoke_parent.then(|| json!({ "revoked": judged.revokes, "why_not": judged.unrevoked }));
    let guard = outcome
        .stopped
        .as_ref()
        .map(|stopped| json!({ "reason": stopped.reason, "rolled_back": stopped.rolled_back }));
    json!({
        "run": told.run.id,
        "parent": order.parent,
        "forget": forget(&order.forget, told.forget.len(), told.digest),
        "method": order.method.name(),
        "hyperparameters": order.method.hyperparameters(),
        "verify": order.verify,
        "claim": order.method.claim(),
        "verdict": measured.verdict,
        "reason": measured.reason,
        "shortcomings": measured.shortcomings,
        "worse_than_nothing": measured.worse_than_nothing,
        "guard": guard,
        "certificate": outcome.certificate,
        "promote": promote,
        "revoke_parent": revoke,
        "seconds": {
            "unlearn": told.seconds.unlearn,
            "verify": told.seconds.verify,
            "retrain": told.seconds.retrain,
        },
        "metrics": measured.metrics,
        "per_class": measured.per_class,
    })
}

/// What a list of versions shows of the child.
pub(super) fn metrics(order: &Unlearn, outcome: &Unlearned, measured: &Report) -> Value {
    let mut metrics = json!({
        "claim": order.method.claim(),
        "verdict": measured.verdict,
        "rolled_back": outcome.stopped.as_ref().is_some_and(|stopped| stopped.rolled_back),
        ACHIEVED: outcome.stopped.is_none() && !is_refuted(order, measured),
    });
    for name in ["test_accuracy", "forget_accuracy", "retain_accuracy"] {
        if let Some(after) = measured.metrics.get(name).map(|m| m.after) {
            metrics[name] = json!(after);
        }
    }
    metrics
}

pub(super) const fn claim_name(claim: Claim) -> &'static str {
    match claim {
        Claim::Exact => "exact",
        Claim::Certified => "certified",
        Claim::Empirical => "empirical",
    }
}

pub(super) const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "inconclusive",
    }
}

/// `sha256:` over the sorted row ids, each as four little-endian bytes.
pub(super) fn rows_digest(rows: &[u32]) -> String {
    let bytes: Vec<u8> = rows.iter().flat_map(|row| row.to_le_bytes()).collect();
    artifacts::digest(&bytes)
}

/// What was asked for, with the number of rows it meant. Rows and people are counted, not listed.
pub(super) fn forget(set: &ForgetSet, n_rows: usize, digest: &str) -> Value {
    let mut told = match set {
        ForgetSet::Class(class) => json!({ "class": class }),
        ForgetSet::Rows(_) => json!({}),
        ForgetSet::Subjects(subjects) => json!({ "subjects": subjects.len() }),
        ForgetSet::Sample(sample) => json!({ "sample": sample }),
        ForgetSet::Planted => json!({ "planted": true }),
        ForgetSet::MostMemorised(wanted) => {
            json!({ "most_memorised": { "rows": wanted.rows, "seed": wanted.seed } })
        }
    };
    told["rows"] = json!(n_rows);
    told["digest"] = json!(digest);
    told
}
