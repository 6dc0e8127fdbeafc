//! Assigns numbers to tag sets, so that rows are compared by one integer instead of by ten strings.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use ahash::RandomState;
use arrow_array::{
    ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray,
    builder::{Int32Builder, StringBuilder},
    types::Int32Type,
};
use arrow_buffer::BooleanBuffer;
use hashbrown::HashMap;

use crate::{
    PointsError, SelectedSeries, SortedTagValues, TagFilter,
    image::MAX_LOOKED_UP_SERIES,
    number_table::{LOOKUPS_AT_ONCE, NumberTable},
    tag_values::{MISSING, NumberedTagColumn, TagValues, number_after},
};

/// Rows whose tag sets are put together at once.
const ROWS_AT_ONCE: usize = 256;

/// The number of a series that does not exist.
pub(crate) const NO_SERIES: u32 = u32::MAX;

/// Assigns numbers to the tag sets of one table. Equal sets have equal numbers; numbers are in the order of first
/// occurrence.
#[derive(Debug)]
pub struct SeriesIndex {
    names: Vec<String>,
    tags: Vec<TagValues>,
    /// The value numbers of all series, one after the other.
    sets: Vec<u32>,
    /// The series by their tag sets; empty if there is one tag.
    by_set: NumberTable,
    /// The series by the number of the value, if there is one tag.
    by_value: Vec<u32>,
    count: usize,
    /// The number after that of the last series that was looked up. Series mostly come in the order in which they came first, so that
    /// the next one mostly has this number. Not used if there is one tag.
    expected: u32,
    /// For each tag, whether a series has no value of it.
    with_missing: Vec<bool>,
    hasher: RandomState,
    scratch: Vec<u32>,
}

impl SeriesIndex {
    /// Creates an index for a table with these tags, in the order of its series key.
    pub fn new(tags: &[String]) -> Self {
        Self {
            names: tags.to_vec(),
            tags: tags.iter().map(|_| TagValues::default()).collect(),
            sets: Vec::new(),
            by_set: NumberTable::default(),
            by_value: Vec::new(),
            count: 0,
            expected: 0,
            with_missing: vec![false; tags.len()],
            // Fixed seeds, so that the same rows have the same numbers in the same order in every process.
            hasher: RandomState::with_seeds(1, 2, 3, 4),
            scratch: Vec::new(),
        }
    }

    /// The number of different tag sets.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there are no tag sets.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a series may have no value of this tag. True for columns that are no tags.
    pub(crate) fn has_missing(&self, tag: &str) -> bool {
        let tag = self.tag(tag);
        tag.is_none_or(|tag| self.with_missing.get(tag).copied().unwrap_or(true))
    }

    /// The tags of the table, in the order of its series key.
    pub fn tags(&self) -> &[String] {
        &self.names
    }

