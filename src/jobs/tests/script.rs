//! A trainer on strings: it tells the test which run it was given, then does one step at a time.

use super::super::executor::{Executor, Failure, Outcome, Product, Workshop};
use super::super::journal::{Epoch, Journal};
use super::super::known::KnownShelf;
use super::super::{Engine, Limits, Notice};
use crate::artifacts::Artifacts;
use crate::data::Catalogue;
use crate::domain::{Event, EventKind, Run, Status};
use crate::inference::Inference;
use crate::nn::BatchReport;
use crate::store::Store;
use crate::store::fixtures::{open, product};
use serde_json::Value;
use std::ops::ControlFlow;
use std::sync::{Mutex, mpsc};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use uuid::Uuid;

pub(super) enum Step {
    Batch,
    /// Its number, and its test accuracy.
    Epoch(u32, f64),
    Phase(&'static str),
    Panic,
    Fail,
    Publish(Product),
    Report(Value),
}

/// A run at work, as the test holds it.
pub(super) struct Desk {
    pub(super) run: Run,
    pub(super) thread: String,
    steps: mpsc::Sender<Step>,
    answers: UnboundedReceiver<ControlFlow<()>>,
}

impl Desk {
    /// Has one step done. Whether the run may go on; `None` when it ended by this step.
    pub(super) async fn step(&mut self, step: Step) -> Option<ControlFlow<()>> {
        self.steps.send(step).ok()?;
        self.answers.recv().await
    }

    pub(super) async fn goes_on_after(&mut self, step: Step) {
        assert_eq!(self.step(step).await, Some(ControlFlow::Continue(())));
    }

    pub(super) async fn stops_after(&mut self, step: Step) {
        assert_eq!(self.step(step).await, Some(ControlFlow::Break(())));
    }

    pub(super) async fn publish(mut self) {
        assert_eq!(self.step(Step::Publish(product())).await, None);
    }
}

#[derive(Debug)]
struct Script(Mutex<UnboundedSender<Desk>>);

impl Executor for Script {
    fn execute(&self, run: &Run, journal: &mut Journal<'_>) -> Result<Outcome, Failure> {
        let (steps, orders) = mpsc::channel();
        let (answer, answers) = unbounded_channel();
        let thread = std::thread::current().name().unwrap().to_owned();
        self.0.lock().unwrap().send(Desk { run: run.clone(), thread, steps, answers }).unwrap();
        let mut n_batches = 0;
        for step in orders {
            let flow = match step {
                Step::Batch => {
                    n_batches += 1;
                    journal.batch(&BatchReport {
                        epoch: 1,
                        batch: n_batches,
                        batches: 10_000,
                        loss: 1.0,
                        accuracy: 0.5,
                    })
                }
                Step::Epoch(epoch, accuracy) => journal.epoch(&Epoch {
                    epoch,
                    epochs: 3,
                    n_samples: 100,
                    measures: vec![("test_accuracy", Some(accuracy))],
                    main: Some(("test_accuracy", accuracy)),
                }),
                Step::Phase(phase) => journal.phase(phase, "…"),
                Step::Panic => panic!("the trainer fell over"),
                Step::Fail => return Err(Failure::failed("no_rows", &"nothing left")),
                Step::Publish(product) => return Ok(Outcome::Version(product)),
                Step::Report(report) => return Ok(Outcome::Report(report)),
            };
            answer.send(flow).unwrap();
            if flow.is_break() {
                return Err(Failure::Stopped);
            }
        }
        Err(Failure::failed("test_over", &"the test let go of the desk"))
    }
}

/// An engine with a scripted trainer.
pub(super) struct Bench {
    pub(super) engine: Engine,
    desks: UnboundedReceiver<Desk>,
}

impl Bench {
    pub(super) async fn on(store: Store, dir: &std::path::Path, train_threads: usize) -> Self {
        Self::within(store, dir, Limits { train_threads, memory: u64::MAX }).await
    }

    pub(super) async fn within(store: Store, dir: &std::path::Path, limits: Limits) -> Self {
        let (told, desks) = unbounded_channel();
        let artifacts = Artifacts::open(dir).unwrap();
        let catalogue = Catalogue::new(None, dir.join("cache"));
        let executor = Box::new(Script(Mutex::new(told)));
        let grace = Duration::from_millis(200);
        let inference = Inference::new(artifacts.clone());
        let workshop = Workshop { artifacts, catalogue, inference, known: KnownShelf::default() };
        let engine = Engine::start_with(store, workshop, limits, executor, grace).await.unwrap();
        Self { engine, desks }
    }

    pub(super) async fn new(train_threads: usize) -> (tempfile::TempDir, Self) {
        let (dir, store) = open().await;
        let bench = Self::on(store, dir.path(), train_threads).await;
        (dir, bench)
    }

    /// The next run a worker takes up.
    pub(super) async fn desk(&mut self) -> Desk {
        self.desks.recv().await.unwrap()
    }

    pub(super) fn no_desk_yet(&mut self) -> bool {
        self.desks.try_recv().is_err()
    }

    /// Submits a run and hears it from its first event on.
    pub(super) async fn submit(&self, run: Run) -> Heard {
        let heard = Heard(self.engine.subscribe(run.id));
        self.engine.submit(run).await.unwrap();
        heard
    }

    /// Waits until the run is over.
    pub(super) async fn end_of(&self, run: Uuid) -> Run {
        let heard = Heard(self.engine.subscribe(run));
        // subscribed first: an ending after this look is heard
        if !self.engine.store.run(run).await.unwrap().status.is_terminal() {
            heard.into_events().await;
        }
        self.engine.store.run(run).await.unwrap()
    }
}

/// What a listener hears of one run.
pub(super) struct Heard(pub(super) Receiver<Notice>);

impl Heard {
    pub(super) async fn next_event(&mut self) -> Option<Event> {
        loop {
            match self.0.recv().await {
                Ok(Notice::Durable(event)) => return Some((*event).clone()),
                Ok(Notice::Ephemeral { .. }) => {}
                Err(RecvError::Closed) => return None,
                Err(RecvError::Lagged(n)) => panic!("{n} notices missed"),
            }
        }
    }

    pub(super) async fn until(&mut self, status: Status) -> Event {
        loop {
            let event = self.next_event().await.unwrap();
            if event.kind == EventKind::Status && event.data["status"] == status.name() {
                return event;
            }
        }
    }

    /// Every event until the channel closes.
    pub(super) async fn into_events(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next_event().await {
            events.push(event);
        }
        events
    }

    /// The ephemeral notices waiting now.
    pub(super) fn whispers(&mut self) -> Vec<(EventKind, Value)> {
        let mut whispers = Vec::new();
        while let Ok(notice) = self.0.try_recv() {
            if let Notice::Ephemeral { kind, data, .. } = notice {
                whispers.push((kind, (*data).clone()));
            }
        }
        whispers
    }
}
