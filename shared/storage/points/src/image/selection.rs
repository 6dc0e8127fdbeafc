//! Selects the rows of an image by the values of tags: once for each series, not for each row.

use std::{
    collections::VecDeque,
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use arrow_array::{Array, ArrayRef, DictionaryArray, Int32Array, StringArray, types::Int32Type};
use arrow_buffer::BooleanBuffer;

use super::{ImageChunk, SelectedSeries, TagFilter, TailImage, lock::read};
use crate::PointsError;

impl ImageChunk {
    /// Returns the mask of the live rows of these series; `None` if it has all rows.
    pub(super) fn mask(&self, selected: Option<&SelectedSeries>) -> Option<BooleanBuffer> {
        let Some(selected) = selected else {
            return self.live.clone();
        };
        let is_selected = |row: usize| {
            let series = self.series.get(row);
            series.is_some_and(|series| selected.contains(*series))
        };
        let mask = BooleanBuffer::collect_bool(self.num_rows(), is_selected);
        Some(match &self.live {
            Some(live) => live & &mask,
            None => mask,
        })
    }
}

impl TailImage {
    /// Returns the series that meet all conditions. A condition on an unknown tag is ignored.
    pub fn select(&self, filters: &[TagFilter]) -> SelectedSeries {
        read(&self.index).matching(filters)
    }

    /// Returns the number of series.
    pub fn series_count(&self) -> usize {
        read(&self.index).len()
    }

    /// Returns the number of rows, live or not, of the chunks with times in a range (nanoseconds since the Unix epoch).
    pub fn rows_near(&self, times: &RangeInclusive<i64>) -> usize {
        let chunks = self.chunks.iter();
        let near = chunks
            .filter(|chunk| chunk.min_time <= *times.end() && *times.start() <= chunk.max_time);
        near.map(ImageChunk::num_rows).sum()
    }

    /// Returns the number of different values of a tag, including the missing one; `None` if there is no such tag.
    pub fn value_count(&self, tag: &str) -> Option<usize> {
        let index = read(&self.index);
        Some(index.values_of(index.tag(tag)?)?.len() + 1)
    }

    /// Returns the values of a tag with these numbers as a column of the tag. 0 is the number of the missing value.
    ///
    /// # Errors
    /// There are too many.
    pub fn values(&self, tag: &str, numbers: Range<usize>) -> Result<ArrayRef, PointsError> {
        let index = read(&self.index);
        let values = index.tag(tag).and_then(|tag| index.values_of(tag));
        let text = |number: usize| values?.text(u32::try_from(number).ok()?);
        let texts: StringArray = numbers.map(text).collect();
        let rows = texts.len();
        let limit = i32::MAX as usize;
        let rows = i32::try_from(rows).map_err(|_| PointsError::TooManyRows { limit })?;
        let keys = Int32Array::new((0..rows).collect(), texts.nulls().cloned());
        let column = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(texts))?;
        Ok(Arc::new(column))
    }

    /// Returns those of the series, or of all, whose value of a tag is chosen by its number. None if there is no such tag.
    pub fn with_values(
        &self,
        selected: Option<&SelectedSeries>,
        tag: &str,
        chosen: &BooleanBuffer,
    ) -> SelectedSeries {
        let index = read(&self.index);
        let tag = index.tag(tag);
        let is_chosen = |series: u32| {
            let value = index.value_numbers(series).get(tag?)?;
            let number = usize::try_from(*value).ok()?;
            Some(number < chosen.len() && chosen.value(number))
        };
        let is_selected = |series: usize| {
            let series = u32::try_from(series).unwrap_or(u32::MAX);
            selected.is_none_or(|selected| selected.contains(series))
                && is_chosen(series).unwrap_or(false)
        };
        SelectedSeries::new(BooleanBuffer::collect_bool(index.len(), is_selected))
    }

    /// Returns the positions of the selected rows among the sorted rows, in their order; `None` if all are to be read.
    pub(super) fn positions(
        &self,
        selected: &SelectedSeries,
        (min, max): (i64, i64),
    ) -> Option<VecDeque<Range<usize>>> {
        let sorted = self.order.get()?;
        let mut ranks: Vec<u32> = selected
            .few()?
            .iter()
            .filter_map(|series| sorted.ranks.get(*series as usize))
            .copied()
            .collect();
        ranks.sort_unstable();
        let key = |row: &u32| {
            let row = self.row_at(self.place(*row)?)?;
            Some((*sorted.ranks.get(row.series as usize)?, row.time))
        };
        let ranges = ranks.into_iter().map(|rank| {
            let start = sorted.rows.partition_point(|row| key(row) < Some((rank, min)));
            let end = sorted.rows.partition_point(|row| key(row) <= Some((rank, max)));
            start..end
        });
        Some(ranges.filter(|range| !range.is_empty()).collect())
    }
}
