use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{ArrayRef, Int64Array, TimestampNanosecondArray};
use neap_bucket::{
    Bucket, CallPhase, Clock, FaultyStore, MemoryStore, PausedClock, ProtocolMargins,
    ProtocolRules, Store, StoreFaults, World,
};
use neap_catalog::Catalog;
use neap_write::WriteServiceParts;

use super::*;

/// Longer than a write may wait.
const LONG: Duration = Duration::from_secs(3);

/// Returns an upload of two batches to a store of which the first `slow` calls take long.
fn upload_to_slow_store(slow: u32) -> RowIngest {
    let clock: Arc<dyn Clock> = Arc::new(PausedClock::new(1_700_000_000_000_000));
    let world = World::seeded(Arc::clone(&clock), 1);
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::clone(&clock)));
    let left = AtomicU32::new(slow);
    let store = FaultyStore::new(memory, world.clone(), StoreFaults::default()).with_hook(
        Arc::new(move |call| {
            let take = |left: u32| left.checked_sub(1);
            let is_slow = call.phase == CallPhase::Before
                && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
            clock.sleep(if is_slow { LONG } else { Duration::ZERO })
        }),
    );
    let bucket = Bucket::new(Arc::new(store), world);
    let rules = ProtocolRules::new(ProtocolMargins::LOCAL);
    let catalog = Arc::new(Catalog::new(bucket, ProtocolMargins::LOCAL, None));
    let service = WriteService::new(WriteServiceParts::local(&catalog, rules));
    let batch = |time| {
        let columns: [(&str, ArrayRef); 2] = [
            ("v", Arc::new(Int64Array::from(vec![1]))),
            ("time", Arc::new(TimestampNanosecondArray::from(vec![time]))),
        ];
        Ok(RecordBatch::try_from_iter(columns).unwrap())
    };
    RowIngest {
        service: Arc::new(service),
        batches: Box::pin(stream::iter([batch(1), batch(2)])),
        database: "d".to_owned(),
        mapping: ColumnMapping {
            table: "t".to_owned(),
            tags: TagColumns::ByType,
            time: TimeColumn::default(),
        },
        options: WriteOptions::default(),
        stored: 0,
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_waited_too_long_is_written_again() {
    let mut ingest = upload_to_slow_store(4);
    let part = ingest.store_part().await.unwrap().unwrap();
    assert_eq!((part.rows, ingest.stored), (2, 2));
    assert!(ingest.store_part().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn repetitions_of_a_part_end() {
    let started_at = tokio::time::Instant::now();
    let mut ingest = upload_to_slow_store(u32::MAX);
    let error = ingest.store_part().await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unavailable, "{error}");
    assert!(started_at.elapsed() < 2 * RETRY_LIMIT);
}

/// Adds a batch of more than [`PART_BYTES`] that can't be stored before the others, and notes when the last one was received.
fn with_refused_batch(ingest: &mut RowIngest) -> Arc<AtomicU32> {
    let is_at_end = Arc::new(AtomicU32::new(0));
    let end = Arc::clone(&is_at_end);
    let end = stream::once(async move { end.store(1, Ordering::Relaxed) });
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1; PART_BYTES / 4]));
    let without_fields = RecordBatch::try_from_iter([("time", times)]).unwrap();
    let batches = std::mem::replace(&mut ingest.batches, Box::pin(stream::empty()));
    ingest.batches = Box::pin(
        stream::iter([Ok(without_fields)])
            .chain(batches)
            .chain(end.filter_map(|()| async { None })),
    );
    is_at_end
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_refused_upload_is_received() {
    let mut ingest = upload_to_slow_store(0);
    let is_at_end = with_refused_batch(&mut ingest);
    assert!(total(ingest).await.is_err());
    assert_eq!(is_at_end.load(Ordering::Relaxed), 1);
    let mut ingest = upload_to_slow_store(0);
    let is_at_end = with_refused_batch(&mut ingest);
    let results: Vec<_> = parts(ingest).collect().await;
    assert!(matches!(results.as_slice(), [Err(_)]), "{results:?}");
    assert_eq!(is_at_end.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn an_upload_without_end_is_refused() {
    let refuse = async |batches| {
        let mut ingest = upload_to_slow_store(0);
        ingest.batches = batches;
        let started_at = tokio::time::Instant::now();
        ingest.refuse(Status::not_found("no table")).await;
        started_at.elapsed()
    };
    assert_eq!(refuse(Box::pin(stream::pending())).await, DISCARD_WAIT);
    let empty = RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()));
    let endless = stream::repeat_with(move || Ok(empty.clone()));
    assert_eq!(refuse(Box::pin(endless)).await, Duration::ZERO);
}
