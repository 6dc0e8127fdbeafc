//! Tests that last value caches, in any division into layers, match the definition over all rows.

use std::{sync::Arc, time::Duration};

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray,
    TimestampNanosecondArray, types::Int32Type,
};
use arrow_schema::Schema;
use neap_points::TailImageBuilder;
use neap_row_delete::Condition;
use neap_schema::{CacheId, ColumnType};
use proptest::prelude::*;

use crate::{
    CacheError, KeyFilter, KeyPredicate, LastCacheQuery, LastCacheShape, LastRows, LastRowsBuilder,
    LastTailIndex, decode_last, encode_last,
    test_model::{
        FIELDS, HistoryPortion, ModelPoints, ModelRow, TAGS, TableHistoryStep, TestFilter, batch,
        filters, points, portions, rendered, scan, schema, tags,
    },
};

const TTL: Duration = Duration::from_secs(1);

const NO_LIMIT: usize = usize::MAX;

fn shape(keys: &[String], is_wide: bool, count: usize) -> LastCacheShape {
    LastCacheShape::new(keys.to_vec(), tags(is_wide), schema(is_wide), count, TTL).unwrap()
}

/// Computes the expected rows from the definition.
fn expected(
    points: &ModelPoints,
    shape: &LastCacheShape,
    filters: &[TestFilter],
    wanted: &LastCacheQuery<'_>,
) -> Vec<Vec<Option<String>>> {
    let tag = |name: &String| TAGS.iter().position(|tag| tag == name).unwrap();
    let keys: Vec<usize> = shape.keys().iter().map(tag).collect();
    let mut rows: Vec<_> = points
        .iter()
        .filter(|((tags, time), _)| {
            *time >= wanted.from && keys.iter().all(|key| tags[*key].is_some())
        })
        .map(|((tags, time), fields)| {
            let key: Vec<_> = keys.iter().map(|key| tags[*key].clone()).collect();
            (key, -time, tags.clone(), fields)
        })
        .collect();
    rows.sort();
    let mut taken: Vec<_> = rows
        .chunk_by(|one, other| one.0 == other.0)
        .flat_map(|key| key.iter().take(wanted.count))
        .collect();
    taken.retain(|(_, _, tags, _)| {
        filters.iter().all(|filter| filter.passes(&tags[tag(&filter.filter.column)]))
    });
    let value = |(_, time, tags, fields): &(_, i64, [_; 3], &[Option<String>; 3]),
                 column: usize| {
        let name = shape.schema().field(column).name();
        if name == "time" {
            return Some((-time).to_string());
        }
        match TAGS.iter().position(|tag| tag == name) {
            Some(tag) => Option::<String>::clone(&tags[tag]),
            None => fields[FIELDS.iter().position(|field| field == name).unwrap()].clone(),
        }
    };
    let row = |row| wanted.projection.iter().map(|column| value(row, *column)).collect();
    taken.into_iter().map(row).collect()
}

/// Builds a layer from a scan of the table.
fn built<'a>(
    shape: &LastCacheShape,
    steps: impl Iterator<Item = &'a TableHistoryStep>,
    is_wide: bool,
    from: i64,
    rows_per_batch: usize,
) -> LastRows {
    let mut builder = LastRowsBuilder::new(shape, from, NO_LIMIT);
    for batch in scan(steps, is_wide, rows_per_batch) {
        builder.push(&batch).unwrap();
        // Clear after each batch, as if memory were short.
        if rows_per_batch.is_multiple_of(2) {
            builder.clear().unwrap();
        }
    }
    let layer = builder.finish().unwrap();
    assert!(layer.is_in_order(shape).unwrap());
    layer
}

/// Returns the tail of a portion and its index, which is updated while the tail grows.
fn tail(
    shape: &LastCacheShape,
    portion: &HistoryPortion,
    updates: u8,
) -> (TailImageBuilder, LastTailIndex) {
    let mut tail = TailImageBuilder::new(&tags(portion.is_wide), schema(portion.is_wide));
    let mut index = LastTailIndex::new(shape);
    for (at, step) in portion.steps.iter().enumerate() {
        match step {
            TableHistoryStep::Write(rows) => tail.push(&batch(rows)).unwrap(),
            TableHistoryStep::Delete(condition) => tail.delete(condition).unwrap(),
        }
        if updates >> (at % 8) & 1 == 1 {
            index.update(&tail).unwrap();
            let rows = index.rows(&tail, &[], i64::MIN).unwrap();
            assert!(rows.is_in_order(shape).unwrap());
        }
    }
    index.update(&tail).unwrap();
    (tail, index)
}

