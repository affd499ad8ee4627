//! One mini-batch through a network: forward, loss, backward, with nothing allocated per step.
//!
//! Every phase is shared out among the threads of a team by the cells of its result, so that no sum is ever
//! split: a thread makes the same columns of a wide layer forward and backward, whose weights stay in its cache.

use super::buffer::Buffer;
use super::kernels::elementwise::{add_scaled, fill_rows, mask, relu, square, sum_rows, transpose};
use super::kernels::gather::{Gather, gather_bytes, gather_floats};
use super::kernels::mask::Mask;
use super::kernels::{Sums, Update, dense, sparse};
use super::loss::{argmax, cross_entropy_in_place};
use super::panels::{BLOCK, PANEL, Panels};
use super::simd::LANES;
use super::team::{Team, shares, take_front};
use super::{Features, Mlp, Samples, Shape};
use std::ops::Range;

/// Rows that are taken at a time where a layer is too narrow to be shared out by panels: the fewer, the more
/// often its weights are read.
const STRIPS: [usize; 3] = [BLOCK, 32, 16];

/// Buffers for batches of up to a fixed number of rows.
///
/// Use: [`score`](Self::score) some rows, [`weigh`](Self::weigh) them, then [`backward`](Self::backward) or
/// [`descend`](Self::descend).
#[derive(Debug)]
pub struct Batch {
    shape: Shape,
    capacity: usize,
    n_rows: usize,
    targets: Vec<u32>,
    /// `activations[0]` is the input (`B × D`), `activations[l + 1]` layer `l`'s output. After
    /// [`loss`](Self::loss) the last one holds the gradient of the logits.
    activations: Vec<Buffer>,
    /// Where the input is not zero: a mask for each block of rows, panel after panel.
    masks: Vec<Mask>,
    /// Gradient flowing back into each hidden activation.
    deltas: Vec<Buffer>,
    /// One row of logits.
    row: Vec<f32>,
    losses: Vec<f32>,
    hits: Vec<bool>,
    team: Team,
}

/// The numbers of one step of SGD with momentum; see [`Sgd`](super::optim::Sgd).
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    pub momentum: f32,
    pub learning_rate: f32,
    pub weight_decay: f32,
}

impl Batch {
    pub fn new(shape: &Shape, capacity: usize) -> Self {
        let buffer = |&width: &usize| Buffer::zeroed(Panels::new(capacity, width).size());
        let n_masks = Panels::new(capacity, shape.n_features()).n_panels() * capacity.div_ceil(BLOCK);
        Self {
            shape: shape.clone(),
            capacity,
            n_rows: 0,
            targets: vec![0; capacity],
            activations: shape.widths.iter().map(buffer).collect(),
            masks: vec![Mask::default(); n_masks],
            deltas: shape.widths[1..shape.widths.len() - 1].iter().map(buffer).collect(),
            row: vec![0.0; shape.n_classes()],
            losses: vec![0.0; capacity],
            hits: vec![false; capacity],
            team: Team::alone(),
        }
    }

    /// Bytes the buffers of such a batch take.
    pub fn size_bytes(shape: &Shape, capacity: usize) -> u128 {
        let bytes = |&width: &usize| {
            Buffer::size_bytes(capacity as u128 * (width as u128).next_multiple_of(LANES as u128))
        };
        let all: u128 = shape.widths.iter().map(bytes).sum();
        let hidden: u128 = shape.widths[1..shape.widths.len() - 1].iter().map(bytes).sum();
        let n_masks = shape.n_features().div_ceil(PANEL) as u128 * capacity.div_ceil(BLOCK) as u128;
        all + hidden + n_masks * size_of::<Mask>() as u128 + 9 * capacity as u128
    }

    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Which threads work on this batch from now on.
    pub fn set_team(&mut self, team: Team) {
        self.team = team;
    }

    /// The threads that work on this batch, for what else there is to do in a step.
    pub fn team(&mut self) -> &mut Team {
        &mut self.team
    }

