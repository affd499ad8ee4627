//! The rule that names causes and clears the rest.

use super::report::{Diagnosis, Finding, OnItsOwn, Row, SeedCurve};
use super::{Interval, Order, Suspect, Trial, Variant};
use serde::Serialize;

/// The least change of test accuracy that matters; the health rules take no smaller fall for one either.
pub const LEAST_EFFECT: f64 = 0.02;
/// Of the most that could be won, what a cause must be worth.
const CAUSE_SHARE: f64 = 0.5;

/// What is wrong with a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Symptom {
    /// With most seeds its test accuracy falls while its training loss falls.
    LearningBackwards,
    /// It does not fall, but some variant comes to more than [`LEAST_EFFECT`] more, beyond doubt.
    LearningPoorly,
}

/// Names the causes.
///
/// A suspect is a cause if there is a symptom and either
/// - *without it alone* test accuracy is higher, by more than [`LEAST_EFFECT`] with the whole interval, by half or more of
///   the most that any variant wins, and no longer falls if that was the symptom; or
/// - *with it alone* a training whose other suspects are mended is worse by as much, of what mending everything wins, and
///   falls if that is the symptom. So two faults that each suffice are found, though leaving out one of them mends
///   nothing; or
/// - it is label noise, there is other evidence of it, and leaving out what was found of it helps beyond doubt. For not all
///   wrong labels can be found, and those left do their harm: the effect is less than that of the fault.
pub(super) fn judge(
    order: &Order<'_>,
    suspects: &[Suspect],
    trials: &[Trial],
    n_classes: usize,
    n_suspected: usize,
) -> Diagnosis {
    let bench = Bench { order, trials, chance: 1.0 / n_classes.max(1) as f64, n_suspected };
    let gains: Vec<Interval> = (suspects.iter().map(|&suspect| Variant::Without(suspect)))
        .chain([Variant::Mended])
        .filter_map(|variant| bench.difference(variant, Variant::AsIs))
        .map(|(gain, _)| gain)
        .collect();
    let most = gains.iter().map(|gain| gain.mean).fold(0.0, f64::max);
    let symptom = if bench.falls(Variant::AsIs) {
        Some(Symptom::LearningBackwards)
    } else {
        let is_poor = gains.iter().any(|gain| gain.low() > LEAST_EFFECT) || bench.suffers_from_noise();
        is_poor.then_some(Symptom::LearningPoorly)
    };
    let mut findings: Vec<(bool, Finding)> =
        suspects.iter().map(|&suspect| bench.finding(suspect, symptom, most)).collect();
    findings.sort_by(|(_, a), (_, b)| b.effect.total_cmp(&a.effect));
    let (causes, cleared): (Vec<_>, Vec<_>) = findings.into_iter().partition(|(is_cause, _)| *is_cause);
    let [causes, cleared] =
        [causes, cleared].map(|part| part.into_iter().map(|(_, f)| f).collect::<Vec<_>>());
    Diagnosis {
        symptom,
        summary: bench.summary(symptom, &causes, &cleared),
        causes,
        cleared,
        seeds: order.seeds.clone(),
        epochs: order.epochs,
        table: bench.table(suspects),
    }
}

struct Bench<'a> {
    order: &'a Order<'a>,
    trials: &'a [Trial],
    /// Accuracy of guessing.
    chance: f64,
    n_suspected: usize,
}

