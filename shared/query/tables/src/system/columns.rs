//! Columns of the tables in `system`.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{
        ArrayRef, BooleanArray, DurationNanosecondArray, Int64Array, RecordBatch, StringArray,
        StringViewArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
        UInt64Array,
    },
    datatypes::{Field, Schema},
};
use datafusion::common::Result;
use neap_bucket::StoreTime;

/// A column: its name, whether it has nulls, and its values.
pub(super) type NamedColumn<'a> = (&'a str, bool, ArrayRef);

/// Creates a record batch with these columns.
pub(super) fn table(columns: Vec<NamedColumn<'_>>) -> Result<RecordBatch> {
    let fields = columns
        .iter()
        .map(|(name, has_nulls, values)| Field::new(*name, values.data_type().clone(), *has_nulls));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, _, values)| values).collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}

/// `Utf8`.
pub(super) fn utf8<T: AsRef<str>>(values: impl Iterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// `Utf8` with nulls.
pub(super) fn utf8_or_null<T: AsRef<str>>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

/// `Utf8View`.
pub(super) fn views<T: AsRef<str>>(values: impl Iterator<Item = T>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

/// `Utf8View` with nulls.
pub(super) fn views_or_null<T: AsRef<str>>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(values.collect::<StringViewArray>())
}

/// `Boolean`.
pub(super) fn booleans(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<BooleanArray>())
}

/// `UInt64`.
pub(super) fn counts(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(values))
}

/// `UInt64` with nulls.
pub(super) fn counts_or_null(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    Arc::new(values.collect::<UInt64Array>())
}

/// `Int64` with nulls. A number that is too large becomes null.
pub(super) fn sizes_or_null(values: impl Iterator<Item = Option<usize>>) -> ArrayRef {
    let numbers = values.map(|size| i64::try_from(size?).ok());
    Arc::new(numbers.collect::<Int64Array>())
}

/// `Duration(ns)` with nulls.
pub(super) fn durations_or_null(values: impl Iterator<Item = Option<Duration>>) -> ArrayRef {
    let nanos = values.map(|duration| i64::try_from(duration?.as_nanos()).ok());
    Arc::new(nanos.collect::<DurationNanosecondArray>())
}

/// `Timestamp(ns)`.
pub(super) fn times(nanos: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from_iter_values(nanos))
}

/// Converts a time to nanoseconds since the Unix epoch; `None` if it overflows.
pub(super) fn nanoseconds(time: StoreTime) -> Option<i64> {
    time.micros().checked_mul(1_000)
}

/// `Timestamp(ns)` of times of the store.
pub(super) fn store_times(times: impl Iterator<Item = StoreTime>) -> ArrayRef {
    self::times(times.map(|time| nanoseconds(time).unwrap_or(i64::MAX)))
}

/// `Timestamp(ms)`.
pub(super) fn millis(times: impl Iterator<Item = StoreTime>) -> ArrayRef {
    millis_or_null(times.map(Some))
}

/// `Timestamp(ms)` with nulls.
pub(super) fn millis_or_null(times: impl Iterator<Item = Option<StoreTime>>) -> ArrayRef {
    let millis = times.map(|time| Some(time?.micros().div_euclid(1_000)));
    Arc::new(millis.collect::<TimestampMillisecondArray>())
}

/// `Timestamp(s, "UTC")` with nulls.
pub(super) fn seconds_or_null(times: impl Iterator<Item = Option<StoreTime>>) -> ArrayRef {
    let seconds: TimestampSecondArray =
        times.map(|time| Some(time?.micros().div_euclid(1_000_000))).collect();
    Arc::new(seconds.with_timezone("UTC"))
}
