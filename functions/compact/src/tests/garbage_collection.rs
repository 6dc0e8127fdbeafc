//! Garbage collection of expired sections, dropped tables and databases, and unreferenced objects.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use neap_bucket::{Get, GetOptions, Key, KeyClass, Operation, PurgePolicy, PutMode, Store};
use neap_catalog::{CopyOptions, DocumentKind, DocumentStore, HardDelete, NewDocument};
use neap_manifest::{JobKind, Manifest, Section};

use super::test_bed::{CompactTestBed, DAY, NOW};
use crate::CompactorEvent;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn expired_sections_leave_unread_and_stay_away_when_retention_is_lifted() {
    let stage = CompactTestBed::new().await;
    for age in [10, 5, 1] {
        stage.write("db", &format!("m,host=a v=1 {}", NOW - age * DAY)).await;
        stage.flush("db").await;
    }
    let id = stage.id("db").await;
    stage.catalog.set_retention(id, Some(7 * 24 * HOUR)).await.unwrap();
    let (report, counts) = stage.counted(stage.look(HOUR)).await;
    assert_eq!(report.removed, 1);
    let of_data = |operation| counts.of(operation, KeyClass::Data).requests;
    let merged = report.merges as u64;
    assert!(of_data(Operation::Get) <= 2 * merged, "the expired one is not read");
    let manifest = stage.manifest("db").await;
    assert!(manifest.jobs.iter().any(|job| job.kind == JobKind::Expire));
    stage.catalog.set_retention(id, None).await.unwrap();
    stage.look(HOUR).await;
    let rows = |sections: &[Arc<Section>]| -> u64 { sections.iter().map(|one| one.rows).sum() };
    assert_eq!(rows(&stage.manifest("db").await.sections), 2);
}

#[tokio::test]
async fn objects_are_deleted_after_the_time_travel_period_and_not_before() {
    let stage = CompactTestBed::new().await;
    for number in 0..2 {
        stage.write("db", &format!("m,host=a v={number} {}", NOW + number)).await;
        stage.flush("db").await;
    }
    let inputs = stage.keys("data/").await;
    assert_eq!(inputs.len(), 2);
    assert_eq!(stage.look(HOUR).await.merges, 1);
    let outputs: Vec<_> = stage.keys("data/").await;
    assert_eq!(outputs.len(), 3);
    // Within the period they stay; the first collection after it condemns them, the second one deletes them.
    assert_eq!(stage.look(HOUR / 2).await.collected.objects, 0);
    assert_eq!(stage.look(HOUR).await.collected.objects, 0);
    assert_eq!(stage.keys("data/").await.len(), 3);
    assert_eq!(stage.look(HOUR).await.collected.objects, 2);
    let left = stage.keys("data/").await;
    assert_eq!(left.len(), 1);
    assert!(!inputs.contains(&left[0]));
    stage.look(HOUR).await;
    assert_eq!(stage.manifest("db").await.condemned, []);
}

#[tokio::test]
async fn orphans_are_deleted_after_a_day_and_foreign_keys_never() {
    let stage = CompactTestBed::with_rows(&format!("m v=1 {NOW}")).await;
    stage.flush("db").await;
    let id = stage.id("db").await;
    let orphans = [
        Key::Parquet(id, stage.bucket.draw_ulid()),
        Key::Bundle(id, stage.bucket.draw_ulid()),
    ];
    let alien = [
        format!("data/{id}/readme.txt"),
        format!("data/{id}/{}.sections", stage.bucket.draw_ulid()),
        "data/x".to_owned(),
    ];
    let body = Bytes::from_static(b"left by a crash");
    for orphan in &orphans {
        let put = stage.bucket.put(orphan, body.clone(), PutMode::Overwrite);
        put.await.unwrap();
    }
    for key in &alien {
        let put = stage.store.put(key, body.clone(), PutMode::Overwrite);
        put.await.unwrap();
    }
    assert_eq!(stage.look(23 * HOUR).await.collected.orphans, 0);
    assert_eq!(stage.look(2 * HOUR).await.collected.orphans, 2);
    assert_eq!(stage.look(2 * HOUR).await.collected.orphans, 0);
    assert_eq!(stage.look(2 * HOUR).await.collected.objects, 2);
    let left = stage.keys("data/").await;
    for orphan in &orphans {
        assert!(!left.contains(&orphan.to_string()), "{orphan}");
    }
    for key in &alien {
        let found = stage.store.get(key, GetOptions::default()).await.unwrap();
        assert!(matches!(found.value, Get::Found(_)), "{key}");
    }
    assert_eq!(stage.manifest("db").await.section_count(), 1);
}

