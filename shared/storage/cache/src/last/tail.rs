//! An index of the newest rows of each key of a tail, updated as the tail grows.

use neap_points::{SeriesIndex, TailImageBuilder, TailRow};
use std::cmp::Ordering;

use super::newest_entries::NewestEntries;
use crate::{CacheError, KeyFilter, LastCacheShape, LastRows, key_groups::KeyGroups};

/// An index of the newest rows of each key of one [`TailImageBuilder`], by row number. It belongs to that builder;
/// another builder needs another index.
#[derive(Debug)]
pub struct LastTailIndex {
    shape: LastCacheShape,
    groups: KeyGroups,
    /// The numbers of the newest rows of each key.
    rings: Vec<NewestEntries<u32>>,
    ring_bytes: usize,
    next_row: usize,
    removals: u64,
}

impl LastTailIndex {
    /// Creates an empty index.
    pub fn new(shape: &LastCacheShape) -> Self {
        Self {
            shape: shape.clone(),
            groups: KeyGroups::new(shape.keys(), false),
            rings: Vec::new(),
            ring_bytes: 0,
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
    /// The key columns are not tags of the tail's table.
    pub fn update(&mut self, tail: &TailImageBuilder) -> Result<(), CacheError> {
        if self.is_up_to_date(tail) {
            return Ok(());
        }
        if tail.removals() != self.removals || tail.next_row() < self.next_row {
            *self = Self::new(&self.shape);
        }
        let index = tail.index();
        self.groups.update(&index)?;
        self.rings.resize(self.groups.len(), NewestEntries::Empty);
        for row in tail.live_rows(self.next_row) {
            let group = self.groups.of(row.series);
            let Some(ring) = group.and_then(|group| self.rings.get_mut(group as usize)) else {
                continue;
            };
            let before = ring.heap_bytes();
            let at = |number: &u32| {
                if *number == row.row {
                    Some(row)
                } else {
                    tail.row(*number)
                }
            };
            ring.insert(row.row, self.shape.count(), |one, other| {
                compare(&index, at(one), at(other))
            });
            self.ring_bytes += ring.heap_bytes() - before;
        }
        self.next_row = tail.next_row();
        self.removals = tail.removals();
        Ok(())
    }

    /// Returns the newest rows of each key that passes the filters, without rows older than `from`. The tail must be
    /// unchanged since the last [`update`](Self::update).
    ///
    /// # Errors
    /// A filter is not on a key column.
    pub fn rows(
        &self,
        tail: &TailImageBuilder,
        filters: &[KeyFilter],
        from: i64,
    ) -> Result<LastRows, CacheError> {
        let groups = self.groups.matching(&tail.index(), filters)?;
        let rings = groups.iter().filter_map(|group| self.rings.get(*group as usize));
        let fresh = |row: &&u32| tail.row(**row).is_some_and(|row| row.time >= from);
        let rows: Vec<u32> = rings
            .flat_map(|ring| ring.as_slice().iter().rev())
            .filter(fresh)
            .copied()
            .collect();
        let rows = tail.take(&rows, self.shape.schema())?;
        LastRows::new(&self.shape, rows, from)
    }

    /// The number of keys, including those whose rows are all too old.
    pub fn num_keys(&self) -> usize {
        self.rings.len()
    }

    /// The approximate memory size of the index in bytes.
    pub fn size_bytes(&self) -> usize {
        self.groups.size_bytes()
            + self.rings.capacity() * size_of::<NewestEntries<u32>>()
            + self.ring_bytes
    }
}

/// Compares rows of one key, from the oldest to the newest. Versions of a point are equal. Of points with the same
/// time, the one that sorts first by its tags counts as the newest.
fn compare(index: &SeriesIndex, one: Option<TailRow>, other: Option<TailRow>) -> Ordering {
    let (Some(one), Some(other)) = (one, other) else {
        return Ordering::Equal;
    };
    let tags = || {
        if one.series == other.series {
            Ordering::Equal
        } else {
            index.compare(other.series, one.series)
        }
    };
    one.time.cmp(&other.time).then_with(tags)
}
