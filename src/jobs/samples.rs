//! What a training tells of its samples one by one: whether it knows the rule or the labels, and the loss of each.

use crate::artifacts::Losses;
use crate::data::Dataset;
use crate::domain::Train;
use crate::nn::{Evaluator, Memorisation, Mlp, Pairs};
use std::io;
use std::num::NonZeroUsize;
use uuid::Uuid;

/// Looks at the samples of one training.
#[derive(Debug)]
pub(super) struct SampleWatch<'a> {
    dataset: &'a Dataset,
    pairs: Pairs,
    /// Where some labels are known to be wrong for what is shown with them.
    memorisation: Option<Memorisation>,
    /// Where the losses are kept, if they are wanted.
    kept: Option<(Losses, Uuid)>,
    /// Made when the network's shape is known.
    evaluator: Option<Evaluator>,
}

impl<'a> SampleWatch<'a> {
    /// `None` if there is nothing to tell.
    pub(super) fn new(order: &Train, run: Uuid, dataset: &'a Dataset, losses: &Losses) -> Option<Self> {
        let pairs = Pairs::of(&order.recipe, dataset.train.n_rows(), &[]);
        let has_wrong_labels = dataset.knows_wrong_labels() || !pairs.are_aligned();
        let memorisation = has_wrong_labels.then(|| Memorisation::new(&pairs, |row| dataset.true_label(row)));
        let kept = order.track_samples.then(|| (losses.clone(), run));
        (memorisation.is_some() || kept.is_some()).then_some(Self {
            dataset,
            pairs,
            memorisation,
            kept,
            evaluator: None,
        })
    }

    /// Measures for the epoch's event. The losses are on the disk behind this, so before anyone hears of the epoch.
    pub(super) fn look(
        &mut self,
        epoch: u32,
        model: &Mlp,
        n_threads: NonZeroUsize,
    ) -> io::Result<Vec<(&'static str, Option<f64>)>> {
        let evaluator = self.evaluator.get_or_insert_with(|| Evaluator::new(model.shape()));
        evaluator.use_threads(n_threads);
        let samples = self.dataset.train();
        if let Some((losses, run)) = &self.kept {
            losses.put(*run, epoch, &evaluator.losses(model, samples, &self.pairs))?;
        }
        let Some(memorisation) = &self.memorisation else { return Ok(Vec::new()) };
        let seen = memorisation.look(evaluator, model, samples);
        Ok(vec![
            ("clean_accuracy", seen.clean_accuracy),
            ("mislabelled_accuracy", seen.mislabelled_accuracy),
            ("memorised", seen.memorised),
        ])
    }
}
