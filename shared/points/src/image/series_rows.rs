//! The rows of each series of an image, so that a query of few series reads no others.
//!
//! ```text
//!   rows       0: a   1: b   2: a   3: a   4: b
//!   newest     a -> 3, b -> 4
//!   previous   3 -> 2 -> 0, 4 -> 1
//! ```

use std::{ops::RangeInclusive, sync::PoisonError};

use arrow_array::TimestampNanosecondArray;

use super::{ImageChunk, RowPosition, SelectedSeries, TailImage, place, read};
use crate::PointsError;

/// The previous row of the first row of a series.
const NONE: u32 = u32::MAX;

/// An image reads rows one by one if it looks at no more than one of this many.
const ROWS_PER_LOOKUP: usize = 32;

/// The bounds of the number of rows that are looked at, which takes some milliseconds at most.
const LOOKUPS: RangeInclusive<usize> = 1_024..=65_536;

/// The rows of each series, from the newest to the oldest. Grows with the rows of a builder; its images share it.
#[derive(Debug)]
pub(super) struct SeriesRows {
    /// The number of the newest row of each series.
    newest: Vec<u32>,
    /// The number of the previous row of the same series, for each row.
    previous: Vec<u32>,
    /// Whether each row is newer than the previous one of its series.
    are_ascending: bool,
}

impl SeriesRows {
    /// No rows.
    pub(super) fn new() -> Self {
        Self {
            newest: Vec::new(),
            previous: Vec::new(),
            are_ascending: true,
        }
    }

    /// Adds the next rows, which have these series. `are_ascending`: whether each row so far is newer than the previous
    /// one of its series.
    pub(super) fn push(&mut self, series: &[u32], are_ascending: bool) {
        self.are_ascending = are_ascending;
        for series in series {
            let row = u32::try_from(self.previous.len()).unwrap_or(NONE);
            let at = *series as usize;
            if at >= self.newest.len() {
                self.newest.resize(at + 1, NONE);
            }
            let newest = self.newest.get_mut(at);
            let previous = newest.map(|newest| std::mem::replace(newest, row));
            self.previous.push(previous.unwrap_or(NONE));
        }
    }

    /// Returns the numbers of the rows of a series, from the newest to the oldest.
    fn of(&self, series: u32) -> impl Iterator<Item = u32> {
        let newest = self.newest.get(series as usize).copied();
        std::iter::successors(newest.filter(|row| *row != NONE), |row| {
            let previous = self.previous.get(*row as usize).copied();
            previous.filter(|row| *row != NONE)
        })
    }

    /// The approximate size in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        4 * (self.newest.capacity() + self.previous.capacity())
    }
}

impl TailImage {
    /// Returns the numbers of the live rows of the selected series in these time ranges (nanoseconds since the Unix
    /// epoch), sorted by tag set and time; `None` if reading whole chunks costs less, because the series have too many
    /// rows. The cost is proportional to the rows of the series, not to those of the image.
    ///
    /// # Errors
    /// A chunk has no time column.
    pub fn look_up_rows(
        &self,
        selected: &SelectedSeries,
        ranges: &[RangeInclusive<i64>],
    ) -> Result<Option<Vec<u32>>, PointsError> {
        let Some(series) = selected.few() else {
            return Ok(None);
        };
        let mut series = series.to_vec();
        let index = read(&self.index);
        series.sort_unstable_by(|one, other| index.compare(*one, *other));
        drop(index);
        let num_rows = self.row_count();
        let mut lookup = RowLookup {
            chunks: &self.chunks,
            times: self.times()?,
            ranges,
            num_rows,
            budget: (num_rows / ROWS_PER_LOOKUP).clamp(*LOOKUPS.start(), *LOOKUPS.end()),
        };
        let chains = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for series in series {
            let Some(rows) = lookup.rows(&chains, series) else {
                return Ok(None);
            };
            found.extend(rows.into_iter().map(|(_, row)| row));
        }
        Ok(Some(found))
    }
}

/// A lookup of the rows of series in some time ranges.
struct RowLookup<'a> {
    chunks: &'a [ImageChunk],
    /// The times of the rows of each chunk.
    times: Vec<&'a TimestampNanosecondArray>,
    ranges: &'a [RangeInclusive<i64>],
    /// The number of rows of the chunks.
    num_rows: usize,
    /// The number of rows that may still be looked at.
    budget: usize,
}

impl RowLookup<'_> {
    /// Returns the times and numbers of the live rows of a series, sorted by time; `None` if the budget is exceeded.
    fn rows(&mut self, chains: &SeriesRows, series: u32) -> Option<Vec<(i64, u32)>> {
        let oldest = self.ranges.iter().map(RangeInclusive::start).min()?;
        let mut found = Vec::new();
        let mut limit = self.chunks.len();
        for row in chains.of(series) {
            self.budget = self.budget.checked_sub(1)?;
            // Rows of later images.
            if row as usize >= self.num_rows {
                continue;
            }
            let Some((chunk, at)) = self.place(row, limit) else {
                continue;
            };
            limit = chunk + 1;
            let Some(time) = self.times.get(chunk).map(|times| times.value(at)) else {
                continue;
            };
            if chains.are_ascending && time < *oldest {
                break;
            }
            if self.is_live(chunk, at) && self.ranges.iter().any(|range| range.contains(&time)) {
                found.push((time, row));
            }
        }
        found.reverse();
        if !chains.are_ascending {
            // A series has one live row for each time.
            found.sort_unstable();
        }
        Some(found)
    }

    /// Returns the position of a row, which is in one of the chunks before `limit`.
    fn place(&self, row: u32, limit: usize) -> Option<RowPosition> {
        let chunks = self.chunks.get(..limit)?;
        // The previous row of a series is mostly in the same chunk or in the one before.
        let near = chunks.len().saturating_sub(2);
        let is_near = chunks.get(near)?.first_row <= row;
        let from = if is_near { near } else { 0 };
        let (chunk, at) = place(chunks.get(from..)?, row)?;
        Some((from + chunk, at))
    }

    fn is_live(&self, chunk: usize, row: usize) -> bool {
        let chunk = self.chunks.get(chunk);
        chunk.is_some_and(|chunk| chunk.is_live(row))
    }
}
