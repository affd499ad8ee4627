//! What an ensemble owes: it is the mean of its members, and a row is known to one of them only.

use super::shards::member_recipe;
use super::*;
use crate::nn::twin::{Net, Silent, image, problem_data};
use crate::nn::{
    BatchReport, EarlyStopping, EpochReport, Features, Observer, Recipe, Samples, Split, network_bytes,
    predicted_bytes, train,
};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;

const WIDTH: usize = 20;
const CLASSES: u32 = 3;

/// Rows, their labels and, if there are any, the people they came from.
struct World {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    subjects: Option<Vec<u64>>,
}

impl World {
    fn new(n_rows: usize) -> Self {
        let (pixels, labels) = problem_data(n_rows, WIDTH, CLASSES);
        Self { pixels, labels, subjects: None }
    }

    /// Seven people, by turns.
    fn of_people(n_rows: usize) -> Self {
        let subjects = (0..n_rows as u64).map(|row| 9_000_000_000 + row % 7).collect();
        Self { subjects: Some(subjects), ..Self::new(n_rows) }
    }

    fn samples(&self) -> Samples<'_> {
        Samples::new(Features::U8(&self.pixels), &self.labels, WIDTH, CLASSES as usize)
            .with_subjects(self.subjects.as_deref())
    }

    fn problem<'a>(&'a self, excluded: &'a [u32]) -> Problem<'a> {
        Problem { train: self.samples(), excluded, test: self.samples() }
    }

    fn shard_of(&self, n_shards: u32, row: u32) -> u32 {
        shard_of(self.samples(), n_shards, row)
    }

    fn network(&self, recipe: &Standard, excluded: &[u32]) -> Mlp {
        train(&whole(recipe), &self.problem(excluded), &mut Silent).unwrap().model
    }
}

fn recipe(shards: u32) -> Standard {
    Standard { hidden: vec![6], epochs: 1, batch_size: 4, holdout: 0.1, shards, ..Standard::new(3) }
}

fn whole(recipe: &Standard) -> Recipe {
    Recipe::Standard(recipe.clone())
}

/// The network with member `shard` silenced.
fn without(recipe: &Standard, network: &Mlp, shard: u32) -> Mlp {
    let joint = Joint::of(recipe, WIDTH, CLASSES as usize);
    let mut rest = network.clone();
    joint.replace(&mut rest, shard as usize, &Mlp::zeroed(joint.member().clone()));
    rest
}

/// Numbers in `[-0.5, 0.5)`, the biases too.
fn arbitrary(shape: &crate::nn::Shape, key: u64) -> Mlp {
    use crate::nn::hash::{Purpose, keyed_hash};
    let number = |i: usize| (keyed_hash(key, Purpose::Probe, 0, i as u32) >> 40) as f32 / (1 << 24) as f32;
    let params: Vec<f32> = (0..shape.n_params()).map(|i| number(i) - 0.5).collect();
    Mlp::from_params(shape.clone(), &params)
}

#[test]
fn the_logits_of_an_ensemble_are_the_mean_of_its_members() {
    let world = World::new(30);
    let samples = world.samples();
    let rows: Vec<u32> = (0..30).collect();
    // narrower than a lane, wider than a panel, and several layers
    for hidden in [vec![7], vec![17, 9], vec![70], vec![12, 30, 5]] {
        for n_members in [2, 3, 5] {
            let recipe = Standard { hidden: hidden.clone(), ..recipe(n_members) };
            let joint = Joint::of(&recipe, WIDTH, CLASSES as usize);
            let members: Vec<Mlp> = (0..n_members).map(|key| arbitrary(joint.member(), key.into())).collect();
            let nets: Vec<Net> = members.iter().map(Net::of).collect();
            let network = joint.join(&members);
            assert_eq!(network.shape().widths[1..=hidden.len()], whole(&recipe).network_hidden());
            let mut evaluator = Evaluator::new(network.shape());
            evaluator.for_each(&network, samples, &rows, |row, logits| {
                let x = image(samples, row);
                let answers: Vec<Vec<f64>> = nets.iter().map(|net| net.forward(&x).pop().unwrap()).collect();
                for (class, &logit) in logits.iter().enumerate() {
                    let mean = answers.iter().map(|z| z[class]).sum::<f64>() / f64::from(n_members);
                    let size = answers.iter().map(|z| z[class].abs()).fold(1.0, f64::max);
                    // a rounding for each term of the sums on the way, of numbers a few times the result
                    let n_terms = network.shape().widths.iter().sum::<usize>() as f64;
                    let bound = 2.0 * n_terms * f64::from(f32::EPSILON) * size;
                    assert!(
                        (f64::from(logit) - mean).abs() <= bound,
                        "{hidden:?} {n_members}: {logit} {mean}"
                    );
                }
            });
        }
    }
}

