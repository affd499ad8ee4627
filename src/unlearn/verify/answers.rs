//! A network's answers to everything a report is about.

use super::membership::Scored;
use crate::nn::Mlp;
use crate::unlearn::context::Context;
use crate::unlearn::known::Known;
use crate::unlearn::responses::Responses;

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
    /// `every_retained` row is looked at, or only the fixed probe of them. What is `known` of the network already is not
    /// found out again, and what was not is known then.
    pub(super) fn of(context: &mut Context<'_>, mlp: &Mlp, known: &Known, every_retained: bool) -> Self {
        let task = context.task;
        let non_members = context.answers_to_non_members(mlp, known);
        let test = context.answers_to_test(mlp, known);
        let is_of_class = |label| Some(label) == task.class;
        let evaluator = &mut context.evaluator;
        let retained = if every_retained { &context.retain } else { &context.probe };
        Self {
            forget: Responses::of(evaluator, mlp, task.train, task.forget),
            non_members,
            test: test.of_labels(|label| !is_of_class(label)),
            test_of_class: test.of_labels(is_of_class),
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
mod tests {
    use super::*;
    use crate::unlearn::responses::responses;

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
}