fn deletes(portion: &HistoryPortion) -> Vec<&Condition> {
    portion
        .steps
        .iter()
        .filter_map(|step| match step {
            TableHistoryStep::Delete(condition) => Some(condition),
            TableHistoryStep::Write(_) => None,
        })
        .collect()
}

fn keys() -> impl Strategy<Value = (Vec<String>, bool)> {
    let keys = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    proptest::sample::select(vec![
        (keys(&[]), false),
        (keys(&["host"]), false),
        (keys(&["zone"]), false),
        (keys(&["host", "zone"]), false),
        (keys(&["zone", "host"]), false),
        (keys(&["az", "zone"]), true),
        (keys(&["host", "az", "zone"]), true),
    ])
}

fn cases() -> impl Strategy<Value = (Vec<String>, Vec<HistoryPortion>, Vec<TestFilter>)> {
    (keys(), portions()).prop_flat_map(|((keys, all_wide), mut portions)| {
        for portion in &mut portions {
            portion.is_wide |= all_wide;
        }
        (Just(keys.clone()), Just(portions), filters(keys))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(1500)))]

    #[test]
    fn layers_in_any_division_match_the_definition_over_all_rows(
        (keys, portions, filters) in cases(),
        (count, wanted_count) in (1..5_usize, 1..5_usize),
        (rows_per_batch, updates, by_object) in (1..8_usize, any::<u8>(), any::<u8>()),
        later in 0..3_i64,
        order in any::<u64>(),
    ) {
        let steps = |end: usize| portions[..end].iter().flat_map(|portion| &portion.steps);
        let Some((newest, flushed)) = portions.split_last() else { return Ok(()) };
        let mut base: Option<LastRows> = None;
        for (at, portion) in flushed.iter().enumerate() {
            let shape = shape(&keys, portion.is_wide, count);
            let (tail, index) = tail(&shape, portion, updates);
            let scanned = || built(&shape, steps(at + 1), portion.is_wide, portion.from, rows_per_batch);
            let next = match &base {
                None => scanned(),
                Some(base) => {
                    let base = base.conform_to(&shape).unwrap();
                    match base.without(&shape, &deletes(portion), Some(portion.from)) {
                        Ok(base) => {
                            let rows = index.rows(&tail, &[], portion.from).unwrap();
                            prop_assert!(rows.is_in_order(&shape).unwrap());
                            base.merged(&shape, &rows, portion.from).unwrap()
                        }
                        Err(CacheError::Incomplete) => scanned(),
                        Err(error) => panic!("{error}"),
                    }
                }
            };
            prop_assert!(next.is_in_order(&shape).unwrap());
            prop_assert_eq!(next.complete_from(), portion.from);
            base = Some(next);
            if by_object >> (at % 8) & 1 == 1 {
                let cache = CacheId::new(7);
                let object = encode_last(cache, 1, base.as_ref().unwrap()).unwrap();
                base = Some(decode_last(cache, "k", &object, &shape).unwrap());
            }
        }

        let shape = shape(&keys, newest.is_wide, count);
        let base = base.unwrap();
        let base = match base.without(&shape, &deletes(newest), None) {
            Err(CacheError::Incomplete) => {
                // The result of a scan of the sections, with the deletes of the tail applied.
                let deletes = newest.steps.iter().filter(|step| matches!(step, TableHistoryStep::Delete(_)));
                let history = steps(flushed.len()).chain(deletes);
                built(&shape, history, newest.is_wide, base.complete_from(), rows_per_batch)
            }
            base => base.unwrap(),
        };
        let from = newest.from + later;
        let (tail, index) = tail(&shape, newest, updates);
        let key_filters: Vec<_> = filters.iter().map(|filter| filter.filter.clone()).collect();
        let mut projection: Vec<usize> = (0..shape.schema().fields().len()).collect();
        let columns = projection.len();
        projection.rotate_left(usize::try_from(order % 7).unwrap() % columns);
        projection.truncate(1 + usize::try_from(order / 7 % 7).unwrap());
        let wanted = LastCacheQuery {
            filters: &key_filters,
            from,
            count: wanted_count.min(count),
            projection: &projection,
        };
        let all = points(steps(portions.len()));
        let expected = expected(&all, &shape, &filters, &wanted);
        for tail_filters in [&key_filters[..], &[]] {
            let rows = index.rows(&tail, tail_filters, from).unwrap();
            prop_assert!(rows.is_in_order(&shape).unwrap());
            let found = base.select(&shape, Some(&rows), &wanted).unwrap();
            prop_assert_eq!(rendered(&found), expected.clone());
        }
    }
}

