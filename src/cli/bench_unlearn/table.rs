//! The grid as Markdown for people and as CSV for programs.

use super::grid::Row;
use super::sets::Kind;
use crate::unlearn::{Measure, Verdict};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A column: its heading, its measure, what a value is multiplied by, and its digits.
type Column = (&'static str, &'static str, f64, usize);

const COLUMNS: [Column; 8] = [
    ("forget acc. %", "forget_accuracy", 100.0, 2),
    ("retain acc. %", "retain_accuracy", 100.0, 2),
    ("test acc. %", "test_accuracy", 100.0, 2),
    ("AUC", "mia_auc", 1.0, 3),
    ("JS bits", "js_forget", 1.0, 4),
    ("dormant %", "dormant_accuracy", 100.0, 2),
    ("relearn", "relearn_ratio", 1.0, 2),
    ("**avg gap**", "average_gap", 1.0, 2),
];

/// Only where banks were compared.
const BANK_COLUMNS: [Column; 4] = [
    ("ε", "epsilon_mean", 1.0, 2),
    ("U-LiRA acc.", "ulira_accuracy", 1.0, 3),
    ("KLOM forget", "klom_forget", 1.0, 2),
    ("LiRA members %", "lira_members", 100.0, 1),
];

pub(super) fn markdown(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut kinds: Vec<Kind> = rows.iter().map(|row| row.kind).collect();
    kinds.dedup();
    for kind in kinds {
        let of_kind: Vec<&Row> = rows.iter().filter(|row| row.kind == kind).collect();
        section(&mut text, kind, &of_kind);
    }
    text
}

fn section(text: &mut String, kind: Kind, rows: &[&Row]) {
    let Some(first) = rows.first() else { return };
    let mut seeds: Vec<u64> = rows.iter().map(|row| row.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    writeln!(
        text,
        "### {}: {} ({} rows; {} seed{}, mean ± standard deviation)\n",
        first.dataset,
        kind.title(),
        first.n_rows,
        seeds.len(),
        if seeds.len() == 1 { "" } else { "s" }
    )
    .expect("a string takes everything");
    let columns: Vec<Column> = COLUMNS
        .into_iter()
        .chain(BANK_COLUMNS)
        .filter(|column| rows.iter().any(|row| row.report.metrics.contains_key(column.1)))
        .collect();
    let headings: Vec<&str> = columns.iter().map(|column| column.0).collect();
    line(text, ["method"].into_iter().chain(headings).chain(["time %", "verdict"]).map(str::to_owned));
    line(text, std::iter::repeat_n("---".to_owned(), columns.len() + 3));
    let mut single: Vec<&Row> = rows.iter().copied().filter(|row| row.method != "sisa").collect();
    // what banks that change places show depends on both: of two equal ones it is what retraining was compared with
    single.sort_by_key(|row| row.method != "retrain");
    yardstick(text, "*retrained models, mean*", &columns, &single, |measure| measure.retrain);
    yardstick(text, "*distance of two retrained models*", &columns, &single, |measure| measure.floor);
    let mut methods: Vec<&str> = Vec::new();
    rows.iter().for_each(|row| {
        if !methods.contains(&row.method) {
            methods.push(row.method);
        }
    });
    let by_gap = |name: &&str| {
        let gaps = values(rows, name, |row| row.report.metrics.get("average_gap").map(|m| m.after));
        (*name != "nothing", mean(&gaps).unwrap_or(f64::INFINITY))
    };
    methods.sort_by(|a, b| by_gap(a).partial_cmp(&by_gap(b)).expect("gaps are numbers"));
    for method in methods {
        let of = |column: &Column| {
            let found = values(rows, method, |row| row.report.metrics.get(column.1).map(|m| m.after));
            spread(&found, column.2, column.3)
        };
        let time = values(rows, method, |row| Some(100.0 * row.seconds / row.retrain_s));
        let cells = [method.to_owned()].into_iter().chain(columns.iter().map(of));
        line(text, cells.chain([spread(&time, 1.0, 0), verdicts(rows, method)]));
    }
    text.push('\n');
}

fn yardstick(
    text: &mut String,
    name: &str,
    columns: &[Column],
    rows: &[&Row],
    of: impl Fn(&Measure) -> Option<f64>,
) {
    let cell = |column: &Column| {
        // but for banks the same for every method of a seed
        let mut seeds: BTreeMap<u64, f64> = BTreeMap::new();
        for row in rows {
            if let Some(value) = row.report.metrics.get(column.1).and_then(&of) {
                seeds.entry(row.seed).or_insert(value);
            }
        }
        spread(&seeds.into_values().collect::<Vec<_>>(), column.2, column.3)
    };
    let cells = [name.to_owned()].into_iter().chain(columns.iter().map(cell));
    line(text, cells.chain([String::new(), String::new()]));
}

fn verdicts(rows: &[&Row], method: &str) -> String {
    let of =
        |verdict| rows.iter().filter(|row| row.method == method && row.report.verdict == verdict).count();
    let stopped = rows.iter().filter(|row| row.method == method && row.stopped).count();
    let worse = rows.iter().any(|row| row.method == method && row.report.worse_than_nothing);
    let mut said: Vec<String> = [
        (of(Verdict::Pass), "pass"),
        (of(Verdict::Fail), "fail"),
        (of(Verdict::Inconclusive), "inconclusive"),
        (stopped, "stopped by the guard"),
    ]
    .into_iter()
    .filter(|&(n, _)| n > 0)
    .map(|(n, name)| format!("{n} {name}"))
    .collect();
    if worse {
        said.push("worse than nothing".to_owned());
    }
    said.join(", ")
}

fn values(rows: &[&Row], method: &str, of: impl Fn(&Row) -> Option<f64>) -> Vec<f64> {
    rows.iter().filter(|row| row.method == method).filter_map(|row| of(row)).collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// `mean ± standard deviation` (of the sample), the latter only of several values.
fn spread(values: &[f64], scale: f64, digits: usize) -> String {
    let Some(mean) = mean(values) else { return "–".to_owned() };
    let centre = format!("{:.digits$}", scale * mean);
    if values.len() < 2 {
        return centre;
    }
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    let deviation = (squares / (values.len() - 1) as f64).sqrt();
    format!("{centre} ± {:.digits$}", scale * deviation)
}

fn line(text: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    writeln!(text, "| {} |", cells.join(" | ")).expect("a string takes everything");
}

/// A line a measure.
pub(super) fn csv(rows: &[Row]) -> String {
    let mut text = String::from(
        "dataset,forget_set,rows,seed,method,seconds,retrain_seconds,stopped,verdict,measure,before,after,retrain,floor,tolerance,power\n",
    );
    for row in rows {
        for (name, measure) in &row.report.metrics {
            let optional = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
            writeln!(
                text,
                "{},{},{},{},{},{:.3},{:.3},{},{:?},{name},{},{},{},{},{},{}",
                row.dataset,
                row.kind.title(),
                row.n_rows,
                row.seed,
                row.method,
                row.seconds,
                row.retrain_s,
                row.stopped,
                row.report.verdict,
                measure.before,
                measure.after,
                optional(measure.retrain),
                optional(measure.floor),
                optional(measure.tolerance),
                optional(measure.power),
            )
            .expect("a string takes everything");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_mean_and_the_samples_deviation() {
        assert_eq!(spread(&[0.01, 0.03], 100.0, 2), "2.00 ± 1.41");
        assert_eq!(spread(&[0.5], 1.0, 3), "0.500");
        assert_eq!(spread(&[], 1.0, 3), "–");
    }
}
