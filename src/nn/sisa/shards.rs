//! Which rows belong to which shard, and the training of some shards' members.

use super::Joint;
use crate::nn::hash::{Purpose, keyed_hash, keyed_hash_wide};
use crate::nn::standard::{Learner, Trainer, Workspace};
use crate::nn::state::State;
use crate::nn::{
    BatchReport, EpochReport, Mlp, Problem, Recipe, Running, Samples, Split, Standard, TrainError,
};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

/// The shard of a row, below `n_shards`: all rows of a subject share one; where nobody knows subjects, each row
/// has its own place.
///
/// By one key for all seeds: the recipe and the data alone tell which rows a member has seen, whichever seeds the
/// trainings and retrainings of a line had.
pub fn shard_of(samples: Samples<'_>, n_shards: u32, row: u32) -> u32 {
    let hash = match samples.subjects() {
        Some(subjects) => keyed_hash_wide(0, Purpose::Shard, 0, subjects[row as usize]),
        None => keyed_hash(0, Purpose::Shard, 0, row),
    };
    // the hash as a fraction of its range
    ((u128::from(hash) * u128::from(n_shards)) >> 64) as u32
}

/// The members of some shards in training, one after another in every epoch, each with all threads.
///
/// A member is what [`train`](crate::nn::train()) makes of the same recipe without shards, on the shard's rows, by a
/// seed hashed from the recipe's and the shard's number. So it depends on no row of another shard. A shard without
/// rows has a member whose every weight is zero: it takes no side.
#[derive(Debug)]
pub struct Shards<'a> {
    joint: Joint,
    samples: Samples<'a>,
    members: Vec<Member<'a>>,
    held_out: Vec<u32>,
    stops_early: bool,
    workspace: Workspace,
}

#[derive(Debug)]
struct Member<'a> {
    shard: usize,
    /// Absent where the shard has no rows.
    trainer: Option<Trainer<'a>>,
    is_over: bool,
}

impl<'a> Shards<'a> {
    /// Fresh members for `shards`, without velocity.
    ///
    /// # Errors
    ///
    /// [`TrainError::NoRows`] when no shard at all has rows left.
    ///
    /// # Panics
    ///
    /// If the recipe has no hidden layer.
    pub fn new(recipe: &Standard, problem: &Problem<'a>, shards: &[u32]) -> Result<Self, TrainError> {
        let samples = problem.train;
        let split = Split::new(&Recipe::Standard(recipe.clone()), samples.n_rows(), problem.excluded);
        if split.train.is_empty() {
            return Err(TrainError::NoRows);
        }
        let joint = Joint::of(recipe, samples.n_features(), samples.n_classes());
        let mut rows = vec![Vec::new(); recipe.shards as usize];
        for row in split.train {
            rows[shard_of(samples, recipe.shards, row) as usize].push(row);
        }
        let member = |&shard: &u32| {
            let rows = std::mem::take(&mut rows[shard as usize]);
            let is_over = rows.is_empty();
            let trainer = (!is_over).then(|| Trainer::new(&member_recipe(recipe, shard), samples, rows));
            Member { shard: shard as usize, trainer, is_over }
        };
        Ok(Self {
            members: shards.iter().map(member).collect(),
            workspace: Workspace::new(joint.member(), recipe.batch_size),
            stops_early: recipe.early_stopping.is_some() && !split.held_out.is_empty(),
            held_out: split.held_out,
            joint,
            samples,
        })
    }

    /// Whether every member has come to its end before the last epoch.
    pub fn are_over(&self) -> bool {
        self.members.iter().all(|member| member.is_over)
    }

    /// Rows of the training file that no member is trained on.
    pub fn held_out(&self) -> &[u32] {
        &self.held_out
    }

    /// Trains each member for epoch `epoch` (from 1); `None` when `on_batch` stopped it.
    ///
    /// # Errors
    ///
    /// [`TrainError::NonFinite`] when a member's loss or weights are no numbers any more.
    pub fn pass(
        &mut self,
        epoch: u32,
        n_threads: NonZeroUsize,
        on_batch: &mut dyn FnMut(&BatchReport) -> ControlFlow<()>,
    ) -> Result<Option<Running>, TrainError> {
        self.workspace.use_threads(n_threads);
        let active = || self.members.iter().filter(|member| !member.is_over);
        let batches = active().filter_map(|member| member.trainer.as_ref()).map(|trainer| trainer.batches);
        let mut running = Running::new(epoch, batches.sum());
        for member in self.members.iter_mut().filter(|member| !member.is_over) {
            let Some(trainer) = &mut member.trainer else { continue };
            let mut after = |running: &Running, _: &Learner| on_batch(&running.batch_report());
            if trainer.pass(&mut self.workspace, &mut running, 0, &mut after)?.is_break() {
                return Ok(None);
            }
            if self.stops_early {
                let present = trainer.learner.present();
                let loss = self.workspace.evaluate(present, self.samples, &self.held_out).loss;
                member.is_over = trainer.is_over(epoch, Some(loss));
            }
        }
        Ok(Some(running))
    }

    /// Everything they go on from behind the epoch `running` counts; `report` is the one before it.
    pub(super) fn save(&self, running: Running, report: Option<EpochReport>) -> State {
        let mut state = State::new(running, report);
        for member in &self.members {
            state.cursor.are_over.push(member.is_over);
            match &member.trainer {
                Some(trainer) => trainer.learner.save(&prefix(member.shard), &mut state),
                None => state.cursor.best.push(None),
            }
        }
        state
    }

    /// Takes back what [`save`](Self::save) gave, for a training of `epochs` epochs.
    pub(super) fn restore(&mut self, epochs: u32, mut state: State) -> Result<Running, TrainError> {
        let running = state.running(epochs, 0)?;
        let (best, are_over) = (std::mem::take(&mut state.cursor.best), &state.cursor.are_over);
        if best.len() != self.members.len() || are_over.len() != self.members.len() {
            return Err(TrainError::Misfit("it has another number of members"));
        }
        for ((member, best), is_over) in self.members.iter_mut().zip(best).zip(are_over.clone()) {
            member.is_over = is_over;
            if let Some(trainer) = &mut member.trainer {
                trainer.learner.restore(&prefix(member.shard), best, &mut state)?;
            }
        }
        state.finish()?;
        Ok(running)
    }

    /// The members as they would be given out now, with their shards; none for shards without rows.
    pub fn members(&self) -> impl Iterator<Item = (usize, Option<&Mlp>)> {
        self.members
            .iter()
            .map(|member| (member.shard, member.trainer.as_ref().map(|trainer| trainer.learner.outcome())))
    }

    /// Puts the members into their places in the ensemble.
    ///
    /// # Panics
    ///
    /// If `network` does not have the shape of the recipe's [`Joint`].
    pub fn place(&self, network: &mut Mlp) {
        for (shard, member) in self.members() {
            match member {
                Some(member) => self.joint.replace(network, shard, member),
                None => self.joint.replace(network, shard, &Mlp::zeroed(self.joint.member().clone())),
            }
        }
    }
}

fn prefix(shard: usize) -> String {
    format!("members.{shard}.")
}

/// How the member of a shard is trained: by the recipe, as a single network.
pub(super) fn member_recipe(recipe: &Standard, shard: u32) -> Standard {
    Standard { shards: 1, seed: keyed_hash(recipe.seed, Purpose::Member, 0, shard), ..recipe.clone() }
}
