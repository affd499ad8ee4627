//! The approximate methods in f64, from their equations.
#![expect(clippy::needless_range_loop, reason = "indices as in the formulas they follow")]

use super::pass::Rows;
use super::tests::{Silent, World};
use super::*;
use crate::nn::hash::{Purpose, keyed_hash};
use crate::nn::init::{reset_layer, shrink_perturb};
use crate::nn::twin::{Net, assert_near, gradient, gradient_by, image, softmax};

/// A descent in f64, gradient clipped to norm 10, with momentum.
struct Descent64 {
    velocity: Vec<f64>,
    momentum: f64,
    factors: Vec<f64>,
    l1: f64,
}

/// What a row adds to a step's gradient, and how much of it.
type Term = (Vec<f64>, f64);

impl Descent64 {
    fn step(&mut self, net: &mut Net, samples: Samples<'_>, weighted: &[(u32, f64)], rate: f64) {
        let terms: Vec<Term> = weighted
            .iter()
            .map(|&(row, weight)| {
                (gradient(net, &image(samples, row), samples.label(row as usize) as usize), weight)
            })
            .collect();
        self.step_along(net, &terms, rate);
    }

    fn step_along(&mut self, net: &mut Net, terms: &[Term], rate: f64) {
        let mut total = vec![0.0; self.velocity.len()];
        for (g, weight) in terms {
            total.iter_mut().zip(g).for_each(|(t, g)| *t += weight * g);
        }
        for (i, w) in net.params().into_iter().enumerate() {
            if w != 0.0 && self.l1 > 0.0 && net.is_weight(i) {
                total[i] += self.l1 * w.signum();
            }
            total[i] *= self.factors[i];
        }
        let norm = total.iter().map(|g| g * g).sum::<f64>().sqrt();
        let shrink = if norm > 10.0 { 10.0 / norm } else { 1.0 };
        for i in 0..total.len() {
            self.velocity[i] = self.momentum * self.velocity[i] + shrink * total[i];
            *net.param_mut(i) -= rate * self.velocity[i];
        }
    }
}

fn descent(net: &Net, momentum: f64) -> Descent64 {
    let n = net.params().len();
    Descent64 { velocity: vec![0.0; n], momentum, factors: vec![1.0; n], l1: 0.0 }
}

/// Mean loss of the held-out rows of other classes, were they labelled `class`.
fn strangeness(net: &Net, world: &World, class: u32) -> f64 {
    let held_out = crate::nn::Split::new(&world.recipe, world.samples().n_rows(), &[]).held_out;
    let others: Vec<u32> =
        held_out.into_iter().filter(|&row| world.samples().label(row as usize) != class).collect();
    let loss = |&row: &u32| net.loss(&image(world.samples(), row), class as usize);
    others.iter().map(loss).sum::<f64>() / others.len() as f64
}

fn even(rows: &[u32]) -> Vec<(u32, f64)> {
    rows.iter().map(|&row| (row, 1.0 / rows.len() as f64)).collect()
}

fn run(method: &Method, task: &Task<'_>) -> Mlp {
    let outcome = unlearn(method, task, &mut Silent).unwrap();
    assert_eq!(outcome.stopped, None);
    outcome.model
}

fn retained(world: &World) -> Vec<u32> {
    let train = crate::nn::Split::new(&world.recipe, world.samples().n_rows(), &[]).train;
    train.into_iter().filter(|row| world.forget.binary_search(row).is_err()).collect()
}

