//! SSD: weakening the parameters that matter to the forget set far more than to everything else.

use super::context::Context;
use super::guard::{Guard, Watch};
use super::method::{About, Claim, Domain, EMPIRICAL, Field, Unlearner};
use super::saliency::CHUNK;
use super::{GuardReport, Observer, UnlearnError, Unlearned, go_on};
use crate::nn::batch::Batch;
use crate::nn::team::Team;
use crate::nn::{BatchReport, Mlp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelectiveDampening {
    /// The most `α` the search tries: how many times more important to the forget set a parameter must be.
    pub max_selection: f64,
    /// `λ`: how far a selected parameter is weakened.
    pub dampening: f64,
}

impl Default for SelectiveDampening {
    fn default() -> Self {
        Self { max_selection: 1_000.0, dampening: 1.0 }
    }
}

/// The least `α` tried: a parameter that matters to the forget set less than to an average row is never weakened.
const LEAST_SELECTION: f64 = 1.0;

/// How far above the guard's floor the search stays: it goes to the limit on a probe, and all retained rows lie a
/// little elsewhere.
const MARGIN: f64 = 0.005;

/// Halvings of the interval of `ln α`: a thousandth of a factor at the end.
const SEARCH_STEPS: u32 = 12;

impl Unlearner for SelectiveDampening {
    const ABOUT: About = About {
        claim: Claim::Empirical,
        summary: "weakens, without any training, the parameters that matter much more to the forget set than to all rows",
        equation: "I = mean over rows of (∂CE/∂θ)², each row's gradient squared by itself; where I_forget > α·I_all: θ ← θ·min(1, \
                   λ·I_all/I_forget); α is the largest that reaches the guard's target, by bisection",
        access: &["forget", "retain"],
        guarantee: EMPIRICAL,
        cost: "one forward and backward pass over the training rows",
        known_failure: "does nothing useful for scattered or mislabelled rows, which use the same parameters as the rest; varies with the \
                        training seed",
        source: "Foster et al. 2024 (AAAI), SSD, λ = 1 as published; per-row squares instead of squared mini-batch means, α searched",
    };
    const FIELDS: &'static [Field] = &[
        Field::new(
            "max_selection",
            Domain::Real { min: 1.0, max: 1e9 },
            "The most α the search tries: how many times more a parameter must matter to the forget set.",
        ),
        Field::new(
            "dampening",
            Domain::Real { min: 0.0, max: 1.0 },
            "λ: how far a selected parameter is weakened.",
        ),
    ];

    fn run(&self, context: &mut Context<'_>, observer: &mut dyn Observer) -> Result<Unlearned, UnlearnError> {
        let task = context.task;
        let of_forget = importance(context, task.forget, observer)?;
        let of_retain = importance(context, &context.retain, observer)?;
        // of all rows: retained and forgotten ones together
        let (n_forget, n_retain) = (task.forget.len() as f64, context.retain.len() as f64);
        let part = (n_forget / (n_forget + n_retain)) as f32;
        let of_all: Vec<f32> =
            of_forget.iter().zip(&of_retain).map(|(&f, &r)| part * f + (1.0 - part) * r).collect();
        let dampened = |selection: f64| dampen(task.parent, &of_forget, &of_all, selection, self.dampening);

        // a larger α weakens less: forgotten below some α, harmless above some
        let mut guard = Guard::new(Watch::AtTheEnd, context);
        let mut step = 0;
        let mut look = |selection: f64, context: &mut Context<'_>, guard: &mut Guard| {
            step += 1;
            let (_, report) = guard.look(context, &dampened(selection), step);
            go_on(observer.on_guard(&report))?;
            Ok::<GuardReport, UnlearnError>(report)
        };
        let target = guard.target();
        let is_forgotten =
            |report: &GuardReport| target.is_reached(report.forget_loss, report.forget_accuracy);
        let is_safe = |report: &GuardReport| report.retain_accuracy >= report.retain_floor + MARGIN;

        let most = look(LEAST_SELECTION, context, &mut guard)?;
        let mut selection = LEAST_SELECTION;
        if is_forgotten(&most) {
            let mut search = Search::new(self.max_selection);
            while let Some(middle) = search.middle() {
                let report = look(middle, context, &mut guard)?;
                search.go(is_forgotten(&report));
            }
            selection = search.below();
        }
        if !is_safe(&look(selection, context, &mut guard)?) {
            // it can't be forgotten without harm: weaken as much as the retained rows bear
            let mut search = Search::new(self.max_selection);
            while let Some(middle) = search.middle() {
                let report = look(middle, context, &mut guard)?;
                search.go(!is_safe(&report));
            }
            selection = search.above();
        }
        let last = dampened(selection);
        let (_, report) = guard.look(context, &last, step + 1);
        go_on(observer.on_guard(&report))?;
        let epoch = context.epoch(&last, 1, 1, 0.0, (task.forget.len() + context.retain.len()) as u64);
        go_on(observer.on_epoch(&epoch))?;
        Ok(guard.finish(context, last))
    }
}

