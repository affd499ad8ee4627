//! The approximate methods in f64, from their equations.
#![expect(clippy::needless_range_loop, reason = "indices as in the formulas they follow")]

use super::pass::Rows;
use super::tests::{Silent, World};
use super::*;
use crate::nn::init::reset_layer;
use crate::nn::twin::{Net, assert_near, gradient, image};

/// A descent in f64 on `Σ weight·CE`, gradient clipped to norm 10, with momentum.
struct Descent64 {
    velocity: Vec<f64>,
    momentum: f64,
}

impl Descent64 {
    fn step(&mut self, net: &mut Net, samples: Samples<'_>, weighted: &[(u32, f64)], rate: f64) {
        let mut total = vec![0.0; self.velocity.len()];
        for &(row, weight) in weighted {
            let g = gradient(net, &image(samples, row), samples.label(row as usize) as usize);
            total.iter_mut().zip(g).for_each(|(t, g)| *t += weight * g);
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
    Descent64 { velocity: vec![0.0; net.params().len()], momentum }
}

fn retained(world: &World) -> Vec<u32> {
    let train = crate::nn::Split::new(&world.recipe, world.samples().n_rows(), &[]).train;
    train.into_iter().filter(|row| world.forget.binary_search(row).is_err()).collect()
}

#[test]
fn bounded_ascent_follows_its_equation() {
    let world = World::class(300);
    let (task, samples) = (world.task(), world.samples());
    let numbers = GradientAscent { batch_size: 16, learning_rate: 0.02, ..GradientAscent::BOUNDED };
    let mlp = unlearn(&Method::GradientAscent(numbers), &task, &mut Silent).unwrap().model;

    let mut net = Net::of(task.parent);
    let mut descent = descent(&net, 0.9);
    let mut retain = Rows::new(&retained(&world), 16, task.seed);
    let mut forget = Rows::new(&world.forget, 4, task.seed);
    let bound = 4.0f64.ln();
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
            descent.step(&mut net, samples, &weighted, 0.02 * (1.0 - 0.6 * done));
        }
    }
    assert_near(&mlp, &net, 2 * 20, "bounded ascent");
}

#[test]
fn a_new_output_layer_is_trained_as_described() {
    let world = World::class(600);
    let (task, samples) = (world.task(), world.samples());
    let numbers = ResetLast { epochs: 4, batch_size: 8, learning_rate: 0.05 };
    let outcome = unlearn(&Method::ResetLast(numbers), &task, &mut Silent).unwrap();
    assert_eq!(outcome.stopped, None);
    let mlp = outcome.model;

    let mut start = task.parent.clone();
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
