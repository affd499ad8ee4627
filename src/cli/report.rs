//! The report of an unlearning or an audit as people read it.

use super::draw::{Color, Style, Table, WIDTH, percent, wrap};
use serde_json::Value;
use std::fmt::Write as _;

/// The measures in the order people ask for them; unknown ones follow by name.
const KNOWN: [(&str, &str); 27] = [
    ("forget_accuracy", "on the forgotten rows"),
    ("retain_accuracy", "on the rows it keeps"),
    ("test_accuracy", "on test images"),
    ("test_class_accuracy", "on the class's test images"),
    ("relearn_accuracy", "after relearning"),
    ("dormant_accuracy", "dormant knowledge"),
    ("mia_auc", "membership attack, AUC"),
    ("mia_tpr_at_1pct_fpr", "membership attack, TPR"),
    ("mia_entropy_auc", "by entropy, AUC"),
    ("mia_m_entropy_auc", "by modified entropy, AUC"),
    ("lira_members", "members by LiRA"),
    ("loss_distance", "distance of losses"),
    ("relearn_ratio", "steps to relearn, ratio"),
    ("forget_loss", "loss on the forgotten rows"),
    ("average_gap", "average gap, points"),
    ("tow", "tug-of-war"),
    ("js_forget", "JS to retrain, forgotten"),
    ("js_test", "JS to retrain, test"),
    ("kl_forget", "KL to retrain, forgotten"),
    ("kl_test", "KL to retrain, test"),
    ("epsilon_mean", "epsilon, mean"),
    ("epsilon_p95", "epsilon, 95th percentile"),
    ("ulira_accuracy", "U-LiRA, accuracy"),
    ("ulira_auc", "U-LiRA, AUC"),
    ("klom_forget", "KLOM, forgotten"),
    ("klom_retain", "KLOM, retained"),
    ("klom_held_out", "KLOM, held out"),
];

/// How much of a report is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    Full,
    /// What newcomers can read without a glossary: the accuracies.
    Accuracies,
}

/// The whole report: a heading, the table, the verdict and what was not achieved.
pub fn render(report: &Value, detail: Detail, style: Style) -> String {
    let mut text = format!("{}\n\n{}\n", heading(report, style), table(report, detail, style));
    let verdict = report["verdict"].as_str().unwrap_or("inconclusive");
    let color = match verdict {
        "pass" => Color::Green,
        "fail" => Color::Red,
        _ => Color::Yellow,
    };
    let painted = style.bold(&style.paint(color, verdict));
    let reason = report["reason"].as_str().unwrap_or_default();
    let verdict = format!("verdict: {painted}. {}", sentence(reason));
    let _ = writeln!(text, "  {}", wrap(&verdict, 2, WIDTH));
    if detail == Detail::Full {
        let shortcomings = report["shortcomings"].as_array().into_iter().flatten().filter_map(Value::as_str);
        // the verdict has said one of them already
        for shortcoming in shortcomings.filter(|shortcoming| !reason.contains(shortcoming)) {
            let _ = writeln!(text, "  - {}", wrap(&sentence(shortcoming), 4, WIDTH));
        }
        for decision in decisions(report) {
            let _ = writeln!(text, "  {}", wrap(&decision, 2, WIDTH));
        }
    }
    let seconds: Vec<String> = ["unlearn", "verify", "retrain"]
        .iter()
        .filter_map(|part| Some(format!("{part} {:.2} s", report["seconds"][part].as_f64()?)))
        .collect();
    if !seconds.is_empty() {
        let _ = writeln!(text, "  {}", style.dim(&format!("time: {}", seconds.join(", "))));
    }
    text
}

fn heading(report: &Value, style: Style) -> String {
    let name = |version: &Value| match (version["model"].as_str(), version["version"].as_u64()) {
        (Some(model), Some(number)) => format!("{model}:{number}"),
        _ => "?".to_owned(),
    };
    let rows = report["forget"]["rows"].as_u64().map(|rows| format!(" ({rows} rows)")).unwrap_or_default();
    let what = forgotten(&report["forget"]);
    let claim = report["claim"].as_str().unwrap_or("?");
    if report["child"].is_null() {
        let title = format!("{} and {what}{rows}", name(&report["model"]));
        let history = match report["method"].as_str() {
            Some(method) => format!("made to forget by {method} (claim: {claim})"),
            None => "audited, whether it was made to forget or not".to_owned(),
        };
        return format!("{}\n  {history}; the original is {}", style.bold(&title), name(&report["before"]));
    }
    let title = format!("{} forgot {what}{rows}", name(&report["parent"]));
    let method = report["method"].as_str().unwrap_or("?");
    format!(
        "{}\n  by {method} (claim: {claim}); the result is {}",
        style.bold(&title),
        name(&report["child"])
    )
}

