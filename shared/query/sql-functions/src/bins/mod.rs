//! Time bins: the bin of an instant, and all bins between two instants.
//!
//! This is the arithmetic of `date_bin` and `date_bin_wallclock`, independent of columns and SQL. Times are nanoseconds
//! since 1970-01-01T00:00:00Z.

mod cursor;
mod iterator;
mod zone;

use arrow::array::timezone::Tz;
use chrono::{DateTime, Datelike, Months, Utc};
use datafusion::common::{Result, ScalarValue, plan_err};

pub(crate) use cursor::{BinCursor, BinList};
pub(crate) use iterator::BinIterator;

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// The width of a bin; always positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stride {
    /// A number of nanoseconds; a day is 24 hours.
    Nanos(i64),
    /// A number of calendar months.
    Months(u32),
}

impl Stride {
    /// Converts an SQL interval. `function` is named in errors.
    ///
    /// # Errors
    ///
    /// Returns a planning error if the interval is NULL, not positive, too long, or mixes months with shorter units.
    pub(crate) fn try_new(interval: &ScalarValue, function: &str) -> Result<Self> {
        let (months, days, nanos) = match interval {
            ScalarValue::IntervalMonthDayNano(Some(v)) => {
                (v.months, v.days, i128::from(v.nanoseconds))
            }
            ScalarValue::IntervalDayTime(Some(v)) => {
                (0, v.days, i128::from(v.milliseconds) * 1_000_000)
            }
            ScalarValue::IntervalYearMonth(Some(months)) => (*months, 0, 0),
            other => {
                return plan_err!("the interval of {function} must be an INTERVAL, not {other}");
            }
        };
        let nanos = i128::from(days) * NANOS_PER_DAY + nanos;
        if months != 0 && nanos != 0 {
            return plan_err!(
                "the interval of {function} cannot combine months with days or shorter units"
            );
        }
        let stride = if months == 0 {
            i64::try_from(nanos).ok().filter(|nanos| *nanos > 0).map(Self::Nanos)
        } else {
            u32::try_from(months).ok().map(Self::Months)
        };
        match stride {
            Some(stride) => Ok(stride),
            None => {
                plan_err!("the interval of {function} must be positive and shorter than 292 years")
            }
        }
    }
}

/// A division of time into bins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binning {
    stride: Stride,
    /// The start of one bin: an instant, or a local time if there is a zone.
    origin: i64,
    /// Bins are aligned with this zone's wall clock.
    zone: Option<Tz>,
}

impl Binning {
    /// Returns bins as in `date_bin`: `origin` is an instant.
    pub(crate) fn instants(stride: Stride, origin: i64) -> Self {
        Self { stride, origin, zone: None }
    }

    /// Returns bins as in `date_bin_wallclock`: aligned with the clock of `zone`, where `origin` is a local time.
    pub(crate) fn wallclock(stride: Stride, origin: i64, zone: Tz) -> Self {
        Self { stride, origin, zone: Some(zone) }
    }

    /// Returns the start of the bin that contains `time`, or `None` if it cannot be represented.
    ///
    /// The start is at or before `time`, except for a wall clock bin whose start is skipped by the clock.
    pub(crate) fn start(&self, time: i64) -> Option<i64> {
        match (self.stride, self.zone) {
            (Stride::Nanos(stride), None) => floor(time, stride, self.origin),
            (Stride::Nanos(stride), Some(zone)) => {
                let offset = zone::offset_at(zone, time);
                let local = floor(time.checked_add(offset)?, stride, self.origin)?;
                zone::instant_of(zone, local, offset, stride)
            }
            (Stride::Months(stride), _) => {
                self.month_start(self.month_index(time, stride)?, stride)
            }
        }
    }

    /// Returns the start of a bin of months. A local time that is shown twice is the earlier one.
    fn month_start(&self, index: i64, stride: u32) -> Option<i64> {
        let start = months_from(self.origin, index.checked_mul(stride.into())?)?;
        match self.zone {
            Some(zone) => zone::instant_of(zone, start, 0, i64::MAX),
            None => Some(start),
        }
    }

    /// Returns the number of bins from the bin of `lower` to the bin of `upper`. Shifts of the clock are not taken into
    /// account.
    pub(crate) fn count_between(&self, lower: i64, upper: i64) -> u64 {
        if lower > upper {
            return 0;
        }
        match self.stride {
            Stride::Nanos(stride) => {
                let bin = |time: i64| {
                    let offset = self.zone.map_or(0, |zone| zone::offset_at(zone, time));
                    let local = i128::from(time) + i128::from(offset) - i128::from(self.origin);
                    local.div_euclid(i128::from(stride))
                };
                u64::try_from(bin(upper) - bin(lower) + 1).unwrap_or(u64::MAX)
            }
            Stride::Months(stride) => {
                let bin = |time: i64| self.month_index(time, stride).unwrap_or_default();
                (bin(upper) - bin(lower)).unsigned_abs() + 1
            }
        }
    }

    /// Returns the number of month strides between the origin and the bin of `time`.
    fn month_index(&self, time: i64, stride: u32) -> Option<i64> {
        let offset = self.zone.map_or(0, |zone| zone::offset_at(zone, time));
        let local = time.checked_add(offset)?;
        let (date, origin) = (utc(local), utc(self.origin));
        let months = i64::from(date.year() - origin.year()) * 12 + i64::from(date.month())
            - i64::from(origin.month());
        let index = months.div_euclid(i64::from(stride));
        let start = months_from(self.origin, index * i64::from(stride));
        match start {
            // The origin's day of the month is later than that of `time`.
            Some(start) if start > local => Some(index - 1),
            _ => Some(index),
        }
    }
}

fn floor(time: i64, stride: i64, origin: i64) -> Option<i64> {
    let bins = time.checked_sub(origin)?.div_euclid(stride);
    origin.checked_add(bins.checked_mul(stride)?)
}

/// Moves `origin` by `months`, to the last day of the month if the month is too short.
fn months_from(origin: i64, months: i64) -> Option<i64> {
    let by = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    let origin = utc(origin);
    let moved = if months < 0 {
        origin.checked_sub_months(by)
    } else {
        origin.checked_add_months(by)
    };
    moved?.timestamp_nanos_opt()
}

fn utc(time: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(time)
}

#[cfg(test)]
mod tests;
