//! Assigns numbers to the values of a tag.

use std::sync::{Arc, OnceLock};

use ahash::RandomState;
use arrow_array::{Array, ArrayRef, Int32Array, StringArray, cast::AsArray, types::Int32Type};
use arrow_buffer::{ArrowNativeType, Buffer};

use crate::{
    PointsError, SortedTagValues,
    number_table::{LOOKUPS_AT_ONCE, NumberTable},
    tag_texts::TagTexts,
};

/// The number of a missing tag.
pub(crate) const MISSING: u32 = 0;

/// The number of a value that is being looked up.
const PENDING: u32 = u32::MAX;

/// The values of one tag, numbered from 1.
#[derive(Debug, Default)]
pub(crate) struct TagValues {
    values: TagTexts,
    numbers: NumberTable,
    /// The number after that of the last value that was looked up. Values mostly come in the order in which they came first, so that
    /// the next one mostly has this number.
    expected: u32,
    /// All values, sorted. Computed on demand and discarded when a value is added.
    sorted: OnceLock<Arc<SortedTagValues>>,
    /// The numbers of the values of the previous sort, in sorted order.
    order: Arc<[u32]>,
    /// The dictionary of the last batch, and the numbers of the values that rows have used so far. Kept because slices
    /// of the same batch share the dictionary.
    recent: Option<(ArrayRef, Vec<u32>)>,
}

impl TagValues {
    /// Returns the number of a value with this hash; `None` if no series has it.
    pub(crate) fn find(&self, value: &str, hash: u64) -> Option<u32> {
        self.numbers.find(hash, |number| self.text(number) == Some(value))
    }

    /// Writes the number of each value of a dictionary that rows use, and whose number is missing.
    fn number_used(
        &mut self,
        keys: &Int32Array,
        values: &StringArray,
        numbers: &mut [u32],
        hasher: &RandomState,
    ) -> Result<(), PointsError> {
        let mut unknown = Vec::new();
        let nulls = keys.nulls();
        for (row, key) in keys.values().iter().enumerate() {
            let key = key.as_usize();
            if let Some(number) = numbers.get_mut(key)
                && *number == MISSING
                && nulls.is_none_or(|nulls| nulls.is_valid(row))
                && values.is_valid(key)
            {
                *number = PENDING;
                unknown.push(key);
            }
        }
        let mut write = |key: usize, number: u32| {
            if let Some(slot) = numbers.get_mut(key) {
                *slot = number;
            }
        };
        let mut rest = unknown.as_slice();
        while !rest.is_empty() {
            let expected = rest.iter().zip(self.expected..);
            let is_next =
                |(key, number): &(&usize, u32)| self.text(*number) == Some(values.value(**key));
            let in_order = expected.take_while(is_next).count();
            let (known, others) = rest.split_at(in_order);
            for key in known {
                write(*key, self.expected);
                self.expected += 1;
            }
            let (block, others) = others.split_at(others.len().min(LOOKUPS_AT_ONCE));
            let hashes = block.iter().map(|key| hasher.hash_one(values.value(*key)));
            let candidates = self.numbers.candidates(hashes);
            for (key, (hash, candidate)) in block.iter().zip(candidates.iter()) {
                let value = values.value(*key);
                let candidate = candidate.filter(|number| self.text(*number) == Some(value));
                let number = match candidate {
                    Some(number) => number,
                    None => self.number(value, hash)?,
                };
                write(*key, number);
                self.expected = number + 1;
            }
            rest = others;
        }
        Ok(())
    }

    /// Returns the number of a value with this hash.
    fn number(&mut self, value: &str, hash: u64) -> Result<u32, PointsError> {
        if let Some(number) = self.find(value, hash) {
            return Ok(number);
        }
        let number = number_after(self.values.len())?;
        self.values.push(value);
        self.numbers.insert(hash, number);
        if let Some(sorted) = self.sorted.take() {
            self.order = Arc::clone(sorted.numbers());
        }
        Ok(number)
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Returns the value with a number; `None` for a missing tag.
    pub(crate) fn text(&self, number: u32) -> Option<&str> {
        self.values.get((number as usize).checked_sub(1)?)
    }

    /// Returns all values in the order of their numbers.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Option<&str>> {
        self.values.iter()
    }