impl Bench<'_> {
    fn of(&self, variant: Variant) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(move |trial| trial.variant == variant)
    }

    /// Whether it learns backwards with most seeds.
    fn falls(&self, variant: Variant) -> bool {
        2 * self.of(variant).filter(|trial| trial.fell_in.is_some()).count() > self.of(variant).count()
    }

    /// `variant` less `from` at the last epoch that all trials of both came to, and that epoch. `None` if either was not
    /// tried.
    fn difference(&self, variant: Variant, from: Variant) -> Option<(Interval, u32)> {
        let epoch = self.end(variant)?.min(self.end(from)?);
        Some((self.difference_at(epoch, variant, from), epoch))
    }

    fn difference_at(&self, epoch: u32, variant: Variant, from: Variant) -> Interval {
        let at = |variant| -> Vec<f64> {
            self.of(variant).map(|trial| trial.accuracy_at(epoch, self.chance)).collect()
        };
        Interval::of_difference(&at(variant), &at(from))
    }

    /// The last epoch that all of its trials came to.
    fn end(&self, variant: Variant) -> Option<u32> {
        let end = |trial: &Trial| if trial.diverged { self.order.epochs } else { trial.epochs() };
        self.of(variant).map(end).min()
    }

    /// Over the seeds, at the end of each trial.
    fn accuracy(&self, variant: Variant) -> Interval {
        let last: Vec<f64> = self.of(variant).map(|t| t.accuracy_at(u32::MAX, self.chance)).collect();
        Interval::of(&last)
    }

    /// Whether wrong labels that others have seen do harm here.
    fn suffers_from_noise(&self) -> bool {
        let gain = self.difference(Variant::Without(Suspect::LabelNoise), Variant::AsIs);
        self.order.labels_look_wrong && gain.is_some_and(|(gain, _)| gain.low() > 0.0)
    }

    /// Whether the suspect is a cause, and what is known of it; `most` is the most that any variant wins.
    fn finding(&self, suspect: Suspect, symptom: Option<Symptom>, most: f64) -> (bool, Finding) {
        let is_backwards = symptom == Some(Symptom::LearningBackwards);
        let (without, only) = (Variant::Without(suspect), Variant::Only(suspect));
        let (effect, at_epoch) =
            self.difference(without, Variant::AsIs).expect("every suspect is left out once");
        let falls_without = self.falls(without);
        let is_large = |change: &Interval, of: f64| {
            change.low() > LEAST_EFFECT && change.mean >= CAUSE_SHARE * of && of > 0.0
        };
        let is_necessary = is_large(&effect, most) && !(is_backwards && falls_without);
        let alone = self.difference(Variant::Mended, only);
        let is_sufficient = alone.is_some_and(|(harm, epoch)| {
            let won = self.difference_at(epoch, Variant::Mended, Variant::AsIs);
            is_large(&harm, won.mean) && (self.falls(only) || !is_backwards)
        });
        let is_evident = suspect == Suspect::LabelNoise && self.suffers_from_noise();
        let is_cause = symptom.is_some() && (is_necessary || is_sufficient || is_evident);
        let on_its_own = alone.map(|(harm, at_epoch)| OnItsOwn {
            effect: -harm.mean,
            ci: [-harm.ci[1], -harm.ci[0]],
            at_epoch,
            falls: self.falls(only),
        });
        let mending = capitalised(&suspect.mending(&self.order.recipe, self.n_suspected));
        let change = format!("{mending} alone changes test accuracy by {}", points(&effect));
        let detail = match (is_cause, is_necessary, falls_without) {
            (true, true, _) => format!("{change}, and learning is restored"),
            (true, false, _) if is_evident => format!("{change}, and the data checks find wrong labels"),
            (true, false, _) => {
                let harm = on_its_own.as_ref().map_or(0.0, |own| own.effect);
                format!("{change}; but it suffices: on its own it costs {:.1} points", -100.0 * harm)
            }
            (false, _, true) => format!("{change}, and it falls all the same"),
            (false, _, false) => change,
        };
        let (mean, ci) = (effect.mean, effect.ci);
        let finding =
            Finding { fault: suspect, effect: mean, ci, at_epoch, falls_without, on_its_own, detail };
        (is_cause, finding)
    }

    fn summary(&self, symptom: Option<Symptom>, causes: &[Finding], cleared: &[Finding]) -> String {
        let as_is = self.accuracy(Variant::AsIs);
        let epochs = self.order.epochs;
        let how = match symptom {
            None => {
                return format!(
                    "Nothing is wrong: test accuracy is {} at epoch {epochs} and does not fall, and nothing \
                     that could be changed wins more than {:.0} points for certain.",
                    percent(&as_is),
                    100.0 * LEAST_EFFECT,
                );
            }
            Some(Symptom::LearningBackwards) => "learns backwards",
            Some(Symptom::LearningPoorly) => "learns less than it could",
        };
        let mut sentences: Vec<String> = causes.iter().map(|cause| self.cause(cause, &as_is)).collect();
        if causes.is_empty() {
            let together = self.difference(Variant::Mended, Variant::AsIs).map(|(gain, _)| gain);
            sentences.push(match together.filter(|gain| gain.low() > LEAST_EFFECT) {
                Some(_) => format!(
                    "It {how}, but no suspect does it by itself: all mended together bring {} instead of {} at \
                     epoch {epochs}.",
                    percent(&self.accuracy(Variant::Mended)),
                    percent(&as_is),
                ),
                None => format!("It {how}, and nothing that was suspected is to blame."),
            });
        } else if let Some(rest) = rest(cleared) {
            // the sentence of the last cause goes on
            if let Some(last) = sentences.last_mut() {
                last.pop();
                last.push_str(&rest);
            }
        }
        sentences.join(" ")
    }

    fn cause(&self, cause: &Finding, as_is: &Interval) -> String {
        let suspect = cause.fault;
        let without = Variant::Without(suspect);
        if suspect == Suspect::LabelNoise && self.suffers_from_noise() {
            return format!(
                "The data checks find wrong labels, and {} alone brings {} instead of {} at epoch {}.",
                suspect.mending(&self.order.recipe, self.n_suspected),
                percent(&self.accuracy(without)),
                percent(as_is),
                self.order.epochs
            );
        }
        if cause.ci[0] > LEAST_EFFECT && !cause.falls_without {
            let mending = capitalised(&suspect.mending(&self.order.recipe, self.n_suspected));
            return format!(
                "{mending} alone restores learning: {} instead of {} at epoch {}.",
                percent(&self.accuracy(without)),
                percent(as_is),
                self.order.epochs
            );
        }
        format!(
            "`{}` alone is enough to spoil it: {} with nothing else wrong, {} without it.",
            suspect.name(),
            percent(&self.accuracy(Variant::Only(suspect))),
            percent(&self.accuracy(Variant::Mended)),
        )
    }

    fn table(&self, suspects: &[Suspect]) -> Vec<Row> {
        let mut variants: Vec<Variant> = Vec::new();
        for trial in self.trials {
            if !variants.contains(&trial.variant) {
                variants.push(trial.variant);
            }
        }
        variants.into_iter().map(|variant| self.row(variant, suspects)).collect()
    }

    fn row(&self, variant: Variant, suspects: &[Suspect]) -> Row {
        let mended: Vec<String> = (variant.mends(suspects, &self.order.recipe).iter())
            .map(|suspect| suspect.mending(&self.order.recipe, self.n_suspected))
            .collect();
        let trials: Vec<&Trial> = self.of(variant).collect();
        let best = |trial: &&Trial| trial.test_accuracy.iter().copied().fold(self.chance, f64::max);
        Row {
            variant,
            change: (!mended.is_empty()).then(|| mended.join(", ")),
            test_accuracy: self.accuracy(variant),
            best_test_accuracy: trials.iter().map(best).sum::<f64>() / trials.len().max(1) as f64,
            n_fell: trials.iter().filter(|trial| trial.fell_in.is_some()).count(),
            n_diverged: trials.iter().filter(|trial| trial.diverged).count(),
            curves: (trials.iter())
                .map(|trial| SeedCurve { seed: trial.seed, test_accuracy: trial.test_accuracy.clone() })
                .collect(),
        }
    }
}

/// How the last sentence about causes ends: what the others do.
fn rest(cleared: &[Finding]) -> Option<String> {
    let most = cleared.iter().max_by(|a, b| a.effect.abs().total_cmp(&b.effect.abs()))?;
    Some(if most.effect.abs() < LEAST_EFFECT {
        "; no other fault matters.".to_owned()
    } else {
        format!(
            "; of the others none does it, and `{}` changes most, by {:+.1} points.",
            most.fault.name(),
            100.0 * most.effect
        )
    })
}

/// `97.6 ± 0.1 %`
fn percent(accuracy: &Interval) -> String {
    format!("{:.1} ± {:.1} %", 100.0 * accuracy.mean, 100.0 * accuracy.half())
}

/// `+31.8 points (29.7 to 34.0)`
fn points(change: &Interval) -> String {
    let [low, high] = change.ci.map(|bound| 100.0 * bound);
    format!("{:+.1} points ({low:.1} to {high:.1})", 100.0 * change.mean)
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
