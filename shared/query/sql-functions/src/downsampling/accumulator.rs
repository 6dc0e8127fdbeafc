//! The points of a group.

use std::mem::take;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::cast::{
    as_float64_array, as_list_array, as_struct_array, as_timestamp_nanosecond_array,
};
use datafusion::common::{Result, ScalarValue, internal_err, resources_err};
use datafusion::logical_expr::Accumulator;

use super::method::Downsampling;
use super::series::{Point, to_list};

/// Maximum points of a group, because the offsets of Arrow's lists have 31 bits.
const MAX_POINTS: usize = i32::MAX as usize;

/// Collects points until they are evaluated. The state is a list of points, as the result.
#[derive(Debug)]
pub(super) struct SeriesAccumulator {
    method: Downsampling,
    time_type: DataType,
    points: Vec<Point>,
}

impl SeriesAccumulator {
    pub(super) fn new(method: Downsampling, time_type: DataType) -> Self {
        Self { method, time_type, points: Vec::new() }
    }

    fn add(&mut self, times: &ArrayRef, values: &ArrayRef) -> Result<()> {
        let rows = as_timestamp_nanosecond_array(times)?.iter().zip(as_float64_array(values)?);
        let point_of =
            |(time, value): (Option<i64>, Option<f64>)| Some(Point { time: time?, value: value? });
        let method = &self.method;
        self.points
            .extend(rows.filter_map(point_of).filter(|point| method.includes(point)));
        if self.points.len() > MAX_POINTS {
            return resources_err!("a series has more than {MAX_POINTS} points");
        }
        let length = self.method.compaction_length();
        if length.is_some_and(|length| self.points.len() >= length) {
            self.points = self.method.reduce(&mut self.points);
        }
        Ok(())
    }
}

impl Accumulator for SeriesAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [time, value, ..] = values else {
            return internal_err!("a series has times and values");
        };
        self.add(time, value)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [lists] = states else {
            return internal_err!("{} columns instead of lists of points", states.len());
        };
        for points in as_list_array(lists)?.iter().flatten() {
            self.update_batch(as_struct_array(&points)?.columns())?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let points = if self.method.compaction_length().is_some() {
            self.method.reduce(&mut self.points)
        } else {
            take(&mut self.points)
        };
        Ok(vec![to_list(&points, &self.time_type)?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        to_list(&self.method.reduce(&mut self.points), &self.time_type)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.points.capacity() * size_of::<Point>()
    }
}
