//! Scheduled runs: flushes of due tails, and merges that are dispatched or run.

use std::{fmt::Write, sync::Arc, time::Duration};

use neap_bucket::{Get, GetOptions, Key, KeyClass, Operation, PutMode};
use neap_row_delete::Condition;
use neap_wal::Segment;
use ulid::Ulid;

use super::test_bed::{CompactTestBed, DAY, EventQueue, NOW};
use crate::CompactorEvent;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_idle_run_costs_one_list_for_any_number_of_databases() {
    let stage = CompactTestBed::new().await;
    for databases in [0, 1, 5] {
        for number in 0..databases {
            let name = format!("idle{databases}x{number}");
            stage.write(&name, &format!("m v=1 {NOW}")).await;
        }
        stage.scheduled(20 * MINUTE).await;
        stage.scheduled(20 * MINUTE).await;
        assert_eq!(stage.keys("tail/").await, [] as [String; 0]);
        let idle = stage.counted(stage.scheduled(MINUTE));
        let (report, counts) = idle.await;
        assert_eq!(report, crate::CompactionReport::default());
        assert_eq!(counts.requests(Operation::List), 1);
        for operation in [Operation::Get, Operation::Put, Operation::Delete] {
            assert_eq!(counts.requests(operation), 0, "{operation}");
        }
    }
}

#[tokio::test]
async fn a_young_and_short_tail_is_left_alone_and_an_old_one_is_flushed() {
    let stage = CompactTestBed::with_rows(&format!("m v=1 {NOW}")).await;
    let report = stage.scheduled(MINUTE).await;
    assert_eq!((report.flushes, report.collected.segments), (0, 0));
    let report = stage.scheduled(10 * MINUTE).await;
    assert_eq!(report.flushes, 1);
    assert_eq!(report.tails.segments, 1);
    assert!(report.tails.bytes > 0);
    assert!(report.tails.oldest >= 11 * MINUTE);
    assert_eq!(stage.manifest("db").await.section_count(), 1);
    assert_eq!(stage.keys("tail/").await.len(), 1);
    // The tail looks due until its segments are deleted, but is not flushed again.
    stage.write("db", &format!("m v=2 {NOW}")).await;
    let report = stage.scheduled(3 * MINUTE).await;
    assert_eq!((report.flushes, report.collected.segments), (0, 1));
    assert_eq!(stage.scheduled(10 * MINUTE).await.flushes, 1);
    let report = stage.scheduled(12 * MINUTE).await;
    assert_eq!(report.collected.segments, 1);
    assert_eq!(stage.keys("tail/").await.len(), 0);
}

#[tokio::test]
async fn the_tail_of_a_hidden_copy_is_left_to_its_backup() {
    let stage = CompactTestBed::with_rows(&format!("m v=1 {NOW}")).await;
    let source = stage.id("db").await;
    let copies = stage.catalog.add_backup_copies(Ulid(7), "b", &[source]).await;
    let copy = copies.unwrap()[0].copy;
    let keys = stage.keys("tail/").await;
    let Ok(key @ Key::Segment(_, name)) = keys[0].parse() else {
        panic!("{keys:?}");
    };
    let got = stage.bucket.get(&key, GetOptions::default()).await.unwrap();
    let Get::Found(object) = got.value else {
        panic!("{key}");
    };
    let segment = Segment::decode(source, name, object.bytes).unwrap();
    let moved = segment.moved_to(copy, 1).unwrap();
    let moved_key = Key::Segment(copy, name);
    let put = stage.bucket.put(&moved_key, moved.object().clone(), PutMode::Overwrite);
    put.await.unwrap();
    assert_eq!(stage.scheduled(20 * MINUTE).await.flushes, 1);
    let manifest = stage.manifests.read(copy, None).await.unwrap();
    assert_eq!(manifest.version, 0);
}

#[tokio::test]
async fn a_flush_costs_the_same_for_one_table_and_for_five_hundred() {
    let mut costs = Vec::new();
    for tables in [1, 500] {
        let stage = CompactTestBed::new().await;
        let mut lines = String::new();
        for table in 0..tables {
            writeln!(lines, "m{table},host=a v=1 {NOW}").unwrap();
        }
        stage.write("db", &lines).await;
        stage.pass(10 * MINUTE);
        let id = stage.id("db").await;
        let compactor = stage.compactor();
        let (flushed, counts) = stage.counted(compactor.flush(id)).await;
        flushed.unwrap();
        let each = Operation::ALL.map(|operation| counts.requests(operation));
        costs.push(each);
        assert_eq!(stage.manifest("db").await.section_count(), tables);
    }
    // Manifest, catalog and segment; bundle, commit and the record of the first manifest; one listing.
    assert_eq!(costs, [[3, 3, 1, 0]; 2]);
}

#[tokio::test]
async fn a_scheduled_run_that_flushes_also_lists_the_tail_and_plans() {
    let stage = CompactTestBed::with_rows(&format!("m v=0 {NOW}")).await;
    assert_eq!(stage.scheduled(11 * MINUTE).await.flushes, 1);
    for number in 1..4 {
        stage.write("db", &format!("m v={number} {NOW}")).await;
    }
    let (report, counts) = stage.counted(stage.scheduled(11 * MINUTE)).await;
    assert_eq!((report.flushes, report.collected.segments), (1, 1));
    // A listing of all tails, and one of the database's tail for its flush.
    assert_eq!(counts.requests(Operation::List), 2);
    let gets = |class| counts.of(Operation::Get, class).requests;
    assert_eq!(gets(KeyClass::Tail), 3);
    assert_eq!(counts.requests(Operation::Get) - gets(KeyClass::Tail), 5);
    assert_eq!(counts.requests(Operation::Put), 2);
}

