use std::{collections::BTreeSet, ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, DictionaryArray, RecordBatch, TimestampNanosecondArray},
    datatypes::Int32Type,
};
use neap_test_inputs::cases;
use parquet::{
    arrow::ArrowWriter,
    file::{
        metadata::ParquetMetaDataReader,
        properties::{EnabledStatistics, WriterProperties},
    },
};
use proptest::prelude::*;

use super::*;

/// A row: host, zone and time.
type Key = (Option<u8>, Option<u8>, i64);

const GROUP_ROWS: usize = 20;
const PAGE_ROWS: usize = 5;

/// Returns the footer of a section with these rows, with a page every [`PAGE_ROWS`] rows.
fn section(keys: &[Key], statistics: EnabledStatistics) -> ParquetMetaData {
    let tag = |value: Option<u8>| value.map(|value| format!("{value:03}"));
    let tags = |values: Vec<Option<String>>| -> ArrayRef {
        let values = values.iter().map(Option::as_deref);
        Arc::new(values.collect::<DictionaryArray<Int32Type>>())
    };
    let times = keys.iter().map(|(.., time)| *time);
    let rows = RecordBatch::try_from_iter_with_nullable([
        ("host", tags(keys.iter().map(|key| tag(key.0)).collect()), true),
        (
            "time",
            Arc::new(TimestampNanosecondArray::from_iter_values(times)) as ArrayRef,
            false,
        ),
        ("zone", tags(keys.iter().map(|key| tag(key.1)).collect()), true),
    ])
    .unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_statistics_enabled(statistics)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    let file = writer.into_inner().unwrap();
    let mut reader = ParquetMetaDataReader::new()
        .with_page_index_policy(parquet::file::metadata::PageIndexPolicy::Optional);
    reader.try_parse(&bytes::Bytes::from(file)).unwrap();
    reader.finish().unwrap()
}

fn filter(tag: &str, values: &BTreeSet<u8>) -> TagFilter {
    TagFilter {
        tag: tag.to_owned(),
        values: values.iter().map(|value| format!("{value:03}")).collect(),
    }
}

/// Returns the numbers of the selected rows of a section.
fn selected(groups: &[SelectedRowGroup<'_>]) -> Vec<usize> {
    let mut numbers = Vec::new();
    for group in groups {
        let first = group.number * GROUP_ROWS;
        let Some(selection) = row_selection(std::slice::from_ref(group)) else {
            numbers.extend(first..first + group.rows);
            continue;
        };
        let mut at = first;
        for part in selection.iter() {
            if !part.skip {
                numbers.extend(at..at + part.row_count);
            }
            at += part.row_count;
        }
        assert_eq!(at, first + group.rows);
    }
    numbers
}

fn key() -> impl Strategy<Value = Key> {
    let tag = || proptest::option::weighted(0.9, 0..12u8);
    (tag(), tag(), 0..50i64)
}

fn values() -> impl Strategy<Value = Option<BTreeSet<u8>>> {
    proptest::option::of(proptest::collection::btree_set(0..14u8, 1..3))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(256)))]
    #[test]
    fn rows_with_the_keys_are_selected_and_no_page_without_them_by_its_bounds(
        keys in proptest::collection::btree_set(key(), 1..90),
        host in values(),
        zone in values(),
        (first, length) in (-5..55i64, 0..60i64),
        statistics in prop_oneof![
            Just(EnabledStatistics::None), Just(EnabledStatistics::Chunk), Just(EnabledStatistics::Page)
        ],
    ) {
        let keys: Vec<Key> = keys.into_iter().collect();
        let filters = [("host", &host), ("zone", &zone)]
            .into_iter()
            .filter_map(|(tag, values)| Some(filter(tag, values.as_ref()?)));
        let time = TimeInterval { min: first, max: first + length };
        let wanted = SelectedKeys { tags: filters.collect(), time };
        let has = |value: Option<u8>, values: &Option<BTreeSet<u8>>| {
            values.as_ref().is_none_or(|values| value.is_some_and(|value| values.contains(&value)))
        };
        let passes = |key: &Key| {
            has(key.0, &host) && has(key.1, &zone) && (time.min..=time.max).contains(&key.2)
        };
        let found = selected(&wanted.row_groups(&section(&keys, statistics)));
        for (number, key) in keys.iter().enumerate() {
            prop_assert!(!passes(key) || found.contains(&number), "{number}: {key:?}");
        }
        if statistics != EnabledStatistics::Page {
            return Ok(());
        }
        // A page is selected if each condition is true of a value between its bounds.
        let is_between = |of: &dyn Fn(&Key) -> Option<u8>, page: &[Key], values: &Option<BTreeSet<u8>>| {
            let (min, max) = (page.iter().filter_map(of).min(), page.iter().filter_map(of).max());
            values.as_ref().is_none_or(|values| {
                min.zip(max).is_some_and(|(min, max)| values.range(min..=max).next().is_some())
            })
        };
        for (group, rows) in keys.chunks(GROUP_ROWS).enumerate() {
            for (number, page) in rows.chunks(PAGE_ROWS).enumerate() {
                let times = page.iter().map(|key| key.2);
                let is_in_time = times.clone().min() <= Some(time.max) && times.max() >= Some(time.min);
                let is_selected = is_in_time
                    && is_between(&|key| key.0, page, &host)
                    && is_between(&|key| key.1, page, &zone);
                let row = group * GROUP_ROWS + number * PAGE_ROWS;
                prop_assert_eq!(found.contains(&row), is_selected, "row {}", row);
            }
        }
    }
}

/// A row of each of 40 hosts, each in its own zone of four.
fn hosts() -> Vec<Key> {
    (0..40).map(|host| (Some(host), Some(host % 4), 0)).collect()
}

fn of_tag(tag: &str, values: &[u8]) -> SelectedKeys {
    SelectedKeys {
        tags: vec![filter(tag, &values.iter().copied().collect())],
        time: TimeInterval::ALL,
    }
}

#[test]
fn one_page_of_a_sorted_tag_is_selected_and_needs_no_bloom_filter() {
    let metadata = section(&hosts(), EnabledStatistics::Page);
    let host = of_tag("host", &[27]);
    let groups = host.row_groups(&metadata);
    let rows: Range<usize> = 25..30;
    assert_eq!(selected(&groups), rows.collect::<Vec<_>>());
    assert!(groups.iter().all(|group| group.bloom_conditions.is_empty()));
    // Each page has all zones.
    let zone = of_tag("zone", &[2]);
    let groups = zone.row_groups(&metadata);
    assert_eq!(selected(&groups).len(), 40);
    // The columns of a section are sorted by name.
    let of_zone = [(&zone.tags[0], 2)];
    assert!(groups.iter().all(|group| group.bloom_conditions == of_zone));
}

#[test]
fn a_section_without_the_tag_has_no_selected_rows() {
    let metadata = section(&hosts(), EnabledStatistics::Page);
    let rack = of_tag("rack", &[1]);
    let groups = rack.row_groups(&metadata);
    assert_eq!(groups, []);
}

#[test]
fn selections_of_row_groups_follow_each_other() {
    let metadata = section(&hosts(), EnabledStatistics::Page);
    let hosts = of_tag("host", &[2, 21]);
    let groups = hosts.row_groups(&metadata);
    let selection = row_selection(&groups).unwrap();
    let parts = selection.iter().map(|part| (part.skip, part.row_count));
    // Rows 0 to 4 of the first group, 20 to 24 of the second.
    assert_eq!(parts.collect::<Vec<_>>(), [(false, 5), (true, 15), (false, 5), (true, 15)]);
}
