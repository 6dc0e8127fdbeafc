//! Assigns numbers to tag sets, so that rows are compared by one integer instead of by ten strings.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::{Arc, OnceLock},
};

use ahash::RandomState;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray,
    builder::StringDictionaryBuilder, cast::AsArray, types::Int32Type,
};
use arrow_buffer::{BooleanBuffer, Buffer};
use hashbrown::HashTable;

use crate::{
    PointsError, SelectedSeries, SortedTagValues, TagFilter, image::MAX_LOOKED_UP_SERIES,
    tag_texts::TagTexts,
};

/// The number of a missing tag.
const MISSING: u32 = 0;

/// Assigns numbers to the tag sets of one table. Equal sets have equal numbers; numbers are in the order of first
/// occurrence.
#[derive(Debug)]
pub struct SeriesIndex {
    names: Vec<String>,
    tags: Vec<TagValues>,
    /// The value numbers of all series, one after the other.
    sets: Vec<u32>,
    by_set: HashTable<u32>,
    hasher: RandomState,
    scratch: Vec<u32>,
}

/// The values of one tag, numbered from 1.
#[derive(Debug, Default)]
struct TagValues {
    values: TagTexts,
    numbers: HashTable<u32>,
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
    fn find(&self, value: &str, hash: u64) -> Option<u32> {
        let is_it = |number: &u32| self.text(*number) == Some(value);
        self.numbers.find(hash, is_it).copied()
    }

    fn number(&mut self, value: &str, hasher: &RandomState) -> Result<u32, PointsError> {
        let hash = hasher.hash_one(value);
        if let Some(number) = self.find(value, hash) {
            return Ok(number);
        }
        let Self {
            values,
            numbers,
            sorted,
            order,
            ..
        } = self;
        let number = number_after(values.len())?;
        values.push(value);
        numbers.insert_unique(hash, number, |number| {
            values
                .get(*number as usize - 1)
                .map_or(0, |value| hasher.hash_one(value))
        });
        if let Some(sorted) = sorted.take() {
            *order = Arc::clone(sorted.numbers());
        }
        Ok(number)
    }

    /// Returns the value with a number; `None` for a missing tag.
    fn text(&self, number: u32) -> Option<&str> {
        self.values.get((number as usize).checked_sub(1)?)
    }

    fn sorted(&self) -> &Arc<SortedTagValues> {
        self.sorted
            .get_or_init(|| Arc::new(SortedTagValues::of(&self.values, &self.order)))
    }

    /// Returns the address and the size in bytes of each allocation that the dictionary of the last batch keeps alive.
    /// An allocation may be larger than the dictionary, and several dictionaries may share it.
    fn pinned_allocations(&self) -> impl Iterator<Item = (usize, usize)> {
        let recent = self.recent.as_ref();
        let values = recent.and_then(|(values, _)| values.as_string_opt::<i32>());
        let buffers = values.map(|values| [values.offsets().inner().inner(), values.values()]);
        let allocation = |buffer: &Buffer| (buffer.data_ptr().addr().get(), buffer.capacity());
        buffers.into_iter().flatten().map(allocation)
    }

    /// Returns the size in bytes without the allocations of [`Self::pinned_allocations`].
    fn own_bytes(&self) -> usize {
        let sorted = match self.sorted.get() {
            Some(sorted) => sorted.size_bytes(),
            None => 0,
        };
        let recent = self.recent.as_ref().map_or(0, |(_, numbers)| numbers.len());
        self.values.size_bytes() + 5 * self.numbers.capacity() + 4 * recent + sorted
    }
}

fn number_after(count: usize) -> Result<u32, PointsError> {
    // Arrow's dictionary keys are i32.
    let limit = i32::MAX as usize - 1;
    if count >= limit {
        return Err(PointsError::TooManyRows { limit });
    }
    u32::try_from(count + 1).map_err(|_| PointsError::TooManyRows { limit })
}

