//! The combinations of values of a tail: an index that follows it.

use neap_points::TailImageBuilder;

use super::values::Combinations;
use crate::{CacheError, DistinctShape, DistinctValues, groups::Groups};

/// The combinations of values of one [`TailImageBuilder`] and when they were seen last. Belongs to that one
/// builder; a builder that starts anew needs a new index.
#[derive(Debug)]
pub struct DistinctTail {
    shape: DistinctShape,
    groups: Groups,
    /// The latest time of each combination; `None` for one whose rows were all deleted.
    seen: Vec<Option<i64>>,
    next_row: usize,
    removals: u64,
}

impl DistinctTail {
    /// An index of nothing yet.
    pub fn new(shape: &DistinctShape) -> Self {
        Self {
            shape: shape.clone(),
            groups: Groups::new(shape.columns(), true),
            seen: Vec::new(),
            next_row: 0,
            removals: 0,
        }
    }

    /// Whether it has taken in all rows and deletes of the tail.
    pub fn is_up_to_date(&self, tail: &TailImageBuilder) -> bool {
        (self.next_row, self.removals) == (tail.next_row(), tail.removals())
    }

    /// Takes in what is new in the tail. Costs as much as there are new rows; all of them again after rows
    /// were deleted.
    ///
    /// # Errors
    /// The tail's table does not have the columns as tags.
    pub fn update(&mut self, tail: &TailImageBuilder) -> Result<(), CacheError> {
        if self.is_up_to_date(tail) {
            return Ok(());
        }
        if tail.removals() != self.removals || tail.next_row() < self.next_row {
            *self = Self::new(&self.shape);
        }
        self.groups.update(tail.index())?;
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

    /// The combinations that were seen from `from` on, as many as the cache has. The tail must be as it was at
    /// the last [`update`](Self::update).
    ///
    /// # Errors
    /// The tail's table does not have the columns as tags.
    pub fn values(&self, tail: &TailImageBuilder, from: i64) -> Result<DistinctValues, CacheError> {
        if self.seen.is_empty() {
            return Ok(DistinctValues::empty(&self.shape, from));
        }
        let seen = |group: &u32| self.seen.get(*group as usize).copied().flatten();
        let is_fresh = |group: &u32| seen(group).is_some_and(|seen| seen >= from);
        let order = self.groups.order(tail.index())?.iter().copied();
        let order: Vec<u32> = order.filter(is_fresh).collect();
        let (codes, values) = self.groups.coded(tail.index(), &order)?;
        let all = Combinations {
            codes,
            values,
            seen: order.iter().filter_map(seen).collect(),
        };
        DistinctValues::newest(&self.shape, all, from)
    }

    /// About how many bytes of memory the index takes.
    pub fn size_bytes(&self) -> usize {
        self.groups.size_bytes() + self.seen.capacity() * size_of::<Option<i64>>()
    }
}
