//! A model of a table as a plain map, and histories of tables, for tests against the definitions.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, RecordBatch, StringArray,
    TimestampNanosecondArray, cast::AsArray, types::Int32Type,
};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use neap_catalog::Table;
use neap_points::{TableChange, apply_deletes, deduplicate};
use neap_row_delete::Condition;
use neap_schema::ColumnType;
use proptest::prelude::*;
use serde_json::json;

use crate::{KeyFilter, KeyPredicate, TagPredicate};

/// The tags in the order of the series key. The last one is new in later portions.
pub(crate) const TAGS: [&str; 3] = ["zone", "host", "az"];

/// The values of the tags, by [`TAGS`].
pub(crate) type ModelTags = [Option<String>; 3];

/// The values of the fields `f`, `g` and `s`; `s` is new in later portions.
pub(crate) type ModelFields = [Option<String>; 3];

pub(crate) const FIELDS: [&str; 3] = ["f", "g", "s"];

#[derive(Clone, Debug)]
pub(crate) struct ModelRow {
    pub(crate) tags: ModelTags,
    pub(crate) time: i64,
    pub(crate) fields: ModelFields,
}

#[derive(Clone, Debug)]
pub(crate) enum TableHistoryStep {
    Write(Vec<ModelRow>),
    Delete(Condition),
}

/// A part of the history with one shape of the table: with the new columns, or without.
#[derive(Clone, Debug)]
pub(crate) struct HistoryPortion {
    pub(crate) steps: Vec<TableHistoryStep>,
    pub(crate) is_wide: bool,
    /// The earliest time of rows that count from this portion on.
    pub(crate) from: i64,
}

pub(crate) type ModelPoints = BTreeMap<(ModelTags, i64), ModelFields>;

/// The names of the tags of a table.
pub(crate) fn tags(is_wide: bool) -> Vec<String> {
    let count = if is_wide { 3 } else { 2 };
    TAGS.iter().take(count).map(ToString::to_string).collect()
}

/// The columns of a table.
pub(crate) fn schema(is_wide: bool) -> SchemaRef {
    let mut fields = vec![
        ColumnType::Float.arrow_field("f"),
        ColumnType::Float.arrow_field("g"),
        ColumnType::Tag.arrow_field("host"),
        ColumnType::Time.arrow_field("time"),
        ColumnType::Tag.arrow_field("zone"),
    ];
    if is_wide {
        fields.insert(0, ColumnType::Tag.arrow_field("az"));
        fields.insert(4, ColumnType::String.arrow_field("s"));
    }
    Arc::new(Schema::new(fields))
}

/// Returns rows as a segment has them, without the columns that have no value.
pub(crate) fn batch(rows: &[ModelRow]) -> RecordBatch {
    let mut columns: Vec<(&str, ArrayRef, ColumnType)> = Vec::new();
    for (at, name) in TAGS.into_iter().enumerate() {
        let column: DictionaryArray<Int32Type> =
            rows.iter().map(|row| row.tags[at].as_deref()).collect();
        columns.push((name, Arc::new(column), ColumnType::Tag));
    }
    for (at, name) in FIELDS.into_iter().enumerate() {
        let values: Vec<Option<&str>> = rows.iter().map(|row| row.fields[at].as_deref()).collect();
        if name == "s" {
            columns.push((name, Arc::new(StringArray::from(values)), ColumnType::String));
        } else {
            let values: Float64Array =
                values.iter().map(|value| value.map(|value| value.parse().unwrap())).collect();
            columns.push((name, Arc::new(values), ColumnType::Float));
        }
    }
    columns.retain(|(_, column, _)| column.null_count() < column.len());
    let time = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.time));
    columns.push(("time", Arc::new(time), ColumnType::Time));
    let fields = columns.iter().map(|(name, _, kind)| kind.arrow_field(name));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let columns = columns.into_iter().map(|(_, column, _)| column).collect();
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

