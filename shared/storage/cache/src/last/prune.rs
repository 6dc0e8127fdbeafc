//! Deletes and expiry: the removal of rows from an existing layer.

use std::{ops::Range, sync::Arc};

use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_select::filter::filter_record_batch;
use neap_row_delete::Condition;

use crate::{
    CacheError, LastCacheShape, LastRows,
    codes::{TagColumn, tag_array},
    coverage::{DeleteCoverage, KnownTagValue, coverage, overlapping_conditions},
};

impl LastRows {
    /// Returns the layer after row deletes that are newer than all of its rows, and without the rows that are older
    /// than `before`.
    ///
    /// # Errors
    /// [`CacheError::Incomplete`]: a key that has the maximum number of rows loses one, and older rows that the layer
    /// does not know may have to replace it.
    pub fn without(
        &self,
        shape: &LastCacheShape,
        deletes: &[&Condition],
        before: Option<i64>,
    ) -> Result<Self, CacheError> {
        let fitted = self.conform_to(shape)?;
        let from =
            before.map_or(fitted.complete_from(), |before| before.max(fitted.complete_from()));
        let Some((first, last)) = fitted.time_range() else {
            return Ok(fitted.with(fitted.batch().clone(), from));
        };
        let deletes = overlapping_conditions(deletes, (first, last));
        let mut gone: Option<BooleanBuffer> = None;
        for delete in &deletes {
            let mask = delete.mask(fitted.batch())?;
            gone = Some(gone.map_or(mask.clone(), |gone| &gone | &mask));
        }
        let gone = gone.filter(|gone| gone.count_set_bits() > 0);
        if let Some(gone) = &gone {
            fitted.check_gaps(shape, gone, &deletes, from)?;
        }
        if gone.is_none() && from <= first {
            return Ok(fitted.with(fitted.batch().clone(), from));
        }
        let times = fitted.times(shape)?;
        let mut left: BooleanBuffer = times.iter().map(|time| *time >= from).collect();
        if let Some(gone) = gone {
            left = &left & &!&gone;
        }
        let rows = filter_record_batch(fitted.batch(), &BooleanArray::new(left, None))?;
        Self::new(shape, compacted(shape, &rows)?, from)
    }

    /// Checks that no key that loses a row may have other rows that are not known.
    fn check_gaps(
        &self,
        shape: &LastCacheShape,
        gone: &BooleanBuffer,
        deletes: &[&Condition],
        from: i64,
    ) -> Result<(), CacheError> {
        let times = self.times(shape)?;
        let keys = self.key_columns(shape)?;
        for rows in self.full_keys(shape) {
            let lost = rows.clone().any(|row| gone.value(row));
            let oldest = times.get(rows.end - 1).copied().unwrap_or(i64::MIN);
            // Unknown rows are as old as the oldest row, or older.
            if !lost || oldest < from {
                continue;
            }
            let tag = |name: &str| known_tag(shape, &keys, rows.start, name);
            let hits_all =
                |delete: &&Condition| coverage(delete, &tag, (from, oldest)) == DeleteCoverage::All;
            if !deletes.iter().any(hits_all) {
                return Err(CacheError::Incomplete);
            }
        }
        Ok(())
    }

    /// Returns the rows of each key that has as many as the cache keeps.
    fn full_keys(&self, shape: &LastCacheShape) -> impl Iterator<Item = Range<usize>> {
        let (rows, count) = (self.num_rows(), shape.count());
        let mut start = 0;
        std::iter::from_fn(move || {
            while start < rows {
                let mut end = start + 1;
                while end < rows && !self.is_first(end) {
                    end += 1;
                }
                let key = start..end;
                start = end;
                if key.len() >= count {
                    return Some(key);
                }
            }
            None
        })
    }
}

/// Returns the knowledge about a tag of all points that have the key of a row.
fn known_tag<'a>(
    shape: &LastCacheShape,
    keys: &[TagColumn<'a>],
    row: usize,
    name: &str,
) -> KnownTagValue<'a> {
    if let Some(key) = shape.keys().iter().position(|key| key == name) {
        return KnownTagValue::Value(keys.get(key).and_then(|column| column.text(row)));
    }
    if shape.tags().iter().any(|tag| tag == name) {
        return KnownTagValue::Unknown;
    }
    KnownTagValue::Value(None)
}

/// Removes the unused values from the dictionaries of rows.
fn compacted(shape: &LastCacheShape, rows: &RecordBatch) -> Result<RecordBatch, CacheError> {
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    for column in shape.sort_columns() {
        if let Some(slot) = columns.get_mut(*column) {
            let (codes, values) = TagColumn::from_column(slot)?.selected(0..rows.num_rows())?;
            *slot = tag_array(codes, values)?;
        }
    }
    Ok(RecordBatch::try_new(Arc::clone(rows.schema_ref()), columns)?)
}
