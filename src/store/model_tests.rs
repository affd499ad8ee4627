//! Random sequences of operations beside a model that knows nothing but `Status::can_become`.

use super::fixtures::{assert_consistent, broken, open, product, train_run};
use super::{Fence, NewEvent, RunChange, Store, StoreError, Terms};
use crate::domain::{EventKind, Priority, Run, Status};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

/// Units of memory for all runs at work; one run can need more.
const MEMORY: u64 = 3;
/// Operations that a claim holds for.
const LEASE: i64 = 4;

#[derive(Clone, Copy, Debug)]
enum Operation {
    /// With the memory it is predicted to need.
    Submit(Priority, u64),
    Claim,
    /// A sign of life.
    Renew(usize),
    /// Claims that have ended are taken back.
    Lapse,
    /// From outside, to any status: what is not allowed must be refused.
    Step(usize, Status),
    Epoch(usize),
    Fail(usize),
    Publish(usize),
    /// By a worker that holds an older claim.
    Zombie(usize),
    Restart,
    Delete(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    let any = 0_usize..4;
    prop_oneof![
        2 => (prop::sample::select(&Priority::ALL[..]), 1..=MEMORY + 1).prop_map(|(p, m)| Operation::Submit(p, m)),
        3 => Just(Operation::Claim),
        2 => any.clone().prop_map(Operation::Renew),
        2 => Just(Operation::Lapse),
        3 => (any.clone(), prop::sample::select(Status::ALL.to_vec())).prop_map(|(i, s)| Operation::Step(i, s)),
        2 => any.clone().prop_map(Operation::Epoch),
        1 => any.clone().prop_map(Operation::Fail),
        2 => any.clone().prop_map(Operation::Publish),
        1 => any.clone().prop_map(Operation::Zombie),
        1 => Just(Operation::Restart),
        1 => any.prop_map(Operation::Delete),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Expected {
    id: Uuid,
    priority: Priority,
    status: Status,
    attempt: u32,
    memory: u64,
    until: DateTime<Utc>,
}

impl Expected {
    fn is_held(self) -> bool {
        self.status.is_held()
    }

    fn enter(&mut self, status: Status) {
        self.status = status;
        self.attempt += u32::from(status == Status::Running);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_store_follows_the_table_of_transitions(operations in prop::collection::vec(operation(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_dir, store) = open().await;
            let mut expected = Vec::new();
            let mut clock = DateTime::UNIX_EPOCH;
            for operation in operations {
                clock += TimeDelta::seconds(1);
                apply(&store, &mut expected, operation, clock).await;
                for run in &expected {
                    let found = store.run(run.id).await.unwrap();
                    assert_eq!((found.status, found.attempt), (run.status, run.attempt), "after {operation:?}");
                    assert_consistent(&store, run.id).await;
                }
            }
        });
    }
}

async fn apply(store: &Store, expected: &mut Vec<Expected>, operation: Operation, clock: DateTime<Utc>) {
    let n_runs = expected.len();
    let pick = |i: usize| (n_runs > 0).then(|| i % n_runs);
    match operation {
        Operation::Submit(priority, memory) => {
            let run = Run { priority, memory_bytes: memory, ..train_run("m") };
            let (run, _) = store.insert_run(run).await.unwrap();
            let (status, attempt) = (Status::Queued, 0);
            expected.push(Expected { id: run.id, priority, status, attempt, memory, until: clock });
        }
        Operation::Claim => {
            let at_work: Vec<_> = expected.iter().filter(|run| run.is_held()).map(|run| run.memory).collect();
            let used: u64 = at_work.iter().sum();
            let queued = expected.iter_mut().filter(|run| run.status == Status::Queued);
            let first = queued
                .min_by_key(|run| (run.priority, run.id))
                .filter(|run| at_work.is_empty() || used + run.memory <= MEMORY);
            let terms = Terms { until: clock + TimeDelta::seconds(LEASE), memory: MEMORY };
            let claimed = store.claim(terms).await.unwrap().map(|(run, _)| run.id);
            assert_eq!(claimed, first.as_ref().map(|run| run.id));
            if let Some(run) = first {
                run.enter(Status::Running);
                run.until = terms.until;
            }
        }
        Operation::Renew(i) => {
            let Some(run) = pick(i).map(|i| &mut expected[i]) else { return };
            let until = clock + TimeDelta::seconds(LEASE);
            let older = Fence(run.attempt.wrapping_sub(1));
            store.renew(&[(run.id, older)], DateTime::<Utc>::MAX_UTC).await.unwrap();
            store.renew(&[(run.id, Fence(run.attempt))], until).await.unwrap();
            // nobody holds the others: there is no claim to renew
            if run.is_held() {
                run.until = until;
            }
        }
        Operation::Lapse => {
            let lapsed: Vec<_> =
                expected.iter().filter(|run| run.is_held() && run.until < clock).map(|run| run.id).collect();
            let taken_back = store.reconcile(Some(clock)).await.unwrap();
            assert_eq!(taken_back.len(), lapsed.len());
            follow_taking_back(store, expected, &lapsed).await;
        }
        Operation::Step(i, status) => {
            let Some(run) = pick(i).map(|i| &mut expected[i]) else { return };
            // those endings bring more than a status with them
            if matches!(status, Status::Succeeded | Status::Failed) {
                return;
            }
            let result = store.advance(run.id, None, RunChange::to(status), vec![]).await;
            if run.status.can_become(status) {
                assert_eq!(result.unwrap().0.status, status);
                run.enter(status);
            } else {
                assert!(matches!(result, Err(StoreError::WrongState { actual }) if actual == run.status));
            }
        }
        Operation::Epoch(i) => {
            let Some(run) = pick(i).map(|i| expected[i]) else { return };
            let epoch = NewEvent { kind: EventKind::Epoch, data: json!({ "epoch": 1 }) };
            let fence = Some(Fence(run.attempt));
            let result = store.advance(run.id, fence, RunChange::default(), vec![epoch]).await;
            assert_eq!(result.is_ok(), run.is_held());
        }
        Operation::Fail(i) => {
            let Some(run) = pick(i).map(|i| &mut expected[i]) else { return };
            let result = store.advance(run.id, Some(Fence(run.attempt)), broken(), vec![]).await;
            assert_eq!(result.is_ok(), run.is_held());
            if run.is_held() {
                run.status = Status::Failed;
            }
        }
        Operation::Publish(i) => {
            let Some(run) = pick(i).map(|i| &mut expected[i]) else { return };
            let result = store.publish(run.id, Fence(run.attempt), product()).await;
            assert_eq!(result.is_ok(), run.is_held());
            if run.is_held() {
                run.status = Status::Succeeded;
            }
        }
        Operation::Zombie(i) => {
            let Some(run) = pick(i).map(|i| expected[i]) else { return };
            let older = Fence(run.attempt.wrapping_sub(1));
            let result = store.publish(run.id, older, product()).await;
            assert!(matches!(result, Err(StoreError::LostClaim)));
        }
        Operation::Restart => {
            store.reconcile(None).await.unwrap();
            let held: Vec<_> = expected.iter().filter(|run| run.is_held()).map(|run| run.id).collect();
            follow_taking_back(store, expected, &held).await;
        }
        Operation::Delete(i) => {
            let Some(i) = pick(i) else { return };
            let result = store.delete_run(expected[i].id).await;
            assert_eq!(result.is_ok(), expected[i].status.is_terminal());
            if result.is_ok() {
                expected.remove(i);
            }
        }
    }
}

/// `held` were taken from their workers.
async fn follow_taking_back(store: &Store, expected: &mut [Expected], held: &[Uuid]) {
    for run in expected.iter_mut().filter(|run| held.contains(&run.id)) {
        let found = store.run(run.id).await.unwrap();
        let allowed: &[Status] = match run.status {
            Status::Canceling => &[Status::Canceled],
            Status::Pausing => &[Status::Paused],
            // after too many deaths it is given up
            _ => &[Status::Queued, Status::Failed],
        };
        assert!(allowed.contains(&found.status));
        run.status = found.status;
    }
}
