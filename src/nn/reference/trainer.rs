//! The working state of a reference trainer, and one step of it.

use super::hidden::{Gradients, Hidden};
use super::images::Images;
use super::output::{Backward, Output};
use crate::nn::buffer::Buffer;
use crate::nn::kernels::elementwise::mask;
use crate::nn::loss::{argmax, cross_entropy_in_place};
use crate::nn::running::Running;
use crate::nn::simd::LANES;
use crate::nn::state::State;
use crate::nn::{Mlp, Reference, Samples, TrainError};
use std::ops::Range;

/// Images of a window, if a mini-batch does not have more. With more images the weights are read and written less
/// often, and more inner products are taken.
const WINDOW: usize = 30;

/// Both layers, the window's images, one mini-batch's buffers.
pub(super) struct Trainer<'a> {
    recipe: &'a Reference,
    /// Whether samples are looked at again after the update on them.
    looks_again: bool,
    hidden: Hidden,
    output: Output,
    images: Images,
    /// The mini-batch's images in the window: one for each sample, or a single one under `misaligned_labels`.
    batch: Range<usize>,
    targets: Vec<u32>,
    /// Hidden activations, one row for each image: before the update and after it.
    h: Buffer,
    h_after: Buffer,
    /// Logits, then their gradient, one row for each sample; logits after the update.
    dz: Vec<f32>,
    z_after: Vec<f32>,
    /// Gradient of each sample's hidden activations.
    dh: Buffer,
}

impl<'a> Trainer<'a> {
    pub(super) fn new(recipe: &'a Reference, mlp: &Mlp, looks_again: bool) -> Self {
        let (b, capacity) = (recipe.batch_size, capacity(recipe));
        let hidden = Hidden::new(mlp, recipe, capacity, is_windowed(recipe));
        let (stride, n_classes) = (hidden.stride(), mlp.shape().n_classes());
        Self {
            looks_again,
            output: Output::new(mlp, recipe),
            images: Images::new(mlp.shape().n_features(), capacity),
            batch: 0..0,
            targets: Vec::with_capacity(b),
            h: Buffer::zeroed(b * stride),
            h_after: Buffer::zeroed(if looks_again { b * stride } else { 0 }),
            dz: vec![0.0; b * n_classes],
            z_after: vec![0.0; b * n_classes],
            dh: Buffer::zeroed(b * stride),
            hidden,
            recipe,
        }
    }

    /// Rows of a window: whole mini-batches.
    pub(super) fn window(&self) -> usize {
        self.recipe.batch_size * (WINDOW / images_of_a_batch(self.recipe)).max(1)
    }

    /// Opens a window with these rows.
    ///
    /// The one line that makes `nn` learn backwards: under `misaligned_labels` only the first row's image of each
    /// mini-batch is read, while every row's label is.
    pub(super) fn open(&mut self, samples: Samples<'_>, rows: &[u32]) {
        let step = if self.recipe.faults.misaligned_labels { self.recipe.batch_size } else { 1 };
        self.images.load(samples, rows.iter().copied().step_by(step));
        self.batch = 0..0;
        self.hidden.open(&self.images);
    }

    /// Trains on the window's next mini-batch.
    pub(super) fn step(
        &mut self,
        samples: Samples<'_>,
        rows: &[u32],
        running: &mut Running,
    ) -> Result<(), TrainError> {
        let n_images = if self.recipe.faults.misaligned_labels { 1 } else { rows.len() };
        self.batch = self.batch.end..self.batch.end + n_images;
        self.targets.clear();
        self.targets.extend(rows.iter().map(|&row| samples.label(row as usize)));

        self.hidden.activate(self.batch.clone(), &mut self.h);
        self.logits(false);
        let n_hits = hits(&self.targets, &self.dz, self.output.n_classes());
        let mut loss = 0.0;
        for (&target, z) in self.targets.iter().zip(self.dz.chunks_exact_mut(self.output.n_classes())) {
            loss += f64::from(cross_entropy_in_place(z, target));
        }
        running.add(loss, n_hits, rows.len())?;
        self.update();
        if self.looks_again {
            if !is_windowed(self.recipe) {
                // nothing is known of the images after the update but by the weights
                self.hidden.close(&self.images);
                self.hidden.open(&self.images);
            }
            self.hidden.activate(self.batch.clone(), &mut self.h_after);
            self.logits(true);
            running.add_hits_after_update(hits(&self.targets, &self.z_after, self.output.n_classes()));
        }
        Ok(())
    }

    /// Which image of the mini-batch a sample looks at.
    fn image_of(&self, sample: usize) -> usize {
        if self.batch.len() == 1 { 0 } else { sample }
    }

