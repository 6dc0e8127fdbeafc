//! Cache objects: their cost, creation and deletion.

use std::{sync::Arc, time::Duration};

use neap_bucket::{KeyClass, Operation};
use neap_cache::{CacheLayer, CacheShape};
use neap_catalog::{ANY_AGE, NewDistinctCache, NewLastCache, Table};
use neap_manifest::{JobKind, Manifest};
use neap_row_delete::Condition;
use neap_schema::CacheId;

use super::test_bed::{CompactTestBed, DAY, NOW};
use crate::{
    CompactionReport, CompactorEvent, FlushLimits, PlanLimits, PlanScope, caches::CacheObjects,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: u64 = 3_600;

/// A last value cache of the table `m` by host.
pub(super) fn last_cache(name: &str, keys: &[&str], count: u64) -> NewLastCache {
    NewLastCache {
        table: "m".to_owned(),
        name: Some(name.to_owned()),
        key_columns: Some(keys.iter().map(|key| (*key).to_owned()).collect()),
        value_columns: None,
        count,
        ttl_s: 4 * HOUR,
    }
}

pub(super) fn distinct_cache(
    name: &str,
    columns: &[&str],
    max_cardinality: u64,
) -> NewDistinctCache {
    NewDistinctCache {
        table: "m".to_owned(),
        name: Some(name.to_owned()),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        max_cardinality,
        max_age_s: 4 * HOUR,
    }
}

/// A database with the tables `m`, which has a last and a distinct value cache, and `other`.
async fn with_caches() -> CompactTestBed {
    let stage = CompactTestBed::new().await;
    let lines = format!("m,host=a,zone=x v=1 {NOW}\nm,host=b v=2 {NOW}\nother,host=a v=1 {NOW}");
    stage.write("db", &lines).await;
    stage.flush("db").await;
    let id = stage.id("db").await;
    let last = last_cache("l", &["host"], 1);
    stage.catalog.create_last_cache(id, &last).await.unwrap();
    let distinct = distinct_cache("d", &["host", "zone"], 100);
    stage.catalog.create_distinct_cache(id, &distinct).await.unwrap();
    stage
}

async fn fill(stage: &CompactTestBed) -> CompactionReport {
    let id = stage.id("db").await;
    let report = stage.compactor().fill_caches(id, None).await.unwrap();
    assert_eq!(report.failures, []);
    report
}

async fn filled() -> CompactTestBed {
    let stage = with_caches().await;
    assert_eq!(fill(&stage).await.caches, 2);
    stage
}

async fn table(stage: &CompactTestBed) -> Arc<Table> {
    let id = stage.id("db").await;
    let catalog = stage.catalog.database(id, ANY_AGE).await.unwrap();
    Arc::clone(catalog.value.table("m").unwrap())
}

fn caches(manifest: &Arc<Manifest>) -> Vec<CacheId> {
    let mut caches: Vec<_> = manifest.caches.iter().map(|entry| entry.cache).collect();
    caches.sort_unstable();
    caches
}

/// Checks the objects that the entries of the table `m` reference, and returns their numbers of rows.
async fn rows(stage: &CompactTestBed) -> Vec<u64> {
    let (id, manifest) = (stage.id("db").await, stage.manifest("db").await);
    let objects = CacheObjects::new(stage.bucket.clone(), 0);
    let mut rows = Vec::new();
    for (cache, shape) in CacheShape::all_of(table(stage).await.as_ref()) {
        if let Some(entry) = manifest.cache(cache) {
            let object = objects.fetch(id, entry).await.unwrap();
            let contents = object.decoded(entry, &shape).unwrap();
            assert_eq!(contents.complete_from(), entry.complete_from);
            assert_eq!(contents.num_rows() as u64, entry.rows);
            rows.push(entry.rows);
        }
    }
    rows
}

/// Counts the GETs and PUTs of cache objects during `work`.
async fn cache_requests<T>(stage: &CompactTestBed, work: impl Future<Output = T>) -> (u64, u64) {
    let (_, counts) = stage.counted(work).await;
    let of = |operation| counts.of(operation, KeyClass::Cache).requests;
    (of(Operation::Get), of(Operation::Put))
}

#[tokio::test]
async fn a_backfill_reads_the_sections_once_for_all_caches_of_a_table() {
    let stage = with_caches().await;
    for number in 1..4 {
        stage.write("db", &format!("m,host=a v={number} {}", NOW + number)).await;
        stage.flush("db").await;
    }
    let id = stage.id("db").await;
    let compactor = stage.compactor();
    let (report, counts) = stage.counted(compactor.fill_caches(id, None)).await;
    assert_eq!(report.unwrap().caches, 2);
    // GETs: each section once, and the manifest once more to see that the mark is unchanged. PUTs: two objects and the
    // commit.
    assert_eq!(counts.of(Operation::Get, KeyClass::DatabaseCatalog).requests, 1);
    assert_eq!(counts.of(Operation::Get, KeyClass::Manifest).requests, 2);
    assert_eq!(counts.of(Operation::Get, KeyClass::Data).requests, 4);
    assert_eq!(counts.requests(Operation::Get), 7);
    assert_eq!(counts.of(Operation::Put, KeyClass::Cache).requests, 2);
    assert_eq!(counts.requests(Operation::Put), 3);
    assert_eq!(counts.requests(Operation::List), 0);
    assert_eq!(rows(&stage).await, [2, 3]);
    let job = *stage.manifest("db").await.jobs.last().unwrap();
    assert_eq!((job.kind, job.inputs, job.outputs, job.rows), (JobKind::Cache, 4, 2, 5));

    // Nothing is left to do.
    let (report, counts) = stage.counted(compactor.fill_caches(id, None)).await;
    assert_eq!(report.unwrap(), CompactionReport::default());
    assert_eq!((counts.requests(Operation::Get), counts.requests(Operation::Put)), (1, 0));
}

#[tokio::test]
async fn a_flush_costs_a_put_for_each_cache_of_a_touched_table_and_a_get_with_a_cold_cache() {
    let stage = filled().await;
    let id = stage.id("db").await;
    let compactor = stage.compactor();
    let mut costs = Vec::new();
    for number in 1..4 {
        stage.write("db", &format!("m,host=c v=1 {}", NOW + number)).await;
        stage.pass(Duration::from_secs(10));
        let (flushed, counts) = stage.counted(compactor.flush(id)).await;
        flushed.unwrap();
        let of = |operation| counts.of(operation, KeyClass::Cache).requests;
        costs.push((
            (of(Operation::Get), of(Operation::Put)),
            Operation::ALL.map(|operation| counts.requests(operation)),
        ));
    }
    // Manifest and segment; with a cold cache also the catalog and both objects.
    assert_eq!(costs, [((2, 2), [5, 4, 1, 0]), ((0, 2), [2, 4, 1, 0]), ((0, 2), [2, 4, 1, 0])]);
    assert_eq!(rows(&stage).await, [3, 3]);

    stage.write("db", &format!("other,host=c v=1 {NOW}")).await;
    stage.pass(Duration::from_secs(10));
    assert_eq!(cache_requests(&stage, compactor.flush(id)).await, (0, 0));
    assert_eq!(caches(&stage.manifest("db").await).len(), 2);
}

#[tokio::test]
async fn a_flush_reads_the_objects_that_do_not_fit_into_its_memory() {
    let stage = filled().await;
    let id = stage.id("db").await;
    let limits = FlushLimits { cached_bytes: 0, ..stage.flush };
    let compactor = stage.compactor_of_limits(limits, Duration::ZERO);
    for number in 1..3 {
        let line = format!("m,host=c v=1 {}", NOW + number);
        stage.write("db", &line).await;
        stage.pass(Duration::from_secs(10));
        assert_eq!(cache_requests(&stage, compactor.flush(id)).await, (2, 2));
    }
    assert_eq!(rows(&stage).await, [3, 3]);
}

#[tokio::test]
async fn scheduled_runs_and_collections_fill_caches() {
    let stage = with_caches().await;
    stage.write("db", &format!("m,host=a v=3 {NOW}")).await;
    let report = stage.scheduled(11 * MINUTE).await;
    assert_eq!((report.flushes, report.caches), (1, 2));
    let stage = with_caches().await;
    assert_eq!(stage.look(MINUTE).await.caches, 2);
    assert_eq!(stage.look(MINUTE).await.caches, 0);
    assert_eq!(rows(&stage).await, [2, 2]);
}

#[tokio::test]
async fn a_database_that_never_had_a_cache_costs_nothing_more() {
    let stage = CompactTestBed::with_rows(&format!("m,host=a v=1 {NOW}")).await;
    stage.flush("db").await;
    let id = stage.id("db").await;
    let compactor = stage.compactor();
    let (_, counts) = stage.counted(compactor.fill_caches(id, None)).await;
    assert_eq!((counts.requests(Operation::Get), counts.requests(Operation::Put)), (1, 0));
    let (_, counts) = stage.counted(compactor.handle(&CompactorEvent::Collect, None)).await;
    assert_eq!(counts.of(Operation::List, KeyClass::Cache).requests, 0);
}

#[tokio::test]
async fn a_delete_that_leaves_gaps_drops_the_object_and_the_next_backfill_applies_it() {
    let stage = filled().await;
    let host = Condition::Tag { name: "host".to_owned(), value: Some("a".to_owned()) };
    stage.write("db", &format!("m,host=a v=7 {}", NOW - 5)).await;
    stage.flush("db").await;
    assert_eq!(rows(&stage).await, [2, 3]);
    stage.delete("db", host.and(Condition::between(NOW, NOW))).await;
    stage.flush("db").await;
    assert_eq!(caches(&stage.manifest("db").await), []);
    assert_eq!(fill(&stage).await.caches, 2);
    // The row before the deleted one is now the last one; its combination of tags still exists.
    assert_eq!(rows(&stage).await, [2, 2]);
}

#[tokio::test]
async fn a_missing_or_damaged_object_is_rebuilt() {
    let stage = filled().await;
    let (id, manifest) = (stage.id("db").await, stage.manifest("db").await);
    let [one, other] = manifest.caches.as_slice() else {
        panic!("{:?}", manifest.caches);
    };
    stage.bucket.delete(&[one.key(id).to_string()]).await.unwrap();
    let damaged = vec![1; usize::try_from(other.length).unwrap()];
    let key = other.key(id);
    let put = stage.bucket.put(&key, damaged.into(), neap_bucket::PutMode::Overwrite);
    put.await.unwrap();
    stage.write("db", &format!("m,host=c v=1 {NOW}")).await;
    stage.flush("db").await;
    let manifest = stage.manifest("db").await;
    assert_eq!((caches(&manifest), manifest.section_count()), (vec![], 3));
    assert_eq!(fill(&stage).await.caches, 2);
    assert_eq!(rows(&stage).await, [3, 3]);
}

#[tokio::test]
async fn a_collection_finds_missing_objects_without_writes() {
    let stage = filled().await;
    let (id, manifest) = (stage.id("db").await, stage.manifest("db").await);
    let gone = manifest.caches[0].key(id).to_string();
    stage.bucket.delete(&[gone]).await.unwrap();
    assert_eq!(stage.look(MINUTE).await.caches, 1);
    assert_eq!(rows(&stage).await, [2, 2]);
}

#[tokio::test]
async fn dropped_caches_and_tables_leave_the_manifest() {
    let stage = filled().await;
    let id = stage.id("db").await;
    stage.catalog.delete_last_cache(id, "m", "l").await.unwrap();
    assert_eq!(stage.look(MINUTE).await.caches, 0);
    assert_eq!(caches(&stage.manifest("db").await).len(), 1);
    let hard = neap_catalog::HardDelete::NOW;
    stage.catalog.delete_table(id, "m", hard).await.unwrap();
    stage.look(MINUTE).await;
    assert_eq!(caches(&stage.manifest("db").await), []);
}

#[tokio::test]
async fn superseded_objects_go_after_half_an_hour_and_named_ones_stay() {
    let stage = filled().await;
    stage.pass(31 * MINUTE);
    stage.write("db", &format!("m,host=c v=1 {NOW}")).await;
    stage.flush("db").await;
    assert_eq!(stage.keys("cache/").await.len(), 4);
    // The first objects are old, but queries that started before may still read them.
    stage.look(29 * MINUTE).await;
    assert_eq!(stage.keys("cache/").await.len(), 4);
    let report = stage.look(2 * MINUTE).await;
    assert_eq!(report.collected.objects, 2);
    assert_eq!(stage.keys("cache/").await.len(), 2);
    assert_eq!(rows(&stage).await, [3, 3]);
    // No object of a dropped cache stays.
    let id = stage.id("db").await;
    stage.catalog.delete_last_cache(id, "m", "l").await.unwrap();
    stage.look(MINUTE).await;
    stage.look(MINUTE).await;
    assert_eq!(stage.keys("cache/").await.len(), 1);
}

#[tokio::test]
async fn a_dropped_database_leaves_no_object_of_a_cache() {
    let stage = filled().await;
    let hard = neap_catalog::HardDelete::NOW;
    stage.catalog.delete_database("db", hard).await.unwrap();
    stage.look_times(4, 70 * MINUTE).await;
    assert_eq!(stage.keys("cache/").await, [] as [String; 0]);
}

#[tokio::test]
async fn expired_rows_are_recorded_and_leave_with_the_next_flush() {
    let stage = filled().await;
    let id = stage.id("db").await;
    let hour = Some(Duration::from_secs(HOUR));
    stage.catalog.set_retention(id, hour).await.unwrap();
    stage.pass(70 * MINUTE);
    assert_eq!(stage.look(MINUTE).await.removed, 2);
    let manifest = stage.manifest("db").await;
    assert!(manifest.caches.iter().all(|entry| entry.floor == Some(NOW + 1)));
    let now = NOW + 70 * 60_000_000_000;
    stage.write("db", &format!("m,host=d v=1 {now}")).await;
    stage.flush("db").await;
    let manifest = stage.manifest("db").await;
    assert!(manifest.caches.iter().all(|entry| entry.floor.is_none()));
    assert_eq!(rows(&stage).await, [1, 1]);
}

#[tokio::test]
async fn a_backfill_catches_up_with_flushes() {
    let stage = with_caches().await;
    let id = stage.id("db").await;
    // A flush runs while the backfill reads sections.
    stage.write("db", &format!("m,host=z v=1 {NOW}")).await;
    stage.pass(Duration::from_secs(10));
    let rival = stage.compactor();
    let compactor = stage.interrupted(KeyClass::Data, async move {
        rival.flush(id).await.unwrap();
    });
    assert_eq!(compactor.fill_caches(id, None).await.unwrap().caches, 2);
    assert_eq!(rows(&stage).await, [3, 3]);
    // Rows older than the cache's maximum age are not added.
    stage.write("db", &format!("m,host=y v=1 {}", NOW - DAY)).await;
    stage.flush("db").await;
    assert_eq!(rows(&stage).await, [3, 3]);
}

#[tokio::test]
async fn a_backfill_applies_deletes_committed_meanwhile() {
    let stage = Arc::new(with_caches().await);
    let id = stage.id("db").await;
    let between = Arc::clone(&stage);
    let compactor = stage.interrupted(KeyClass::Data, async move {
        let host = Condition::Tag { name: "host".to_owned(), value: Some("b".to_owned()) };
        between.delete("db", host).await;
        between.flush("db").await;
    });
    assert_eq!(compactor.fill_caches(id, None).await.unwrap().caches, 2);
    assert_eq!(rows(&stage).await, [1, 1]);
}

#[tokio::test]
async fn a_backfill_begins_again_when_what_it_has_read_expires() {
    let stage = Arc::new(with_caches().await);
    let id = stage.id("db").await;
    stage.pass(70 * MINUTE);
    let between = Arc::clone(&stage);
    let compactor = stage.interrupted(KeyClass::Data, async move {
        let hour = Some(Duration::from_secs(HOUR));
        between.catalog.set_retention(id, hour).await.unwrap();
        let maintainer = between.maintainer();
        let planned = maintainer.plan(id, PlanScope::All, PlanLimits::with_max_jobs(1)).await;
        assert_eq!(planned.unwrap().removed, 2);
    });
    assert_eq!(compactor.fill_caches(id, None).await.unwrap().caches, 2);
    stage.catalog.set_retention(id, None).await.unwrap();
    assert_eq!(rows(&stage).await, [0, 0]);
}

#[tokio::test]
async fn a_new_column_shows_in_a_cache_of_all_columns() {
    let stage = filled().await;
    stage.write("db", &format!("m,host=a,rack=r v=1,w=5i {}", NOW + 1)).await;
    stage.flush("db").await;
    let (id, manifest) = (stage.id("db").await, stage.manifest("db").await);
    let objects = CacheObjects::new(stage.bucket.clone(), 0);
    let table = table(&stage).await;
    let (cache, shape) = CacheShape::all_of(&table).next().unwrap();
    let entry = manifest.cache(cache).unwrap();
    let contents = objects.fetch(id, entry).await.unwrap();
    let CacheLayer::Last(rows) = contents.decoded(entry, &shape).unwrap() else {
        panic!("not a last value cache");
    };
    assert_eq!(rows.num_rows(), 2);
    let column = rows.batch().column_by_name("w").unwrap();
    assert_eq!(column.null_count(), 1);
}
