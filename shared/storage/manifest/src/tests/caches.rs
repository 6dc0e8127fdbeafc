//! Objects of caches across flushes, expiries, drops, repairs and restores.

use std::{collections::BTreeSet, time::Duration};

use neap_bucket::VersionedValue;
use neap_row_delete::RowDelete;
use neap_schema::{CacheId, DatabaseId, TableId};
use ulid::Ulid;

use super::{
    fixture::{ManifestFixture, delete_of},
    job,
};
use crate::{
    CacheCommit, CacheEntry, CacheOutcome, CacheRefusal, CacheUpdate, Corrections, FlushOutcome,
    JobKind, Manifest, NewCacheEntry, OBJECT_NAME_AGE, Section,
};

const ONE: CacheId = CacheId::new(1);
const TWO: CacheId = CacheId::new(2);

fn entry(cache: CacheId, table: u32, object: u128) -> CacheEntry {
    CacheEntry {
        cache,
        table: TableId::new(table),
        object: Ulid::from_parts(1, object),
        length: 100,
        rows: 3,
        crc32c: 7,
        complete_from: i64::MIN,
        floor: None,
    }
}

fn new(base: &VersionedValue<Manifest>, entry: CacheEntry) -> NewCacheEntry {
    NewCacheEntry { entry, drawn: base.current_at.unwrap() }
}

/// Returns a backfill of these entries that has read `base`. The objects have all rows.
fn backfill(base: &VersionedValue<Manifest>, entries: &[CacheEntry]) -> CacheCommit {
    let entries = entries.iter().cloned();
    CacheCommit {
        mark: base.value.low_water_mark,
        version: base.version,
        needs_catalog: 0,
        add: entries.map(|one| new(base, one)).collect(),
        gone: BTreeSet::new(),
        job: Some(job(JobKind::Cache)),
    }
}

async fn commit(
    fixture: &ManifestFixture,
    base: VersionedValue<Manifest>,
    commit: &CacheCommit,
) -> CacheOutcome {
    let outcome = fixture.store().commit_caches(fixture.database, base, commit);
    outcome.await.unwrap()
}

async fn committed(
    fixture: &ManifestFixture,
    base: VersionedValue<Manifest>,
    filled: &CacheCommit,
) -> VersionedValue<Manifest> {
    match commit(fixture, base, filled).await {
        CacheOutcome::Committed(current) => current,
        other => panic!("{other:?}"),
    }
}

async fn refused(
    fixture: &ManifestFixture,
    base: VersionedValue<Manifest>,
    filled: &CacheCommit,
) -> CacheRefusal {
    match commit(fixture, base, filled).await {
        CacheOutcome::GivenUp(reason) => reason,
        other => panic!("{other:?}"),
    }
}

/// Returns a site with one cache for each of the tables 1 and 2.
async fn filled() -> (ManifestFixture, VersionedValue<Manifest>) {
    let fixture = ManifestFixture::new(100);
    let base = fixture.flush(&[(1, 0), (2, 0)]).await;
    let both = backfill(&base, &[entry(ONE, 1, 1), entry(TWO, 2, 1)]);
    let current = committed(&fixture, base, &both).await;
    (fixture, current)
}

/// Flushes rows and deletes, with updates of caches.
async fn flush(
    fixture: &ManifestFixture,
    base: &VersionedValue<Manifest>,
    tables: &[(u32, i32)],
    deletes: &[RowDelete],
    caches: Vec<CacheUpdate>,
) -> Manifest {
    let mut flush = fixture.next_flush(base, tables).await;
    let cut = flush.cut;
    flush.deletes = deletes.iter().map(|one| (cut, one.clone())).collect();
    flush.caches = caches;
    match fixture.commit_flush(base.clone(), flush).await {
        FlushOutcome::Committed(current) => Manifest::clone(&current.value),
        other => panic!("{other:?}"),
    }
}

