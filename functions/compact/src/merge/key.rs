//! Sort order of rows: by tags in the order of the catalog, nulls first, then by time.

use std::cmp::Ordering;

use arrow_array::{
    Array, Int32Array, RecordBatch, StringArray, TimestampNanosecondArray, cast::AsArray,
    types::Int32Type,
};
use neap_points::{PointsError, times};

/// Key columns of a batch of rows.
#[derive(Clone, Debug)]
pub(super) struct SortKeys {
    /// One column for each tag of the table; `None` if no row has the tag.
    tags: Vec<Option<SortKeyTag>>,
    times: TimestampNanosecondArray,
}

#[derive(Clone, Debug)]
struct SortKeyTag {
    keys: Int32Array,
    values: StringArray,
}

impl SortKeyTag {
    fn value(&self, row: usize) -> Option<&str> {
        let key = usize::try_from(self.keys.value(row)).ok()?;
        let is_value = self.keys.is_valid(row) && key < self.values.len();
        is_value.then(|| self.values.value(key))
    }
}

impl SortKeys {
    pub(super) fn try_new(tags: &[String], rows: &RecordBatch) -> Result<Self, PointsError> {
        let tag_column = |tag: &String| {
            let Some(column) = rows.column_by_name(tag) else {
                return Ok(None);
            };
            let dictionary = column.as_dictionary_opt::<Int32Type>();
            let parts = dictionary.and_then(|dictionary| {
                Some((dictionary.keys(), dictionary.values().as_string_opt::<i32>()?))
            });
            let (keys, values) = parts.ok_or_else(|| PointsError::ColumnType {
                column: tag.clone(),
                found: column.data_type().to_string(),
                expected: "Dictionary(Int32, Utf8)".to_owned(),
            })?;
            Ok(Some(SortKeyTag { keys: keys.clone(), values: values.clone() }))
        };
        Ok(Self {
            tags: tags.iter().map(tag_column).collect::<Result<_, PointsError>>()?,
            times: times(rows)?.clone(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// Compares a row of this batch with a row of another batch of the same table.
    pub(super) fn compare(&self, row: usize, others: &Self, other: usize) -> Ordering {
        for (mine, theirs) in self.tags.iter().zip(&others.tags) {
            let mine = mine.as_ref().and_then(|tag| tag.value(row));
            let theirs = theirs.as_ref().and_then(|tag| tag.value(other));
            match mine.cmp(&theirs) {
                Ordering::Equal => {}
                order => return order,
            }
        }
        self.times.value(row).cmp(&others.times.value(other))
    }

    /// Returns the end of the rows, starting at `start`, that are not after row `bound` of `others`.
    pub(super) fn end_of(&self, start: usize, others: &Self, bound: usize) -> usize {
        let (mut from, mut to) = (start, self.len());
        while from < to {
            let middle = from + (to - from) / 2;
            if self.compare(middle, others, bound).is_le() {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        from
    }
}