pub(crate) fn points<'a>(steps: impl Iterator<Item = &'a TableHistoryStep>) -> ModelPoints {
    let mut points = ModelPoints::new();
    for step in steps {
        match step {
            TableHistoryStep::Write(rows) => {
                for row in rows {
                    let point = points.entry((row.tags.clone(), row.time)).or_default();
                    for (slot, field) in point.iter_mut().zip(&row.fields) {
                        *slot = field.clone().or_else(|| slot.clone());
                    }
                }
            }
            TableHistoryStep::Delete(condition) => {
                points.retain(|(tags, time), _| !holds(condition, tags, *time))
            }
        }
    }
    points
}

/// Returns the points that a history leaves, as from a scan of the table: in batches of a few rows, each point once.
pub(crate) fn scan<'a>(
    steps: impl Iterator<Item = &'a TableHistoryStep>,
    is_wide: bool,
    rows_per_batch: usize,
) -> Vec<RecordBatch> {
    let history = steps.map(|step| match step {
        TableHistoryStep::Write(rows) => TableChange::Rows(batch(rows)),
        TableHistoryStep::Delete(condition) => TableChange::Delete(condition),
    });
    let left = apply_deletes(history.collect()).unwrap();
    let all = deduplicate(&tags(is_wide), &schema(is_wide), left).unwrap();
    let starts = (0..all.num_rows()).step_by(rows_per_batch);
    // In an order that differs from that of the rows.
    let mut batches: Vec<_> = starts
        .map(|start| all.slice(start, rows_per_batch.min(all.num_rows() - start)))
        .collect();
    let half = batches.len() / 2;
    batches.rotate_left(half);
    batches
}

/// Whether a delete removes the points of these tags and time.
fn holds(condition: &Condition, tags: &ModelTags, time: i64) -> bool {
    match condition {
        Condition::Time { min, max } => (*min..=*max).contains(&time),
        Condition::Tag { name, value } => {
            let tag = TAGS.iter().position(|tag| tag == name);
            *tag.map_or(&None, |tag| &tags[tag]) == *value
        }
        Condition::All(all) => all.iter().all(|part| holds(part, tags, time)),
        Condition::Any(any) => any.iter().any(|part| holds(part, tags, time)),
    }
}

/// All values of a batch as text.
pub(crate) fn rendered(batch: &RecordBatch) -> Vec<Vec<Option<String>>> {
    let columns: Vec<Vec<Option<String>>> = batch.columns().iter().map(texts).collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column[row].clone()).collect())
        .collect()
}

fn texts(column: &ArrayRef) -> Vec<Option<String>> {
    if let Some(column) = column.as_dictionary_opt::<Int32Type>() {
        let values: &StringArray = column.values().as_string();
        let text = |key: i32| values.value(usize::try_from(key).unwrap()).to_owned();
        return column.keys().iter().map(|key| key.map(text)).collect();
    }
    if let Some(column) = column.as_any().downcast_ref::<Float64Array>() {
        return column.iter().map(|value| value.map(|value| value.to_string())).collect();
    }
    if let Some(column) = column.as_any().downcast_ref::<TimestampNanosecondArray>() {
        return column.iter().map(|value| value.map(|value| value.to_string())).collect();
    }
    let column: &StringArray = column.as_string();
    column.iter().map(|value| value.map(ToOwned::to_owned)).collect()
}

/// A table with two tags, `zone` before `host`, and two fields.
pub(crate) fn table() -> Table {
    let columns: Vec<_> = [
        (0, "time", "time"),
        (1, "zone", "tag"),
        (2, "f", "float"),
        (3, "host", "tag"),
        (4, "a", "integer"),
    ]
    .iter()
    .map(|(id, name, kind)| json!({"id": id, "name": name, "type": kind}))
    .collect();
    let table = json!({"id": 1, "name": "cpu", "columns": columns, "next_column": 5});
    serde_json::from_value(table).unwrap()
}

fn tag() -> impl Strategy<Value = Option<String>> {
    proptest::option::weighted(0.8, "[a-d]")
}