#[tokio::test]
async fn a_dry_run_names_the_keys_and_changes_nothing() {
    let mut stage = CompactTestBed::new().await;
    for number in 0..2 {
        stage.write("db", &format!("m,host=a v={number} {}", NOW + number)).await;
        stage.flush("db").await;
    }
    stage.look_times(2, 2 * HOUR).await;
    stage.write("db", &format!("m,host=a v=5 {NOW}")).await;
    stage.flush("db").await;
    stage.collect.dry_run = true;
    let before = (stage.keys("data/").await, stage.keys("tail/").await);
    let (report, counts) = stage.counted(stage.look(2 * HOUR)).await;
    assert_eq!(report.collected.keys.len(), 3);
    assert_eq!(report.collected.objects, 2);
    assert_eq!(report.collected.segments, 1);
    assert_eq!(counts.requests(Operation::Delete), 0);
    assert_eq!(counts.requests(Operation::Put), 0);
    assert_eq!(before, (stage.keys("data/").await, stage.keys("tail/").await));
}

#[tokio::test]
async fn a_dropped_table_is_deleted_after_its_undelete_period() {
    let stage =
        CompactTestBed::with_rows(&format!("old,host=a v=1 {NOW}\nnew,host=a v=1 {NOW}")).await;
    stage.flush("db").await;
    let id = stage.id("db").await;
    let hard_delete = HardDelete::After(5 * HOUR);
    stage.catalog.delete_table(id, "old", hard_delete).await.unwrap();
    stage.look(4 * HOUR).await;
    assert_eq!(stage.manifest("db").await.section_count(), 2);
    assert_eq!(stage.look(2 * HOUR).await.removed, 1);
    assert_eq!(stage.manifest("db").await.section_count(), 1);
    // The bundle also has a section of the other table.
    stage.look_times(3, 2 * HOUR).await;
    assert_eq!(stage.keys("data/").await.len(), 1);
}

#[tokio::test]
async fn only_the_registers_of_a_dropped_database_remain() {
    let stage = CompactTestBed::with_rows(&format!("m,host=a v=1 {NOW}")).await;
    stage.flush("db").await;
    stage.write("db", &format!("m,host=a v=2 {NOW}")).await;
    let id = stage.id("db").await;
    stage.catalog.delete_database("db", HardDelete::NOW).await.unwrap();
    stage.look_times(4, 2 * HOUR).await;
    assert_eq!(stage.keys("data/").await, [] as [String; 0]);
    assert_eq!(stage.keys("tail/").await, [] as [String; 0]);
    let (report, _) = stage.counted(stage.look(HOUR)).await;
    assert_eq!(report.collected, Default::default());
    let root = stage.catalog.root(Duration::ZERO).await.unwrap();
    let now = stage.bucket.clock().now().unwrap();
    assert_eq!(root.value.due_databases(now).count(), 0);
    assert!(root.value.databases().contains_key(&id), "its id is not given again");
}

#[tokio::test]
async fn a_removed_database_leaves_the_catalog_after_a_day_with_late_objects() {
    let stage = CompactTestBed::with_rows(&format!("m,host=a v=1 {NOW}")).await;
    let id = stage.id("db").await;
    let document = NewDocument {
        name: "saved query".to_owned(),
        content: "{}".to_owned(),
        updated_by: None,
    };
    let documents = DocumentStore::new(&stage.catalog, id);
    documents.create(DocumentKind::Query, document).await.unwrap();
    assert_eq!(stage.keys("db/").await.len(), 2);
    let catalog = &stage.catalog;
    catalog.delete_database("db", HardDelete::NOW).await.unwrap();
    stage.look_times(4, 2 * HOUR).await;
    // Processes that were suspended during their PUTs.
    let kinds = Key::one_of_each_kind(id).into_iter();
    // The manifest is missing: one that is damaged stops the removal.
    let late: Vec<Key> = kinds
        .filter(|key| key.database() == Some(id) && *key != Key::Manifest(id))
        .collect();
    let foreign = format!("data/{id}/notes.txt");
    let texts = late.iter().map(Key::to_string);
    for key in texts.chain([foreign.clone()]) {
        let put = stage.store.put(&key, "late".into(), PutMode::Create);
        put.await.unwrap();
    }
    stage.look(HOUR).await;
    assert_eq!(stage.keys("tail/").await.len(), 1);

    stage.look(24 * HOUR).await;
    let root = catalog.root(Duration::ZERO).await.unwrap();
    assert!(!root.value.databases().contains_key(&id));
    let left = stage.keys("").await;
    for key in &late {
        let is_left = left.contains(&key.to_string());
        assert_eq!(is_left, key.policy().purge == PurgePolicy::Kept, "{key}");
    }
    assert!(left.contains(&foreign));
    assert_eq!(stage.keys("db/").await, [] as [String; 0]);
    stage.write("db", &format!("m,host=a v=1 {NOW}")).await;
    assert!(stage.id("db").await > id, "its id is not given again");
}

