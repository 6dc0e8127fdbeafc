//! Looks up the rows of series, so that a query of few series, or of the newest rows of all, reads no others.

use std::ops::{ControlFlow, RangeInclusive};

use arrow_array::Array;

use super::{
    ImageChunk, SelectedSeries, TailImage,
    lock::read,
    row_position::{RowPosition, place},
    series_rows::SeriesRows,
};
use crate::{SeriesIndex, tag_values::MISSING};

/// An image reads rows one by one if it looks at no more than one of this many.
const ROWS_PER_LOOKUP: usize = 32;

/// The bounds of the number of rows of few series that are looked at, which takes some milliseconds at most.
const LOOKUPS: RangeInclusive<usize> = 1_024..=65_536;

/// An image reads the newest rows of all series one by one if it looks at no more than one row of this many. More may be
/// looked at than for few series, because the other rows need not be compared with each other.
const ROWS_PER_NEWEST_ROW: usize = 8;

/// Maximum number of rows that are looked at for the newest rows, which takes some ten milliseconds.
const MAX_NEWEST_LOOKUPS: usize = 1 << 18;

impl TailImage {
    /// Returns the numbers of the live rows of the selected series in these time ranges (nanoseconds since the Unix
    /// epoch), sorted by tag set and time; `None` if reading whole chunks costs less, because the series have too many
    /// rows. The cost is proportional to the rows of the series and to the chunks of the image, not to its rows.
    pub fn look_up_rows(
        &self,
        selected: &SelectedSeries,
        ranges: &[RangeInclusive<i64>],
    ) -> Option<Vec<u32>> {
        let mut series = selected.few()?.to_vec();
        let index = read(&self.index);
        series.sort_unstable_by(|one, other| index.compare(*one, *other));
        drop(index);
        let budget = (self.row_count() / ROWS_PER_LOOKUP).clamp(*LOOKUPS.start(), *LOOKUPS.end());
        let chains = read(&self.rows);
        let mut lookup = RowLookup::new(self, &chains, ranges, budget);
        let mut found = Vec::new();
        for series in series {
            let rows = lookup.rows(series)?;
            found.extend(rows.into_iter().map(|(_, row)| row));
        }
        Some(found)
    }

    /// Returns the numbers of live rows in these time ranges (nanoseconds since the Unix epoch), sorted. Among them are
    /// those rows of each selected series, or of all, that are not older than any row of the series in the ranges with
    /// values of all `required` columns of the table. Returns `None` if reading whole chunks costs less, because too many
    /// rows would be looked at.
    pub fn newest_rows(
        &self,
        selected: Option<&SelectedSeries>,
        ranges: &[RangeInclusive<i64>],
        required: &[usize],
    ) -> Option<Vec<u32>> {
        let chains = read(&self.rows);
        let budget =
            (self.row_count() / ROWS_PER_NEWEST_ROW).clamp(*LOOKUPS.start(), MAX_NEWEST_LOOKUPS);
        let series = selected.map_or(chains.series_count(), SelectedSeries::count);
        if series > budget {
            return None;
        }
        let required = self.required_values(required);
        let index = read(&self.index);
        let mut lookup = RowLookup::new(self, &chains, ranges, budget);
        let mut found = Vec::new();
        for series in (0..).take(chains.series_count()) {
            let is_selected = selected.is_none_or(|selected| selected.contains(series));
            if is_selected && !lookup.newest((series, &index), &required, &mut found) {
                return None;
            }
        }
        found.sort_unstable();
        Some(found)
    }

    fn required_values(&self, columns: &[usize]) -> RequiredValues {
        let mut required = RequiredValues::default();
        for column in columns {
            match self.tag(*column) {
                Some(tag) => required.tags.push(tag),
                None => required.fields.push(*column),
            }
        }
        required
    }
}

/// The columns of which a row needs values.
#[derive(Debug, Default)]
struct RequiredValues {
    /// The numbers of tags: all rows of a series have the same ones.
    tags: Vec<usize>,
    /// The columns of fields.
    fields: Vec<usize>,
}

