//! Commits that lose every race: the next run repeats their work, and the run does not fail.

use std::time::Duration;

use neap_schema::DatabaseId;

use super::test_bed::{CompactTestBed, DAY, NOW};
use crate::{CompactionReport, CompactorEvent};

const MINUTE: Duration = Duration::from_secs(60);

/// Number of races that a commit loses before its time limit.
const RACES: u64 = 3;

/// Asserts that a run changed no section, and postponed one job.
fn assert_postponed(report: &CompactionReport) {
    assert_eq!((report.postponed, &report.failures), (1, &vec![]));
    assert_eq!((report.flushes, report.merges, report.removed), (0, 0, 0));
    assert!(report.has_more());
}

/// Creates a database with a day that is due for a merge.
async fn prepared() -> (CompactTestBed, DatabaseId) {
    let stage = CompactTestBed::new().await;
    stage.write_sections("db", 8).await;
    let id = stage.id("db").await;
    (stage, id)
}

async fn merges_of_the_next_run(stage: &CompactTestBed, id: DatabaseId) -> usize {
    let report = stage.compactor().after_flush(id, None).await.unwrap();
    assert!(!report.has_more() && report.failures.is_empty());
    report.merges
}

#[tokio::test]
async fn a_plan_whose_claims_lose_is_repeated_by_the_next_run() {
    let (stage, id) = prepared().await;
    let compactor = stage.overtaken(id, 0..RACES);
    let report = compactor.after_flush(id, None).await.unwrap();
    assert_postponed(&report);
    assert_eq!(merges_of_the_next_run(&stage, id).await, 1);
}

#[tokio::test]
async fn a_merge_whose_commit_loses_releases_its_claim_for_the_next_run() {
    let (stage, id) = prepared().await;
    // The first commit is the claim.
    let compactor = stage.overtaken(id, 1..1 + RACES);
    let report = compactor.after_flush(id, None).await.unwrap();
    assert_postponed(&report);
    assert_eq!(stage.manifest("db").await.claims, []);
    assert_eq!(merges_of_the_next_run(&stage, id).await, 1);
}

#[tokio::test]
async fn a_claim_that_cannot_be_released_expires() {
    let (stage, id) = prepared().await;
    let compactor = stage.overtaken(id, 1..1 + 2 * RACES);
    let report = compactor.after_flush(id, None).await.unwrap();
    assert_postponed(&report);
    assert_eq!(merges_of_the_next_run(&stage, id).await, 0);
    stage.pass(15 * MINUTE);
    assert_eq!(merges_of_the_next_run(&stage, id).await, 1);
}

#[tokio::test]
async fn a_flush_whose_commit_loses_is_repeated_by_the_next_run() {
    let stage = CompactTestBed::with_rows(&format!("m v=1 {NOW}")).await;
    stage.pass(20 * MINUTE);
    let compactor = stage.overtaken(stage.id("db").await, 0..RACES);
    let report = compactor.handle(&CompactorEvent::Scheduled, None).await.unwrap();
    assert_postponed(&report);
    assert_eq!(stage.scheduled(MINUTE).await.flushes, 1);
}

#[tokio::test]
async fn an_expiry_whose_commit_loses_is_repeated_by_the_next_run() {
    let stage = CompactTestBed::new().await;
    let line = format!("m,host=a v=1 {}", NOW - 10 * DAY);
    stage.write("db", &line).await;
    stage.flush("db").await;
    let id = stage.id("db").await;
    let week = Some(7 * 24 * 60 * MINUTE);
    stage.catalog.set_retention(id, week).await.unwrap();
    let compactor = stage.overtaken(id, 0..RACES);
    let report = compactor.handle(&CompactorEvent::Collect, None).await.unwrap();
    assert_postponed(&report);
    assert_eq!(stage.look(MINUTE).await.removed, 1);
}
