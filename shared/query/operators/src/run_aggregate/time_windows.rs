//! The windows of times: `date_bin` with a constant interval.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, TimestampNanosecondArray},
    datatypes::{IntervalMonthDayNano, TimestampNanosecondType},
};
use datafusion::{
    common::{Result, ScalarValue},
    logical_expr::ColumnarValue,
    physical_expr::{PhysicalExpr, ScalarFunctionExpr, expressions::Literal},
};

/// Nanoseconds of a day.
const DAY_NS: i64 = 86_400_000_000_000;

/// The function `date_bin`, evaluated with a division for each window instead of each row.
#[derive(Debug)]
pub(super) struct TimeWindows {
    times: Arc<dyn PhysicalExpr>,
    length_ns: i64,
    origin_ns: i64,
}

impl TimeWindows {
    /// Returns the windows of an expression; `None` if it is another one.
    pub(super) fn from_expression(expression: &Arc<dyn PhysicalExpr>) -> Option<Self> {
        let function = expression.downcast_ref::<ScalarFunctionExpr>()?;
        let (interval, times, origin) = match function.args() {
            [interval, times] => (interval, times, None),
            [interval, times, origin] => (interval, times, Some(origin)),
            _ => return None,
        };
        let origin_ns = match origin.map(constant) {
            None => 0,
            Some(Some(ScalarValue::TimestampNanosecond(Some(origin), _))) => *origin,
            Some(_) => return None,
        };
        let length_ns = match constant(interval)? {
            ScalarValue::IntervalMonthDayNano(Some(interval)) => length_ns(*interval)?,
            _ => return None,
        };
        (function.fun().name() == "date_bin").then(|| Self {
            times: Arc::clone(times),
            length_ns,
            origin_ns,
        })
    }

    /// Returns the first time of the window of each row; `None` if a time is of another type, or near the limits of the type.
    pub(super) fn starts(&self, batch: &RecordBatch) -> Result<Option<ArrayRef>> {
        let ColumnarValue::Array(times) = self.times.evaluate(batch)? else {
            return Ok(None);
        };
        let Some(times) = times.as_primitive_opt::<TimestampNanosecondType>() else {
            return Ok(None);
        };
        // An empty window before the first one.
        let (mut start, mut end) = (0, 0);
        let mut starts = Vec::with_capacity(times.len());
        for time in times.values() {
            if *time < start || *time >= end {
                let Some(window) = self.window(*time) else {
                    return Ok(None);
                };
                (start, end) = window;
            }
            starts.push(start);
        }
        let starts = TimestampNanosecondArray::new(starts.into(), times.nulls().cloned());
        Ok(Some(Arc::new(starts.with_data_type(times.data_type().clone()))))
    }

    /// Returns the first time of the window of a time, and that of the next one; `None` if `date_bin` has no result for a time
    /// between them.
    fn window(&self, time: i64) -> Option<(i64, i64)> {
        let distance = time.checked_sub(self.origin_ns)?;
        let start = distance.checked_sub(distance.rem_euclid(self.length_ns))?;
        let end = start.checked_add(self.length_ns)?;
        Some((self.origin_ns.checked_add(start)?, self.origin_ns.checked_add(end)?))
    }
}

fn constant(expression: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    expression.downcast_ref::<Literal>().map(Literal::value)
}

/// Returns the length of an interval without months, in nanoseconds; `None` if it is not positive.
fn length_ns(interval: IntervalMonthDayNano) -> Option<i64> {
    let days = i64::from(interval.days).checked_mul(DAY_NS)?;
    let length = days.checked_add(interval.nanoseconds)?;
    (interval.months == 0 && length > 0).then_some(length)
}
