//! Lethe's side: one training, timed.

use lethe::nn::{EpochReport, Evaluator, Mlp, Observer, Problem, Recipe, Samples, Standard, Trained, train};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::Instant;

/// A training to do.
pub struct Job {
    pub recipe: Recipe,
    pub threads: usize,
}

/// What came of one.
pub struct Done {
    pub seconds: f64,
    /// What the recipe reports after its last epoch.
    pub accuracy: f64,
    pub model: Mlp,
}

impl Job {
    /// Defaults but for these, on one thread, holding no rows out: others train on all of them too.
    pub fn standard(batch_size: usize, epochs: u32, seed: u64) -> Self {
        let standard = Standard { batch_size, epochs, holdout: 0.0, ..Standard::new(seed) };
        Self { recipe: Recipe::Standard(standard), threads: 1 }
    }

    /// The same with another seed.
    pub fn with_seed(&self, seed: u64) -> Self {
        let mut recipe = self.recipe.clone();
        match &mut recipe {
            Recipe::Nn(recipe) | Recipe::Debug(recipe) => recipe.seed = seed,
            Recipe::Standard(recipe) => recipe.seed = seed,
        }
        Self { recipe, threads: self.threads }
    }

    /// The clock runs for all of it, from the initial weights to the last report.
    pub fn run(&self, problem: &Problem<'_>) -> Result<Done, String> {
        let mut watcher = Watcher { job: self, accuracy: f64::NAN };
        let start = Instant::now();
        let trained = train(&self.recipe, problem, &mut watcher);
        let seconds = start.elapsed().as_secs_f64();
        let Trained { model, .. } = trained.map_err(|error| error.to_string())?;
        Ok(Done { seconds, accuracy: watcher.accuracy, model })
    }
}

/// Keeps the last epoch's accuracy.
struct Watcher<'a> {
    job: &'a Job,
    accuracy: f64,
}

impl Observer for Watcher<'_> {
    fn on_epoch(&mut self, report: &EpochReport, _: &Mlp) -> ControlFlow<()> {
        if report.epoch == self.job.recipe.epochs() {
            self.accuracy = report.reported_accuracy;
        }
        ControlFlow::Continue(())
    }

    fn threads(&mut self) -> NonZeroUsize {
        NonZeroUsize::new(self.job.threads).expect("a job has a thread")
    }
}

/// The share of rows a network is right about.
pub fn accuracy_on(model: &Mlp, samples: Samples<'_>) -> f64 {
    let rows: Vec<u32> = (0..samples.n_rows() as u32).collect();
    Evaluator::new(model.shape()).evaluate(model, samples, &rows).accuracy
}

/// Floating-point operations that training on one row is worth: a product forward and one for the weights'
/// gradient in every layer, and one for the activations' gradient in all but the first. Nothing else counts.
pub fn training_flops(samples: Samples<'_>, hidden: &[usize]) -> f64 {
    let layers = products(samples, hidden);
    let (first, rest) = layers.split_first().expect("a network has a layer");
    2.0 * first + 3.0 * rest.iter().sum::<f64>()
}

/// The same for a look at one row: one product a layer.
pub fn forward_flops(samples: Samples<'_>, hidden: &[usize]) -> f64 {
    products(samples, hidden).iter().sum()
}

/// Operations of one row's product with each layer's weights.
fn products(samples: Samples<'_>, hidden: &[usize]) -> Vec<f64> {
    let widths = [&[samples.n_features()], hidden, &[samples.n_classes()]].concat();
    widths.windows(2).map(|pair| 2.0 * pair[0] as f64 * pair[1] as f64).collect()
}
