//! Finds the earlier version of a point.
//!
//! Rows mostly come in the order of their times. As long as each row is newer than all rows of its series before, the
//! newest time of each series tells that its point is new. The table of all points is created when another row comes.

use ahash::RandomState;

use super::{
    chunk::ImageChunk,
    row_position::{live_rows, tail_row},
    tail_row::TailRow,
};
use crate::number_table::NumberTable;

/// The newest version of each point.
#[derive(Debug)]
pub(super) struct PointVersions {
    /// The newest time of each series; the minimum if there is none.
    newest_times: Vec<i64>,
    /// The row of each point; `None` if the times of all series ascend.
    points: Option<NumberTable>,
    hasher: RandomState,
}

impl PointVersions {
    /// No points.
    pub(super) fn new() -> Self {
        Self {
            newest_times: Vec::new(),
            points: None,
            hasher: RandomState::with_seeds(5, 6, 7, 8),
        }
    }

    pub(super) fn size_bytes(&self) -> usize {
        let points = self.points.as_ref().map_or(0, NumberTable::size_bytes);
        8 * self.newest_times.capacity() + points
    }

    /// Adds the rows of the last chunk. Returns the pairs (newer, older) of those whose points existed before.
    pub(super) fn add(&mut self, chunks: &[ImageChunk]) -> Vec<(u32, u32)> {
        let Some((added, earlier)) = chunks.split_last() else {
            return Vec::new();
        };
        let mut points = match self.points.take() {
            Some(points) => points,
            None if self.advance(added) => return Vec::new(),
            None => {
                self.newest_times = Vec::new();
                let mut points = NumberTable::with_capacity(added.end());
                for row in live_rows(earlier, 0) {
                    self.replace(&mut points, chunks, row);
                }
                points
            }
        };
        let older = |row: TailRow| Some((row.row, self.replace(&mut points, chunks, row)?));
        let older = added.rows().filter_map(older).collect();
        self.points = Some(points);
        older
    }

    /// Updates the newest time of each series. Returns whether each row of a chunk was newer than those before.
    fn advance(&mut self, chunk: &ImageChunk) -> bool {
        for (series, time) in chunk.series.iter().zip(chunk.times.iter()) {
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
    fn replace(
        &self,
        points: &mut NumberTable,
        chunks: &[ImageChunk],
        row: TailRow,
    ) -> Option<u32> {
        let point = |row: TailRow| (row.series, row.time);
        let is_version = |other| tail_row(chunks, other).map(point) == Some(point(row));
        points.replace(self.hash(row), row.row, is_version)
    }

    /// Removes deleted rows, which were the newest versions of their points.
    pub(super) fn remove(&mut self, deleted: impl Iterator<Item = TailRow>) {
        // A row of a deleted point is not newer than its series: then the table is created from the rows that are left.
        let Some(mut points) = self.points.take() else {
            return;
        };
        for row in deleted {
            points.remove(self.hash(row), row.row);
        }
        self.points = Some(points);
    }

    /// Returns the hash of a row's point.
    fn hash(&self, row: TailRow) -> u64 {
        self.hasher.hash_one((row.series, row.time))
    }
}