fn update(base: &VersionedValue<Manifest>, cache: CacheId, to: Option<CacheEntry>) -> CacheUpdate {
    CacheUpdate {
        from: base.value.cache(cache).unwrap().clone(),
        to: to.map(|to| new(base, to)),
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_replaces_the_objects_of_touched_tables_and_leaves_the_others() {
    let (fixture, base) = filled().await;
    let next = entry(ONE, 1, 2);
    let updates = vec![update(&base, ONE, Some(next.clone()))];
    let flushed = flush(&fixture, &base, &[(1, 0)], &[], updates).await;
    assert_eq!(flushed.cache(ONE), Some(&next));
    assert_eq!(flushed.cache(TWO), Some(&entry(TWO, 2, 1)));
    assert_eq!(flushed.check(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_flush_without_an_update_of_a_cache_removes_its_object() {
    let (fixture, base) = filled().await;
    let flushed = flush(&fixture, &base, &[(1, 0)], &[], Vec::new()).await;
    assert_eq!(flushed.caches, [entry(TWO, 2, 1)]);
    // A delete changes its table, too, although it adds no section.
    let base = fixture.read().await;
    let flushed = flush(&fixture, &base, &[], &[delete_of(2, 0, 0)], Vec::new()).await;
    assert_eq!(flushed.caches, []);
}

#[tokio::test(start_paused = true)]
async fn a_cache_whose_object_could_not_be_written_is_removed_alone() {
    let (fixture, base) = filled().await;
    let updates = vec![update(&base, ONE, None), update(&base, TWO, Some(entry(TWO, 2, 2)))];
    let flushed = flush(&fixture, &base, &[(1, 0), (2, 0)], &[], updates).await;
    assert_eq!(flushed.caches, [entry(TWO, 2, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_flush_keeps_a_concurrent_floor_and_drops_concurrent_objects() {
    let (fixture, base) = filled().await;
    let updates = vec![update(&base, ONE, Some(entry(ONE, 1, 2)))];
    // Rows expire while the flush works.
    let mut removal = ManifestFixture::removal(&fixture.table(1).await);
    removal.floor = Some(5);
    let expired = fixture.replaced(base.clone(), &removal).await;
    assert_eq!(expired.value.cache(ONE).unwrap().floor, Some(5));
    // The expired rows were in the old object, so they are in the new one.
    let flushed = flush(&fixture, &base, &[(1, 0)], &[], updates).await;
    let next = flushed.cache(ONE).unwrap();
    assert_eq!((next.object, next.floor), (entry(ONE, 1, 2).object, Some(5)));

    // A new object without expired rows needs no floor.
    let base = fixture.read().await;
    let mut short = entry(ONE, 1, 3);
    short.complete_from = 5;
    let updates = vec![update(&base, ONE, Some(short.clone()))];
    let flushed = flush(&fixture, &base, &[(1, 0)], &[], updates).await;
    assert_eq!(flushed.cache(ONE), Some(&short));

    // A concurrent backfill fills a cache that the flush has found empty.
    let base = fixture.read().await;
    let nothing = CacheCommit::forgetting(&base, [ONE].into());
    let base = committed(&fixture, base, &nothing).await;
    let again = backfill(&base, &[entry(ONE, 1, 3)]);
    committed(&fixture, base.clone(), &again).await;
    let flushed = flush(&fixture, &base, &[(1, 0)], &[], Vec::new()).await;
    assert_eq!(flushed.cache(ONE), None);
}

#[tokio::test(start_paused = true)]
async fn a_flush_is_committed_without_a_cache_object_whose_name_is_old() {
    let (fixture, base) = filled().await;
    let updates = vec![update(&base, ONE, Some(entry(ONE, 1, 2)))];
    fixture.stage.sleep(OBJECT_NAME_AGE + Duration::from_secs(1)).await;
    let base = fixture.read().await;
    let flushed = flush(&fixture, &base, &[(1, 0)], &[], updates).await;
    assert_eq!(flushed.caches, [entry(TWO, 2, 1)]);
    let base = fixture.read().await;
    let mut late = backfill(&base, &[entry(ONE, 1, 3)]);
    fixture.stage.sleep(OBJECT_NAME_AGE + Duration::from_secs(1)).await;
    let base = fixture.read().await;
    assert_eq!(refused(&fixture, base.clone(), &late).await, CacheRefusal::ObjectTooOld);
    late.add[0].drawn = base.current_at.unwrap();
    committed(&fixture, base, &late).await;
}

#[tokio::test(start_paused = true)]
async fn a_flush_and_a_backfill_remove_dropped_caches() {
    let (fixture, base) = filled().await;
    let mut flush = fixture.next_flush(&base, &[(1, 0)]).await;
    flush.gone_caches = [TWO].into();
    flush.caches = vec![update(&base, ONE, Some(entry(ONE, 1, 2)))];
    fixture.commit_flush(base, flush).await;
    let base = fixture.read().await;
    assert_eq!(base.value.caches, [entry(ONE, 1, 2)]);
    let nothing = CacheCommit::forgetting(&base, [ONE].into());
    let current = committed(&fixture, base, &nothing).await;
    assert_eq!(current.value.caches, []);
    let again = committed(&fixture, current.clone(), &nothing).await;
    assert_eq!(again.version, current.version, "no commit");
}

#[tokio::test(start_paused = true)]
async fn a_backfill_is_valid_only_at_its_mark_and_the_first_one_wins() {
    let fixture = ManifestFixture::new(100);
    let base = fixture.flush(&[(1, 0)]).await;
    let late = backfill(&base, &[entry(ONE, 1, 1)]);
    let moved = fixture.flush(&[(2, 0)]).await;
    assert_eq!(
        refused(&fixture, base, &late).await,
        CacheRefusal::MarkMoved { mark: moved.value.low_water_mark }
    );
    let one = backfill(&moved, &[entry(ONE, 1, 2)]);
    let other = backfill(&moved, &[entry(ONE, 1, 3)]);
    let first = committed(&fixture, moved.clone(), &one).await;
    assert_eq!(first.value.jobs.last().unwrap().kind, JobKind::Cache);
    let second = committed(&fixture, moved, &other).await;
    assert_eq!(second.version, first.version);
    assert_eq!(second.value.caches, [entry(ONE, 1, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_backfill_with_rows_that_expired_meanwhile_is_refused() {
    let fixture = ManifestFixture::new(100);
    let base = fixture.flush(&[(1, 0), (1, 1), (2, 0)]).await;
    let mut filled = backfill(&base, &[entry(ONE, 1, 1)]);
    let sections = fixture.table(1).await;
    let mut removal = ManifestFixture::removal(&sections[..1]);
    removal.floor = Some(sections[0].max_time + 1);
    let current = fixture.replaced(base, &removal).await;
    // No section needs the expiry, so it is not among the deletes.
    assert_eq!(current.value.deletes, []);
    let refusal = refused(&fixture, current.clone(), &filled).await;
    assert_eq!(refusal, CacheRefusal::Expired);
    // The expired rows are older than the rows of the object, or of another table.
    filled.add[0].entry.complete_from = sections[0].max_time + 1;
    filled.add.push(new(&current, entry(TWO, 2, 1)));
    let current = committed(&fixture, current, &filled).await;
    assert_eq!(current.value.caches.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_stays_recorded_after_an_expiry_of_older_rows() {
    let (fixture, base) = filled().await;
    let inputs = fixture.table(1).await;
    let mut merge = fixture.merge(&base, &inputs).await;
    merge.floor = Some(10);
    let mut late = backfill(&base, &[entry(ONE, 1, 9)]);
    late.add[0].entry.complete_from = 5;
    let current = fixture.replaced(base, &merge).await;
    let mut removal = ManifestFixture::removal(&fixture.table(1).await);
    removal.floor = Some(3);
    let current = fixture.replaced(current, &removal).await;
    let nothing = CacheCommit::forgetting(&current, [ONE].into());
    let current = committed(&fixture, current, &nothing).await;
    let refusal = refused(&fixture, current.clone(), &late).await;
    assert_eq!(refusal, CacheRefusal::Expired);
    // The second expiry affects no rows of the object.
    late.version = current.version - 2;
    committed(&fixture, current, &late).await;
}

#[tokio::test(start_paused = true)]
async fn a_backfill_from_wrong_statistics_is_refused() {
    let fixture = ManifestFixture::new(100);
    let base = fixture.flush(&[(1, 0), (2, 0)]).await;
    let late = backfill(&base, &[entry(ONE, 1, 1)]);
    let other = backfill(&base, &[entry(TWO, 2, 1)]);
    let wrong = fixture.table(1).await.remove(0);
    let corrections = Corrections {
        sections: vec![Section { rows: 5, ..Section::clone(&wrong) }],
        pages: Vec::new(),
    };
    let corrected = fixture.store().correct(fixture.database, base, &corrections);
    let current = corrected.await.unwrap().current;
    let refusal = refused(&fixture, current.clone(), &late).await;
    assert_eq!(refusal, CacheRefusal::Expired);
    let current = committed(&fixture, current, &other).await;
    let again = backfill(&current, &[entry(ONE, 1, 1)]);
    let current = committed(&fixture, current, &again).await;
    assert_eq!(current.value.caches.len(), 2);
}

#[test]
fn expiries_are_bounded_and_removed_ones_count_for_all_tables() {
    let mut manifest = Manifest::default();
    for version in 1..200 {
        let table = u32::try_from(version).unwrap();
        manifest.record_expiry(TableId::new(table), 10, version);
        manifest.record_expiry(TableId::new(9_999), 10, version);
    }
    assert_eq!(manifest.expiries.len(), 128);
    let table = TableId::new(8_888);
    assert!(manifest.may_have_expired(table, i64::MIN, 50));
    assert!(!manifest.may_have_expired(table, i64::MIN, 199));
}

#[tokio::test(start_paused = true)]
async fn floors_only_rise_and_a_merge_without_expiry_changes_nothing() {
    let (fixture, base) = filled().await;
    let inputs = fixture.table(1).await;
    let merge = fixture.merge(&base, &inputs).await;
    let mut current = fixture.replaced(base, &merge).await;
    assert_eq!(current.value.cache(ONE).unwrap().floor, None);
    for (floor, expected) in [(7, 7), (3, 7), (9, 9)] {
        let inputs = fixture.table(1).await;
        let mut merge = fixture.merge(&current, &inputs).await;
        merge.floor = Some(floor);
        current = fixture.replaced(current, &merge).await;
        assert_eq!(current.value.cache(ONE).unwrap().floor, Some(expected));
        assert_eq!(current.value.cache(TWO).unwrap().floor, None);
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_a_table_and_correcting_statistics_remove_cache_objects() {
    let (fixture, base) = filled().await;
    let mut removal = ManifestFixture::removal(&fixture.table(1).await);
    removal.job.kind = JobKind::Drop;
    let current = fixture.replaced(base, &removal).await;
    assert_eq!(current.value.caches, [entry(TWO, 2, 1)]);
    let wrong = fixture.table(2).await.remove(0);
    let corrections = Corrections {
        sections: vec![Section { rows: 5, ..Section::clone(&wrong) }],
        pages: Vec::new(),
    };
    let corrected = fixture.store().correct(fixture.database, current, &corrections);
    assert_eq!(corrected.await.unwrap().current.value.caches, []);
}

#[tokio::test(start_paused = true)]
async fn floors_before_the_start_of_an_object_are_not_recorded() {
    let fixture = ManifestFixture::new(100);
    let base = fixture.flush(&[(1, 0), (1, 1)]).await;
    let mut short = entry(ONE, 1, 1);
    short.complete_from = 20;
    let mut current = committed(&fixture, base.clone(), &backfill(&base, &[short])).await;
    for (floor, expected) in [(19, None), (20, None), (21, Some(21))] {
        let inputs = fixture.table(1).await;
        let mut merge = fixture.merge(&current, &inputs).await;
        merge.floor = Some(floor);
        current = fixture.replaced(current, &merge).await;
        assert_eq!(current.value.cache(ONE).unwrap().floor, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_replaces_one_that_starts_later() {
    let fixture = ManifestFixture::new(100);
    let base = fixture.flush(&[(1, 0)]).await;
    let object = |object, complete_from| CacheEntry { complete_from, ..entry(ONE, 1, object) };
    let short = backfill(&base, &[object(1, 20)]);
    let current = committed(&fixture, base, &short).await;
    let mut long = backfill(&current, &[object(2, 10)]);
    long.needs_catalog = 9;
    let current = committed(&fixture, current, &long).await;
    assert_eq!(current.value.caches, [object(2, 10)]);
    assert_eq!(current.value.needs_catalog, 9);
    let again = backfill(&current, &[object(3, 10)]);
    let same = committed(&fixture, current.clone(), &again).await;
    assert_eq!(same.version, current.version, "no commit");
}

#[tokio::test(start_paused = true)]
async fn earlier_versions_and_restored_databases_have_no_objects_of_caches() {
    let (fixture, base) = filled().await;
    let current = fixture.flush(&[(3, 0)]).await;
    assert_eq!(current.value.caches.len(), 2);
    let (version, view) = Manifest::at(&current, base.value.low_water_mark).unwrap();
    assert_eq!(view.caches, []);
    let restored = DatabaseId::new(2);
    let store = fixture.store();
    let pinned = store.pin(fixture.database, current, version, restored).await;
    pinned.unwrap();
    let adopted = store.adopt(fixture.database, &view, restored, 0, &[]).await;
    assert_eq!(adopted.unwrap().value.caches, []);
}
