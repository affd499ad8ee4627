//! The mini-batch loop the approximate methods share.

use super::context::Context;
use super::guard::{Advice, Guard, LOOKS_PER_EPOCH, MAX_GRADIENT_NORM, Watch};
use super::{Observer, Task, UnlearnEpoch, UnlearnError, Unlearned, go_on};
use crate::nn::batch::Batch;
use crate::nn::hash::{Purpose, order_rows};
use crate::nn::optim::ClippedSgd;
use crate::nn::team::Team;
use crate::nn::{BatchReport, Mlp, Samples};

/// Momentum of the methods that train on retained rows.
pub(super) const MOMENTUM: f64 = 0.9;

/// A method at work: the network, what moves it, and the guard that watches.
pub(super) struct Course<'c, 'a> {
    pub(super) context: &'c mut Context<'a>,
    pub(super) observer: &'c mut dyn Observer,
    pub(super) mlp: Mlp,
    batch: Batch,
    descent: Descent,
    pub(super) guard: Guard,
    epoch: u32,
    epochs: u32,
    steps: u64,
    /// Rows trained on, in all passes.
    n_rows: u64,
}

/// How long, in which portions and watched how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) epochs: u32,
    /// The most rows in a mini-batch.
    pub(super) capacity: usize,
    pub(super) momentum: f64,
    pub(super) watch: Watch,
}

/// Scores a mini-batch of rows and weighs it; says how many of its first rows are the retained ones the
/// progress is reported of.
pub(super) type Score<'s> = dyn FnMut(&mut Batch, &Mlp, &[u32]) -> usize + 's;

impl<'c, 'a> Course<'c, 'a> {
    /// `mlp` is where to start, not necessarily the parent.
    pub(super) fn new(
        context: &'c mut Context<'a>,
        observer: &'c mut dyn Observer,
        mlp: Mlp,
        plan: Plan,
    ) -> Self {
        let threads = observer.threads();
        let mut batch = Batch::new(mlp.shape(), plan.capacity);
        batch.set_team(Team::of(threads));
        let guard = Guard::new(plan.watch, context);
        let descent = Descent::new(&mlp, plan.momentum);
        Self {
            context,
            observer,
            mlp,
            batch,
            descent,
            guard,
            epoch: 0,
            epochs: plan.epochs,
            steps: 0,
            n_rows: 0,
        }
    }

    /// Scales every step in each parameter by its factor: zero holds it, bit for bit.
    pub(super) fn scale_steps(&mut self, factors: Vec<f32>) {
        self.descent.factors = Some(factors);
    }

    /// Adds `strength · sign(w)` to the gradient of every weight.
    pub(super) fn shrink(&mut self, strength: f64) {
        self.descent.l1 = strength as f32;
    }

    /// One epoch over `batches`. `rate` is the learning rate at a part, in [0, 1), of the whole method.
    pub(super) fn epoch(
        &mut self,
        batches: &[Vec<u32>],
        rate: impl Fn(f64) -> f64,
        score: &mut Score<'_>,
    ) -> Result<Advice, UnlearnError> {
        self.epoch += 1;
        let n_batches = batches.len() as u64;
        let between_looks = (n_batches / LOOKS_PER_EPOCH).max(1);
        let is_short = n_batches < LOOKS_PER_EPOCH;
        let (mut running, mut advice, mut learning_rate) = (Running::default(), Advice::GoOn, rate(0.0));
        for (number, rows) in (0..).zip(batches) {
            let within = number as f64 / n_batches as f64;
            learning_rate = rate((f64::from(self.epoch - 1) + within) / f64::from(self.epochs));
            let n_kept = score(&mut self.batch, &self.mlp, rows);
            running.add(&self.batch, n_kept);
            self.descent.step(&mut self.mlp, &mut self.batch, learning_rate);
            go_on(self.observer.on_batch(&running.report(self.epoch, number + 1, n_batches)))?;
            self.steps += 1;
            self.n_rows += rows.len() as u64;
            go_on(self.observer.on_step(&self.mlp, self.n_rows))?;
            if self.guard.is_throughout() && self.steps.is_multiple_of(between_looks) {
                // beside a few steps on a few rows the retained rows' probe is most of the work
                if is_short && self.guard.glance(self.context, &self.mlp) == Advice::GoOn {
                    continue;
                }
                advice = self.look()?;
                if advice == Advice::Stop {
                    break;
                }
            }
        }
        if advice == Advice::GoOn && self.guard.seen_behind(self.steps).is_none() {
            advice = self.look()?;
        }
        if self.mlp.is_finite() {
            let report = self.report(learning_rate, running.seen);
            go_on(self.observer.on_epoch(&report))?;
        }
        Ok(advice)
    }