#[test]
fn exchanging_a_member_leaves_no_trace_of_it_and_changes_no_other() {
    let recipe = Standard { hidden: vec![17, 9], ..recipe(3) };
    let joint = Joint::of(&recipe, WIDTH, CLASSES as usize);
    let members: Vec<Mlp> = (0..4).map(|key| arbitrary(joint.member(), key)).collect();
    let [first, second, third, new] = &members[..] else { unreachable!("there are four") };
    let mut network = joint.join(&[first.clone(), second.clone(), third.clone()]);
    joint.replace(&mut network, 1, new);
    assert_eq!(network, joint.join(&[first.clone(), new.clone(), third.clone()]));
}

#[test]
#[should_panic(expected = "members with hidden layers")]
fn members_without_hidden_layers_are_refused() {
    Joint::of(&Standard { hidden: vec![], ..recipe(2) }, WIDTH, 3);
}

#[test]
fn an_ensemble_is_made_of_networks_trained_on_their_shards_alone() {
    let world = World::of_people(60);
    for base in [
        Standard { epochs: 3, ..recipe(3) },
        Standard { hidden: vec![9, 5], weight_decay: 0.01, ..recipe(2) },
        Standard {
            epochs: 12,
            learning_rate: 0.5,
            early_stopping: Some(EarlyStopping { patience: 1 }),
            ..recipe(3)
        },
    ] {
        let members: Vec<Mlp> = (0..base.shards)
            .map(|shard| {
                let others: Vec<u32> =
                    (0..60).filter(|&row| world.shard_of(base.shards, row) != shard).collect();
                world.network(&member_recipe(&base, shard), &others)
            })
            .collect();
        let joint = Joint::of(&base, WIDTH, CLASSES as usize);
        assert_eq!(world.network(&base, &[]), joint.join(&members), "{base:?}");
    }
}

#[test]
fn every_row_trained_on_reaches_the_member_of_its_shard_and_no_other() {
    for (n_rows, shards, hidden) in [(23, 3, vec![6]), (19, 2, vec![5, 4]), (37, 5, vec![6])] {
        let base = Standard { hidden, ..recipe(shards) };
        let mut world = World::new(n_rows);
        let before = world.network(&base, &[]);
        let split = Split::new(&whole(&base), n_rows, &[]);
        assert!(!split.held_out.is_empty());
        for row in 0..n_rows as u32 {
            let shard = world.shard_of(shards, row);
            let label = &mut world.labels[row as usize];
            let old = std::mem::replace(label, (*label + 1) % CLASSES);
            let after = world.network(&base, &[]);
            world.labels[row as usize] = old;
            assert_eq!(after != before, split.train.contains(&row), "row {row}");
            assert_eq!(without(&base, &after, shard), without(&base, &before, shard), "row {row}");
        }
    }
}

#[test]
fn a_subject_is_never_split_over_shards() {
    let world = World::of_people(700);
    for n_shards in [2, 5, 64] {
        for row in 7..700 {
            assert_eq!(world.shard_of(n_shards, row), world.shard_of(n_shards, row % 7));
        }
    }
    let others = World::new(700);
    assert!((7..700).any(|row| others.shard_of(5, row) != others.shard_of(5, row % 7)));
}

#[test]
fn shards_are_of_like_size() {
    let world = World::new(20_000);
    for n_shards in [2u32, 3, 64] {
        let mut sizes = vec![0.0f64; n_shards as usize];
        (0..20_000).for_each(|row| sizes[world.shard_of(n_shards, row) as usize] += 1.0);
        let mean = 20_000.0 / f64::from(n_shards);
        // a binomial's standard deviation is below the mean's root
        assert!(sizes.iter().all(|size| (size - mean).abs() < 4.0 * mean.sqrt()), "{sizes:?}");
    }
}

/// Keeps all reports, gives out so many threads, stops at a mini-batch.
struct Watch {
    n_threads: usize,
    stop_at: u64,
    batches: Vec<BatchReport>,
    epochs: Vec<(EpochReport, Mlp)>,
}

impl Watch {
    fn new(n_threads: usize, stop_at: u64) -> Self {
        Self { n_threads, stop_at, batches: Vec::new(), epochs: Vec::new() }
    }
}