    /// Returns the number of a tag; `None` if there is no such tag.
    pub(crate) fn tag(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|tag| tag == name)
    }

    /// Returns the values of tag number `tag`.
    pub(crate) fn values_of(&self, tag: usize) -> Option<&TagValues> {
        self.tags.get(tag)
    }

    /// Returns the approximate size in bytes, including the dictionaries of the last batch.
    pub fn size_bytes(&self) -> usize {
        let pinned: BTreeMap<_, _> =
            self.tags.iter().flat_map(TagValues::pinned_allocations).collect();
        self.own_bytes() + pinned.values().sum::<usize>()
    }

    /// Returns the approximate size in bytes without those dictionaries.
    fn own_bytes(&self) -> usize {
        let values: usize = self.tags.iter().map(TagValues::own_bytes).sum();
        values + 4 * self.sets.capacity() + self.by_set.size_bytes() + 4 * self.by_value.capacity()
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
        let tags = self.names.iter().zip(&mut self.tags).enumerate();
        let columns = tags.filter_map(|(at, (name, tag))| {
            let column =
                NumberedTagColumn::try_new(name, batch.column_by_name(name)?, tag, &self.hasher);
            Some(column.map(|column| (at, column)))
        });
        let columns: Vec<_> = columns.collect::<Result<_, _>>()?;
        // The sets of some rows stay in the cache of the processor until all tags are written.
        for (block, sets) in sets.chunks_mut(ROWS_AT_ONCE * width.max(1)).enumerate() {
            for (at, column) in &columns {
                let sets = sets.iter_mut().skip(*at).step_by(width);
                column.write(block * ROWS_AT_ONCE, sets);
            }
        }
        series.reserve(rows);
        match width {
            0 => {
                self.count = self.count.max(rows.min(1));
                series.resize(series.len() + rows, 0);
            }
            1 => self.resolve_values(&sets, series)?,
            _ => self.resolve_sets(&sets, rows, series)?,
        }
        self.scratch = sets;
        Ok(())
    }

    /// Appends the series number of each tag set to `series`: the sets are the numbers of the values of the only tag.
    fn resolve_values(&mut self, values: &[u32], series: &mut Vec<u32>) -> Result<(), PointsError> {
        for value in values {
            let at = *value as usize;
            if at >= self.by_value.len() {
                self.by_value.resize(at + 1, NO_SERIES);
            }
            let number = match self.find_value(*value) {
                Some(number) => number,
                None => {
                    let number = self.add_set(&[*value])?;
                    if let Some(slot) = self.by_value.get_mut(at) {
                        *slot = number;
                    }
                    number
                }
            };
            series.push(number);
        }
        Ok(())
    }

    /// Adds a tag set, and returns its number.
    fn add_set(&mut self, set: &[u32]) -> Result<u32, PointsError> {
        let number = number_after(self.count)? - 1;
        self.sets.extend_from_slice(set);
        self.count += 1;
        for (with_missing, number) in self.with_missing.iter_mut().zip(set) {
            *with_missing |= *number == MISSING;
        }
        Ok(number)
    }

    /// Appends the series number of each of `rows` tag sets to `series`.
    fn resolve_sets(
        &mut self,
        sets: &[u32],
        rows: usize,
        series: &mut Vec<u32>,
    ) -> Result<(), PointsError> {
        let width = self.tags.len();
        let set = |row: usize| sets.get(row * width..(row + 1) * width).unwrap_or(&[]);
        // Sorted rows have runs of equal tag sets.
        let starts: Vec<usize> =
            (0..rows).filter(|row| *row == 0 || set(*row) != set(*row - 1)).collect();
        let base = series.len();
        let mut ends = starts.iter().skip(1).chain([&rows]).map(|row| base + row);
        let mut write = |number: u32| series.resize(ends.next().unwrap_or(base + rows), number);
        let mut rest = starts.as_slice();
        while !rest.is_empty() {
            let is_next =
                |(row, number): &(&usize, u32)| set_at(&self.sets, width, *number) == set(**row);
            let expected = rest.iter().zip(self.expected..);
            let in_order = expected.take_while(is_next).count();
            let (known, others) = rest.split_at(in_order);
            for _ in known {
                write(self.expected);
                self.expected += 1;
            }
            let (block, others) = others.split_at(others.len().min(LOOKUPS_AT_ONCE));
            let hashes = block.iter().map(|row| self.hasher.hash_one(set(*row)));
            let candidates = self.by_set.candidates(hashes);
            for (row, (hash, candidate)) in block.iter().zip(candidates.iter()) {
                let set = set(*row);
                let is_it = |number: &u32| set_at(&self.sets, width, *number) == set;
                let number = match candidate.filter(is_it) {
                    Some(number) => number,
                    None => self.number_of_set(set, hash)?,
                };
                write(number);
                self.expected = number + 1;
            }
            rest = others;
        }
        Ok(())
    }

    /// Returns the number of a tag set with this hash.
    fn number_of_set(&mut self, set: &[u32], hash: u64) -> Result<u32, PointsError> {
        if let Some(number) = self.find_set(set, hash) {
            return Ok(number);
        }
        let number = self.add_set(set)?;
        self.by_set.insert(hash, number);
        Ok(number)
    }

    /// Returns the rank of each series in the order of the tag values, tag by tag, a missing tag first.
    pub fn ranks(&self) -> Vec<u32> {
        let width = self.tags.len();
        let values: Vec<_> = self.tags.iter().map(TagValues::sorted).collect();
        let mut keys = Vec::with_capacity(self.sets.len());
        for set in self.sets.chunks_exact(width.max(1)) {
            keys.extend(values.iter().zip(set).map(|(values, number)| values.code(*number)));
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
            let numbers = sets.iter().filter_map(|set| self.find_any_set(set));
            return SelectedSeries::from_numbers(numbers.collect(), self.len());
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
            let tag = self.tag(&filter.tag);
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
    fn find_any_set(&self, set: &[u32]) -> Option<u32> {
        match set {
            [] => (self.count > 0).then_some(0),
            [value] => self.find_value(*value),
            set => self.find_set(set, self.hasher.hash_one(set)),
        }
    }

    /// Returns the number of the tag set whose only tag has this value.
    fn find_value(&self, value: u32) -> Option<u32> {
        let number = self.by_value.get(value as usize).copied();
        number.filter(|number| *number != NO_SERIES)
    }

    /// Returns the number of a tag set with this hash; there are several tags.
    fn find_set(&self, set: &[u32], hash: u64) -> Option<u32> {
        let is_it = |number| set_at(&self.sets, set.len(), number) == set;
        self.by_set.find(hash, is_it)
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

    /// Returns columns of tag number `tag` for rows of these series, one column for each part of the rows. They share a
    /// dictionary, which has all values of the tag.
    pub(crate) fn tag_columns<Rows: Iterator<Item = u32>>(
        &self,
        tag: usize,
        parts: impl Iterator<Item = Rows>,
    ) -> Result<Vec<ArrayRef>, PointsError> {
        let known = self.tags.get(tag).map(TagValues::texts);
        let texts: StringArray = known.into_iter().flatten().collect();
        let values: ArrayRef = Arc::new(texts);
        let key = |series: u32| {
            let number = self
                .value_numbers(series)
                .get(tag)
                .copied()
                .filter(|number| *number != MISSING)?;
            i32::try_from(number - 1).ok()
        };
        let column = |part: Rows| -> Result<ArrayRef, PointsError> {
            let keys: Int32Array = part.map(key).collect();
            let values = Arc::clone(&values);
            Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values)?))
        };
        parts.map(column).collect()
    }

    /// Returns the column of tag number `tag` for rows of these series. The dictionary has only the values of these rows, in the order
    /// of first occurrence.
    pub(crate) fn tag_column_of(
        &self,
        tag: usize,
        series: &[u32],
    ) -> Result<ArrayRef, PointsError> {
        let limit = i32::MAX as usize;
        let mut codes: HashMap<u32, i32, RandomState> = HashMap::with_hasher(self.hasher.clone());
        let mut texts = StringBuilder::new();
        let mut keys = Int32Builder::with_capacity(series.len());
        for run in series.chunk_by(u32::eq) {
            let set = run.first().map_or(&[][..], |series| self.value_numbers(*series));
            let number = set.get(tag).copied().unwrap_or(MISSING);
            let code = match codes.get(&number) {
                Some(code) => Some(*code),
                None => match self.tags.get(tag).and_then(|values| values.text(number)) {
                    Some(text) => {
                        let code = i32::try_from(codes.len())
                            .map_err(|_| PointsError::TooManyRows { limit })?;
                        texts.append_value(text);
                        codes.insert(number, code);
                        Some(code)
                    }
                    None => None,
                },
            };
            match code {
                Some(code) => keys.append_value_n(code, run.len()),
                None => keys.append_nulls(run.len()),
            }
        }
        let values = Arc::new(texts.finish());
        let column = DictionaryArray::<Int32Type>::try_new(keys.finish(), values)?;
        Ok(Arc::new(column))
    }
}

fn set_at<T>(sets: &[T], width: usize, number: u32) -> &[T] {
    let start = (number as usize).saturating_mul(width);
    sets.get(start..start.saturating_add(width)).unwrap_or(&[])
}