#[tokio::test]
async fn a_day_that_is_written_to_is_merged_when_it_has_many_sections() {
    let stage = CompactTestBed::new().await;
    stage.write_sections("db", 7).await;
    stage.write("db", &format!("m,host=a v=9 {}", NOW + 9)).await;
    assert_eq!(stage.manifest("db").await.section_count(), 7);
    let report = stage.scheduled(10 * MINUTE).await;
    assert_eq!((report.flushes, report.merges), (1, 1));
    let manifest = stage.manifest("db").await;
    assert_eq!(manifest.section_count(), 1);
    assert_eq!(manifest.sections[0].rows, 8);
    assert_eq!(manifest.claims, []);
    assert_eq!(manifest.jobs.last().unwrap().inputs, 8);
}

#[tokio::test]
async fn a_merge_costs_a_read_of_each_input_and_two_puts() {
    let stage = CompactTestBed::new().await;
    stage.write_sections("db", 8).await;
    let queue = Arc::new(EventQueue::default());
    let id = stage.id("db").await;
    let planner = stage.compactor_with(Some(Arc::clone(&queue) as _));
    let (report, planned) = stage.counted(planner.after_flush(id, None)).await;
    assert_eq!(report.unwrap().handed_out, 1);
    // The claims of all jobs are one commit.
    assert_eq!(planned.requests(Operation::Put), 1);
    let [order] = queue.take().try_into().unwrap();
    let worker = stage.compactor();
    let (report, counts) = stage.counted(worker.handle(&order, None)).await;
    assert_eq!(report.unwrap().merges, 1);
    assert_eq!(counts.of(Operation::Get, KeyClass::Data).requests, 8);
    assert_eq!(counts.of(Operation::Get, KeyClass::Manifest).requests, 1);
    assert_eq!(counts.requests(Operation::Put), 2);
    assert_eq!(counts.requests(Operation::List), 0);
}

#[tokio::test]
async fn an_order_survives_json_and_is_run_once() {
    let stage = CompactTestBed::new().await;
    stage.write_sections("db", 8).await;
    let queue = Arc::new(EventQueue::default());
    let id = stage.id("db").await;
    let planner = stage.compactor_with(Some(Arc::clone(&queue) as _));
    planner.after_flush(id, None).await.unwrap();
    let again = planner.after_flush(id, None).await.unwrap();
    assert_eq!(again.handed_out, 0, "the range is claimed");
    let [event]: [CompactorEvent; 1] = queue.take().try_into().unwrap();
    let text = serde_json::to_string(&event).unwrap();
    let event: CompactorEvent = serde_json::from_str(&text).unwrap();
    let merged = stage.compactor().handle(&event, None).await.unwrap();
    assert_eq!(merged.merges, 1);
    let late = stage.compactor().handle(&event, None).await.unwrap();
    assert_eq!((late.merges, late.failures), (0, vec![]));
    assert_eq!(stage.manifest("db").await.section_count(), 1);
}

#[tokio::test]
async fn a_claim_whose_worker_died_is_planned_again_when_it_expires() {
    let stage = CompactTestBed::new().await;
    stage.write_sections("db", 8).await;
    let queue = Arc::new(EventQueue::default());
    let id = stage.id("db").await;
    let planner = stage.compactor_with(Some(Arc::clone(&queue) as _));
    planner.after_flush(id, None).await.unwrap();
    queue.take();
    stage.pass(14 * MINUTE);
    assert_eq!(planner.after_flush(id, None).await.unwrap().handed_out, 0);
    stage.pass(2 * MINUTE);
    assert_eq!(planner.after_flush(id, None).await.unwrap().handed_out, 1);
}

#[tokio::test]
async fn an_invocation_without_time_reports_unfinished_work() {
    let stage = CompactTestBed::with_rows(&format!("m v=1 {NOW}")).await;
    stage.pass(20 * MINUTE);
    let compactor = stage.compactor();
    let report = compactor
        .handle(&CompactorEvent::Scheduled, Some(Duration::ZERO))
        .await
        .unwrap();
    assert!(report.unfinished);
    assert_eq!(report.flushes, 0);
}

#[tokio::test]
async fn deleted_rows_leave_their_section_after_ten_minutes() {
    let stage = CompactTestBed::new().await;
    let lines = format!("m,host=a v=1 {NOW}\nm,host=b v=2 {NOW}");
    stage.write("db", &lines).await;
    stage.flush("db").await;
    let host = Condition::Tag { name: "host".to_owned(), value: Some("a".to_owned()) };
    stage.delete("db", host).await;
    stage.flush("db").await;
    assert_eq!(stage.look(9 * MINUTE).await.merges, 0);
    assert_eq!(stage.look(MINUTE).await.merges, 1);
    let manifest = stage.manifest("db").await;
    let rows: Vec<_> = manifest.sections.iter().map(|one| one.rows).collect();
    assert_eq!(rows, [1]);
}

#[tokio::test]
async fn settled_days_become_one_section_and_small_ones_share_a_range() {
    let stage = CompactTestBed::new().await;
    for day in 0..12 {
        let time = NOW - (40 - day) * DAY;
        for part in 0..3 {
            stage.write("db", &format!("m,host=a v={part} {}", time + part)).await;
            stage.flush("db").await;
        }
    }
    let report = stage.look(26 * 60 * MINUTE).await;
    assert!(report.merges > 0);
    let manifest = stage.manifest("db").await;
    assert!(manifest.section_count() <= 3, "{:?}", manifest.sections);
    let rows: u64 = manifest.sections.iter().map(|section| section.rows).sum();
    assert_eq!(rows, 36);
}
