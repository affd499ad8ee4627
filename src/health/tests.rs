use super::*;

const DATA: Data = Data { n_classes: 10, n_test: 10_000, n_probe: 1_024 };

/// Codes and beginnings of the alerts of a training with these training losses, test losses and test accuracies.
fn alerts_of(curve: impl IntoIterator<Item = (f64, f64, f64)>) -> Vec<(Code, u32, u32)> {
    let mut watcher = Watcher::new(DATA);
    let epochs = (1..).zip(curve).map(|(epoch, (train_loss, test_loss, test_accuracy))| Observed {
        epoch,
        train_loss,
        test_loss,
        test_accuracy,
        probe_accuracy: None,
        dead_units: None,
    });
    let alerts: Vec<Alert> = epochs.flat_map(|epoch| watcher.see(epoch)).collect();
    assert!(alerts.iter().all(|alert| !alert.detail.is_empty()));
    alerts.iter().map(|alert| (alert.code, alert.epoch, alert.since_epoch)).collect()
}

#[test]
fn a_training_that_goes_well_raises_nothing() {
    let curve = (1..=50).map(|e| {
        let e = f64::from(e);
        (1.0 / e, 0.3 + 0.5 / e, 0.98 - 0.1 / e)
    });
    assert_eq!(alerts_of(curve), []);
}

#[test]
fn accuracy_that_falls_with_the_training_loss_is_learning_backwards_told_once() {
    let accuracies = [0.786, 0.75, 0.74, 0.70, 0.66, 0.60];
    let curve = (0_i32..).zip(accuracies).map(|(i, accuracy)| (1.0 - 0.1 * f64::from(i), 1.0, accuracy));
    assert_eq!(alerts_of(curve), [(Code::LearningBackwards, 4, 1)]);
}

#[test]
fn one_bad_epoch_or_a_fall_that_may_be_chance_is_not() {
    let losses = |i: u32| 1.0 / f64::from(i + 1);
    let dip = [0.9, 0.95, 0.80, 0.95, 0.96, 0.82, 0.96];
    assert_eq!(alerts_of((0..).zip(dip).map(|(i, a)| (losses(i), 0.3, a))), []);
    let slight = [0.970, 0.955, 0.955, 0.955, 0.955];
    assert_eq!(alerts_of((0..).zip(slight).map(|(i, a)| (losses(i), 0.3, a))), []);
}

#[test]
fn accuracy_that_falls_with_a_rising_training_loss_is_something_else() {
    let accuracies = [0.9, 0.8, 0.7, 0.6, 0.5];
    let curve = (0_i32..).zip(accuracies).map(|(i, accuracy)| (1.0 + 0.1 * f64::from(i), 1.0, accuracy));
    assert_eq!(alerts_of(curve), []);
}

#[test]
fn a_test_loss_that_rises_while_the_training_loss_falls_is_overfitting() {
    let test_losses = [0.5, 0.40, 0.45, 0.51, 0.55, 0.60];
    let curve = (0_i32..).zip(test_losses).map(|(i, loss)| (0.5 / f64::from(i + 1), loss, 0.9));
    assert_eq!(alerts_of(curve), [(Code::Overfitting, 6, 2)]);
}

#[test]
fn a_loss_far_above_that_of_guessing_has_diverged() {
    assert_eq!(alerts_of([(2.0, 2.0, 0.2), (4.7, 5.0, 0.1)]), [(Code::Diverged, 2, 2)]);
    // guessing itself has not
    assert_eq!(alerts_of([(2.303, 2.303, 0.1); 3]), []);
}

#[test]
fn a_loss_that_stands_still_near_that_of_guessing_is_a_plateau() {
    assert_eq!(alerts_of([(2.30, 2.30, 0.1); 6]), [(Code::Plateau, 6, 1)]);
    // what has been learned may stand still, even if the labels it is measured by say nothing
    assert_eq!(alerts_of([(2.20, 1.5, 0.84); 8]), []);
    assert_eq!(alerts_of([(0.2, 0.2, 0.95); 20]), []);
}

