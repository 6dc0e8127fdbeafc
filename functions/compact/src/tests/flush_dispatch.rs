//! Flushes dispatched to other invocations.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use neap_bucket::Operation;
use neap_catalog::HardDelete;
use neap_schema::DatabaseId;

use super::test_bed::{CompactTestBed, EventQueue, NOW};
use crate::{CompactionReport, Compactor, CompactorEvent, EventDispatcher, FlushRequest};

const MINUTE: Duration = Duration::from_secs(60);

/// Time limit with which a run flushes 20 small tails itself.
const SHORT: Option<Duration> = Some(Duration::from_millis(2_400));

async fn run(compactor: &Compactor, event: &CompactorEvent) -> CompactionReport {
    let report = compactor.handle(event, SHORT).await.unwrap();
    assert_eq!(report.failures, []);
    report
}

fn order(databases: &[DatabaseId]) -> CompactorEvent {
    CompactorEvent::Flush(FlushRequest { databases: databases.to_vec() })
}

/// Creates fifty databases with due tails.
async fn fifty() -> (CompactTestBed, Vec<DatabaseId>, Arc<EventQueue>, Compactor) {
    let stage = CompactTestBed::new().await;
    let databases = stage.write_databases(50).await;
    stage.pass(11 * MINUTE);
    let queue = Arc::new(EventQueue::default());
    let planner = stage.compactor_with(Some(Arc::clone(&queue) as _));
    (stage, databases, queue, planner)
}

#[tokio::test]
async fn excess_tails_are_dispatched_in_groups() {
    let (stage, databases, queue, planner) = fifty().await;
    let report = run(&planner, &CompactorEvent::Scheduled).await;
    assert_eq!((report.flushes, report.flushes_handed_out), (20, 30));
    assert!(!report.unfinished);
    let orders = queue.take();
    assert_eq!(orders.len(), 1);
    assert_eq!(stage.flushed(&databases).await, 20);

    // The tails are not dispatched again while a worker may be flushing them, and they still count as tails.
    stage.pass(MINUTE);
    let (report, counts) = stage.counted(run(&planner, &CompactorEvent::Scheduled)).await;
    assert_eq!((report.flushes, report.flushes_handed_out), (0, 0));
    assert_eq!(report.tails.segments, 30);
    assert!(report.tails.oldest >= 12 * MINUTE);
    assert_eq!(counts.to_string(), "1 list tail");

    let worker = stage.compactor();
    let (report, counts) = stage.counted(run(&worker, &orders[0])).await;
    assert_eq!(report.flushes, 30);
    assert_eq!(stage.flushed(&databases).await, 50);
    // The root catalog once; for each database, one listing to see what is due, and one to flush it. Each first manifest is
    // recorded.
    let each = Operation::ALL.map(|operation| counts.requests(operation));
    assert_eq!(each, [1 + 5 * 30, 3 * 30, 2 * 30, 0]);

    // The same order is delivered again, to another worker.
    let worker = stage.compactor();
    let (report, counts) = stage.counted(run(&worker, &orders[0])).await;
    assert_eq!((report.flushes, report.unfinished), (0, false));
    let each = Operation::ALL.map(|operation| counts.requests(operation));
    assert_eq!(each, [1 + 30, 0, 30, 0]);
}

#[tokio::test]
async fn an_order_that_is_lost_is_made_again() {
    let (stage, databases, queue, planner) = fifty().await;
    run(&planner, &CompactorEvent::Scheduled).await;
    let [lost]: [CompactorEvent; 1] = queue.take().try_into().unwrap();
    stage.pass(6 * MINUTE);
    let report = run(&planner, &CompactorEvent::Scheduled).await;
    assert!(report.flushes + report.flushes_handed_out >= 30);
    for event in queue.take() {
        run(&stage.compactor(), &event).await;
    }
    assert_eq!(stage.flushed(&databases).await, 50);
    // If the order arrives late, nothing is left to do.
    assert_eq!(run(&stage.compactor(), &lost).await.flushes, 0);
}

#[tokio::test]
async fn segments_written_after_a_dispatch_become_due_on_their_own() {
    let (stage, _, queue, planner) = fifty().await;
    run(&planner, &CompactorEvent::Scheduled).await;
    let handed_out = queue.take();
    let CompactorEvent::Flush(order) = &handed_out[0] else {
        panic!("{handed_out:?}");
    };
    let root = stage.catalog.root(neap_catalog::ANY_AGE).await.unwrap();
    let entry = root.value.databases().get(&order.databases[0]).unwrap();
    for number in 0..300 {
        stage.write(&entry.name, &format!("m v={number} {NOW}")).await;
    }
    stage.pass(MINUTE);
    let report = run(&planner, &CompactorEvent::Scheduled).await;
    assert_eq!(report.flushes, 1);
}

#[tokio::test]
async fn an_order_skips_databases_that_are_dropped_unknown_or_not_due() {
    let stage = CompactTestBed::new().await;
    let databases = stage.write_databases(3).await;
    stage.pass(11 * MINUTE);
    let delete = stage.catalog.delete_database("db0", HardDelete::After(MINUTE));
    delete.await.unwrap();
    stage.look(2 * MINUTE).await;
    stage.flush("db1").await;
    stage.write("db1", &format!("m v=2 {NOW}")).await;
    let mut named = databases.clone();
    named.extend([databases[2], DatabaseId::new(99)]);
    let report = run(&stage.compactor(), &order(&named)).await;
    assert_eq!((report.flushes, report.unfinished), (1, false));
    let manifest = stage.manifest("db2").await;
    assert_eq!(manifest.section_count(), 1);
    assert_eq!(run(&stage.compactor(), &order(&[])).await, CompactionReport::default());
}

/// A queue that accepts nothing.
#[derive(Debug)]
struct ClosedQueue;

#[async_trait]
impl EventDispatcher for ClosedQueue {
    async fn dispatch(&self, _event: CompactorEvent) -> Result<(), String> {
        Err("the queue is closed".to_owned())
    }
}

#[tokio::test]
async fn tails_that_cannot_be_dispatched_are_flushed_locally() {
    let (stage, databases, ..) = fifty().await;
    let planner = stage.compactor_with(Some(Arc::new(ClosedQueue)));
    let report = planner.handle(&CompactorEvent::Scheduled, SHORT).await.unwrap();
    assert_eq!((report.flushes, report.flushes_handed_out), (50, 0));
    let reasons: BTreeSet<_> = report.failures.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons, BTreeSet::from(["the queue is closed"]));
    assert_eq!(stage.flushed(&databases).await, 50);
}