/// Rows of hosts by number, in descending order of their names: the tag, the same float in three columns, and the time.
fn hosts(numbers: std::ops::Range<i32>) -> RecordBatch {
    let names = StringArray::from_iter_values(
        numbers.clone().rev().map(|number| format!("host_{number:07}")),
    );
    let codes = Int32Array::from_iter_values(0..i32::try_from(names.len()).unwrap());
    let floats: ArrayRef = Arc::new(Float64Array::from_iter_values(numbers.clone().map(f64::from)));
    let times = TimestampNanosecondArray::from_iter_values(numbers.map(i64::from));
    let schema = Schema::new(vec![
        ColumnType::Float.arrow_field("a"),
        ColumnType::Float.arrow_field("b"),
        ColumnType::Float.arrow_field("c"),
        ColumnType::Tag.arrow_field("host"),
        ColumnType::Time.arrow_field("time"),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::clone(&floats),
        Arc::clone(&floats),
        floats,
        Arc::new(DictionaryArray::<Int32Type>::try_new(codes, Arc::new(names)).unwrap()),
        Arc::new(times),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn host_shape(batch: &RecordBatch) -> LastCacheShape {
    let host = vec!["host".to_owned()];
    LastCacheShape::new(host.clone(), host, batch.schema(), 1, TTL).unwrap()
}

#[test]
fn an_entry_takes_less_than_fifty_bytes_besides_its_values() {
    let rows = hosts(0..100_000);
    let shape = host_shape(&rows);
    let mut builder = LastRowsBuilder::new(&shape, 0, NO_LIMIT);
    for start in (0..100_000).step_by(8192) {
        builder.push(&rows.slice(start, 8192.min(100_000 - start))).unwrap();
    }
    let layer = builder.finish().unwrap();
    assert_eq!((layer.num_keys(), layer.num_rows()), (100_000, 100_000));
    let bytes = layer.size_bytes() / 100_000 - 3 * 8;
    assert!(bytes < 50, "{bytes}");
    let object = encode_last(CacheId::new(1), 1, &layer).unwrap();
    println!(
        "{bytes} bytes per entry besides values, {} in the object",
        object.len() / 100_000
    );
}

#[test]
fn all_rows_of_one_layer_are_not_copied_and_one_key_is_a_slice() {
    let rows = hosts(0..1000);
    let shape = host_shape(&rows);
    let mut builder = LastRowsBuilder::new(&shape, 0, NO_LIMIT);
    builder.push(&rows).unwrap();
    let layer = builder.finish().unwrap();
    let wanted = LastCacheQuery { filters: &[], from: 0, count: 1, projection: &[0, 3, 4] };
    let all = layer.select(&shape, None, &wanted).unwrap();
    assert!(Arc::ptr_eq(layer.batch().column(0), all.column(0)) || all.num_rows() == 1000);
    let filter = KeyFilter {
        column: "host".to_owned(),
        test: KeyPredicate::In(["host_0000999".to_owned()].into()),
    };
    let one = LastCacheQuery { filters: &[filter], ..wanted };
    let one = layer.select(&shape, None, &one).unwrap();
    assert_eq!(
        rendered(&one),
        [[Some("0".to_owned()), Some("host_0000999".to_owned()), Some("0".to_owned())]]
    );
}

#[test]
fn a_builder_holds_the_newest_rows_and_refuses_more() {
    let rows = hosts(0..20_000);
    let shape = host_shape(&rows);
    let mut all = LastRowsBuilder::new(&shape, 0, NO_LIMIT);
    all.push(&rows).unwrap();
    all.clear().unwrap();
    // Room for little more than the newest rows and the data about their keys.
    let limit = all.size_bytes() * 9 / 8;
    let mut builder = LastRowsBuilder::new(&shape, 0, limit);
    let mut peak = 0;
    // Push the same rows 20 times.
    for _ in 0..20 {
        for start in (0..20_000).step_by(1_000) {
            builder.push(&rows.slice(start, 1_000)).unwrap();
            peak = peak.max(builder.size_bytes());
        }
    }
    assert!(peak < limit * 5 / 4, "{peak} of {limit}");
    assert_eq!(builder.finish().unwrap().num_rows(), 20_000);
    let mut builder = LastRowsBuilder::new(&shape, 0, 1 << 20);
    let error = builder.push(&rows).and_then(|()| builder.finish()).unwrap_err();
    assert!(matches!(error, CacheError::TooLarge { limit: 1_048_576 }), "{error}");
}

#[test]
fn a_builder_counts_the_entries_of_keys_with_several_rows() {
    let rows = hosts(0..1000);
    let (host, count) = (vec!["host".to_owned()], 16);
    let shape = LastCacheShape::new(host.clone(), host, rows.schema(), count, TTL).unwrap();
    let mut builder = LastRowsBuilder::new(&shape, 0, NO_LIMIT);
    for round in 0..16 {
        let mut columns = rows.columns().to_vec();
        columns[4] = Arc::new(TimestampNanosecondArray::from_value(round, 1000));
        let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
        builder.push(&rows).unwrap();
    }
    builder.clear().unwrap();
    // Three floats and a time, and an entry with the time and the number of the row.
    let of_rows = 16_000 * (4 * 8 + 16);
    assert!(builder.size_bytes() > of_rows, "{}", builder.size_bytes());
    assert!(builder.size_bytes() < of_rows * 3 / 2, "{}", builder.size_bytes());
}

#[test]
fn a_delete_of_a_whole_key_needs_no_rebuild_and_one_of_its_newest_row_does() {
    let rows = hosts(0..10);
    let shape = host_shape(&rows);
    let mut builder = LastRowsBuilder::new(&shape, 0, NO_LIMIT);
    builder.push(&rows).unwrap();
    let layer = builder.finish().unwrap();
    let host = Condition::Tag {
        name: "host".to_owned(),
        value: Some("host_0000003".to_owned()),
    };
    let left = layer.without(&shape, &[&host], None).unwrap();
    assert_eq!(left.num_keys(), 9);
    let newest = Condition::Time { min: 6, max: 6 };
    let error = layer.without(&shape, &[&newest], None).unwrap_err();
    assert!(matches!(error, CacheError::Incomplete));
    // The rows that could replace the deleted ones are too old by now.
    let left = layer.without(&shape, &[&newest], Some(7)).unwrap();
    assert_eq!((left.num_keys(), left.complete_from()), (3, 7));
    let up_to = Condition::Time { min: i64::MIN, max: 6 };
    assert_eq!(layer.without(&shape, &[&up_to], None).unwrap().num_keys(), 3);
}

#[test]
fn a_delete_of_some_points_of_a_full_key_leaves_a_gap() {
    let row = |zone: Option<&str>, time| ModelRow {
        tags: [zone.map(ToOwned::to_owned), Some("a".to_owned()), None],
        time,
        fields: [Some("1".to_owned()), None, None],
    };
    let shape = shape(&["host".to_owned()], false, 1);
    let mut builder = LastRowsBuilder::new(&shape, 0, NO_LIMIT);
    builder.push(&batch(&[row(Some("z"), 1), row(None, 2)])).unwrap();
    let layer = builder.finish().unwrap();
    let without_zone = Condition::Tag { name: "zone".to_owned(), value: None };
    // The older row has a zone, and stays.
    let error = layer.without(&shape, &[&without_zone], None).unwrap_err();
    assert!(matches!(error, CacheError::Incomplete));
    // All rows of a table lack a tag that the table does not have.
    let without_az = Condition::Tag { name: "az".to_owned(), value: None };
    let left = layer.without(&shape, &[&without_az], None).unwrap();
    assert_eq!(left.num_rows(), 0);
}
