//! The cost of a snapshot, and its contents under concurrency.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use neap_bucket::{Key, Operation, Stamp, StoreTime};
use neap_catalog::{ANY_AGE, CatalogError, TableAddition};
use neap_schema::ColumnType;
use neap_wal::{SegmentObserver, StampError, TailReader, TailReaderSettings};

use super::{DATABASE, Instance, ManifestTestBed, RequestCounts, stamps_of};
use crate::{
    ManifestError, ResponseMismatch, SnapshotError, SnapshotOptions, SnapshotReader,
    SnapshotSettings,
};

const MINUTE: Duration = Duration::from_secs(60);

const SOLE_WRITER: SnapshotSettings = SnapshotSettings {
    sole_writer: true,
    retained_bytes: 256 << 20,
    max_tail_bytes: 1 << 30,
    timeout: MINUTE,
};

/// Returns a stage with a writer and a reader.
fn stage() -> (ManifestTestBed, Instance, Instance) {
    let stage = ManifestTestBed::new();
    let writer = stage.instance(1, SnapshotSettings::default());
    let reader = stage.instance(2, SnapshotSettings::default());
    (stage, writer, reader)
}

fn requests(lists: usize, gets: usize) -> RequestCounts {
    let puts = 0;
    RequestCounts { lists, gets, puts }
}

