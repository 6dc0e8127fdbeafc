//! The keys of the tag sets in a tail: numbers for the combinations of values of some tags.

use std::sync::OnceLock;

use ahash::RandomState;
use arrow_array::StringArray;
use arrow_schema::ArrowError;
use hashbrown::HashTable;
use neap_points::{PointsError, SeriesIndex, SortedTagValues};

use crate::{
    CacheError, KeyFilter,
    codes::MISSING,
    filter::{CodeSet, code_sets},
};

/// The number of a tag set without a group.
const NONE: u32 = u32::MAX;

/// Numbers for the combinations of values of some tags, in the order of their first occurrence.
#[derive(Debug)]
pub(crate) struct KeyGroups {
    columns: Vec<String>,
    /// Whether a combination may lack tags.
    with_missing: bool,
    /// The indexes of the columns among the tags of the table.
    tags: Vec<usize>,
    /// The group of each tag set.
    of_series: Vec<u32>,
    /// The concatenated value numbers of all groups.
    sets: Vec<u32>,
    by_set: HashTable<u32>,
    hasher: RandomState,
    /// The groups in the order of their values. Computed on demand, and cleared by a new group.
    order: OnceLock<Vec<u32>>,
}

impl KeyGroups {
    pub(crate) fn new(columns: &[String], with_missing: bool) -> Self {
        Self {
            columns: columns.to_vec(),
            with_missing,
            tags: Vec::new(),
            of_series: Vec::new(),
            sets: Vec::new(),
            by_set: HashTable::new(),
            hasher: RandomState::with_seeds(9, 10, 11, 12),
            order: OnceLock::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_set.len()
    }

    pub(crate) fn size_bytes(&self) -> usize {
        let order = self.order.get().map_or(0, Vec::capacity);
        4 * (self.of_series.capacity() + self.sets.capacity() + order) + 5 * self.by_set.capacity()
    }

    /// Returns the group of a tag set that was added.
    pub(crate) fn of(&self, series: u32) -> Option<u32> {
        let group = self.of_series.get(series as usize).copied();
        group.filter(|group| *group != NONE)
    }

    /// Adds the tag sets that are new.
    pub(crate) fn update(&mut self, index: &SeriesIndex) -> Result<(), CacheError> {
        if self.of_series.is_empty() {
            let place = |column: &String| index.tags().iter().position(|tag| tag == column);
            let tags: Option<Vec<_>> = self.columns.iter().map(place).collect();
            let missing = || ArrowError::SchemaError("a key column is not a tag".to_owned());
            self.tags = tags.ok_or_else(missing)?;
        }
        let limit = NONE as usize;
        let count = u32::try_from(index.len()).map_err(|_| PointsError::TooManyRows { limit })?;
        let mut set = Vec::with_capacity(self.tags.len());
        let first = u32::try_from(self.of_series.len()).unwrap_or(count);
        for series in first..count {
            let numbers = index.value_numbers(series);
            set.clear();
            let of_tag = |tag: &usize| numbers.get(*tag).copied().unwrap_or(0);
            set.extend(self.tags.iter().map(of_tag));
            let group = if !self.with_missing && set.contains(&0) {
                NONE
            } else {
                self.number(&set)
            };
            self.of_series.push(group);
        }
        Ok(())
    }

    fn number(&mut self, set: &[u32]) -> u32 {
        if let Some(number) = self.find(set) {
            return number;
        }
        let Self { sets, by_set, hasher, .. } = self;
        let number = u32::try_from(by_set.len()).unwrap_or(NONE);
        sets.extend_from_slice(set);
        by_set.insert_unique(hasher.hash_one(set), number, |number| {
            hasher.hash_one(set_at(sets, set.len(), *number))
        });
        self.order.take();
        number
    }

    fn find(&self, set: &[u32]) -> Option<u32> {
        let is_set = |number: &u32| set_at(&self.sets, set.len(), *number) == set;
        self.by_set.find(self.hasher.hash_one(set), is_set).copied()
    }

    /// Returns the groups in the order of their values, column by column, a missing tag first.
    pub(crate) fn order(&self, index: &SeriesIndex) -> Result<&[u32], CacheError> {
        if let Some(order) = self.order.get() {
            return Ok(order);
        }
        let order = self.sort(&self.sorted_values(index)?);
        Ok(self.order.get_or_init(|| order))
    }

    fn sort(&self, values: &[&SortedTagValues]) -> Vec<u32> {
        let width = values.len();
        let mut codes = Vec::with_capacity(self.sets.len());
        for set in self.sets.chunks_exact(width.max(1)) {
            codes.extend(values.iter().zip(set).map(|(values, number)| values.code(*number)));
        }
        let mut order: Vec<u32> = (0..u32::try_from(self.len()).unwrap_or(NONE)).collect();
        match codes.as_slice() {
            codes if width == 1 => order.sort_unstable_by_key(|group| codes.get(*group as usize)),
            codes => order.sort_unstable_by_key(|group| set_at(codes, width, *group)),
        }
        order
    }

    fn sorted_values<'a>(
        &self,
        index: &'a SeriesIndex,
    ) -> Result<Vec<&'a SortedTagValues>, CacheError> {
        let missing = || ArrowError::SchemaError("a key column is not a tag".to_owned());
        let values: Option<Vec<_>> = self
            .tags
            .iter()
            .map(|tag| index.sorted_values(*tag))
            .map(|values| values.map(AsRef::as_ref))
            .collect();
        Ok(values.ok_or_else(missing)?)
    }

    /// Returns the codes and the dictionaries of some groups, by column.
    pub(crate) fn coded(
        &self,
        index: &SeriesIndex,
        groups: &[u32],
    ) -> Result<(Vec<Vec<i32>>, Vec<StringArray>), CacheError> {
        let values = self.sorted_values(index)?;
        let codes = values.iter().enumerate().map(|(column, sorted)| {
            let numbers = |group: &u32| set_at(&self.sets, values.len(), *group);
            let code = |group| numbers(group).get(column).map(|number| sorted.code(*number));
            groups.iter().map(|group| code(group).unwrap_or(MISSING)).collect()
        });
        let codes = codes.collect();
        let values = values.iter().map(|sorted| sorted.values().as_ref().clone());
        Ok((codes, values.collect()))
    }

    /// Returns the groups that pass the filters, in the order of their values.
    pub(crate) fn matching(
        &self,
        index: &SeriesIndex,
        filters: &[KeyFilter],
    ) -> Result<Vec<u32>, CacheError> {
        if self.len() == 0 {
            return Ok(Vec::new());
        }
        let values = self.sorted_values(index)?;
        let texts: Vec<&StringArray> =
            values.iter().map(|values| values.values().as_ref()).collect();
        let sets = code_sets(&self.columns, &texts, filters)?;
        if let Some(pinned) = pinned(&sets, self.len()) {
            return self.look_up(&values, &pinned);
        }
        let order = self.order(index)?;
        if filters.is_empty() {
            return Ok(order.to_vec());
        }
        let passes = |group: &&u32| {
            let numbers = set_at(&self.sets, values.len(), **group);
            let mut columns = numbers.iter().zip(&values).zip(&sets);
            columns.all(|((number, values), set)| set.contains(values.code(*number)))
        };
        Ok(order.iter().filter(passes).copied().collect())
    }

    /// Returns the groups of all combinations of these codes. The codes of each column are in ascending order.
    fn look_up(
        &self,
        values: &[&SortedTagValues],
        codes: &[&[i32]],
    ) -> Result<Vec<u32>, CacheError> {
        let mut combinations: Vec<Vec<u32>> = vec![Vec::new()];
        for (values, codes) in values.iter().zip(codes) {
            let mut longer = Vec::with_capacity(combinations.len() * codes.len());
            for combination in &combinations {
                for code in *codes {
                    let mut set = combination.clone();
                    set.push(values.number(*code)?);
                    longer.push(set);
                }
            }
            combinations = longer;
        }
        Ok(combinations.iter().filter_map(|set| self.find(set)).collect())
    }
}

/// Returns the codes of each column, if each column has so few that looking up all their combinations is cheaper than
/// scanning all groups.
fn pinned(sets: &[CodeSet], groups: usize) -> Option<Vec<&[i32]>> {
    let codes = sets
        .iter()
        .map(|set| match set {
            CodeSet::Listed(codes) => Some(codes.as_slice()),
            _ => None,
        })
        .collect::<Option<Vec<_>>>()?;
    let combinations = codes.iter().try_fold(1_usize, |all, codes| all.checked_mul(codes.len()))?;
    (combinations <= groups.max(4) / 4).then_some(codes)
}

fn set_at<T>(sets: &[T], width: usize, number: u32) -> &[T] {
    let start = number as usize * width;
    sets.get(start..start + width).unwrap_or(&[])
}
