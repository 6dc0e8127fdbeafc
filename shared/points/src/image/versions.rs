//! Finds the earlier version of a point.
//!
//! Rows mostly come in the order of their times. As long as each row is newer than all rows of its series before, the
//! newest time of each series tells that its point is new. The table of all points is created when another row comes.

use ahash::RandomState;
use hashbrown::HashTable;

/// The rows of an image by their numbers.
#[derive(Clone, Copy)]
pub(super) struct RowKeys<'a> {
    /// The series of each row.
    pub(super) series: &'a [u32],
    /// The time of each row.
    pub(super) times: &'a [i64],
}

impl RowKeys<'_> {
    fn key(&self, row: u32) -> (Option<&u32>, Option<&i64>) {
        (self.series.get(row as usize), self.times.get(row as usize))
    }
}

/// The newest version of each point.
#[derive(Debug)]
pub(super) struct PointVersions {
    /// The newest time of each series; the minimum if there is none.
    newest_times: Vec<i64>,
    /// The row of each point; `None` if the times of all series ascend.
    rows: Option<HashTable<u32>>,
    hasher: RandomState,
}

impl PointVersions {
    /// No points.
    pub(super) fn new() -> Self {
        Self {
            newest_times: Vec::new(),
            rows: None,
            hasher: RandomState::with_seeds(5, 6, 7, 8),
        }
    }

    pub(super) fn size_bytes(&self) -> usize {
        let rows = self.rows.as_ref().map_or(0, HashTable::capacity);
        8 * self.newest_times.capacity() + 5 * rows
    }

    /// Adds the rows from `first` on. Returns the pairs (newer, older) of those whose points existed before. `live` has
    /// the numbers of the earlier rows that are the newest version of a point.
    pub(super) fn add(
        &mut self,
        keys: RowKeys<'_>,
        first: usize,
        live: impl Iterator<Item = u32>,
    ) -> Vec<(u32, u32)> {
        let added = (first..keys.series.len()).filter_map(|row| u32::try_from(row).ok());
        let mut rows = match self.rows.take() {
            Some(rows) => rows,
            None if self.advance(keys, first) => return Vec::new(),
            None => {
                self.newest_times = Vec::new();
                let mut rows = HashTable::new();
                for row in live {
                    self.replace(&mut rows, keys, row);
                }
                rows
            }
        };
        let older = added.filter_map(|row| Some((row, self.replace(&mut rows, keys, row)?)));
        let older = older.collect();
        self.rows = Some(rows);
        older
    }

    /// Updates the newest time of each series. Returns whether each row from `first` on was newer than those before.
    fn advance(&mut self, keys: RowKeys<'_>, first: usize) -> bool {
        let rows = keys.series.iter().zip(keys.times).skip(first);
        for (series, time) in rows {
            let series = *series as usize;
            if series >= self.newest_times.len() {
                self.newest_times.resize(series + 1, i64::MIN);
            }
            match self.newest_times.get_mut(series) {
                Some(newest) if *newest < *time => *newest = *time,
                _ => return false,
            }
        }
        true
    }

    /// Makes a row the newest version of its point. Returns the version before.
    fn replace(&self, rows: &mut HashTable<u32>, keys: RowKeys<'_>, row: u32) -> Option<u32> {
        let hash = |row: u32| self.hasher.hash_one(keys.key(row));
        match rows.find_mut(hash(row), |other| keys.key(*other) == keys.key(row)) {
            Some(other) => Some(std::mem::replace(other, row)),
            None => {
                rows.insert_unique(hash(row), row, |row| hash(*row));
                None
            }
        }
    }

    /// Removes deleted rows, which were the newest versions of their points.
    pub(super) fn remove(&mut self, keys: RowKeys<'_>, deleted: impl Iterator<Item = u32>) {
        // A row of a deleted point is not newer than its series: then the table is created from the rows that are left.
        let Some(rows) = &mut self.rows else {
            return;
        };
        for row in deleted {
            let hash = self.hasher.hash_one(keys.key(row));
            if let Ok(found) = rows.find_entry(hash, |other| *other == row) {
                found.remove();
            }
        }
    }
}
