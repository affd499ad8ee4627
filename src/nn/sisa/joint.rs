//! One network out of several: where the members of an ensemble lie in it, and how one is exchanged.

use crate::nn::{Mlp, Shape, Standard};

/// How `S` networks of one shape lie in a single one, whose logits are the mean of theirs.
///
/// With members of hidden widths `h₁ … h_L`, every weight zero that is not named:
///
/// - the first layer (`D × S·h₁`) has the members' weights side by side,
/// - a layer between hidden ones (`S·h_l × S·h_{l+1}`) has them along its diagonal,
/// - the last hidden layer has one unit more for each member, whose weights are 0 and whose bias is 1,
/// - the output layer (`(S·h_L + S) × C`) has the members' weights one below the other, then their biases as the
///   weights of those units, all divided by `S`; its own bias is 0.
///
/// The units that carry the biases are there because a sum of biases could not be taken apart again: every
/// number belongs to one member, so exchanging a member leaves no trace of it and changes no bit of another.
#[derive(Clone, Debug)]
pub struct Joint {
    member: Shape,
    n_members: usize,
}

impl Joint {
    /// Of `n_members` networks of the shape `member`.
    ///
    /// # Panics
    ///
    /// If members have no hidden layer: sums of their weights could not be taken apart either.
    #[track_caller]
    pub fn new(member: Shape, n_members: usize) -> Self {
        assert!(member.n_layers() > 1 && n_members > 0, "an ensemble needs members with hidden layers");
        Self { member, n_members }
    }

    /// Of the members the recipe trains.
    ///
    /// # Panics
    ///
    /// If the recipe has no hidden layer.
    #[track_caller]
    pub fn of(recipe: &Standard, n_features: usize, n_classes: usize) -> Self {
        let widths = [&[n_features], &recipe.hidden[..], &[n_classes]].concat();
        Self::new(Shape { widths, output_relu: false }, recipe.shards as usize)
    }

    pub fn n_members(&self) -> usize {
        self.n_members
    }

    /// Of one member.
    pub fn member(&self) -> &Shape {
        &self.member
    }

    /// Of the whole network.
    pub fn shape(&self) -> Shape {
        let (first, last) = (self.member.n_features(), self.member.n_classes());
        let hidden = &self.member.widths[1..self.member.n_layers()];
        let widths = [&[first], &joint_hidden(hidden, self.n_members)[..], &[last]].concat();
        Shape { widths, output_relu: self.member.output_relu }
    }

    /// The network whose logits are the mean of the members'.
    ///
    /// # Panics
    ///
    /// If these are not as many, or not of the shape, as was said.
    pub fn join(&self, members: &[Mlp]) -> Mlp {
        assert_eq!(members.len(), self.n_members, "not every member, or too many");
        let mut network = Mlp::zeroed(self.shape());
        for (number, member) in members.iter().enumerate() {
            self.replace(&mut network, number, member);
        }
        network
    }

    /// Overwrites member `number` (from 0) of `network`; of the others no bit changes.
    ///
    /// # Panics
    ///
    /// If either network has another shape, or there is no such member.
    #[track_caller]
    pub fn replace(&self, network: &mut Mlp, number: usize, member: &Mlp) {
        assert!(number < self.n_members, "member {number} of {}", self.n_members);
        assert!(*member.shape() == self.member, "a member of another shape");
        assert!(*network.shape() == self.shape(), "an ensemble of another shape");
        let output = self.member.n_layers() - 1;
        for l in 0..output {
            let (d, h) = (self.member.widths[l], self.member.widths[l + 1]);
            let first_row = if l == 0 { 0 } else { number * d };
            let layout = network.shape().layer(l);
            let (weights, bias) = network.layer_mut(l);
            for (row, values) in member.row_major(l).chunks_exact(h).enumerate() {
                layout.set_cells(weights, first_row + row, number * h, values);
            }
            bias[number * h..][..h].copy_from_slice(member.bias(l));
            if l + 1 == output {
                bias[self.n_members * h + number] = 1.0;
            }
        }
        let (d, h) = (self.member.widths[output], self.member.n_classes());
        let share = |values: &[f32]| -> Vec<f32> {
            values.iter().map(|value| value / self.n_members as f32).collect()
        };
        let layout = network.shape().layer(output);
        let (weights, _) = network.layer_mut(output);
        for (row, values) in member.row_major(output).chunks_exact(h).enumerate() {
            layout.set_row(weights, number * d + row, &share(values));
        }
        layout.set_row(weights, self.n_members * d + number, &share(member.bias(output)));
    }
}

/// Widths of the hidden layers of [`Joint::shape`].
pub fn joint_hidden(member: &[usize], n_members: usize) -> Vec<usize> {
    let mut hidden: Vec<usize> = member.iter().map(|width| n_members * width).collect();
    if let Some(last) = hidden.last_mut() {
        *last += n_members;
    }
    hidden
}
