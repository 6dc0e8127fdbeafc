//! The rows of a sorted layer that pass filters on its first columns.
//!
//! As long as the leading columns are restricted to a few values each, binary search finds the rows. From the first
//! column that is not, the remaining rows are tested one by one.

use std::ops::Range;

use arrow_array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_select::take::take;
use neap_points::partition_point;

use crate::{CacheError, codes::TagColumn, filter::CodeSet};

/// Rows of a layer, as ascending ranges that do not overlap.
#[derive(Clone, Debug, Default)]
pub(crate) struct LayerSelection {
    ranges: Vec<Range<usize>>,
    len: usize,
}

impl LayerSelection {
    pub(crate) fn all(rows: usize) -> Self {
        let mut all = Self::default();
        all.push(0..rows);
        all
    }

    /// Appends rows that come after all present ones.
    pub(crate) fn push(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        self.len += range.len();
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the range if there is only one.
    pub(crate) fn as_range(&self) -> Option<Range<usize>> {
        match self.ranges.as_slice() {
            [] => Some(0..0),
            [range] => Some(range.clone()),
            _ => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.ranges.iter().cloned().flatten()
    }

    pub(crate) fn rows(&self) -> Vec<usize> {
        let mut rows = Vec::with_capacity(self.len);
        for range in &self.ranges {
            rows.extend(range.clone());
        }
        rows
    }

    /// Returns the selected rows for which a test holds.
    pub(crate) fn filtered(&self, mut keep: impl FnMut(usize) -> bool) -> Self {
        let mut left = Self::default();
        for range in &self.ranges {
            let mut start = range.start;
            for row in range.clone() {
                if !keep(row) {
                    left.push(start..row);
                    start = row + 1;
                }
            }
            left.push(start..range.end);
        }
        left
    }

    /// Returns the first `limit` selected rows.
    pub(crate) fn first(&self, limit: usize) -> Self {
        let mut left = Self::default();
        for range in &self.ranges {
            let rows = range.len().min(limit - left.len);
            left.push(range.start..range.start + rows);
        }
        left
    }

    /// Returns some columns of the selected rows of a batch. Does not copy consecutive rows.
    pub(crate) fn of(
        &self,
        batch: &RecordBatch,
        projection: &[usize],
    ) -> Result<RecordBatch, CacheError> {
        let batch = batch.project(projection)?;
        if let Some(range) = self.as_range() {
            return Ok(batch.slice(range.start, range.len()));
        }
        let numbers = self.iter().filter_map(|row| u32::try_from(row).ok());
        let rows = UInt32Array::from_iter_values(numbers);
        let columns = batch
            .columns()
            .iter()
            .map(|column| take(column, &rows, None))
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
    }
}

/// Returns the rows whose codes are all in `sets`, of a layer that is sorted by `columns`.
pub(crate) fn select_rows(
    columns: &[TagColumn<'_>],
    sets: &[CodeSet],
    rows: usize,
) -> LayerSelection {
    let mut left = LayerSelection::all(rows);
    let mut is_sorted = true;
    for (column, set) in columns.iter().zip(sets) {
        left = match set {
            CodeSet::All => {
                is_sorted = false;
                continue;
            }
            CodeSet::Listed(codes)
                if is_sorted && codes.len().saturating_mul(left.ranges.len()) <= left.len() =>
            {
                searched(column, codes, &left)
            }
            _ => {
                is_sorted = false;
                left.filtered(|row| set.contains(column.code(row)))
            }
        };
    }
    left
}

/// Returns the rows that have one of the codes. Each range is sorted by the codes.
fn searched(column: &TagColumn<'_>, codes: &[i32], within: &LayerSelection) -> LayerSelection {
    let mut found = LayerSelection::default();
    for range in &within.ranges {
        let mut rest = range.clone();
        for code in codes {
            let start = partition_point(rest.clone(), |row| column.code(row) < *code);
            let end = partition_point(start..rest.end, |row| column.code(row) == *code);
            // Adjacent ranges belong to successive values. Each stays a separate range, because the next column is
            // sorted only within it.
            if start < end {
                found.len += end - start;
                found.ranges.push(start..end);
            }
            rest.start = end;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int32Array};

    use super::*;

    #[test]
    fn rows_are_selected_even_without_columns() {
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..6));
        let batch = RecordBatch::try_from_iter([("a", numbers)]).unwrap();
        let all = LayerSelection::all(6);
        let odd = all.filtered(|row| row % 2 == 1);
        let first = all.first(2);
        for (selection, rows) in [(&odd, &[1, 3, 5][..]), (&first, &[0, 1])] {
            let taken = selection.of(&batch, &[0]).unwrap();
            let expected: ArrayRef = Arc::new(Int32Array::from(rows.to_vec()));
            assert_eq!(taken.column(0), &expected);
            let taken = selection.of(&batch, &[]).unwrap();
            assert_eq!((taken.num_columns(), taken.num_rows()), (0, rows.len()));
        }
    }
}
