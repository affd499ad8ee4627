//! From findings to a report: which measures agree with retraining, and what may be said.

use super::finding::{Finding, Role};
use super::looks::{Look, Looks};
use crate::unlearn::Stopped;
use crate::unlearn::method::{Claim, Method};
use crate::unlearn::report::{ClassAccuracy, Report, Verdict};

/// A class that is still recognised this often has not been forgotten.
const FORGOTTEN: f64 = 0.01;

/// Retrained networks that label at most this part of the forget set correctly do not know it: it is a class, or
/// its labels are wrong or random.
const UNKNOWN: f64 = 0.5;

/// What was done, for the sentences.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    /// `None`: nothing.
    pub(super) method: Option<&'a Method>,
    /// A whole class was to be forgotten.
    pub(super) of_class: bool,
    pub(super) stopped: Option<&'a Stopped>,
}

pub(super) fn report(case: Case<'_>, looks: &Looks, findings: Vec<Finding>) -> Report {
    let (verdict, reason) = judge(case, looks, &findings);
    let worse_than_nothing = is_worse_than_nothing(&findings);
    let mut shortcomings = shortcomings(case, &looks.after, &findings);
    if let Some(sentence) = worse_than_nothing.clone() {
        shortcomings.push(sentence);
    }
    Report {
        verdict,
        reason,
        shortcomings,
        worse_than_nothing: worse_than_nothing.is_some(),
        metrics: findings.into_iter().map(|finding| (finding.name.to_owned(), finding.measure)).collect(),
        per_class: per_class(looks),
    }
}

fn judge(case: Case<'_>, looks: &Looks, findings: &[Finding]) -> (Verdict, String) {
    if let Some(stopped) = case.stopped {
        let name = case.method.map_or("nothing", Method::name);
        return (Verdict::Fail, format!("the guard stopped `{name}`: {}", stopped.reason));
    }
    let Some(retrained) = &looks.retrained else { return without_yardstick(case, &looks.after) };
    let known = retrained.iter().map(|look| look.forget.accuracy).sum::<f64>() / retrained.len() as f64;
    let telling: Vec<&str> = findings
        .iter()
        .filter(|finding| match finding.role {
            Role::Knows => known <= UNKNOWN,
            Role::Membership => true,
            Role::Harm | Role::Method | Role::Likeness | Role::Shown => false,
        })
        .filter(|finding| finding.would_tell())
        .map(|finding| finding.name)
        .collect();
    let judged = || findings.iter().filter(|finding| finding.role != Role::Shown && finding.differs());
    let outside: Vec<&str> = judged().map(|finding| finding.name).collect();
    // harm, and rows that stand out, count even where a failure to forget could not have been seen
    let plain_to_see = |role: Role| matches!(role, Role::Harm | Role::Membership | Role::Method);
    if judged().any(|finding| plain_to_see(finding.role)) {
        (Verdict::Fail, format!("differs from retraining in {}", outside.join(", ")))
    } else if telling.is_empty() {
        (Verdict::Inconclusive, no_power(known, findings))
    } else if outside.is_empty() {
        let telling = telling.join(", ");
        let reason = format!(
            "every measure agrees with retraining within its tolerance, and the original model would not have ({telling})"
        );
        (Verdict::Pass, reason)
    } else {
        (Verdict::Fail, format!("differs from retraining in {}", outside.join(", ")))
    }
}

fn without_yardstick(case: Case<'_>, after: &Look) -> (Verdict, String) {
    if still_known(case, after) {
        return (Verdict::Fail, "the class is still recognised".to_owned());
    }
    let basis = match case.method.map(Method::claim) {
        Some(Claim::Exact) => "; the claim `exact` rests on the process, which can be replayed",
        Some(Claim::Certified) => "; the claim `certified` rests on its certificate",
        Some(Claim::Empirical) | None => "",
    };
    let reason =
        format!("nothing to compare with: verify `standard` measures retrained models beside it{basis}");
    (Verdict::Inconclusive, reason)
}

/// Why nothing follows, in numbers.
fn no_power(known: f64, findings: &[Finding]) -> String {
    let mut said = Vec::new();
    let numbers = |name: &str| {
        let measure = &findings.iter().find(|finding| finding.name == name)?.measure;
        Some((measure.before, measure.retrain?))
    };
    if let Some((before, retrain)) = numbers("mia_auc") {
        said.push(format!(
            "the attack scores {before:.3} on the original and {retrain:.3} on retrained models"
        ));
    }
    if let Some((before, retrain)) = numbers("lira_members") {
        said.push(format!(
            "an attack with banks of models takes {:.1} % of the rows for members in the original and {:.1} % in retrained ones",
            100.0 * before,
            100.0 * retrain
        ));
    }
    if known > UNKNOWN {
        said.push(format!(
            "retrained models label {:.1} % of the rows correctly without having seen them",
            100.0 * known
        ));
    }
    format!(
        "no power: on this forget set not even the original model can be told from a retrained one ({}), so nothing follows \
         from what the new one shows",
        said.join("; ")
    )
}

/// The sentence, if doing nothing would have come nearer to retraining.
fn is_worse_than_nothing(findings: &[Finding]) -> Option<String> {
    let gap = &findings.iter().find(|finding| finding.name == "average_gap")?.measure;
    (gap.after > gap.before + gap.floor?).then(|| {
        format!(
            "worse than doing nothing: on average {:.2} points from retraining, where the original is {:.2} points from it",
            gap.after, gap.before
        )
    })
}

fn still_known(case: Case<'_>, after: &Look) -> bool {
    case.of_class && after.forget.accuracy > FORGOTTEN
}

fn shortcomings(case: Case<'_>, after: &Look, findings: &[Finding]) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(stopped) = case.stopped {
        all.push(stopped.reason.clone());
    }
    if still_known(case, after) {
        all.push(format!("{:.1} % of the class is still recognised", 100.0 * after.forget.accuracy));
    }
    if let (true, Some(dormant)) =
        (case.of_class, after.dormant_accuracy.filter(|&dormant| dormant > FORGOTTEN))
    {
        all.push(format!(
            "{:.1} % of the class comes back after one epoch of training on the others",
            100.0 * dormant
        ));
    }
    all.extend(findings.iter().filter(|finding| finding.differs()).map(Finding::sentence));
    all
}

fn per_class(looks: &Looks) -> Vec<ClassAccuracy> {
    let accuracy = |look: &Look, class: usize| {
        let (rows, hits) = look.per_class[class];
        hits as f64 / rows as f64
    };
    let of_class = |(class, &(rows, _)): (usize, &(u64, u64))| {
        let retrain = looks.retrained.as_ref().map(|[a, b]| (accuracy(a, class) + accuracy(b, class)) / 2.0);
        (rows > 0).then(|| ClassAccuracy {
            class: class as u32,
            rows,
            before: accuracy(&looks.before, class),
            after: accuracy(&looks.after, class),
            retrain,
        })
    };
    looks.before.per_class.iter().enumerate().filter_map(of_class).collect()
}
