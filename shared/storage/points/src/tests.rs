//! Compares deduplication and images with a map, for rows in batches of any sizes.

use std::{
    collections::BTreeMap,
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampNanosecondArray,
    cast::AsArray,
    types::{Float64Type, Int32Type, Int64Type, TimestampNanosecondType},
};
use arrow_schema::{Schema, SchemaRef};
use neap_row_delete::Condition;
use neap_schema::{ColumnType, narrow_integers::narrowed};
use proptest::prelude::*;

mod chunk_rows;
mod equal_hashes;
mod kept_values;
mod loaded_columns;
mod parts;
mod values_of_tags;

use chunk_rows::points_of;

use crate::{
    PointsError, SelectedSeries, SeriesIndex, TableChange, TagFilter, TailImage, TailImageBuilder,
    apply_deletes, deduplicate, gallop, partition_point,
};

type Row = ([Option<u8>; 2], i64, [Option<u8>; 2]);
type Key = ([Option<String>; 2], i64);
type Fields = (Option<f64>, Option<i64>);
type Point = (Key, Fields);
type Points = BTreeMap<Key, Fields>;

/// A part of the times of most rows.
const SOME_TIMES: RangeInclusive<i64> = 1..=3;

const ALL_TIMES: RangeInclusive<i64> = i64::MIN..=i64::MAX;

/// The columns of the table.
const ALL_COLUMNS: [usize; 5] = [0, 1, 2, 3, 4];

fn tags() -> Vec<String> {
    vec!["host".to_owned(), "zone".to_owned()]
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        ColumnType::Float.arrow_field("a"),
        ColumnType::Integer.arrow_field("b"),
        ColumnType::Tag.arrow_field("host"),
        ColumnType::Time.arrow_field("time"),
        ColumnType::Tag.arrow_field("zone"),
    ]))
}

fn text(value: u8) -> String {
    // The order of the texts differs from that of the numbers, so that sorting by number of first occurrence is
    // detected.
    format!("v{}", u32::from(value) * 7919 % 100)
}

/// Returns the values of fields. Integers need one to eight bytes.
fn fields([a, b]: [Option<u8>; 2]) -> Fields {
    let integer = |value: u8| i64::from(value) << (8 * (value % 8));
    (a.map(f64::from), b.map(integer))
}

/// Returns rows as a segment has them: columns without values are absent, and integers may be narrow.
fn batch(rows: &[Row]) -> RecordBatch {
    let batch = wide_batch(rows);
    let narrow = batch.column_by_name("b").and_then(|column| narrowed(column));
    let Some(narrow) = narrow.filter(|_| rows.len().is_multiple_of(2)) else {
        return batch;
    };
    let (schema, mut columns, _) = batch.into_parts();
    let at = schema.index_of("b").unwrap();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields[at] = Arc::new(fields[at].as_ref().clone().with_data_type(narrow.data_type().clone()));
    columns[at] = narrow;
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn wide_batch(rows: &[Row]) -> RecordBatch {
    let mut columns: Vec<(&str, ArrayRef, ColumnType)> = Vec::new();
    for (at, name) in ["host", "zone"].into_iter().enumerate() {
        let values: Vec<Option<String>> = rows.iter().map(|row| row.0[at].map(text)).collect();
        if values.iter().any(Option::is_some) {
            let column: DictionaryArray<Int32Type> =
                values.iter().map(|value| value.as_deref()).collect();
            columns.push((name, Arc::new(column), ColumnType::Tag));
        }
    }
    let (a, b): (Vec<_>, Vec<_>) = rows.iter().map(|row| fields(row.2)).unzip();
    if a.iter().any(Option::is_some) {
        columns.push(("a", Arc::new(Float64Array::from(a)), ColumnType::Float));
    }
    if b.iter().any(Option::is_some) {
        columns.push(("b", Arc::new(Int64Array::from(b)), ColumnType::Integer));
    }
    let time = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.1));
    columns.push(("time", Arc::new(time), ColumnType::Time));
    let schema = Schema::new(
        columns.iter().map(|(name, _, kind)| kind.arrow_field(name)).collect::<Vec<_>>(),
    );
    let columns = columns.into_iter().map(|(_, column, _)| column).collect();
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn model(rows: &[Row]) -> Points {
    let mut points = Points::new();
    write(&mut points, rows);
    points
}