#[test]
fn bounded_ascent_follows_its_equation() {
    let world = World::class(300);
    let (task, samples) = (world.task(), world.samples());
    let numbers =
        GradientAscent { batch_size: 16, learning_rate: 0.02, ascent_weight: 0.5, ..GradientAscent::BOUNDED };
    let mlp = unlearn(&Method::GradientAscent(numbers), &task, &mut Silent).unwrap().model;

    let bound = strangeness(&Net::of(task.parent), &world, 2);
    let mut net = Net::of(&shrink_perturb(task.parent, numbers.shrink, task.seed));
    let mut descent = descent(&net, 0.9);
    let mut retain = Rows::new(&retained(&world), 16, task.seed);
    let mut forget = Rows::new(&world.forget, 2, task.seed);
    for epoch in 1..=2 {
        retain.shuffle(epoch);
        forget.shuffle(epoch);
        for number in 0..retain.batches() {
            let (kept, forgotten) = (retain.batch(number), forget.batch(number));
            let mut weighted: Vec<(u32, f64)> =
                kept.iter().map(|&row| (row, 1.0 / kept.len() as f64)).collect();
            for &row in forgotten {
                let loss = net.loss(&image(samples, row), samples.label(row as usize) as usize);
                if loss < bound {
                    weighted.push((row, -0.5 / forgotten.len() as f64));
                }
            }
            let steps = 2.0 * retain.batches() as f64;
            let done = (f64::from(epoch - 1) * retain.batches() as f64 + number as f64) / steps;
            descent.step(&mut net, samples, &weighted, 0.02 * (1.0 - done));
        }
    }
    assert_near(&mlp, &net, 2 * 20, "bounded ascent");
}

#[test]
fn a_new_output_layer_is_trained_as_described() {
    let world = World::class(600);
    let (task, samples) = (world.task(), world.samples());
    let numbers = ResetLast { epochs: 4, batch_size: 8, learning_rate: 0.05, shrink: 0.7 };
    let outcome = unlearn(&Method::ResetLast(numbers), &task, &mut Silent).unwrap();
    assert_eq!(outcome.stopped, None);
    let mlp = outcome.model;

    let mut start = shrink_perturb(task.parent, 0.7, task.seed);
    reset_layer(&mut start, 1, task.seed);
    let mut net = Net::of(&start);
    let mut descent = descent(&net, 0.9);
    let mut retain = Rows::new(&retained(&world), 8, task.seed);
    let steps = 4 * retain.batches();
    for epoch in 1..=4u64 {
        retain.shuffle(epoch as u32);
        for number in 0..retain.batches() {
            let rows = retain.batch(number);
            let weighted: Vec<(u32, f64)> = rows.iter().map(|&row| (row, 1.0 / rows.len() as f64)).collect();
            let done = ((epoch - 1) * retain.batches() + number) as f64 / steps as f64;
            descent.step(&mut net, samples, &weighted, 0.05 * (1.0 - done));
        }
    }
    assert_near(&mlp, &net, steps as usize, "reset_last");
}

#[test]
fn plain_ascent_climbs_the_loss_without_momentum() {
    let world = World::class(300);
    let (task, samples) = (world.task(), world.samples());
    // so slow that the guard sees no reason to stop
    let numbers = GradientAscent { batch_size: 8, learning_rate: 1e-4, epochs: 2, ..GradientAscent::PLAIN };
    let outcome = unlearn(&Method::GradientAscent(numbers), &task, &mut Silent).unwrap();
    assert_eq!(outcome.stopped, None);

    let mut net = Net::of(task.parent);
    let mut descent = descent(&net, 0.0);
    let mut forget = Rows::new(&world.forget, 8, task.seed);
    for epoch in 1..=2 {
        forget.shuffle(epoch);
        for number in 0..forget.batches() {
            let rows = forget.batch(number);
            let weighted: Vec<(u32, f64)> = rows.iter().map(|&row| (row, -1.0 / rows.len() as f64)).collect();
            descent.step(&mut net, samples, &weighted, 1e-4);
        }
    }
    assert_near(&outcome.model, &net, 2 * 8, "plain ascent");
}

