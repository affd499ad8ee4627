//! Everything measured about one network.

use super::answers::Answers;
use super::closeness::{Closeness, Figures};
use super::kolmogorov::{Distance, distance};
use super::membership::{Attack, attack};
use super::scores::{entropy, modified_entropy};
use crate::nn::Evaluation;

#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) forget: Evaluation,
    pub(super) retain_accuracy: f64,
    /// Without a forgotten class.
    pub(super) test: Evaluation,
    /// On test rows of a forgotten class.
    pub(super) test_class_accuracy: Option<f64>,
    /// Test rows of each class and how many were answered, by class.
    pub(super) per_class: Vec<(u64, u64)>,
    /// By the loss.
    pub(super) attack: Option<Attack>,
    /// Between the losses of the forget set and of the non-members.
    pub(super) apart: Option<Distance>,
    /// AUC of the attacks by entropy and by modified entropy.
    pub(super) entropy_auc: Option<f64>,
    pub(super) modified_entropy_auc: Option<f64>,
    /// To the retrained pair.
    pub(super) closeness: Option<Closeness>,
    pub(super) dormant_accuracy: Option<f64>,
    /// Steps of training on the forget set until it is known as it was, in units of a retrained network's.
    pub(super) relearn_ratio: Option<f64>,
    pub(super) n_forget: usize,
    pub(super) n_retain: usize,
    pub(super) n_test: usize,
}

/// The networks a verdict is about.
#[derive(Clone, Debug)]
pub(super) struct Looks {
    pub(super) before: Look,
    pub(super) after: Look,
    /// Two networks that never saw the forget set.
    pub(super) retrained: Option<[Look; 2]>,
}

impl Look {
    pub(super) fn of(answers: &Answers) -> Self {
        let (inside, outside) = answers.matched(|responses| responses.losses.clone());
        let of_class = &answers.test_of_class;
        Self {
            forget: answers.forget.evaluation(),
            retain_accuracy: answers.retain_accuracy,
            test: answers.test.evaluation(),
            test_class_accuracy: (of_class.len() > 0).then(|| of_class.evaluation().accuracy),
            per_class: per_class(answers),
            attack: attack(&inside, &outside),
            apart: distance(&inside, &outside),
            entropy_auc: None,
            modified_entropy_auc: None,
            closeness: None,
            dormant_accuracy: None,
            relearn_ratio: None,
            n_forget: answers.forget.len(),
            n_retain: answers.n_retain,
            n_test: answers.test.len(),
        }
    }

    /// The same with the attacks `quick` has no time for.
    pub(super) fn with_every_attack(answers: &Answers) -> Self {
        let auc = |score: fn(&[f32], u32) -> f64| {
            let (inside, outside) = answers.matched(|responses| responses.scores(score));
            attack(&inside, &outside).map(|attack| attack.auc)
        };
        Self { entropy_auc: auc(entropy), modified_entropy_auc: auc(modified_entropy), ..Self::of(answers) }
    }

    pub(super) fn figures(&self) -> Figures {
        Figures {
            forget: self.forget.accuracy,
            retain: self.retain_accuracy,
            test: self.test.accuracy,
            auc: self.attack.map(|attack| attack.auc),
        }
    }
}

fn per_class(answers: &Answers) -> Vec<(u64, u64)> {
    let mut counts: Vec<(u64, u64)> = Vec::new();
    for (label, hit) in answers.test.hits().chain(answers.test_of_class.hits()) {
        let class = label as usize;
        counts.resize(counts.len().max(class + 1), (0, 0));
        counts[class].0 += 1;
        counts[class].1 += u64::from(hit);
    }
    counts
}