#[tokio::test]
async fn a_removed_table_leaves_the_catalog_when_it_is_unreferenced() {
    let stage = CompactTestBed::new().await;
    let lines = format!("old,host=a v=1 {NOW}\nnew,host=a v=1 {NOW}");
    stage.write("db", &lines).await;
    stage.flush("db").await;
    let id = stage.id("db").await;
    let catalog = &stage.catalog;
    let dropped = catalog.delete_table(id, "old", HardDelete::NOW);
    let table = dropped.await.unwrap();
    let is_known = async || {
        let known = catalog.database(id, Duration::ZERO).await.unwrap();
        known.value.table_by_id(table).is_some()
    };
    stage.look(2 * HOUR).await;
    stage.look(25 * HOUR).await;
    assert!(is_known().await, "the tail may have rows of it");
    stage.write("db", &format!("new,host=a v=2 {NOW}")).await;
    stage.flush("db").await;
    stage.look(HOUR).await;
    assert!(!is_known().await);
    stage.write("db", &lines).await;
    let known = catalog.database(id, Duration::ZERO).await.unwrap();
    assert!(known.value.table("old").unwrap().id() > table);
}

/// Restores the current state of a database as a new database.
async fn restore(stage: &CompactTestBed, source: &str, name: &str) {
    let source = stage.id(source).await;
    let manifest = stage.manifests.read(source, None).await.unwrap();
    let (version, view) = Manifest::at(&manifest, manifest.value.low_water_mark).unwrap();
    let options = CopyOptions::default();
    let copy = stage.catalog.create_copy(source, name, options).await.unwrap();
    let pinned = stage.manifests.pin(source, manifest, version, copy.id);
    pinned.await.unwrap();
    let adopted = stage.manifests.adopt(source, &view, copy.id, copy.catalog.version, &[]);
    adopted.await.unwrap();
    stage.catalog.publish_copy(copy.id).await.unwrap();
}

#[tokio::test]
async fn objects_stay_as_long_as_a_restore_of_a_restore_needs_them() {
    let stage = CompactTestBed::new().await;
    stage.write("a", &format!("m,host=a v=1 {NOW}")).await;
    stage.flush("a").await;
    let [object] = stage.keys("data/").await.try_into().unwrap();
    restore(&stage, "a", "b").await;
    restore(&stage, "b", "c").await;
    for dropped in ["a", "b"] {
        let at_once = HardDelete::NOW;
        stage.catalog.delete_database(dropped, at_once).await.unwrap();
        stage.look_times(6, 7 * HOUR).await;
        assert!(stage.keys("data/").await.contains(&object), "after {dropped}");
    }
    stage.catalog.delete_database("c", HardDelete::NOW).await.unwrap();
    stage.look_times(12, 7 * HOUR).await;
    assert_eq!(stage.keys("data/").await, [] as [String; 0]);
}

#[tokio::test]
async fn a_merge_that_fails_stops_neither_collection_nor_other_databases() {
    let stage = CompactTestBed::new().await;
    for database in ["broken", "well"] {
        for number in 0..2 {
            let line = format!("m,host=a v={number} {}", NOW + number);
            stage.write(database, &line).await;
            stage.flush(database).await;
        }
    }
    let broken = stage.id("broken").await;
    let objects = stage.keys(&Key::data_prefix(broken)).await;
    stage.store.delete(&objects[..1]).await.unwrap();
    stage.pass(HOUR);
    let report = stage.compactor().handle(&CompactorEvent::Collect, None).await.unwrap();
    let [(database, reason)] = &report.failures[..] else {
        panic!("{:?}", report.failures);
    };
    assert_eq!(*database, broken);
    assert!(reason.contains(&objects[0]), "{reason}");
    assert_eq!((report.merges, report.collected.segments), (1, 4));
}

#[tokio::test]
async fn rows_of_tasks_are_deleted_after_an_hour() {
    let stage = CompactTestBed::new().await;
    let [query, ulid] = [stage.bucket.draw_ulid(), stage.bucket.draw_ulid()];
    let key = Key::TaskResult(query, ulid);
    let body = Bytes::from_static(b"rows");
    let put = stage.bucket.put(&key, body, PutMode::Overwrite);
    put.await.unwrap();
    assert_eq!(stage.look(HOUR / 2).await.collected.results, 0);
    assert_eq!(stage.look(HOUR).await.collected.results, 1);
    assert_eq!(stage.keys("results/").await, [] as [String; 0]);
}

#[tokio::test]
async fn query_results_and_stale_node_records_are_deleted_after_a_day() {
    let stage = CompactTestBed::new().await;
    let ulid = stage.bucket.draw_ulid();
    for key in [Key::QueryResult(ulid, "parquet".to_owned()), Key::Node(ulid)] {
        let body = Bytes::from_static(b"rows");
        let put = stage.bucket.put(&key, body, PutMode::Overwrite);
        put.await.unwrap();
    }
    assert_eq!(stage.look(23 * HOUR).await.collected.results, 0);
    assert_eq!(stage.look(2 * HOUR).await.collected.results, 2);
    assert_eq!(stage.keys("results/").await, [] as [String; 0]);
    assert_eq!(stage.keys("nodes/").await, [] as [String; 0]);
}
