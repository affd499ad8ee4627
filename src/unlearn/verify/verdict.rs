//! From numbers to a report: which of them agree with retraining, and what may be said.

use super::looks::{Look, Yardsticks};
use super::measures::{Role, entries};
use crate::unlearn::method::{Claim, Method};
use crate::unlearn::report::{Report, Verdict};
use crate::unlearn::{Task, Unlearned};
use std::collections::BTreeMap;

/// A class that is still recognised this often has not been forgotten.
const FORGOTTEN: f64 = 0.01;

/// What the comparison with retraining came to.
#[derive(Default)]
struct Findings {
    /// Measures of the new model outside their tolerance, with a sentence each.
    differing: Vec<(&'static str, Role, String)>,
    /// Measures in which the original model lies outside: failures would have been seen there.
    telling: Vec<&'static str>,
}

pub(super) fn report(
    method: &Method,
    task: &Task<'_>,
    outcome: &Unlearned,
    before: &Look,
    after: &Look,
    yardsticks: Option<&Yardsticks>,
) -> Report {
    let mut metrics = BTreeMap::new();
    let mut findings = Findings::default();
    for entry in entries(task, after) {
        let Some(measure) = entry.measure(before, after, yardsticks) else { continue };
        if let (true, Some(retrain), Some(tolerance)) =
            (entry.differs(measure.after, &measure), measure.retrain, measure.tolerance)
        {
            let sentence = format!(
                "{} is {:.4}; retrained models have {retrain:.4} ± {tolerance:.4}",
                entry.name, measure.after
            );
            findings.differing.push((entry.name, entry.role, sentence));
        }
        let can_tell = match entry.role {
            Role::KnowsClass => task.class.is_some(),
            Role::Membership => true,
            Role::Harm | Role::Context => false,
        };
        if can_tell && entry.differs(measure.before, &measure) {
            findings.telling.push(entry.name);
        }
        metrics.insert(entry.name.to_owned(), measure);
    }
    let (verdict, reason) = judge(method, task, outcome, after, yardsticks.is_some(), &findings);
    Report { verdict, reason, shortcomings: shortcomings(task, outcome, after, findings), metrics }
}

fn judge(
    method: &Method,
    task: &Task<'_>,
    outcome: &Unlearned,
    after: &Look,
    compared: bool,
    findings: &Findings,
) -> (Verdict, String) {
    if let Some(stopped) = &outcome.stopped {
        return (Verdict::Fail, format!("the guard stopped `{}`: {}", method.name(), stopped.reason));
    }
    if !compared {
        return if still_known(task, after) {
            (Verdict::Fail, "the class is still recognised".to_owned())
        } else {
            let basis = match method.claim() {
                Claim::Exact => "; the claim `exact` rests on the process, which can be replayed",
                Claim::Certified => "; the claim `certified` rests on its certificate",
                Claim::Empirical => "",
            };
            let reason = format!(
                "nothing to compare with: verify `standard` measures retrained models beside it{basis}"
            );
            (Verdict::Inconclusive, reason)
        };
    }
    let outside: Vec<&str> = findings.differing.iter().map(|&(name, ..)| name).collect();
    // harm, and rows that stand out, count even where a failure to forget could not have been seen
    let plain_to_see = |role: Role| matches!(role, Role::Harm | Role::Membership);
    if findings.differing.iter().any(|&(_, role, _)| plain_to_see(role)) {
        (Verdict::Fail, format!("differs from retraining in {}", outside.join(", ")))
    } else if findings.telling.is_empty() {
        let reason = "no power: on this forget set the attack cannot tell even the original model from a retrained one, so \
                      nothing follows from what the new one shows";
        (Verdict::Inconclusive, reason.to_owned())
    } else if !outside.is_empty() {
        (Verdict::Fail, format!("differs from retraining in {}", outside.join(", ")))
    } else {
        let reason = format!(
            "every measure agrees with retraining within its tolerance, and the original model would not have ({})",
            findings.telling.join(", ")
        );
        (Verdict::Pass, reason)
    }
}

fn still_known(task: &Task<'_>, after: &Look) -> bool {
    task.class.is_some() && after.forget.accuracy > FORGOTTEN
}

fn shortcomings(task: &Task<'_>, outcome: &Unlearned, after: &Look, findings: Findings) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(stopped) = &outcome.stopped {
        all.push(stopped.reason.clone());
    }
    if still_known(task, after) {
        all.push(format!("{:.1} % of the class is still recognised", 100.0 * after.forget.accuracy));
    }
    if let (Some(_), Some(dormant)) =
        (task.class, after.dormant_accuracy.filter(|&dormant| dormant > FORGOTTEN))
    {
        all.push(format!(
            "{:.1} % of the class comes back after one epoch of training on the others",
            100.0 * dormant
        ));
    }
    all.extend(findings.differing.into_iter().map(|(_, _, sentence)| sentence));
    all
}
