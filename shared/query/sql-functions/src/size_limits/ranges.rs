//! Result sizes of `range` and `generate_series`.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, TimeUnit,
    TimestampNanosecondType,
};
use datafusion::common::Result;

use super::arguments::CallArguments;

/// Bytes per number or time. A date takes 4 bytes, and up to 8 while the list grows.
const VALUE_BYTES: u64 = 8;

const DAY_NANOS: i128 = 24 * 3_600 * 1_000_000_000;

/// Days in the shortest month.
const MONTH_DAYS: i128 = 28;

/// Returns the bytes of the lists of all rows.
pub(super) fn bytes(args: &CallArguments, inclusive: bool) -> Result<u64> {
    let first = args.column(0).map(|(array, _)| array.data_type());
    let count = match first {
        Some(DataType::Date32 | DataType::Date64) => steps(args, TimeArguments::Dates)?,
        Some(DataType::Timestamp(..)) => steps(args, TimeArguments::Timestamps)?,
        Some(DataType::Int64) => integers(args, inclusive),
        _ => 0,
    };
    Ok(count.saturating_mul(VALUE_BYTES))
}

fn integers(args: &CallArguments, inclusive: bool) -> u64 {
    args.sum(|row| {
        let (start, stop) = match row.len() {
            1 => (Some(0), row.primitive::<Int64Type>(0)),
            _ => (row.primitive::<Int64Type>(0), row.primitive::<Int64Type>(1)),
        };
        let step = match row.len() {
            3 => row.primitive::<Int64Type>(2),
            _ => Some(1),
        };
        let (Some(start), Some(stop), Some(step)) = (start, stop, step) else {
            return 0;
        };
        let (distance, step) = (i128::from(stop) - i128::from(start), i128::from(step));
        if inclusive {
            values(distance, step)
        } else if distance.signum() == step.signum() {
            // The end is exclusive.
            values(distance - distance.signum(), step)
        } else {
            0
        }
    })
}

/// The type of the arguments.
enum TimeArguments {
    Dates,
    Timestamps,
}

/// Returns the number of values between two times. The end is counted even if the range excludes it.
fn steps(args: &CallArguments, times: TimeArguments) -> Result<u64> {
    let nanos = |argument| -> Result<Option<(ArrayRef, _)>> {
        let Some((array, index)) = args.column(argument) else {
            return Ok(None);
        };
        let as_nanos = match (&times, array.data_type()) {
            (TimeArguments::Dates, _) => DataType::Date32,
            (TimeArguments::Timestamps, DataType::Timestamp(_, zone)) => {
                DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())
            }
            (TimeArguments::Timestamps, other) => other.clone(),
        };
        Ok(Some((cast(array, &as_nanos)?, index)))
    };
    let (Some((start, start_at)), Some((stop, stop_at))) = (nanos(0)?, nanos(1)?) else {
        return Ok(0);
    };
    let at = |array: &ArrayRef, index| match times {
        TimeArguments::Dates => {
            let days = array.as_primitive_opt::<Date32Type>()?;
            days.is_valid(index).then(|| i128::from(days.value(index)) * DAY_NANOS)
        }
        TimeArguments::Timestamps => {
            let nanos = array.as_primitive_opt::<TimestampNanosecondType>()?;
            nanos.is_valid(index).then(|| i128::from(nanos.value(index)))
        }
    };
    Ok(args.sum(|row| {
        let start = at(&start, start_at(row.number()));
        let stop = at(&stop, stop_at(row.number()));
        let step = row.primitive::<IntervalMonthDayNanoType>(2);
        let (Some(start), Some(stop), Some(step)) = (start, stop, step) else {
            return 0;
        };
        match advance(step, &times) {
            Some(nanos) => values(stop - start, nanos),
            // Steps forward and backward may alternate, so the end may never be reached.
            None => u64::MAX,
        }
    }))
}

/// Returns the minimum nanoseconds that an interval advances a time, or `None` if its parts have different signs.
fn advance(step: IntervalMonthDayNano, times: &TimeArguments) -> Option<i128> {
    let parts = [
        i128::from(step.months) * MONTH_DAYS * DAY_NANOS,
        i128::from(step.days) * DAY_NANOS,
        match times {
            TimeArguments::Dates => 0,
            TimeArguments::Timestamps => i128::from(step.nanoseconds),
        },
    ];
    let forth = parts.iter().any(|part| *part > 0);
    let back = parts.iter().any(|part| *part < 0);
    (!(forth && back)).then(|| parts.iter().sum())
}

/// Returns the number of values in a range. A step of zero counts none, because the function returns an error for it.
fn values(distance: i128, step: i128) -> u64 {
    if step == 0 || (distance != 0 && distance.signum() != step.signum()) {
        return 0;
    }
    u64::try_from(distance / step + 1).unwrap_or(u64::MAX)
}