fn row() -> impl Strategy<Value = ModelRow> {
    let field = || proptest::option::of((0..9u8).prop_map(|value| value.to_string()));
    let fields = [field(), field(), field()];
    ([tag(), tag(), tag()], 0..12_i64, fields).prop_map(|(tags, time, fields)| ModelRow {
        tags,
        time,
        fields,
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let time =
        (0..12_i64, 0..6_i64).prop_map(|(min, length)| Condition::Time { min, max: min + length });
    let name = prop_oneof![Just("zone"), Just("host")];
    let tag =
        (name, tag()).prop_map(|(name, value)| Condition::Tag { name: name.to_owned(), value });
    let one = prop_oneof![time, tag];
    (one.clone(), one, 0..4_u8).prop_map(|(one, other, join)| match join {
        0 | 1 => one,
        2 => one.and(other),
        _ => one.or(other),
    })
}

fn step() -> impl Strategy<Value = TableHistoryStep> {
    prop_oneof![
        6 => proptest::collection::vec(row(), 1..10).prop_map(TableHistoryStep::Write),
        1 => condition().prop_map(TableHistoryStep::Delete),
    ]
}

/// Generates histories in portions. Time passes, and the table may get new columns in between.
pub(crate) fn portions() -> impl Strategy<Value = Vec<HistoryPortion>> {
    let portion = (proptest::collection::vec(step(), 0..6), 0..4_i64);
    (proptest::collection::vec(portion, 2..5), 0..5_usize).prop_map(|(portions, wide_from)| {
        let mut now = -1;
        let portion = |(at, (steps, passed)): (usize, (Vec<TableHistoryStep>, i64))| {
            now += passed / 2;
            let is_wide = at >= wide_from;
            HistoryPortion {
                steps: steps.into_iter().map(|step| narrowed(step, is_wide)).collect(),
                is_wide,
                from: now,
            }
        };
        portions.into_iter().enumerate().map(portion).collect()
    })
}

/// Removes the columns from a step that the table does not have yet.
fn narrowed(mut step: TableHistoryStep, is_wide: bool) -> TableHistoryStep {
    if let (TableHistoryStep::Write(rows), false) = (&mut step, is_wide) {
        for row in rows {
            row.tags[2] = None;
            row.fields[2] = None;
        }
    }
    step
}

/// A test that passes the values of a set, and optionally a missing tag.
#[derive(Clone, Debug)]
struct ValueSetPredicate {
    values: Vec<String>,
    missing: bool,
}

impl TagPredicate for ValueSetPredicate {
    fn test(&self, values: &StringArray) -> Result<BooleanArray, ArrowError> {
        let test = |value: Option<&str>| match value {
            None => Some(self.missing),
            // A null result does not pass.
            Some(value) => self.values.iter().any(|other| other == value).then_some(true),
        };
        Ok(values.iter().map(test).collect())
    }
}

/// A filter, and the values that pass it.
#[derive(Clone, Debug)]
pub(crate) struct TestFilter {
    pub(crate) filter: KeyFilter,
    passing: Vec<Option<String>>,
}

impl TestFilter {
    pub(crate) fn passes(&self, value: &Option<String>) -> bool {
        self.passing.contains(value)
    }
}

/// Generates filters on some of these columns.
pub(crate) fn filters(columns: Vec<String>) -> BoxedStrategy<Vec<TestFilter>> {
    if columns.is_empty() {
        return Just(Vec::new()).boxed();
    }
    let parts = (
        proptest::sample::select(columns),
        proptest::collection::btree_set("[a-e]", 0..3),
        0..4_u8,
        any::<bool>(),
    );
    let one = parts.prop_map(|(column, values, kind, missing)| {
        let letters = ["a", "b", "c", "d", "e"].map(ToOwned::to_owned);
        let others = letters.iter().filter(|letter| !values.contains(*letter)).cloned();
        let some = |values: &mut dyn Iterator<Item = String>| values.map(Some).collect::<Vec<_>>();
        let (test, passing) = match kind {
            0 | 1 => (KeyPredicate::In(values.clone()), some(&mut values.into_iter())),
            2 => (KeyPredicate::NotIn(values.clone()), some(&mut others.into_iter())),
            _ => {
                let mut passing = some(&mut values.iter().cloned());
                passing.extend(missing.then_some(None));
                let values = values.into_iter().collect();
                (KeyPredicate::Other(Arc::new(ValueSetPredicate { values, missing })), passing)
            }
        };
        TestFilter { filter: KeyFilter { column, test }, passing }
    });
    proptest::collection::vec(one, 0..3).boxed()
}
