//! The sorted values of a tag, so that sorting and looking up rows compares integers.

use std::sync::Arc;

use arrow_array::{Array, StringArray};

use crate::{PointsError, tag_texts::TagTexts};

/// The values of one tag, sorted. The code of a value is its position; a missing tag has the code -1, which sorts
/// before all others.
#[derive(Debug)]
pub struct SortedTagValues {
    values: Arc<StringArray>,
    /// The value numbers, by code.
    numbers: Arc<[u32]>,
    /// The codes, by value number.
    codes: Vec<i32>,
}

impl SortedTagValues {
    /// Sorts values that are numbered from 1. `before` has the numbers of the values of the previous sort, in sorted
    /// order.
    pub(crate) fn new(values: &TagTexts, before: &[u32]) -> Self {
        let text = |number: &u32| values.get(*number as usize - 1);
        let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
        let known = u32::try_from(before.len()).unwrap_or(u32::MAX);
        let mut numbers: Vec<u32> = before.to_vec();
        numbers.extend(known + 1..=count);
        if let Some(added) = numbers.get_mut(before.len()..) {
            added.sort_unstable_by_key(text);
        }
        // Two sorted runs: the stable sort merges them.
        numbers.sort_by_key(text);
        let mut codes = vec![-1; values.len() + 1];
        for (code, number) in (0..).zip(&numbers) {
            if let Some(slot) = codes.get_mut(*number as usize) {
                *slot = code;
            }
        }
        Self {
            values: Arc::new(numbers.iter().map(text).collect()),
            numbers: numbers.into(),
            codes,
        }
    }

    /// The values: sorted, unique, without nulls.
    pub fn values(&self) -> &Arc<StringArray> {
        &self.values
    }

    /// Returns the code of a value by its number in [`SeriesIndex::value_numbers`](crate::SeriesIndex::value_numbers).
    pub fn code(&self, number: u32) -> i32 {
        self.codes.get(number as usize).copied().unwrap_or(-1)
    }

    /// Returns the number of a value by its code.
    ///
    /// # Errors
    /// There is no such code.
    pub fn number(&self, code: i32) -> Result<u32, PointsError> {
        if code < 0 {
            return Ok(0);
        }
        let number = usize::try_from(code).ok().and_then(|code| self.numbers.get(code).copied());
        let limit = self.numbers.len();
        number.ok_or(PointsError::TooManyRows { limit })
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.values.get_array_memory_size() + 4 * (self.numbers.len() + self.codes.len())
    }

    pub(crate) fn numbers(&self) -> &Arc<[u32]> {
        &self.numbers
    }
}
