//! The newest or oldest time of each group that was seen.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampNanosecondArray},
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::{Schema, TimestampNanosecondType},
};
use datafusion::{
    common::{Result, internal_datafusion_err},
    physical_plan::aggregates::{
        group_values::{GroupValues, new_group_values},
        order::GroupOrdering,
    },
};

use super::{LastRowsParameters, TimeEnd};

/// The time of the row of each group that is needed so far.
pub(super) struct GroupTimes {
    parameters: LastRowsParameters,
    /// Numbers the groups; `None` if all rows are one group.
    values: Option<Box<dyn GroupValues>>,
    /// The groups of the rows of a batch.
    groups: Vec<usize>,
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
            times: Vec::new(),
        })
    }

    /// The memory of the groups, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let values = self.values.as_ref().map_or(0, |values| values.size());
        values
            + self.groups.capacity() * size_of::<usize>()
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
        values.intern(&keys, &mut self.groups)
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