    pub fn n_threads(&self) -> usize {
        self.team.n_threads()
    }

    /// Gathers rows and their labels.
    ///
    /// # Panics
    ///
    /// If there are more rows than the batch was made for.
    pub fn load(&mut self, samples: Samples<'_>, rows: &[u32]) {
        assert!(rows.len() <= self.capacity, "{} rows in a batch of {}", rows.len(), self.capacity);
        self.n_rows = rows.len();
        for (target, &row) in self.targets.iter_mut().zip(rows) {
            *target = samples.label(row as usize);
        }
        let layout = Panels::new(self.capacity, self.shape.n_features());
        let n_blocks = self.capacity.div_ceil(BLOCK);
        let (mut x, mut masks) = (&mut self.activations[0][..], &mut self.masks[..]);
        let pieces = shares(layout.n_panels(), self.team.n_pieces()).map(|panels| {
            let len = panels.clone().map(|panel| layout.panel(panel).len()).sum();
            let masks = take_front(&mut masks, panels.len() * n_blocks);
            Gather { layout, panels, x: take_front(&mut x, len), masks }
        });
        self.team.each(pieces, |mut piece| match samples.features() {
            Features::U8(values) => gather_bytes(values, rows, &mut piece),
            Features::F32(values) => gather_floats(values, rows, &mut piece),
        });
    }

    /// Computes the logits of the loaded rows.
    pub fn forward(&mut self, mlp: &Mlp) {
        let last = self.shape.n_layers() - 1;
        for l in 0..=last {
            self.forward_layer(mlp, l, l < last || self.shape.output_relu);
        }
    }

    /// `z = x·W + b`, clipped at zero if asked for: each cell by one thread.
    fn forward_layer(&mut self, mlp: &Mlp, l: usize, clip: bool) {
        let n_threads = self.team.n_threads();
        let (inputs, outputs) = self.activations.split_at_mut(l + 1);
        let input = Input::new(&self.shape, l, &inputs[l], &self.masks, self.capacity, self.n_rows);
        let layout = Panels::new(self.capacity, self.shape.widths[l + 1]);
        let has_enough = |&strip: &usize| {
            n_threads == 1 || layout.n_panels() * self.n_rows.div_ceil(strip) >= 2 * n_threads
        };
        let strip = STRIPS.into_iter().find(has_enough).unwrap_or(STRIPS[2]);
        let per_panel = self.n_rows.div_ceil(strip);
        // items are strips of rows, panel after panel: neighbours in memory
        let tile = |item: usize| {
            let (panel, first) = (item / per_panel, item % per_panel * strip);
            (panel, first..self.n_rows.min(first + strip))
        };
        let place = |item: usize| {
            let (panel, rows) = tile(item);
            layout.tile(panel, rows)
        };
        let mut rest = Cut::new(&mut outputs[0]);
        let pieces = shares(layout.n_panels() * per_panel, self.team.n_pieces())
            .map(|items| (rest.take(place(items.start).start, place(items.end - 1).end), items));
        let weights = Layer { layout: self.shape.layer(l), numbers: mlp.weights(l) };
        let bias = mlp.padded_bias(l);
        self.team.each(pieces, |(z, items)| {
            let origin = place(items.start).start;
            for item in items {
                let (panel, rows) = tile(item);
                let place = place(item);
                let z = &mut z[place.start - origin..place.end - origin];
                let width = layout.width(panel);
                fill_rows(&bias[panel * PANEL..][..width], z);
                let mut sums = Sums { tile: z, width, decay: 1.0, update: None };
                for inner in 0..input.layout.n_panels() {
                    input.product(inner, rows.clone(), weights.tile(panel, inner), &mut sums);
                }
                if clip {
                    relu(z);
                }
            }
        });
    }

