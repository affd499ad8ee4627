//! Random sequences of operations beside a model that knows nothing but `Status::can_become`.

use super::fixtures::{assert_consistent, broken, open, product, train_run};
use super::{Fence, NewEvent, RunChange, Store, StoreError};
use crate::domain::{EventKind, Priority, Run, Status};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Submit(Priority),
    Claim,
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
        2 => prop::sample::select(&Priority::ALL[..]).prop_map(Operation::Submit),
        3 => Just(Operation::Claim),
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
            for operation in operations {
                apply(&store, &mut expected, operation).await;
                for run in &expected {
                    let found = store.run(run.id).await.unwrap();
                    assert_eq!((found.status, found.attempt), (run.status, run.attempt), "after {operation:?}");
                    assert_consistent(&store, run.id).await;
                }
            }
        });
    }
}

async fn apply(store: &Store, expected: &mut Vec<Expected>, operation: Operation) {
    let n_runs = expected.len();
    let pick = |i: usize| (n_runs > 0).then(|| i % n_runs);
    match operation {
        Operation::Submit(priority) => {
            let (run, _) = store.insert_run(Run { priority, ..train_run("m") }).await.unwrap();
            expected.push(Expected { id: run.id, priority, status: Status::Queued, attempt: 0 });
        }
        Operation::Claim => {
            let queued = expected.iter_mut().filter(|run| run.status == Status::Queued);
            let first = queued.min_by_key(|run| (run.priority, run.id));
            let claimed = store.claim().await.unwrap().map(|(run, _)| run.id);
            assert_eq!(claimed, first.as_ref().map(|run| run.id));
            if let Some(run) = first {
                run.enter(Status::Running);
            }
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
            store.reconcile().await.unwrap();
            for run in expected.iter_mut().filter(|run| run.is_held()) {
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
