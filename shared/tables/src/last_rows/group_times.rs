//! The newest or oldest time of each group that was seen.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int32Array, RecordBatch,
        TimestampNanosecondArray, UInt32Array,
    },
    buffer::{BooleanBuffer, NullBuffer},
    compute::take,
    datatypes::{Int32Type, Schema, TimestampNanosecondType},
};
use arrow_select::dictionary::garbage_collect_any_dictionary;
use datafusion::{
    common::{Result, internal_datafusion_err},
    physical_plan::aggregates::{
        group_values::{GroupValues, new_group_values},
        order::GroupOrdering,
    },
};

use super::{LastRowsParameters, TimeEnd};

/// Minimum rows of a run of equal keys on average, to look up the group of each run instead of that of each row. Rows of
/// sections are sorted by tags.
const MIN_RUN_ROWS: usize = 8;

/// The time of the row of each group that is needed so far.
pub(super) struct GroupTimes {
    parameters: LastRowsParameters,
    /// Numbers the groups; `None` if all rows are one group.
    values: Option<Box<dyn GroupValues>>,
    /// The groups of the rows of a batch.
    groups: Vec<usize>,
    /// The groups of its runs of equal keys.
    groups_of_runs: Vec<usize>,
    /// The time of each group.
    times: Vec<i64>,
}

impl GroupTimes {
    /// No groups.
    pub(super) fn new(parameters: &LastRowsParameters, input: &Schema) -> Result<Self> {
        let values = match parameters.keys.is_empty() {
            true => None,
            false => {
                let keys = input.project(&parameters.keys)?;
                Some(new_group_values(keys.into(), &GroupOrdering::None)?)
            }
        };
        Ok(Self {
            parameters: parameters.clone(),
            values,
            groups: Vec::new(),
            groups_of_runs: Vec::new(),
            times: Vec::new(),
        })
    }

    /// The memory of the groups, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let values = self.values.as_ref().map_or(0, |values| values.size());
        values
            + (self.groups.capacity() + self.groups_of_runs.capacity()) * size_of::<usize>()
            + self.times.capacity() * size_of::<i64>()
    }

    /// Returns which rows of a batch are needed, unless later batches have rows that replace them.
    pub(super) fn needed_rows(&mut self, batch: &RecordBatch) -> Result<BooleanArray> {
        let times = batch.column(self.parameters.time);
        let times = times.as_primitive_opt::<TimestampNanosecondType>();
        let times = times.ok_or_else(|| internal_datafusion_err!("a time is no timestamp"))?;
        self.number_groups(batch)?;
        let replacing = self.replacing_rows(batch, times);
        match self.parameters.end {
            TimeEnd::Last => self.update(times, replacing.as_ref(), i64::MIN, i64::max),
            TimeEnd::First => self.update(times, replacing.as_ref(), i64::MAX, i64::min),
        }
        let is_needed = |row: usize| {
            let bound = self
                .groups
                .get(row)
                .and_then(|group| self.times.get(*group));
            bound.is_none_or(|bound| match self.parameters.end {
                TimeEnd::Last => times.value(row) >= *bound,
                TimeEnd::First => times.value(row) <= *bound,
            })
        };
        let needed = BooleanBuffer::collect_bool(batch.num_rows(), is_needed);
        // A row without a time is neither old nor new.
        let needed = match times.nulls() {
            Some(nulls) => &needed | &!nulls.inner(),
            None => needed,
        };
        Ok(BooleanArray::new(needed, None))
    }

    /// Sets the group of each row of a batch.
    fn number_groups(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some(values) = &mut self.values else {
            self.groups.clear();
            self.groups.resize(batch.num_rows(), 0);
            return Ok(());
        };
        let keys = self.parameters.keys.iter();
        let keys: Vec<ArrayRef> = keys.map(|key| Arc::clone(batch.column(*key))).collect();
        let Some(starts) = starts_of_runs(&keys) else {
            return values.intern(&keys, &mut self.groups);
        };
        let starts = UInt32Array::from(starts);
        let keys = keys.iter().map(|key| {
            let keys = take(key, &starts, None)?;
            // All values of a dictionary would be compared with the groups.
            garbage_collect_any_dictionary(keys.as_any_dictionary())
        });
        let keys: Vec<ArrayRef> = keys.collect::<Result<_, _>>()?;
        values.intern(&keys, &mut self.groups_of_runs)?;
        let ends = starts.values().iter().skip(1).map(|start| *start as usize);
        let ends = ends.chain([batch.num_rows()]);
        self.groups.clear();
        for (group, end) in self.groups_of_runs.iter().zip(ends) {
            self.groups.resize(end, *group);
        }
        Ok(())
    }

    /// Returns the rows that have a time and all required values; `None`: all rows.
    fn replacing_rows(
        &self,
        batch: &RecordBatch,
        times: &TimestampNanosecondArray,
    ) -> Option<NullBuffer> {
        let required = self.parameters.required.iter();
        let required = required.map(|column| batch.column(*column).logical_nulls());
        required.fold(times.nulls().cloned(), |one, other| {
            NullBuffer::union(one.as_ref(), other.as_ref())
        })
    }

    fn update(
        &mut self,
        times: &TimestampNanosecondArray,
        replacing: Option<&NullBuffer>,
        initial: i64,
        choose: fn(i64, i64) -> i64,
    ) {
        let groups = self.values.as_ref().map_or(1, |values| values.len());
        self.times.resize(groups, initial);
        for (row, (group, time)) in self.groups.iter().zip(times.values()).enumerate() {
            let replaces = replacing.is_none_or(|replacing| replacing.is_valid(row));
            if let Some(known) = self.times.get_mut(*group).filter(|_| replaces) {
                *known = choose(*known, *time);
            }
        }
    }
}

/// Returns the first rows of the runs of equal keys; `None` if runs are short, or a key is no tag. Two runs may have the same
/// keys.
fn starts_of_runs(keys: &[ArrayRef]) -> Option<Vec<u32>> {
    let codes = keys.iter().map(|key| key.as_dictionary_opt::<Int32Type>());
    let codes = codes.map(|key| key.map(DictionaryArray::keys));
    let codes: Vec<&Int32Array> = codes.collect::<Option<_>>()?;
    let rows = codes.first()?.len();
    let is_start = |row: usize| {
        let code = |codes: &Int32Array, row| codes.is_valid(row).then(|| codes.value(row));
        let mut codes = codes.iter();
        codes.any(|codes| row == 0 || code(codes, row) != code(codes, row - 1))
    };
    let mut starts = Vec::new();
    for row in 0..rows {
        if is_start(row) {
            starts.push(u32::try_from(row).ok()?);
        }
        if starts.len() * MIN_RUN_ROWS > rows {
            return None;
        }
    }
    Some(starts)
}
