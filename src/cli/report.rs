//! An unlearning report as people read it.

use super::draw::{Color, Style, Table, percent};
use serde_json::Value;
use std::fmt::Write as _;

/// The measures people ask for first; the others follow by name.
const FIRST: [(&str, &str); 8] = [
    ("forget_accuracy", "on the forgotten rows"),
    ("retain_accuracy", "on the rows it keeps"),
    ("test_accuracy", "on test images"),
    ("forget_class_test_accuracy", "on the class's test images"),
    ("relearn_accuracy", "comes back after an epoch"),
    ("mia_auc", "membership attack (AUC)"),
    ("mia_tpr", "membership attack (TPR)"),
    ("kl_forget", "KL to retrain, forgotten"),
];

/// The whole report: a heading, the table, the verdict and what was not achieved.
pub fn render(report: &Value, style: Style) -> String {
    let mut text = format!("{}\n\n{}\n", heading(report, style), table(report, style));
    let verdict = report["verdict"].as_str().unwrap_or("inconclusive");
    let color = match verdict {
        "pass" => Color::Green,
        "fail" => Color::Red,
        _ => Color::Yellow,
    };
    let painted = style.bold(&style.paint(color, verdict));
    let _ =
        writeln!(text, "  verdict: {painted}. {}", sentence(report["reason"].as_str().unwrap_or_default()));
    for shortcoming in report["shortcomings"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "  - {}", sentence(shortcoming.as_str().unwrap_or_default()));
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
    let method = report["method"].as_str().unwrap_or("?");
    let claim = report["claim"].as_str().map(|claim| format!(", claim: {claim}")).unwrap_or_default();
    style.bold(&format!(
        "{} forgot {what}{rows} by {method}{claim}; the result is {}",
        name(&report["parent"]),
        name(&report["child"])
    ))
}

/// The forget set in words.
pub fn forgotten(forget: &Value) -> String {
    if let Some(class) = forget["class"].as_u64() {
        return format!("class {class}");
    }
    match &forget["subjects"] {
        Value::Number(count) => return format!("the rows of {count} writer(s)"),
        Value::Array(subjects) if subjects.len() == 1 => return format!("writer {}", subjects[0]),
        Value::Array(subjects) => return format!("{} writers", subjects.len()),
        _ => {}
    }
    if let Some(fraction) = forget["sample"]["fraction"].as_f64() {
        return format!("a sample of {}", percent(fraction));
    }
    "rows".to_owned()
}

/// Before, after, and what models say that never saw the rows.
pub fn table(report: &Value, style: Style) -> String {
    let empty = serde_json::Map::new();
    let metrics = report["metrics"].as_object().unwrap_or(&empty);
    let retrained = metrics.values().any(|measure| measure["retrain"].is_number());
    let mut table = if retrained {
        Table::new(["", "before", "after", "retrained", "floor"])
    } else {
        Table::new(["", "before", "after"])
    };
    let known = FIRST.iter().map(|(name, _)| *name);
    let others =
        metrics.keys().map(String::as_str).filter(|name| FIRST.iter().all(|(first, _)| first != name));
    for name in known.chain(others) {
        let Some(measure) = metrics.get(name) else { continue };
        let columns: &[&str] =
            if retrained { &["before", "after", "retrain", "floor"] } else { &["before", "after"] };
        let cells = columns.iter().map(|column| number(name, &measure[column]));
        table.row(std::iter::once(label(name)).chain(cells));
    }
    table.render(2, style)
}

fn label(name: &str) -> String {
    FIRST
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
    match characters.next() {
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
            "verdict": "pass", "reason": "every measure lies where retrained models lie",
            "shortcomings": ["the second epoch was not needed"],
            "seconds": {"unlearn": 0.214, "verify": 3.2, "retrain": null},
            "metrics": {
                "kl_test": {"before": 0.31234, "after": 0.0123, "retrain": retrain, "floor": 0.01},
                "test_accuracy": {"before": 0.98, "after": 0.979, "retrain": retrain, "floor": 0.001},
                "forget_accuracy": {"before": 0.9987, "after": 0.0, "retrain": retrain, "floor": 0.0},
            }
        })
    }

    #[test]
    fn a_report_reads_from_what_was_asked_to_how_it_went() {
        let expected = "\
digits:1 forgot class 3 (6131 rows) by gradient_ascent, claim: empirical; the result is digits:2

                           before     after   retrained    floor
  on the forgotten rows   99.87 %    0.00 %      0.00 %   0.00 %
  on test images          98.00 %   97.90 %      0.00 %   0.10 %
  kl test                  0.3123    0.0123      0.0000   0.0100

  verdict: pass. Every measure lies where retrained models lie.
  - The second epoch was not needed.
  time: unlearn 0.21 s, verify 3.20 s
";
        assert_eq!(render(&report(Some(0.0)), Style::PLAIN), expected);
    }

    #[test]
    fn without_retrained_models_there_are_no_such_columns() {
        let text = render(&report(None), Style::PLAIN);
        assert!(text.contains("before     after\n") && !text.contains("retrained  "), "{text}");
    }

    #[test]
    fn forget_sets_have_words() {
        for (forget, words) in [
            (json!({"subjects": [2120]}), "writer 2120"),
            (json!({"subjects": 3}), "the rows of 3 writer(s)"),
            (json!({"sample": {"fraction": 0.01, "seed": 1}}), "a sample of 1.00 %"),
            (json!({"rows": 17}), "rows"),
        ] {
            assert_eq!(forgotten(&forget), words);
        }
    }
}