impl SeriesIndex {
    /// Creates an index for a table with these tags, in the order of its series key.
    pub fn new(tags: &[String]) -> Self {
        Self {
            names: tags.to_vec(),
            tags: tags.iter().map(|_| TagValues::default()).collect(),
            sets: Vec::new(),
            by_set: HashTable::new(),
            // Fixed seeds, so that the same rows have the same numbers in the same order in every process.
            hasher: RandomState::with_seeds(1, 2, 3, 4),
            scratch: Vec::new(),
        }
    }

    /// The number of different tag sets.
    pub fn len(&self) -> usize {
        self.by_set.len()
    }

    /// Returns whether there are no tag sets.
    pub fn is_empty(&self) -> bool {
        self.by_set.is_empty()
    }

    /// The tags of the table, in the order of its series key.
    pub fn tags(&self) -> &[String] {
        &self.names
    }

    /// Returns the approximate size in bytes, including the dictionaries of the last batch.
    pub fn size_bytes(&self) -> usize {
        let pinned: BTreeMap<_, _> = self
            .tags
            .iter()
            .flat_map(TagValues::pinned_allocations)
            .collect();
        self.own_bytes() + pinned.values().sum::<usize>()
    }

    /// Returns the approximate size in bytes without those dictionaries, for callers that keep all rows and count them
    /// separately.
    pub(crate) fn own_bytes(&self) -> usize {
        let values: usize = self.tags.iter().map(TagValues::own_bytes).sum();
        values + 4 * self.sets.capacity() + 8 * self.by_set.capacity()
    }

    /// Appends the series number of each row of `batch` to `series`.
    pub fn resolve(
        &mut self,
        batch: &RecordBatch,
        series: &mut Vec<u32>,
    ) -> Result<(), PointsError> {
        let (rows, width) = (batch.num_rows(), self.tags.len());
        let mut sets = std::mem::take(&mut self.scratch);
        sets.clear();
        sets.resize(rows * width, MISSING);
        for (at, (name, tag)) in self.names.iter().zip(&mut self.tags).enumerate() {
            if let Some(column) = batch.column_by_name(name) {
                write_numbers(
                    name,
                    column,
                    tag,
                    &self.hasher,
                    sets.iter_mut().skip(at).step_by(width),
                )?;
            }
        }
        series.reserve(rows);
        if width == 0 {
            let only = if rows > 0 {
                self.number_of_set(&[])?
            } else {
                0
            };
            series.resize(series.len() + rows, only);
        } else {
            // Sorted rows have runs of equal tag sets.
            let mut before: Option<(&[u32], u32)> = None;
            for set in sets.chunks_exact(width) {
                let number = match before {
                    Some((same, number)) if same == set => number,
                    _ => self.number_of_set(set)?,
                };
                before = Some((set, number));
                series.push(number);
            }
        }
        self.scratch = sets;
        Ok(())
    }

    fn number_of_set(&mut self, set: &[u32]) -> Result<u32, PointsError> {
        if let Some(number) = self.find_set(set) {
            return Ok(number);
        }
        let Self {
            sets,
            by_set,
            hasher,
            ..
        } = self;
        let width = set.len();
        let hash = hasher.hash_one(set);
        let number = number_after(by_set.len())? - 1;
        sets.extend_from_slice(set);
        by_set.insert_unique(hash, number, |number| {
            hasher.hash_one(set_at(sets, width, *number))
        });
        Ok(number)
    }

    /// Returns the rank of each series in the order of the tag values, tag by tag, a missing tag first.
    pub fn ranks(&self) -> Vec<u32> {
        let width = self.tags.len();
        let values: Vec<_> = self.tags.iter().map(TagValues::sorted).collect();
        let mut keys = Vec::with_capacity(self.sets.len());
        for set in self.sets.chunks_exact(width.max(1)) {
            keys.extend(
                values
                    .iter()
                    .zip(set)
                    .map(|(values, number)| values.code(*number)),
            );
        }
        let mut order: Vec<u32> = (0..u32::try_from(self.len()).unwrap_or(u32::MAX)).collect();
        order.sort_unstable_by(|a, b| set_at(&keys, width, *a).cmp(set_at(&keys, width, *b)));
        let mut ranks = vec![0; order.len()];
        for (rank, series) in order.into_iter().enumerate() {
            if let Some(slot) = ranks.get_mut(series as usize) {
                *slot = u32::try_from(rank).unwrap_or(u32::MAX);
            }
        }
        ranks
    }

