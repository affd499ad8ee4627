//! Alerts of real trainings: those that go wrong raise the one that says how, those that go well raise none.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod local;

use lethe::data::Dataset;
use lethe::health::{Alert, Code, Data, Observed, Watcher};
use lethe::nn::{
    EpochReport, Faults, Features, Mlp, Observer, Probe, Problem, Recipe, Reference, Samples, Schedule,
    Standard, TrainError, train,
};
use std::ops::ControlFlow;
use std::sync::Arc;

fn digits() -> Arc<Dataset> {
    local::open("digits").unwrap()
}

/// The first rows of `digits`, with labels of their own.
struct Rows<'a> {
    features: &'a [u8],
    labels: Vec<u32>,
}

impl<'a> Rows<'a> {
    fn first(samples: Samples<'a>, n: usize) -> Self {
        let Features::U8(features) = samples.features() else { panic!("images are bytes") };
        Self { features: &features[..n * 784], labels: samples.labels()[..n].to_vec() }
    }

    /// Gives that share of the rows labels that have nothing to do with them.
    fn with_noise(mut self, share: f64) -> Self {
        let n_wrong = (share * self.labels.len() as f64) as usize;
        // the rows are in no order: the first are as good as any
        for (i, label) in self.labels[..n_wrong].iter_mut().enumerate() {
            *label = (i as u32).wrapping_mul(2_654_435_761) >> 16;
            *label %= 10;
        }
        self
    }

    fn samples(&self) -> Samples<'_> {
        Samples::new(Features::U8(self.features), &self.labels, 784, 10)
    }
}

/// Watches as the server does.
struct Nurse<'a> {
    samples: Samples<'a>,
    probe: Option<Probe>,
    watcher: Watcher,
    alerts: Vec<Alert>,
}

impl Observer for Nurse<'_> {
    fn on_epoch(&mut self, report: &EpochReport, model: &Mlp) -> ControlFlow<()> {
        let probe = self.probe.get_or_insert_with(|| Probe::new(model.shape(), self.samples.n_rows()));
        let seen = probe.look(model, self.samples);
        self.alerts.extend(self.watcher.see(Observed {
            epoch: report.epoch,
            train_loss: report.train_loss,
            test_loss: report.test_loss,
            test_accuracy: report.test_accuracy,
            probe_accuracy: Some(seen.accuracy),
            dead_units: seen.dead_units,
        }));
        ControlFlow::Continue(())
    }
}

fn alerts_of(recipe: &Recipe, train_rows: Samples<'_>, test: Samples<'_>) -> Vec<Alert> {
    let data = Data { n_classes: 10, n_test: test.n_rows(), n_probe: Probe::n_rows_of(train_rows.n_rows()) };
    let mut nurse =
        Nurse { samples: train_rows, probe: None, watcher: Watcher::new(data), alerts: Vec::new() };
    let problem = Problem { train: train_rows, excluded: &[], test };
    if let Err(TrainError::NonFinite { epoch, .. }) = train(recipe, &problem, &mut nurse) {
        nurse.alerts.push(Alert::of_no_number(epoch));
    }
    nurse.alerts
}

fn codes(alerts: &[Alert]) -> Vec<Code> {
    alerts.iter().map(|alert| alert.code).collect()
}

fn standard(seed: u64, epochs: u32) -> Standard {
    Standard { hidden: vec![64], epochs, ..Standard::new(seed) }
}

#[test]
fn trainings_that_go_well_raise_no_alert() {
    let digits = digits();
    let rows = Rows::first(digits.train(), 8_000);
    for seed in 1..=5 {
        let recipe = Recipe::Standard(standard(seed, 8));
        assert_eq!(alerts_of(&recipe, rows.samples(), digits.test()), [], "seed {seed}");
    }
    let debug = Recipe::Debug(Reference { hidden: 64, epochs: 6, ..Reference::debug(1) });
    assert_eq!(alerts_of(&debug, rows.samples(), digits.test()), []);
}

