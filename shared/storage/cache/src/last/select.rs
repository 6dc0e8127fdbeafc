//! Queries of a last value cache.

use arrow_array::RecordBatch;

use super::merge::LayerMerge;
use crate::{
    CacheError, KeyFilter, LastCacheShape, LastRows,
    filter::code_sets,
    layer_selection::{LayerSelection, select_rows},
};

/// A query of a last value cache: its rows and columns.
#[derive(Clone, Copy, Debug)]
pub struct LastCacheQuery<'a> {
    /// Filters on the key columns.
    pub filters: &'a [KeyFilter],
    /// The earliest time of a row, in nanoseconds since the Unix epoch. Must not be before the layers'
    /// [`LastRows::complete_from`].
    pub from: i64,
    /// Maximum number of rows of each key; limited by the maximum of the cache.
    pub count: usize,
    /// The columns, by their indexes in [`LastCacheShape::schema`].
    pub projection: &'a [usize],
}

impl LastRows {
    /// Returns the newest rows of each queried key, of this layer merged with a layer of later writes. The rows are
    /// sorted by the key columns, then from the newest to the oldest, then by the other tags.
    ///
    /// If all key columns are restricted to a few values each, this takes a few binary searches, regardless of the
    /// size. A query for all rows of one layer does not copy them.
    ///
    /// # Errors
    /// A filter is not on a key column, or the layers do not have this shape.
    pub fn select(
        &self,
        shape: &LastCacheShape,
        newer: Option<&Self>,
        wanted: &LastCacheQuery<'_>,
    ) -> Result<RecordBatch, CacheError> {
        let base = self.conform_to(shape)?;
        let kept = base.filtered_rows(shape, wanted.filters)?;
        let Some(newer) = newer else {
            return base.project_newest(shape, &kept, wanted);
        };
        let newer = newer.conform_to(shape)?;
        let kept_newer = newer.filtered_rows(shape, wanted.filters)?;
        if kept_newer.is_empty() {
            return base.project_newest(shape, &kept, wanted);
        }
        if kept.is_empty() {
            return newer.project_newest(shape, &kept_newer, wanted);
        }
        let merge = LayerMerge::of(shape, (&base, &kept), (&newer, &kept_newer))?;
        let pairs = merge.pairs(wanted.count.min(shape.count()), wanted.from);
        merge.batch(&pairs, wanted.projection)
    }

    /// Returns the rows whose keys pass the filters: all rows of a key, or none.
    fn filtered_rows(
        &self,
        shape: &LastCacheShape,
        filters: &[KeyFilter],
    ) -> Result<LayerSelection, CacheError> {
        if filters.is_empty() {
            return Ok(LayerSelection::all(self.num_rows()));
        }
        let columns = self.key_columns(shape)?;
        let values: Vec<_> = columns.iter().map(|column| column.values()).collect();
        let sets = code_sets(shape.keys(), &values, filters)?;
        Ok(select_rows(&columns, &sets, self.num_rows()))
    }

    /// Returns the newest rows of each selected key.
    fn project_newest(
        &self,
        shape: &LastCacheShape,
        kept: &LayerSelection,
        wanted: &LastCacheQuery<'_>,
    ) -> Result<RecordBatch, CacheError> {
        let times = self.times(shape)?;
        let all_fresh = self.time_range().is_none_or(|(first, _)| wanted.from <= first);
        let is_fresh = |row: usize| times.get(row).is_some_and(|time| *time >= wanted.from);
        let mut kept = kept.clone();
        if wanted.count < shape.count() {
            let mut nth = 0;
            kept = kept.filtered(|row| {
                nth = if self.is_first(row) { 1 } else { nth + 1 };
                nth <= wanted.count && is_fresh(row)
            });
        } else if !all_fresh {
            kept = kept.filtered(is_fresh);
        }
        kept.of(self.batch(), wanted.projection)
    }
}
