//! Builds a layer from the rows of a table in any order.

use arrow_array::RecordBatch;
use neap_points::{SeriesIndex, times};

use super::values::ValueCombinations;
use crate::{CacheError, DistinctCacheShape, DistinctValues, codes::MISSING, row_age::not_before};

/// Number of combinations that the builder keeps temporarily, in addition to four times the maximum number of the
/// cache.
const SLACK: usize = 1 << 16;

/// Builds a layer from rows of a table, in any order and in any batches. Keeps the combinations of values and the time
/// at which each was last seen: at most four times the maximum number of the cache, and 65,536 more.
#[derive(Debug)]
pub struct DistinctValuesBuilder {
    shape: DistinctCacheShape,
    complete_from: i64,
    limit: usize,
    combinations: SeriesIndex,
    /// The latest time of each combination.
    seen: Vec<i64>,
    scratch: Vec<u32>,
}

impl DistinctValuesBuilder {
    /// Creates an empty builder, which ignores rows older than `complete_from`.
    pub fn new(shape: &DistinctCacheShape, complete_from: i64, limit_bytes: usize) -> Self {
        Self {
            shape: shape.clone(),
            complete_from,
            limit: limit_bytes,
            combinations: SeriesIndex::new(shape.columns()),
            seen: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The approximate current memory size in bytes.
    pub fn size_bytes(&self) -> usize {
        self.combinations.size_bytes() + 8 * self.seen.capacity()
    }

    /// Adds rows, which may be versions of points that were added before. Columns are matched by name; a missing column
    /// is missing in all rows.
    ///
    /// # Errors
    /// [`CacheError::TooLarge`], or the rows do not match the table.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), CacheError> {
        let batch = not_before(batch, self.complete_from)?;
        let mut numbers = std::mem::take(&mut self.scratch);
        numbers.clear();
        self.combinations.resolve(&batch, &mut numbers)?;
        self.seen.resize(self.combinations.len(), i64::MIN);
        for (number, time) in numbers.iter().zip(times(&batch)?.values()) {
            if let Some(seen) = self.seen.get_mut(*number as usize) {
                *seen = (*seen).max(*time);
            }
        }
        self.scratch = numbers;
        let room = self.shape.max_cardinality().saturating_mul(4).saturating_add(SLACK);
        if self.seen.len() > room || self.size_bytes() > self.limit {
            self.clear()?;
        }
        Ok(())
    }

    /// Drops the combinations for which the cache has no room. A dropped combination may return with an older time than
    /// its latest one. This does not matter, because neither time is later than those of the combinations that are
    /// left.
    pub(super) fn clear(&mut self) -> Result<(), CacheError> {
        if self.seen.len() > self.shape.max_cardinality() {
            let left = self.layer()?;
            self.combinations = SeriesIndex::new(self.shape.columns());
            self.seen = left.seen()?.to_vec();
            let mut numbers = Vec::with_capacity(left.len());
            // The combinations are distinct, so their numbers equal their row indexes.
            self.combinations.resolve(left.batch(), &mut numbers)?;
        }
        if self.size_bytes() > self.limit {
            return Err(CacheError::TooLarge { limit: self.limit });
        }
        Ok(())
    }

    /// Returns the layer of all added rows.
    ///
    /// # Errors
    /// [`CacheError::TooLarge`].
    pub fn finish(self) -> Result<DistinctValues, CacheError> {
        let layer = self.layer()?;
        if layer.size_bytes() > self.limit {
            return Err(CacheError::TooLarge { limit: self.limit });
        }
        Ok(layer)
    }

    fn layer(&self) -> Result<DistinctValues, CacheError> {
        let ranks = self.combinations.ranks();
        let count = u32::try_from(self.seen.len()).unwrap_or(u32::MAX);
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_unstable_by_key(|number| ranks.get(*number as usize));
        let mut codes = Vec::with_capacity(self.shape.columns().len());
        let mut values = Vec::with_capacity(codes.capacity());
        for tag in 0..self.shape.columns().len() {
            let Some(sorted) = self.combinations.sorted_values(tag) else {
                continue;
            };
            let code = |number: &u32| {
                let numbers = self.combinations.value_numbers(*number);
                numbers.get(tag).map_or(MISSING, |number| sorted.code(*number))
            };
            codes.push(order.iter().map(code).collect());
            values.push(sorted.values().as_ref().clone());
        }
        let seen = order
            .iter()
            .filter_map(|number| self.seen.get(*number as usize).copied())
            .collect();
        let all = ValueCombinations { codes, values, seen };
        DistinctValues::newest(&self.shape, all, self.complete_from)
    }
}
