//! Compares computed rows of a view with stored ones.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampNanosecondArray, UInt64Array,
    },
    compute::{cast, filter_record_batch, nullif, take_record_batch},
    datatypes::{
        DataType, Field, Float64Type, Int64Type, Schema, TimeUnit, TimestampNanosecondType,
        UInt64Type,
    },
    error::ArrowError,
};
use neap_catalog::ViewWindows;
use neap_manifest::TimeRange;
use neap_schema::TIME_COLUMN;

use crate::{ViewRows, WindowSet};

/// Maximum number of ranges of one delete. Beyond it, all windows between them are replaced.
const MAX_DELETED_RANGES: usize = 50;

/// Converts rows to the types that a table stores: times in nanoseconds without a zone, texts as `Utf8`, numbers in 64
/// bits. Floats that can't be stored become null, and rows without a value in any field are removed.
///
/// # Errors
/// A column has another type, or there is no column `time`.
pub fn normalize(batch: &RecordBatch, tags: &[String]) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    let mut has_value = BooleanArray::from(vec![false; batch.num_rows()]);
    let mut has_time = false;
    for (field, values) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let name = field.name();
        let is_tag = tags.contains(name);
        let is_time = name == TIME_COLUMN;
        let values = cast(values, &stored_type(values.data_type(), is_tag, is_time)?)?;
        let values = finite(values)?;
        has_time |= is_time;
        if !is_tag && !is_time {
            let present = arrow::compute::is_not_null(&values)?;
            has_value = arrow::compute::or(&has_value, &present)?;
        }
        fields.push(Field::new(name, values.data_type().clone(), true));
        columns.push(values);
    }
    if !has_time {
        let text = format!("the rows have no column '{TIME_COLUMN}'");
        return Err(ArrowError::SchemaError(text));
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    filter_record_batch(&batch, &has_value)
}

/// Returns the type in which values are stored.
fn stored_type(data_type: &DataType, is_tag: bool, is_time: bool) -> Result<DataType, ArrowError> {
    Ok(match data_type {
        DataType::Timestamp(..) if is_time => DataType::Timestamp(TimeUnit::Nanosecond, None),
        _ if is_time => {
            let text = format!("'{TIME_COLUMN}' has the type {data_type}, and not a time");
            return Err(ArrowError::SchemaError(text));
        }
        _ if is_tag => DataType::Utf8,
        DataType::Dictionary(_, values) => stored_type(values, false, false)?,
        text if text.is_string() => DataType::Utf8,
        DataType::Boolean => DataType::Boolean,
        DataType::Null | DataType::Decimal128(..) | DataType::Decimal256(..) => DataType::Float64,
        float if float.is_floating() => DataType::Float64,
        integer if integer.is_signed_integer() => DataType::Int64,
        integer if integer.is_unsigned_integer() => DataType::UInt64,
        // As in `SELECT ... INTO`: other times are stored as integers.
        DataType::Timestamp(..) => DataType::Int64,
        other => {
            let text = format!("values of the type {other} can't be stored");
            return Err(ArrowError::SchemaError(text));
        }
    })
}

/// Replaces floats that can't be stored, NaN and infinities, by nulls.
fn finite(values: ArrayRef) -> Result<ArrayRef, ArrowError> {
    let Some(floats) = values.as_primitive_opt::<Float64Type>() else {
        return Ok(values);
    };
    let are_not_finite: BooleanArray =
        floats.values().iter().map(|value| !value.is_finite()).map(Some).collect();
    nullif(&values, &are_not_finite)
}

/// The changes that turn stored rows into computed ones.
#[derive(Clone, Debug, Default)]
pub struct RowDifference {
    /// The windows whose stored rows are deleted first.
    pub replaced: WindowSet,
    /// The rows to write.
    pub written: ViewRows,
}

/// A row: its place, its time, and its fields.
struct RowImage {
    batch: usize,
    row: usize,
    time: i64,
    /// The number of the name and the value of each field that is not null, by number.
    fields: Vec<(usize, Vec<u8>)>,
}

/// The numbers of column names.
#[derive(Default)]
struct ColumnNumbers<'a>(HashMap<&'a str, usize>);

impl<'a> ColumnNumbers<'a> {
    fn number(&mut self, name: &'a str) -> usize {
        let next = self.0.len();
        *self.0.entry(name).or_insert(next)
    }
}

impl RowDifference {
    /// Returns the changes that replace all rows of a range.
    pub fn whole(windows: ViewWindows, range: TimeRange, computed: ViewRows) -> Self {
        let mut replaced = WindowSet::default();
        replaced.add(windows, range);
        Self { replaced, written: computed }
    }