    /// Returns the series that meet all conditions. A condition on an unknown tag is ignored.
    pub(crate) fn matching(&self, filters: &[TagFilter]) -> SelectedSeries {
        let conditions = self.conditions(filters);
        if let Some(sets) = self.pinned_sets(&conditions) {
            let numbers = sets.iter().filter_map(|set| self.find_set(set));
            return SelectedSeries::of(numbers.collect(), self.len());
        }
        let (sets, width) = (&self.sets, self.tags.len());
        let is_selected = |series: usize| {
            let set = sets.get(series * width..).unwrap_or(&[]);
            let meets = |(tag, numbers): (&usize, &Vec<u32>)| {
                let number = set.get(*tag);
                number.is_some_and(|number| numbers.binary_search(number).is_ok())
            };
            conditions.iter().all(meets)
        };
        SelectedSeries::new(BooleanBuffer::collect_bool(self.len(), is_selected))
    }

    /// Returns the numbers of the values that each tag with a condition may have, sorted.
    fn conditions(&self, filters: &[TagFilter]) -> BTreeMap<usize, Vec<u32>> {
        let mut conditions = BTreeMap::<usize, BTreeSet<u32>>::new();
        for filter in filters {
            let tag = self.names.iter().position(|name| *name == filter.tag);
            let Some((tag, values)) = tag.and_then(|tag| Some((tag, self.tags.get(tag)?))) else {
                continue;
            };
            let number = |value: &String| values.find(value, self.hasher.hash_one(value.as_str()));
            let numbers = filter.values.iter().filter_map(number).collect();
            match conditions.entry(tag) {
                Entry::Vacant(entry) => _ = entry.insert(numbers),
                Entry::Occupied(mut entry) => entry.get_mut().retain(|one| numbers.contains(one)),
            }
        }
        let sorted = |(tag, numbers): (usize, BTreeSet<u32>)| (tag, Vec::from_iter(numbers));
        conditions.into_iter().map(sorted).collect()
    }

    /// Returns all tag sets that conditions allow; `None` if a tag has no condition or the sets are many.
    fn pinned_sets(&self, conditions: &BTreeMap<usize, Vec<u32>>) -> Option<Vec<Vec<u32>>> {
        let sizes = conditions.values().map(Vec::len);
        let count = sizes.fold(1, usize::saturating_mul);
        if conditions.len() < self.tags.len() || count > MAX_LOOKED_UP_SERIES {
            return None;
        }
        let mut sets: Vec<Vec<u32>> = vec![Vec::new()];
        for numbers in conditions.values() {
            let longer = sets.iter().flat_map(|set| {
                let longer = |number: &u32| [set.as_slice(), &[*number]].concat();
                numbers.iter().map(longer)
            });
            sets = longer.collect();
        }
        Some(sets)
    }

    /// Returns the number of a tag set.
    fn find_set(&self, set: &[u32]) -> Option<u32> {
        let is_it = |number: &u32| set_at(&self.sets, set.len(), *number) == set;
        self.by_set.find(self.hasher.hash_one(set), is_it).copied()
    }

    /// Returns the sorted values of tag number `tag`; `None` if there is no such tag. Sorts only if there are new
    /// values since the last call.
    pub fn sorted_values(&self, tag: usize) -> Option<&Arc<SortedTagValues>> {
        self.tags.get(tag).map(TagValues::sorted)
    }

    /// Returns the number of each tag's value in a tag set, in the order of [`tags`](Self::tags); 0 for a missing tag.
    /// Within one tag, equal numbers mean equal values.
    pub fn value_numbers(&self, series: u32) -> &[u32] {
        set_at(&self.sets, self.tags.len(), series)
    }

