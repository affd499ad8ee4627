//! The two reference trainers, `nn` and `debug`: their arithmetic, reorganised.
//!
//! What one mini-batch of `B` samples does, in the order of the reference programs
//! (`docs/decisions/0002-reference-modes.md`; each `faults` switch names its place):
//!
//! 1. forward all samples: `h = max(0, b₁ + x·W₁)`, `z = b₂ + h·W₂`, clipped at zero under `output_relu`;
//!    `dz = softmax(z) − onehot`;
//! 2. for each sample in turn, output layer: `dh = W₂·dz`, then `v₂ = μ·v₂ + η·h⊗dz`, `W₂ −= v₂`, then under
//!    `doubled_hidden_gradient` `dh += W₂·dz` with the new weights;
//! 3. `dh = 0` where `h ≤ 0`;
//! 4. for each sample in turn, hidden layer: `v₁ = μ·v₁ + η·x⊗dh`, `W₁ −= v₁`.
//!
//! Without `per_sample_momentum` the mini-batch's gradients are summed first and momentum decays once.
//!
//! Step 4 touches every weight for every sample, yet most pixels are zero. The rows of `W₁` are
//! independent of each other and every step is linear in `(v, W, dh)`, so [`hidden`] does two things in
//! closed form: the `B` updates of a row at once, and the pure decay of a row whose pixel has been dark,
//! when the pixel next lights up.

mod decay;
mod hidden;
mod output;

use super::evaluate::Evaluator;
use super::hash::{Purpose, order_rows};
use super::init::init;
use super::loss::{argmax, cross_entropy_in_place};
use super::train::{BatchReport, EpochReport, Observer, Problem, TrainError, Trained};
use super::{Mlp, Recipe, Reference, Samples, Split};
use hidden::Hidden;
use output::{Group, Output};

pub(super) fn train(
    whole: &Recipe,
    recipe: &Reference,
    problem: &Problem<'_>,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    let samples = problem.train;
    let split = Split::new(whole, samples.n_rows(), problem.excluded);
    let mut order = split.train.clone();
    if order.is_empty() {
        return Err(TrainError::NoRows);
    }
    if !recipe.faults.no_shuffle {
        // once, before the first epoch: where the reference programs call their shuffle
        order_rows(&mut order, &mut Vec::new(), recipe.seed, Purpose::Order, 0);
    }
    let mut mlp = init(whole, samples.n_features(), samples.n_classes());
    let mut trainer = Trainer::new(recipe, &mlp);
    let mut evaluator = Evaluator::new(mlp.shape());
    let (test, test_rows) = if split.tests_on_held_out {
        (samples, split.held_out)
    } else {
        (problem.test, (0..problem.test.n_rows() as u32).collect())
    };
    let prints_training_accuracy = matches!(whole, Recipe::Debug(_));

    let batches = order.len().div_ceil(recipe.batch_size) as u64;
    for epoch in 1..=recipe.epochs {
        let (mut sums, mut grad_norm) = (Sums::default(), 0.0);
        for (number, rows) in (1..).zip(order.chunks(recipe.batch_size)) {
            trainer.load(samples, rows);
            trainer.forward();
            trainer.score(&mut sums);
            if !sums.loss.is_finite() {
                return Err(TrainError::NonFinite { epoch, batch: number });
            }
            trainer.update();
            if number == batches {
                grad_norm = trainer.grad_norm();
            }
            if prints_training_accuracy {
                trainer.forward();
                sums.hits_after_update += trainer.hits();
            }
            let seen = sums.seen as f64;
            let report = BatchReport {
                epoch,
                batch: number,
                batches,
                loss: sums.loss / seen,
                accuracy: sums.hits as f64 / seen,
            };
            if observer.on_batch(&report).is_break() {
                trainer.write_to(&mut mlp);
                return Ok(Trained { model: mlp, best_epoch: epoch, completed: false });
            }
        }
        trainer.write_to(&mut mlp);
        if !mlp.is_finite() {
            return Err(TrainError::NonFinite { epoch, batch: batches });
        }
        let tested = evaluator.evaluate(&mlp, test, &test_rows);
        let seen = sums.seen as f64;
        let report = EpochReport {
            epoch,
            epochs: recipe.epochs,
            train_loss: sums.loss / seen,
            train_accuracy: sums.hits as f64 / seen,
            test_loss: tested.loss,
            test_accuracy: tested.accuracy,
            holdout_loss: None,
            holdout_accuracy: None,
            reported_accuracy: if prints_training_accuracy {
                sums.hits_after_update as f64 / seen
            } else {
                tested.accuracy
            },
            learning_rate: recipe.learning_rate,
            grad_norm,
            n_samples: sums.seen,
        };
        if observer.on_epoch(&report, &mlp).is_break() {
            return Ok(Trained { model: mlp, best_epoch: epoch, completed: false });
        }
    }
    Ok(Trained { model: mlp, best_epoch: recipe.epochs, completed: true })
}

#[derive(Default)]
struct Sums {
    loss: f64,
    hits: u64,
    hits_after_update: u64,
    seen: u64,
}

/// The working state: both layers in layouts of their own, and one mini-batch's buffers.
struct Trainer<'a> {
    recipe: &'a Reference,
    hidden: Hidden,
    output: Output,
    /// The mini-batch's images, `n_images × D`: one for each sample, or a single one under
    /// `misaligned_labels`.
    x: Vec<f32>,
    n_images: usize,
    targets: Vec<u32>,
    /// Hidden activations, one row for each image.
    h: Vec<f32>,
    /// Logits, then their gradient, one row for each sample.
    dz: Vec<f32>,
    /// Gradient of each sample's hidden activations.
    dh: Vec<f32>,
}

