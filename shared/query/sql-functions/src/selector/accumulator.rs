//! The rows selected so far, for one group or many.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StructArray, TimestampNanosecondArray};
use arrow::buffer::NullBuffer;
use arrow::compute::{not, nullif, prep_null_mask_filter};
use arrow::datatypes::{Fields, TimestampNanosecondType};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::rule::Selector;
use super::values::SelectedValues;

/// The state of a selector: a value and a time per group. The serialised state has these two columns; both are NULL for
/// a group without rows. The input has the same form.
#[derive(Debug)]
pub(super) struct SelectorAccumulator<V> {
    selector: Selector,
    /// The fields `value` and `time` of the result.
    fields: Fields,
    times: Vec<i64>,
    /// Whether each group has a row.
    kept: Vec<bool>,
    values: V,
}

impl<V: SelectedValues> SelectorAccumulator<V> {
    pub(super) fn new(selector: Selector, fields: Fields) -> Self {
        Self {
            selector,
            fields,
            times: Vec::new(),
            kept: Vec::new(),
            values: V::default(),
        }
    }

    fn grow(&mut self, groups: usize) {
        if groups > self.kept.len() {
            self.times.resize(groups, 0);
            self.kept.resize(groups, false);
            self.values.grow(groups);
        }
    }

    /// Updates the state with the rows of `columns` (value, time) for which `filter` is true. `group_of` returns the
    /// group of a row.
    fn update(
        &mut self,
        columns: &[ArrayRef],
        filter: Option<&BooleanArray>,
        group_of: impl Fn(usize) -> usize,
        groups: usize,
    ) -> Result<()> {
        let [values, times] = columns else {
            return exec_err!("a selector takes a value and a time, not {} columns", columns.len());
        };
        let column = V::column(values)?;
        let Some(times) = times.as_primitive_opt::<TimestampNanosecondType>() else {
            return exec_err!(
                "a selector needs timestamps in nanoseconds, not {}",
                times.data_type()
            );
        };
        self.grow(groups);
        let nulls = NullBuffer::union(column.logical_nulls().as_ref(), times.nulls());
        for row in 0..times.len() {
            let counts = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
                && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if !counts {
                continue;
            }
            let (group, time) = (group_of(row), times.value(row));
            let compare = || self.values.compare(&column, row, group);
            if !self.kept[group] || self.selector.prefers(time.cmp(&self.times[group]), compare) {
                self.kept[group] = true;
                self.times[group] = time;
                self.values.keep(&column, row, group)?;
            }
        }
        Ok(())
    }

    /// Returns the columns `value` and `time` of the first `groups` groups.
    fn columns(&self, groups: usize) -> Result<Vec<ArrayRef>> {
        let [value, time] = self.fields.as_ref() else {
            return exec_err!("a selector returns a value and a time");
        };
        let kept = &self.kept[..groups];
        let times = self.times[..groups].to_vec().into();
        let times = TimestampNanosecondArray::try_new(times, Some(NullBuffer::from(kept)))?;
        Ok(vec![
            self.values.array(kept, value.data_type())?,
            Arc::new(times.with_data_type(time.data_type().clone())),
        ])
    }

    /// Returns the results of the first `groups` groups as structs.
    fn structs(&self, groups: usize) -> Result<StructArray> {
        let nulls = NullBuffer::from(&self.kept[..groups]);
        Ok(StructArray::try_new(self.fields.clone(), self.columns(groups)?, Some(nulls))?)
    }

    fn forget(&mut self, groups: usize) {
        self.times.drain(..groups);
        self.kept.drain(..groups);
        self.values.drop_first(groups);
    }

    fn emitted(&self, emit_to: EmitTo) -> usize {
        match emit_to {
            EmitTo::All => self.kept.len(),
            EmitTo::First(groups) => groups,
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.times.capacity() * size_of::<i64>()
            + self.kept.capacity()
            + self.values.size()
    }
}

impl<V: SelectedValues> Accumulator for SelectorAccumulator<V> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.update(values, None, |_| 0, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update(states, None, |_| 0, 1)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.grow(1);
        self.columns(1)?
            .iter()
            .map(|column| ScalarValue::try_from_array(column, 0))
            .collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.grow(1);
        ScalarValue::try_from_array(&self.structs(1)?, 0)
    }

    fn size(&self) -> usize {
        self.bytes()
    }
}

impl<V: SelectedValues> GroupsAccumulator for SelectorAccumulator<V> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.update(values, opt_filter, |row| group_indices[row], total_num_groups)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.update(values, None, |row| group_indices[row], total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.emitted(emit_to);
        let result = self.structs(groups)?;
        self.forget(groups);
        Ok(Arc::new(result))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.emitted(emit_to);
        let state = self.columns(groups)?;
        self.forget(groups);
        Ok(state)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let [value, time] = values else {
            return exec_err!("a selector takes a value and a time, not {} columns", values.len());
        };
        let time = match opt_filter {
            Some(filter) => {
                let filter = if filter.null_count() > 0 {
                    prep_null_mask_filter(filter)
                } else {
                    filter.clone()
                };
                // Rows without a time are ignored.
                nullif(time, &not(&filter)?)?
            }
            None => Arc::clone(time),
        };
        Ok(vec![Arc::clone(value), time])
    }

    fn size(&self) -> usize {
        self.bytes()
    }
}
