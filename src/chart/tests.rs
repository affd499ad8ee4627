use super::*;
use serde_json::json;

fn falling(name: &str) -> Series {
    let accuracies = [0.8210, 0.8048, 0.7779, 0.7698, 0.7473, 0.7315, 0.7206, 0.7160, 0.6778, 0.6392];
    let events: Vec<_> = (1..)
        .zip(accuracies)
        .map(|(epoch, accuracy)| {
            json!({"epoch": epoch, "test_accuracy": accuracy, "reported_accuracy": accuracy,
                   "train_accuracy": 0.26 + 0.012 * f64::from(epoch), "test_loss": 1.3 + 0.04 * f64::from(epoch),
                   "train_loss": 2.05 - 0.02 * f64::from(epoch)})
        })
        .collect();
    Series::from_events(name, &events)
}

fn climbing(name: &str) -> Series {
    let printed = [0.9527, 0.9831, 0.9902, 0.9941, 0.9965, 0.9979, 0.9988, 0.9992, 0.9995, 0.9998];
    let events: Vec<_> = (1..)
        .zip(printed)
        .map(|(epoch, printed)| {
            let e = f64::from(epoch);
            json!({"epoch": epoch, "reported_accuracy": printed, "train_accuracy": printed - 0.02 / e,
                   "test_accuracy": 0.976 - 0.02 / e, "test_loss": 0.08 + 0.1 / e, "train_loss": 0.25 / e})
        })
        .collect();
    Series::from_events(name, &events)
}

fn forgetting() -> Series {
    let events: Vec<_> = (1..=4)
        .map(|epoch| {
            let e = f64::from(epoch);
            json!({"epoch": epoch, "forget_accuracy": 0.6 / (e * e) - 0.03, "retain_accuracy": 0.991,
                   "test_accuracy": 0.979, "forget_loss": 2.0 + 0.3 * e, "test_loss": 0.09})
        })
        .collect();
    Series::from_events("forget class 3", &events)
}

/// Well-formed enough for a browser: every tag closed, every coordinate a number.
fn check(svg: &str) {
    assert!(svg.starts_with("<svg xmlns=") && svg.trim_end().ends_with("</svg>"), "{svg}");
    assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

#[test]
fn the_same_series_give_the_same_picture() {
    let runs = [falling("nn"), climbing("debug")];
    let svg = draw("nn against debug", &runs);
    check(&svg);
    assert_eq!(svg, draw("nn against debug", &runs));
    for word in
        ["accuracy, %", "loss (cross-entropy), nats", "epoch", "nn", "debug", "as the program prints it"]
    {
        assert!(
            svg.contains(&format!("\n{word}\n")) || svg.contains(&format!(">\n{word}")),
            "{word} is missing"
        );
    }
}

#[test]
fn the_printed_accuracy_appears_only_where_it_differs() {
    assert!(!draw("nn", &[falling("nn")]).contains("as the program prints it"));
    assert!(draw("debug", &[climbing("debug")]).contains("as the program prints it"));
}

#[test]
fn no_epoch_or_a_single_one_is_a_picture_too() {
    let none = draw("queued", &[Series::new("nn")]);
    check(&none);
    assert_eq!(none.matches("no epoch finished yet").count(), 2);
    check(&draw("nothing", &[]));

    let one = Series::from_events("nn", &[json!({"epoch": 1, "test_accuracy": 0.5, "test_loss": 0.0})]);
    let svg = draw("one", &[one]);
    check(&svg);
    assert!(svg.contains("<circle"));
}

#[test]
fn a_broken_loss_leaves_a_gap_not_a_broken_picture() {
    let events = [
        json!({"epoch": 1, "test_loss": 1.0, "test_accuracy": 0.1}),
        json!({"epoch": 2, "test_loss": null, "test_accuracy": 0.1}),
        json!({"epoch": 3, "test_loss": 1e300, "test_accuracy": 0.1}),
    ];
    check(&draw("diverged", &[Series::from_events("x", &events)]));
}

#[test]
fn many_epochs_keep_few_ticks() {
    let events: Vec<_> =
        (1..=1000).map(|e| json!({"epoch": e, "test_accuracy": 0.9, "test_loss": 0.1})).collect();
    let svg = draw("long", &[Series::from_events("x", &events)]);
    check(&svg);
    assert!(svg.matches("<text").count() < 40, "{}", svg.matches("<text").count());
}

#[test]
fn names_cannot_break_out_of_the_picture() {
    let svg = draw("</title><script>\u{7}", &[falling("<b>&"), climbing("\"'")]);
    check(&svg);
    assert!(!svg.contains("<script") && !svg.contains("<b>"));
}

#[test]
fn an_unlearning_run_shows_what_it_keeps_and_what_it_loses() {
    let svg = draw("digits forgets class 3", &[forgetting()]);
    check(&svg);
    assert!(svg.contains("retained rows") && svg.contains("forgotten rows"));
}

#[test]
fn early_learning_and_memorisation_have_a_panel_of_their_own_where_they_were_measured() {
    let events: Vec<_> = (1..=8)
        .map(|epoch| {
            let e = f64::from(epoch);
            json!({"epoch": epoch, "test_accuracy": 0.9 - 0.05 * e, "test_loss": 1.0 + 0.1 * e,
                   "clean_accuracy": 0.95, "mislabelled_accuracy": 0.9 - 0.06 * e, "memorised": 0.02 + 0.06 * e})
        })
        .collect();
    let svg = draw("standard on digits-noisy", &[Series::from_events("noisy", &events)]);
    check(&svg);
    for word in ["training samples by their labels, %", "wrong labels, memorised", "right labels, answered"] {
        assert!(svg.contains(word), "{word} is missing");
    }
    assert!(svg.contains("width=\"1440\""), "as wide a panel as the others");
    let beside = draw("beside", &[Series::from_events("noisy", &events), climbing("debug")]);
    check(&beside);
    assert!(beside.contains("wrong labels, memorised"));
    let plain = draw("debug", &[climbing("debug")]);
    assert!(plain.contains("width=\"960\"") && !plain.contains("training samples by their labels"));
}
