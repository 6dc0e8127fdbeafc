//! Builds a layer from the rows of a table, in any order.

use arrow_array::RecordBatch;
use neap_points::{SeriesIndex, times};

use super::values::Combinations;
use crate::{CacheError, DistinctShape, DistinctValues, codes::MISSING, time::not_before};

/// How many combinations beyond what the cache has room for are kept for a while.
const SLACK: usize = 1 << 16;

/// Takes in rows of a table in any order and portions, and keeps the combinations of values and when they were
/// seen last. It holds at most four times as many as the cache has room for, and some ten thousand.
#[derive(Debug)]
pub struct DistinctValuesBuilder {
    shape: DistinctShape,
    complete_from: i64,
    limit: usize,
    combinations: SeriesIndex,
    /// The latest time of each combination.
    seen: Vec<i64>,
    scratch: Vec<u32>,
}

impl DistinctValuesBuilder {
    /// No values yet. Rows older than `complete_from` do not count.
    pub fn new(shape: &DistinctShape, complete_from: i64, limit_bytes: usize) -> Self {
        Self {
            shape: shape.clone(),
            complete_from,
            limit: limit_bytes,
            combinations: SeriesIndex::new(shape.columns()),
            seen: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// About how many bytes are held now.
    pub fn size_bytes(&self) -> usize {
        self.combinations.size_bytes() + 8 * self.seen.capacity()
    }

    /// Takes in rows; they may be versions of points that came before. They have the columns of the table by
    /// name; one that they lack is missing in all.
    ///
    /// # Errors
    /// [`CacheError::TooLarge`], or the rows are not those of the table.
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
        let room = self
            .shape
            .max_cardinality()
            .saturating_mul(4)
            .saturating_add(SLACK);
        if self.seen.len() > room || self.size_bytes() > self.limit {
            self.clear()?;
        }
        Ok(())
    }

    /// Forgets the combinations that there is no room for. One that comes again later was seen no later than
    /// those that are left, as far as it counts.
    pub(super) fn clear(&mut self) -> Result<(), CacheError> {
        if self.seen.len() > self.shape.max_cardinality() {
            let left = self.layer()?;
            self.combinations = SeriesIndex::new(self.shape.columns());
            self.seen = left.seen()?.to_vec();
            let mut numbers = Vec::with_capacity(left.len());
            // They are different ones, and so are numbered by their places.
            self.combinations.resolve(left.batch(), &mut numbers)?;
        }
        if self.size_bytes() > self.limit {
            return Err(CacheError::TooLarge { limit: self.limit });
        }
        Ok(())
    }

    /// The layer of all rows that came.
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
                numbers
                    .get(tag)
                    .map_or(MISSING, |number| sorted.code(*number))
            };
            codes.push(order.iter().map(code).collect());
            values.push(sorted.values().as_ref().clone());
        }
        let seen = order
            .iter()
            .filter_map(|number| self.seen.get(*number as usize).copied());
        let seen = seen.collect();
        let all = Combinations {
            codes,
            values,
            seen,
        };
        DistinctValues::newest(&self.shape, all, self.complete_from)
    }
}