    /// Copies row `row`'s logits out. Only between [`forward`](Self::forward) and [`loss`](Self::loss).
    pub fn copy_logits(&self, row: usize, out: &mut [f32]) {
        let last = self.shape.n_layers();
        Panels::new(self.capacity, self.shape.n_classes()).copy_row(&self.activations[last], row, out);
    }

    /// Copies what hidden layer `layer` makes of row `row` out. Only behind [`forward`](Self::forward).
    pub fn copy_hidden(&self, layer: usize, row: usize, out: &mut [f32]) {
        let panels = Panels::new(self.capacity, self.shape.widths[layer + 1]);
        panels.copy_row(&self.activations[layer + 1], row, out);
    }

    /// Computes every row's cross-entropy and turns its logits into their gradient (unscaled: of that row's loss).
    pub fn loss(&mut self) {
        self.loss_by(|_, target, logits| cross_entropy_in_place(logits, target));
    }

    /// [`loss`](Self::loss) with another loss: `of(i, label, logits)` turns row `i`'s logits into the gradient
    /// of its loss and returns that loss.
    pub fn loss_by(&mut self, mut of: impl FnMut(usize, u32, &mut [f32]) -> f32) {
        let layout = Panels::new(self.capacity, self.shape.n_classes());
        let logits = self.activations.last_mut().expect("there is an output layer");
        for i in 0..self.n_rows {
            layout.copy_row(logits, i, &mut self.row);
            self.hits[i] = argmax(&self.row) == self.targets[i];
            self.losses[i] = of(i, self.targets[i], &mut self.row);
            layout.set_row(logits, i, &self.row);
        }
    }

    /// [`load`](Self::load), [`forward`](Self::forward) and [`loss`](Self::loss) in one go.
    pub fn score(&mut self, mlp: &Mlp, samples: Samples<'_>, rows: &[u32]) {
        self.load(samples, rows);
        self.forward(mlp);
        self.loss();
    }

    /// [`weigh`](Self::weigh) for the mean over the batch.
    pub fn weigh_mean(&mut self) {
        let mean = 1.0 / self.n_rows as f32;
        self.weigh(|_, _| mean);
    }

    /// Each row's loss in nats.
    pub fn losses(&self) -> &[f32] {
        &self.losses[..self.n_rows]
    }

    /// Whether each row's greatest logit was its label's.
    pub fn hits(&self) -> &[bool] {
        &self.hits[..self.n_rows]
    }

    /// Multiplies row `i`'s logit gradient by `weight(i, loss)`: `1/B` for a mean, negative to ascend,
    /// zero to leave a row out.
    pub fn weigh(&mut self, weight: impl Fn(usize, f32) -> f32) {
        let layout = Panels::new(self.capacity, self.shape.n_classes());
        let gradients = self.activations.last_mut().expect("there is an output layer");
        for i in 0..self.n_rows {
            let weight = weight(i, self.losses[i]);
            for panel in 0..layout.n_panels() {
                gradients[layout.tile(panel, i..i + 1)].iter_mut().for_each(|dz| *dz *= weight);
            }
        }
    }

    /// `gradient = decay · gradient + ∇` with `∇` the weighted sum of the rows' gradients, in the layout of
    /// the parameter buffer. With `decay` zero the old content is not read.
    pub fn backward(&mut self, mlp: &Mlp, decay: f32, gradient: &mut [f32]) {
        for l in (0..self.shape.n_layers()).rev() {
            self.backward_activation(mlp, l);
            let (weights, bias) = self.shape.layer_ranges(l);
            self.backward_bias(l, decay, &mut gradient[bias]);
            self.backward_weights(l, decay, &mut gradient[weights], None);
        }
    }

