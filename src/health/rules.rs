//! The rules, each a function of all epochs so far that looks at how the last one stands.

use super::{Code, Data, Observed};

pub(super) struct Finding {
    pub(super) since_epoch: u32,
    pub(super) detail: String,
}

type Rule = fn(&[Observed], &Data) -> Option<Finding>;

pub(super) const RULES: &[(Code, Rule)] = &[
    (Code::Diverged, diverged),
    (Code::LearningBackwards, learning_backwards),
    (Code::Overfitting, overfitting),
    (Code::Plateau, plateau),
    (Code::DeadUnits, dead_units),
    (Code::LabelNoiseSuspected, label_noise),
];

/// Epochs in a row that must show the same: one alone may be chance.
const PERSISTENCE: usize = 3;
/// The least fall of an accuracy that counts, and how many standard errors of a share it must exceed.
const LEAST_FALL: f64 = 0.02;
const STANDARD_ERRORS: f64 = 4.0;
/// A test loss that has risen so far above its least, relatively.
const OVERFIT_RISE: f64 = 0.25;
/// A training loss so many times that of guessing.
const DIVERGED_LOSS: f64 = 2.0;
/// Of the way from guessing to knowing: less is little.
const LITTLE_LEARNED: f64 = 0.5;
/// Epochs over which a loss must have fallen by so much, relatively.
const PLATEAU_EPOCHS: usize = 5;
const PLATEAU_FALL: f64 = 0.01;
const DEAD_SHARE: f64 = 0.5;
/// The least lead of unseen rows over rows trained on.
const LEAST_LEAD: f64 = 0.05;

/// Cross-entropy of giving every class the same probability.
fn loss_of_guessing(data: &Data) -> f64 {
    libm::log(data.n_classes.max(2) as f64)
}

/// Standard error of a difference of two shares near `p`, of `n` and `m` rows.
fn standard_error(p: f64, n: usize, m: usize) -> f64 {
    let variance = p * (1.0 - p);
    libm::sqrt(variance / n.max(1) as f64 + variance / m.max(1) as f64)
}

/// The last epochs, if there are so many.
fn last(epochs: &[Observed], n: usize) -> Option<&[Observed]> {
    epochs.len().checked_sub(n).map(|from| &epochs[from..])
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// For `PERSISTENCE` epochs the test accuracy has been further below its best than chance explains, and the training
/// loss is lower than it was then.
fn learning_backwards(epochs: &[Observed], data: &Data) -> Option<Finding> {
    let (now, recent) = (epochs.last()?, last(epochs, PERSISTENCE)?);
    let best = epochs.iter().rev().max_by(|a, b| a.test_accuracy.total_cmp(&b.test_accuracy))?;
    let chance = STANDARD_ERRORS * standard_error(best.test_accuracy, data.n_test, data.n_test);
    let bound = best.test_accuracy - chance.max(LEAST_FALL);
    let falls = recent.iter().all(|epoch| epoch.epoch > best.epoch && epoch.test_accuracy < bound);
    (falls && now.train_loss < best.train_loss).then(|| Finding {
        since_epoch: best.epoch,
        detail: format!(
            "test accuracy has fallen from {} in epoch {} to {}, while the training loss fell from {:.3} to {:.3}",
            percent(best.test_accuracy),
            best.epoch,
            percent(now.test_accuracy),
            best.train_loss,
            now.train_loss
        ),
    })
}

/// For `PERSISTENCE` epochs the test loss has been well above its least, and the training loss is lower than it was then.
/// Falling accuracy is another matter, with other causes.
fn overfitting(epochs: &[Observed], data: &Data) -> Option<Finding> {
    let (now, recent) = (epochs.last()?, last(epochs, PERSISTENCE)?);
    let least = epochs.iter().min_by(|a, b| a.test_loss.total_cmp(&b.test_loss))?;
    let bound = (1.0 + OVERFIT_RISE) * least.test_loss;
    let rises = recent.iter().all(|epoch| epoch.epoch > least.epoch && epoch.test_loss > bound);
    let is_overfit = rises && now.train_loss < least.train_loss && learning_backwards(epochs, data).is_none();
    is_overfit.then(|| Finding {
        since_epoch: least.epoch,
        detail: format!(
            "test loss has risen from {:.3} in epoch {} to {:.3}, while the training loss fell from {:.3} to {:.3}",
            least.test_loss, least.epoch, now.test_loss, least.train_loss, now.train_loss
        ),
    })
}

/// The training loss is far above that of guessing.
fn diverged(epochs: &[Observed], data: &Data) -> Option<Finding> {
    let now = epochs.last()?;
    let guessing = loss_of_guessing(data);
    (now.train_loss > DIVERGED_LOSS * guessing).then(|| Finding {
        since_epoch: now.epoch,
        detail: format!(
            "the training loss is {:.3}, that of guessing is {guessing:.3}; a lower learning rate may help",
            now.train_loss
        ),
    })
}

/// Over `PLATEAU_EPOCHS` epochs the training loss has hardly fallen, and both it and the test accuracy are still near those
/// of guessing.
fn plateau(epochs: &[Observed], data: &Data) -> Option<Finding> {
    let span = last(epochs, PLATEAU_EPOCHS + 1)?;
    let (first, now) = (span.first()?, span.last()?);
    let guessing = loss_of_guessing(data);
    let stands = now.train_loss > (1.0 - PLATEAU_FALL) * first.train_loss;
    let halfway = LITTLE_LEARNED * (1.0 + 1.0 / data.n_classes.max(1) as f64);
    let is_near = now.train_loss > LITTLE_LEARNED * guessing && now.test_accuracy < halfway;
    (stands && is_near).then(|| Finding {
        since_epoch: first.epoch,
        detail: format!(
            "the training loss went from {:.3} to {:.3} in {PLATEAU_EPOCHS} epochs; that of guessing is {guessing:.3}",
            first.train_loss, now.train_loss
        ),
    })
}

/// For two epochs most units of a hidden layer have been zero for all rows they were shown.
fn dead_units(epochs: &[Observed], _: &Data) -> Option<Finding> {
    let recent = last(epochs, 2)?;
    let shares: Option<Vec<f64>> = recent.iter().map(|epoch| epoch.dead_units).collect();
    let shares = shares?;
    shares.iter().all(|share| *share >= DEAD_SHARE).then(|| Finding {
        since_epoch: recent[0].epoch,
        detail: format!("{} of the units of a hidden layer are zero for every row", percent(shares[1])),
    })
}

/// For two epochs rows never trained on have been recognised better than rows trained on, by more than chance: no
/// network does that unless the latter's labels are worse.
fn label_noise(epochs: &[Observed], data: &Data) -> Option<Finding> {
    let recent = last(epochs, 2)?;
    let leads = recent.iter().all(|epoch| {
        epoch.probe_accuracy.is_some_and(|probe| {
            let chance = STANDARD_ERRORS * standard_error(epoch.test_accuracy, data.n_test, data.n_probe);
            epoch.test_accuracy - probe > chance.max(LEAST_LEAD)
        })
    });
    let now = epochs.last()?;
    leads.then(|| Finding {
        since_epoch: recent[0].epoch,
        detail: format!(
            "{} of the test rows are recognised, but only {} of the training rows: their labels may be wrong",
            percent(now.test_accuracy),
            percent(now.probe_accuracy.unwrap_or_default())
        ),
    })
}
