//! Everything measured about one network.

use super::divergence::{js_bits, kl_nats};
use super::membership::{Attack, Scored, attack};
use crate::nn::loss::{cross_entropy, softmax};
use crate::nn::{Evaluation, Mlp, Samples};
use crate::unlearn::context::Context;

#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) forget: Evaluation,
    pub(super) retain_accuracy: f64,
    /// Without a forgotten class.
    pub(super) test: Evaluation,
    /// On test rows of a forgotten class.
    pub(super) test_class_accuracy: Option<f64>,
    pub(super) attack: Option<Attack>,
    /// Against a retrained model, on the forget set.
    pub(super) js_forget: Option<f64>,
    pub(super) kl_forget: Option<f64>,
    pub(super) kl_test: Option<f64>,
    pub(super) dormant_accuracy: Option<f64>,
    pub(super) n_forget: usize,
    pub(super) n_retain: usize,
    pub(super) n_test: usize,
}

/// Two networks that never saw the forget set.
pub(super) struct Yardsticks {
    pub(super) first: Look,
    pub(super) second: Look,
}

impl Look {
    pub(super) fn at(context: &mut Context<'_>, mlp: &Mlp, reference: Option<&Mlp>) -> Self {
        let task = context.task;
        let forget = context.forget(mlp);
        let retain_accuracy = context.evaluator.evaluate(mlp, task.train, &context.retain).accuracy;
        let test = context.evaluator.evaluate(mlp, context.test.0, &context.test.1);
        let test_class_accuracy = (!context.test_of_class.is_empty())
            .then(|| context.evaluator.evaluate(mlp, context.test.0, &context.test_of_class).accuracy);
        let (test_samples, test_rows) = context.test.clone();
        let mut against = |samples: Samples<'_>, rows: &[u32]| {
            reference.map(|reference| Divergence::between(context, mlp, reference, samples, rows))
        };
        let on_forget = against(task.train, task.forget);
        let on_test = against(test_samples, &test_rows);
        Self {
            forget,
            retain_accuracy,
            test,
            test_class_accuracy,
            attack: matched_attack(context, mlp),
            js_forget: on_forget.map(|divergence| divergence.js),
            kl_forget: on_forget.map(|divergence| divergence.kl),
            kl_test: on_test.map(|divergence| divergence.kl),
            dormant_accuracy: None,
            n_forget: task.forget.len(),
            n_retain: context.retain.len(),
            n_test: context.test.1.len(),
        }
    }
}

/// How far a network's answers lie from a retrained one's, as means over some rows.
#[derive(Clone, Copy)]
struct Divergence {
    /// Jensen–Shannon, bits.
    js: f64,
    /// KL(retrained ‖ this), nats: the retrained model's answers are what should be matched.
    kl: f64,
}

impl Divergence {
    fn between(
        context: &mut Context<'_>,
        mlp: &Mlp,
        retrained: &Mlp,
        samples: Samples<'_>,
        rows: &[u32],
    ) -> Self {
        let p = probabilities(context, mlp, samples, rows);
        let q = probabilities(context, retrained, samples, rows);
        let c = samples.n_classes();
        let mean = |of: fn(&[f32], &[f32]) -> f64| {
            p.chunks_exact(c).zip(q.chunks_exact(c)).map(|(p, q)| of(p, q)).sum::<f64>() / rows.len() as f64
        };
        Self { js: mean(js_bits), kl: mean(|p, q| kl_nats(q, p)) }
    }
}

/// The rows' class probabilities, row after row.
fn probabilities(context: &mut Context<'_>, mlp: &Mlp, samples: Samples<'_>, rows: &[u32]) -> Vec<f32> {
    let mut all = Vec::with_capacity(rows.len() * samples.n_classes());
    context.evaluator.for_each(mlp, samples, rows, |_, logits| {
        let start = all.len();
        all.extend_from_slice(logits);
        softmax(&mut all[start..]);
    });
    all
}

/// The loss attack on the forget set, against held-out rows weighted to the same mix of classes.
fn matched_attack(context: &mut Context<'_>, mlp: &Mlp) -> Option<Attack> {
    let n_classes = context.task.train.n_classes();
    let mut by_class = |samples: Samples<'_>, rows: &[u32]| {
        let mut classes: Vec<Vec<f64>> = vec![Vec::new(); n_classes];
        context.evaluator.for_each(mlp, samples, rows, |row, logits| {
            let label = samples.label(row as usize);
            classes[label as usize].push(f64::from(cross_entropy(logits, label)));
        });
        classes
    };
    let members = by_class(context.task.train, context.task.forget);
    let (samples, rows) = context.held_out.clone();
    let non_members = by_class(samples, &rows);
    let (mut inside, mut outside): (Vec<Scored>, Vec<Scored>) = (Vec::new(), Vec::new());
    for (members, others) in members.iter().zip(&non_members) {
        if !others.is_empty() {
            inside.extend(members.iter().map(|&loss| (loss, 1.0)));
            let weight = members.len() as f64 / others.len() as f64;
            outside.extend(others.iter().map(|&loss| (loss, weight)));
        }
    }
    attack(&inside, &outside)
}