#[test]
fn fine_tuning_and_its_sparse_form_follow_their_equations() {
    let world = World::class(300);
    let (task, samples) = (world.task(), world.samples());
    for l1 in [0.0, 1e-3] {
        let mlp = if l1 == 0.0 {
            run(&Method::FineTune(FineTune { epochs: 2, batch_size: 16, learning_rate: 0.05 }), &task)
        } else {
            run(&Method::L1Sparse(L1Sparse { epochs: 2, batch_size: 16, learning_rate: 0.05, l1 }), &task)
        };
        let mut net = Net::of(task.parent);
        let mut descent = descent(&net, 0.9);
        let mut retain = Rows::new(&retained(&world), 16, task.seed);
        let steps = 2 * retain.batches();
        for epoch in 1..=2u64 {
            retain.shuffle(epoch as u32);
            descent.l1 = l1 * (1.0 - (epoch - 1) as f64 / 2.0);
            for number in 0..retain.batches() {
                let done = ((epoch - 1) * retain.batches() + number) as f64 / steps as f64;
                descent.step(&mut net, samples, &even(retain.batch(number)), 0.05 * (1.0 - done));
            }
        }
        assert_near(&mlp, &net, steps as usize, "fine_tune");
    }
}

#[test]
fn neggrad_plus_climbs_only_below_its_bound() {
    let world = World::rows(300);
    let (task, samples) = (world.task(), world.samples());
    let numbers =
        NegGradPlus { epochs: 1, batch_size: 8, learning_rate: 0.07, shrink: 0.9, retain_weight: 0.4 };
    let mlp = run(&Method::NegGradPlus(numbers), &task);
    let mut net = Net::of(&shrink_perturb(task.parent, 0.9, task.seed));
    let mut descent = descent(&net, 0.9);
    let mut retain = Rows::new(&retained(&world), 8, task.seed);
    let mut forget = Rows::new(&world.forget, 1, task.seed);
    retain.shuffle(1);
    forget.shuffle(1);
    let bound = context::Context::new(&task).matched_held_out_loss().unwrap();
    let (mut climbed, mut rested) = (0, 0);
    for number in 0..retain.batches() {
        let (kept, forgotten) = (retain.batch(number), forget.batch(number));
        let loss = |&row: &u32| net.loss(&image(samples, row), samples.label(row as usize) as usize);
        let mean = forgotten.iter().map(loss).sum::<f64>() / forgotten.len() as f64;
        let mut weighted: Vec<_> = even(kept).into_iter().map(|(row, w)| (row, 0.4 * w)).collect();
        if mean < bound {
            weighted.extend(even(forgotten).into_iter().map(|(row, w)| (row, -0.6 * w)));
            climbed += 1;
        } else {
            rested += 1;
        }
        let done = number as f64 / retain.batches() as f64;
        descent.step(&mut net, samples, &weighted, 0.07 * (1.0 - done));
    }
    assert!(climbed > 0 && rested > 0, "{climbed} steps up, {rested} without");
    assert_near(&mlp, &net, retain.batches() as usize, "neggrad_plus");
}

