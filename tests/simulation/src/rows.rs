//! Rows as plain values, and a fold of them that shares no code with the product.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::{
    RecordBatch,
    cast::AsArray,
    types::{Int32Type, Int64Type, TimestampNanosecondType},
};
use bytes::Bytes;
use neap_schema::TIME_COLUMN;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// The only tag of the only table.
pub(crate) const TAG: &str = "host";

/// The host of the rows that name their request: every request writes one, at a time of its own, so that
/// the data tell which requests they hold.
pub(crate) const WITNESS: &str = "witness";

/// A tag set and a time.
pub(crate) type Point = (String, i64);

/// The fields of a point that are not null.
pub(crate) type Fields = BTreeMap<String, i64>;

/// A row before it is folded.
pub(crate) type Row = (Point, Fields);

/// One row for each point.
pub(crate) type Rows = BTreeMap<Point, Fields>;

/// Takes rows in, after those that are there: of each field the newest value stays.
pub(crate) fn take_in<'a>(into: &mut Rows, rows: impl IntoIterator<Item = &'a Row>) {
    for (point, fields) in rows {
        let there = into.entry(point.clone()).or_default();
        there.extend(fields.iter().map(|(name, value)| (name.clone(), *value)));
    }
}

/// The requests that have a row here.
pub(crate) fn requests<'a>(points: impl IntoIterator<Item = &'a Point>) -> BTreeSet<u64> {
    let witnesses = points.into_iter().filter(|(host, _)| host == WITNESS);
    witnesses.map(|(_, time)| request_at(*time)).collect()
}

const DAY: i64 = 86_400_000_000_000;

/// The time of a request's witness: on one of two days.
pub(crate) fn witness_time(request: u64) -> i64 {
    let number = i64::try_from(request).unwrap();
    number % 2 * DAY + number
}

fn request_at(time: i64) -> u64 {
    u64::try_from(time % DAY).unwrap()
}

/// One of the four points that all requests write to, on two days.
pub(crate) fn shared_point(number: usize) -> Point {
    let host = ["a", "b"][number / 2 % 2];
    (host.to_owned(), i64::try_from(number % 2).unwrap() * DAY)
}

/// The plain values of a batch whose columns are the tag, the time and integers.
pub(crate) fn plain(batch: &RecordBatch) -> Vec<Row> {
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

/// The rows of a Parquet file.
pub(crate) fn read_section(file: Bytes) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}