    /// Has the guard look at the original, where a method starts from it: there may be nothing to do, and there is
    /// something to roll back to.
    pub(super) fn look_at_original(&mut self) -> Result<Advice, UnlearnError> {
        let (advice, report) = self.guard.look_at_original(self.context);
        go_on(self.observer.on_guard(&report))?;
        Ok(advice)
    }

    /// Has the guard look at the present state.
    pub(super) fn look(&mut self) -> Result<Advice, UnlearnError> {
        let (advice, report) = self.guard.look(self.context, &self.mlp, self.steps);
        go_on(self.observer.on_guard(&report))?;
        Ok(advice)
    }

    fn report(&mut self, learning_rate: f64, n_samples: u64) -> UnlearnEpoch {
        let seen = self.guard.seen_behind(self.steps);
        let probed = seen.unwrap_or_else(|| self.context.probe(&self.mlp));
        self.context.epoch_of(probed, &self.mlp, (self.epoch, self.epochs), learning_rate, n_samples)
    }

    pub(super) fn finish(self) -> Unlearned {
        self.guard.finish(self.context, self.mlp)
    }
}

/// Epochs of plain training on the retained rows, the rate falling linearly to zero.
pub(super) fn train_on_retained(
    course: &mut Course<'_, '_>,
    epochs: u32,
    batch_size: usize,
    learning_rate: f64,
) -> Result<(), UnlearnError> {
    let task = course.context.task;
    let mut retain = Rows::new(&course.context.retain, batch_size, task.seed);
    for epoch in 1..=epochs {
        retain.shuffle(epoch);
        let rate = |progress: f64| learning_rate * (1.0 - progress);
        if course.epoch(&retain.all(), rate, &mut cross_entropy(task.train))? == Advice::Stop {
            break;
        }
    }
    Ok(())
}

/// The mean cross-entropy of a mini-batch.
pub(super) fn cross_entropy<'s>(samples: Samples<'s>) -> impl FnMut(&mut Batch, &Mlp, &[u32]) -> usize + 's {
    move |batch, mlp, rows| {
        batch.score(mlp, samples, rows);
        batch.weigh_mean();
        rows.len()
    }
}

/// Descent with a clipped gradient and a velocity of its own: nothing of the parent's optimiser state,
/// which has seen the forget set, is carried over.
pub(super) struct Descent {
    gradient: Vec<f32>,
    sgd: ClippedSgd,
    factors: Option<Vec<f32>>,
    l1: f32,
}

impl Descent {
    pub(super) fn new(mlp: &Mlp, momentum: f64) -> Self {
        let gradient = vec![0.0; mlp.params().len()];
        let sgd = ClippedSgd::new(mlp, momentum, MAX_GRADIENT_NORM);
        Self { gradient, sgd, factors: None, l1: 0.0 }
    }

    pub(super) fn step(&mut self, mlp: &mut Mlp, batch: &mut Batch, learning_rate: f64) {
        batch.backward(mlp, 0.0, &mut self.gradient);
        if self.l1 > 0.0 {
            for l in 0..mlp.n_layers() {
                let place = mlp.shape().layer_ranges(l).0;
                for (g, &w) in self.gradient[place.clone()].iter_mut().zip(&mlp.params()[place]) {
                    // zero stays: `signum` of it is one
                    *g += if w == 0.0 { 0.0 } else { self.l1 * w.signum() };
                }
            }
        }
        // before the velocity sees it: what is held must not be moved by momentum later
        if let Some(factors) = &self.factors {
            self.gradient.iter_mut().zip(factors).for_each(|(g, &factor)| *g *= factor);
        }
        self.sgd.step(mlp, &self.gradient, learning_rate, batch.team());
    }
}

/// Rows in a fresh order every epoch, handed out mini-batch by mini-batch.
pub(super) struct Rows {
    rows: Vec<u32>,
    scratch: Vec<(u64, u32)>,
    seed: u64,
    batch_size: usize,
}

impl Rows {
    pub(super) fn new(rows: &[u32], batch_size: usize, seed: u64) -> Self {
        Self { rows: rows.to_vec(), scratch: Vec::with_capacity(rows.len()), seed, batch_size }
    }

