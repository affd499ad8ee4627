//! Mini-batch SGD with momentum: today's practice.

use super::batch::Batch;
use super::buffer::Buffer;
use super::evaluate::{CHUNK, evaluate};
use super::hash::{Purpose, order_rows};
use super::optim::{Sgd, norm};
use super::team::Team;
use super::train::{BatchReport, EpochReport, Observer, Problem, TrainError, Trained};
use super::{Mlp, Recipe, Split, Standard, init::init};

pub(super) fn train(
    recipe: &Standard,
    problem: &Problem<'_>,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    let samples = problem.train;
    let whole = Recipe::Standard(recipe.clone());
    let split = Split::new(&whole, samples.n_rows(), problem.excluded);
    if split.train.is_empty() {
        return Err(TrainError::NoRows);
    }
    let mut mlp = init(&whole, samples.n_features(), samples.n_classes());
    let mut sgd = Sgd::new(&mlp, recipe.momentum, recipe.weight_decay);
    // one workspace, for training and for looking at many rows
    let mut batch = Batch::new(mlp.shape(), recipe.batch_size.max(CHUNK));
    let test_rows: Vec<u32> = (0..problem.test.n_rows() as u32).collect();
    let mut order = split.train.clone();
    let mut scratch = Vec::with_capacity(order.len());
    let mut gradient = Buffer::zeroed(mlp.params().len());
    let mut best = Best::new(recipe);

    let batches = order.len().div_ceil(recipe.batch_size) as u64;
    let steps = batches * u64::from(recipe.epochs);
    for epoch in 1..=recipe.epochs {
        let n_threads = observer.threads();
        if n_threads.get() != batch.n_threads() {
            batch.set_team(Team::of(n_threads));
        }
        order_rows(&mut order, &mut scratch, recipe.seed, Purpose::Order, epoch);
        let (mut loss, mut hits, mut seen) = (0.0f64, 0u64, 0u64);
        let (mut learning_rate, mut grad_norm) = (0.0, 0.0);
        let mut coming = order.chunks(recipe.batch_size).skip(1);
        for (number, rows) in (1..).zip(order.chunks(recipe.batch_size)) {
            batch.load(samples, rows);
            samples.prefetch(coming.next().unwrap_or_default());
            batch.forward(&mlp);
            batch.loss();
            loss += batch.losses().iter().map(|&loss| f64::from(loss)).sum::<f64>();
            hits += batch.hits().iter().filter(|&&hit| hit).count() as u64;
            seen += rows.len() as u64;
            if !loss.is_finite() {
                return Err(TrainError::NonFinite { epoch, batch: number });
            }
            batch.weigh_mean();
            let step = u64::from(epoch - 1) * batches + number - 1;
            learning_rate = recipe.schedule.learning_rate(recipe.learning_rate, step, steps, batches);
            if number == batches {
                batch.backward(&mlp, 0.0, &mut gradient);
                grad_norm = norm(&gradient);
            }
            sgd.step(&mut mlp, &mut batch, learning_rate);

            let report = BatchReport {
                epoch,
                batch: number,
                batches,
                loss: loss / seen as f64,
                accuracy: hits as f64 / seen as f64,
            };
            if observer.on_batch(&report).is_break() {
                return Ok(best.finish(mlp, epoch, false));
            }
        }
        if !mlp.is_finite() {
            return Err(TrainError::NonFinite { epoch, batch: batches });
        }
        let test = evaluate(&mut batch, &mlp, problem.test, &test_rows);
        let holdout =
            (!split.held_out.is_empty()).then(|| evaluate(&mut batch, &mlp, samples, &split.held_out));
        let report = EpochReport {
            epoch,
            epochs: recipe.epochs,
            train_loss: loss / seen as f64,
            train_accuracy: hits as f64 / seen as f64,
            test_loss: test.loss,
            test_accuracy: test.accuracy,
            holdout_loss: holdout.map(|h| h.loss),
            holdout_accuracy: holdout.map(|h| h.accuracy),
            reported_accuracy: test.accuracy,
            learning_rate,
            grad_norm,
            n_samples: seen,
        };
        if observer.on_epoch(&report, &mlp).is_break() {
            return Ok(best.finish(mlp, epoch, false));
        }
        if best.is_over(epoch, holdout.map(|h| h.loss), &mlp) {
            return Ok(best.finish(mlp, epoch, true));
        }
    }
    Ok(best.finish(mlp, recipe.epochs, true))
}

/// Early stopping: the best epoch so far by held-out loss, kept only when it is asked for.
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

    fn finish(self, last: Mlp, last_epoch: u32, completed: bool) -> Trained {
        match self.kept {
            Some((best_epoch, _, model)) => Trained { model, best_epoch, completed },
            None => Trained { model: last, best_epoch: last_epoch, completed },
        }
    }
}
