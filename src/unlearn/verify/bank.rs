//! Banks of networks: originals, what the method makes of them, and networks trained without the forget set.

use super::margins::margin;
use crate::nn::hash::{Purpose, keyed_hash};
use crate::nn::{self, BatchReport, Evaluator, Mlp, Samples, Teller};
use crate::unlearn::auto::Worker;
use crate::unlearn::context::{Context, probe_of};
use crate::unlearn::method::Method;
use crate::unlearn::retrain::{train_with, train_without, with_seed};
use crate::unlearn::{Observer, Task, UnlearnError, go_on, unlearn};
use std::ops::ControlFlow;

/// The rows margins are kept of: up to 2,000 of each set, by keyed hash.
pub(super) struct Rows<'a> {
    pub(super) forget: (Samples<'a>, Vec<u32>),
    pub(super) retain: (Samples<'a>, Vec<u32>),
    pub(super) held_out: (Samples<'a>, Vec<u32>),
}

impl<'a> Rows<'a> {
    pub(super) fn of(context: &Context<'a>) -> Self {
        let task = context.task;
        Self {
            forget: (task.train, context.forget_probe.clone()),
            retain: (task.train, context.probe.clone()),
            held_out: (context.held_out.0, probe_of(&context.held_out.1, task.seed)),
        }
    }
}

/// One network's margins on the rows of each set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) forget: Vec<f64>,
    pub(super) retain: Vec<f64>,
    pub(super) held_out: Vec<f64>,
}

impl Kept {
    pub(super) fn of(evaluator: &mut Evaluator, mlp: &Mlp, rows: &Rows<'_>) -> Self {
        let mut margins = |(samples, rows): &(Samples<'_>, Vec<u32>)| {
            let mut all = Vec::with_capacity(rows.len());
            evaluator.for_each(mlp, *samples, rows, |row, logits| {
                all.push(margin(logits, samples.label(row as usize)));
            });
            all
        };
        Self {
            forget: margins(&rows.forget),
            retain: margins(&rows.retain),
            held_out: margins(&rows.held_out),
        }
    }
}

/// Margins of the networks of each bank; the networks themselves are gone.
#[derive(Debug, PartialEq)]
pub(super) struct Banks {
    /// Trained by the parent's recipe with the forget set, each with a seed of its own.
    pub(super) original: Vec<Kept>,
    /// What the method made of them, each again with a seed of its own; without a method, they themselves.
    pub(super) unlearned: Vec<Kept>,
    pub(super) retrained: Vec<Kept>,
    /// How many of the unlearned networks the guard had to stop.
    pub(super) n_stopped: usize,
}

#[derive(Clone, Copy, Debug)]
enum Job {
    /// Trains an original and unlearns it.
    Unlearn(u32),
    Retrain(u32),
}

enum Done {
    Unlearned { original: Kept, unlearned: Kept, stopped: bool },
    Retrained(Kept),
}

/// Trains banks of `n` networks each, as many at a time as there are threads; which thread makes which decides no bit.
///
/// # Errors
///
/// [`UnlearnError::Interrupted`] when the observer stops it; the first error of a training or of the method.
pub(super) fn banks(
    task: &Task<'_>,
    method: Option<&Method>,
    n: u32,
    rows: &Rows<'_>,
    observer: &mut dyn Observer,
) -> Result<Banks, UnlearnError> {
    // the longer jobs first
    let jobs: Vec<Job> = (0..n).map(Job::Unlearn).chain((0..n).map(Job::Retrain)).collect();
    let threads = observer.threads();
    let mut answer = ControlFlow::Continue(());
    let mut on_batch = |report: &BatchReport| {
        answer = observer.on_batch(report);
        answer
    };
    let all =
        nn::run_all(&jobs, threads, &mut on_batch, |job, teller| work(task, method, rows, *job, teller));
    // it may have come too late to stop anything
    go_on(answer)?;
    let mut banks = Banks { original: vec![], unlearned: vec![], retrained: vec![], n_stopped: 0 };
    for done in all {
        match done? {
            Done::Unlearned { original, unlearned, stopped } => {
                banks.original.push(original);
                banks.unlearned.push(unlearned);
                banks.n_stopped += usize::from(stopped);
            }
            Done::Retrained(kept) => banks.retrained.push(kept),
        }
    }
    Ok(banks)
}

fn work(
    task: &Task<'_>,
    method: Option<&Method>,
    rows: &Rows<'_>,
    job: Job,
    teller: &mut Teller<'_>,
) -> Result<Done, UnlearnError> {
    let mut evaluator = Evaluator::new(task.parent.shape());
    // a seed for every network and every use of one
    let seed = |number: u32, of: u32| keyed_hash(task.seed, Purpose::Bank, of, number);
    match job {
        Job::Retrain(number) => {
            let model = train_without(task, seed(number, 0), teller)?;
            Ok(Done::Retrained(Kept::of(&mut evaluator, &model, rows)))
        }
        Job::Unlearn(number) => {
            let seed_of_original = seed(number, 1);
            let parent = train_with(task, seed_of_original, teller)?;
            let recipe = with_seed(task.recipe, seed_of_original);
            let task = Task {
                parent: &parent,
                known: None,
                recipe: &recipe,
                parent_is_exact: true,
                seed: seed(number, 2),
                ..*task
            };
            let original = Kept::of(&mut evaluator, &parent, rows);
            let Some(method) = method else {
                return Ok(Done::Unlearned { unlearned: original.clone(), original, stopped: false });
            };
            let outcome = unlearn(method, &task, &mut Worker(teller))?;
            Ok(Done::Unlearned {
                original,
                unlearned: Kept::of(&mut evaluator, &outcome.model, rows),
                stopped: outcome.stopped.is_some(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Mislabelled;
    use super::*;
    use crate::unlearn::ResetLast;
    use std::num::NonZeroUsize;

    struct On(usize);

    impl Observer for On {
        fn threads(&mut self) -> NonZeroUsize {
            NonZeroUsize::new(self.0).unwrap()
        }
    }

    #[test]
    fn banks_are_the_same_on_any_number_of_threads_and_no_two_networks_alike() {
        let world = Mislabelled::new();
        let task = world.task();
        let context = Context::new(&task);
        let rows = Rows::of(&context);
        let method =
            Method::ResetLast(ResetLast { epochs: 4, batch_size: 16, learning_rate: 0.05, shrink: 1.0 });
        let trained = |threads| banks(&task, Some(&method), 3, &rows, &mut On(threads)).unwrap();
        let found = trained(1);
        assert_eq!(trained(3), found);
        assert_eq!(found.original[0].forget.len(), task.forget.len());
        let all: Vec<&Kept> = found.original.iter().chain(&found.unlearned).chain(&found.retrained).collect();
        assert_eq!(all.len(), 9);
        for (i, one) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|other| **other != **one), "network {i} is another's copy");
        }
        let mean = |bank: &[Kept]| {
            let all: Vec<f64> = bank.iter().flat_map(|kept| kept.forget.clone()).collect();
            all.iter().sum::<f64>() / all.len() as f64
        };
        assert!(mean(&found.original) > 0.0 && mean(&found.retrained) < -2.0, "only originals know the rows");
    }

    #[test]
    fn a_bank_of_retraining_is_made_of_networks_that_never_saw_the_rows() {
        let world = Mislabelled::new();
        let task = world.task();
        let context = Context::new(&task);
        let rows = Rows::of(&context);
        let found = banks(&task, Some(&Method::RETRAIN), 1, &rows, &mut On(2)).unwrap();
        let seed = keyed_hash(task.seed, Purpose::Bank, 2, 0);
        let mut alone = Unheard;
        let model = train_without(&task, seed, &mut alone).unwrap();
        let mut evaluator = Evaluator::new(model.shape());
        assert_eq!(found.unlearned[0], Kept::of(&mut evaluator, &model, &rows));
    }

    struct Unheard;

    impl nn::Observer for Unheard {}
}