    /// `sums = decay · sums + Σ (∂ℓ/∂w)²` over the rows, each row's gradient squared by itself, in the layout of the
    /// parameter buffer: a layer's weight meets a row as `x·dz`, so the sum is `(x²)ᵀ·(dz²)`. Weights of
    /// [`weigh`](Self::weigh) are squared with it. Uses the batch up: only [`load`](Self::load) may follow.
    pub fn squared_gradients(&mut self, mlp: &Mlp, decay: f32, sums: &mut [f32]) {
        for l in (0..self.shape.n_layers()).rev() {
            self.backward_activation(mlp, l);
        }
        let last = self.shape.n_layers();
        self.deltas.iter_mut().chain([&mut self.activations[last]]).for_each(|dz| square(dz));
        self.activations[..last].iter_mut().for_each(|x| square(x));
        for l in 0..last {
            let (weights, bias) = self.shape.layer_ranges(l);
            self.backward_bias(l, decay, &mut sums[bias]);
            self.backward_weights(l, decay, &mut sums[weights], None);
        }
    }

    /// The weighted gradient of each row's loss by its own input, row after row, `B × D`.
    pub fn input_gradients(&mut self, mlp: &Mlp) -> Vec<f32> {
        for l in (1..self.shape.n_layers()).rev() {
            self.backward_activation(mlp, l);
        }
        let (d, h) = (self.shape.widths[0], self.shape.widths[1]);
        let weights = mlp.row_major(0);
        let layout = Panels::new(self.capacity, h);
        let mut dz = vec![0.0; h];
        let mut gradients = Vec::with_capacity(self.n_rows * d);
        for i in 0..self.n_rows {
            layout.copy_row(self.delta(0), i, &mut dz);
            gradients.extend(weights.chunks_exact(h).map(|w| dot(w, &dz)));
        }
        gradients
    }

    /// One step of SGD with momentum along the weighted gradient, the update of each weight made while its
    /// velocity is at hand.
    pub fn descend(&mut self, mlp: &mut Mlp, velocity: &mut [f32], rates: Rates) {
        for l in (0..self.shape.n_layers()).rev() {
            self.backward_activation(mlp, l);
            let (weights, bias) = self.shape.layer_ranges(l);
            let (to_weights, to_bias) = mlp.layer_mut(l);
            let bias_velocity = &mut velocity[bias];
            self.backward_bias(l, rates.momentum, bias_velocity);
            add_scaled(-rates.learning_rate, bias_velocity, to_bias);
            let update = Update {
                weights: to_weights,
                learning_rate: rates.learning_rate,
                weight_decay: rates.weight_decay,
            };
            self.backward_weights(l, rates.momentum, &mut velocity[weights], Some(update));
        }
    }

    /// Gradient of layer `l`'s output, `B × H`.
    fn delta(&self, l: usize) -> &Buffer {
        self.deltas.get(l).unwrap_or(&self.activations[self.shape.n_layers()])
    }

    /// Gradient of layer `l`'s input, if that is a hidden activation: `dx = dz·Wᵀ` where `x > 0`.
    fn backward_activation(&mut self, mlp: &Mlp, l: usize) {
        let Some(below) = l.checked_sub(1) else { return };
        let (lower, upper) = self.deltas.split_at_mut(l);
        let dz = upper.first().unwrap_or(&self.activations[self.shape.n_layers()]);
        let x = &self.activations[l];
        let layout = Panels::new(self.capacity, self.shape.widths[l]);
        let dz_layout = Panels::new(self.capacity, self.shape.widths[l + 1]);
        let weights = Layer { layout: self.shape.layer(l), numbers: mlp.weights(l) };
        let n_rows = self.n_rows;

        let mut dx = &mut lower[below][..];
        let pieces = shares(layout.n_panels(), self.team.n_pieces()).map(|panels| {
            let len = panels.clone().map(|panel| layout.panel(panel).len()).sum();
            (take_front(&mut dx, len), panels)
        });
        self.team.each(pieces, |(dx, panels)| {
            let origin = layout.tile(panels.start, 0..0).start;
            let mut transposed = Aligned([0.0; PANEL * PANEL]);
            for panel in panels {
                let width = layout.width(panel);
                let dx = &mut dx[layout.tile(panel, 0..n_rows).start - origin..][..n_rows * width];
                dx.fill(0.0);
                for inner in 0..dz_layout.n_panels() {
                    let (k, stride) = (dz_layout.used(inner), dz_layout.width(inner));
                    let transposed = &mut transposed.0[..stride * width];
                    transpose(weights.tile(inner, panel), stride, width, transposed);
                    let dz = &dz[dz_layout.tile(inner, 0..n_rows)];
                    for (dz, dx) in dz.chunks(BLOCK * stride).zip(dx.chunks_mut(BLOCK * width)) {
                        let dz = dense::Left { numbers: dz, row_stride: stride, col_stride: 1 };
                        let mut sums = Sums { tile: dx, width, decay: 1.0, update: None };
                        dense::product(dz, &transposed[..k * width], &mut sums);
                    }
                }
                mask(dx, &x[layout.tile(panel, 0..n_rows)]);
            }
        });
    }