    /// Compares rows. A window is replaced if a stored row has a point that was not computed, or a value in a field that
    /// is null now, because a write can't remove either.
    ///
    /// # Errors
    /// The rows are not normalized.
    pub fn between(
        windows: ViewWindows,
        computed: ViewRows,
        stored: &ViewRows,
    ) -> Result<Self, ArrowError> {
        let mut names = ColumnNumbers::default();
        let new = images(&computed, &mut names)?;
        let old = images(stored, &mut names)?;
        let mut replaced = WindowSet::default();
        for (point, old) in &old {
            if new.get(point).is_none_or(|new| lacks_field(new, old)) {
                let times = TimeRange { first: old.time, last: old.time };
                replaced.add(windows, times);
            }
        }
        if replaced.ranges().count() > MAX_DELETED_RANGES
            && let Some(bounds) = replaced.bounds()
        {
            replaced.add(windows, bounds);
        }
        let mut written: Vec<Vec<u64>> = vec![Vec::new(); computed.batches.len()];
        for (point, new) in &new {
            let is_same = old.get(point).is_some_and(|old| old.fields == new.fields);
            let is_deleted = replaced.meets(TimeRange { first: new.time, last: new.time });
            if (!is_same || is_deleted)
                && let Some(rows) = written.get_mut(new.batch)
            {
                rows.push(new.row as u64);
            }
        }
        let mut batches = Vec::new();
        for (batch, mut rows) in computed.batches.iter().zip(written) {
            if !rows.is_empty() {
                rows.sort_unstable();
                batches.push(take_record_batch(batch, &UInt64Array::from(rows))?);
            }
        }
        Ok(Self { replaced, written: ViewRows { tags: computed.tags, batches } })
    }
}

/// Returns whether `old` has a value in a field that is null in `new`.
fn lacks_field(new: &RowImage, old: &RowImage) -> bool {
    let has = |number: usize| new.fields.iter().any(|(other, _)| *other == number);
    old.fields.iter().any(|(number, _)| !has(*number))
}

/// Returns the images of rows by their points. Of several rows of a point, the last one counts, as for writes.
fn images<'a>(
    rows: &'a ViewRows,
    names: &mut ColumnNumbers<'a>,
) -> Result<HashMap<Vec<u8>, RowImage>, ArrowError> {
    let count = rows.batches.iter().map(RecordBatch::num_rows).sum();
    let mut images = HashMap::with_capacity(count);
    for (place, batch) in rows.batches.iter().enumerate() {
        let mut times = None;
        let (mut tags, mut fields) = (Vec::new(), Vec::new());
        for (field, values) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let name = field.name().as_str();
            let number = names.number(name);
            if name == TIME_COLUMN {
                times = values.as_primitive_opt::<TimestampNanosecondType>();
            } else if rows.tags.contains(field.name()) {
                tags.push((number, values));
            } else {
                fields.push((number, values));
            }
        }
        let times: &TimestampNanosecondArray = times.ok_or_else(not_normalized)?;
        tags.sort_unstable_by_key(|(number, _)| *number);
        fields.sort_unstable_by_key(|(number, _)| *number);
        for row in 0..batch.num_rows() {
            let time = times.value(row);
            let mut point = time.to_le_bytes().to_vec();
            for (number, values) in &tags {
                let mut value = Vec::new();
                if encode(values, row, &mut value)? && !value.is_empty() {
                    point.extend((*number as u64).to_le_bytes());
                    point.extend((value.len() as u64).to_le_bytes());
                    point.extend(value);
                }
            }
            let mut present = Vec::with_capacity(fields.len());
            for (number, values) in &fields {
                let mut value = Vec::new();
                if encode(values, row, &mut value)? {
                    present.push((*number, value));
                }
            }
            let image = RowImage { batch: place, row, time, fields: present };
            images.insert(point, image);
        }
    }
    Ok(images)
}

/// Appends the bytes of a value, with its type. Returns whether it is not null.
fn encode(values: &ArrayRef, row: usize, bytes: &mut Vec<u8>) -> Result<bool, ArrowError> {
    if values.is_null(row) {
        return Ok(false);
    }
    match values.data_type() {
        DataType::Utf8 => bytes.extend(values.as_string::<i32>().value(row).as_bytes()),
        DataType::Float64 => {
            bytes.push(b'f');
            let value = values.as_primitive::<Float64Type>().value(row);
            bytes.extend(value.to_bits().to_le_bytes());
        }
        DataType::Int64 => {
            bytes.push(b'i');
            bytes.extend(values.as_primitive::<Int64Type>().value(row).to_le_bytes());
        }
        DataType::UInt64 => {
            bytes.push(b'u');
            bytes.extend(values.as_primitive::<UInt64Type>().value(row).to_le_bytes());
        }
        DataType::Boolean => bytes.push(u8::from(values.as_boolean().value(row))),
        _ => return Err(not_normalized()),
    }
    Ok(true)
}

