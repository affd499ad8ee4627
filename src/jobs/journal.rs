//! What a run at work tells the world, and how it learns that it must stop.

use super::checkpoints::Checkpoints;
use super::control::{Ask, Control};
use super::patience::patiently;
use super::shared::Shared;
use crate::diagnosis::Trial;
use crate::domain::{Best, Checkpoint, Event, EventKind, Progress, Run, Work};
use crate::health::{Alert, Code, Data, Observed, Watcher};
use crate::nn::{BatchReport, State};
use crate::store::{Fence, NewEvent, RunChange, Store, StoreError};
use crate::unlearn::GuardReport;
use chrono::{TimeDelta, Utc};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Between two ephemeral `batch` events of a run: at most four a second.
const BATCH_INTERVAL: Duration = Duration::from_millis(250);
/// How long a run that is to be gone on with later may take to come to where it can. Then it stops anyway.
const PARTING_PATIENCE: Duration = Duration::from_millis(50);
/// The member of a `phase` event that holds a diagnosis's trial.
const TRIAL: &str = "trial";
/// Events read at once when a run starts again.
const LOG_PAGE: u32 = 1_000;

/// Why a run must stop.
#[derive(Debug)]
pub(super) enum Halt {
    Asked(Ask),
    /// Its deadline is over.
    Late,
    /// A measure stopped being a finite number.
    Diverged {
        epoch: u32,
    },
    Store(StoreError),
}

/// A finished epoch of any kind of run.
#[derive(Clone, Debug)]
pub(super) struct Epoch {
    pub(super) epoch: u32,
    pub(super) epochs: u32,
    /// Samples trained on.
    pub(super) n_samples: u64,
    /// What was measured, by its name in the event.
    pub(super) measures: Vec<(&'static str, Option<f64>)>,
    /// The run's main measure, when it has one to be best in.
    pub(super) main: Option<(&'static str, f64)>,
}

/// One attempt's line to the event log.
///
/// The same run does the same again after an interruption, so a later attempt meets everything its log already
/// holds: that is left out, and the log goes on where it ended, without a gap and without repeating itself.
pub(super) struct Journal<'a> {
    shared: &'a Shared,
    control: &'a Control,
    run: Run,
    fence: Fence,
    /// What the log holds, with how often: each is left out once for every time it was logged.
    logged: BTreeMap<String, u32>,
    started: Instant,
    /// Seconds from the run's first start to this attempt.
    earlier_s: f64,
    /// When the work began whose end is foreseen: data are loaded by then.
    begun: Instant,
    epoch_started: Instant,
    /// The present epoch's mini-batches: when the first and the last ended, and how many there will be.
    first_batch: Option<(u64, Instant)>,
    last_batch: Instant,
    batches: u64,
    last_whisper: Option<Instant>,
    /// Epochs and trials that earlier attempts logged, for whoever goes on from there.
    past: Vec<Event>,
    health: Option<Watcher>,
    /// What the guard saw last, for the next whisper.
    guard: Option<GuardReport>,
    checkpoints: Checkpoints,
    /// Epochs that were done when this attempt began.
    head_start: f64,
    /// When it was first seen that the run is to be gone on with later.
    parting_since: Option<Instant>,
    halt: Option<Halt>,
}

impl<'a> Journal<'a> {
    pub(super) async fn open(
        shared: &'a Shared,
        run: &Run,
        control: &'a Control,
    ) -> Result<Self, StoreError> {
        let (mut logged, mut past) = (BTreeMap::new(), Vec::new());
        if run.attempt > 1 {
            let mut after = 0;
            while after < run.last_seq {
                let page = shared.store.events(run.id, after, LOG_PAGE).await?;
                let Some(last) = page.last() else { break };
                after = last.seq;
                for event in page {
                    if let Some(key) = key(event.kind, &event.data) {
                        *logged.entry(key).or_default() += 1;
                    }
                    if event.kind == EventKind::Epoch || event.data.get(TRIAL).is_some() {
                        past.push(event);
                    }
                }
            }
        }
        let kept = shared.store.checkpoints(run.id).await?;
        let checkpoints = Checkpoints::new(run.id, shared.artifacts.checkpoints.clone(), kept);
        let now = Instant::now();
        let earlier = run.started_at.and_then(|at| (Utc::now() - at).to_std().ok()).unwrap_or_default();
        Ok(Self {
            shared,
            control,
            run: run.clone(),
            fence: Fence(run.attempt),
            logged,
            started: now,
            earlier_s: if run.attempt > 1 { earlier.as_secs_f64() } else { 0.0 },
            begun: now,
            epoch_started: now,
            first_batch: None,
            last_batch: now,
            batches: 0,
            last_whisper: None,
            past,
            health: None,
            guard: None,
            checkpoints,
            head_start: 0.0,
            parting_since: None,
            halt: None,
        })
    }

