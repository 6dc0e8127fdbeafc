//! The groups of rows: numbers for their keys.
//!
//! Rows of sections are sorted by tags and time, so that the rows of a group follow each other. To encode and hash the keys of a
//! row takes longer than to compare them with those of the row before. Rows in another order are told apart by their codes.

mod key_codes;
mod key_runs;

use std::ops::Range;

use arrow::{
    array::{Array, ArrayRef, UInt32Array},
    compute::take,
    datatypes::SchemaRef,
    error::ArrowError,
};
use datafusion::{
    common::Result,
    logical_expr::EmitTo,
    physical_plan::aggregates::{
        group_values::{GroupValues, new_group_values},
        order::GroupOrdering,
    },
};

use key_codes::KeyCodes;
use key_runs::starts_of_runs;

use crate::unused_values::release_unused_column_values;

/// Minimum rows of a run of equal keys on average, to look up the group of each run instead of that of each row.
const MIN_RUN_ROWS: usize = 4;

/// The number of rows in which runs are looked for first.
const SAMPLE_ROWS: usize = 256;

/// Minimum rows of a combination of codes on average, to look up the groups of combinations instead of those of rows.
const MIN_CODE_ROWS: usize = 2;

/// The number of rows before which codes are used in any case.
const CODE_TRIAL_ROWS: usize = 1 << 16;

/// The groups that were seen, with numbers from 0.
pub(crate) struct RowGroups {
    values: Box<dyn GroupValues>,
    /// The groups of the rows of the last batch.
    groups: Vec<usize>,
    /// The first rows of its runs of equal keys; none if runs are short.
    starts: UInt32Array,
    /// The groups of the runs, or of the rows with new codes.
    groups_of_runs: Vec<usize>,
    /// `None` if most rows have codes of their own.
    codes: Option<KeyCodes>,
    /// The rows whose codes were looked up.
    coded_rows: usize,
    new_codes: usize,
}

/// The runs of rows with equal keys of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowRuns<'a> {
    starts: &'a [u32],
    rows: usize,
    pub(crate) groups: &'a [usize],
}

impl RowRuns<'_> {
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let ends = self.starts.iter().skip(1).map(|start| *start as usize);
        let starts = self.starts.iter().map(|start| *start as usize);
        starts.zip(ends.chain([self.rows])).map(|(start, end)| start..end)
    }
}

impl RowGroups {
    /// No groups. `schema` has the columns of the keys. Unless `ordering` is `None`, groups are numbered in the order of their first
    /// rows.
    /// Fails if values of a type can't be grouped.
    pub(crate) fn new(schema: SchemaRef, ordering: &GroupOrdering) -> Result<Self> {
        Ok(Self {
            values: new_group_values(schema, ordering)?,
            groups: Vec::new(),
            starts: UInt32Array::from(Vec::<u32>::new()),
            groups_of_runs: Vec::new(),
            codes: Some(KeyCodes::default()),
            coded_rows: 0,
            new_codes: 0,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The memory of the groups, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let numbers = self.groups.capacity() + self.groups_of_runs.capacity();
        let codes = self.codes.as_ref().map_or(0, KeyCodes::size_bytes);
        self.values.size() + numbers * size_of::<usize>() + codes
    }

    /// Assigns groups to `rows` rows with these keys, of which there is at least one column.
    /// Fails if a column has another type than the schema says.
    pub(crate) fn assign(&mut self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        self.starts = UInt32Array::from(long_runs(keys, rows).unwrap_or_default());
        if self.starts.is_empty() {
            return self.assign_by_codes(keys, rows);
        }
        let keys = keys_of_rows(keys, &self.starts)?;
        self.values.intern(&keys, &mut self.groups_of_runs)?;
        self.groups.clear();
        let runs = RowRuns {
            starts: self.starts.values(),
            rows,
            groups: &self.groups_of_runs,
        };
        for (group, run) in runs.groups.iter().zip(runs.ranges()) {
            self.groups.resize(run.end, *group);
        }
        Ok(())
    }

    fn assign_by_codes(&mut self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        let codes = self.codes.as_mut();
        let found = codes.and_then(|codes| {
            let new = codes.assign_numbers(keys, rows, &mut self.groups)?;
            Some((codes, new))
        });
        let Some((codes, new)) = found else {
            return self.values.intern(keys, &mut self.groups);
        };
        let new_groups = &mut self.groups_of_runs;
        new_groups.clear();
        if !new.is_empty() {
            let keys = keys_of_rows(keys, &UInt32Array::from(new))?;
            self.values.intern(&keys, new_groups)?;
        }
        codes.set_groups(new_groups, &mut self.groups);
        self.coded_rows = self.coded_rows.saturating_add(rows);
        self.new_codes = self.new_codes.saturating_add(new_groups.len());
        if self.coded_rows > CODE_TRIAL_ROWS && self.new_codes > self.coded_rows / MIN_CODE_ROWS {
            self.codes = None;
        }
        Ok(())
    }

    /// The groups of the last rows.
    pub(crate) fn assigned(&self) -> &[usize] {
        &self.groups
    }

    /// The runs of these rows; `None` if they are short.
    pub(crate) fn runs(&self) -> Option<RowRuns<'_>> {
        (!self.starts.is_empty()).then(|| RowRuns {
            starts: self.starts.values(),
            rows: self.groups.len(),
            groups: &self.groups_of_runs,
        })
    }

    /// Returns the keys of all groups, a column for each field of the schema, and forgets the groups.
    /// Fails if the keys can't be converted to the types of the schema.
    pub(crate) fn take_keys(&mut self) -> Result<Vec<ArrayRef>> {
        let keys = self.values.emit(EmitTo::All)?;
        self.values.clear_shrink(0);
        self.codes = self.codes.is_some().then(KeyCodes::default);
        Ok(keys)
    }
}

/// Returns the first rows of the runs of equal keys; `None` if runs are short.
fn long_runs(keys: &[ArrayRef], rows: usize) -> Option<Vec<u32>> {
    let are_long = |starts: &[u32], rows| starts.len() * MIN_RUN_ROWS <= rows;
    if rows > SAMPLE_ROWS {
        let sample: Vec<ArrayRef> = keys.iter().map(|key| key.slice(0, SAMPLE_ROWS)).collect();
        if !are_long(&starts_of_runs(&sample, SAMPLE_ROWS), SAMPLE_ROWS) {
            return None;
        }
    }
    let starts = starts_of_runs(keys, rows);
    are_long(&starts, rows).then_some(starts)
}

/// Returns the keys of some rows.
fn keys_of_rows(keys: &[ArrayRef], rows: &UInt32Array) -> Result<Vec<ArrayRef>> {
    // All values of a dictionary would be compared with the groups.
    let keys = keys.iter().map(|key| release_unused_column_values(take(key, rows, None)?));
    Ok(keys.collect::<Result<_, ArrowError>>()?)
}

#[cfg(test)]
mod tests;