fn not_normalized() -> ArrowError {
    ArrowError::SchemaError("the rows of a view are not normalized".to_owned())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float32Array, Float64Array, Int64Array, StringArray};

    use super::*;

    const TENS: ViewWindows = ViewWindows { length_ns: 10, origin_ns: 0 };

    type Row = (i64, &'static str, Option<f64>, Option<i64>);

    fn rows(rows: &[Row]) -> ViewRows {
        let times = rows.iter().map(|row| row.0);
        let hosts = rows.iter().map(|row| Some(row.1).filter(|host| !host.is_empty()));
        let columns: Vec<(&str, ArrayRef)> = vec![
            (TIME_COLUMN, Arc::new(TimestampNanosecondArray::from_iter_values(times))),
            ("host", Arc::new(StringArray::from_iter(hosts))),
            ("mean", Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.2)))),
            ("count", Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.3)))),
        ];
        ViewRows {
            tags: vec!["host".to_owned()],
            batches: vec![RecordBatch::try_from_iter(columns).unwrap()],
        }
    }

    fn difference(computed: &[Row], stored: &[Row]) -> (Vec<TimeRange>, usize) {
        let difference = RowDifference::between(TENS, rows(computed), &rows(stored)).unwrap();
        let written = difference.written.batches.iter().map(RecordBatch::num_rows);
        (difference.replaced.ranges().collect(), written.sum())
    }

    #[test]
    fn only_changed_rows_are_written() {
        let stored = [(0, "a", Some(1.0), Some(1)), (10, "a", Some(2.0), Some(1))];
        assert_eq!(difference(&stored, &stored), (vec![], 0));
        let computed = [
            (0, "a", Some(1.0), Some(1)),
            (10, "a", Some(3.0), Some(1)),
            (10, "", Some(3.0), Some(1)),
        ];
        assert_eq!(difference(&computed, &stored), (vec![], 2));
        assert_eq!(difference(&computed, &[]), (vec![], 3));
    }

    #[test]
    fn the_window_of_a_point_that_is_gone_is_replaced() {
        let stored = [
            (0, "a", Some(1.0), Some(1)),
            (10, "a", Some(2.0), Some(1)),
            (10, "b", Some(2.0), Some(1)),
        ];
        let computed = [(0, "a", Some(1.0), Some(1)), (10, "a", Some(2.0), Some(1))];
        let range = TimeRange { first: 10, last: 19 };
        assert_eq!(difference(&computed, &stored), (vec![range], 1));
    }

    #[test]
    fn the_window_of_a_value_that_is_gone_is_replaced() {
        let stored = [(0, "a", Some(1.0), Some(1)), (5, "b", Some(1.0), Some(1))];
        let computed = [(0, "a", None, Some(1)), (5, "b", Some(1.0), Some(1))];
        let range = TimeRange { first: 0, last: 9 };
        assert_eq!(difference(&computed, &stored), (vec![range], 2));
        // A value that is new needs no delete.
        assert_eq!(difference(&stored, &computed), (vec![], 1));
    }

    #[test]
    fn many_windows_are_replaced_together() {
        let stored: Vec<Row> = (0..200).map(|number| (number * 20, "a", Some(1.0), None)).collect();
        let (ranges, written) = difference(&[(10, "a", Some(1.0), None)], &stored);
        assert_eq!(ranges, [TimeRange { first: 0, last: 3_989 }]);
        assert_eq!(written, 1);
    }

    #[test]
    fn rows_are_normalized() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            (TIME_COLUMN, Arc::new(TimestampNanosecondArray::from(vec![0, 1, 2]))),
            ("host", Arc::new(Int64Array::from(vec![1, 2, 3]))),
            ("value", Arc::new(Float32Array::from(vec![Some(1.5), Some(f32::NAN), None]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let rows = normalize(&batch, &["host".to_owned()]).unwrap();
        assert_eq!(rows.num_rows(), 1);
        assert_eq!(rows.column(1).data_type(), &DataType::Utf8);
        assert_eq!(rows.column(2).data_type(), &DataType::Float64);
        let without_time = batch.project(&[1, 2]).unwrap();
        assert!(normalize(&without_time, &[]).is_err());
    }
}
