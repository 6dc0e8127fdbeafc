//! Fold and image against a plain map, with rows in any portions.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Float64Array, RecordBatch, StringArray,
    TimestampNanosecondArray,
    cast::AsArray,
    types::{Float64Type, Int32Type, TimestampNanosecondType},
};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use neap_row_delete::Condition;
use neap_schema::ColumnType;
use proptest::prelude::*;

use crate::{TailImage, TailImageBuilder, Version, fold, survivors};

type Row = ([Option<u8>; 2], i64, [Option<u8>; 2]);
type Key = ([Option<String>; 2], i64);
type Points = BTreeMap<Key, [Option<f64>; 2]>;

fn tags() -> Vec<String> {
    vec!["host".to_owned(), "zone".to_owned()]
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        ColumnType::Float.arrow_field("a"),
        ColumnType::Float.arrow_field("b"),
        ColumnType::Tag.arrow_field("host"),
        ColumnType::Time.arrow_field("time"),
        ColumnType::Tag.arrow_field("zone"),
    ]))
}

fn text(value: u8) -> String {
    // Sorted otherwise than numbers, so that an order by number of first sight would show.
    format!("v{}", u32::from(value) * 7919 % 100)
}

/// Rows as a segment has them: columns without any value are absent.
fn batch(rows: &[Row]) -> RecordBatch {
    let mut columns: Vec<(&str, ArrayRef, ColumnType)> = Vec::new();
    for (at, name) in ["host", "zone"].into_iter().enumerate() {
        let values: Vec<Option<String>> = rows.iter().map(|row| row.0[at].map(text)).collect();
        if values.iter().any(Option::is_some) {
            let column: DictionaryArray<Int32Type> =
                values.iter().map(|value| value.as_deref()).collect();
            columns.push((name, Arc::new(column), ColumnType::Tag));
        }
    }
    for (at, name) in ["a", "b"].into_iter().enumerate() {
        let values: Vec<Option<f64>> = rows.iter().map(|row| row.2[at].map(f64::from)).collect();
        if values.iter().any(Option::is_some) {
            columns.push((
                name,
                Arc::new(Float64Array::from(values)),
                ColumnType::Float,
            ));
        }
    }
    let time = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.1));
    columns.push(("time", Arc::new(time), ColumnType::Time));
    let schema = Schema::new(
        columns
            .iter()
            .map(|(name, _, kind)| kind.arrow_field(name))
            .collect::<Vec<_>>(),
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
    for (tags, time, fields) in rows {
        let point = points
            .entry((tags.map(|tag| tag.map(text)), *time))
            .or_default();
        for (slot, field) in point.iter_mut().zip(fields) {
            *slot = field.map(f64::from).or(*slot);
        }
    }
}