fn with_probe(seen: &[(f64, f64)], of: fn(f64, f64) -> Observed) -> Vec<(Code, u32)> {
    let mut watcher = Watcher::new(DATA);
    let epochs = (1..).zip(seen).map(|(epoch, &(a, b))| Observed { epoch, ..of(a, b) });
    epochs.flat_map(|epoch| watcher.see(epoch)).map(|alert| (alert.code, alert.since_epoch)).collect()
}

const FINE: Observed = Observed {
    epoch: 0,
    train_loss: 0.1,
    test_loss: 0.1,
    test_accuracy: 0.97,
    probe_accuracy: Some(0.98),
    dead_units: Some(0.02),
};

#[test]
fn a_layer_of_which_half_is_dead_for_two_epochs_is_told() {
    let of = |share, _| Observed { dead_units: Some(share), ..FINE };
    assert_eq!(with_probe(&[(0.6, 0.0), (0.4, 0.0), (0.6, 0.0)], of), []);
    assert_eq!(with_probe(&[(0.1, 0.0), (0.5, 0.0), (0.5, 0.0)], of), [(Code::DeadUnits, 2)]);
}

#[test]
fn unseen_rows_that_are_recognised_better_than_seen_ones_raise_suspicion() {
    let of = |test, probe| Observed { test_accuracy: test, probe_accuracy: Some(probe), ..FINE };
    assert_eq!(with_probe(&[(0.9, 0.3), (0.9, 0.3)], of), [(Code::LabelNoiseSuspected, 1)]);
    assert_eq!(with_probe(&[(0.97, 0.93), (0.97, 0.93)], of), [], "so little may be chance");
    assert_eq!(with_probe(&[(0.9, 0.3), (0.9, 0.9), (0.9, 0.3)], of), []);
}

#[test]
fn a_watcher_that_sees_the_same_again_says_the_same() {
    let curve: Vec<Observed> = (1..=9)
        .map(|epoch| {
            let (train_loss, test_accuracy) = (1.0 / f64::from(epoch), 0.9 - 0.05 * f64::from(epoch));
            let dead_units = Some(if epoch > 5 { 0.7 } else { 0.1 });
            Observed { epoch, train_loss, test_accuracy, dead_units, ..FINE }
        })
        .collect();
    let mut whole = Watcher::new(DATA);
    let expected: Vec<Alert> = curve.iter().flat_map(|&epoch| whole.see(epoch)).collect();
    assert_eq!(expected.len(), 2, "{expected:?}");
    for cut in 0..curve.len() {
        let mut again = Watcher::new(DATA);
        let before: Vec<Alert> = curve[..cut].iter().flat_map(|&epoch| again.see(epoch)).collect();
        let after: Vec<Alert> = curve[cut..].iter().flat_map(|&epoch| again.see(epoch)).collect();
        assert_eq!([before, after].concat(), expected);
    }
}

#[test]
fn what_was_raised_before_the_first_epoch_is_not_raised_again() {
    let noisy = |epoch| Observed { epoch, test_accuracy: 0.9, probe_accuracy: Some(0.3), ..FINE };
    let mut watcher = Watcher::behind(DATA, vec![Code::LabelNoiseSuspected]);
    assert!((1..5).all(|epoch| watcher.see(noisy(epoch)).is_empty()));
    let mut watcher = Watcher::behind(DATA, vec![Code::DuplicateRows]);
    assert_eq!((1..5).flat_map(|epoch| watcher.see(noisy(epoch))).count(), 1);
}

#[test]
fn measures_are_found_by_their_names() {
    let all = |name: &str| (name != "dead_units").then_some(0.5);
    let observed = Observed::from_measures(3, all).unwrap();
    assert_eq!((observed.epoch, observed.probe_accuracy, observed.dead_units), (3, Some(0.5), None));
    assert!(Observed::from_measures(3, |name| (name != "test_loss").then_some(0.5)).is_none());
}
