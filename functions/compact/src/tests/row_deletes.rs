//! Merges that apply row deletes: after a while, or at once if there are many.

use std::{collections::BTreeSet, time::Duration};

use neap_manifest::CondemnedEntry;
use neap_row_delete::Condition;

use super::test_bed::{CompactTestBed, DAY, NOW};
use crate::MergePolicy;

/// Returns the condition of rows of `host`, with another alternative of `bytes` bytes that no row matches.
fn of_host(host: &str, bytes: usize) -> Condition {
    let tag = |value: String| Condition::Tag { name: "host".to_owned(), value: Some(value) };
    tag(host.to_owned()).or(tag("a".repeat(bytes)))
}

/// Returns a database with a section for each of 24 days, the oldest of them in pages.
async fn database_with_pages() -> CompactTestBed {
    let stage = CompactTestBed::new().await;
    for day in 0..24 {
        let time = NOW - day * DAY;
        let line = |host| format!("m,host=h{host} v=1 {time}");
        let lines: Vec<String> = (0..20).map(line).collect();
        stage.write("db", &lines.join("\n")).await;
        stage.flush_to_pages("db", 12).await;
    }
    assert!(!stage.manifest("db").await.pages.is_empty());
    stage
}

#[tokio::test]
async fn many_deletes_are_applied_to_all_days_at_the_next_flush() {
    let stage = database_with_pages().await;
    let id = stage.id("db").await;
    stage.delete("db", of_host("h0", 10)).await;
    stage.flush("db").await;
    let report = stage.compactor().after_flush(id, None).await.unwrap();
    assert_eq!(report.merges, 0);
    assert!(stage.manifest("db").await.delete_bytes().pending > 0);
    for host in 1..20 {
        stage.delete("db", of_host(&format!("h{host}"), 16_000)).await;
    }
    stage.flush("db").await;
    let pending = stage.manifest("db").await.delete_bytes().pending;
    assert!(pending > MergePolicy::default().max_delete_bytes);
    let report = stage.compactor().after_flush(id, None).await.unwrap();
    assert_eq!((report.failures, report.merges), (Vec::new(), 24));
    let manifest = stage.manifest("db").await;
    assert_eq!(manifest.delete_bytes().pending, 0);
    assert_eq!(manifest.delete_bytes().applied, pending);
    // Earlier states need the deletes for an hour.
    stage.look(Duration::from_secs(2 * 3_600)).await;
    assert_eq!(stage.manifest("db").await.delete_bytes().applied, 0);
}

#[tokio::test]
async fn sections_that_are_too_large_for_merges_lose_deleted_rows_and_leave_their_bundle() {
    let hour = Duration::from_secs(3_600);
    let mut stage = CompactTestBed::new().await;
    stage.write("db", &format!("m,host=a v=1 {NOW}\nu,host=a v=1 {NOW}")).await;
    stage.flush("db").await;
    stage.write("db", &format!("m,host=b v=1 {NOW}")).await;
    stage.flush("db").await;
    assert_eq!(stage.look(hour).await.merges, 1);
    stage.look_times(3, 2 * hour).await;
    // The bundle has dropped rows of `m`, and a live section of `u`.
    stage.delete("db", of_host("a", 10)).await;
    stage.flush("db").await;
    stage.policy.max_output_bytes = 1;
    assert!(stage.look(hour).await.merges > 0);
    assert_eq!(stage.manifest("db").await.delete_bytes().pending, 0);
    let mut emptied = BTreeSet::new();
    for _ in 0..6 {
        stage.look(2 * hour).await;
        let manifest = stage.manifest("db").await;
        emptied.extend(manifest.condemned.iter().filter_map(CondemnedEntry::bundle));
    }
    assert!(!emptied.is_empty());
    assert_eq!(stage.manifest("db").await.condemned, []);
}