/// What the guard, the alias and the revocation came to.
fn decisions(report: &Value) -> Vec<String> {
    let mut said = Vec::new();
    if report["guard"]["rolled_back"] == true {
        said.push("the guard stopped it; an earlier, safe state is kept".to_owned());
    }
    let why = |value: &Value| value["why_not"].as_str().unwrap_or("no reason given").to_owned();
    if let Some(alias) = report["promote"]["alias"].as_str() {
        said.push(match report["promote"]["moved"].as_bool() {
            Some(true) => format!("alias `{alias}` points at the result now"),
            _ => format!("alias `{alias}` stays: {}", why(&report["promote"])),
        });
    }
    match report["revoke_parent"]["revoked"].as_bool() {
        Some(true) => said.push("the original is revoked; its weights are deleted".to_owned()),
        Some(false) => said.push(format!("the original stays: {}", why(&report["revoke_parent"]))),
        None => {}
    }
    said
}

/// The forget set in words.
pub fn forgotten(forget: &Value) -> String {
    if let Some(class) = forget["class"].as_u64() {
        return format!("class {class}");
    }
    match &forget["subjects"] {
        Value::Number(count) if count.as_u64() == Some(1) => return "one writer".to_owned(),
        Value::Number(count) => return format!("{count} writers"),
        Value::Array(subjects) if subjects.len() == 1 => return format!("writer {}", subjects[0]),
        Value::Array(subjects) => return format!("{} writers", subjects.len()),
        _ => {}
    }
    if let Some(fraction) = forget["sample"]["fraction"].as_f64() {
        return format!("a sample of {}", percent(fraction));
    }
    if forget["planted"] == true {
        return "the planted rows".to_owned();
    }
    if forget["most_memorised"].is_object() {
        return "the most memorised rows".to_owned();
    }
    "rows".to_owned()
}

/// Before, after, and what models say that never saw the rows.
fn table(report: &Value, detail: Detail, style: Style) -> String {
    let empty = serde_json::Map::new();
    let metrics = report["metrics"].as_object().unwrap_or(&empty);
    let retrained = metrics.values().any(|measure| measure["retrain"].is_number());
    let mut table = if retrained {
        Table::new(["", "before", "after", "retrained", "floor"])
    } else {
        Table::new(["", "before", "after"])
    };
    let known = KNOWN.iter().map(|(name, _)| *name);
    let others =
        metrics.keys().map(String::as_str).filter(|name| KNOWN.iter().all(|(known, _)| known != name));
    for name in known.chain(others) {
        let Some(measure) = metrics.get(name) else { continue };
        if detail == Detail::Accuracies && !name.ends_with("_accuracy") {
            continue;
        }
        let columns: &[&str] =
            if retrained { &["before", "after", "retrain", "floor"] } else { &["before", "after"] };
        let cells = columns.iter().map(|column| number(name, &measure[column]));
        table.row(std::iter::once(label(name)).chain(cells));
    }
    table.render(2, style)
}

fn label(name: &str) -> String {
    KNOWN
        .iter()
        .find(|(known, _)| *known == name)
        .map_or_else(|| name.replace('_', " "), |(_, words)| (*words).to_owned())
}

fn number(name: &str, value: &Value) -> String {
    match value.as_f64() {
        None => "-".to_owned(),
        Some(value) if name.contains("accuracy") || name.contains("tpr") => percent(value),
        Some(value) => format!("{value:.4}"),
    }
}

