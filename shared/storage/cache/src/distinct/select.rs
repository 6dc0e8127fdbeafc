//! Queries of a distinct value cache.

use arrow_array::RecordBatch;

use super::merge::union;
use crate::{
    CacheError, DistinctCacheShape, DistinctValues, KeyFilter,
    filter::code_sets,
    layer_selection::{LayerSelection, select_rows},
};

/// A query of a distinct value cache: its combinations and columns.
#[derive(Clone, Copy, Debug)]
pub struct DistinctCacheQuery<'a> {
    /// Filters on the columns. They do not affect which combinations the cache has room for.
    pub filters: &'a [KeyFilter],
    /// The earliest time at which a combination was last seen, in nanoseconds since the Unix epoch. Must not be before
    /// the layers' [`DistinctValues::complete_from`].
    pub from: i64,
    /// Maximum number of combinations, from the first on.
    pub limit: Option<usize>,
    /// The columns, by their indexes in [`DistinctCacheShape::schema`].
    pub projection: &'a [usize],
}

impl DistinctValues {
    /// Returns the queried combinations of this layer merged with a layer of later writes, sorted by the columns, a
    /// missing tag first.
    ///
    /// # Errors
    /// A filter is not on a column of the cache, or the layers do not have this shape.
    pub fn select(
        &self,
        shape: &DistinctCacheShape,
        newer: Option<&Self>,
        wanted: &DistinctCacheQuery<'_>,
    ) -> Result<RecordBatch, CacheError> {
        let Some(newer) = newer.filter(|newer| !newer.is_empty()) else {
            let kept = self.filtered_rows(shape, wanted.filters)?;
            return self.project_fresh(&kept, wanted);
        };
        let has_room = self.len() + newer.len() <= shape.max_cardinality();
        let filters = if has_room { wanted.filters } else { &[] };
        let older_rows = self.filtered_rows(shape, filters)?;
        let newer_rows = newer.filtered_rows(shape, filters)?;
        if has_room && newer_rows.is_empty() {
            return self.project_fresh(&older_rows, wanted);
        }
        let union = union((self, &older_rows), (newer, &newer_rows))?;
        let merged = Self::newest(shape, union, wanted.from)?;
        let kept = merged.filtered_rows(shape, wanted.filters)?;
        merged.project_fresh(&kept, wanted)
    }

    /// Returns the combinations that pass the filters.
    fn filtered_rows(
        &self,
        shape: &DistinctCacheShape,
        filters: &[KeyFilter],
    ) -> Result<LayerSelection, CacheError> {
        if filters.is_empty() {
            return Ok(LayerSelection::all(self.len()));
        }
        let columns = self.columns()?;
        let values: Vec<_> = columns.iter().map(|column| column.values()).collect();
        let sets = code_sets(shape.columns(), &values, filters)?;
        Ok(select_rows(&columns, &sets, self.len()))
    }

    fn project_fresh(
        &self,
        kept: &LayerSelection,
        wanted: &DistinctCacheQuery<'_>,
    ) -> Result<RecordBatch, CacheError> {
        let seen = self.seen()?;
        let is_fresh = |row: usize| seen.get(row).is_some_and(|seen| *seen >= wanted.from);
        let mut kept = kept.filtered(is_fresh);
        if let Some(limit) = wanted.limit {
            kept = kept.first(limit);
        }
        kept.of(self.batch(), wanted.projection)
    }
}
