//! Selects the rows of an image by the values of tags: once for each series, not for each row.

use std::{
    collections::{BTreeSet, VecDeque},
    ops::Range,
    sync::Arc,
};

use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};

use super::{ImageChunk, TailImage, read};

/// Maximum number of series whose rows are looked up. Beyond it, all rows are read.
pub(crate) const MAX_LOOKED_UP_SERIES: usize = 1_024;

/// A condition on a tag: it has one of these values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFilter {
    /// The name of the tag.
    pub tag: String,
    /// The values.
    pub values: BTreeSet<String>,
}

/// The series of an image that meet some conditions.
#[derive(Clone, Debug)]
pub struct SelectedSeries {
    /// By the number of the series.
    is_selected: BooleanBuffer,
    /// The numbers of the series; `None` if there are many.
    few: Option<Arc<[u32]>>,
}

impl SelectedSeries {
    /// Selects series by their numbers.
    pub(crate) fn new(is_selected: BooleanBuffer) -> Self {
        let numbers = is_selected.set_indices_u32().take(MAX_LOOKED_UP_SERIES + 1);
        let numbers: Vec<u32> = numbers.collect();
        let are_few = numbers.len() <= MAX_LOOKED_UP_SERIES;
        Self {
            few: are_few.then(|| numbers.into()),
            is_selected,
        }
    }

    /// Selects these of `count` series.
    pub(crate) fn of(numbers: Vec<u32>, count: usize) -> Self {
        let mut is_selected = BooleanBufferBuilder::new(count);
        is_selected.append_n(count, false);
        for number in &numbers {
            is_selected.set_bit(*number as usize, true);
        }
        Self {
            is_selected: is_selected.finish(),
            few: Some(numbers.into()),
        }
    }

    pub(super) fn contains(&self, series: u32) -> bool {
        let series = series as usize;
        series < self.is_selected.len() && self.is_selected.value(series)
    }

    /// The number of the series.
    pub(crate) fn count(&self) -> usize {
        match &self.few {
            Some(few) => few.len(),
            None => self.is_selected.count_set_bits(),
        }
    }

    /// Returns the numbers of the series; `None` if there are many.
    pub(super) fn few(&self) -> Option<&[u32]> {
        self.few.as_deref()
    }
}

impl ImageChunk {
    /// Returns the mask of the live rows of these series; `None` if it has all rows.
    pub fn mask(&self, selected: Option<&SelectedSeries>) -> Option<BooleanBuffer> {
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

    /// Returns the positions of the selected rows among the sorted rows, in their order; `None` if all are to be read.
    pub(super) fn positions(
        &self,
        selected: &SelectedSeries,
        (min, max): (i64, i64),
    ) -> Option<VecDeque<Range<usize>>> {
        let sorted = self.order.get()?;
        let ranks = selected.few()?;
        let ranks = ranks
            .iter()
            .filter_map(|series| sorted.ranks.get(*series as usize));
        let mut ranks: Vec<u32> = ranks.copied().collect();
        ranks.sort_unstable();
        let key = |row: &u32| {
            let row = self.row_at(self.place(*row)?)?;
            Some((*sorted.ranks.get(row.series as usize)?, row.time))
        };
        let ranges = ranks.into_iter().map(|rank| {
            let start = sorted
                .rows
                .partition_point(|row| key(row) < Some((rank, min)));
            let end = sorted
                .rows
                .partition_point(|row| key(row) <= Some((rank, max)));
            start..end
        });
        Some(ranges.filter(|range| !range.is_empty()).collect())
    }
}