    /// How many threads the run may use now.
    pub(super) fn threads(&self) -> NonZeroUsize {
        self.shared.threads_for_one()
    }

    /// Whether the run must stop now. Once it must, it always must.
    pub(super) fn halted(&mut self) -> ControlFlow<()> {
        self.halted_at(Instant::now())
    }

    fn halted_at(&mut self, now: Instant) -> ControlFlow<()> {
        self.control.is_alive_at(now);
        if self.halt.is_none() {
            self.halt = match self.control.asked() {
                Some(ask) => Some(Halt::Asked(ask)),
                None if self.control.is_late(now) => Some(Halt::Late),
                None => return ControlFlow::Continue(()),
            };
        }
        ControlFlow::Break(())
    }

    /// As [`halted`](Self::halted) for work in the middle of what it could be gone on with from: if that is asked for,
    /// it gets a moment to come there.
    fn halted_soon(&mut self, now: Instant) -> ControlFlow<()> {
        if self.is_parting(now)
            && now.duration_since(*self.parting_since.get_or_insert(now)) < PARTING_PATIENCE
        {
            return ControlFlow::Continue(());
        }
        self.halted_at(now)
    }

    /// Whether it is to stop for now only.
    fn is_parting(&self, now: Instant) -> bool {
        let for_now = matches!(self.control.asked(), Some(Ask::Pause | Ask::Yield));
        for_now && self.halt.is_none() && !self.control.is_late(now)
    }

    /// After every mini-batch: two loads and a look at the clock, unless it is time to tell someone.
    pub(super) fn batch(&mut self, report: &BatchReport) -> ControlFlow<()> {
        let now = Instant::now();
        self.last_batch = now;
        self.batches = report.batches;
        self.first_batch.get_or_insert((report.batch, now));
        if self.last_whisper.is_none_or(|last| now.duration_since(last) >= BATCH_INTERVAL) {
            self.last_whisper = Some(now);
            self.whisper(report);
        }
        self.halted_soon(now)
    }

    /// The newest state the run can be gone on with from, if it has one; an event tells the place.
    pub(super) fn resume(&mut self) -> Option<State> {
        let (checkpoint, state) = self.checkpoints.newest()?;
        let Checkpoint { epoch, batch, batches, .. } = checkpoint;
        let place = if checkpoint.is_at_end_of_epoch() {
            format!("the end of epoch {epoch}")
        } else {
            format!("epoch {epoch}, mini-batch {batch} of {batches}")
        };
        self.head_start = f64::from(epoch - 1) + batch as f64 / batches.max(1) as f64;
        // should it be time to stop, the first mini-batch says so
        let _ = self.phase("resume", &format!("going on from {place}"));
        Some(state)
    }

    /// What [`resume`](Self::resume) gave cannot be gone on with.
    pub(super) fn give_up_newest(&mut self) {
        self.head_start = 0.0;
        self.checkpoints.give_up_newest();
    }