/// A lookup of the rows of series in some time ranges.
struct RowLookup<'a> {
    chains: &'a SeriesRows,
    chunks: &'a [ImageChunk],
    /// The latest time of each chunk and those before it.
    latest: Vec<i64>,
    ranges: &'a [RangeInclusive<i64>],
    /// The start of the first range.
    oldest: i64,
    /// The number of rows of the chunks.
    num_rows: usize,
    /// The number of rows that may still be looked at.
    budget: usize,
}

/// A row that was found.
struct FoundRow {
    number: u32,
    time: i64,
    position: RowPosition,
    /// The latest time that this row and those before it may have.
    latest: i64,
}

impl<'a> RowLookup<'a> {
    fn new(
        image: &'a TailImage,
        chains: &'a SeriesRows,
        ranges: &'a [RangeInclusive<i64>],
        budget: usize,
    ) -> Self {
        let latest = image.chunks.iter().scan(i64::MIN, |latest, chunk| {
            *latest = chunk.max_time.max(*latest);
            Some(*latest)
        });
        let starts = ranges.iter().map(|range| *range.start());
        Self {
            chains,
            chunks: &image.chunks,
            latest: latest.collect(),
            ranges,
            oldest: starts.min().unwrap_or(i64::MAX),
            num_rows: image.row_count(),
            budget,
        }
    }

    /// Returns the times and numbers of the live rows of a series, sorted by time; `None` if the budget is exceeded.
    fn rows(&mut self, series: u32) -> Option<Vec<(i64, u32)>> {
        let mut found = Vec::new();
        let is_complete = self.visit(series, |row| {
            found.push((row.time, row.number));
            ControlFlow::Continue(())
        });
        // Most rows came in the order of their times, and this sort merges such runs. A series has one live row for each time.
        found.reverse();
        found.sort();
        is_complete.then_some(found)
    }

    /// Finds the live rows of a series that are not older than one with values of all required columns. Returns whether
    /// the budget was not exceeded.
    fn newest(
        &mut self,
        (series, index): (u32, &SeriesIndex),
        required: &RequiredValues,
        found: &mut Vec<u32>,
    ) -> bool {
        let chunks = self.chunks;
        let set = index.value_numbers(series);
        let mut tags = required.tags.iter().map(|tag| set.get(*tag));
        let has_tags = tags.all(|number| number.is_some_and(|number| *number != MISSING));
        let has_values = |(chunk, at): RowPosition| {
            let mut values =
                required.fields.iter().map(|column| chunks.get(chunk)?.column(*column).ok());
            values.all(|column| column.is_some_and(|column| column.is_valid(at)))
        };
        let mut newest = i64::MIN;
        self.visit(series, |row| {
            if row.time >= newest {
                found.push(row.number);
                if has_tags && has_values(row.position) {
                    newest = row.time;
                }
            }
            if row.latest <= newest {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    /// Calls `take` with the live rows of a series in the time ranges, from the last to the first, until it breaks. Returns
    /// whether the budget was not exceeded.
    fn visit(&mut self, series: u32, mut take: impl FnMut(FoundRow) -> ControlFlow<()>) -> bool {
        let mut limit = self.chunks.len();
        for number in self.chains.of(series) {
            let Some(budget) = self.budget.checked_sub(1) else {
                return false;
            };
            self.budget = budget;
            // Rows of later images.
            if number as usize >= self.num_rows {
                continue;
            }
            let Some(position) = self.place(number, limit) else {
                continue;
            };
            limit = position.0 + 1;
            let Some((time, latest)) = self.times_at(position) else {
                continue;
            };
            if latest < self.oldest {
                break;
            }
            let is_in_range = self.ranges.iter().any(|range| range.contains(&time));
            if !is_in_range || !self.is_live(position) {
                continue;
            }
            let row = FoundRow { number, time, position, latest };
            if take(row).is_break() {
                break;
            }
        }
        true
    }

    /// Returns the time of a row, and the latest time that it and the rows before it may have.
    fn times_at(&self, (chunk, row): RowPosition) -> Option<(i64, i64)> {
        let time = *self.chunks.get(chunk)?.times.get(row)?;
        Some((time, *self.latest.get(chunk)?))
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

    fn is_live(&self, (chunk, row): RowPosition) -> bool {
        let chunk = self.chunks.get(chunk);
        chunk.is_some_and(|chunk| chunk.is_live(row))
    }
}