fn stale(max_staleness: Duration) -> SnapshotOptions {
    SnapshotOptions { max_staleness, at_least: None, as_of: None }
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_snapshot_costs_a_list_and_two_gets_and_shares_its_parts() {
    let (stage, writer, reader) = stage();
    writer.write(0).await.unwrap();
    let first = reader.read().await.unwrap();
    stage.sleep(MINUTE).await;
    stage.taken();
    let second = reader.read().await.unwrap();
    assert_eq!(stage.taken(), requests(1, 2));
    assert!(Arc::ptr_eq(&first.tail, &second.tail));
    assert!(Arc::ptr_eq(&first.manifest.value, &second.manifest.value));
    assert!(Arc::ptr_eq(&first.catalog.value, &second.catalog.value));
    assert!(second.shown > first.shown);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_has_the_identity_of_an_earlier_one_with_the_same_contents_only() {
    let (stage, writer, reader) = stage();
    writer.write(0).await.unwrap();
    let identity = reader.read().await.unwrap().identity();
    stage.sleep(MINUTE).await;
    assert!(identity.matches(&reader.read().await.unwrap()));
    writer.write(0).await.unwrap();
    let changed = reader.read().await.unwrap();
    assert!(!identity.matches(&changed));
    assert!(changed.identity().matches(&changed));
}

#[tokio::test(start_paused = true)]
async fn each_new_segment_costs_a_get_once() {
    let (stage, writer, reader) = stage();
    reader.read().await.unwrap();
    let mut written = Vec::new();
    for _ in 0..3 {
        written.push(writer.write(0).await.unwrap());
    }
    stage.taken();
    // A listing page of this store has at most three segments.
    assert_eq!(stamps_of(&reader.read().await.unwrap()), written);
    assert_eq!(stage.taken(), requests(1, 2 + 3));
    written.push(writer.write(0).await.unwrap());
    stage.taken();
    assert_eq!(stamps_of(&reader.read().await.unwrap()), written);
    assert_eq!(stage.taken(), requests(2, 2 + 1));
}

#[tokio::test(start_paused = true)]
async fn a_flushed_tail_leaves_the_snapshot() {
    let (stage, writer, reader) = stage();
    let first = writer.write(0).await.unwrap();
    stage.sleep(MINUTE).await;
    let second = writer.write(0).await.unwrap();
    assert_eq!(stamps_of(&reader.read().await.unwrap()), [first, second]);
    let cached = || reader.tail.cached_bytes();
    let before = cached();
    writer.flush(first).await;
    let snapshot = reader.read().await.unwrap();
    assert_eq!(stamps_of(&snapshot), [second]);
    assert_eq!(cached(), before / 2, "the flushed segment is in memory");
    assert_eq!((snapshot.mark(), snapshot.manifest.value.section_count()), (first, 1));
    assert!(snapshot.covers(first) && snapshot.covers(second));
    stage.taken();
    reader.read().await.unwrap();
    assert_eq!(stage.taken(), requests(1, 2), "it lists above the new mark");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_within_the_staleness_costs_nothing() {
    let (stage, writer, reader) = stage();
    let first = reader.reader.read(DATABASE, stale(MINUTE)).await.unwrap();
    let written = writer.write(0).await.unwrap();
    stage.taken();
    let second = reader.reader.read(DATABASE, stale(MINUTE)).await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(stage.taken(), requests(0, 0));
    let at_least = SnapshotOptions { at_least: Some(written), ..stale(MINUTE) };
    let third = reader.reader.read(DATABASE, at_least).await.unwrap();
    assert_eq!(stamps_of(&third), [written]);
    assert_eq!(stage.taken().lists, 1, "the stale one lacks the stamp");
    reader.reader.read(DATABASE, at_least).await.unwrap();
    assert_eq!(stage.taken(), requests(0, 0));
    stage.sleep(MINUTE * 2).await;
    reader.reader.read(DATABASE, stale(MINUTE)).await.unwrap();
    assert_eq!(stage.taken().lists, 1);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_grows_stale_while_the_monotonic_clock_stands_still() {
    let (stage, _, reader) = stage();
    reader.reader.read(DATABASE, stale(MINUTE)).await.unwrap();
    stage.clock.step_wall_clock(MINUTE * 2);
    stage.taken();
    reader.reader.read(DATABASE, stale(MINUTE)).await.unwrap();
    assert_eq!(stage.taken().lists, 1);
}

#[tokio::test(start_paused = true)]
async fn readers_that_arrive_during_a_list_share_the_next_one_and_see_earlier_writes() {
    let (stage, writer, reader) = stage();
    reader.read().await.unwrap();
    let slow = stage.clone();
    stage.before(Operation::List, "tail/", async move {
        slow.sleep(Duration::from_secs(10)).await;
    });
    let first = reader.read();
    let later = async {
        stage.sleep(Duration::from_secs(5)).await;
        let written = writer.write(0).await.unwrap();
        stage.taken();
        let reads = join_all((0..10).map(|_| reader.read())).await;
        for snapshot in reads {
            assert_eq!(stamps_of(&snapshot.unwrap()), [written]);
        }
        assert_eq!(stage.taken().lists, 1);
    };
    let (first, ()) = futures::join!(first, later);
    assert!(first.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_reader_unblocks_the_next_one() {
    let (stage, writer, reader) = stage();
    let written = writer.write(0).await.unwrap();
    let slow = stage.clone();
    stage.before(Operation::List, "tail/", async move {
        slow.sleep(MINUTE * 60).await;
    });
    let world = reader.bucket.world().clone();
    let given_up = world.timeout(Duration::from_secs(1), reader.read());
    let (given_up, snapshot) = futures::join!(given_up, reader.read());
    assert!(given_up.is_none());
    assert_eq!(stamps_of(&snapshot.unwrap()), [written]);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_store_times_out() {
    let stage = ManifestTestBed::new();
    let settings = SnapshotSettings { timeout: MINUTE / 2, ..SnapshotSettings::default() };
    let reader = stage.instance(1, settings);
    let slow = stage.clone();
    stage.before(Operation::Get, "db/1/manifest", async move {
        slow.sleep(MINUTE * 60).await;
    });
    assert!(matches!(reader.read().await, Err(SnapshotError::TimedOut { .. })));
    assert!(reader.read().await.is_ok());
    stage.before(Operation::Get, "db/1/manifest", async { std::future::pending().await });
    let read = reader.manifests.read(DATABASE, None).await;
    assert!(matches!(read, Err(ManifestError::Store(_))));
}

#[tokio::test(start_paused = true)]
async fn responses_too_far_apart_by_any_clock_are_not_combined() {
    for by in ["monotonic", "wall", "store"] {
        let (stage, writer, reader) = stage();
        let written = writer.write(0).await.unwrap();
        let freeze = stage.clone();
        stage.before(Operation::Get, "db/1/manifest", async move {
            let long = Duration::from_secs(31);
            match by {
                "monotonic" => freeze.sleep(long).await,
                "wall" => freeze.clock.step_wall_clock(long),
                _ => freeze.store_clock.step_wall_clock(long),
            }
        });
        stage.taken();
        let snapshot = reader.read().await.unwrap();
        assert_eq!(stamps_of(&snapshot), [written], "{by}");
        assert_eq!(stage.taken(), requests(2, 4 + 1), "{by}");
    }
}

#[tokio::test(start_paused = true)]
async fn responses_that_are_never_consistent_are_an_error() {
    let (stage, _, reader) = stage();
    for _ in 0..4 {
        let freeze = stage.clone();
        stage.before(Operation::Get, "db/1/manifest", async move {
            freeze.store_clock.step_wall_clock(Duration::from_secs(31));
        });
    }
    let error = reader.read().await.unwrap_err();
    assert!(matches!(
        &error,
        SnapshotError::Inconsistent { reason: ResponseMismatch::Span { .. } }
    ));
    assert_eq!(error.to_string(), "no consistent snapshot: the responses are 31 s apart");
    assert!(reader.read().await.is_ok());
}

async fn add_table(instance: &Instance, name: &str) -> u64 {
    let known = instance.catalog.database(DATABASE, ANY_AGE).await.unwrap();
    let addition = TableAddition {
        table: name.to_owned(),
        columns: vec![("host".to_owned(), ColumnType::Tag)],
    };
    let added = instance.catalog.add(DATABASE, known, &[addition]).await;
    added.unwrap().version
}

#[tokio::test(start_paused = true)]
async fn data_that_needs_a_newer_catalog_causes_another_catalog_read() {
    let (stage, writer, reader) = stage();
    add_table(&writer, "old").await;
    reader.read().await.unwrap();
    let pause = stage.clone();
    stage.before(Operation::List, "tail/", async move {
        // The response for the catalog has arrived.
        pause.sleep(Duration::from_secs(1)).await;
        let version = add_table(&writer, "new").await;
        writer.write(version).await.unwrap();
        pause.taken();
    });
    let snapshot = reader.read().await.unwrap();
    assert!(snapshot.catalog.value.table("new").is_some());
    assert_eq!(snapshot.tail.len(), 1);
    assert_eq!(stage.taken(), requests(0, 1 + 1), "the segment and the catalog");
}

#[tokio::test(start_paused = true)]
async fn data_whose_catalog_never_appears_is_an_error() {
    let (_, writer, reader) = stage();
    add_table(&writer, "old").await;
    writer.write(7).await.unwrap();
    assert!(matches!(
        reader.read().await,
        Err(SnapshotError::Inconsistent { reason: ResponseMismatch::CatalogOutdated })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_lost_catalog_is_an_error_that_names_it() {
    let (_, writer, reader) = stage();
    writer.write(7).await.unwrap();
    let error = reader.read().await.unwrap_err();
    assert!(matches!(error, SnapshotError::Catalog(CatalogError::Missing(_))), "{error:?}");
    let text = format!("'db/{DATABASE}/catalog' is missing, although 'tail/{DATABASE}/");
    assert!(error.to_string().starts_with(&text), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_manifest_is_an_error_that_names_it_for_readers_that_knew_it_and_others() {
    let (stage, writer, reader) = stage();
    let version = add_table(&writer, "t").await;
    let first = writer.write(version).await.unwrap();
    stage.sleep(MINUTE).await;
    writer.flush(first).await;
    let key = Key::Manifest(DATABASE);
    writer.catalog.record_register(&key).await.unwrap();
    assert_eq!(reader.read().await.unwrap().mark(), first);
    let deleted = [key.to_string()];
    stage.bucket(3).delete(&deleted).await.unwrap();
    for reader in [reader, stage.instance(4, SnapshotSettings::default())] {
        for _ in 0..2 {
            let error = reader.read().await.unwrap_err();
            assert!(matches!(error, SnapshotError::Catalog(CatalogError::Missing(_))), "{error:?}");
            let text = format!("'{key}' is missing, although a catalog records it");
            assert!(error.to_string().starts_with(&text), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_is_created_after_it_was_read_is_not_lost() {
    let (stage, writer, reader) = stage();
    let version = add_table(&writer, "t").await;
    let first = writer.write(version).await.unwrap();
    stage.sleep(MINUTE).await;
    let late = stage.clone();
    stage.before(Operation::Get, "db/1/catalog", async move {
        // The response for the manifest has arrived.
        late.sleep(Duration::from_secs(1)).await;
        writer.flush(first).await;
        writer.catalog.record_register(&Key::Manifest(DATABASE)).await.unwrap();
    });
    assert_eq!(reader.read().await.unwrap().mark(), first);
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_is_gone_is_found_in_the_newer_manifest() {
    let (stage, writer, reader) = stage();
    let first = writer.write(0).await.unwrap();
    stage.sleep(MINUTE).await;
    let second = writer.write(0).await.unwrap();
    let slow = stage.clone();
    stage.before(Operation::Get, "tail/", async move {
        writer.flush(first).await;
        writer.collect(first).await;
        slow.taken();
    });
    let snapshot = reader.read().await.unwrap();
    assert_eq!(stamps_of(&snapshot), [second]);
    assert_eq!((snapshot.mark(), snapshot.manifest.value.section_count()), (first, 1));
    assert_eq!(stage.taken(), requests(0, 1 + 1), "the other segment and the manifest");
}

#[tokio::test(start_paused = true)]
async fn a_read_retries_when_a_segment_is_gone_without_a_flush() {
    let (stage, writer, reader) = stage();
    writer.write(0).await.unwrap();
    let counted = stage.clone();
    stage.before(Operation::Get, "tail/", async move {
        writer.collect(Stamp::from_u64(u64::MAX)).await;
        counted.taken();
    });
    let snapshot = reader.read().await.unwrap();
    assert!(snapshot.tail.is_empty());
    assert_eq!(stage.taken().lists, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stamp_ahead_of_the_store_is_refused() {
    let (stage, _, reader) = stage();
    let read = |ahead: Duration| {
        let now = StoreTime::from_micros(neap_bucket::Clock::wall_micros(&*stage.store_clock));
        let at_least = Some(Stamp::new(now.plus(ahead), 0));
        let options = SnapshotOptions { at_least, ..SnapshotOptions::default() };
        reader.reader.read(DATABASE, options)
    };
    assert!(read(Duration::from_secs(1)).await.is_ok());
    assert!(matches!(
        read(Duration::from_secs(30)).await,
        Err(SnapshotError::Stamp(StampError::Ahead { .. }))
    ));
    assert!(matches!(
        read(MINUTE * 2).await,
        Err(SnapshotError::Stamp(StampError::FarAhead { .. }))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_sole_writer_lists_once_and_reads_no_segment() {
    let stage = ManifestTestBed::new();
    let earlier = stage.instance(1, SnapshotSettings::default());
    let process = stage.instance(2, SOLE_WRITER);
    let mut written = vec![earlier.write(0).await.unwrap()];
    stage.taken();
    assert_eq!(stamps_of(&process.read().await.unwrap()), written);
    assert_eq!(stage.taken(), requests(1, 2 + 1));
    for _ in 0..3 {
        written.push(process.write(0).await.unwrap());
    }
    stage.taken();
    assert_eq!(stamps_of(&process.read().await.unwrap()), written);
    assert_eq!(stage.taken(), requests(0, 2));
    process.flush(written[1]).await;
    stage.taken();
    assert_eq!(stamps_of(&process.read().await.unwrap()), written[2..]);
    assert_eq!(stage.taken(), requests(0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_segment_put_during_the_first_list_is_kept() {
    let stage = ManifestTestBed::new();
    let process = stage.instance(2, SOLE_WRITER);
    let (slow, writer) = (stage.clone(), process.clone());
    stage.before(Operation::Get, "db/1/catalog", async move {
        // The response of the listing has arrived.
        slow.sleep(Duration::from_secs(1)).await;
        writer.write(0).await.unwrap();
    });
    assert!(process.read().await.unwrap().tail.is_empty());
    stage.taken();
    assert_eq!(process.read().await.unwrap().tail.len(), 1);
    assert_eq!(stage.taken(), requests(0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_sole_writer_lists_again_after_unknown_puts() {
    let stage = ManifestTestBed::new();
    let process = stage.instance(1, SOLE_WRITER);
    let stranger = stage.instance(2, SnapshotSettings::default());
    process.read().await.unwrap();
    let foreign = stranger.write(0).await.unwrap();
    assert!(process.read().await.unwrap().tail.is_empty());

    let at_least = SnapshotOptions { at_least: Some(foreign), ..SnapshotOptions::default() };
    let seen = process.reader.read(DATABASE, at_least).await.unwrap();
    assert_eq!(stamps_of(&seen), [foreign]);

    let second = stranger.write(0).await.unwrap();
    process.reader.put_unknown(DATABASE);
    assert_eq!(stamps_of(&process.read().await.unwrap()), [foreign, second]);
    let third = stranger.write(0).await.unwrap();
    assert_eq!(process.read().await.unwrap().tail.len(), 2);
    process.reader.end_sole_writer();
    assert_eq!(stamps_of(&process.read().await.unwrap()), [foreign, second, third]);
    stage.taken();
    process.read().await.unwrap();
    assert_eq!(stage.taken(), requests(1, 2));
}

#[tokio::test(start_paused = true)]
async fn distrust_during_the_first_list_causes_another_list() {
    let stage = ManifestTestBed::new();
    let process = stage.instance(1, SOLE_WRITER);
    let (slow, doubtful) = (stage.clone(), process.clone());
    stage.before(Operation::Get, "db/1/catalog", async move {
        slow.sleep(Duration::from_secs(1)).await;
        doubtful.reader.distrust(DATABASE);
    });
    process.read().await.unwrap();
    stage.taken();
    process.read().await.unwrap();
    assert_eq!(stage.taken().lists, 1);
}

#[tokio::test(start_paused = true)]
async fn retained_snapshots_have_an_age() {
    let stage = ManifestTestBed::new();
    let process = stage.instance(1, SOLE_WRITER);
    assert!(process.reader.ages().is_empty());
    process.read().await.unwrap();
    stage.sleep(Duration::from_secs(3)).await;
    assert_eq!(process.reader.ages(), [Duration::from_secs(3)]);
}

#[tokio::test(start_paused = true)]
async fn retained_bytes_are_bounded_and_a_tail_that_does_not_fit_is_listed() {
    let stage = ManifestTestBed::new();
    let settings = SnapshotSettings { retained_bytes: 4 << 10, ..SOLE_WRITER };
    let process = stage.instance(1, settings);
    let mut written = Vec::new();
    for n in 0..30 {
        written.push(process.write(0).await.unwrap());
        let snapshot = process.read().await.unwrap();
        assert_eq!(stamps_of(&snapshot), written, "{n}");
        assert!(process.reader.retained_bytes() <= 4 << 10);
    }
    stage.slow_down(Duration::from_millis(10));
    stage.taken();
    let reads = join_all((0..5).map(|_| process.read())).await;
    assert!(reads.iter().all(|read| read.as_ref().unwrap().tail.len() == 30));
    assert_eq!(stage.taken().lists, 10 * 2, "the first one, and one for all who waited");
}

#[tokio::test(start_paused = true)]
async fn a_tail_that_does_not_fit_in_memory_is_refused_before_it_is_fetched() {
    let stage = ManifestTestBed::new();
    let writer = stage.instance(1, SnapshotSettings::default());
    writer.write(0).await.unwrap();
    let one = writer.read().await.unwrap().tail[0].size_bytes();
    let settings = SnapshotSettings { max_tail_bytes: one, ..SnapshotSettings::default() };
    let reader = stage.instance(2, settings);
    assert_eq!(reader.read().await.unwrap().tail.len(), 1);
    writer.write(0).await.unwrap();
    stage.taken();
    let error = reader.read().await.unwrap_err();
    assert_eq!(stage.taken(), requests(1, 2));
    let SnapshotError::TailTooLarge { segments, bytes, limit, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((segments, bytes, limit), (2, 2 * one as u64, one));
}

#[tokio::test(start_paused = true)]
async fn a_tail_that_is_too_long_still_allows_reads_of_flushed_states() {
    let (stage, writer, _) = stage();
    writer.write(0).await.unwrap();
    stage.sleep(MINUTE).await;
    let mark = Stamp::end_of(writer.bucket.clock().now().unwrap());
    writer.flush(mark).await;
    for _ in 0..3 {
        stage.sleep(MINUTE).await;
        writer.write(0).await.unwrap();
    }
    stage.sleep(MINUTE).await;
    let settings = TailReaderSettings { max_segments: 2, ..TailReaderSettings::default() };
    let reader = SnapshotReader::new(
        writer.manifests.clone(),
        Arc::clone(&writer.catalog),
        TailReader::new(writer.bucket.clone(), settings),
        writer.rules,
        SnapshotSettings::default(),
    );
    let error = reader.read(DATABASE, SnapshotOptions::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "more than 2 segments are unflushed, the maximum that a query reads; the oldest is 180 s old"
    );
    assert_eq!(error.retry_after(), Some(Duration::from_secs(5)));
    stage.taken();
    let snapshot = reader.read(DATABASE, as_of(mark)).await.unwrap();
    assert_eq!((snapshot.mark(), snapshot.as_of), (mark, Some(mark)));
    assert_eq!(snapshot.manifest.value.sections.len(), 1);
    assert_eq!(stamps_of(&snapshot), []);
    let later = Stamp::from_u64(mark.as_u64() + 1);
    let error = reader.read(DATABASE, as_of(later)).await.unwrap_err();
    assert!(matches!(error, SnapshotError::TailTooLong { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_tail_that_is_too_long_is_listed_again_above_the_present_mark() {
    let (stage, writer, _) = stage();
    let settings = TailReaderSettings { max_segments: 2, ..TailReaderSettings::default() };
    let reader = SnapshotReader::new(
        writer.manifests.clone(),
        Arc::clone(&writer.catalog),
        TailReader::new(writer.bucket.clone(), settings),
        writer.rules,
        SnapshotSettings::default(),
    );
    let read = async || {
        let snapshot = reader.read(DATABASE, SnapshotOptions::default());
        snapshot.await.unwrap()
    };
    writer.write(0).await.unwrap();
    assert_eq!(read().await.tail.len(), 1);
    for _ in 0..2 {
        writer.write(0).await.unwrap();
    }
    stage.sleep(MINUTE).await;
    let mark = Stamp::end_of(writer.bucket.clock().now().unwrap());
    writer.flush(mark).await;
    stage.taken();
    let snapshot = read().await;
    assert_eq!(stage.taken().lists, 2);
    assert_eq!((snapshot.mark(), snapshot.tail.len()), (mark, 0));
}

#[tokio::test(start_paused = true)]
async fn an_empty_database_has_an_empty_snapshot() {
    let (stage, _, reader) = stage();
    let snapshot = reader.read().await.unwrap();
    assert_eq!((snapshot.mark(), snapshot.tail.len()), (Stamp::ZERO, 0));
    assert_eq!(stage.taken(), requests(1, 2));
}

fn as_of(stamp: Stamp) -> SnapshotOptions {
    SnapshotOptions { as_of: Some(stamp), ..SnapshotOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_the_present_version_has_the_tail_up_to_the_stamp() {
    let (_, writer, reader) = stage();
    let mut written = Vec::new();
    for _ in 0..3 {
        written.push(writer.write(0).await.unwrap());
    }
    let snapshot = reader.reader.read(DATABASE, as_of(written[1])).await.unwrap();
    assert_eq!(stamps_of(&snapshot), written[..2]);
    assert_eq!(snapshot.as_of, Some(written[1]));
    // Snapshots of other readers are unchanged.
    let snapshot = reader.read().await.unwrap();
    assert_eq!((stamps_of(&snapshot), snapshot.as_of), (written, None));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_an_earlier_version_has_its_sections_and_no_tail() {
    let (stage, writer, reader) = stage();
    let mut marks = Vec::new();
    for _ in 0..3 {
        writer.write(0).await.unwrap();
        stage.sleep(MINUTE).await;
        let mark = Stamp::end_of(writer.bucket.clock().now().unwrap());
        writer.flush(mark).await;
        marks.push(mark);
        stage.sleep(MINUTE).await;
    }
    let last = writer.write(0).await.unwrap();
    let between = Stamp::from_u64(marks[2].as_u64() - 1);
    let snapshot = reader.reader.read(DATABASE, as_of(between)).await.unwrap();
    assert_eq!(snapshot.manifest.value.sections.len(), 2);
    assert_eq!((snapshot.mark(), snapshot.as_of), (marks[1], Some(marks[1])));
    assert_eq!(stamps_of(&snapshot), []);
    let snapshot = reader.reader.read(DATABASE, as_of(last)).await.unwrap();
    assert_eq!(snapshot.manifest.value.sections.len(), 3);
    assert_eq!(stamps_of(&snapshot), [last]);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_a_version_that_is_gone_is_an_error() {
    let (_, writer, reader) = stage();
    writer.flush(Stamp::from_u64(5 << 40)).await;
    let change = |base: &neap_bucket::VersionedValue<crate::Manifest>| {
        let mut next = crate::Manifest::successor(base);
        next.oldest_readable = base.version;
        Ok::<_, ()>(neap_bucket::RegisterChange::Put(next, ()))
    };
    let register = writer.manifests.register(DATABASE);
    register.commit(None, change).await.unwrap();
    let gone = reader.reader.read(DATABASE, as_of(Stamp::from_u64(1 << 40))).await;
    assert!(matches!(
        gone,
        Err(SnapshotError::VersionGone(gone)) if gone.oldest == Some(Stamp::from_u64(5 << 40))
    ));
}