    pub(super) fn batches(&self) -> u64 {
        self.rows.len().div_ceil(self.batch_size) as u64
    }

    pub(super) fn shuffle(&mut self, epoch: u32) {
        order_rows(&mut self.rows, &mut self.scratch, self.seed, Purpose::UnlearnOrder, epoch);
    }

    /// Mini-batch `number` of the pass, wrapping around at its end.
    pub(super) fn batch(&self, number: u64) -> &[u32] {
        let start = (number % self.batches()) as usize * self.batch_size;
        &self.rows[start..self.rows.len().min(start + self.batch_size)]
    }

    /// The mini-batches of a pass.
    pub(super) fn all(&self) -> Vec<Vec<u32>> {
        self.rows.chunks(self.batch_size).map(<[u32]>::to_vec).collect()
    }

    /// The mini-batches of a pass, each followed by the next of another set, which is gone through again and again.
    pub(super) fn beside(&self, others: &Self) -> Vec<Vec<u32>> {
        (0..self.batches()).map(|number| [self.batch(number), others.batch(number)].concat()).collect()
    }
}

/// Forget rows beside so many retained ones in a mini-batch: an eighth, so that a pass over the retained rows costs only
/// that much more, and still meets the forget set several times.
pub(super) fn n_forget_beside(n_retained: usize) -> usize {
    (n_retained / 8).max(1)
}

/// Passes over the forget set, in one over the retained rows, beyond which an ascent weighs less.
const MAX_PASSES: f64 = 12.0;

/// The part of its weight an ascent has beside `retain`: a few rows come by so often in a pass over many that the whole of it
/// would drive them beyond what rows are like that no network was trained on.
pub(super) fn ascent_share(retain: &Rows, forget: &Rows) -> f64 {
    let passes = retain.batches() as f64 / forget.batches() as f64;
    (MAX_PASSES / passes).min(1.0)
}

/// Retained rows of a mini-batch that [`Rows::beside`] made: its first.
pub(super) fn n_retained(task: &Task<'_>, rows: &[u32]) -> usize {
    rows.iter().take_while(|row| task.forget.binary_search(row).is_err()).count()
}

/// Running means over an epoch.
#[derive(Default)]
pub(super) struct Running {
    loss: f64,
    hits: u64,
    seen: u64,
}

impl Running {
    /// Adds the batch's first `n` rows.
    pub(super) fn add(&mut self, batch: &Batch, n: usize) {
        self.loss += batch.losses()[..n].iter().map(|&loss| f64::from(loss)).sum::<f64>();
        self.hits += batch.hits()[..n].iter().filter(|&&hit| hit).count() as u64;
        self.seen += n as u64;
    }

    pub(super) fn report(&self, epoch: u32, batch: u64, batches: u64) -> BatchReport {
        let seen = self.seen.max(1) as f64;
        BatchReport { epoch, batch, batches, loss: self.loss / seen, accuracy: self.hits as f64 / seen }
    }
}

/// Mini-batch training on `rows` for one epoch at a constant rate: the probes of verification and nothing else.
pub(super) fn train_one_epoch(
    mlp: &mut Mlp,
    samples: Samples<'_>,
    rows: &[u32],
    (batch_size, learning_rate, momentum): (usize, f64, f64),
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<(), UnlearnError> {
    let mut order = Rows::new(rows, batch_size, seed);
    let mut batch = Batch::new(mlp.shape(), batch_size);
    batch.set_team(Team::of(observer.threads()));
    let mut descent = Descent::new(mlp, momentum);
    let mut running = Running::default();
    order.shuffle(0);
    for number in 0..order.batches() {
        let rows = order.batch(number);
        batch.score(mlp, samples, rows);
        batch.weigh_mean();
        descent.step(mlp, &mut batch, learning_rate);
        running.add(&batch, rows.len());
        go_on(observer.on_batch(&running.report(1, number + 1, order.batches())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ascent_weighs_less_the_oftener_its_rows_come_by() {
        let share = |n_forget: u32| {
            let rows = |n: u32, batch_size| Rows::new(&(0..n).collect::<Vec<u32>>(), batch_size, 1);
            ascent_share(&rows(9_600, 96), &rows(n_forget, 12))
        };
        assert_eq!(share(1_200), 1.0);
        // a hundred mini-batches of 12 are 12.5 passes over 96 rows, 50 over 24
        assert_eq!(share(96), 0.96);
        assert_eq!(share(24), 0.24);
    }
}