#[test]
fn random_labels_are_taught_everywhere_or_where_the_mask_lets_them() {
    let world = World::rows(400);
    let (task, samples) = (world.task(), world.samples());
    for fraction in [None, Some(0.3)] {
        let mlp = match fraction {
            None => run(
                &Method::RandomLabel(RandomLabel { epochs: 2, batch_size: 16, learning_rate: 0.001 }),
                &task,
            ),
            Some(fraction) => run(
                &Method::Saliency(Saliency { epochs: 2, batch_size: 16, learning_rate: 0.001, fraction }),
                &task,
            ),
        };
        let mut net = Net::of(task.parent);
        let mut descent = descent(&net, 0.9);
        if let Some(fraction) = fraction {
            let mut saliency = vec![0.0; net.params().len()];
            for &row in &world.forget {
                let g = gradient(&net, &image(samples, row), samples.label(row as usize) as usize);
                saliency.iter_mut().zip(g).for_each(|(s, g)| *s += g);
            }
            let mut sizes: Vec<f64> = saliency.iter().map(|s| s.abs()).collect();
            sizes.sort_by(|a, b| b.total_cmp(a));
            let least = sizes[(fraction * sizes.len() as f64).round() as usize - 1];
            descent.factors = saliency.iter().map(|s| if s.abs() >= least { 1.0 } else { 0.0 }).collect();
        }
        let mut retain = Rows::new(&retained(&world), 16, task.seed);
        let mut forget = Rows::new(&world.forget, 16, task.seed);
        let per_epoch = retain.batches() + forget.batches();
        for epoch in 1..=2u32 {
            retain.shuffle(epoch);
            forget.shuffle(epoch);
            for (number, rows) in (0u32..).zip(forget.all().into_iter().chain(retain.all())) {
                let terms: Vec<Term> = rows
                    .iter()
                    .map(|&row| {
                        let true_label = samples.label(row as usize);
                        let step = 1 + keyed_hash(task.seed, Purpose::WrongLabel, epoch, row) % 3;
                        let is_forgotten = world.forget.contains(&row);
                        let label = if is_forgotten { (true_label + step as u32) % 4 } else { true_label };
                        (gradient(&net, &image(samples, row), label as usize), 1.0 / rows.len() as f64)
                    })
                    .collect();
                let done = (f64::from(epoch - 1) + f64::from(number) / per_epoch as f64) / 2.0;
                descent.step_along(&mut net, &terms, 0.001 * (1.0 - done));
            }
        }
        assert_near(&mlp, &net, 2 * per_epoch as usize, "random_label");
    }
}

#[test]
fn scrub_leaves_its_teacher_on_one_set_and_follows_it_on_the_other() {
    let world = World::class(300);
    let (task, samples) = (world.task(), world.samples());
    let numbers = Scrub {
        epochs: 1,
        batch_size: 16,
        learning_rate: 0.005,
        max_epochs: 1,
        teacher_weight: 0.3,
        temperature: 2.0,
    };
    let mlp = run(&Method::Scrub(numbers), &task);
    let teacher = Net::of(task.parent);
    let mut net = Net::of(task.parent);
    let mut descent = descent(&net, 0.9);
    let mut retain = Rows::new(&retained(&world), 16, task.seed);
    let mut forget = Rows::new(&world.forget, 16, task.seed);
    retain.shuffle(1);
    forget.shuffle(1);
    let soft = |z: &[f64]| softmax(&z.iter().map(|z| z / 2.0).collect::<Vec<_>>());
    let steps = retain.batches() + forget.batches();
    for (number, rows) in (0u32..).zip(forget.all().into_iter().chain(retain.all())) {
        let terms: Vec<Term> = rows
            .iter()
            .map(|&row| {
                let x = image(samples, row);
                let wanted = soft(teacher.forward(&x).last().unwrap());
                let label = samples.label(row as usize) as usize;
                let g = gradient_by(&net, &x, |z| {
                    let apart = soft(z).into_iter().zip(&wanted).map(|(q, p)| 2.0 * (q - p));
                    if world.forget.contains(&row) {
                        return apart.map(|d| -d).collect();
                    }
                    let mut dz = softmax(z);
                    dz[label] -= 1.0;
                    dz.iter().zip(apart).map(|(ce, d)| ce + 0.3 * d).collect()
                });
                (g, 1.0 / rows.len() as f64)
            })
            .collect();
        descent.step_along(&mut net, &terms, 0.005 * (1.0 - f64::from(number) / steps as f64));
    }
    assert_near(&mlp, &net, steps as usize, "scrub");
}

