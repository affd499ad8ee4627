//! Mini-batch SGD with momentum: today's practice.

use super::batch::Batch;
use super::buffer::Buffer;
use super::evaluate::{CHUNK, Evaluation, evaluate};
use super::hash::{Purpose, order_rows};
use super::optim::{Sgd, norm};
use super::team::Team;
use super::train::{BatchReport, EpochReport, Observer, Problem, TrainError, Trained};
use super::{Mlp, Recipe, Samples, Shape, Split, Standard, init::init};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

pub(super) fn train(
    recipe: &Standard,
    problem: &Problem<'_>,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    let samples = problem.train;
    let split = Split::new(&Recipe::Standard(recipe.clone()), samples.n_rows(), problem.excluded);
    if split.train.is_empty() {
        return Err(TrainError::NoRows);
    }
    let mut trainer = Trainer::new(recipe, samples, split.train);
    let mut workspace = Workspace::new(trainer.mlp.shape(), recipe.batch_size);
    let test_rows: Vec<u32> = (0..problem.test.n_rows() as u32).collect();
    for epoch in 1..=recipe.epochs {
        workspace.use_threads(observer.threads());
        let mut running = Running::new(epoch, trainer.batches);
        let pass = trainer.pass(&mut workspace, &mut running, &mut |report| observer.on_batch(report))?;
        let Some(last) = pass else { return Ok(trainer.finish(epoch, false)) };
        let test = workspace.evaluate(&trainer.mlp, problem.test, &test_rows);
        let holdout =
            (!split.held_out.is_empty()).then(|| workspace.evaluate(&trainer.mlp, samples, &split.held_out));
        let report = running.epoch_report(recipe.epochs, last, test, holdout);
        if observer.on_epoch(&report, &trainer.mlp).is_break() {
            return Ok(trainer.finish(epoch, false));
        }
        if trainer.is_over(epoch, holdout.map(|h| h.loss)) {
            return Ok(trainer.finish(epoch, true));
        }
    }
    Ok(trainer.finish(recipe.epochs, true))
}

/// One network in training on some rows, and everything a training carries from epoch to epoch.
#[derive(Debug)]
pub(super) struct Trainer<'a> {
    recipe: Standard,
    samples: Samples<'a>,
    order: Vec<u32>,
    mlp: Mlp,
    sgd: Sgd,
    best: Best,
    /// Mini-batches in an epoch.
    pub(super) batches: u64,
}

/// What an epoch's last mini-batch had.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LastStep {
    pub(super) learning_rate: f64,
    /// L2 norm of the gradient.
    pub(super) grad_norm: f64,
}

impl<'a> Trainer<'a> {
    /// A fresh network by the recipe, with no velocity, to be trained on `rows`, of which there is at least one.
    pub(super) fn new(recipe: &Standard, samples: Samples<'a>, rows: Vec<u32>) -> Self {
        let mlp = init(&Recipe::Standard(recipe.clone()), samples.n_features(), samples.n_classes());
        Self {
            sgd: Sgd::new(&mlp, recipe.momentum, recipe.weight_decay),
            best: Best::new(recipe),
            batches: rows.len().div_ceil(recipe.batch_size) as u64,
            recipe: recipe.clone(),
            samples,
            order: rows,
            mlp,
        }
    }

