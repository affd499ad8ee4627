//! Mini-batch SGD with momentum: today's practice.

use super::batch::Batch;
use super::buffer::Buffer;
use super::evaluate::{CHUNK, Evaluation, evaluate};
use super::hash::{Purpose, order_rows};
use super::optim::{Sgd, norm};
use super::running::Running;
use super::state::State;
use super::team::Team;
use super::train::{EpochReport, Observer, Problem, TrainError, Trained};
use super::{Mlp, Recipe, Samples, Shape, Split, Standard, init::init};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

pub(super) fn train(
    recipe: &Standard,
    problem: &Problem<'_>,
    from: Option<State>,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    let samples = problem.train;
    let split = Split::new(&Recipe::Standard(recipe.clone()), samples.n_rows(), problem.excluded);
    if split.train.is_empty() {
        return Err(TrainError::NoRows);
    }
    let mut trainer = Trainer::new(recipe, samples, split.train);
    let (mut begun, mut given) = (None, None);
    if let Some(mut state) = from {
        begun = Some(state.running(recipe.epochs, trainer.batches)?);
        given = state.cursor.report;
        trainer.learner.restore("", state.cursor.best.pop().flatten(), &mut state)?;
        state.finish()?;
    }
    let mut workspace = Workspace::new(trainer.learner.mlp.shape(), recipe.batch_size);
    let test_rows: Vec<u32> = (0..problem.test.n_rows() as u32).collect();
    for epoch in begun.map_or(1, |running| running.epoch)..=recipe.epochs {
        workspace.use_threads(observer.threads());
        let mut running = begun.take().unwrap_or_else(|| Running::new(epoch, trainer.batches));
        if !running.is_over() {
            let done = running.batch;
            let flow = trainer.pass(&mut workspace, &mut running, done, &mut |running, learner| {
                let report = running.batch_report();
                observer.on_batch(&report)?;
                observer.on_boundary(&report, &|| {
                    let mut state = State::new(*running, given);
                    learner.save("", &mut state);
                    state
                })
            })?;
            if flow.is_break() {
                return Ok(trainer.finish(given, false));
            }
        }
        let mlp = &trainer.learner.mlp;
        let test = workspace.evaluate(mlp, problem.test, &test_rows);
        let holdout = (!split.held_out.is_empty()).then(|| workspace.evaluate(mlp, samples, &split.held_out));
        let report = running.epoch_report(recipe.epochs, test, holdout);
        let flow = observer.on_epoch(&report, mlp);
        let is_over = trainer.is_over(epoch, holdout.map(|h| h.loss));
        if trainer.learner.best.epoch().is_none_or(|best| best == epoch) {
            given = Some(report);
        }
        if flow.is_break() || is_over {
            return Ok(trainer.finish(given, flow.is_continue()));
        }
    }
    Ok(trainer.finish(given, true))
}

/// One network in training on some rows.
#[derive(Debug)]
pub(super) struct Trainer<'a> {
    recipe: Standard,
    samples: Samples<'a>,
    order: Vec<u32>,
    pub(super) learner: Learner,
    /// Mini-batches in an epoch.
    pub(super) batches: u64,
}

/// What a training carries from mini-batch to mini-batch.
#[derive(Debug)]
pub(super) struct Learner {
    mlp: Mlp,
    sgd: Sgd,
    best: Best,
}

impl<'a> Trainer<'a> {
    /// A fresh network by the recipe, with no velocity, to be trained on `rows`, of which there is at least one.
    pub(super) fn new(recipe: &Standard, samples: Samples<'a>, rows: Vec<u32>) -> Self {
        let mlp = init(&Recipe::Standard(recipe.clone()), samples.n_features(), samples.n_classes());
        Self {
            batches: rows.len().div_ceil(recipe.batch_size) as u64,
            recipe: recipe.clone(),
            samples,
            order: rows,
            learner: Learner {
                sgd: Sgd::new(&mlp, recipe.momentum, recipe.weight_decay),
                best: Best::new(recipe),
                mlp,
            },
        }
    }