    /// Compares two tag sets, tag by tag, a missing tag first.
    pub fn compare(&self, one: u32, other: u32) -> Ordering {
        let (one, other) = (self.value_numbers(one), self.value_numbers(other));
        let pairs = one.iter().zip(other).zip(&self.tags);
        pairs
            .filter(|((one, other), _)| one != other)
            .map(|((one, other), tag)| tag.text(*one).cmp(&tag.text(*other)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    /// Returns the column of tag number `tag` for rows of these series.
    pub fn tag_column(
        &self,
        tag: usize,
        series: impl Iterator<Item = u32>,
    ) -> Result<ArrayRef, PointsError> {
        let width = self.tags.len();
        let keys: Int32Array = series
            .map(|series| {
                let number = self.sets.get(series as usize * width + tag).copied();
                number
                    .filter(|number| *number != MISSING)
                    .and_then(|number| i32::try_from(number - 1).ok())
            })
            .collect();
        let values = self.tags.get(tag).map(|tag| tag.values.iter());
        let values: StringArray = values.into_iter().flatten().collect();
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(
            keys,
            Arc::new(values),
        )?))
    }

    /// Returns the column of tag number `tag` for rows of these series (`None`: no value). The dictionary has only the
    /// values of these rows, in the order of first occurrence.
    pub(crate) fn small_tag_column(
        &self,
        tag: usize,
        series: impl Iterator<Item = Option<u32>>,
    ) -> Result<ArrayRef, PointsError> {
        let number = |series: Option<u32>| {
            let number = series.and_then(|series| self.value_numbers(series).get(tag).copied());
            number.unwrap_or(MISSING)
        };
        let numbers: Vec<u32> = series.map(number).collect();
        let mut column = StringDictionaryBuilder::<Int32Type>::new();
        for run in numbers.chunk_by(u32::eq) {
            let number = run.first().copied().unwrap_or(MISSING);
            match self.tags.get(tag).and_then(|values| values.text(number)) {
                Some(text) => _ = column.append_n(text, run.len())?,
                None => column.append_nulls(run.len()),
            }
        }
        Ok(Arc::new(column.finish()))
    }
}

fn set_at<T>(sets: &[T], width: usize, number: u32) -> &[T] {
    let start = number as usize * width;
    sets.get(start..start + width).unwrap_or(&[])
}

/// Writes the number of each row's value of a tag to `out`.
fn write_numbers<'a>(
    name: &str,
    column: &ArrayRef,
    tag: &mut TagValues,
    hasher: &RandomState,
    out: impl Iterator<Item = &'a mut u32>,
) -> Result<(), PointsError> {
    let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() else {
        return Err(wrong_type(name, column));
    };
    let Some(values) = dictionary.values().as_string_opt::<i32>() else {
        return Err(wrong_type(name, column));
    };
    // A value that no row uses gets no number, because dictionaries may be shared with other rows.
    let mut numbers = match tag.recent.take() {
        Some((known, numbers)) if Arc::ptr_eq(&known, dictionary.values()) => numbers,
        _ => vec![MISSING; values.len()],
    };
    for (slot, key) in out.zip(dictionary.keys()) {
        let Some(key) = key.and_then(|key| usize::try_from(key).ok()) else {
            continue;
        };
        let Some(number) = numbers.get_mut(key) else {
            continue;
        };
        if *number == MISSING && values.is_valid(key) {
            *number = tag.number(values.value(key), hasher)?;
        }
        *slot = *number;
    }
    tag.recent = Some((Arc::clone(dictionary.values()), numbers));
    Ok(())
}

fn wrong_type(name: &str, column: &ArrayRef) -> PointsError {
    PointsError::ColumnType {
        column: name.to_owned(),
        found: column.data_type().to_string(),
        expected: "Dictionary(Int32, Utf8)".to_owned(),
    }
}