/// Begins with a capital and ends with a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let mut characters = text.chars();
    // a measure's name stays as it is written elsewhere
    let first_word = text.split([' ', ',']).next().unwrap_or_default();
    match characters.next() {
        Some(_) if first_word.contains(['_', '`']) => format!("{text}."),
        Some(first) => format!("{}{}.", first.to_uppercase(), characters.as_str()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(retrain: Option<f64>) -> Value {
        json!({
            "parent": {"model": "digits", "version": 1}, "child": {"model": "digits", "version": 2},
            "forget": {"class": 3, "rows": 6131}, "method": "gradient_ascent", "claim": "empirical",
            "verdict": "fail", "reason": "the guard stopped it: the retained rows fell too far",
            "shortcomings": ["the retained rows fell too far", "kl_test is 0.0123"],
            "guard": {"reason": "the retained rows fell too far", "rolled_back": true},
            "promote": {"alias": "prod", "moved": false, "why_not": "the guard stopped the method"},
            "revoke_parent": {"revoked": true, "why_not": null},
            "seconds": {"unlearn": 0.214, "verify": 3.2, "retrain": null},
            "metrics": {
                "new_measure": {"before": 1.0, "after": 0.5, "retrain": retrain, "floor": 0.0},
                "kl_test": {"before": 0.31234, "after": 0.0123, "retrain": retrain, "floor": 0.01},
                "test_accuracy": {"before": 0.98, "after": 0.979, "retrain": retrain, "floor": 0.001},
                "forget_accuracy": {"before": 0.9987, "after": 0.0, "retrain": retrain, "floor": 0.0},
            }
        })
    }

    #[test]
    fn a_report_reads_from_what_was_asked_to_how_it_went() {
        let expected = "\
digits:1 forgot class 3 (6131 rows)
  by gradient_ascent (claim: empirical); the result is digits:2

                           before     after   retrained    floor
  on the forgotten rows   99.87 %    0.00 %      0.00 %   0.00 %
  on test images          98.00 %   97.90 %      0.00 %   0.10 %
  KL to retrain, test      0.3123    0.0123      0.0000   0.0100
  new measure              1.0000    0.5000      0.0000   0.0000

  verdict: fail. The guard stopped it: the retained rows fell too far.
  - kl_test is 0.0123.
  the guard stopped it; an earlier, safe state is kept
  alias `prod` stays: the guard stopped the method
  the original is revoked; its weights are deleted
  time: unlearn 0.21 s, verify 3.20 s
";
        assert_eq!(render(&report(Some(0.0)), Detail::Full, Style::PLAIN), expected);
    }

    #[test]
    fn an_audit_says_which_version_it_looked_at_and_which_was_the_original() {
        let mut audit = report(None);
        audit["child"] = Value::Null;
        audit["model"] = json!({"model": "digits", "version": 2});
        audit["before"] = json!({"model": "digits", "version": 1});
        let text = render(&audit, Detail::Full, Style::PLAIN);
        let expected = "digits:2 and class 3 (6131 rows)\n  made to forget by gradient_ascent (claim: empirical); \
                        the original is digits:1\n";
        assert!(text.starts_with(expected), "{text}");
        audit["method"] = Value::Null;
        let text = render(&audit, Detail::Full, Style::PLAIN);
        assert!(text.contains("whether it was made to forget or not; the original is digits:1"), "{text}");
    }

    #[test]
    fn without_retrained_models_there_are_no_such_columns() {
        let text = render(&report(None), Detail::Full, Style::PLAIN);
        assert!(text.contains("before     after\n") && !text.contains("retrained  "), "{text}");
    }

    #[test]
    fn newcomers_are_spared_what_needs_a_glossary() {
        let text = render(&report(None), Detail::Accuracies, Style::PLAIN);
        assert!(
            text.contains("on test images") && !text.contains("KL") && !text.contains("kl_test"),
            "{text}"
        );
    }

    #[test]
    fn forget_sets_have_words() {
        for (forget, words) in [
            (json!({"subjects": [2120]}), "writer 2120"),
            (json!({"subjects": 3}), "3 writers"),
            (json!({"subjects": 1}), "one writer"),
            (json!({"sample": {"fraction": 0.01, "seed": 1}}), "a sample of 1.00 %"),
            (json!({"rows": 17}), "rows"),
            (json!({"planted": true, "rows": 400}), "the planted rows"),
            (json!({"most_memorised": {"rows": 600, "seed": 1}}), "the most memorised rows"),
        ] {
            assert_eq!(forgotten(&forget), words);
        }
    }
}