    /// Trains for the epoch `running` counts, on its mini-batches behind the first `done`; `after` each it may be
    /// stopped.
    pub(super) fn pass(
        &mut self,
        workspace: &mut Workspace,
        running: &mut Running,
        done: u64,
        after: &mut dyn FnMut(&Running, &Learner) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TrainError> {
        let Workspace { batch, gradient, scratch } = workspace;
        let (recipe, samples, batches, learner) =
            (&self.recipe, self.samples, self.batches, &mut self.learner);
        order_rows(&mut self.order, scratch, recipe.seed, Purpose::Order, running.epoch);
        let steps = batches * u64::from(recipe.epochs);
        let mut coming = self.order.chunks(recipe.batch_size).skip(done as usize + 1);
        let rows = self.order.chunks(recipe.batch_size).skip(done as usize);
        for (number, rows) in (done + 1..).zip(rows) {
            batch.load(samples, rows);
            samples.prefetch(coming.next().unwrap_or_default());
            batch.forward(&learner.mlp);
            batch.loss();
            let loss = batch.losses().iter().map(|&loss| f64::from(loss)).sum();
            let hits = batch.hits().iter().filter(|&&hit| hit).count() as u64;
            running.add(loss, hits, rows.len())?;
            batch.weigh_mean();
            let step = u64::from(running.epoch - 1) * batches + number - 1;
            let learning_rate = recipe.schedule.learning_rate(recipe.learning_rate, step, steps, batches);
            if number == batches {
                batch.backward(&learner.mlp, 0.0, gradient);
                running.end(learning_rate, norm(gradient));
            }
            learner.sgd.step(&mut learner.mlp, batch, learning_rate);
            if number == batches && !learner.mlp.is_finite() {
                return Err(running.not_finite());
            }
            if after(running, learner).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Notes the end of an epoch; true when patience has run out.
    pub(super) fn is_over(&mut self, epoch: u32, holdout_loss: Option<f64>) -> bool {
        self.learner.best.is_over(epoch, holdout_loss, &self.learner.mlp)
    }

    fn finish(self, report: Option<EpochReport>, completed: bool) -> Trained {
        let Learner { mlp, best, .. } = self.learner;
        Trained { model: best.kept.map_or(mlp, |(_, _, best)| best), report, completed }
    }
}

impl Learner {
    /// The present weights.
    pub(super) fn present(&self) -> &Mlp {
        &self.mlp
    }

    /// What the training would give out now: under early stopping the best epoch's weights.
    pub(super) fn outcome(&self) -> &Mlp {
        self.best.kept.as_ref().map_or(&self.mlp, |(_, _, mlp)| mlp)
    }

    /// Adds what it carries to `state`; its tensors' names begin with `prefix`.
    pub(super) fn save(&self, prefix: &str, state: &mut State) {
        state.put(format!("{prefix}weights"), self.mlp.params());
        state.put(format!("{prefix}velocity"), self.sgd.velocity());
        let best = self.best.kept.as_ref();
        if let Some((_, _, mlp)) = best {
            state.put(format!("{prefix}best"), mlp.params());
        }
        state.cursor.best.push(best.map(|&(epoch, loss, _)| (epoch, loss)));
    }

    /// Takes back what [`save`](Self::save) added, `best` being the best epoch and its loss.
    pub(super) fn restore(
        &mut self,
        prefix: &str,
        best: Option<(u32, f64)>,
        state: &mut State,
    ) -> Result<(), TrainError> {
        state.take(&format!("{prefix}weights"), self.mlp.params_mut())?;
        state.take(&format!("{prefix}velocity"), self.sgd.velocity_mut())?;
        if let Some((epoch, loss)) = best {
            let mut mlp = self.mlp.clone();
            state.take(&format!("{prefix}best"), mlp.params_mut())?;
            self.best.kept = self.best.patience.map(|_| (epoch, loss, mlp));
        }
        Ok(())
    }
}

/// What a step works in: one for any number of networks of the same shape.
#[derive(Debug)]
pub(super) struct Workspace {
    /// For training, and for looking at many rows.
    batch: Batch,
    gradient: Buffer,
    scratch: Vec<(u64, u32)>,
}

impl Workspace {
    pub(super) fn new(shape: &Shape, batch_size: usize) -> Self {
        Self {
            batch: Batch::new(shape, batch_size.max(CHUNK)),
            gradient: Buffer::zeroed(shape.buffer_len()),
            scratch: Vec::new(),
        }
    }

    pub(super) fn use_threads(&mut self, n_threads: NonZeroUsize) {
        if n_threads.get() != self.batch.n_threads() {
            self.batch.set_team(Team::of(n_threads));
        }
    }

    pub(super) fn evaluate(&mut self, mlp: &Mlp, samples: Samples<'_>, rows: &[u32]) -> Evaluation {
        evaluate(&mut self.batch, mlp, samples, rows)
    }
}

/// Early stopping: the best epoch so far by held-out loss, kept only when it is asked for.
#[derive(Debug)]
struct Best {
    patience: Option<u32>,
    kept: Option<(u32, f64, Mlp)>,
}

impl Best {
    fn new(recipe: &Standard) -> Self {
        Self { patience: recipe.early_stopping.map(|rule| rule.patience), kept: None }
    }

    /// Which epoch that was.
    fn epoch(&self) -> Option<u32> {
        self.kept.as_ref().map(|&(epoch, _, _)| epoch)
    }

    /// Notes an epoch; true when patience has run out.
    fn is_over(&mut self, epoch: u32, holdout_loss: Option<f64>, mlp: &Mlp) -> bool {
        let (Some(patience), Some(loss)) = (self.patience, holdout_loss) else { return false };
        match &self.kept {
            Some((best_epoch, best_loss, _)) if loss >= *best_loss => epoch - best_epoch >= patience,
            Some(_) | None => {
                self.kept = Some((epoch, loss, mlp.clone()));
                false
            }
        }
    }
}
