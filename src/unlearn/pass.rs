//! The mini-batch loop the approximate methods share.

use super::guard::MAX_GRADIENT_NORM;
use crate::nn::batch::Batch;
use crate::nn::hash::{Purpose, order_rows};
use crate::nn::optim::{add_scaled, clip_norm};
use crate::nn::{BatchReport, Mlp};

/// Descent with a clipped gradient and a velocity of its own: nothing of the parent's optimiser state,
/// which has seen the forget set, is carried over.
pub(super) struct Descent {
    gradient: Vec<f32>,
    velocity: Vec<f32>,
    momentum: f32,
}

impl Descent {
    pub(super) fn new(mlp: &Mlp, momentum: f64) -> Self {
        let n = mlp.params().len();
        Self { gradient: vec![0.0; n], velocity: vec![0.0; n], momentum: momentum as f32 }
    }

    /// `v ← μ·v + clip(∇)`, `w ← w − η·v`, with the batch's weighted gradient.
    pub(super) fn step(&mut self, mlp: &mut Mlp, batch: &mut Batch, learning_rate: f64) {
        batch.backward(mlp, 0.0, &mut self.gradient);
        clip_norm(&mut self.gradient, MAX_GRADIENT_NORM);
        self.velocity.iter_mut().for_each(|v| *v *= self.momentum);
        add_scaled(1.0, &self.gradient, &mut self.velocity);
        add_scaled(-learning_rate as f32, &self.velocity, mlp.params_mut());
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
}

/// Running means over an epoch.
#[derive(Default)]
pub(super) struct Running {
    loss: f64,
    hits: u64,
    pub(super) seen: u64,
}

impl Running {
    /// Adds the batch's first `n` rows.
    pub(super) fn add(&mut self, batch: &Batch, n: usize) {
        self.loss += batch.losses()[..n].iter().map(|&loss| f64::from(loss)).sum::<f64>();
        self.hits += batch.hits()[..n].iter().filter(|&&hit| hit).count() as u64;
        self.seen += n as u64;
    }

    pub(super) fn report(&self, epoch: u32, batch: u64, batches: u64) -> BatchReport {
        let seen = self.seen as f64;
        BatchReport { epoch, batch, batches, loss: self.loss / seen, accuracy: self.hits as f64 / seen }
    }
}

/// Mini-batch training on `rows` for one epoch at a constant rate: the relearn probe and nothing else.
pub(super) fn train_one_epoch(
    mlp: &mut Mlp,
    samples: crate::nn::Samples<'_>,
    rows: &[u32],
    (batch_size, learning_rate, momentum): (usize, f64, f64),
    seed: u64,
    observer: &mut dyn super::Observer,
) -> Result<(), super::UnlearnError> {
    let mut order = Rows::new(rows, batch_size, seed);
    let mut batch = Batch::new(mlp.shape(), batch_size);
    let mut descent = Descent::new(mlp, momentum);
    let mut running = Running::default();
    order.shuffle(0);
    for number in 0..order.batches() {
        let rows = order.batch(number);
        batch.score(mlp, samples, rows);
        batch.weigh_mean();
        descent.step(mlp, &mut batch, learning_rate);
        running.add(&batch, rows.len());
        super::go_on(observer.on_batch(&running.report(1, number + 1, order.batches())))?;
    }
    Ok(())
}