impl Observer for Watch {
    fn on_batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        self.batches.push(*report);
        if self.batches.len() as u64 == self.stop_at {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
    fn on_epoch(&mut self, report: &EpochReport, model: &Mlp) -> ControlFlow<()> {
        self.epochs.push((*report, model.clone()));
        if self.stop_at == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
    fn threads(&mut self) -> NonZeroUsize {
        NonZeroUsize::new(self.n_threads).unwrap()
    }
}

#[test]
fn an_epoch_is_told_when_every_member_has_finished_it_with_the_measures_of_the_ensemble() {
    let world = World::of_people(60);
    let base = Standard { epochs: 3, ..recipe(3) };
    let n_trained = Split::new(&whole(&base), 60, &[]).train.len();
    let mut watch = Watch::new(1, u64::MAX);
    let trained = train(&whole(&base), &world.problem(&[]), &mut watch).unwrap();
    assert!(trained.completed && trained.report.unwrap().epoch == 3);
    assert_eq!(watch.epochs.len(), 3);
    let rows: Vec<u32> = (0..60).collect();
    for (number, (report, model)) in (1..).zip(&watch.epochs) {
        let measured = Evaluator::new(model.shape()).evaluate(model, world.samples(), &rows);
        assert_eq!((report.epoch, report.epochs, report.n_samples), (number, 3, n_trained as u64));
        assert_eq!((report.test_loss, report.test_accuracy), (measured.loss, measured.accuracy));
        assert!(report.holdout_loss.is_some() && report.train_loss > 0.0 && report.grad_norm > 0.0);
    }
    assert_eq!(watch.epochs[2].1, trained.model);
    let per_epoch = watch.batches[0].batches;
    assert_eq!(watch.batches.len() as u64, 3 * per_epoch);
    for (i, report) in (0u64..).zip(&watch.batches) {
        assert_eq!((u64::from(report.epoch) - 1, report.batch), (i / per_epoch, i % per_epoch + 1));
    }
    let last = &watch.batches[per_epoch as usize - 1];
    assert_eq!((last.loss, last.accuracy), (watch.epochs[0].0.train_loss, watch.epochs[0].0.train_accuracy));
}

#[test]
fn an_observer_stops_an_ensemble_within_a_mini_batch_or_after_an_epoch() {
    let world = World::new(60);
    let base = Standard { epochs: 3, ..recipe(3) };
    for stop_at in [1, 2, 9, 25] {
        let mut watch = Watch::new(1, stop_at);
        let trained = train(&whole(&base), &world.problem(&[]), &mut watch).unwrap();
        assert!(!trained.completed && watch.batches.len() as u64 == stop_at);
    }
    let mut watch = Watch::new(1, 0);
    assert!(!train(&whole(&base), &world.problem(&[]), &mut watch).unwrap().completed);
    assert_eq!(watch.epochs.len(), 1);
}

#[test]
fn an_ensemble_has_the_same_bits_on_any_number_of_threads() {
    let world = World::new(200);
    let base = Standard { hidden: vec![130], epochs: 2, batch_size: 16, ..recipe(3) };
    let alone = world.network(&base, &[]);
    for n_threads in [2, 3] {
        let mut watch = Watch::new(n_threads, u64::MAX);
        assert_eq!(train(&whole(&base), &world.problem(&[]), &mut watch).unwrap().model, alone);
    }
}

#[test]
fn a_shard_without_rows_takes_no_side() {
    let world = World::of_people(60);
    let base = recipe(3);
    let gone = world.shard_of(3, 0);
    let excluded: Vec<u32> = (0..60).filter(|&row| world.shard_of(3, row) == gone).collect();
    let network = world.network(&base, &excluded);
    assert_eq!(network, without(&base, &network, gone));
    assert_ne!(network, without(&base, &network, (gone + 1) % 3));
    assert!(network != world.network(&base, &[]));
    let everything: Vec<u32> = (0..60).collect();
    let nothing_left = train(&whole(&base), &world.problem(&everything), &mut Silent);
    assert_eq!(nothing_left.unwrap_err(), TrainError::NoRows);
}

#[test]
fn a_member_that_diverges_ends_the_training() {
    let world = World::new(60);
    let base = Standard { learning_rate: 1e30, epochs: 3, ..recipe(3) };
    let result = train(&whole(&base), &world.problem(&[]), &mut Silent);
    assert!(matches!(result, Err(TrainError::NonFinite { epoch: 1, batch: 1.. })), "{result:?}");
}

#[test]
fn memory_is_foreseen_for_all_members_and_the_network_they_make() {
    let single = Standard { hidden: vec![256], ..recipe(1) };
    let ensemble = Standard { shards: 5, ..single.clone() };
    let bytes = |recipe: &Standard| predicted_bytes(&whole(recipe), 1000, 784, 10);
    let (member, _) = network_bytes(&single.hidden, 784, 10);
    let (joint, _) = network_bytes(&whole(&ensemble).network_hidden(), 784, 10);
    assert!(joint > 5 * member);
    assert!(bytes(&ensemble) > bytes(&single) + 3 * 4 * member + joint - 4 * member);
    assert_eq!(whole(&single).network_hidden(), [256]);
}
