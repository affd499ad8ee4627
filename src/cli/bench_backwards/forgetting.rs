//! Three ways to make one network forget: learning backwards, random labels, plain ascent.

use super::Work;
use crate::cli::error::CliError;
use crate::nn::{
    self, BatchReport, EpochReport, Evaluator, Faults, Mlp, Recipe, Reference, Samples, Split, State, Teller,
};
use crate::unlearn::{self, GradientAscent, Method, RandomLabel, Task, UnlearnEpoch, UnlearnError};
use std::fmt::Write;
use std::ops::ControlFlow;

/// What the two methods of unlearning are to forget; learning backwards knows no such thing.
pub(super) const CLASS: u32 = 3;

/// Training rows looked at, of the class and of the others each: a share of them has a standard error of at most 1.1 points.
const N_ROWS: usize = 2_000;

/// Looks are this far apart, as a ratio of the samples trained on: thirteen for each factor of ten.
const LOOK_RATIO: f64 = 1.2;

/// How long the network learns before it forgets, and for how long it learns backwards then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length {
    pub(super) learning: u32,
    pub(super) backwards: u32,
}

impl Length {
    /// `nn` has 50 epochs.
    pub(super) const PUBLISHED: Self = Self { learning: 10, backwards: 40 };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Backwards,
    RandomLabels,
    Ascent,
}

impl Way {
    pub(super) const ALL: [Self; 3] = [Self::Backwards, Self::RandomLabels, Self::Ascent];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Backwards => "learning backwards",
            Self::RandomLabels => "random labels",
            Self::Ascent => "plain ascent",
        }
    }
}

/// One way, from one network.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub(super) way: Way,
    pub(super) seed: u64,
    /// The first is the network before.
    pub(super) looks: Vec<Look>,
    /// What the guard gives back where it stopped the method at the last look.
    pub(super) given_back: Option<Look>,
}

/// Shares of the rows looked at that are still answered with their true label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    /// Samples trained on since the network before.
    pub(super) n_samples: u64,
    pub(super) of_class: f64,
    pub(super) of_others: f64,
}

/// All ways from the network of every seed, as many seeds at a time as there are threads.
pub(super) fn run(work: &Work<'_>, length: Length) -> Result<Vec<Course>, CliError> {
    let seeds: Vec<u64> = work.seeds().collect();
    let found = nn::run_all(&seeds, work.threads, &mut |_| ControlFlow::Continue(()), |&seed, teller| {
        let courses = of_seed(work, length, seed, teller)?;
        for course in &courses {
            let (first, last) = (course.looks[0], course.looks[course.looks.len() - 1]);
            eprintln!(
                "{} · seed {seed} · {} samples: class {CLASS} {:.1} → {:.1} %, others {:.1} → {:.1} %{}",
                course.way.name(),
                last.n_samples,
                100.0 * first.of_class,
                100.0 * last.of_class,
                100.0 * first.of_others,
                100.0 * last.of_others,
                if course.given_back.is_some() { ", stopped by the guard" } else { "" }
            );
        }
        Ok(courses)
    });
    let found: Result<Vec<Vec<Course>>, UnlearnError> = found.into_iter().collect();
    Ok(found.map_err(|error| CliError::Failed(error.to_string()))?.concat())
}

fn of_seed(
    work: &Work<'_>,
    length: Length,
    seed: u64,
    teller: &mut Teller<'_>,
) -> Result<Vec<Course>, UnlearnError> {
    let aligned = Faults { misaligned_labels: false, ..Faults::NN };
    let (epochs, hidden) = (length.learning, work.hidden);
    let learning = Reference { epochs, hidden, faults: aligned, ..Reference::nn(seed) };
    let recipe = Recipe::Nn(learning.clone());
    let is_over = |at: &BatchReport| (at.epoch, at.batch) == (length.learning, at.batches);
    let mut learnt = Leg { teller, is_far_enough: &is_over, reached: None };
    let trained = nn::train(&recipe, &work.problem(), &mut learnt)?;
    let (_, state) = learnt.reached.ok_or(UnlearnError::Interrupted)?;

    let rows = Split::new(&recipe, work.train.n_rows(), &[]).train;
    let mut looker = Looker::new(work.train, &rows, &trained.model);
    let before = looker.look(&trained.model, 0);
    let backwards = Reference { epochs: length.learning + length.backwards, faults: Faults::NN, ..learning };
    let mut courses = vec![Course {
        way: Way::Backwards,
        seed,
        looks: learn_backwards(work, &backwards, state, (before, length), &mut looker, teller)?,
        given_back: None,
    }];

    let forget: Vec<u32> =
        rows.iter().copied().filter(|&row| work.train.label(row as usize) == CLASS).collect();
    let task = Task {
        parent: &trained.model,
        known: None,
        recipe: &recipe,
        train: work.train,
        test: work.test,
        excluded: &[],
        parent_is_exact: true,
        forget: &forget,
        class: Some(CLASS),
        lookalikes: None,
        seed,
    };
    let methods = [
        (Way::RandomLabels, Method::RandomLabel(RandomLabel::default())),
        (Way::Ascent, Method::GradientAscent(GradientAscent::PLAIN)),
    ];
    for (way, method) in methods {
        let mut watch = Watch { teller, looker: &mut looker, looks: vec![before], last: None };
        let outcome = unlearn::unlearn(&method, &task, &mut watch)?;
        let looks = watch.finish();
        let n_samples = looks[looks.len() - 1].n_samples;
        let given_back = outcome.stopped.map(|_| looker.look(&outcome.model, n_samples));
        courses.push(Course { way, seed, looks, given_back });
    }
    Ok(courses)
}

