//! The guard around every approximate method: it watches a retain probe while the method runs, keeps
//! the best state seen, and rolls back to it when the method breaks the network.

use super::context::Context;
use super::{Stopped, Unlearned};
use crate::nn::Mlp;

/// Longest gradient a method may follow; longer ones are shortened to it.
pub(super) const MAX_GRADIENT_NORM: f64 = 10.0;

/// How far the retain probe's accuracy may end below the original's, as a fraction.
pub(super) const MAX_RETAIN_DROP: f64 = 0.01;

/// How often a method that is watched throughout is looked at, in looks a pass.
pub(super) const LOOKS_PER_EPOCH: u64 = 32;

/// When the guard judges the retain probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Watch {
    /// At every look: nothing in the method repairs the retained rows. The method also stops when the
    /// forget set is as good as forgotten, since going on would only make it stand out.
    Throughout(Target),
    /// At the end: the method trains on the retained rows itself, a dip on the way is part of it.
    AtTheEnd,
}

/// When the forget set counts as forgotten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    /// A class: at most this accuracy on it.
    Accuracy(f64),
    /// Rows: at least the loss of held-out rows with the same mix of classes.
    Loss(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    GoOn,
    Stop,
}

pub(super) struct Guard {
    watch: Watch,
    /// Probe accuracy below which a state is not given out.
    floor: f64,
    /// The most forgetful state above the floor, with its forget loss.
    best: Option<(f64, Mlp)>,
    stopped: Option<Stopped>,
}

impl Guard {
    /// `probe_accuracy` is the original's.
    pub(super) fn new(watch: Watch, probe_accuracy: f64) -> Self {
        Self { watch, floor: probe_accuracy - MAX_RETAIN_DROP, best: None, stopped: None }
    }

    /// Looks at the present state; to be asked before the first step and every few after it.
    pub(super) fn look(&mut self, context: &mut Context<'_>, mlp: &Mlp) -> Advice {
        let forget = context.forget_probe(mlp);
        if !mlp.is_finite() || !forget.loss.is_finite() {
            return self.stop("the weights stopped being finite numbers");
        }
        let Watch::Throughout(target) = self.watch else { return Advice::GoOn };
        let probe = context.probe_accuracy(mlp);
        if probe < self.floor {
            return self.stop(&self.below_floor(probe, forget.accuracy));
        }
        self.keep(forget.loss, mlp);
        let reached = match target {
            Target::Accuracy(limit) => forget.accuracy <= limit,
            Target::Loss(limit) => forget.loss >= limit,
        };
        if reached { Advice::Stop } else { Advice::GoOn }
    }

    /// Judges the last state and gives out it, or the best one that may be given out.
    pub(super) fn finish(mut self, context: &mut Context<'_>, last: Mlp) -> Unlearned {
        if self.stopped.is_none()
            && self.look(context, &last) == Advice::GoOn
            && self.watch == Watch::AtTheEnd
        {
            let probe = context.probe_accuracy(&last);
            if probe < self.floor {
                let forget = context.forget_probe(&last);
                self.stop(&self.below_floor(probe, forget.accuracy));
            }
        }
        match self.stopped {
            Some(stopped) => {
                let model = self.best.map_or_else(|| context.task.parent.clone(), |(_, mlp)| mlp);
                Unlearned { model, stopped: Some(stopped), certificate: None }
            }
            None => Unlearned { model: last, stopped: None, certificate: None },
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
