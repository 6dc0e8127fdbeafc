//! Builds the tables in `system`.

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

/// Builds a table with a row for each item of a list. Each method adds a column of a type, with the value of each item.
pub(super) struct SystemTableBuilder<'a, R> {
    rows: &'a [R],
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl<'a, R> SystemTableBuilder<'a, R> {
    pub(super) fn new(rows: &'a [R]) -> Self {
        Self { rows, fields: Vec::new(), columns: Vec::new() }
    }

    /// A column of any type, whose values are those of the items in their order.
    pub(super) fn column(mut self, name: &str, has_nulls: bool, values: ArrayRef) -> Self {
        let data_type = values.data_type().clone();
        self.fields.push(Field::new(name, data_type, has_nulls));
        self.columns.push(values);
        self
    }

    /// `Utf8`.
    pub(super) fn utf8<T: AsRef<str>>(self, name: &str, value: impl Fn(&'a R) -> T) -> Self {
        let values = StringArray::from_iter_values(self.rows.iter().map(value));
        self.column(name, false, Arc::new(values))
    }

    /// `Utf8` with nulls.
    pub(super) fn utf8_or_null<T: AsRef<str>>(
        self,
        name: &str,
        value: impl Fn(&'a R) -> Option<T>,
    ) -> Self {
        let values: StringArray = self.rows.iter().map(value).collect();
        self.column(name, true, Arc::new(values))
    }

    /// `Utf8View`.
    pub(super) fn views<T: AsRef<str>>(self, name: &str, value: impl Fn(&'a R) -> T) -> Self {
        let values = StringViewArray::from_iter_values(self.rows.iter().map(value));
        self.column(name, false, Arc::new(values))
    }

    /// `Utf8View` with nulls.
    pub(super) fn views_or_null<T: AsRef<str>>(
        self,
        name: &str,
        value: impl Fn(&'a R) -> Option<T>,
    ) -> Self {
        let values: StringViewArray = self.rows.iter().map(value).collect();
        self.column(name, true, Arc::new(values))
    }

    /// `Boolean`.
    pub(super) fn booleans(self, name: &str, value: impl Fn(&'a R) -> bool) -> Self {
        let values: BooleanArray = self.rows.iter().map(|row| Some(value(row))).collect();
        self.column(name, false, Arc::new(values))
    }

    /// `UInt64`.
    pub(super) fn counts(self, name: &str, value: impl Fn(&'a R) -> u64) -> Self {
        let values = UInt64Array::from_iter_values(self.rows.iter().map(value));
        self.column(name, false, Arc::new(values))
    }

    /// `UInt64` with nulls.
    pub(super) fn counts_or_null(self, name: &str, value: impl Fn(&'a R) -> Option<u64>) -> Self {
        let values: UInt64Array = self.rows.iter().map(value).collect();
        self.column(name, true, Arc::new(values))
    }

    /// `Int64`.
    pub(super) fn integers(self, name: &str, value: impl Fn(&'a R) -> i64) -> Self {
        let values = Int64Array::from_iter_values(self.rows.iter().map(value));
        self.column(name, false, Arc::new(values))
    }

    /// `Int64` with nulls.
    pub(super) fn integers_or_null(self, name: &str, value: impl Fn(&'a R) -> Option<i64>) -> Self {
        let values: Int64Array = self.rows.iter().map(value).collect();
        self.column(name, true, Arc::new(values))
    }

    /// `Int64` with nulls. A number that is too large becomes null.
    pub(super) fn sizes_or_null(self, name: &str, value: impl Fn(&'a R) -> Option<usize>) -> Self {
        self.integers_or_null(name, |row| i64::try_from(value(row)?).ok())
    }

    /// `Duration(ns)` with nulls.
    pub(super) fn durations_or_null(
        self,
        name: &str,
        value: impl Fn(&'a R) -> Option<Duration>,
    ) -> Self {
        let nanos = |row| i64::try_from(value(row)?.as_nanos()).ok();
        let values: DurationNanosecondArray = self.rows.iter().map(nanos).collect();
        self.column(name, true, Arc::new(values))
    }

    /// `Timestamp(ns)`.
    pub(super) fn times(self, name: &str, nanos: impl Fn(&'a R) -> i64) -> Self {
        let values = TimestampNanosecondArray::from_iter_values(self.rows.iter().map(nanos));
        self.column(name, false, Arc::new(values))
    }

    /// `Timestamp(ns)` of times of the store.
    pub(super) fn store_times(self, name: &str, value: impl Fn(&'a R) -> StoreTime) -> Self {
        self.times(name, |row| nanoseconds(value(row)).unwrap_or(i64::MAX))
    }

    /// `Timestamp(ns)` of times of the store, with nulls.
    pub(super) fn store_times_or_null(
        self,
        name: &str,
        value: impl Fn(&'a R) -> Option<StoreTime>,
    ) -> Self {
        let nanos = |row| value(row).and_then(nanoseconds);
        let values: TimestampNanosecondArray = self.rows.iter().map(nanos).collect();
        self.column(name, true, Arc::new(values))
    }

    /// `Timestamp(ms)`.
    pub(super) fn millis(self, name: &str, value: impl Fn(&'a R) -> StoreTime) -> Self {
        let millis = |row| value(row).micros().div_euclid(1_000);
        let values = TimestampMillisecondArray::from_iter_values(self.rows.iter().map(millis));
        self.column(name, false, Arc::new(values))
    }

    /// `Timestamp(ms)` with nulls.
    pub(super) fn millis_or_null(
        self,
        name: &str,
        value: impl Fn(&'a R) -> Option<StoreTime>,
    ) -> Self {
        let millis = |row| Some(value(row)?.micros().div_euclid(1_000));
        let values: TimestampMillisecondArray = self.rows.iter().map(millis).collect();
        self.column(name, true, Arc::new(values))
    }

    /// `Timestamp(s, "UTC")` with nulls.
    pub(super) fn seconds_or_null(
        self,
        name: &str,
        value: impl Fn(&'a R) -> Option<StoreTime>,
    ) -> Self {
        let seconds = |row| Some(value(row)?.micros().div_euclid(1_000_000));
        let values: TimestampSecondArray = self.rows.iter().map(seconds).collect();
        self.column(name, true, Arc::new(values.with_timezone("UTC")))
    }

    pub(super) fn finish(self) -> Result<RecordBatch> {
        let schema = Arc::new(Schema::new(self.fields));
        Ok(RecordBatch::try_new(schema, self.columns)?)
    }
}

/// Converts a time to nanoseconds since the Unix epoch; `None` if it overflows.
fn nanoseconds(time: StoreTime) -> Option<i64> {
    time.micros().checked_mul(1_000)
}