    /// Trains for the epoch `running` counts; `None` when `on_batch` stopped it.
    pub(super) fn pass(
        &mut self,
        workspace: &mut Workspace,
        running: &mut Running,
        on_batch: &mut dyn FnMut(&BatchReport) -> ControlFlow<()>,
    ) -> Result<Option<LastStep>, TrainError> {
        let Workspace { batch, gradient, scratch } = workspace;
        let (recipe, samples, batches) = (&self.recipe, self.samples, self.batches);
        order_rows(&mut self.order, scratch, recipe.seed, Purpose::Order, running.epoch);
        let steps = batches * u64::from(recipe.epochs);
        let mut last = LastStep::default();
        let mut coming = self.order.chunks(recipe.batch_size).skip(1);
        for (number, rows) in (1..).zip(self.order.chunks(recipe.batch_size)) {
            batch.load(samples, rows);
            samples.prefetch(coming.next().unwrap_or_default());
            batch.forward(&self.mlp);
            batch.loss();
            running.add(batch, rows.len())?;
            batch.weigh_mean();
            let step = u64::from(running.epoch - 1) * batches + number - 1;
            last.learning_rate = recipe.schedule.learning_rate(recipe.learning_rate, step, steps, batches);
            if number == batches {
                batch.backward(&self.mlp, 0.0, gradient);
                last.grad_norm = norm(gradient);
            }
            self.sgd.step(&mut self.mlp, batch, last.learning_rate);
            if on_batch(&running.batch_report()).is_break() {
                return Ok(None);
            }
        }
        if self.mlp.is_finite() { Ok(Some(last)) } else { Err(running.not_finite()) }
    }

    /// Notes the end of an epoch; true when patience has run out.
    pub(super) fn is_over(&mut self, epoch: u32, holdout_loss: Option<f64>) -> bool {
        self.best.is_over(epoch, holdout_loss, &self.mlp)
    }

    /// The present weights.
    pub(super) fn present(&self) -> &Mlp {
        &self.mlp
    }

    /// What the training would give out now: under early stopping the best epoch's weights.
    pub(super) fn outcome(&self) -> &Mlp {
        self.best.kept.as_ref().map_or(&self.mlp, |(_, _, mlp)| mlp)
    }

    fn finish(self, last_epoch: u32, completed: bool) -> Trained {
        match self.best.kept {
            Some((best_epoch, _, model)) => Trained { model, best_epoch, completed },
            None => Trained { model: self.mlp, best_epoch: last_epoch, completed },
        }
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

/// Running sums over an epoch's mini-batches, of one network or of several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    epoch: u32,
    batches: u64,
    batch: u64,
    loss: f64,
    hits: u64,
    seen: u64,
}

impl Running {
    pub(super) fn new(epoch: u32, batches: u64) -> Self {
        Self { epoch, batches, batch: 0, loss: 0.0, hits: 0, seen: 0 }
    }

    /// Counts a mini-batch of `n_rows` rows whose losses are known.
    fn add(&mut self, batch: &Batch, n_rows: usize) -> Result<(), TrainError> {
        self.batch += 1;
        self.loss += batch.losses().iter().map(|&loss| f64::from(loss)).sum::<f64>();
        self.hits += batch.hits().iter().filter(|&&hit| hit).count() as u64;
        self.seen += n_rows as u64;
        if self.loss.is_finite() { Ok(()) } else { Err(self.not_finite()) }
    }

    fn not_finite(&self) -> TrainError {
        TrainError::NonFinite { epoch: self.epoch, batch: self.batch }
    }

    fn batch_report(&self) -> BatchReport {
        let seen = self.seen as f64;
        BatchReport {
            epoch: self.epoch,
            batch: self.batch,
            batches: self.batches,
            loss: self.loss / seen,
            accuracy: self.hits as f64 / seen,
        }
    }

    pub(super) fn n_samples(&self) -> u64 {
        self.seen
    }

    pub(super) fn epoch_report(
        &self,
        epochs: u32,
        last: LastStep,
        test: Evaluation,
        holdout: Option<Evaluation>,
    ) -> EpochReport {
        EpochReport {
            epoch: self.epoch,
            epochs,
            train_loss: self.loss / self.seen as f64,
            train_accuracy: self.hits as f64 / self.seen as f64,
            test_loss: test.loss,
            test_accuracy: test.accuracy,
            holdout_loss: holdout.map(|h| h.loss),
            holdout_accuracy: holdout.map(|h| h.accuracy),
            reported_accuracy: test.accuracy,
            learning_rate: last.learning_rate,
            grad_norm: last.grad_norm,
            n_samples: self.seen,
        }
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