    /// Where the work can be gone on with: writes that down if it is time, and stops here if it is to stop for now.
    pub(super) fn boundary(&mut self, at: &BatchReport, state: &dyn Fn() -> State) -> ControlFlow<()> {
        let now = Instant::now();
        let parts = self.is_parting(now);
        let is_wanted = if parts { self.checkpoints.is_new(at) } else { self.checkpoints.is_due(at, now) };
        if is_wanted && let Some(checkpoint) = self.checkpoints.write(at, &state()) {
            if checkpoint.is_at_end_of_epoch() && !parts {
                self.checkpoints.wait(checkpoint);
            } else {
                self.record(&self.with_checkpoint(checkpoint), &[])?;
            }
        }
        if parts { self.halted() } else { ControlFlow::Continue(()) }
    }

    fn with_checkpoint(&self, checkpoint: Checkpoint) -> RunChange {
        let superfluous = self.checkpoints.superfluous_beside(&checkpoint);
        RunChange { checkpoint: Some(Box::new(checkpoint)), superfluous, ..RunChange::default() }
    }

    /// Notes what the guard saw; the next whisper tells.
    pub(super) fn guard(&mut self, report: &GuardReport) -> ControlFlow<()> {
        self.guard = Some(*report);
        self.halted()
    }

    fn whisper(&self, report: &BatchReport) {
        let epochs = self.run.progress.epochs;
        let within = report.batch as f64 / report.batches.max(1) as f64;
        let done = f64::from(report.epoch.saturating_sub(1)) + within;
        self.expect(f64::from(epochs), done);
        if report.epoch > self.run.progress.epoch {
            self.shared.hub().whisper(self.run.id, EventKind::Batch, || {
                let mut data = json!({
                    "run": self.run.id,
                    "epoch": report.epoch,
                    "epochs": epochs,
                    "batch": report.batch,
                    "batches": report.batches,
                    "loss": report.loss,
                    "accuracy": report.accuracy,
                });
                if let Some(guard) = &self.guard {
                    data["guard"] = json!({
                        "step": guard.step,
                        "forget_loss": guard.forget_loss,
                        "forget_accuracy": guard.forget_accuracy,
                        "target_loss": guard.target_loss,
                        "retain_accuracy": guard.retain_accuracy,
                        "retain_floor": guard.retain_floor,
                    });
                }
                data
            });
        }
    }

    /// Records a finished epoch, with its times, and the run's progress.
    pub(super) fn epoch(&mut self, report: &Epoch) -> ControlFlow<()> {
        if report.measures.iter().any(|(_, value)| value.is_some_and(|value| !value.is_finite())) {
            // the run ends whatever comes of telling
            let _ = self.alert(&Alert::of_no_number(report.epoch));
            self.halt = Some(Halt::Diverged { epoch: report.epoch });
            return ControlFlow::Break(());
        }
        let eta_s = self.expect(f64::from(report.epochs), f64::from(report.epoch));
        let mut data = Map::new();
        data.insert("epoch".into(), json!(report.epoch));
        data.insert("epochs".into(), json!(report.epochs));
        for (name, value) in &report.measures {
            data.insert((*name).into(), json!(value));
        }
        data.insert("samples_per_s".into(), json!(self.samples_per_s(report.n_samples)));
        data.insert("elapsed_s".into(), json!(to_ms(self.earlier_s + self.started.elapsed().as_secs_f64())));
        data.insert("eta_s".into(), json!(to_ms(eta_s)));
        let metrics: Map<String, Value> =
            report.measures.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let checkpoint = self.checkpoints.of_epoch(report.epoch, &metrics);
        let kept = checkpoint.map(|checkpoint| self.with_checkpoint(checkpoint)).unwrap_or_default();
        let event = NewEvent { kind: EventKind::Epoch, data: Value::Object(data) };
        let flow = if self.was_logged(&event) {
            if kept.checkpoint.is_some() { self.record(&kept, &[]) } else { ControlFlow::Continue(()) }
        } else {
            let mut events = vec![event];
            events.extend(self.see(report).iter().map(alert_event));
            self.record(&self.with_progress(report, kept), &events)
        };
        self.next_epoch();
        flow?;
        self.halted_soon(Instant::now())
    }