fn write(points: &mut Points, rows: &[Row]) {
    for (tags, time, values) in rows {
        let key = (tags.map(|tag| tag.map(text)), *time);
        let point = points.entry(key).or_default();
        let (a, b) = fields(*values);
        *point = (a.or(point.0), b.or(point.1));
    }
}

/// Returns the points of a batch in its order.
fn points(batch: &RecordBatch) -> Vec<Point> {
    let tag = |name: &str, row: usize| {
        let column = batch.column_by_name(name).unwrap().as_dictionary::<Int32Type>();
        let values: &StringArray = column.values().as_string();
        column.key(row).map(|key| values.value(key).to_owned())
    };
    let column = |name: &str| batch.column_by_name(name).unwrap();
    let a = column("a").as_primitive::<Float64Type>();
    let b = column("b").as_primitive::<Int64Type>();
    let time = batch.column_by_name("time").unwrap().as_primitive::<TimestampNanosecondType>();
    (0..batch.num_rows())
        .map(|row| {
            let key = ([tag("host", row), tag("zone", row)], time.value(row));
            let a = a.is_valid(row).then(|| a.value(row));
            (key, (a, b.is_valid(row).then(|| b.value(row))))
        })
        .collect()
}

fn row() -> impl Strategy<Value = Row> {
    (
        proptest::array::uniform2(proptest::option::of(0..4u8)),
        0..6i64,
        proptest::array::uniform2(proptest::option::of(any::<u8>())),
    )
}

fn rows() -> impl Strategy<Value = Vec<Vec<Row>>> {
    proptest::collection::vec(proptest::collection::vec(row(), 1..12), 0..8)
}

/// A change in the history of a table.
#[derive(Clone, Debug)]
enum ModelStep {
    Write(Vec<Row>),
    Delete(Condition),
}