    pub(crate) fn sorted(&self) -> &Arc<SortedTagValues> {
        self.sorted
            .get_or_init(|| Arc::new(SortedTagValues::new(&self.values, &self.order)))
    }

    /// Returns the address and the size in bytes of each allocation that the dictionary of the last batch keeps alive.
    /// An allocation may be larger than the dictionary, and several dictionaries may share it.
    pub(crate) fn pinned_allocations(&self) -> impl Iterator<Item = (usize, usize)> {
        let recent = self.recent.as_ref();
        let values = recent.and_then(|(values, _)| values.as_string_opt::<i32>());
        let buffers = values.map(|values| [values.offsets().inner().inner(), values.values()]);
        let allocation = |buffer: &Buffer| (buffer.data_ptr().addr().get(), buffer.capacity());
        buffers.into_iter().flatten().map(allocation)
    }

    /// Returns the size in bytes without the allocations of [`Self::pinned_allocations`].
    pub(crate) fn own_bytes(&self) -> usize {
        let sorted = match self.sorted.get() {
            Some(sorted) => sorted.size_bytes(),
            None => 0,
        };
        let recent = self.recent.as_ref().map_or(0, |(_, numbers)| numbers.len());
        self.values.size_bytes() + self.numbers.size_bytes() + 4 * recent + sorted
    }
}

/// Returns the number after `count` others.
/// Fails with `TooManyRows`: a dictionary can't have so many values.
pub(crate) fn number_after(count: usize) -> Result<u32, PointsError> {
    // Arrow's dictionary keys are i32.
    let limit = i32::MAX as usize - 1;
    if count >= limit {
        return Err(PointsError::TooManyRows { limit });
    }
    u32::try_from(count + 1).map_err(|_| PointsError::TooManyRows { limit })
}

/// A column of a tag: for each row, the position of its value, and the numbers of the values that rows use.
pub(crate) struct NumberedTagColumn<'a> {
    keys: &'a Int32Array,
    numbers: &'a [u32],
}

impl<'a> NumberedTagColumn<'a> {
    /// Assigns numbers to the values of a tag that the rows of a column use.
    /// Fails if the column is no tag, or there are too many values.
    pub(crate) fn try_new(
        name: &str,
        column: &'a ArrayRef,
        tag: &'a mut TagValues,
        hasher: &RandomState,
    ) -> Result<Self, PointsError> {
        let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() else {
            return Err(wrong_type(name, column));
        };
        let Some(values) = dictionary.values().as_string_opt::<i32>() else {
            return Err(wrong_type(name, column));
        };
        let keys = dictionary.keys();
        // A value that no row uses gets no number, because dictionaries may be shared with other rows.
        let mut numbers = match tag.recent.take() {
            Some((known, numbers)) if Arc::ptr_eq(&known, dictionary.values()) => numbers,
            _ => vec![MISSING; values.len()],
        };
        tag.number_used(keys, values, &mut numbers, hasher)?;
        let (_, numbers) = tag.recent.insert((Arc::clone(dictionary.values()), numbers));
        Ok(Self { keys, numbers })
    }

    /// Writes the numbers of the values of rows, from row `start` on, to `out`. A missing value is left out.
    pub(crate) fn write<'b>(&self, start: usize, out: impl Iterator<Item = &'b mut u32>) {
        let keys = self.keys.values().get(start..).unwrap_or(&[]);
        let nulls = self.keys.nulls();
        for (row, (slot, key)) in (start..).zip(out.zip(keys)) {
            if let Some(number) = self.numbers.get(key.as_usize())
                && nulls.is_none_or(|nulls| nulls.is_valid(row))
            {
                *slot = *number;
            }
        }
    }
}

fn wrong_type(name: &str, column: &ArrayRef) -> PointsError {
    PointsError::ColumnType {
        column: name.to_owned(),
        found: column.data_type().to_string(),
        expected: "Dictionary(Int32, Utf8)".to_owned(),
    }
}
