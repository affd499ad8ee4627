//! Measures of an ensemble of which some members change: what the others answer is asked once.

use crate::nn::loss::{argmax, cross_entropy};
use crate::nn::sisa::{Joint, Shards};
use crate::nn::team::Team;
use crate::nn::{Evaluation, Evaluator, Mlp, Samples};
use crate::unlearn::context::Context;
use std::num::NonZeroUsize;

/// The forget set, the probe of the retained rows and the test rows.
pub(super) struct Boards<'a> {
    boards: [Board<'a>; 3],
    member: Evaluator,
    n_members: f32,
}

/// Some rows, and the part of their logits that does not change.
struct Board<'a> {
    samples: Samples<'a>,
    rows: Vec<u32>,
    rest: Vec<f32>,
}

impl<'a> Boards<'a> {
    /// Asks the members of the task's parent that are not in `changing`.
    pub(super) fn new(
        context: &Context<'a>,
        joint: &Joint,
        changing: &[u32],
        n_threads: NonZeroUsize,
    ) -> Self {
        let task = context.task;
        let silent = Mlp::zeroed(joint.member().clone());
        let mut others = task.parent.clone();
        changing.iter().for_each(|&shard| joint.replace(&mut others, shard as usize, &silent));
        let mut evaluator = Evaluator::new(others.shape());
        evaluator.set_team(Team::of(n_threads));
        let mut board = |samples: Samples<'a>, rows: &[u32]| {
            let mut rest = Vec::with_capacity(rows.len() * samples.n_classes());
            evaluator.for_each(&others, samples, rows, |_, logits| rest.extend_from_slice(logits));
            Board { samples, rows: rows.to_vec(), rest }
        };
        let boards = [
            board(task.train, task.forget),
            board(task.train, &context.probe),
            board(context.test.0, &context.test.1),
        ];
        drop(evaluator);
        let mut member = Evaluator::new(joint.member());
        member.set_team(Team::of(n_threads));
        Self { boards, member, n_members: joint.n_members() as f32 }
    }

    /// Of the ensemble with these members in place, but for the order in which logits are added up.
    pub(super) fn evaluate(&mut self, shards: &Shards<'_>) -> [Evaluation; 3] {
        let Self { boards, member, n_members } = self;
        boards.each_ref().map(|board| board.evaluate(shards, member, *n_members))
    }
}

impl Board<'_> {
    fn evaluate(&self, shards: &Shards<'_>, evaluator: &mut Evaluator, n_members: f32) -> Evaluation {
        let n_classes = self.samples.n_classes();
        let mut all = self.rest.clone();
        for (_, member) in shards.members() {
            // a shard without rows adds nothing
            let Some(member) = member else { continue };
            let mut sums = all.chunks_exact_mut(n_classes);
            evaluator.for_each(member, self.samples, &self.rows, |_, logits| {
                let sums = sums.next().expect("there are sums for every row");
                sums.iter_mut().zip(logits).for_each(|(sum, logit)| *sum += logit / n_members);
            });
        }
        let (mut loss, mut hits) = (0.0f64, 0u64);
        for (logits, &row) in all.chunks_exact(n_classes).zip(&self.rows) {
            let label = self.samples.label(row as usize);
            loss += f64::from(cross_entropy(logits, label));
            hits += u64::from(argmax(logits) == label);
        }
        let n = self.rows.len() as f64;
        Evaluation { loss: loss / n, accuracy: hits as f64 / n }
    }
}
