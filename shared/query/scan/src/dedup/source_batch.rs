//! A batch of a sorted input, with access to the tag set and the time of each row.

use std::cmp::Ordering;

use arrow::{
    array::{Array, AsArray, Int32Array, RecordBatch, StringArray, TimestampNanosecondArray},
    datatypes::{Int32Type, TimestampNanosecondType},
};
use datafusion::common::{Result, internal_datafusion_err};
use neap_points::gallop;

/// A batch whose rows are sorted by tag set and time, missing tags first.
#[derive(Debug)]
pub(super) struct SourceBatch {
    pub(super) rows: RecordBatch,
    tags: Vec<SourceTag>,
    times: TimestampNanosecondArray,
}

#[derive(Debug)]
struct SourceTag {
    codes: Int32Array,
    values: StringArray,
}

impl SourceTag {
    /// Returns the code of the value of a row; `None` if it has no value.
    fn code(&self, row: usize) -> Option<usize> {
        let key = self.codes.is_valid(row).then(|| self.codes.value(row))?;
        let code = usize::try_from(key).ok()?;
        self.values.is_valid(code).then_some(code)
    }

    fn text(&self, row: usize) -> Option<&str> {
        self.code(row).map(|code| self.values.value(code))
    }

    /// Whether two rows have the same value. Dictionaries may contain a value twice.
    fn is_same(&self, one: usize, other: usize) -> bool {
        self.code(one) == self.code(other) || self.text(one) == self.text(other)
    }
}

impl SourceBatch {
    /// `keys` are the indexes of the columns of the tags, and of the time as the last.
    /// Fails if a tag is no dictionary of texts, or the time no timestamp.
    pub(super) fn new(rows: RecordBatch, keys: &[usize]) -> Result<Self> {
        let wrong = |at: usize| internal_datafusion_err!("key column {at} has another type");
        let (time, tags) = keys
            .split_last()
            .ok_or_else(|| internal_datafusion_err!("a point has no time"))?;
        let tag = |at: &usize| {
            let column = rows.column(*at).as_dictionary_opt::<Int32Type>();
            let values = column.and_then(|column| column.values().as_string_opt::<i32>());
            let (column, values) = column.zip(values).ok_or_else(|| wrong(*at))?;
            Ok(SourceTag { codes: column.keys().clone(), values: values.clone() })
        };
        let times = rows
            .column(*time)
            .as_primitive_opt::<TimestampNanosecondType>()
            .ok_or_else(|| wrong(*time))?
            .clone();
        Ok(Self {
            tags: tags.iter().map(tag).collect::<Result<_>>()?,
            times,
            rows,
        })
    }

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Returns the value of a tag, by its index in the series key; `None` if the row has none.
    pub(super) fn tag(&self, tag: usize, row: usize) -> Option<&str> {
        self.tags.get(tag)?.text(row)
    }

    pub(super) fn time(&self, row: usize) -> i64 {
        self.times.value(row)
    }

    /// Compares the tag sets of two rows.
    pub(super) fn compare_tags(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        let pairs = self.tags.iter().zip(&other.tags);
        let mut orders = pairs.map(|(one, other)| one.text(row).cmp(&other.text(other_row)));
        orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// Returns the end of the rows from `row` on that have its tag set.
    pub(super) fn run_end(&self, row: usize) -> usize {
        let is_same = |other: usize| self.tags.iter().all(|tag| tag.is_same(row, other));
        gallop(row + 1..self.len(), is_same)
    }

    /// Returns the end of the rows from `row` to `end`, which have the same tag set, that are older than `time`.
    pub(super) fn end_before(&self, row: usize, end: usize, time: i64) -> usize {
        gallop(row..end, |other| self.time(other) < time)
    }
}