#[test]
fn a_bad_teacher_is_imitated_on_the_forget_set_and_the_original_elsewhere() {
    let world = World::class(300);
    let (task, samples) = (world.task(), world.samples());
    let numbers = BadTeacher { epochs: 1, batch_size: 16, learning_rate: 0.01, retain_fraction: 1.0 };
    let mlp = run(&Method::BadTeacher(numbers), &task);
    let untrained = crate::nn::init::init(&retrain::with_seed(task.recipe, task.seed ^ 1), 40, 4);
    let (good, bad) = (Net::of(task.parent), Net::of(&untrained));
    let mut net = Net::of(task.parent);
    let mut descent = descent(&net, 0.9);
    let mut retain = Rows::new(&retained(&world), 16, task.seed);
    let mut forget = Rows::new(&world.forget, 2, task.seed);
    retain.shuffle(1);
    forget.shuffle(1);
    for number in 0..retain.batches() {
        let mut terms: Vec<Term> = Vec::new();
        for (rows, teacher) in [(retain.batch(number), &good), (forget.batch(number), &bad)] {
            for &row in rows {
                let x = image(samples, row);
                let wanted = softmax(teacher.forward(&x).last().unwrap());
                let g = gradient_by(&net, &x, |z| {
                    softmax(z).into_iter().zip(&wanted).map(|(q, p)| q - p).collect()
                });
                terms.push((g, 1.0 / rows.len() as f64));
            }
        }
        let done = number as f64 / retain.batches() as f64;
        descent.step_along(&mut net, &terms, 0.01 * (1.0 - done));
    }
    assert_near(&mlp, &net, retain.batches() as usize, "bad_teacher");
}

#[test]
fn dampening_weakens_what_matters_to_the_forget_set_row_by_row() {
    let world = World::class(600);
    let (task, samples) = (world.task(), world.samples());
    let outcome =
        unlearn(&Method::SelectiveDampening(SelectiveDampening::default()), &task, &mut Silent).unwrap();
    let net = Net::of(task.parent);
    let importance = |rows: &[u32]| {
        let mut mean = vec![0.0; net.params().len()];
        for &row in rows {
            let g = gradient(&net, &image(samples, row), samples.label(row as usize) as usize);
            mean.iter_mut().zip(g).for_each(|(m, g)| *m += g * g / rows.len() as f64);
        }
        mean
    };
    let everyone = crate::nn::Split::new(&world.recipe, samples.n_rows(), &[]).train;
    let (forget, all) = (importance(&world.forget), importance(&everyone));
    // whatever α the search came to, each parameter is as it was or weakened by its own ratio, and one α parts them
    let (mut weakened, mut kept) = (f64::INFINITY, 0.0f64);
    for (i, (new, old)) in outcome.model.to_params().into_iter().zip(task.parent.to_params()).enumerate() {
        let ratio = forget[i] / all[i].max(f64::MIN_POSITIVE);
        if new == old {
            kept = if old == 0.0 { kept } else { kept.max(ratio) };
        } else {
            weakened = weakened.min(ratio);
            let want = f64::from(old) / ratio;
            assert!((f64::from(new) - want).abs() <= 1e-4 * f64::from(old).abs(), "{new} {want}");
        }
    }
    assert!(weakened.is_finite() && weakened > kept * 0.999, "weakened from {weakened}, kept up to {kept}");
}

#[test]
fn most_weights_are_drawn_anew_and_those_that_tell_the_rows_apart_stay() {
    let world = World::class(600);
    let task = world.task();
    let context = context::Context::new(&task);
    let mlp = msg::reset(&context, 0.75);
    for l in 0..mlp.n_layers() {
        let (new, old) = (mlp.row_major(l), task.parent.row_major(l));
        let n_kept = new.iter().zip(&old).filter(|(new, old)| new == old).count();
        assert_eq!(n_kept, old.len() - (0.75 * old.len() as f64).round() as usize, "layer {l}");
        assert!(mlp.bias(l).iter().all(|&b| b == 0.0));
    }
    assert!(msg::reset(&context, 0.0).row_major(0) == task.parent.row_major(0));
}