    /// From here on every epoch is looked at for signs that something is wrong; so are those of earlier attempts, of
    /// which everything was told. Alerts of the codes `raised` have been raised already.
    pub(super) fn watch_health(&mut self, data: Data, raised: Vec<Code>) {
        let mut watcher = Watcher::behind(data, raised);
        for Event { data: epoch, .. } in std::mem::take(&mut self.past) {
            let number =
                epoch["epoch"].as_u64().and_then(|number| number.try_into().ok()).unwrap_or_default();
            if let Some(observed) = Observed::from_measures(number, |name| epoch[name].as_f64()) {
                watcher.see(observed);
            }
        }
        self.health = Some(watcher);
    }

    fn see(&mut self, report: &Epoch) -> Vec<Alert> {
        let measure =
            |name: &str| report.measures.iter().find(|(n, _)| *n == name).and_then(|(_, value)| *value);
        let observed = Observed::from_measures(report.epoch, measure);
        self.health.as_mut().zip(observed).map(|(health, observed)| health.see(observed)).unwrap_or_default()
    }

    /// Records an alert that no epoch tells of.
    pub(super) fn alert(&mut self, alert: &Alert) -> ControlFlow<()> {
        self.append(alert_event(alert))
    }

    /// `change` with the progress and the best that an epoch brings.
    fn with_progress(&self, report: &Epoch, change: RunChange) -> RunChange {
        let best =
            report.main.filter(|(_, value)| self.run.best.as_ref().is_none_or(|best| *value > best.value));
        RunChange {
            progress: Some(Progress { epoch: report.epoch, epochs: report.epochs }),
            best: best.map(|(metric, value)| Best { metric: metric.into(), value, epoch: report.epoch }),
            ..change
        }
    }

    /// Samples a second while training: what lies before an epoch's first mini-batch and behind its last,
    /// such as measuring, is not counted.
    fn samples_per_s(&self, n_samples: u64) -> Option<f64> {
        let (from, part) = match self.first_batch {
            Some((number, first)) if self.last_batch > first => {
                (first, self.batches.saturating_sub(number) as f64 / self.batches.max(1) as f64)
            }
            _ => (self.epoch_started, 1.0),
        };
        let seconds = self.last_batch.duration_since(from).as_secs_f64();
        (seconds > 0.0).then(|| (part * n_samples as f64 / seconds).round())
    }

    /// The work proper begins here: from here on its pace is measured.
    pub(super) fn begin(&mut self) {
        self.next_epoch();
        self.begun = self.epoch_started;
    }

    fn next_epoch(&mut self) {
        let now = Instant::now();
        (self.epoch_started, self.last_batch, self.first_batch) = (now, now, None);
    }

    /// The trials of a diagnosis that earlier attempts came to the end of.
    pub(super) fn known_trials(&mut self) -> Vec<Trial> {
        let past = std::mem::take(&mut self.past).into_iter();
        // one that cannot be read is made again
        past.filter_map(|mut event| serde_json::from_value(event.data[TRIAL].take()).ok()).collect()
    }

    /// From here on trials are told, of which so many of all their epochs were done before.
    pub(super) fn begin_trials(&mut self, done: u32) {
        self.head_start = f64::from(done);
        self.begin();
    }

    /// Records a trial's end; `done` of `all` epochs lie behind.
    pub(super) fn trial(&mut self, trial: &Trial, detail: &str, done: u32, all: u32) -> ControlFlow<()> {
        let mut data = json!({ "phase": TRIAL, "detail": detail });
        data[TRIAL] = json!(trial);
        let progress = Some(Progress { epoch: done, epochs: all });
        self.expect(f64::from(all), f64::from(done));
        self.record(
            &RunChange { progress, ..RunChange::default() },
            &[NewEvent { kind: EventKind::Phase, data }],
        )?;
        self.halted()
    }