#[test]
fn the_reference_trainer_that_learns_backwards_is_told_so() {
    let digits = digits();
    let recipe = Recipe::Nn(Reference { hidden: 64, epochs: 12, ..Reference::nn(1) });
    let alerts = alerts_of(&recipe, digits.train(), digits.test());
    assert_eq!(codes(&alerts), [Code::LearningBackwards], "{alerts:#?}");
    // and its cause is no other
    let cured = Recipe::Nn(Reference {
        hidden: 64,
        epochs: 8,
        faults: Faults { misaligned_labels: false, ..Reference::nn(1).faults },
        ..Reference::nn(1)
    });
    assert_eq!(alerts_of(&cured, digits.train(), digits.test()), []);
}

#[test]
fn labels_of_which_most_are_random_are_suspected_before_they_are_learned_by_heart() {
    let digits = digits();
    for share in [0.2, 0.8] {
        let rows = Rows::first(digits.train(), 8_000).with_noise(share);
        let alerts = alerts_of(&Recipe::Standard(standard(1, 4)), rows.samples(), digits.test());
        assert!(codes(&alerts).contains(&Code::LabelNoiseSuspected), "{share}: {alerts:#?}");
        assert!(alerts[0].epoch <= 3, "{alerts:#?}");
    }
}

#[test]
fn a_large_network_that_learns_few_rows_by_heart_is_told_that_it_overfits() {
    let digits = digits();
    let rows = Rows::first(digits.train(), 200).with_noise(0.1);
    let recipe = Standard { hidden: vec![256], schedule: Schedule::Constant, ..standard(1, 150) };
    let alerts = alerts_of(&Recipe::Standard(recipe), rows.samples(), digits.test());
    assert!(codes(&alerts).contains(&Code::Overfitting), "{alerts:#?}");
}

#[test]
fn a_rate_too_small_to_learn_with_is_a_plateau() {
    let digits = digits();
    let rows = Rows::first(digits.train(), 4_000);
    let recipe = Standard { learning_rate: 1e-6, ..standard(1, 8) };
    assert_eq!(codes(&alerts_of(&Recipe::Standard(recipe), rows.samples(), digits.test())), [Code::Plateau]);
}

#[test]
fn a_rate_too_large_diverges_or_kills_the_units() {
    let digits = digits();
    let rows = Rows::first(digits.train(), 4_000);
    let with = |learning_rate| Recipe::Standard(Standard { learning_rate, ..standard(1, 8) });
    let wild = alerts_of(&with(1e4), rows.samples(), digits.test());
    assert!(codes(&wild).contains(&Code::Diverged), "{wild:#?}");
    let numb = alerts_of(&with(2.0), rows.samples(), digits.test());
    assert!(codes(&numb).contains(&Code::DeadUnits), "{numb:#?}");
}

/// The figures of `docs/ALERTS.md`.
#[test]
#[ignore = "takes minutes; `make torture` runs it"]
fn twenty_trainings_with_the_defaults_raise_no_alert_and_the_backward_ones_do() {
    for name in ["digits", "mnist"] {
        let Some(data) = local::open(name) else { continue };
        for seed in 1..=20 {
            let recipe = Recipe::Standard(Standard::new(seed));
            assert_eq!(alerts_of(&recipe, data.train(), data.test()), [], "{name}, seed {seed}");
        }
        println!("{name}: 20 trainings with the defaults of `standard`, no alert");
        for seed in 1..=3 {
            let debug = Recipe::Debug(Reference::debug(seed));
            assert_eq!(alerts_of(&debug, data.train(), data.test()), [], "{name}, debug, seed {seed}");
            let nn = Recipe::Nn(Reference { epochs: 15, ..Reference::nn(seed) });
            let alerts = alerts_of(&nn, data.train(), data.test());
            assert_eq!(codes(&alerts), [Code::LearningBackwards], "{name}, nn, seed {seed}: {alerts:#?}");
            println!(
                "{name}: debug, seed {seed}: no alert; nn: epoch {}: {}",
                alerts[0].epoch, alerts[0].detail
            );
        }
    }
}
