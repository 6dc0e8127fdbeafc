//! Deletes and expiry: the removal of combinations from an existing layer.

use neap_row_delete::Condition;

use super::values::ValueCombinations;
use crate::{
    CacheError, DistinctCacheShape, DistinctValues,
    codes::TagColumn,
    coverage::{DeleteCoverage, KnownTagValue, coverage, overlapping_conditions},
};

impl DistinctValues {
    /// Returns the layer after row deletes that are newer than all rows that it knows of, and without the combinations
    /// that were last seen before `before`.
    ///
    /// A delete is applied if its result is certain: a combination stays if its latest row is not deleted, and is
    /// removed if all of its rows are.
    ///
    /// # Errors
    /// [`CacheError::Incomplete`]: the result depends on rows that the layer does not know.
    pub fn without(
        &self,
        shape: &DistinctCacheShape,
        deletes: &[&Condition],
        before: Option<i64>,
    ) -> Result<Self, CacheError> {
        let from = before.map_or(self.complete_from(), |before| before.max(self.complete_from()));
        let deletes = overlapping_conditions(deletes, (from, i64::MAX));
        let seen = self.seen()?;
        if deletes.is_empty() && seen.iter().all(|seen| *seen >= from) {
            return Ok(self.with_complete_from(from));
        }
        let columns = self.columns()?;
        let mut left = Vec::with_capacity(self.len());
        for (row, seen) in seen.iter().enumerate().filter(|(_, seen)| **seen >= from) {
            match of_combination(shape, &columns, row, &deletes, (from, *seen)) {
                DeleteCoverage::None => left.push(row),
                DeleteCoverage::All if self.len() < shape.max_cardinality() => {}
                // There may be other combinations for which the layer had no room.
                DeleteCoverage::All | DeleteCoverage::Some => return Err(CacheError::Incomplete),
            }
        }
        let codes = |column: &TagColumn<'_>| left.iter().map(|row| column.code(*row)).collect();
        let combinations = ValueCombinations {
            codes: columns.iter().map(codes).collect(),
            values: columns.iter().map(|column| column.values().clone()).collect(),
            seen: left.iter().filter_map(|row| seen.get(*row).copied()).collect(),
        };
        Self::newest(shape, combinations, from)
    }
}

/// Returns the coverage of a combination by deletes: none if its latest row stays, all if all of its rows are deleted,
/// and some if this is not known.
fn of_combination(
    shape: &DistinctCacheShape,
    columns: &[TagColumn<'_>],
    row: usize,
    deletes: &[&Condition],
    (from, seen): (i64, i64),
) -> DeleteCoverage {
    let tag = |name: &str| {
        let column = shape.columns().iter().position(|column| column == name);
        match column.and_then(|column| columns.get(column)) {
            Some(column) => KnownTagValue::Value(column.text(row)),
            // This may be a tag of the table, because a shape does not have the table's other tags.
            None => KnownTagValue::Unknown,
        }
    };
    let of = |times| deletes.iter().map(move |delete| coverage(delete, &tag, times));
    if of((seen, seen)).all(|coverage| coverage == DeleteCoverage::None) {
        return DeleteCoverage::None;
    }
    if of((from, seen)).any(|coverage| coverage == DeleteCoverage::All) {
        return DeleteCoverage::All;
    }
    DeleteCoverage::Some
}
