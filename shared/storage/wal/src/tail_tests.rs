//! Tests of listing and fetching the tail.

use bytes::Bytes;
use neap_bucket::{PutMode, Store};
use proptest::prelude::*;

use super::*;
use crate::{
    EncodedRows,
    test_world::{DATABASE, TestWorld, batch_of_times},
};

fn name(stamp: u64) -> SegmentName {
    SegmentName { stamp: Stamp::from_u64(stamp), nonce: 5 }
}

fn segment(stamp: u64) -> Segment {
    let rows = EncodedRows::encode(neap_schema::TableId::new(1), &batch_of_times(&[1])).unwrap();
    Segment::encode(DATABASE, name(stamp), 0, 1, 0, &[rows], Vec::new()).unwrap()
}

async fn put(world: &TestWorld, database: DatabaseId, segment: &Segment) {
    let key = Key::Segment(database, segment.name());
    let put = world.bucket.put(&key, segment.object().clone(), PutMode::Overwrite);
    put.await.unwrap();
}

fn reader(world: &TestWorld) -> TailReader {
    TailReader::new(world.bucket.clone(), TailReaderSettings::default())
}

fn stamps(names: &[SegmentName]) -> Vec<u64> {
    names.iter().map(|name| name.stamp.as_u64()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn a_listing_has_every_segment_above_the_mark_for_all_page_sizes(
        mut present in proptest::collection::btree_set(1_u64..1000, 0..60),
        mark in 0_u64..1000,
        page_keys in 1_usize..9,
        is_sorted: bool,
        oldest in 0_usize..40,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (names, some) = runtime.block_on(async {
            let world = TestWorld::without_store_time(page_keys);
            world.store.set_sorted(is_sorted);
            for stamp in &present {
                put(&world, DATABASE, &segment(*stamp)).await;
                put(&world, DatabaseId::new(33), &segment(*stamp)).await;
            }
            let listing = reader(&world).list(DATABASE, Stamp::from_u64(mark)).await.unwrap();
            assert!(listing.first_page_date.is_some());
            assert_eq!(listing.foreign_keys, 0);
            let some = reader(&world).list_oldest(DATABASE, Stamp::from_u64(mark), oldest).await;
            (listing.names(), some.unwrap())
        });
        present.retain(|stamp| *stamp > mark);
        let present: Vec<u64> = present.into_iter().collect();
        prop_assert_eq!(stamps(&names), present.clone());
        let (first, rest) = present.split_at(oldest.min(present.len()));
        prop_assert_eq!(stamps(&some.names()), first);
        prop_assert_eq!(some.beyond.map(Stamp::as_u64), rest.first().copied());
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_has_the_dates_of_its_pages() {
    let world = TestWorld::without_store_time(1);
    let before = world.read_catalog().await;
    for stamp in 1..=3 {
        put(&world, DATABASE, &segment(stamp)).await;
    }
    world.store.delay_lists(Duration::from_secs(1));
    let listing = reader(&world).list(DATABASE, Stamp::ZERO).await.unwrap();
    let (first, last) = listing.dates.unwrap();
    assert_eq!(Some(first), listing.first_page_date);
    assert!(first >= before.plus(Duration::from_secs(1)));
    assert!(last >= first.plus(Duration::from_secs(2)));
    assert_eq!(world.store.count(Operation::List), 3);
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_not_segments_are_ignored_and_counted() {
    let world = TestWorld::new().await;
    put(&world, DATABASE, &segment(2)).await;
    for key in ["tail/3/readme.txt", "tail/3/00000000000000000002-5.wal"] {
        let put = world.store.put(key, Bytes::from_static(b"x"), PutMode::Overwrite);
        put.await.unwrap();
    }
    let listing = reader(&world).list(DATABASE, Stamp::ZERO).await.unwrap();
    assert_eq!(stamps(&listing.names()), [2]);
    assert_eq!(listing.foreign_keys, 2);
}

#[tokio::test(start_paused = true)]
async fn listing_fails_above_the_limit_and_ignores_segments_below_the_mark() {
    let world = TestWorld::without_store_time(1);
    world.store.set_sorted(false);
    for stamp in 1..=4 {
        put(&world, DATABASE, &segment(stamp)).await;
    }
    let settings = TailReaderSettings { max_segments: 3, ..TailReaderSettings::default() };
    let reader = TailReader::new(world.bucket.clone(), settings);
    let error = reader.list(DATABASE, Stamp::ZERO).await.unwrap_err();
    assert!(matches!(error, TailError::TooLong { segments: 3, .. }), "{error}");
    let lists = world.store.count(Operation::List);
    let listing = reader.list(DATABASE, Stamp::from_u64(1)).await.unwrap();
    assert_eq!(stamps(&listing.names()), [2, 3, 4]);
    assert_eq!(world.store.count(Operation::List) - lists, 4);
}

#[tokio::test(start_paused = true)]
async fn a_listing_of_the_oldest_ends_with_the_page_that_has_the_next_one_if_the_store_sorts() {
    let world = TestWorld::without_store_time(10);
    for stamp in 1..=100 {
        put(&world, DATABASE, &segment(stamp)).await;
    }
    let pages = async |is_sorted, oldest| {
        world.store.set_sorted(is_sorted);
        let before = world.store.count(Operation::List);
        let reader = reader(&world);
        let listing = reader.list_oldest(DATABASE, Stamp::ZERO, oldest).await.unwrap();
        assert_eq!(listing.beyond, Some(Stamp::from_u64(oldest as u64 + 1)));
        world.store.count(Operation::List) - before
    };
    assert_eq!(pages(true, 19).await, 2);
    assert_eq!(pages(true, 20).await, 3);
    assert_eq!(pages(false, 20).await, 10);
    // The store promises an order and does not keep it.
    world.store.claim_sorted();
    assert_eq!(pages(false, 20).await, 10);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_segments_of_a_tail_of_any_length_are_listed() {
    let world = TestWorld::new().await;
    for stamp in 1..=101_000 {
        let key = Key::Segment(DATABASE, name(stamp));
        let put = world.bucket.put(&key, Bytes::new(), PutMode::Overwrite);
        put.await.unwrap();
    }
    let reader = reader(&world);
    let error = reader.list(DATABASE, Stamp::ZERO).await.unwrap_err();
    assert!(matches!(error, TailError::TooLong { .. }), "{error}");
    let before = world.store.count(Operation::List);
    let listing = reader.list_oldest(DATABASE, Stamp::ZERO, 14_999).await.unwrap();
    assert_eq!(listing.segments.len(), 14_999);
    assert_eq!(listing.beyond, Some(Stamp::from_u64(15_000)));
    assert_eq!(world.store.count(Operation::List) - before, 15);
    let state = listing.state_above(Stamp::from_u64(4_000)).unwrap();
    assert_eq!(state.segments, 10_999);
    assert_eq!(state.oldest, Some(Stamp::from_u64(4_001).time()));
    assert_eq!(Some(state.listed), listing.first_page_date);
}

#[tokio::test(start_paused = true)]
async fn segments_of_one_stamp_are_listed_together() {
    let world = TestWorld::without_store_time(2);
    for (stamp, nonce) in [(1, 1), (2, 1), (2, 2), (2, 3), (3, 1)] {
        let stamp = Stamp::from_u64(stamp);
        let key = Key::Segment(DATABASE, SegmentName { stamp, nonce });
        let put = world.bucket.put(&key, Bytes::new(), PutMode::Overwrite);
        put.await.unwrap();
    }
    for is_sorted in [true, false] {
        world.store.set_sorted(is_sorted);
        let reader = reader(&world);
        let listing = reader.list_oldest(DATABASE, Stamp::ZERO, 2).await.unwrap();
        assert_eq!(stamps(&listing.names()), [1, 2, 2, 2]);
        assert_eq!(listing.beyond, Some(Stamp::from_u64(3)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_listing_times_out() {
    let world = TestWorld::new().await;
    world.store.delay_lists(Duration::from_secs(3600));
    let error = reader(&world).list(DATABASE, Stamp::ZERO).await.unwrap_err();
    assert!(matches!(error, TailError::Store(StoreError::Unavailable { .. })), "{error}");
}

#[tokio::test(start_paused = true)]
async fn segments_are_fetched_once_in_the_order_asked_for() {
    let world = TestWorld::new().await;
    let all: Vec<_> = (1..=100).map(name).collect();
    for stamp in 1..=100 {
        put(&world, DATABASE, &segment(stamp)).await;
    }
    let reader = reader(&world);
    let before = world.store.count(Operation::Get);
    for _ in 0..2 {
        let fetched = reader.fetch(DATABASE, &all).await.unwrap();
        let names: Vec<_> = fetched.segments.iter().map(|segment| segment.name()).collect();
        assert_eq!(names, all);
        assert_eq!(world.store.count(Operation::Get) - before, 100);
    }
    assert!(world.store.max_concurrent_gets() <= MAX_CONCURRENT_FETCHES);
    assert!(world.store.max_concurrent_gets() > 1);
}

#[tokio::test(start_paused = true)]
async fn missing_segments_are_named() {
    let world = TestWorld::new().await;
    put(&world, DATABASE, &segment(2)).await;
    let names = [name(1), name(2), name(3)];
    let fetched = reader(&world).fetch(DATABASE, &names).await.unwrap();
    assert_eq!(fetched.segments.len(), 1);
    assert_eq!(fetched.missing, [name(1), name(3)]);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_segment_is_an_error_with_its_name() {
    let world = TestWorld::new().await;
    let key = Key::Segment(DATABASE, name(1));
    let empty = world.bucket.put(&key, Bytes::new(), PutMode::Overwrite);
    empty.await.unwrap();
    let error = reader(&world).fetch(DATABASE, &[name(1)]).await.unwrap_err();
    assert!(error.to_string().contains(&key.to_string()), "{error}");
    assert!(matches!(error, TailError::Segment(_)));
    put(&world, DATABASE, &segment(2)).await;
    let names = [name(1), name(2), name(3)];
    let fetched = reader(&world).fetch_readable(DATABASE, &names).await.unwrap();
    assert_eq!(fetched.segments.len(), 1);
    assert_eq!(fetched.missing, [name(3)]);
    let [(unreadable, error)] = &fetched.unreadable[..] else {
        panic!("{:?}", fetched.unreadable);
    };
    assert_eq!(*unreadable, name(1));
    assert!(error.to_string().contains(&key.to_string()), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_segment_is_read_once_more_and_again_when_it_is_asked_for() {
    let world = TestWorld::new().await;
    let whole = segment(1);
    let key = Key::Segment(DATABASE, name(1));
    let mut bytes = whole.object().to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let flipped = world.bucket.put(&key, bytes.into(), PutMode::Overwrite);
    flipped.await.unwrap();
    let reader = reader(&world);
    let before = world.store.count(Operation::Get);
    let fetched = reader.fetch(DATABASE, &[name(1)]).await.unwrap();
    assert!(fetched.segments[0].is_damaged());
    assert_eq!(world.store.count(Operation::Get) - before, 2);
    put(&world, DATABASE, &whole).await;
    let fetched = reader.fetch(DATABASE, &[name(1)]).await.unwrap();
    assert!(!fetched.segments[0].is_damaged());
}

#[tokio::test(start_paused = true)]
async fn an_inserted_segment_is_served_from_the_cache() {
    let world = TestWorld::new().await;
    let reader = reader(&world);
    reader.insert(Arc::new(segment(1)));
    let fetched = reader.fetch(DATABASE, &[name(1)]).await.unwrap();
    assert_eq!(fetched.segments.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn flushed_segments_leave_the_cache_and_can_be_read_again() {
    let world = TestWorld::new().await;
    let reader = reader(&world);
    for stamp in 1..=3 {
        put(&world, DATABASE, &segment(stamp)).await;
    }
    let all = [name(1), name(2), name(3)];
    reader.fetch(DATABASE, &all).await.unwrap();
    let bytes = reader.cached_bytes();
    reader.evict(DatabaseId::new(77), all.into_iter());
    assert_eq!(reader.cached_bytes(), bytes, "another database is flushed");
    reader.evict(DATABASE, all.into_iter().take(2));
    assert_eq!(reader.cached_bytes(), bytes / 3);
    let before = world.store.count(Operation::Get);
    let fetched = reader.fetch(DATABASE, &all).await.unwrap();
    assert_eq!(fetched.segments.len(), 3);
    assert_eq!(world.store.count(Operation::Get) - before, 2);
}

#[tokio::test(start_paused = true)]
async fn the_cache_is_bounded_and_keeps_the_newest_segments() {
    let world = TestWorld::new().await;
    let one = u64::from(weight(&segment(1)));
    let settings = TailReaderSettings { cache_bytes: 10 * one, ..TailReaderSettings::default() };
    let reader = TailReader::new(world.bucket.clone(), settings);
    for stamp in 1..=100 {
        reader.insert(Arc::new(segment(stamp)));
        assert!(reader.cached_bytes() <= 10 * one);
    }
    assert!(reader.cached_bytes() > 5 * one);
    let newest = reader.fetch(DATABASE, &[name(100)]).await.unwrap();
    assert_eq!(newest.segments.len(), 1);
}
