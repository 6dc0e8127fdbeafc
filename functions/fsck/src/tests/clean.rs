//! Tests of buckets without damage.

use std::{sync::Mutex, time::Duration};

use neap_bucket::{Key, Stamp};
use neap_catalog::{CopyOptions, HardDelete};
use neap_compact::{CompactParts, CompactorSettings, GarbageCollectorSettings, MergePolicy};
use neap_manifest::Manifest;
use neap_row_delete::Condition;

use super::*;

#[tokio::test(start_paused = true)]
async fn an_unused_bucket_is_clean() {
    let clock = Arc::new(TestClock {
        start: tokio::time::Instant::now(),
        step_micros: AtomicI64::new(0),
    });
    let world = World::seeded(Arc::clone(&clock) as _, 1);
    let store = Arc::new(MemoryStore::new(clock));
    let bucket = Bucket::new(store, world);
    let fsck = Fsck::new(bucket.clone());
    let report = fsck.check(&FsckOptions::default(), &|_| {}).await;
    assert_eq!(report.unwrap(), FsckReport::new(false));
    let got = bucket.get(&Key::RootCatalog, GetOptions::default()).await;
    assert!(matches!(got.unwrap().value, Get::Missing), "nothing is written");
}

#[tokio::test(start_paused = true)]
async fn written_and_flushed_data_is_clean() {
    for stage in FsckFixture::filled().await {
        let report = stage.full().await;
        assert_eq!(lines(&report), "");
        assert!(report.clean);
        let mut checked = report.checked;
        checked.bytes = 0;
        let expected = serde_json::json!({
            "databases": 1, "tables": 2, "sections": 3, "rows": 5, "pages": 0, "segments": 2,
            "objects": 2, "bytes": 0,
        });
        assert_eq!(serde_json::to_value(checked).unwrap(), expected);
        assert_eq!(lines(&stage.quick().await), "");
    }
}

#[tokio::test(start_paused = true)]
async fn sections_in_pages_are_clean_and_all_are_read() {
    let stage = FsckFixture::paged().await;
    let told = Mutex::new(Vec::new());
    let options = FsckOptions { full: true, database: Some("db".to_owned()), repair: false };
    let progress = |progress: crate::FsckProgress<'_>| {
        assert_eq!(progress.database, "db");
        let bytes = (progress.done_bytes, progress.total_bytes);
        told.lock().unwrap().push(bytes);
    };
    let fsck = Fsck::new(stage.bucket.clone());
    let report = fsck.check(&options, &progress).await.unwrap();
    assert_eq!(lines(&report), "");
    assert_eq!((report.checked.sections, report.checked.rows), (20, 40));
    assert!(report.checked.pages > 0);
    let told = told.into_inner().unwrap();
    let (done, total) = told.last().unwrap();
    assert_eq!(done, total);
    assert_eq!(told.len(), 1 + 20);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_database_name_is_an_error() {
    let stage = FsckFixture::in_memory().await;
    let options = FsckOptions { database: Some("nope".to_owned()), ..FsckOptions::default() };
    let report = Fsck::new(stage.bucket.clone()).check(&options, &|_| {}).await;
    assert_eq!(report.unwrap_err().to_string(), "database not found: nope");
}

#[tokio::test(start_paused = true)]
async fn a_restored_database_and_a_dropped_one_are_clean() {
    let stage = FsckFixture::filled_in_memory().await;
    let current = stage.manifest().await;
    let (version, view) = Manifest::at(&current, Stamp::from_u64(u64::MAX)).unwrap();
    let copy = stage
        .catalog
        .create_copy(stage.database, "copy", CopyOptions::default())
        .await
        .unwrap();
    let pinned = stage.manifests.pin(stage.database, current, version, copy.id);
    pinned.await.unwrap();
    let adopted = stage.manifests.adopt(stage.database, &view, copy.id, 1, &[]);
    adopted.await.unwrap();
    stage.catalog.publish_copy(copy.id).await.unwrap();
    let report = stage.full().await;
    assert_eq!(lines(&report), "");
    assert_eq!((report.checked.databases, report.checked.sections), (2, 6));

    stage.catalog.delete_database("copy", HardDelete::NOW).await.unwrap();
    assert_eq!(stage.full().await.checked.databases, 2);
    stage.advance(Duration::from_secs(100));
    stage.manifest().await;
    stage.catalog.begin_database_purge(copy.id).await.unwrap();
    stage.catalog.finish_database_purge(copy.id).await.unwrap();
    let report = stage.full().await;
    assert_eq!(lines(&report), "");
    assert_eq!(report.checked.databases, 1);
}

#[tokio::test(start_paused = true)]
async fn merges_deletes_and_collections_leave_a_clean_bucket() {
    let stage = FsckFixture::in_memory().await;
    let parts = CompactParts {
        bucket: stage.bucket.clone(),
        margins: ProtocolMargins::LOCAL,
        rules: ProtocolRules::new(ProtocolMargins::LOCAL),
        flush: FlushLimits::default(),
        merge: MergePolicy::default(),
        collect: GarbageCollectorSettings::default(),
        settings: CompactorSettings::default(),
    };
    let compactor = parts.assemble(None);
    let mut merges = 0;
    let mut deleted = 0;
    for round in 0..24_i64 {
        let rows = [
            ("a", None, round, 1.0),
            ("b", Some("x"), round % 5, 2.0),
            ("c", None, DAY * (round % 3), 3.0),
        ];
        stage.write(CPU, &rows).await;
        if round % 6 == 5 {
            stage.delete_rows(CPU, Condition::between(round - 3, round - 2)).await;
        }
        stage.flush().await;
        let report = compactor.settle(stage.database, None).await.unwrap();
        merges += report.merges;
        deleted += report.collected.objects;
        let report = stage.full().await;
        assert_eq!(lines(&report), "", "round {round}");
        stage.advance(Duration::from_secs(600));
    }
    assert!(merges > 3, "{merges}");
    assert!(deleted > 3, "{deleted}");
    assert!(stage.full().await.checked.sections < 12);
}