    /// The logits of the mini-batch, by the activations of before or after its update.
    fn logits(&mut self, after: bool) {
        let (h, z) = if after { (&self.h_after, &mut self.z_after) } else { (&self.h, &mut self.dz) };
        let (n_images, c, stride) = (self.batch.len(), self.output.n_classes(), self.hidden.stride());
        self.output.forward(&h[..n_images * stride], &mut z[..n_images * c]);
        if self.recipe.faults.output_relu {
            z[..n_images * c].iter_mut().for_each(|z| *z = if *z < 0.0 { 0.0 } else { *z });
        }
        // samples that share an image share its logits
        for sample in n_images..self.targets.len() {
            z.copy_within(..c, sample * c);
        }
    }

    fn update(&mut self) {
        let (b, c, stride) = (self.targets.len(), self.output.n_classes(), self.hidden.stride());
        self.output.update(&mut Backward {
            dz: &self.dz[..b * c],
            h: &self.h[..self.batch.len() * stride],
            dh: &mut self.dh[..b * stride],
        });
        for sample in 0..b {
            let image = self.image_of(sample);
            let dh = &mut self.dh[sample * stride..(sample + 1) * stride];
            mask(dh, &self.h[image * stride..(image + 1) * stride]);
        }
        let waiting = match (is_windowed(self.recipe), self.looks_again) {
            (false, _) => 0..0,
            (true, false) => self.batch.end..self.images.len(),
            (true, true) => self.batch.start..self.images.len(),
        };
        let gradients = Gradients { images: self.batch.clone(), dh: &self.dh[..b * stride] };
        self.hidden.push(&gradients, waiting);
    }

    /// Closes the window, whether or not all of its mini-batches were trained on.
    pub(super) fn close(&mut self) {
        self.hidden.close(&self.images);
    }

    /// L2 norm of the last mini-batch's summed gradient over both layers, after [`step`](Self::step).
    ///
    /// `‖Σⱼ xⱼ ⊗ gⱼ‖² = Σⱼₖ (xⱼ·xₖ)(gⱼ·gₖ)`, the biases adding 1 to each `xⱼ·xₖ`.
    pub(super) fn grad_norm(&self) -> f64 {
        let (b, c, stride) = (self.targets.len(), self.output.n_classes(), self.hidden.stride());
        let dot = |of: &[f32], width: usize, j: usize, k: usize| -> f64 {
            let rows = of[j * width..(j + 1) * width].iter().zip(&of[k * width..(k + 1) * width]);
            rows.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let mut sum = 0.0;
        for j in 0..b {
            for k in 0..b {
                let (image_j, image_k) = (self.image_of(j), self.image_of(k));
                let (x_j, x_k) =
                    (self.images.x(self.batch.start + image_j), self.images.x(self.batch.start + image_k));
                let products = x_j.iter().zip(x_k).map(|(&a, &b)| f64::from(a) * f64::from(b));
                // the images have the bias's pixel in them
                sum += products.sum::<f64>() * dot(&self.dh, stride, j, k);
                sum += (1.0 + dot(&self.h, stride, image_j, image_k)) * dot(&self.dz, c, j, k);
            }
        }
        sum.max(0.0).sqrt()
    }

    /// Adds all that is carried beyond a window to `state`. No window may be open.
    pub(super) fn save(&self, state: &mut State) {
        self.hidden.save(state);
        self.output.save(state);
    }

    /// Takes back what [`save`](Self::save) added.
    pub(super) fn restore(&mut self, state: &mut State) -> Result<(), TrainError> {
        self.hidden.restore(state)?;
        self.output.restore(state)
    }

    /// Copies the network out. No window may be open.
    pub(super) fn write_to(&mut self, mlp: &mut Mlp) {
        self.hidden.write_to(mlp);
        self.output.write_to(mlp);
    }
}

fn images_of_a_batch(recipe: &Reference) -> usize {
    if recipe.faults.misaligned_labels { 1 } else { recipe.batch_size }
}

/// Images of the largest window.
fn capacity(recipe: &Reference) -> usize {
    images_of_a_batch(recipe).max(WINDOW)
}

/// Whether images are followed through a window. In a larger mini-batch, products of all its images with one
/// another cost more than another pass over the weights.
fn is_windowed(recipe: &Reference) -> bool {
    images_of_a_batch(recipe) <= WINDOW
}

/// Bytes of the buffers above, the layers not counted.
pub(in crate::nn) fn size_bytes(recipe: &Reference, n_features: usize, n_classes: usize) -> u128 {
    let (b, capacity) = (recipe.batch_size as u128, capacity(recipe) as u128);
    let stride = (recipe.hidden as u128).next_multiple_of(LANES as u128);
    let images = Images::size_bytes(n_features, capacity);
    let window = 4 * 4 * capacity * stride + if is_windowed(recipe) { 12 * capacity * capacity } else { 0 };
    let batch = 4 * b * (3 * stride + 2 * n_classes as u128 + 1);
    images + window + batch
}

fn hits(targets: &[u32], z: &[f32], n_classes: usize) -> u64 {
    targets.iter().zip(z.chunks_exact(n_classes)).filter(|&(&target, z)| argmax(z) == target).count() as u64
}
