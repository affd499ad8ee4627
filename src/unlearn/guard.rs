//! The guard around every approximate method: it watches a probe of the retained rows while the method runs, keeps the
//! best state seen, and rolls back to it when the method breaks the network.

use super::context::{Context, Probed};
use super::{GuardReport, Stopped, Unlearned};
use crate::nn::Mlp;

/// Longest gradient a method may follow; longer ones are shortened to it.
pub(super) const MAX_GRADIENT_NORM: f64 = 10.0;

/// How far the retain probe's accuracy may end below the original's, as a fraction.
pub(super) const MAX_RETAIN_DROP: f64 = 0.01;

/// How often a method that is watched throughout is looked at, in looks a pass.
pub(super) const LOOKS_PER_EPOCH: u64 = 8;

/// When the guard judges the retain probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// At every look: nothing in the method repairs the retained rows. The method also stops when the
    /// forget set is as good as forgotten, since going on would only make it stand out.
    Throughout,
    /// At the end of a pass: the method trains on the retained rows itself, a dip on the way is part of it.
    AtTheEnd,
}

/// When the forget set counts as forgotten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    /// A class: at most this accuracy on it.
    Accuracy(f64),
    /// Rows: at least the loss of rows like them that no network was trained on.
    Loss(f64),
}

impl Target {
    /// A class is forgotten when nothing of it is recognised, as after retraining; rows when their loss is that of
    /// non-members with the same mix of classes, or of guessing where there are none.
    pub(super) fn of(context: &mut Context<'_>) -> Self {
        match context.task.class {
            Some(_) => Self::Accuracy(0.0),
            None => Self::Loss(loss_bound(context)),
        }
    }

    pub(super) fn is_reached(self, loss: f64, accuracy: f64) -> bool {
        match self {
            Self::Accuracy(limit) => accuracy <= limit,
            Self::Loss(limit) => loss >= limit,
        }
    }
}

/// Where the loss of a forget set should end: for a class, where it is as strange to the original as it finds it on
/// held-out rows of other classes (a retrained network gives it no probability either, and a tenth of it, as guessing
/// would leave, already shows); for rows, at the loss of rows like them that no network was trained on.
pub(super) fn loss_bound(context: &mut Context<'_>) -> f64 {
    let task = context.task;
    let guessing = libm::log(task.train.n_classes() as f64);
    match task.class {
        Some(class) => context.strangeness(class).unwrap_or(guessing),
        None => context.matched_held_out_loss().unwrap_or(guessing),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    GoOn,
    Stop,
}

pub(super) struct Guard {
    watch: Watch,
    target: Target,
    /// What the probes show of the original.
    original: Probed,
    /// Probe accuracy below which a state is not given out.
    floor: f64,
    /// The most forgetful state above the floor, with its forget loss.
    best: Option<(f64, Mlp)>,
    /// What the last look saw, behind which step.
    seen: Option<(u64, Probed)>,
    stopped: Option<Stopped>,
}

impl Guard {
    pub(super) fn new(watch: Watch, context: &mut Context<'_>) -> Self {
        let original = context.probe(context.task.parent);
        let floor = original.retain_accuracy - MAX_RETAIN_DROP;
        Self { watch, target: Target::of(context), original, floor, best: None, seen: None, stopped: None }
    }

    pub(super) fn is_throughout(&self) -> bool {
        self.watch == Watch::Throughout
    }

    /// What the look behind step `step` saw, if that was the last one.
    pub(super) fn seen_behind(&self, step: u64) -> Option<Probed> {
        self.seen.filter(|&(seen, _)| seen == step).map(|(_, probed)| probed)
    }

    pub(super) fn target(&self) -> Target {
        self.target
    }

    /// Whether a look at the forget set alone finds a reason to stop.
    pub(super) fn glance(&self, context: &mut Context<'_>, mlp: &Mlp) -> Advice {
        let forget = context.forget_probe(mlp);
        let is_over = !forget.loss.is_finite() || self.target.is_reached(forget.loss, forget.accuracy);
        if is_over { Advice::Stop } else { Advice::GoOn }
    }

    /// Looks at the original, before the first step.
    pub(super) fn look_at_original(&mut self, context: &Context<'_>) -> (Advice, GuardReport) {
        self.judge(self.original, context.task.parent, 0)
    }

    /// Looks at the present state, after `step` steps.
    pub(super) fn look(&mut self, context: &mut Context<'_>, mlp: &Mlp, step: u64) -> (Advice, GuardReport) {
        self.judge(context.probe(mlp), mlp, step)
    }

    fn judge(&mut self, probed: Probed, mlp: &Mlp, step: u64) -> (Advice, GuardReport) {
        let Probed { forget, retain_accuracy: probe } = probed;
        self.seen = Some((step, probed));
        let report = GuardReport {
            step,
            forget_loss: forget.loss,
            forget_accuracy: forget.accuracy,
            target_loss: match self.target {
                Target::Loss(limit) => Some(limit),
                Target::Accuracy(_) => None,
            },
            retain_accuracy: probe,
            retain_floor: self.floor,
        };
        let advice = if !mlp.is_finite() || !forget.loss.is_finite() {
            self.stop("the weights stopped being finite numbers")
        } else if probe >= self.floor {
            self.keep(forget.loss, mlp);
            let is_done = self.is_throughout() && self.target.is_reached(forget.loss, forget.accuracy);
            if is_done { Advice::Stop } else { Advice::GoOn }
        } else if self.is_throughout() {
            self.stop(&self.below_floor(probe, forget.accuracy))
        } else {
            Advice::GoOn
        };
        (advice, report)
    }

    /// Gives out the last state, which was looked at last, or the best one that may be given out.
    pub(super) fn finish(mut self, context: &mut Context<'_>, last: Mlp) -> Unlearned {
        match self.seen {
            Some((_, Probed { forget, retain_accuracy }))
                if self.stopped.is_none() && retain_accuracy < self.floor =>
            {
                self.stop(&self.below_floor(retain_accuracy, forget.accuracy));
            }
            Some(_) | None => {}
        }
        match self.stopped {
            Some(stopped) => {
                let model = self.best.map_or_else(|| context.task.parent.clone(), |(_, mlp)| mlp);
                Unlearned { stopped: Some(stopped), ..model.into() }
            }
            None => last.into(),
        }
    }

    fn keep(&mut self, forget_loss: f64, mlp: &Mlp) {
        match &mut self.best {
            Some((best, _)) if forget_loss < *best => {}
            Some((best, kept)) => {
                *best = forget_loss;
                kept.params_mut().copy_from_slice(mlp.params());
            }
            None => self.best = Some((forget_loss, mlp.clone())),
        }
    }

    fn stop(&mut self, reason: &str) -> Advice {
        let reason = format!("{reason}; rolled back to the last state the guard accepts");
        self.stopped = Some(Stopped { reason, rolled_back: true });
        Advice::Stop
    }

    fn below_floor(&self, probe: f64, forget: f64) -> String {
        format!(
            "accuracy on the retained rows' probe fell to {:.1} %, below the floor of {:.1} %, while {:.1} % of the forget set was still \
             recognised",
            100.0 * probe,
            100.0 * self.floor,
            100.0 * forget,
        )
    }
}
