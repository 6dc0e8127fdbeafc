//! Tests that no job takes a lost register for a new one, and that nothing is deleted without it.

use std::time::Duration;

use neap_bucket::{Key, Store};
use neap_catalog::{ANY_AGE, CopyOptions, HardDelete, RecordedRegister};
use neap_manifest::Manifest;
use neap_schema::DatabaseId;

use super::test_bed::{CompactTestBed, NOW};
use crate::{CompactorEvent, FlushResult};

const HOUR: Duration = Duration::from_secs(3600);

impl CompactTestBed {
    async fn lose(&self, key: &Key) {
        self.store.delete(&[key.to_string()]).await.unwrap();
    }

    /// Flushes rows twice and leaves others in the tail. Returns the database.
    async fn fill(&self, name: &str) -> DatabaseId {
        for number in 0..3 {
            self.write(name, &format!("m,host=a v={number} {}", NOW + number)).await;
            if number < 2 {
                self.flush(name).await;
            }
        }
        self.id(name).await
    }

    /// Runs every kind of job for days. Returns the failures.
    async fn run_for_days(&self) -> Vec<(DatabaseId, String)> {
        let mut failures = Vec::new();
        for _ in 0..10 {
            self.pass(13 * HOUR);
            for event in [CompactorEvent::Scheduled, CompactorEvent::Collect] {
                let report = self.compactor().handle(&event, None).await.unwrap();
                failures.extend(report.failures);
            }
        }
        failures
    }
}

#[tokio::test]
async fn the_catalog_records_the_manifest_at_the_first_flush() {
    let stage = CompactTestBed::with_rows(&format!("m v=1 {NOW}")).await;
    let id = stage.id("db").await;
    let is_recorded = async || {
        let catalog = stage.catalog.database(id, Duration::ZERO).await.unwrap();
        catalog.value.registers.contains(RecordedRegister::Manifest)
    };
    assert!(!is_recorded().await);
    stage.flush("db").await;
    assert!(is_recorded().await);
}

#[tokio::test]
async fn a_plan_records_a_manifest_whose_flush_was_interrupted() {
    let stage = CompactTestBed::new().await;
    let id = stage.fill("db").await;
    stage.catalog.forget_register(&Key::Manifest(id)).await.unwrap();
    stage.look(HOUR).await;
    let catalog = stage.catalog.database(id, Duration::ZERO).await.unwrap();
    assert!(catalog.value.registers.contains(RecordedRegister::Manifest));
}

#[tokio::test]
async fn nothing_is_flushed_or_deleted_while_a_manifest_is_lost() {
    let stage = CompactTestBed::new().await;
    let id = stage.fill("db").await;
    let key = Key::Manifest(id);
    stage.lose(&key).await;
    let objects = async || {
        let mut keys = stage.keys("data/").await;
        keys.extend(stage.keys("tail/").await);
        keys
    };
    let before = objects().await;
    let failures = stage.run_for_days().await;
    let text = format!("'{key}' is missing");
    assert!(!failures.is_empty());
    for (database, reason) in failures {
        assert!(database == id && reason.contains(&text), "{reason}");
    }
    assert_eq!(objects().await, before);
    assert!(!stage.keys("db/").await.contains(&key.to_string()));
}

#[tokio::test]
async fn nothing_is_flushed_or_deleted_while_a_catalog_is_lost() {
    let stage = CompactTestBed::new().await;
    let id = stage.fill("db").await;
    let key = Key::DatabaseCatalog(id);
    stage.lose(&key).await;
    let before = stage.keys("data/").await;
    let failures = stage.run_for_days().await;
    let text = format!("'{key}' is missing");
    assert!(failures.iter().any(|(_, reason)| reason.contains(&text)), "{failures:?}");
    assert_eq!(stage.keys("data/").await, before);
    assert!(!stage.keys("db/").await.contains(&key.to_string()));
}

#[tokio::test]
async fn a_dropped_database_whose_manifest_is_lost_is_kept() {
    let stage = CompactTestBed::new().await;
    let id = stage.fill("db").await;
    stage.lose(&Key::Manifest(id)).await;
    stage.catalog.delete_database("db", HardDelete::NOW).await.unwrap();
    let before = stage.keys("data/").await;
    assert!(!stage.run_for_days().await.is_empty());
    assert_eq!(stage.keys("data/").await, before);
}

#[tokio::test]
async fn a_database_that_is_dropped_before_its_first_flush_is_removed() {
    let stage = CompactTestBed::with_rows(&format!("m v=1 {NOW}")).await;
    stage.catalog.delete_database("db", HardDelete::NOW).await.unwrap();
    assert_eq!(stage.run_for_days().await, []);
    assert_eq!(stage.keys("db/").await, [] as [String; 0]);
}

#[tokio::test]
async fn the_objects_of_a_restored_database_whose_manifest_is_lost_are_kept() {
    let stage = CompactTestBed::new().await;
    let source = stage.fill("db").await;
    let manifest = stage.manifests.read(source, None).await.unwrap();
    let (version, view) = Manifest::at(&manifest, manifest.value.low_water_mark).unwrap();
    let create = stage.catalog.create_copy(source, "copy", CopyOptions::default());
    let copy = create.await.unwrap();
    stage.manifests.pin(source, manifest, version, copy.id).await.unwrap();
    let adopt = stage.manifests.adopt(source, &view, copy.id, copy.catalog.version, &[]);
    adopt.await.unwrap();
    stage.catalog.record_register(&Key::Manifest(copy.id)).await.unwrap();
    stage.catalog.publish_copy(copy.id).await.unwrap();
    stage.lose(&Key::Manifest(copy.id)).await;
    stage.catalog.delete_database("db", HardDelete::NOW).await.unwrap();
    let needed: Vec<String> =
        view.sections.iter().map(|section| section.key(source).to_string()).collect();
    stage.run_for_days().await;
    let left = stage.keys("data/").await;
    assert!(needed.iter().all(|key| left.contains(key)), "{left:?}");
}

#[tokio::test]
async fn a_skipped_flush_does_not_create_a_lost_manifest() {
    let stage = CompactTestBed::new().await;
    let id = stage.fill("db").await;
    stage.lose(&Key::Manifest(id)).await;
    stage.pass(HOUR);
    let error = stage.compactor().flush(id).await.unwrap_err();
    assert!(error.to_string().contains("is missing"), "{error}");
    assert!(!stage.keys("db/").await.contains(&Key::Manifest(id).to_string()));
    // A database that was never flushed has no manifest, either.
    stage.write("other", &format!("m v=1 {NOW}")).await;
    stage.pass(HOUR);
    let root = stage.catalog.root(ANY_AGE).await.unwrap();
    let other = root.value.database("other").unwrap();
    let flushed = stage.compactor().flush(other).await.unwrap();
    assert!(matches!(flushed, FlushResult::Done { .. }), "{flushed:?}");
}
