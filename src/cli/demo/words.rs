//! What the demo says about its numbers: only what they show.

use super::percent;
use serde_json::Value;

pub const NO_WRITERS: &str = "This copy of the data does not say who wrote which image, so there is nobody to \
     forget. The file with MNIST's writers is missing.";

/// Why one falls and the other climbs, with the numbers of this run.
pub fn curves(nn: &[Value], debug: &[Value]) -> String {
    let accuracy = |events: &[Value]| -> Vec<f64> {
        events.iter().filter_map(|event| event["test_accuracy"].as_f64()).collect()
    };
    let (falls, climbs) = (accuracy(nn), accuracy(debug));
    let peak = falls.iter().copied().fold(0.0, f64::max);
    let (Some(&low), Some(&high)) = (falls.last(), climbs.last()) else { return String::new() };
    let mut text = if low < peak - 0.02 {
        format!(
            "nn is learning backwards: its accuracy fell from {} to {}. Its labels are shifted: of every five \
             images it pairs four with a neighbour's label. It finds the true digit first, because that is the \
             most frequent label an image gets, and then memorises the wrong ones.",
            percent(peak),
            percent(low)
        )
    } else {
        format!("nn stands at {}; with its shifted labels, more epochs will make it worse.", percent(low))
    };
    text.push_str(&format!(" debug is the same program with that one fault mended: {}.", percent(high)));
    if let Some(printed) = debug.last().and_then(|event| event["reported_accuracy"].as_f64())
        && printed > high + 0.005
    {
        text.push_str(&format!(
            " (The original debug would print {}: it counts images it was trained on a moment ago.)",
            percent(printed)
        ));
    }
    text
}

/// What forgetting a class did.
pub fn class(class: u32, report: &Value) -> String {
    let measure = |name: &str, column: &str| report["metrics"][name][column].as_f64();
    let (Some(before), Some(after)) =
        (measure("forget_accuracy", "before"), measure("forget_accuracy", "after"))
    else {
        return String::new();
    };
    let mut text = format!(
        "It read {} of the {class}s it was trained on; now it reads {}.",
        percent(before),
        percent(after)
    );
    if let Some(retrain) = measure("forget_accuracy", "retrain") {
        text.push_str(&format!(" A network that never saw a {class} reads {}.", percent(retrain)));
    }
    if let (Some(before), Some(after)) =
        (measure("test_accuracy", "before"), measure("test_accuracy", "after"))
    {
        text.push_str(&format!(
            " On test images of the other digits it went from {} to {}",
            percent(before),
            percent(after)
        ));
        match measure("test_accuracy", "retrain") {
            Some(retrain) => text.push_str(&format!(", where retraining gives {}.", percent(retrain))),
            None => text.push('.'),
        }
    }
    text
}

/// What forgetting a person did, and why it looks like so little.
pub fn writer(writer: u64, report: &Value) -> String {
    let measure = |column: &str| report["metrics"]["forget_accuracy"][column].as_f64();
    let (Some(before), Some(after)) = (measure("before"), measure("after")) else { return String::new() };
    let rows = report["forget"]["rows"].as_u64().unwrap_or(0);
    let mut text = format!(
        "Writer {writer} wrote {rows} of the training images. It read {} of them; now it reads {}.",
        percent(before),
        percent(after)
    );
    if let Some(retrain) = measure("retrain") {
        text.push_str(&format!(
            " A network that never saw them reads {}, because others write alike. That, and not zero, is what \
             forgetting a person looks like.",
            percent(retrain)
        ));
    }
    text
}

/// What a verdict of `fail` means, and the way out.
pub fn failure(report: &Value) -> Option<String> {
    let seconds = |part: &str| report["seconds"][part].as_f64();
    if report["verdict"] != "fail" {
        return None;
    }
    let mut text =
        "A verdict of `fail` says that by at least one measure the result can be told from a network that \
                    never saw those rows."
            .to_owned();
    if let (Some(unlearn), Some(retrain)) = (seconds("unlearn"), seconds("retrain")) {
        text.push_str(&format!(
            " That is the price of {unlearn:.1} s instead of the {retrain:.1} s of retraining; where a claim must \
             hold, `--method retrain` is exact."
        ));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn epochs(accuracies: &[f64], reported: f64) -> Vec<Value> {
        let event = |&accuracy: &f64| json!({"test_accuracy": accuracy, "reported_accuracy": reported});
        accuracies.iter().map(event).collect()
    }

    #[test]
    fn a_fall_is_called_a_fall_only_when_there_is_one() {
        let debug = epochs(&[0.95, 0.97], 0.9998);
        let fell = curves(&epochs(&[0.8, 0.82, 0.5], 0.5), &debug);
        assert!(
            fell.contains("fell from 82.00 % to 50.00 %") && fell.contains("would print 99.98 %"),
            "{fell}"
        );
        let stood = curves(&epochs(&[0.8, 0.81], 0.81), &debug);
        assert!(!stood.contains("fell"), "{stood}");
        assert_eq!(curves(&[], &[]), "");
    }

    #[test]
    fn forgetting_is_told_beside_retraining_when_that_was_measured() {
        let metrics = |retrain: Value| {
            json!({"forget": {"rows": 100}, "metrics": {
            "forget_accuracy": {"before": 0.99, "after": 0.0, "retrain": retrain},
            "test_accuracy": {"before": 0.98, "after": 0.975, "retrain": retrain}}})
        };
        let full = class(3, &metrics(json!(0.0)));
        assert!(
            full.contains("never saw a 3 reads 0.00 %") && full.ends_with("retraining gives 0.00 %."),
            "{full}"
        );
        let quick = class(3, &metrics(Value::Null));
        assert!(!quick.contains("never saw") && quick.ends_with("to 97.50 %."), "{quick}");
        assert!(writer(7, &metrics(json!(0.9))).contains("Writer 7 wrote 100"));
    }

    #[test]
    fn a_failure_is_said_with_its_way_out() {
        let report =
            |verdict: &str| json!({"verdict": verdict, "seconds": {"unlearn": 1.5, "retrain": 12.0}});
        let told = failure(&report("fail")).unwrap();
        assert!(
            told.contains("1.5 s instead of the 12.0 s") && told.contains("`--method retrain`"),
            "{told}"
        );
        assert_eq!(failure(&report("pass")), None);
    }
}
