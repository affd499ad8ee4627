//! `lethe diagnose`.

use super::args::DiagnoseArgs;
use super::draw::{Color, Style, Table, WIDTH, wrap};
use super::error::CliError;
use super::follow::{self, Order};
use super::out::{say, say_as_is};
use super::server::Server;
use serde_json::Value;

pub async fn diagnose(args: &DiagnoseArgs, server: &Server) -> Result<(), CliError> {
    let json = args.connection.json;
    let order = Order { path: "/diagnoses", name: "diagnose", detach: args.detach, json };
    let opening = |run: &Value, id: &str| {
        let mode = run["mode"].as_str().unwrap_or("?");
        let dataset = run["dataset"]["name"].as_str().unwrap_or("?");
        format!("{mode} on {dataset} is diagnosed as run {id}")
    };
    let Some(finished) = follow::carry_out(server, order, || Ok(args.request()), opening).await? else {
        return Ok(());
    };
    let report = follow::report_of(server, &finished).await?;
    if json {
        say!("{report}");
    } else {
        say_as_is!("{}", render(&report, Style::of_stdout()));
    }
    Ok(())
}

/// The finding as a sentence, the variants as a table, and what the data looked like.
fn render(report: &Value, style: Style) -> String {
    let color = if report["symptom"].is_null() { Color::Green } else { Color::Yellow };
    let summary = report["summary"].as_str().unwrap_or_default();
    let mut text = format!("  {}\n\n", style.paint(color, &wrap(summary, 2, WIDTH)));
    let mut table = Table::new(["", "test accuracy", "± 95 %", "at its best", "epochs", "learned backwards"]);
    for row in list(&report["table"]) {
        let number = |value: &Value| format!("{:.1} %", 100.0 * value.as_f64().unwrap_or_default());
        let accuracy = &row["test_accuracy"];
        let bound = |i: usize| accuracy["ci"][i].as_f64().unwrap_or_default();
        let curves = list(&row["curves"]);
        let epochs = curves.iter().map(|curve| list(&curve["test_accuracy"]).len()).max().unwrap_or(0);
        let fate = match (row["n_fell"].as_u64(), row["n_diverged"].as_u64()) {
            (_, Some(n)) if n > 0 => format!("diverged, {n} of {}", curves.len()),
            (Some(n), _) if n > 0 => format!("{n} of {}", curves.len()),
            _ => "no".to_owned(),
        };
        table.row([
            name_of(row),
            number(&accuracy["mean"]),
            format!("{:.1}", 50.0 * (bound(1) - bound(0))),
            number(&row["best_test_accuracy"]),
            epochs.to_string(),
            fate,
        ]);
    }
    text.push_str(&table.render(2, style));
    let warnings = list(&report["checks"]).iter().filter(|check| check["status"] == "warning");
    for detail in warnings.filter_map(|check| check["detail"].as_str()) {
        text.push_str(&format!("\n  data: {}\n", wrap(detail, 8, WIDTH)));
    }
    if let Some(seconds) = report["seconds"].as_f64() {
        text.push_str(&format!("\n  {}\n", style.dim(&format!("time: {seconds:.1} s"))));
    }
    text
}

fn name_of(row: &Value) -> String {
    let fault = row["fault"].as_str().unwrap_or_default();
    match row["variant"].as_str() {
        Some("as_is") => "as it is".to_owned(),
        Some("mended") => "all mended".to_owned(),
        Some("without") => format!("without {fault}"),
        Some("only") => format!("{fault} alone"),
        _ => "?".to_owned(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_diagnosis_is_a_sentence_and_a_table() {
        let report = json!({
            "symptom": "learning_backwards",
            "summary": "Turning off `misaligned_labels` alone restores learning.",
            "table": [
                {"variant": "as_is", "test_accuracy": {"mean": 0.636, "ci": [0.6, 0.672]}, "best_test_accuracy": 0.8,
                 "n_fell": 2, "n_diverged": 0, "curves": [{"test_accuracy": [0.8, 0.6]}, {"test_accuracy": [0.8]}]},
                {"variant": "without", "fault": "no_shuffle", "test_accuracy": {"mean": 0.1, "ci": [0.1, 0.1]},
                 "best_test_accuracy": 0.1, "n_fell": 0, "n_diverged": 1, "curves": [{"test_accuracy": []}]},
            ],
            "checks": [{"status": "ok", "detail": "fine"}, {"status": "warning", "detail": "most labels are wrong"}],
            "seconds": 31.25,
        });
        let expected = "  Turning off `misaligned_labels` alone restores learning.

                       test accuracy   ± 95 %   at its best   epochs   learned backwards
  as it is                    63.6 %      3.6        80.0 %        2              2 of 2
  without no_shuffle          10.0 %      0.0        10.0 %        0    diverged, 1 of 1

  data: most labels are wrong

  time: 31.2 s
";
        assert_eq!(render(&report, Style::PLAIN), expected);
    }
}
