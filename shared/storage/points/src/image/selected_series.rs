//! The series that meet conditions on tags.

use std::{collections::BTreeSet, sync::Arc};

use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};

/// Maximum number of series whose rows are looked up. Beyond it, all rows are read.
pub const MAX_LOOKED_UP_SERIES: usize = 1_024;

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
    pub(crate) fn new(is_selected: BooleanBuffer) -> Self {
        let numbers: Vec<u32> =
            is_selected.set_indices_u32().take(MAX_LOOKED_UP_SERIES + 1).collect();
        let are_few = numbers.len() <= MAX_LOOKED_UP_SERIES;
        Self { few: are_few.then(|| numbers.into()), is_selected }
    }

    /// Selects these of `count` series.
    pub(crate) fn from_numbers(numbers: Vec<u32>, count: usize) -> Self {
        let mut is_selected = BooleanBufferBuilder::new(count);
        is_selected.append_n(count, false);
        for number in &numbers {
            is_selected.set_bit(*number as usize, true);
        }
        Self { is_selected: is_selected.finish(), few: Some(numbers.into()) }
    }

    pub(crate) fn contains(&self, series: u32) -> bool {
        let series = series as usize;
        series < self.is_selected.len() && self.is_selected.value(series)
    }

    /// Whether the rows of the series may be looked up one by one.
    pub fn are_few(&self) -> bool {
        self.few.is_some()
    }

    /// Whether these are more than half of the series.
    pub fn are_most(&self) -> bool {
        2 * self.count() > self.is_selected.len()
    }

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
