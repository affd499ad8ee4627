use super::*;
use crate::domain::{Run, Status};
use crate::store::fixtures::{assert_consistent, open, train_run};
use crate::store::upgrade::MIGRATIONS;
use crate::store::{NewEvent, RunChange};
use serde_json::json;
use sqlx::{Connection, SqliteConnection};

/// As much as there may be.
const ALL: u32 = u32::MAX;

async fn queued(store: &Store) -> Run {
    store.insert_run(train_run("m")).await.unwrap().0
}

async fn tell(store: &Store, run: &Run, kind: EventKind, n: usize) {
    let events = vec![NewEvent { kind, data: json!({}) }; n];
    store.advance(run.id, None, RunChange::default(), events).await.unwrap();
}

async fn end(store: &Store, run: &Run) {
    store.advance(run.id, None, RunChange::to(Status::Canceled), vec![]).await.unwrap();
}

async fn places(store: &Store, scope: &Scope, after: u64) -> Vec<u64> {
    let page = store.log(scope, None, after, ALL).await.unwrap();
    page.events.iter().map(|event| event.position).collect()
}

#[tokio::test]
async fn events_of_all_runs_have_places_in_the_order_of_their_commits() {
    let (_dir, store) = open().await;
    let (one, two) = (queued(&store).await, queued(&store).await);
    for _ in 0..3 {
        tell(&store, &two, EventKind::Phase, 2).await;
        tell(&store, &one, EventKind::Phase, 1).await;
    }
    let page = store.log(&Scope::All, None, 0, ALL).await.unwrap();
    let order: Vec<_> = page.events.iter().map(|event| (event.run == two.id, event.seq)).collect();
    let (first, second) = (false, true);
    let expected = [
        [(first, 1), (second, 1), (second, 2), (second, 3)],
        [(first, 2), (second, 4), (second, 5), (first, 3)],
    ]
    .concat();
    assert_eq!(order[..8], expected);
    assert_eq!(places(&store, &Scope::All, 0).await, (1..=11).collect::<Vec<_>>());
    assert_eq!((page.end, page.floor, page.latest), (11, 0, 11));
}

#[tokio::test]
async fn a_place_is_never_given_twice() {
    let (_dir, store) = open().await;
    let (kept, deleted) = (queued(&store).await, queued(&store).await);
    end(&store, &deleted).await;
    store.delete_run(deleted.id).await.unwrap();
    tell(&store, &kept, EventKind::Phase, 1).await;
    assert_eq!(places(&store, &Scope::All, 0).await, [1, 5]);
}

#[tokio::test]
async fn a_change_that_is_refused_takes_no_place() {
    let (_dir, store) = open().await;
    let run = queued(&store).await;
    store.advance(run.id, None, RunChange::to(Status::Succeeded), vec![]).await.unwrap_err();
    tell(&store, &run, EventKind::Phase, 1).await;
    assert_eq!(places(&store, &Scope::All, 0).await, [1, 2]);
}

