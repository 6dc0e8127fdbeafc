//! An index of the combinations of values of a tail, updated as the tail grows.

use neap_points::TailImageBuilder;

use super::values::ValueCombinations;
use crate::{CacheError, DistinctCacheShape, DistinctValues, key_groups::KeyGroups};

/// An index of the combinations of values of one [`TailImageBuilder`] and of the time at which each was last seen. It
/// belongs to that builder; another builder needs another index.
#[derive(Debug)]
pub struct DistinctTailIndex {
    shape: DistinctCacheShape,
    groups: KeyGroups,
    /// The latest time of each combination; `None` for one whose rows were all deleted.
    seen: Vec<Option<i64>>,
    next_row: usize,
    removals: u64,
}

impl DistinctTailIndex {
    /// Creates an empty index.
    pub fn new(shape: &DistinctCacheShape) -> Self {
        Self {
            shape: shape.clone(),
            groups: KeyGroups::new(shape.columns(), true),
            seen: Vec::new(),
            next_row: 0,
            removals: 0,
        }
    }

    /// Whether the index contains all rows and deletes of the tail.
    pub fn is_up_to_date(&self, tail: &TailImageBuilder) -> bool {
        (self.next_row, self.removals) == (tail.next_row(), tail.removals())
    }

    /// Adds the new rows of the tail. The cost is proportional to the number of new rows, or of all rows after a
    /// delete.
    ///
    /// # Errors
    /// The columns are not tags of the tail's table.
    pub fn update(&mut self, tail: &TailImageBuilder) -> Result<(), CacheError> {
        if self.is_up_to_date(tail) {
            return Ok(());
        }
        if tail.removals() != self.removals || tail.next_row() < self.next_row {
            *self = Self::new(&self.shape);
        }
        self.groups.update(&tail.index())?;
        self.seen.resize(self.groups.len(), None);
        for row in tail.live_rows(self.next_row) {
            let group = self.groups.of(row.series);
            if let Some(seen) = group.and_then(|group| self.seen.get_mut(group as usize)) {
                *seen = (*seen).max(Some(row.time));
            }
        }
        self.next_row = tail.next_row();
        self.removals = tail.removals();
        Ok(())
    }

    /// Returns the combinations that were last seen at or after `from`, at most as many as the cache holds. The tail
    /// must be unchanged since the last [`update`](Self::update).
    ///
    /// # Errors
    /// The columns are not tags of the tail's table.
    pub fn values(&self, tail: &TailImageBuilder, from: i64) -> Result<DistinctValues, CacheError> {
        if self.seen.is_empty() {
            return Ok(DistinctValues::empty(&self.shape, from));
        }
        let seen = |group: &u32| self.seen.get(*group as usize).copied().flatten();
        let is_fresh = |group: &u32| seen(group).is_some_and(|seen| seen >= from);
        let groups = self.groups.order(&tail.index())?;
        let order: Vec<u32> = groups.iter().copied().filter(is_fresh).collect();
        let (codes, values) = self.groups.coded(&tail.index(), &order)?;
        let all =
            ValueCombinations { codes, values, seen: order.iter().filter_map(seen).collect() };
        DistinctValues::newest(&self.shape, all, from)
    }

    /// The approximate memory size of the index in bytes.
    pub fn size_bytes(&self) -> usize {
        self.groups.size_bytes() + self.seen.capacity() * size_of::<Option<i64>>()
    }
}