    /// `gradient = decay · gradient + Σ dz` over the rows.
    fn backward_bias(&self, l: usize, decay: f32, gradient: &mut [f32]) {
        let layout = Panels::new(self.capacity, self.shape.widths[l + 1]);
        for (panel, gradient) in gradient.chunks_mut(PANEL).enumerate() {
            sum_rows(&self.delta(l)[layout.tile(panel, 0..self.n_rows)], decay, gradient);
        }
    }

    /// `gradient = decay · gradient + xᵀ·dz`, then the update, if any: each tile by one thread.
    fn backward_weights(&mut self, l: usize, decay: f32, gradient: &mut [f32], update: Option<Update<'_>>) {
        let layout = self.shape.layer(l);
        let input = Input::new(&self.shape, l, &self.activations[l], &self.masks, self.capacity, self.n_rows);
        let dz_layout = Panels::new(self.capacity, self.shape.widths[l + 1]);
        let dz = self.deltas.get(l).unwrap_or(&self.activations[self.shape.n_layers()]);
        let (n_rows, d) = (self.n_rows, self.shape.widths[l]);
        // items are tiles of the weights, panel after panel: neighbours in memory
        let per_panel = input.layout.n_panels();
        let tile = |item: usize| {
            let (panel, inner) = (item / per_panel, item % per_panel);
            (panel, inner, layout.tile(panel, inner * PANEL..d.min((inner + 1) * PANEL)))
        };
        let rates = update.as_ref().map(|update| (update.learning_rate, update.weight_decay));
        let mut weights = update.map(|update| update.weights);
        let mut gradient = gradient;
        let pieces = shares(layout.n_panels() * per_panel, self.team.n_pieces()).map(|items| {
            let len = tile(items.end - 1).2.end - tile(items.start).2.start;
            let weights = weights.as_mut().map(|weights| take_front(weights, len));
            (take_front(&mut gradient, len), weights, items)
        });
        self.team.each(pieces, |(gradient, mut weights, items)| {
            let origin = tile(items.start).2.start;
            for item in items {
                let (panel, inner, place) = tile(item);
                let place = place.start - origin..place.end - origin;
                for first in (0..n_rows).step_by(BLOCK) {
                    let rows = first..n_rows.min(first + BLOCK);
                    let is_last = rows.end == n_rows;
                    let update = rates.filter(|_| is_last).zip(weights.as_mut()).map(
                        |((learning_rate, weight_decay), weights)| Update {
                            weights: &mut weights[place.clone()],
                            learning_rate,
                            weight_decay,
                        },
                    );
                    let mut sums = Sums {
                        tile: &mut gradient[place.clone()],
                        width: layout.width(panel),
                        decay: if first == 0 { decay } else { 1.0 },
                        update,
                    };
                    let dz = &dz[dz_layout.tile(panel, rows.clone())];
                    input.transposed_product(inner, rows, dz, &mut sums);
                }
            }
        });
    }
}