    /// Records what begins now: a machine-readable word and a sentence.
    pub(super) fn phase(&mut self, phase: &str, detail: &str) -> ControlFlow<()> {
        let data = json!({ "phase": phase, "detail": detail });
        let flow = self.append(NewEvent { kind: EventKind::Phase, data });
        self.begin();
        flow
    }

    /// Records what the order left to the run to find out: a later attempt, and versions that come of it, take
    /// it from there.
    pub(super) fn settle(&mut self, work: Work) -> ControlFlow<()> {
        self.record(&RunChange { work: Some(Box::new(work)), ..RunChange::default() }, &[])?;
        self.halted()
    }

    /// From here on nobody knows how long it takes.
    pub(super) fn expect_nothing(&self) {
        self.control.expect_finish(None);
    }

    /// What the run may look up.
    pub(super) fn store(&self) -> &'a Store {
        &self.shared.store
    }

    /// Waits for a look-up, on this thread.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.shared.runtime.block_on(future)
    }

    pub(super) fn into_halt(mut self) -> Option<Halt> {
        self.checkpoints.clear();
        self.halt
    }

    fn append(&mut self, event: NewEvent) -> ControlFlow<()> {
        if !self.was_logged(&event) {
            self.record(&RunChange::default(), &[event])?;
        }
        self.halted()
    }

    /// Whether it was recorded. What follows from that is another question.
    fn record(&mut self, change: &RunChange, events: &[NewEvent]) -> ControlFlow<()> {
        let recorded = patiently(StoreError::is_transient, || {
            let recorded = self.shared.record(self.run.id, self.fence, change.clone(), events.to_vec());
            self.shared.runtime.block_on(recorded)
        });
        match recorded {
            Ok(run) => self.run = run,
            Err(error) => {
                self.halt = Some(Halt::Store(error));
                return ControlFlow::Break(());
            }
        }
        if let Some(checkpoint) = &change.checkpoint {
            self.checkpoints.keep(Checkpoint::clone(checkpoint), &change.superfluous);
        }
        ControlFlow::Continue(())
    }

    fn was_logged(&mut self, event: &NewEvent) -> bool {
        let times = key(event.kind, &event.data).and_then(|key| self.logged.get_mut(&key));
        match times {
            Some(times) if *times > 0 => {
                *times -= 1;
                true
            }
            _ => false,
        }
    }

    /// Seconds to go at this attempt's pace, kept as the expected end.
    fn expect(&self, all: f64, done: f64) -> f64 {
        let here = done - self.head_start;
        let eta_s =
            if here > 0.0 { self.begun.elapsed().as_secs_f64() / here * (all - done).max(0.0) } else { 0.0 };
        let ms = (eta_s * 1e3).min(1e15) as i64;
        self.control
            .expect_finish(TimeDelta::try_milliseconds(ms).and_then(|d| Utc::now().checked_add_signed(d)));
        eta_s
    }
}

fn alert_event(alert: &Alert) -> NewEvent {
    let data = json!({
        "code": alert.code,
        "epoch": alert.epoch,
        "since_epoch": alert.since_epoch,
        "detail": alert.detail,
    });
    NewEvent { kind: EventKind::Alert, data }
}

/// What makes an event the same in every attempt; `None` for those that are not repeated.
fn key(kind: EventKind, data: &Value) -> Option<String> {
    match kind {
        EventKind::Epoch => Some(format!("epoch {}", data["epoch"])),
        EventKind::Alert => Some(format!("alert {}", data["code"])),
        EventKind::Phase => Some(format!("phase {} {}", data["phase"], data["detail"])),
        _ => None,
    }
}

/// To the millisecond.
fn to_ms(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}
