//! A layer of a distinct value cache: sorted combinations of values, with the time at which each was last seen.

use std::{cmp::Reverse, sync::Arc};

use arrow_array::{
    Array, ArrayRef, RecordBatch, StringArray, TimestampNanosecondArray, cast::AsArray,
    types::TimestampNanosecondType,
};
use neap_points::PointsError;

use crate::{
    CacheError, DistinctCacheShape,
    codes::{TagColumn, compacted_column},
    definition::DefinitionChecksum,
};

/// A layer of a distinct value cache: the combinations of values of the rows up to a point in time. Immutable; a clone
/// shares the data.
///
/// Each combination occurs once. They are sorted by their values, column by column, a missing tag first. The
/// dictionaries are sorted.
#[derive(Clone, Debug)]
pub struct DistinctValues(Arc<DistinctValuesInner>);

#[derive(Debug)]
struct DistinctValuesInner {
    rows: RecordBatch,
    complete_from: i64,
    definition: DefinitionChecksum,
}

/// Combinations in order, by codes of sorted dictionaries.
#[derive(Debug)]
pub(super) struct ValueCombinations {
    /// By column.
    pub(super) codes: Vec<Vec<i32>>,
    /// By column.
    pub(super) values: Vec<StringArray>,
    pub(super) seen: Vec<i64>,
}

impl DistinctValues {
    /// Returns an empty layer: that of a table without rows from `complete_from` on.
    pub fn empty(shape: &DistinctCacheShape, complete_from: i64) -> Self {
        let rows = RecordBatch::new_empty(Arc::clone(shape.schema()));
        Self::new(shape, rows, complete_from)
    }

    /// Creates a layer from rows in its shape and order, at most as many as the cache holds.
    pub(crate) fn new(shape: &DistinctCacheShape, rows: RecordBatch, complete_from: i64) -> Self {
        Self(Arc::new(DistinctValuesInner {
            rows,
            complete_from,
            definition: shape.definition(),
        }))
    }

    /// Creates a layer from the combinations that were last seen at or after `from`; if these are too many, from the
    /// most recently seen of them.
    pub(super) fn newest(
        shape: &DistinctCacheShape,
        all: ValueCombinations,
        from: i64,
    ) -> Result<Self, CacheError> {
        let kept = newest(&all.seen, from, shape.max_cardinality());
        let times = kept.iter().filter_map(|at| all.seen.get(*at).copied());
        let seen: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(times));
        let mut columns = Vec::with_capacity(all.codes.len() + 1);
        for (codes, values) in all.codes.iter().zip(&all.values) {
            let codes = kept.iter().filter_map(|at| codes.get(*at).copied());
            columns.push(compacted_column(codes.collect(), values)?);
        }
        columns.push(seen);
        let rows = RecordBatch::try_new(Arc::clone(shape.schema()), columns)?;
        Ok(Self::new(shape, rows, from))
    }

    /// The time from which all combinations are known, up to the maximum number of the cache.
    pub fn complete_from(&self) -> i64 {
        self.0.complete_from
    }

    /// The number of combinations.
    pub fn len(&self) -> usize {
        self.0.rows.num_rows()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The approximate memory size in bytes.
    pub fn size_bytes(&self) -> usize {
        self.0.rows.get_array_memory_size()
    }

    /// All combinations, with the columns of [`DistinctCacheShape::schema`].
    pub fn batch(&self) -> &RecordBatch {
        &self.0.rows
    }

    /// The definition with which the layer was built.
    pub(crate) fn definition(&self) -> DefinitionChecksum {
        self.0.definition
    }

    /// The columns without `seen`.
    pub(crate) fn columns(&self) -> Result<Vec<TagColumn<'_>>, CacheError> {
        let columns = self.0.rows.columns().split_last().map_or(&[][..], |(_, rest)| rest);
        columns.iter().map(TagColumn::from_column).collect()
    }

    pub(crate) fn seen(&self) -> Result<&[i64], CacheError> {
        let last = self.0.rows.columns().last();
        let seen = last
            .and_then(|seen| seen.as_primitive_opt::<TimestampNanosecondType>())
            .filter(|seen| seen.null_count() == 0);
        Ok(seen.ok_or(PointsError::MissingTimeColumn)?.values())
    }

    pub(super) fn with_complete_from(&self, complete_from: i64) -> Self {
        Self(Arc::new(DistinctValuesInner {
            rows: self.0.rows.clone(),
            complete_from,
            definition: self.0.definition,
        }))
    }
}

/// Returns the indexes of the `limit` most recently seen combinations among those seen at or after `from`, in ascending
/// order.
pub(super) fn newest(seen: &[i64], from: i64, limit: usize) -> Vec<usize> {
    let fresh = seen.iter().enumerate().filter(|(_, seen)| **seen >= from);
    let mut kept: Vec<usize> = fresh.map(|(at, _)| at).collect();
    if kept.len() > limit {
        kept.select_nth_unstable_by_key(limit, |at| {
            (seen.get(*at).map(|seen| Reverse(*seen)), *at)
        });
        kept.truncate(limit);
        kept.sort_unstable();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_recently_seen_are_kept_and_of_equal_times_the_first() {
        assert_eq!(newest(&[5, 3, 5, 9, 5], 4, 3), [0, 2, 3]);
        assert_eq!(newest(&[5, 3, 5], 4, 3), [0, 2]);
    }
}
