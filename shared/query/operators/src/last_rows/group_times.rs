//! The newest or oldest time of each group that was seen.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampNanosecondArray},
    buffer::{BooleanBuffer, NullBuffer},
    datatypes::{Schema, TimestampNanosecondType},
};
use datafusion::{
    common::{Result, internal_datafusion_err},
    physical_plan::aggregates::order::GroupOrdering,
};

use super::{LastRowsParameters, TimeEnd};
use crate::row_groups::RowGroups;

/// The time of the row of each group that is needed so far.
pub(super) struct GroupTimes {
    parameters: LastRowsParameters,
    /// The groups; `None` if all rows are one group.
    groups: Option<RowGroups>,
    times: Vec<i64>,
}

impl GroupTimes {
    /// No groups.
    pub(super) fn new(parameters: &LastRowsParameters, input: &Schema) -> Result<Self> {
        let groups = if parameters.keys.is_empty() {
            None
        } else {
            Some(RowGroups::new(input.project(&parameters.keys)?.into(), &GroupOrdering::None)?)
        };
        Ok(Self { parameters: parameters.clone(), groups, times: Vec::new() })
    }

    /// The memory of the groups, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        let groups = self.groups.as_ref().map_or(0, RowGroups::size_bytes);
        groups + self.times.capacity() * size_of::<i64>()
    }

    /// Returns which rows of a batch are needed, unless later batches have rows that replace them.
    pub(super) fn needed_rows(&mut self, batch: &RecordBatch) -> Result<BooleanArray> {
        let times = batch
            .column(self.parameters.time)
            .as_primitive_opt::<TimestampNanosecondType>()
            .ok_or_else(|| internal_datafusion_err!("a time is no timestamp"))?;
        let keys: Vec<ArrayRef> =
            self.parameters.keys.iter().map(|key| Arc::clone(batch.column(*key))).collect();
        if let Some(groups) = &mut self.groups {
            groups.assign(&keys, batch.num_rows())?;
        }
        self.update(times, self.replacing_rows(batch, times).as_ref());
        let is_needed = |row: usize| {
            let bound = self.times.get(self.group_of(row));
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

    /// Returns the rows that have a time and all required values; `None`: all rows.
    fn replacing_rows(
        &self,
        batch: &RecordBatch,
        times: &TimestampNanosecondArray,
    ) -> Option<NullBuffer> {
        let required = self
            .parameters
            .required
            .iter()
            .map(|column| batch.column(*column).logical_nulls());
        required.fold(times.nulls().cloned(), |one, other| {
            NullBuffer::union(one.as_ref(), other.as_ref())
        })
    }
    /// Returns the group of a row of the last batch.
    fn group_of(&self, row: usize) -> usize {
        let groups = self.groups.as_ref().map(RowGroups::assigned);
        let group = groups.and_then(|groups| groups.get(row));
        group.copied().unwrap_or_default()
    }

    /// Updates the times of the groups of the last batch.
    fn update(&mut self, times: &TimestampNanosecondArray, replacing: Option<&NullBuffer>) {
        let (initial, choose): (_, fn(i64, i64) -> i64) = match self.parameters.end {
            TimeEnd::Last => (i64::MIN, i64::max),
            TimeEnd::First => (i64::MAX, i64::min),
        };
        let groups = self.groups.as_ref().map_or(1, RowGroups::len);
        self.times.resize(groups, initial);
        for (row, time) in times.values().iter().enumerate() {
            let replaces = replacing.is_none_or(|replacing| replacing.is_valid(row));
            let group = self.group_of(row);
            if let Some(known) = self.times.get_mut(group).filter(|_| replaces) {
                *known = choose(*known, *time);
            }
        }
    }
}