/// The points of a batch in its order.
fn points(batch: &RecordBatch) -> Vec<(Key, [Option<f64>; 2])> {
    let tag = |name: &str, row: usize| {
        let column = batch
            .column_by_name(name)
            .unwrap()
            .as_dictionary::<Int32Type>();
        let values: &StringArray = column.values().as_string();
        column.key(row).map(|key| values.value(key).to_owned())
    };
    let field = |name: &str, row: usize| {
        let column = batch
            .column_by_name(name)
            .unwrap()
            .as_primitive::<Float64Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    let time = batch
        .column_by_name("time")
        .unwrap()
        .as_primitive::<TimestampNanosecondType>();
    (0..batch.num_rows())
        .map(|row| {
            let key = ([tag("host", row), tag("zone", row)], time.value(row));
            (key, [field("a", row), field("b", row)])
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

/// A step in the history of a table.
#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Row>),
    Delete(Condition),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let time = (0..6i64, 0..6i64).prop_map(|(min, max)| Condition::Time { min, max });
    let name = prop_oneof![Just("host"), Just("zone"), Just("absent")];
    let tag = (name, proptest::option::of(0..4u8)).prop_map(|(name, value)| Condition::Tag {
        name: name.to_owned(),
        value: value.map(text),
    });
    let one = prop_oneof![time, tag];
    let condition = (one.clone(), one, 0..3u8).prop_map(|(one, other, join)| match join {
        0 => one,
        1 => one.and(other),
        _ => one.or(other),
    });
    let step = prop_oneof![
        3 => proptest::collection::vec(row(), 1..12).prop_map(Step::Write),
        2 => condition.prop_map(Step::Delete),
    ];
    proptest::collection::vec(step, 0..12)
}

proptest! {
    #[test]
    fn fold_keeps_the_newest_value_of_each_field_and_sorts_by_tags_and_time(portions in rows()) {
        let batches: Vec<_> = portions.iter().map(|rows| batch(rows)).collect();
        let folded = fold(&tags(), &schema(), &batches).unwrap();
        // The map is ordered by tags, a missing one first, then by time.
        let expected: Vec<_> = model(&portions.concat()).into_iter().collect();
        prop_assert_eq!(points(&folded), expected);
    }

    #[test]
    fn fold_of_folds_is_the_fold_of_all(portions in rows(), split in 0..8usize) {
        let batches: Vec<_> = portions.iter().map(|rows| batch(rows)).collect();
        let (older, newer) = batches.split_at(split.min(batches.len()));
        let halves = [fold(&tags(), &schema(), older).unwrap(), fold(&tags(), &schema(), newer).unwrap()];
        prop_assert_eq!(
            points(&fold(&tags(), &schema(), &halves).unwrap()),
            points(&fold(&tags(), &schema(), &batches).unwrap())
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
        // Checked at the end: later segments must not change an image that was given out.
        for (at, image) in taken {
            check_image(&image, model(&portions[..=at].concat()))?;
        }
    }

    #[test]
    fn image_and_fold_agree_on_what_deletes_leave(steps in steps()) {
        let mut builder = TailImageBuilder::new(&tags(), schema());
        let mut expected = Points::new();
        let mut history = Vec::new();
        let mut taken = Vec::new();
        for step in &steps {
            match step {
                Step::Write(rows) => {
                    builder.push(&batch(rows)).unwrap();
                    history.push(Version::Rows(batch(rows)));
                    write(&mut expected, rows);
                }
                Step::Delete(condition) => {
                    builder.delete(condition).unwrap();
                    history.push(Version::Delete(condition));
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
        let left = survivors(history).unwrap();
        let folded = fold(&tags(), &schema(), &left).unwrap();
        prop_assert_eq!(points(&folded), expected.into_iter().collect::<Vec<_>>());
    }
}

/// Whether an image has these points once, and sorts them.
fn check_image(image: &TailImage, expected: Points) -> Result<(), TestCaseError> {
    let mut found = Vec::new();
    for chunk in &image.chunks {
        let live = chunk.live.clone();
        let live = live.map(|live| arrow_array::BooleanArray::new(live, None));
        let rows = live.map_or_else(
            || chunk.rows.clone(),
            |live| filter_record_batch(&chunk.rows, &live).unwrap(),
        );
        found.extend(points(&rows));
    }
    prop_assert_eq!(found.len(), image.num_rows());
    prop_assert_eq!(found.len(), expected.len());
    prop_assert_eq!(&found.into_iter().collect::<Points>(), &expected);
    let sorted = image.sorted(1, 3, &[0, 1, 2, 3, 4]).unwrap();
    let within = expected.into_iter();
    let within = within.filter(|((_, time), _)| (1..=3).contains(time));
    prop_assert_eq!(points(&sorted), within.collect::<Vec<_>>());
    Ok(())
}

/// Whether a delete removes the points of these tags and time.
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

#[test]
fn a_table_without_tags_has_one_series() {
    let rows = [
        ([None, None], 2, [Some(1), None]),
        ([None, None], 2, [None, Some(2)]),
    ];
    let folded = fold(&[], &schema(), &[batch(&rows)]).unwrap();
    assert_eq!(folded.num_rows(), 1);
}

#[test]
fn a_column_of_another_type_is_refused_by_its_name() {
    let rows = batch(&[([Some(1), None], 1, [Some(1), None])]);
    let wrong = Arc::new(Schema::new(vec![
        ColumnType::Integer.arrow_field("a"),
        ColumnType::Time.arrow_field("time"),
    ]));
    let error = fold(&[], &wrong, &[rows]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "column 'a' has type Float64 where the table has Int64"
    );
}