impl<'a> Trainer<'a> {
    fn new(recipe: &'a Reference, mlp: &Mlp) -> Self {
        let capacity = recipe.batch_size;
        let hidden = Hidden::new(mlp, recipe.momentum, recipe.learning_rate);
        let output = Output::new(mlp, recipe.momentum, recipe.learning_rate);
        let stride = hidden.stride();
        Self {
            x: vec![0.0; capacity * mlp.shape().n_features()],
            n_images: 0,
            targets: Vec::with_capacity(capacity),
            h: vec![0.0; capacity * stride],
            dz: vec![0.0; capacity * mlp.shape().n_classes()],
            dh: vec![0.0; capacity * stride],
            recipe,
            hidden,
            output,
        }
    }

    /// The one line that makes `nn` learn backwards: under `misaligned_labels` only the first row's
    /// image is read, while every row's label is.
    fn load(&mut self, samples: Samples<'_>, rows: &[u32]) {
        let images = if self.recipe.faults.misaligned_labels { &rows[..1] } else { rows };
        for (&row, x) in images.iter().zip(self.x.chunks_exact_mut(samples.n_features())) {
            samples.copy_row(row as usize, x);
        }
        self.n_images = images.len();
        self.targets.clear();
        self.targets.extend(rows.iter().map(|&row| samples.label(row as usize)));
        self.hidden.find_active(&self.x, self.n_images);
    }

    /// Which image a sample looks at.
    fn image_of(&self, sample: usize) -> usize {
        if self.n_images == 1 { 0 } else { sample }
    }

    fn forward(&mut self) {
        self.hidden.forward(&self.x, self.n_images, &mut self.h);
        let (c, stride) = (self.output.n_classes(), self.hidden.stride());
        for image in 0..self.n_images {
            let h = &self.h[image * stride..(image + 1) * stride];
            self.output.forward(h, &mut self.dz[image * c..(image + 1) * c]);
        }
        if self.recipe.faults.output_relu {
            self.dz[..self.n_images * c].iter_mut().for_each(|z| *z = if *z < 0.0 { 0.0 } else { *z });
        }
        // samples that share an image share its logits
        for sample in self.n_images..self.targets.len() {
            self.dz.copy_within(..c, sample * c);
        }
    }

    fn hits(&self) -> u64 {
        let logits = self.dz.chunks_exact(self.output.n_classes());
        self.targets.iter().zip(logits).filter(|&(&target, z)| argmax(z) == target).count() as u64
    }

    /// Adds the batch to the sums and turns its logits into their gradients.
    fn score(&mut self, sums: &mut Sums) {
        sums.hits += self.hits();
        sums.seen += self.targets.len() as u64;
        for (&target, z) in self.targets.iter().zip(self.dz.chunks_exact_mut(self.output.n_classes())) {
            sums.loss += f64::from(cross_entropy_in_place(z, target));
        }
    }

    fn update(&mut self) {
        let (b, c, stride) = (self.targets.len(), self.output.n_classes(), self.hidden.stride());
        let faults = self.recipe.faults;
        let shared = self.n_images == 1;
        self.dh[..b * stride].fill(0.0);
        // without per-sample momentum the whole mini-batch is one update
        let n = if faults.per_sample_momentum { 1 } else { b };
        for first in (0..b).step_by(n) {
            let images = if shared { 0..1 } else { first..first + n };
            self.output.update(&mut Group {
                dz: &self.dz[first * c..(first + n) * c],
                h: &self.h[images.start * stride..images.end * stride],
                dh: &mut self.dh[first * stride..(first + n) * stride],
                doubled: faults.doubled_hidden_gradient,
            });
        }
        for (sample, dh) in self.dh.chunks_exact_mut(stride).take(b).enumerate() {
            let image = if shared { 0 } else { sample };
            super::kernels::elementwise::mask(dh, &self.h[image * stride..(image + 1) * stride]);
        }
        self.hidden.update(&self.x, self.n_images, &self.dh[..b * stride], faults.per_sample_momentum);
    }

    /// L2 norm of the last mini-batch's summed gradient over both layers, after [`update`](Self::update).
    ///
    /// `‖Σⱼ xⱼ ⊗ gⱼ‖² = Σⱼₖ (xⱼ·xₖ)(gⱼ·gₖ)`, the biases adding 1 to each `xⱼ·xₖ`.
    fn grad_norm(&self) -> f64 {
        let (b, c, stride) = (self.targets.len(), self.output.n_classes(), self.hidden.stride());
        let d = self.x.len() / self.recipe.batch_size;
        let gram = |of: &[f32], width: usize, j: usize, k: usize| -> f64 {
            let rows = of[j * width..(j + 1) * width].iter().zip(&of[k * width..(k + 1) * width]);
            rows.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let mut sum = 0.0;
        for j in 0..b {
            for k in 0..b {
                let (image_j, image_k) = (self.image_of(j), self.image_of(k));
                sum += (1.0 + gram(&self.x, d, image_j, image_k)) * gram(&self.dh, stride, j, k);
                sum += (1.0 + gram(&self.h, stride, image_j, image_k)) * gram(&self.dz, c, j, k);
            }
        }
        sum.max(0.0).sqrt()
    }

    fn write_to(&mut self, mlp: &mut Mlp) {
        self.hidden.write_to(mlp);
        self.output.write_to(mlp);
    }
}
