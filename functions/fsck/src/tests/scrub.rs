//! Tests of the search for damage in the background.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    scrub::{ObjectCopies, ScrubTotals, Scrubber, is_due},
    *,
};

const INTERVAL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A period in which everything is due.
const WHOLE: Range<i64> = 0..30 * 24 * 60 * 60 * 1_000_000;

/// Copies of objects by their keys.
#[derive(Debug, Default)]
struct TestCopies(BTreeMap<String, Vec<Bytes>>);

impl ObjectCopies for TestCopies {
    fn read<'a>(
        &'a self,
        key: &'a Key,
        is_intact: &'a (dyn Fn(&Bytes) -> bool + Sync),
    ) -> BoxFuture<'a, Result<Option<Bytes>, String>> {
        let mut copies = self.0.get(&key.to_string()).into_iter().flatten();
        let intact = copies.find(|copy| is_intact(copy)).cloned();
        Box::pin(std::future::ready(Ok(intact)))
    }
}

/// Returns a scrubber with a copy of each of these objects.
async fn with_copies(stage: &FsckFixture, keys: &[&Key]) -> Scrubber {
    let mut copies = TestCopies::default();
    for key in keys {
        let bytes = stage.bytes(key).await;
        copies.0.insert(key.to_string(), vec![bytes.into()]);
    }
    Scrubber::new(stage.bucket.clone(), INTERVAL, Some(Arc::new(copies)))
}

async fn bundle(stage: &FsckFixture) -> (Key, Section) {
    let section = stage.sections(CPU).await.remove(0);
    (section.key(stage.database), section)
}

/// Returns the number of sections of both tables.
async fn sections(stage: &FsckFixture) -> u64 {
    (stage.sections(CPU).await.len() + stage.sections(MEM).await.len()) as u64
}

fn first_byte(section: &Section) -> usize {
    usize::try_from(section.offset).unwrap()
}

