//! Work on caches delays neither flushes nor the caches of other tables, and failed caches recover.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use neap_bucket::{CallPhase, KeyClass, Operation, RegisterChange, StoreCall, VersionedValue};
use neap_catalog::NewLastCache;
use neap_manifest::Manifest;
use neap_schema::DatabaseId;

use super::{
    caches::{distinct_cache, last_cache},
    test_bed::{CompactTestBed, NOW},
};

const MINUTE: Duration = Duration::from_secs(60);

/// A database with the table `m`, which has some last value caches, and the table `other`, which has one. Each table
/// has a section in an object of its own; the section of `m` is smaller.
async fn two_tables(caches: usize) -> (CompactTestBed, DatabaseId) {
    let stage = CompactTestBed::with_rows(&format!("m,host=a v=1 {NOW}")).await;
    stage.flush("db").await;
    let lines = (0..200).map(|n| format!("other,host=h{n} v={n},w={} {}\n", n * 7, NOW + n));
    stage.write("db", &lines.collect::<String>()).await;
    stage.flush("db").await;
    let id = stage.id("db").await;
    for number in 0..caches {
        let last = last_cache(&format!("l{number}"), &["host"], 1);
        stage.catalog.create_last_cache(id, &last).await.unwrap();
    }
    let other = NewLastCache {
        table: "other".to_owned(),
        ..last_cache("other", &["host"], 1)
    };
    stage.catalog.create_last_cache(id, &other).await.unwrap();
    (stage, id)
}

async fn count_of_caches(stage: &CompactTestBed) -> usize {
    stage.manifest("db").await.caches.len()
}

#[tokio::test]
async fn a_flush_is_committed_although_its_cache_requests_hang() {
    let (stage, id) = two_tables(32).await;
    for number in 0..32 {
        let distinct = distinct_cache(&format!("d{number}"), &["host"], 10);
        let created = stage.catalog.create_distinct_cache(id, &distinct);
        created.await.unwrap();
    }
    stage.compactor().fill_caches(id, None).await.unwrap();
    assert_eq!(count_of_caches(&stage).await, 65);
    stage.write("db", &format!("m,host=b v=2 {NOW}")).await;
    stage.pass(Duration::from_secs(10));
    let stage = Arc::new(stage);
    let (waiting, register) = (stage.clock_hand(), stage.manifests.register(id));
    let compactor = stage.hooked(move |call: &StoreCall| {
        let is_it =
            call.phase == CallPhase::Before && KeyClass::from_key(&call.key) == KeyClass::Cache;
        if !is_it {
            return std::future::ready(()).boxed();
        }
        waiting(Duration::from_secs(31));
        let register = register.clone();
        async move {
            // A concurrent commit, so that the age of the bundle's name is checked.
            let touch = |base: &VersionedValue<Manifest>| {
                Ok::<_, Infallible>(RegisterChange::Put(Manifest::successor(base), ()))
            };
            register.commit(None, touch).await.unwrap();
            std::future::pending().await
        }
        .boxed()
    });
    let flushed = compactor.flush(id).await.unwrap();
    assert!(matches!(flushed, crate::FlushResult::Done { rows: 1, .. }), "{flushed:?}");
    // The cache of the other table has not changed.
    assert_eq!(count_of_caches(&stage).await, 1);
}

#[tokio::test]
async fn an_object_that_is_referenced_during_a_collection_stays() {
    let (stage, id) = two_tables(1).await;
    stage.compactor().fill_caches(id, None).await.unwrap();
    stage.write("db", &format!("m,host=b v=2 {NOW}")).await;
    // Now there are settled segments.
    stage.pass(5 * MINUTE);
    let stage = Arc::new(stage);
    let (between, before) = (Arc::clone(&stage), stage.manifest("db").await);
    let done = async move {
        between.flush("db").await;
        between.pass(31 * MINUTE);
    };
    let compactor = stage.interrupted_at((Operation::List, KeyClass::Tail), done);
    let report = compactor.handle(&crate::CompactorEvent::Collect, None).await;
    assert_eq!(report.unwrap().failures, []);
    let keys = stage.keys("cache/").await;
    assert_ne!(stage.manifest("db").await.caches, before.caches);
    for entry in &stage.manifest("db").await.caches {
        assert!(keys.contains(&entry.key(id).to_string()), "{entry:?}");
    }
}

#[tokio::test]
async fn a_slow_table_leaves_time_for_the_others_and_is_paused() {
    let (stage, id) = two_tables(1).await;
    let stage = Arc::new(stage);
    let (waiting, gets) = (stage.clock_hand(), AtomicU64::new(0));
    let compactor = stage.hooked(move |call: &StoreCall| {
        let is_it = call.operation == Operation::Get
            && call.phase == CallPhase::Before
            && KeyClass::from_key(&call.key) == KeyClass::Data;
        if is_it && gets.fetch_add(1, Ordering::Relaxed) == 0 {
            waiting(Duration::from_secs(55));
        }
        std::future::ready(()).boxed()
    });
    let limit = Some(Duration::from_secs(100));
    let report = compactor.fill_caches(id, limit).await.unwrap();
    assert_eq!((report.caches, report.unfinished), (1, true));
    let report = compactor.fill_caches(id, limit).await.unwrap();
    assert_eq!((report.caches, report.unfinished), (0, false));
    stage.pass(2 * MINUTE);
    let report = compactor.fill_caches(id, limit).await.unwrap();
    assert_eq!((report.caches, report.unfinished), (1, false));
}

#[tokio::test]
async fn a_damaged_table_does_not_keep_the_caches_of_others_from_being_filled() {
    let (stage, id) = two_tables(1).await;
    let manifest = stage.manifest("db").await;
    let smallest = manifest.sections.iter().min_by_key(|section| section.length);
    let gone = smallest.unwrap().key(id).to_string();
    stage.bucket.delete(&[gone]).await.unwrap();
    assert!(stage.compactor().fill_caches(id, None).await.is_err());
    assert_eq!(count_of_caches(&stage).await, 1);
}

#[tokio::test]
async fn a_cache_with_an_obsolete_expiry_floor_is_filled_again() {
    let (stage, id) = two_tables(1).await;
    let compactor = stage.compactor();
    assert_eq!(compactor.fill_caches(id, None).await.unwrap().caches, 2);
    let hour = Some(60 * MINUTE);
    stage.catalog.set_retention(id, hour).await.unwrap();
    stage.pass(70 * MINUTE);
    assert_eq!(stage.look(MINUTE).await.removed, 2);
    assert_eq!(compactor.fill_caches(id, None).await.unwrap().caches, 0);
    stage.catalog.set_retention(id, None).await.unwrap();
    stage.pass(MINUTE);
    assert_eq!(compactor.fill_caches(id, None).await.unwrap().caches, 2);
    assert_eq!(compactor.fill_caches(id, None).await.unwrap().caches, 0);
    let manifest = stage.manifest("db").await;
    assert!(manifest.caches.iter().all(|entry| entry.floor.is_none()));
    // Later, the maximum age of the cache covers the floor.
    stage.pass(240 * MINUTE);
    assert_eq!(compactor.fill_caches(id, None).await.unwrap().caches, 0);
}
