//! Rows as plain values, and a deduplication of them that shares no code with the product.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::{
    RecordBatch,
    cast::AsArray,
    types::{Int32Type, Int64Type, TimestampNanosecondType},
};
use bytes::Bytes;
use neap_row_delete::Condition;
use neap_schema::{TIME_COLUMN, TableId};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::machine::BEGIN_MICROS;

/// The main table of a schedule.
pub(crate) const TABLE: &str = "t";

/// A second table with rows that clients delete. It has the same shared points.
pub(crate) const OTHER_TABLE: &str = "u";

/// The table of the witnesses. Every write has a row in it, with a unique time, so that the data show which writes they
/// contain. No actor deletes from it, drops it, or lets it expire.
pub(crate) const WITNESSES: &str = "w";

/// The only tag of each table.
pub(crate) const TAG: &str = "host";

/// The host of the witnesses.
pub(crate) const WITNESS: &str = "witness";

/// A tag set and a time.
pub(crate) type Point = (String, i64);

/// The fields of a point that are not null.
pub(crate) type Fields = BTreeMap<String, i64>;

/// A row before deduplication.
pub(crate) type Row = (Point, Fields);

/// The deduplicated rows: one row for each point.
pub(crate) type Rows = BTreeMap<Point, Fields>;

pub(crate) type TableRows = BTreeMap<TableId, Rows>;

/// Merges newer rows into `into`: the newest value of each field wins.
pub(crate) fn merge_rows<'a>(into: &mut Rows, rows: impl IntoIterator<Item = &'a Row>) {
    for (point, fields) in rows {
        let there = into.entry(point.clone()).or_default();
        there.extend(fields.iter().map(|(name, value)| (name.clone(), *value)));
    }
}

/// Whether a condition holds for a point of a table whose only tag is [`TAG`].
pub(crate) fn holds(condition: &Condition, point: &Point) -> bool {
    let (host, time) = point;
    match condition {
        Condition::Time { min, max } => min <= time && time <= max,
        Condition::Tag { name, value } => {
            let there = if name == TAG { host.as_str() } else { "" };
            there == value.as_deref().unwrap_or_default()
        }
        Condition::All(parts) => parts.iter().all(|part| holds(part, point)),
        Condition::Any(parts) => parts.iter().any(|part| holds(part, point)),
    }
}

/// Returns the writes whose witnesses are among these points.
pub(crate) fn requests<'a>(points: impl IntoIterator<Item = &'a Point>) -> BTreeSet<u64> {
    let witnesses = points.into_iter().filter(|(host, _)| host == WITNESS);
    witnesses.map(|(_, time)| request_at(*time)).collect()
}

pub(crate) const SECOND: i64 = 1_000_000_000;
pub(crate) const DAY: i64 = 86_400 * SECOND;

/// The time at which every schedule begins, in nanoseconds since the Unix epoch.
pub(crate) const BEGIN_NANOS: i64 = BEGIN_MICROS * 1_000;

/// Returns the time of a write's witness.
pub(crate) fn witness_time(request: u64) -> i64 {
    BEGIN_NANOS + i64::try_from(request).unwrap()
}

fn request_at(time: i64) -> u64 {
    u64::try_from(time - BEGIN_NANOS).unwrap()
}

/// The hosts of the shared points.
pub(crate) const HOSTS: [&str; 2] = ["a", "b"];

/// Returns one of the points that all writes share: two on the first day of the schedule, two on the day before, and so
/// on. Those of the second host are slightly later.
pub(crate) fn shared_point(number: usize) -> Point {
    let host = number % HOSTS.len();
    let days = i64::try_from(number / HOSTS.len()).unwrap();
    let younger = 100 * SECOND * i64::try_from(host).unwrap();
    (HOSTS[host].to_owned(), BEGIN_NANOS - days * DAY + younger)
}

/// Converts a batch of tag, time and integer columns to plain rows.
pub(crate) fn plain(batch: &RecordBatch) -> Vec<Row> {
    if batch.num_rows() == 0 {
        return Vec::new();
    }
    let schema = batch.schema();
    let times = batch[TIME_COLUMN].as_primitive::<TimestampNanosecondType>();
    let hosts = batch[TAG].as_dictionary::<Int32Type>();
    let names = hosts.values().as_string::<i32>();
    let mut rows: Vec<Row> = (0..batch.num_rows())
        .map(|row| {
            let host = hosts.key(row).map_or("", |key| names.value(key));
            ((host.to_owned(), times.value(row)), Fields::new())
        })
        .collect();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let Some(values) = column.as_primitive_opt::<Int64Type>() else {
            continue;
        };
        for (row, value) in values.iter().enumerate() {
            if let Some(value) = value {
                rows[row].1.insert(field.name().clone(), value);
            }
        }
    }
    rows
}

/// Decodes the rows of a Parquet file.
pub(crate) fn read_section(file: Bytes) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}
