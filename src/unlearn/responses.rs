//! What a network answers, kept for everything that is computed from it.

use super::membership::Scored;
use crate::nn::loss::{argmax, cross_entropy, softmax};
use crate::nn::{Evaluation, Evaluator, Mlp, Samples};
use crate::unlearn::context::Context;

/// A network's answers to the rows of one set.
#[derive(Clone, Debug, Default)]
pub(super) struct Responses {
    n_classes: usize,
    pub(super) labels: Vec<u32>,
    /// Cross-entropy of each row, nats.
    pub(super) losses: Vec<f64>,
    hits: Vec<bool>,
    /// Class probabilities, row after row.
    probabilities: Vec<f32>,
}

impl Responses {
    pub(super) fn of(evaluator: &mut Evaluator, mlp: &Mlp, samples: Samples<'_>, rows: &[u32]) -> Self {
        let n_classes = samples.n_classes();
        let mut all = Self {
            n_classes,
            labels: rows.iter().map(|&row| samples.label(row as usize)).collect(),
            losses: Vec::with_capacity(rows.len()),
            hits: Vec::with_capacity(rows.len()),
            probabilities: Vec::with_capacity(rows.len() * n_classes),
        };
        evaluator.for_each(mlp, samples, rows, |row, logits| {
            let label = samples.label(row as usize);
            all.losses.push(f64::from(cross_entropy(logits, label)));
            all.hits.push(argmax(logits) == label);
            let start = all.probabilities.len();
            all.probabilities.extend_from_slice(logits);
            softmax(&mut all.probabilities[start..]);
        });
        all
    }

    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Mean loss and accuracy; both are `NaN` for no rows.
    pub(super) fn evaluation(&self) -> Evaluation {
        let n = self.len() as f64;
        let hits = self.hits.iter().filter(|&&hit| hit).count();
        Evaluation { loss: self.losses.iter().sum::<f64>() / n, accuracy: hits as f64 / n }
    }

    /// Each row's probabilities.
    pub(super) fn probabilities(&self) -> impl Iterator<Item = &[f32]> {
        self.probabilities.chunks_exact(self.n_classes.max(1))
    }

    /// Each row's label and whether it was answered.
    pub(super) fn hits(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        self.labels.iter().copied().zip(self.hits.iter().copied())
    }

    /// A score of every row from its probabilities and its label.
    pub(super) fn scores(&self, score: fn(&[f32], u32) -> f64) -> Vec<f64> {
        self.probabilities().zip(&self.labels).map(|(p, &label)| score(p, label)).collect()
    }
}

/// A network's answers to every set.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) forget: Responses,
    pub(super) non_members: Responses,
    /// Without a forgotten class.
    pub(super) test: Responses,
    pub(super) test_of_class: Responses,
    pub(super) retain_accuracy: f64,
    pub(super) n_retain: usize,
}

impl Answers {
    /// `every_retained` row is looked at, or only the fixed probe of them.
    pub(super) fn of(context: &mut Context<'_>, mlp: &Mlp, every_retained: bool) -> Self {
        let task = context.task;
        let evaluator = &mut context.evaluator;
        let retained = if every_retained { &context.retain } else { &context.probe };
        let (test_samples, test_rows) = &context.test;
        let (samples, rows) = &context.non_members;
        Self {
            forget: Responses::of(evaluator, mlp, task.train, task.forget),
            non_members: Responses::of(evaluator, mlp, *samples, rows),
            test: Responses::of(evaluator, mlp, *test_samples, test_rows),
            test_of_class: Responses::of(evaluator, mlp, *test_samples, &context.test_of_class),
            retain_accuracy: evaluator.evaluate(mlp, task.train, retained).accuracy,
            n_retain: retained.len(),
        }
    }

    /// Scores of forget rows and of non-members, the latter weighted to the forget set's mix of classes; classes
    /// without non-members are left out.
    pub(super) fn matched(&self, score: impl Fn(&Responses) -> Vec<f64>) -> (Vec<Scored>, Vec<Scored>) {
        let counts = |responses: &Responses| {
            let mut counts = vec![0.0f64; responses.n_classes];
            responses.labels.iter().for_each(|&label| counts[label as usize] += 1.0);
            counts
        };
        let (inside, outside) = (counts(&self.forget), counts(&self.non_members));
        let weighted = |responses: &Responses, weight: &dyn Fn(usize) -> f64| {
            let rows = score(responses).into_iter().zip(&responses.labels);
            let rows = rows.map(|(score, &label)| (score, weight(label as usize)));
            rows.filter(|&(_, weight)| weight > 0.0).collect()
        };
        let members = weighted(&self.forget, &|class| f64::from(u8::from(outside[class] > 0.0)));
        (members, weighted(&self.non_members, &|class| inside[class] / outside[class]))
    }
}

#[cfg(test)]
pub(super) fn responses(labels: &[u32], probabilities: &[&[f32]]) -> Responses {
    let rows = labels.iter().zip(probabilities);
    Responses {
        n_classes: probabilities[0].len(),
        labels: labels.to_vec(),
        losses: rows.clone().map(|(&label, p)| -f64::from(p[label as usize]).ln()).collect(),
        hits: rows.map(|(&label, p)| argmax(p) == label).collect(),
        probabilities: probabilities.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(forget: Responses, non_members: Responses) -> Answers {
        let (test, test_of_class) = (forget.clone(), Responses::default());
        Answers { forget, non_members, test, test_of_class, retain_accuracy: 1.0, n_retain: 1 }
    }

    #[test]
    fn non_members_are_weighted_to_the_forget_sets_mix_of_classes() {
        let p: &[f32] = &[0.5, 0.25, 0.25];
        let forget = responses(&[0, 0, 0, 1, 2], &[p; 5]);
        let others = responses(&[0, 1, 1], &[p; 3]);
        let (members, others) = answers(forget, others).matched(|r| r.losses.clone());
        assert_eq!(members.len(), 4, "nobody is like the row of class 2");
        let weights: Vec<f64> = others.iter().map(|&(_, weight)| weight).collect();
        assert_eq!(weights, [3.0, 0.5, 0.5]);
    }

    #[test]
    fn a_class_nobody_forgets_is_no_comparison() {
        let p: &[f32] = &[0.5, 0.5];
        let (members, others) =
            answers(responses(&[0], &[p]), responses(&[1], &[p])).matched(|r| r.losses.clone());
        assert!(members.is_empty() && others.is_empty());
    }

    #[test]
    fn means_are_over_the_rows() {
        let responses = responses(&[0, 1], &[&[0.75, 0.25], &[0.5, 0.5]]);
        let found = responses.evaluation();
        assert_eq!(found.accuracy, 0.5, "a tie goes to the first class");
        assert!((found.loss - 0.5 * (-(0.75f64.ln()) - 0.5f64.ln())).abs() < 1e-7);
    }
}