fn steps() -> impl Strategy<Value = Vec<ModelStep>> {
    let time = (0..6i64, 0..6i64).prop_map(|(min, max)| Condition::Time { min, max });
    let name = prop_oneof![Just("host"), Just("zone"), Just("absent")];
    let tag = (name, proptest::option::of(0..4u8))
        .prop_map(|(name, value)| Condition::Tag { name: name.to_owned(), value: value.map(text) });
    let one = prop_oneof![time, tag];
    let condition = (one.clone(), one, 0..3u8).prop_map(|(one, other, join)| match join {
        0 => one,
        1 => one.and(other),
        _ => one.or(other),
    });
    let step = prop_oneof![
        3 => proptest::collection::vec(row(), 1..12).prop_map(ModelStep::Write),
        2 => condition.prop_map(ModelStep::Delete),
    ];
    proptest::collection::vec(step, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn deduplication_keeps_the_newest_value_of_each_field_and_sorts_by_tags_and_time(portions in rows()) {
        let batches: Vec<_> = portions.iter().map(|rows| batch(rows)).collect();
        let folded = deduplicate(&tags(), &schema(), batches).unwrap();
        // The map is sorted by tags, a missing tag first, then by time.
        let expected: Vec<_> = model(&portions.concat()).into_iter().collect();
        prop_assert_eq!(points(&folded), expected);
    }

    #[test]
    fn deduplication_is_associative(portions in rows(), split in 0..8usize) {
        let batches: Vec<_> = portions.iter().map(|rows| batch(rows)).collect();
        let (older, newer) = batches.split_at(split.min(batches.len()));
        let halves = [older, newer].map(|half| deduplicate(&tags(), &schema(), half.to_vec()).unwrap());
        prop_assert_eq!(
            points(&deduplicate(&tags(), &schema(), halves.to_vec()).unwrap()),
            points(&deduplicate(&tags(), &schema(), batches).unwrap())
        );
    }

    #[test]
    fn image_has_each_point_once_after_every_segment(portions in rows()) {
        let mut builder = TailImageBuilder::new(&tags(), schema());
        let mut taken = Vec::new();
        for (at, rows) in portions.iter().enumerate() {
            builder.push(&batch(rows)).unwrap();
            taken.push((at, builder.image()));
        }
        // Checked at the end, because later segments must not change an earlier image.
        for (at, image) in taken {
            check_image(&image, model(&portions[..=at].concat()))?;
        }
    }

    #[test]
    fn image_and_deduplication_agree_after_deletes(steps in steps()) {
        let mut builder = TailImageBuilder::new(&tags(), schema());
        let mut expected = Points::new();
        let mut history = Vec::new();
        let mut taken = Vec::new();
        for step in &steps {
            match step {
                ModelStep::Write(rows) => {
                    builder.push(&batch(rows)).unwrap();
                    history.push(TableChange::Rows(batch(rows)));
                    write(&mut expected, rows);
                }
                ModelStep::Delete(condition) => {
                    builder.delete(condition).unwrap();
                    history.push(TableChange::Delete(condition));
                    expected.retain(|(tags, time), _| !holds(condition, tags, *time));
                }
            }
            taken.push((builder.image(), expected.clone()));
        }
        for (image, expected) in taken {
            if !image.chunks.is_empty() {
                check_image(&image, expected)?;
            }
        }
        let left = apply_deletes(history).unwrap();
        let folded = deduplicate(&tags(), &schema(), left).unwrap();
        prop_assert_eq!(points(&folded), expected.into_iter().collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn an_order_that_is_computed_from_an_earlier_one_is_that_of_all_rows(steps in steps(), later in rows()) {
        let mut builder = TailImageBuilder::new(&tags(), schema());
        let mut expected = Points::new();
        // So many rows that those of a step are few beside them.
        let old: Vec<Row> = (0..96).map(|row| ([Some(row % 3), None], i64::from(row), [Some(row); 2])).collect();
        builder.push(&batch(&old)).unwrap();
        write(&mut expected, &old);
        let later = later.into_iter().map(ModelStep::Write);
        for step in steps.into_iter().chain(later) {
            match step {
                ModelStep::Write(rows) => {
                    builder.push(&batch(&rows)).unwrap();
                    write(&mut expected, &rows);
                }
                ModelStep::Delete(condition) => {
                    builder.delete(&condition).unwrap();
                    expected.retain(|(tags, time), _| !holds(&condition, tags, *time));
                }
            }
            let image = builder.image();
            prop_assert_eq!(sorted(&image, None, &ALL_TIMES)?, within(&expected, &[], &ALL_TIMES));
            let selected = image.select(&[tag_filter("host", &[0, 2])]);
            let selected_points = within(&expected, &[tag_filter("host", &[0, 2])], &ALL_TIMES);
            prop_assert_eq!(sorted(&image, Some(selected), &ALL_TIMES)?, selected_points);
        }
    }

    #[test]
    fn an_image_of_ascending_times_has_each_point_once_after_a_late_row(
        portions in rows(),
        late in row(),
        delete in 0..8usize,
    ) {
        let mut builder = TailImageBuilder::new(&tags(), schema());
        let mut expected = Points::new();
        let mut taken = Vec::new();
        for (at, rows) in portions.iter().enumerate() {
            // No two rows have the same time.
            let rows: Vec<Row> = rows
                .iter()
                .enumerate()
                .map(|(row, (tags, _, values))| (*tags, (at * 12 + row) as i64, *values))
                .collect();
            builder.push(&batch(&rows)).unwrap();
            write(&mut expected, &rows);
            if at == delete {
                let deleted = Condition::Time { min: 0, max: 2 };
                builder.delete(&deleted).unwrap();
                expected.retain(|(_, time), _| *time > 2);
            }
            taken.push((builder.image(), expected.clone()));
        }
        for rows in [[late], [late]] {
            builder.push(&batch(&rows)).unwrap();
            write(&mut expected, &rows);
            taken.push((builder.image(), expected.clone()));
        }
        for (image, expected) in taken {
            check_image(&image, expected)?;
        }
    }

    #[test]
    fn live_rows_are_the_points_and_are_taken_by_number(steps in steps(), first in 0..20usize) {
        let mut builder = TailImageBuilder::new(&tags(), schema());
        let mut expected = Points::new();
        for step in &steps {
            match step {
                ModelStep::Write(rows) => {
                    builder.push(&batch(rows)).unwrap();
                    write(&mut expected, rows);
                }
                ModelStep::Delete(condition) => {
                    let removals = builder.removals();
                    let before = expected.len();
                    builder.delete(condition).unwrap();
                    expected.retain(|(tags, time), _| !holds(condition, tags, *time));
                    prop_assert_eq!(builder.removals() > removals, expected.len() < before);
                }
            }
            // Called at every step, so that the order is updated incrementally.
            let index = builder.index();
            for tag in 0..2 {
                let values = index.sorted_values(tag).unwrap();
                let texts: Vec<_> = values.values().iter().collect();
                prop_assert!(texts.is_sorted());
                for code in 0..i32::try_from(texts.len()).unwrap() {
                    prop_assert_eq!(values.code(values.number(code).unwrap()), code);
                }
            }
        }
        let mut live: Vec<_> = builder.live_rows(0).collect();
        let from_first: Vec<_> = builder.live_rows(first).collect();
        let later = live.iter().filter(|row| row.row as usize >= first).copied();
        prop_assert_eq!(from_first, later.collect::<Vec<_>>());
        let index = builder.index();
        live.sort_by(|one, other| {
            index.compare(one.series, other.series).then(one.time.cmp(&other.time))
        });
        let numbers: Vec<u32> = live.iter().map(|row| row.row).collect();
        let taken = builder.take(&numbers, &schema()).unwrap();
        prop_assert_eq!(points(&taken), expected.into_iter().collect::<Vec<_>>());
        for row in live {
            prop_assert_eq!(builder.row(row.row), Some(row));
        }
        prop_assert_eq!(builder.next_row(), steps.iter().map(|step| match step {
            ModelStep::Write(rows) => rows.len(),
            ModelStep::Delete(_) => 0,
        }).sum::<usize>());
    }
}

#[test]
fn missing_columns_are_null_and_unknown_rows_and_types_are_refused() {
    let mut builder = TailImageBuilder::new(&tags(), schema());
    builder.push(&batch(&[([Some(1), None], 7, [Some(1), None])])).unwrap();
    let wanted = Arc::new(Schema::new(vec![
        ColumnType::Time.arrow_field("time"),
        ColumnType::Integer.arrow_field("later"),
    ]));
    let taken = builder.take(&[0], &wanted).unwrap();
    assert_eq!(taken.column(1).null_count(), 1);
    assert_eq!(builder.take(&[], &wanted).unwrap().num_rows(), 0);
    assert!(builder.take(&[1], &wanted).is_err());
    let wrong = Arc::new(Schema::new(vec![ColumnType::Integer.arrow_field("a")]));
    let error = builder.take(&[0], &wrong).unwrap_err();
    assert_eq!(error.to_string(), "column 'a' has type Float64 where the table has Int64");
}

#[test]
fn slices_of_a_batch_have_the_same_numbers_after_another_dictionary() {
    let one = batch(&[([Some(1), None], 1, [None; 2]), ([Some(2), None], 1, [None; 2])]);
    let other = batch(&[([Some(2), None], 1, [None; 2]), ([Some(1), None], 1, [None; 2])]);
    let mut index = SeriesIndex::new(&tags());
    let mut series = Vec::new();
    for batch in [&one.slice(0, 1), &one.slice(1, 1), &other, &one] {
        index.resolve(batch, &mut series).unwrap();
    }
    assert_eq!(series, [0, 1, 1, 0, 0, 1]);
}

/// Checks that an image has these points once, and sorts them.
fn check_image(image: &Arc<TailImage>, expected: Points) -> Result<(), TestCaseError> {
    let found = points_of(image, None);
    prop_assert_eq!(found.len(), image.num_rows());
    prop_assert_eq!(found.len(), expected.len());
    prop_assert_eq!(&found.into_iter().collect::<Points>(), &expected);
    prop_assert_eq!(sorted(image, None, &SOME_TIMES)?, within(&expected, &[], &SOME_TIMES));
    for filters in [
        vec![tag_filter("host", &[1])],
        vec![tag_filter("zone", &[0, 3])],
        vec![tag_filter("host", &[1, 2]), tag_filter("zone", &[2])],
        vec![tag_filter("host", &[1, 2]), tag_filter("host", &[2, 3])],
        vec![tag_filter("host", &[9])],
        vec![tag_filter("unknown", &[1])],
    ] {
        let selected = image.select(&filters);
        let expected = within(&expected, &filters, &SOME_TIMES);
        let mut found = points_of(image, Some(&selected));
        found.retain(|((_, time), _)| SOME_TIMES.contains(time));
        found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(&by_number(image, &selected), &expected);
        check_newest_rows(image, &selected, &expected)?;
        prop_assert_eq!(sorted(image, Some(selected), &SOME_TIMES)?, expected);
    }
    Ok(())
}

/// Checks that the newest rows of selected series at [`SOME_TIMES`], which have these points, are found.
fn check_newest_rows(
    image: &Arc<TailImage>,
    selected: &SelectedSeries,
    expected: &[Point],
) -> Result<(), TestCaseError> {
    for required in [&[][..], &[0], &[0, 1], &[2], &[0, 4]] {
        let rows = image.newest_rows(Some(selected), &[1..=2, 3..=3], required).unwrap();
        prop_assert!(rows.is_sorted());
        let found = numbered_points(image, rows);
        for series in expected.chunk_by(|one, other| one.0.0 == other.0.0) {
            let has_value = |point: &Point, column: usize| match column {
                2 => point.0.0[0].is_some(),
                4 => point.0.0[1].is_some(),
                0 => point.1.0.is_some(),
                _ => point.1.1.is_some(),
            };
            let has_values = |point: &&Point| required.iter().all(|at| has_value(point, *at));
            let newest = series.iter().rfind(has_values).map(|point| point.0.1);
            let mut needed = series.iter().filter(|point| Some(point.0.1) >= newest);
            prop_assert!(needed.all(|point| found.contains(point)));
        }
        prop_assert!(found.iter().all(|point| expected.contains(point)));
    }
    Ok(())
}

fn tag_filter(tag: &str, values: &[u8]) -> TagFilter {
    TagFilter {
        tag: tag.to_owned(),
        values: values.iter().copied().map(text).collect(),
    }
}

/// Returns the points in a time range that meet conditions on known tags.
fn within(expected: &Points, filters: &[TagFilter], range: &RangeInclusive<i64>) -> Vec<Point> {
    let is_selected = |tags: &[Option<String>; 2]| {
        filters.iter().all(|filter| {
            let tag = match filter.tag.as_str() {
                "host" => &tags[0],
                "zone" => &tags[1],
                _ => return true,
            };
            tag.as_ref().is_some_and(|tag| filter.values.contains(tag))
        })
    };
    let points = expected.clone().into_iter();
    points
        .filter(|((tags, time), _)| range.contains(time) && is_selected(tags))
        .collect()
}

/// Returns the points of an image in a time range, sorted.
fn sorted(
    image: &Arc<TailImage>,
    selected: Option<SelectedSeries>,
    range: &RangeInclusive<i64>,
) -> Result<Vec<Point>, TestCaseError> {
    let mut sorted = Vec::new();
    if !image.chunks.is_empty() {
        let image = Arc::clone(image);
        let batches = image.sorted_by_order(range.clone(), selected, &[0, 1, 2, 3, 4], 2);
        for batch in batches.unwrap() {
            let batch = batch.unwrap();
            prop_assert!(batch.num_rows() <= 2);
            sorted.extend(points(&batch));
        }
    }
    Ok(sorted)
}

/// Returns the points of selected series at [`SOME_TIMES`], looked up row by row.
fn by_number(image: &Arc<TailImage>, selected: &SelectedSeries) -> Vec<Point> {
    let rows = image.look_up_rows(selected, &[1..=2, 3..=3]);
    numbered_points(image, rows.unwrap())
}

fn numbered_points(image: &Arc<TailImage>, rows: Vec<u32>) -> Vec<Point> {
    if rows.is_empty() {
        return Vec::new();
    }
    let batches = Arc::clone(image).numbered_rows(rows.into(), &ALL_COLUMNS, 2).unwrap();
    batches.flat_map(|batch| points(&batch.unwrap())).collect()
}

/// Returns all rows of the first chunk of an image.
fn first_rows(
    image: &TailImage,
    columns: &[usize],
    schema: &SchemaRef,
) -> Result<RecordBatch, PointsError> {
    let chunk = &image.chunks[0];
    let rows = chunk.parts(None, usize::MAX).next().unwrap();
    image.rows_of(&[rows], columns, schema)
}

/// Returns whether a condition holds for a point with these tags and this time.
fn holds(condition: &Condition, tags: &[Option<String>; 2], time: i64) -> bool {
    match condition {
        Condition::Time { min, max } => (*min..=*max).contains(&time),
        Condition::Tag { name, value } => match name.as_str() {
            "host" => tags[0] == *value,
            "zone" => tags[1] == *value,
            _ => value.is_none(),
        },
        Condition::All(all) => all.iter().all(|part| holds(part, tags, time)),
        Condition::Any(any) => any.iter().any(|part| holds(part, tags, time)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
    #[test]
    fn searches_return_the_first_number_for_which_the_condition_does_not_hold(
        start in 0..40usize,
        length in 0..40usize,
        holding in 0..60usize,
    ) {
        let range = start..start + length;
        let holds = |number: usize| {
            assert!(range.contains(&number));
            number < start + holding
        };
        let expected = range.end.min(start + holding);
        prop_assert_eq!(gallop(range.clone(), holds), expected);
        prop_assert_eq!(partition_point(range.clone(), holds), expected);
    }
}

#[test]
fn rows_of_a_series_are_looked_up_unless_they_are_too_many() {
    let mut builder = TailImageBuilder::new(&tags(), schema());
    let mut push = |host: u8, times: Range<i64>| {
        let rows = times.map(|time| ([Some(host), None], time, [Some(1), None]));
        builder.push(&batch(&rows.collect::<Vec<Row>>())).unwrap();
        builder.image()
    };
    let look_up = |image: &TailImage, host, times| {
        let selected = image.select(&[tag_filter("host", &[host])]);
        let rows = image.look_up_rows(&selected, &[times]);
        rows.map(|rows| rows.len())
    };
    push(1, 0..1_025);
    let image = push(2, 0..1_024);
    assert_eq!(look_up(&image, 1, ALL_TIMES), None);
    assert_eq!(look_up(&image, 2, ALL_TIMES), Some(1_024));
    // The lookup ends at a chunk that is too old, with those before it: late rows come later.
    push(3, 0..1_020);
    push(3, 2_000..2_001);
    let image = push(3, 1_500..1_503);
    assert_eq!(look_up(&image, 3, ALL_TIMES), Some(1_024));
    let image = push(3, 3_000..3_001);
    assert_eq!(look_up(&image, 3, ALL_TIMES), None);
    assert_eq!(look_up(&image, 3, 1_501..=2_000), Some(3));
}

#[test]
fn newest_rows_are_looked_up_unless_they_are_too_many() {
    let mut builder = TailImageBuilder::new(&tags(), schema());
    let row = |host: u8, zone: u8, time| ([Some(host), Some(zone)], time, [Some(1), None]);
    let all = (0..100).flat_map(|host| (0..10).map(move |zone| (host, zone)));
    for time in 0..9 {
        let rows = all.clone().map(|(host, zone)| row(host, zone, time));
        builder.push(&batch(&rows.collect::<Vec<Row>>())).unwrap();
    }
    let image = builder.image();
    let newest = |required: &[usize]| image.newest_rows(None, &[ALL_TIMES], required);
    assert_eq!(newest(&[]), Some((8_000..9_000).collect()));
    // All have these tags.
    assert_eq!(newest(&[2, 4]), Some((8_000..9_000).collect()));
    // No row has a value of the second field, so that all would be looked at.
    assert_eq!(newest(&[1]), None);
}

#[test]
fn an_index_counts_the_dictionaries_that_it_keeps_and_a_shared_allocation_once() {
    let long = |value: u8| char::from(value).to_string().repeat(1000);
    let values: StringArray = (b'a'..=b'z').map(|value| Some(long(value))).collect();
    let values: ArrayRef = Arc::new(values);
    let column = || -> ArrayRef {
        let codes = Int32Array::from(vec![3]);
        Arc::new(DictionaryArray::<Int32Type>::try_new(codes, Arc::clone(&values)).unwrap())
    };
    let schema =
        Schema::new(vec![ColumnType::Tag.arrow_field("host"), ColumnType::Tag.arrow_field("zone")]);
    let rows = RecordBatch::try_new(Arc::new(schema), vec![column(), column()]).unwrap();
    let mut index = SeriesIndex::new(&tags());
    index.resolve(&rows, &mut Vec::new()).unwrap();
    let bytes = index.size_bytes();
    assert!((26_000..40_000).contains(&bytes), "{bytes}");
}

#[test]
fn a_table_without_tags_has_one_series() {
    let rows = [([None, None], 2, [Some(1), None]), ([None, None], 2, [None, Some(2)])];
    let folded = deduplicate(&[], &schema(), vec![batch(&rows)]).unwrap();
    assert_eq!(folded.num_rows(), 1);
    let mut builder = TailImageBuilder::new(&[], schema());
    let unknown = |image: &TailImage| image.select(&[tag_filter("unknown", &[1])]);
    assert_eq!(unknown(&builder.image()).count(), 0);
    builder.push(&batch(&rows)).unwrap();
    let image = builder.image();
    assert_eq!(points_of(&image, Some(&unknown(&image))).len(), 1);
}

#[test]
fn a_column_of_another_type_is_refused_with_its_name() {
    let rows = batch(&[([Some(1), None], 1, [Some(1), None])]);
    let wrong = Arc::new(Schema::new(vec![
        ColumnType::Integer.arrow_field("a"),
        ColumnType::Time.arrow_field("time"),
    ]));
    let error = deduplicate(&[], &wrong, vec![rows]).unwrap_err();
    assert_eq!(error.to_string(), "column 'a' has type Float64 where the table has Int64");
}