/// `Σ a·b`, in eight sums side by side.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// One tile on the stack, on a cache line.
#[repr(align(64))]
struct Aligned([f32; PANEL * PANEL]);

/// Weights and their layout.
struct Layer<'a> {
    layout: Panels,
    numbers: &'a [f32],
}

impl Layer<'_> {
    /// The weights from the inputs of panel `inner` to the outputs of panel `panel`.
    fn tile(&self, panel: usize, inner: usize) -> &[f32] {
        let first = inner * PANEL;
        &self.numbers[self.layout.tile(panel, first..self.layout.rows().min(first + PANEL))]
    }
}

/// A layer's input, with its zeros where they are known.
struct Input<'a> {
    layout: Panels,
    n_rows: usize,
    numbers: &'a [f32],
    masks: Option<&'a [Mask]>,
    n_blocks: usize,
}

impl<'a> Input<'a> {
    fn new(
        shape: &Shape,
        l: usize,
        numbers: &'a [f32],
        masks: &'a [Mask],
        capacity: usize,
        n_rows: usize,
    ) -> Self {
        Self {
            layout: Panels::new(capacity, shape.widths[l]),
            n_rows,
            numbers,
            // hidden activations have zeros too, but scattered: a quad is seldom dark
            masks: (l == 0).then_some(masks),
            n_blocks: capacity.div_ceil(BLOCK),
        }
    }

    /// The mask of some rows of a panel, where skipping zeros pays.
    fn mask(&self, panel: usize, rows: &Range<usize>, lanes: usize) -> Option<&'a Mask> {
        let block = rows.start / BLOCK;
        let mask = &self.masks?[panel * self.n_blocks + block];
        let (k, n_rows) = (self.layout.used(panel), BLOCK.min(self.n_rows - block * BLOCK));
        mask.is_sparse(n_rows, k, lanes).then_some(mask)
    }

    /// Adds `x·w` for some rows, of one block, of panel `inner`.
    fn product(&self, inner: usize, rows: Range<usize>, w: &[f32], into: &mut Sums<'_>) {
        let (k, stride) = (self.layout.used(inner), self.layout.width(inner));
        let numbers = &self.numbers[self.layout.tile(inner, rows.clone())];
        let (first, n_rows) = (rows.start % BLOCK, rows.len());
        match self.mask(inner, &rows, into.width / LANES) {
            Some(mask) => sparse::product(sparse::Lit { numbers, stride, k, mask, first, n_rows }, w, into),
            None => dense::product(dense::Left { numbers, row_stride: stride, col_stride: 1 }, w, into),
        }
    }

    /// Adds `xᵀ·dz` for some rows, of one block, of panel `inner`.
    fn transposed_product(&self, inner: usize, rows: Range<usize>, dz: &[f32], into: &mut Sums<'_>) {
        let (k, stride) = (self.layout.used(inner), self.layout.width(inner));
        let numbers = &self.numbers[self.layout.tile(inner, rows.clone())];
        let (first, n_rows) = (rows.start % BLOCK, rows.len());
        match self.mask(inner, &rows, into.width / LANES) {
            Some(mask) => {
                let x = sparse::Lit { numbers, stride, k, mask, first, n_rows };
                sparse::transposed_product(x, dz, into);
            }
            None => dense::product(dense::Left { numbers, row_stride: 1, col_stride: stride }, dz, into),
        }
    }
}

/// Disjoint pieces of a buffer, taken from front to back.
struct Cut<'a> {
    rest: &'a mut [f32],
    /// Where `rest` starts in the whole.
    at: usize,
}

impl<'a> Cut<'a> {
    fn new(whole: &'a mut [f32]) -> Self {
        Self { rest: whole, at: 0 }
    }

    /// The numbers from `start` to `end`; what lies before `start` is dropped.
    fn take(&mut self, start: usize, end: usize) -> &'a mut [f32] {
        take_front(&mut self.rest, start - self.at);
        self.at = end;
        take_front(&mut self.rest, end - start)
    }
}