/// Bisection on `ln α`.
struct Search {
    low: f64,
    high: f64,
    steps: u32,
}

impl Search {
    fn new(max: f64) -> Self {
        Self { low: libm::log(LEAST_SELECTION), high: libm::log(max), steps: 0 }
    }

    /// The next `α` to look at, if there is one.
    fn middle(&self) -> Option<f64> {
        (self.steps < SEARCH_STEPS).then(|| libm::exp((self.low + self.high) / 2.0))
    }

    /// Goes on in the upper half, or in the lower one.
    fn go(&mut self, up: bool) {
        let middle = (self.low + self.high) / 2.0;
        *(if up { &mut self.low } else { &mut self.high }) = middle;
        self.steps += 1;
    }

    fn below(&self) -> f64 {
        libm::exp(self.low)
    }

    fn above(&self) -> f64 {
        libm::exp(self.high)
    }
}

/// Mean over `rows` of each row's squared gradient, in the layout of the parameter buffer.
fn importance(
    context: &Context<'_>,
    rows: &[u32],
    observer: &mut dyn Observer,
) -> Result<Vec<f32>, UnlearnError> {
    let (parent, samples) = (context.task.parent, context.task.train);
    let mut batch = Batch::new(parent.shape(), CHUNK);
    batch.set_team(Team::of(observer.threads()));
    let mut sums = vec![0.0; parent.params().len()];
    let (batches, mut loss, mut hits, mut seen) = (rows.len().div_ceil(CHUNK) as u64, 0.0, 0usize, 0usize);
    for (number, chunk) in (1..).zip(rows.chunks(CHUNK)) {
        batch.score(parent, samples, chunk);
        loss += batch.losses().iter().map(|&loss| f64::from(loss)).sum::<f64>();
        hits += batch.hits().iter().filter(|&&hit| hit).count();
        seen += chunk.len();
        batch.squared_gradients(parent, if number == 1 { 0.0 } else { 1.0 }, &mut sums);
        let (loss, accuracy) = (loss / seen as f64, hits as f64 / seen as f64);
        go_on(observer.on_batch(&BatchReport { epoch: 1, batch: number, batches, loss, accuracy }))?;
    }
    let mean = 1.0 / rows.len() as f32;
    sums.iter_mut().for_each(|sum| *sum *= mean);
    Ok(sums)
}

fn dampen(parent: &Mlp, of_forget: &[f32], of_all: &[f32], selection: f64, dampening: f64) -> Mlp {
    let mut mlp = parent.clone();
    let (selection, dampening) = (selection as f32, dampening as f32);
    for ((w, &forget), &all) in mlp.params_mut().iter_mut().zip(of_forget).zip(of_all) {
        if forget > selection * all {
            *w *= (dampening * all / forget).min(1.0);
        }
    }
    mlp
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Shape;

    #[test]
    fn parameters_are_weakened_by_how_much_more_they_matter() {
        let shape = Shape { widths: vec![1, 2], output_relu: false };
        let parent = Mlp::from_params(shape, &[8.0, 8.0, 8.0, 8.0]);
        let laid_out = |numbers: &[f32]| {
            let mlp = Mlp::from_params(parent.shape().clone(), numbers);
            mlp.params().to_vec()
        };
        let (forget, all) = (laid_out(&[8.0, 3.0, 1.0, 0.0]), laid_out(&[1.0, 1.0, 1.0, 0.0]));
        assert_eq!(dampen(&parent, &forget, &all, 2.0, 1.0).to_params(), [1.0, 8.0 / 3.0, 8.0, 8.0]);
        assert_eq!(dampen(&parent, &forget, &all, 4.0, 0.5).to_params(), [0.5, 8.0, 8.0, 8.0]);
    }
}