/// Goes on from `state` with the labels misaligned, leg by leg from look to look.
fn learn_backwards(
    work: &Work<'_>,
    recipe: &Reference,
    mut state: State,
    (before, length): (Look, Length),
    looker: &mut Looker<'_>,
    teller: &mut Teller<'_>,
) -> Result<Vec<Look>, UnlearnError> {
    let whole = Recipe::Nn(recipe.clone());
    let n_rows = Split::new(&whole, work.train.n_rows(), &[]).train.len() as u64;
    let n_samples = |at: &BatchReport| {
        let epochs = u64::from(at.epoch - length.learning - 1);
        // the last mini-batch of an epoch may be smaller
        epochs * n_rows + (at.batch * recipe.batch_size as u64).min(n_rows)
    };
    let all = u64::from(length.backwards) * n_rows;
    let mut looks = vec![before];
    while let Some(last) = looks.last().filter(|look| look.n_samples < all) {
        let until = next_look(last.n_samples).min(all);
        let is_far_enough = |at: &BatchReport| n_samples(at) >= until;
        let mut leg = Leg { teller, is_far_enough: &is_far_enough, reached: None };
        let trained = nn::resume(&whole, &work.problem(), state, &mut leg)?;
        let (at, there) = leg.reached.ok_or(UnlearnError::Interrupted)?;
        state = there;
        looks.push(looker.look(&trained.model, n_samples(&at)));
    }
    Ok(looks)
}

fn next_look(n_samples: u64) -> u64 {
    ((n_samples as f64 * LOOK_RATIO) as u64).max(n_samples + 1)
}

/// Looks at always the same rows.
struct Looker<'a> {
    train: Samples<'a>,
    of_class: Vec<u32>,
    others: Vec<u32>,
    evaluator: Evaluator,
}

impl<'a> Looker<'a> {
    fn new(train: Samples<'a>, rows: &[u32], mlp: &Mlp) -> Self {
        let (of_class, others): (Vec<u32>, Vec<u32>) =
            rows.iter().partition(|&&row| train.label(row as usize) == CLASS);
        Self {
            train,
            of_class: spread(&of_class),
            others: spread(&others),
            evaluator: Evaluator::new(mlp.shape()),
        }
    }

    fn look(&mut self, mlp: &Mlp, n_samples: u64) -> Look {
        let mut share = |rows: &[u32]| self.evaluator.evaluate(mlp, self.train, rows).accuracy;
        Look { n_samples, of_class: share(&self.of_class), of_others: share(&self.others) }
    }
}

/// [`N_ROWS`] of the rows, or all, evenly spread.
fn spread(rows: &[u32]) -> Vec<u32> {
    let n = rows.len().min(N_ROWS);
    (0..n).map(|i| rows[i * rows.len() / n]).collect()
}

/// A training up to a boundary, and the state there.
struct Leg<'a, 'b> {
    teller: &'a mut Teller<'b>,
    is_far_enough: &'a dyn Fn(&BatchReport) -> bool,
    reached: Option<(BatchReport, State)>,
}

impl nn::Observer for Leg<'_, '_> {
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        self.teller.on_batch(report)
    }
    fn on_epoch(&mut self, _: &EpochReport, _: &Mlp) -> ControlFlow<()> {
        self.teller.answer()
    }
    fn on_boundary(&mut self, at: &BatchReport, state: &dyn Fn() -> State) -> ControlFlow<()> {
        if !(self.is_far_enough)(at) {
            return ControlFlow::Continue(());
        }
        self.reached = Some((*at, state()));
        ControlFlow::Break(())
    }
}

/// Looks at a method at work, and at where it ends.
struct Watch<'a, 'b, 'c> {
    teller: &'a mut Teller<'b>,
    looker: &'a mut Looker<'c>,
    looks: Vec<Look>,
    /// The network after the last step, if it was not looked at.
    last: Option<(u64, Mlp)>,
}

impl Watch<'_, '_, '_> {
    fn finish(mut self) -> Vec<Look> {
        if let Some((n_samples, network)) = self.last {
            self.looks.push(self.looker.look(&network, n_samples));
        }
        self.looks
    }
}

impl unlearn::Observer for Watch<'_, '_, '_> {
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        nn::Observer::on_batch(self.teller, report)
    }
    fn on_epoch(&mut self, _: &UnlearnEpoch) -> ControlFlow<()> {
        self.teller.answer()
    }
    fn on_phase(&mut self, _: &str, _: &str) -> ControlFlow<()> {
        self.teller.answer()
    }
    fn on_step(&mut self, network: &Mlp, n_samples: u64) -> ControlFlow<()> {
        let due = self.looks.last().map_or(0, |look| next_look(look.n_samples));
        self.last = if n_samples >= due {
            self.looks.push(self.looker.look(network, n_samples));
            None
        } else {
            Some((n_samples, network.clone()))
        };
        self.teller.answer()
    }
}

/// A line a look: `before` anything, `trained` so far, `given_back` by the guard.
pub(super) fn csv(courses: &[Course]) -> String {
    let mut text = String::from("way,seed,network,samples,class_3_percent,other_rows_percent\n");
    for Course { way, seed, looks, given_back } in courses {
        let networks =
            looks.iter().map(|look| (if look.n_samples == 0 { "before" } else { "trained" }, look));
        for (network, look) in networks.chain(given_back.iter().map(|look| ("given_back", look))) {
            writeln!(
                text,
                "{},{seed},{network},{},{:.2},{:.2}",
                way.name(),
                look.n_samples,
                100.0 * look.of_class,
                100.0 * look.of_others
            )
            .expect("a string takes everything");
        }
    }
    text
}
