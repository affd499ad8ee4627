//! How near a network comes to retrained ones.

use super::answers::Answers;
use super::divergence::{js_bits, kl_nats};
use crate::unlearn::responses::Responses;

/// Accuracies and the attack's success on one network, as fractions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figures {
    pub(super) forget: f64,
    pub(super) retain: f64,
    pub(super) test: f64,
    pub(super) auc: Option<f64>,
}

impl Figures {
    pub(super) fn mean(&self, other: &Self) -> Self {
        Self {
            forget: (self.forget + other.forget) / 2.0,
            retain: (self.retain + other.retain) / 2.0,
            test: (self.test + other.test) / 2.0,
            auc: self.auc.zip(other.auc).map(|(a, b)| (a + b) / 2.0),
        }
    }

    fn differences(&self, other: &Self) -> [f64; 3] {
        [self.forget - other.forget, self.retain - other.retain, self.test - other.test].map(f64::abs)
    }
}

/// `Π (1 − |Δaccuracy|)` over forget, retain and test rows: 1 for equal accuracies.
///
/// Tug-of-war, Zhao et al. 2024 (NeurIPS, arXiv:2406.01257).
pub(super) fn tug_of_war(this: &Figures, reference: &Figures) -> f64 {
    this.differences(reference).iter().map(|difference| 1.0 - difference).product()
}

/// Mean of the accuracies' distances in points and a hundred times the AUC's; without an AUC of the former alone.
///
/// After Fan et al. 2024 (ICLR, arXiv:2310.12508), with a matched attack in place of theirs.
pub(super) fn average_gap(this: &Figures, reference: &Figures) -> f64 {
    let of_auc = this.auc.zip(reference.auc).map(|(a, b)| (a - b).abs());
    let gaps: Vec<f64> = this.differences(reference).into_iter().chain(of_auc).collect();
    100.0 * gaps.iter().sum::<f64>() / gaps.len() as f64
}

/// How far a network lies from the pair of retrained ones; of the pair itself, how far they lie apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Closeness {
    /// Means over the rows and over the two retrained networks; Jensen–Shannon in bits, KL(retrained ‖ this) in
    /// nats: the retrained network's answers are what should be matched.
    pub(super) js_forget: f64,
    pub(super) js_test: f64,
    pub(super) kl_forget: f64,
    pub(super) kl_test: f64,
    /// Against the mean of the pair's figures.
    pub(super) tow: f64,
    pub(super) average_gap: f64,
}

/// A network's answers and the figures that follow from them.
pub(super) type Of<'a> = (&'a Answers, Figures);

impl Closeness {
    pub(super) fn to_pair(this: Of<'_>, pair: [Of<'_>; 2]) -> Self {
        let [(first, of_first), (second, of_second)] = pair;
        let mean = |set: fn(&Answers) -> &Responses, divergence: fn(&[f32], &[f32]) -> f64| {
            let to = |retrained: &Answers| mean_divergence(set(retrained), set(this.0), divergence);
            (to(first) + to(second)) / 2.0
        };
        Self {
            js_forget: mean(|a| &a.forget, js_bits),
            js_test: mean(|a| &a.test, js_bits),
            kl_forget: mean(|a| &a.forget, kl_nats),
            kl_test: mean(|a| &a.test, kl_nats),
            ..Self::of_figures(&this.1, &of_first.mean(&of_second))
        }
    }

    /// Of the retrained pair: what any other distance is held against.
    pub(super) fn between(pair: [Of<'_>; 2]) -> Self {
        let [(first, of_first), (second, of_second)] = pair;
        let both_ways = |set: fn(&Answers) -> &Responses, divergence: fn(&[f32], &[f32]) -> f64| {
            let (a, b) = (set(first), set(second));
            (mean_divergence(a, b, divergence) + mean_divergence(b, a, divergence)) / 2.0
        };
        Self {
            js_forget: both_ways(|a| &a.forget, js_bits),
            js_test: both_ways(|a| &a.test, js_bits),
            kl_forget: both_ways(|a| &a.forget, kl_nats),
            kl_test: both_ways(|a| &a.test, kl_nats),
            ..Self::of_figures(&of_first, &of_second)
        }
    }

    fn of_figures(this: &Figures, reference: &Figures) -> Self {
        Self {
            tow: tug_of_war(this, reference),
            average_gap: average_gap(this, reference),
            ..Self::default()
        }
    }
}

fn mean_divergence(p: &Responses, q: &Responses, divergence: fn(&[f32], &[f32]) -> f64) -> f64 {
    let rows = p.probabilities().zip(q.probabilities());
    rows.map(|(p, q)| divergence(p, q)).sum::<f64>() / p.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unlearn::responses::responses;

    const RETRAINED: Figures = Figures { forget: 0.003, retain: 1.0, test: 0.9822, auc: Some(0.527) };

    #[test]
    fn a_gap_is_the_mean_distance_in_points() {
        let rewound = Figures { forget: 0.012, retain: 1.0, test: 0.9836, auc: Some(0.776) };
        let want = (0.9 + 0.0 + 0.14 + 24.9) / 4.0;
        assert!((average_gap(&rewound, &RETRAINED) - want).abs() < 1e-9);
        assert_eq!(average_gap(&RETRAINED, &RETRAINED), 0.0);
        let unattacked = Figures { auc: None, ..rewound };
        assert!((average_gap(&unattacked, &RETRAINED) - (0.9 + 0.14) / 3.0).abs() < 1e-9);
    }

    #[test]
    fn tug_of_war_sees_accuracies_alone() {
        let rewound = Figures { forget: 0.012, retain: 1.0, test: 0.9836, auc: Some(0.776) };
        assert!((tug_of_war(&rewound, &RETRAINED) - 0.991 * 0.9986).abs() < 1e-12);
        let all_known = Figures { forget: 1.003, ..RETRAINED };
        assert!(tug_of_war(&all_known, &RETRAINED).abs() < 1e-12);
    }

    #[test]
    fn a_network_is_as_far_from_a_pair_as_on_average_from_each() {
        let answers = |p: &[f32]| Answers {
            forget: responses(&[0], &[p]),
            non_members: responses(&[0], &[p]),
            test: responses(&[1], &[p]),
            test_of_class: Responses::default(),
            retain_accuracy: 1.0,
            n_retain: 1,
        };
        let [this, first, second] = [[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]].map(|p| answers(&p));
        let pair = [(&first, RETRAINED), (&second, RETRAINED)];
        let found = Closeness::to_pair((&this, RETRAINED), pair);
        let js = (js_bits(&[0.5, 0.5], &[0.9, 0.1]) + js_bits(&[0.5, 0.5], &[0.2, 0.8])) / 2.0;
        let kl = (kl_nats(&[0.9, 0.1], &[0.5, 0.5]) + kl_nats(&[0.2, 0.8], &[0.5, 0.5])) / 2.0;
        assert!((found.js_forget - js).abs() < 1e-12 && (found.kl_test - kl).abs() < 1e-12);
        assert_eq!((found.tow, found.average_gap), (1.0, 0.0));
        let floor = Closeness::between(pair);
        assert!((floor.js_test - js_bits(&[0.9, 0.1], &[0.2, 0.8])).abs() < 1e-12);
        // each of the pair lies half that far from the pair
        let one = Closeness::to_pair(pair[0], pair);
        assert!((one.js_test - floor.js_test / 2.0).abs() < 1e-12);
    }
}