#[tokio::test]
async fn a_page_says_how_far_it_is_complete() {
    let (_dir, store) = open().await;
    let (one, two) = (queued(&store).await, queued(&store).await);
    tell(&store, &one, EventKind::Phase, 3).await;
    tell(&store, &two, EventKind::Model, 3).await;
    let read = async |scope: &Scope, kinds: Option<&[EventKind]>, after, limit| {
        let page = store.log(scope, kinds, after, limit).await.unwrap();
        (page.events.iter().map(|event| scope.number(event)).collect::<Vec<_>>(), page.end)
    };
    let both = Scope::Runs(vec![one.id, two.id]);
    assert_eq!(read(&Scope::All, None, 2, 2).await, (vec![3, 4], 4));
    assert_eq!(read(&both, None, 2, 9).await, (vec![3, 4, 5, 6, 7, 8], 8));
    // what is filtered away is behind the reader too
    assert_eq!(read(&Scope::Runs(vec![one.id]), None, 0, 9).await, (vec![1, 3, 4, 5], 8));
    assert_eq!(read(&Scope::Run(one.id), None, 0, 9).await, (vec![1, 2, 3, 4], 4));
    assert_eq!(read(&Scope::All, Some(&[EventKind::Model]), 0, 2).await, (vec![6, 7], 7));
    assert_eq!(read(&both, Some(&[EventKind::Model, EventKind::Status]), 1, 9).await, (vec![2, 6, 7, 8], 8));
    assert_eq!(read(&Scope::Run(two.id), Some(&[EventKind::Epoch]), 0, 9).await, (vec![], 4));
    assert_eq!(read(&Scope::All, None, u64::MAX, 9).await, (vec![], u64::MAX));
    let none = Scope::Run(Uuid::now_v7());
    assert!(matches!(store.log(&none, None, 0, 9).await, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn beyond_their_number_the_logs_of_ended_runs_are_cut_down_to_their_last_event() {
    let (_dir, store) = open().await;
    let (old, long, young) = (queued(&store).await, queued(&store).await, queued(&store).await);
    tell(&store, &old, EventKind::Phase, 5).await;
    tell(&store, &long, EventKind::Phase, 1).await;
    end(&store, &old).await;
    // 4..=8 phases, 9, then 10 and 11 for the end
    tell(&store, &young, EventKind::Phase, 4).await;
    end(&store, &young).await;

    let keep = |events| Retention { events, days: None };
    assert_eq!(store.prune(keep(17), Utc::now()).await.unwrap(), 0);
    assert_eq!(places(&store, &Scope::All, 0).await.len(), 17);
    // the end of the young one lies above the floor, and so all it did before stays
    assert_eq!(store.prune(keep(3), Utc::now()).await.unwrap(), 1);
    assert_eq!(store.prune(keep(3), Utc::now()).await.unwrap(), 0);
    assert_eq!(places(&store, &Scope::All, 0).await, [15, 16, 17]);
    assert_eq!(places(&store, &Scope::Runs(vec![young.id]), 0).await, [15, 16, 17]);
    let page = store.log(&Scope::Run(old.id), None, 0, ALL).await.unwrap();
    assert_eq!(page.events.iter().map(|event| event.kind).collect::<Vec<_>>(), [EventKind::Done]);
    assert_eq!((page.floor, page.latest, page.end), (7, 8, 8));
    // whole: one goes on, the other's end is still in the log of all
    for run in [&long, &young] {
        assert_consistent(&store, run.id).await;
    }
    // a smaller floor than before is none
    assert_eq!(store.prune(keep(1_000), Utc::now()).await.unwrap(), 0);
    assert_eq!(places(&store, &Scope::All, 0).await, [15, 16, 17]);
    // a run may end below the floor later on
    tell(&store, &long, EventKind::Phase, 1).await;
    end(&store, &long).await;
    assert_eq!(store.prune(keep(0), Utc::now()).await.unwrap(), 2);
    assert_eq!(places(&store, &Scope::All, 0).await, [] as [u64; 0]);
    assert_eq!(store.run(long.id).await.unwrap().status, Status::Canceled);
}

#[tokio::test]
async fn beyond_their_age_too() {
    let (_dir, store) = open().await;
    let (ended, going_on) = (queued(&store).await, queued(&store).await);
    end(&store, &ended).await;
    let keep = Retention { events: u64::MAX, days: Some(30) };
    let days = |n| Utc::now() + chrono::TimeDelta::days(n);
    assert_eq!(store.prune(keep, days(29)).await.unwrap(), 0);
    assert_eq!(places(&store, &Scope::All, 0).await, [1, 2, 3, 4]);
    assert_eq!(store.prune(keep, days(31)).await.unwrap(), 1);
    assert_eq!(places(&store, &Scope::All, 0).await, [] as [u64; 0]);
    tell(&store, &going_on, EventKind::Phase, 1).await;
    assert_eq!(places(&store, &Scope::All, 0).await, [5]);
    assert_consistent(&store, going_on.id).await;
}

#[tokio::test]
async fn pruning_takes_some_runs_at_a_time() {
    let (_dir, store) = open().await;
    for _ in 0..20 {
        end(&store, &queued(&store).await).await;
    }
    let keep = Retention { events: 0, days: None };
    let mut pruned = Vec::new();
    for _ in 0..3 {
        pruned.push(store.prune(keep, Utc::now()).await.unwrap());
    }
    assert_eq!(pruned, [16, 4, 0]);
}

#[tokio::test]
async fn what_was_stored_before_there_were_places_gets_them_by_time_and_number() {
    let mut database = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let ours = MIGRATIONS.iter().position(|migration| migration.description == "event log").unwrap();
    let mut migrations = MIGRATIONS.iter();
    for migration in migrations.by_ref().take(ours) {
        sqlx::raw_sql(migration.sql.clone()).execute(&mut database).await.unwrap();
    }
    let run =
        "insert into run (run_id, kind, status, model, work, dataset, seed, epoch, epochs, last_seq, attempt,
        n_lost, tags, created_ms) values ($1, 'train', 'queued', 'm', '', '', '1', 0, 1, 3, 0, 0, '{}', 1)";
    let event = "insert into event (run_id, seq, kind, data, at_ms) values ($1, $2, 'phase', '{}', $3)";
    // the clock was put back while `b` ran
    for (id, times) in [("a", [1, 4, 9]), ("b", [2, 8, 3])] {
        sqlx::query(run).bind(id).execute(&mut database).await.unwrap();
        for (seq, at_ms) in (1..).zip(times) {
            sqlx::query(event).bind(id).bind(seq).bind(at_ms).execute(&mut database).await.unwrap();
        }
    }
    sqlx::raw_sql(migrations.next().unwrap().sql.clone()).execute(&mut database).await.unwrap();
    let placed: Vec<(String, i64)> = sqlx::query_as("select run_id, seq from event order by position")
        .fetch_all(&mut database)
        .await
        .unwrap();
    let placed: Vec<(&str, i64)> = placed.iter().map(|(id, seq)| (id.as_str(), *seq)).collect();
    assert_eq!(placed, [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("b", 3), ("a", 3)]);
    let log: (i64, i64) = sqlx::query_as(BOUNDS).fetch_one(&mut database).await.unwrap();
    assert_eq!(log, (0, 6));
}