#[tokio::test(start_paused = true)]
async fn all_sections_are_read_in_an_interval_and_nothing_is_written() {
    for stage in FsckFixture::filled().await {
        let scrubber = Scrubber::new(stage.bucket.clone(), INTERVAL, None);
        let totals = scrubber.scrub(WHOLE).await.unwrap();
        assert_eq!(totals.sections, sections(&stage).await);
        assert_eq!(totals.mended, 0);
        assert_eq!(scrubber.damaged_parts(), [""; 0]);
        assert_eq!(scrubber.scrub(5..5).await.unwrap(), ScrubTotals::default());
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_section_is_replaced_by_an_intact_copy() {
    for stage in FsckFixture::filled().await {
        let (key, section) = bundle(&stage).await;
        let whole = stage.bytes(&key).await;
        let scrubber = with_copies(&stage, &[&key]).await;
        stage.flip_bit(&key, first_byte(&section) + 10).await;
        assert_eq!(scrubber.scrub(WHOLE).await.unwrap().mended, 1);
        assert_eq!(scrubber.damaged_parts(), [""; 0]);
        assert_eq!(stage.bytes(&key).await, whole);
        assert_eq!(stage.full().await.exit_code(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_damaged_elsewhere_changes_only_the_damaged_section() {
    for stage in FsckFixture::filled().await {
        let (key, section) = bundle(&stage).await;
        let mut others = stage.sections(MEM).await.into_iter();
        let other = others.find(|other| other.object == section.object).unwrap();
        let whole = stage.bytes(&key).await;
        stage.flip_bit(&key, first_byte(&other) + 10).await;
        let scrubber = with_copies(&stage, &[&key]).await;
        stage.put(&key.to_string(), whole.clone()).await;
        stage.flip_bit(&key, first_byte(&section) + 10).await;
        assert_eq!(scrubber.scrub(WHOLE).await.unwrap().mended, 1);
        assert_eq!(scrubber.damaged_parts(), [""; 0]);
        assert_eq!(stage.bytes(&key).await, whole);
    }
}

#[tokio::test(start_paused = true)]
async fn a_truncated_object_gets_its_end_from_a_copy() {
    for stage in FsckFixture::filled().await {
        let (key, section) = bundle(&stage).await;
        let whole = stage.bytes(&key).await;
        let scrubber = with_copies(&stage, &[&key]).await;
        stage.truncate(&key, first_byte(&section) + 10).await;
        assert_eq!(scrubber.scrub(WHOLE).await.unwrap().mended, 1);
        assert_eq!(stage.bytes(&key).await, whole);
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_object_is_put_again() {
    for stage in FsckFixture::filled().await {
        let (key, _) = bundle(&stage).await;
        let scrubber = with_copies(&stage, &[&key]).await;
        stage.delete(&key).await;
        assert_eq!(scrubber.scrub(WHOLE).await.unwrap().mended, 1);
        assert_eq!(stage.full().await.exit_code(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_page_is_replaced_by_an_intact_copy() {
    let stage = FsckFixture::paged().await;
    let page = stage.manifest().await.value.pages[0].clone();
    let key = Key::Page(stage.database, page.object);
    let scrubber = with_copies(&stage, &[&key]).await;
    let at = usize::try_from(page.offset + page.size_bytes / 2).unwrap();
    stage.flip_bit(&key, at).await;
    let totals = scrubber.scrub(WHOLE).await.unwrap();
    assert_eq!(totals.mended, 1);
    assert_eq!(totals.sections, stage.sections(CPU).await.len() as u64);
    assert_eq!(stage.full().await.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_copy_replaces_nothing() {
    let stage = FsckFixture::filled_in_memory().await;
    let (key, section) = bundle(&stage).await;
    stage.flip_bit(&key, first_byte(&section) + 10).await;
    let scrubber = with_copies(&stage, &[&key]).await;
    stage.flip_bit(&key, first_byte(&section) + 20).await;
    let damaged = stage.bytes(&key).await;
    assert_eq!(scrubber.scrub(WHOLE).await.unwrap().mended, 0);
    let name = format!("{key}@{}", section.offset);
    assert_eq!(scrubber.damaged_parts(), [name]);
    assert_eq!(stage.bytes(&key).await, damaged);
}

#[tokio::test(start_paused = true)]
async fn damaged_copies_of_a_page_are_passed_over() {
    let stage = FsckFixture::paged().await;
    let page = stage.manifest().await.value.pages[0].clone();
    let key = Key::Page(stage.database, page.object);
    let intact = Bytes::from(stage.bytes(&key).await);
    let at = usize::try_from(page.offset + page.size_bytes / 2).unwrap();
    stage.flip_bit(&key, at).await;
    let damaged = Bytes::from(stage.bytes(&key).await);
    let copies = TestCopies([(key.to_string(), vec![damaged, intact.clone()])].into());
    let scrubber = Scrubber::new(stage.bucket.clone(), INTERVAL, Some(Arc::new(copies)));
    assert_eq!(scrubber.scrub(WHOLE).await.unwrap().mended, 1);
    assert_eq!(stage.bytes(&key).await, intact);
}

#[tokio::test(start_paused = true)]
async fn damage_is_reported_until_it_is_gone() {
    let stage = FsckFixture::filled_in_memory().await;
    let scrubber = Scrubber::new(stage.bucket.clone(), INTERVAL, None);
    let (key, section) = bundle(&stage).await;
    let whole = stage.bytes(&key).await;
    stage.flip_bit(&key, first_byte(&section) + 10).await;
    scrubber.scrub(WHOLE).await.unwrap();
    let name = format!("{key}@{}", section.offset);
    let parts = [name.clone()];
    assert_eq!(scrubber.damaged_parts(), parts);
    // It is read again in each pass.
    assert_eq!(scrubber.scrub(5..5).await.unwrap().sections, 1);
    assert_eq!(scrubber.damaged_parts(), parts);
    // The name is that of the command for operators.
    assert!(name.parse::<ObjectPart>().is_ok(), "{name}");
    stage.put(&key.to_string(), whole).await;
    assert_eq!(scrubber.scrub(5..5).await.unwrap().sections, 1);
    assert_eq!(scrubber.damaged_parts(), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn a_part_is_due_once_in_each_interval_however_often_passes_run(
        name in "[a-z]{1,9}",
        interval in 1..1_000_000u64,
        begin in -1_000_000_000..1_000_000_000i64,
        cuts in proptest::collection::btree_set(0..3_000_000i64, 0..20),
    ) {
        let interval = Duration::from_micros(interval);
        let length = 3 * i64::try_from(interval.as_micros()).unwrap();
        let inner = cuts.into_iter().filter(|cut| *cut < length);
        let times: Vec<i64> = [0].into_iter().chain(inner).chain([length]).collect();
        let periods = times.windows(2).map(|pair| begin + pair[0]..begin + pair[1]);
        let due = periods.filter(|period| is_due(&name, interval, period)).count();
        // A period longer than an interval counts once.
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        if longest * 3 <= length {
            prop_assert_eq!(due, 3);
        } else {
            prop_assert!((1..=3).contains(&due));
        }
    }
}
