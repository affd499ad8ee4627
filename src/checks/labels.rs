//! Do the labels belong to the features? Neighbours tell without training.

use super::confident::Confident;
use super::neighbours::nearest;
use super::stats::{count, percent, share};
use super::{Interrupted, KeepGoing, Subject};
use serde::Serialize;
use std::num::NonZeroUsize;
use utoipa::ToSchema;

/// Samples that are looked at: a share of them is known to 3 points.
const MOST_QUERIES: usize = 1_024;
/// Samples that are looked among.
const MOST_REFERENCES: usize = 8_192;
/// Neighbours whose labels are the probabilities of a sample's classes.
const K: usize = 15;
/// A part of wrong labels that is certainly exceeded is worth a warning.
const MOST_NOISE: f64 = 0.1;

/// How well labels agree with those of samples that look alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = LabelsCheck)]
pub struct Labels {
    /// Samples that were looked at.
    pub n_samples: u32,
    /// Samples they were compared with.
    pub n_references: u32,
    /// Share of samples with the label of their nearest neighbour.
    pub neighbour_agreement: f64,
    /// Share of samples with the label most of their 15 nearest neighbours have.
    pub majority_agreement: f64,
    /// What either would be if labels had nothing to do with features.
    pub chance: f64,
    /// Estimated share of wrong labels.
    pub noise: f64,
    /// Its 95 % confidence interval, as far as it comes of looking at a sample only.
    pub noise_low: f64,
    pub noise_high: f64,
    /// All samples there are, and how many rows their features come from: fewer, where features are shown with labels
    /// of other rows.
    pub n_pairs: u32,
    pub n_feature_rows: u32,
}

impl Labels {
    pub(super) fn of(
        subject: &Subject<'_>,
        n_threads: NonZeroUsize,
        keep_going: &mut KeepGoing<'_>,
    ) -> Result<Self, Interrupted> {
        let n_classes = subject.train.n_classes();
        let labels = subject.labels();
        let choose = |stream, n| -> (Vec<u32>, Vec<u32>) {
            let places = subject.sample(stream, n).into_iter();
            places.map(|place| (subject.pairs.features_of[place], labels[place])).unzip()
        };
        let (queries, own) = choose(0, MOST_QUERIES);
        let (references, theirs) = choose(1, MOST_REFERENCES);
        let near = nearest(subject.train, &queries, &references, K, n_threads, keep_going)?;

        let mut votes = vec![0.0; own.len() * n_classes];
        let (mut first, mut majority) = (0, 0);
        for ((near, &label), votes) in near.iter().zip(&own).zip(votes.chunks_exact_mut(n_classes)) {
            for &place in near {
                votes[theirs[place] as usize] += 1.0 / near.len() as f32;
            }
            first += usize::from(near.first().is_some_and(|&place| theirs[place] == label));
            let most = votes.iter().copied().fold(0.0, f32::max);
            majority += usize::from(!near.is_empty() && votes[label as usize] == most);
        }
        let noise = Confident::of(&own, &votes, n_classes).noise();
        let (noise_low, noise_high) = noise.interval;
        Ok(Self {
            n_samples: own.len() as u32,
            n_references: references.len() as u32,
            neighbour_agreement: share(first, own.len()),
            majority_agreement: share(majority, own.len()),
            chance: chance(&own, &theirs, n_classes),
            noise: noise.share,
            noise_low,
            noise_high,
            n_pairs: subject.pairs.len() as u32,
            n_feature_rows: subject.shown().len() as u32,
        })
    }

    pub(super) fn judge(&self) -> (bool, String) {
        let warns = self.noise_low > MOST_NOISE;
        let mut detail = format!(
            "an estimated {} of the labels are wrong (95 % interval {} to {}): {} of the samples have the label of their \
             nearest neighbour, by chance it would be {}",
            percent(self.noise),
            percent(self.noise_low),
            percent(self.noise_high),
            percent(self.neighbour_agreement),
            percent(self.chance)
        );
        if self.n_feature_rows < self.n_pairs {
            detail += &format!(
                "; {} show the features of only {}, with labels of others",
                count(self.n_pairs as usize, "sample"),
                count(self.n_feature_rows as usize, "row")
            );
        }
        (warns, detail)
    }
}

/// The chance that a label drawn from `own` is one drawn from `theirs`.
fn chance(own: &[u32], theirs: &[u32], n_classes: usize) -> f64 {
    let shares = |labels: &[u32]| {
        let mut counts = vec![0; n_classes];
        for &label in labels {
            counts[label as usize] += 1;
        }
        counts.into_iter().map(|n| share(n, labels.len())).collect::<Vec<_>>()
    };
    shares(own).into_iter().zip(shares(theirs)).map(|(a, b)| a * b).sum()
}
