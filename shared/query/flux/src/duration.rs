//! Durations of Flux, which have months and nanoseconds.

use chrono::{DateTime, Months};

/// A duration: calendar months, and a number of nanoseconds. Both have the same sign in a literal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FluxDuration {
    /// The calendar months.
    pub months: i32,
    /// The nanoseconds. A day has 24 hours.
    pub nanos: i64,
}

/// The units of durations by name: months, and nanoseconds. A name comes before its own prefixes.
const UNITS: [(&str, i32, i64); 11] = [
    ("ns", 0, 1),
    ("us", 0, 1_000),
    ("µs", 0, 1_000),
    ("ms", 0, 1_000_000),
    ("mo", 1, 0),
    ("y", 12, 0),
    ("w", 0, 604_800_000_000_000),
    ("d", 0, 86_400_000_000_000),
    ("h", 0, 3_600_000_000_000),
    ("m", 0, 60_000_000_000),
    ("s", 0, 1_000_000_000),
];

impl FluxDuration {
    /// Returns a number of a unit; `None` if it is out of range or there is no such unit.
    pub(crate) fn from_unit(number: i64, unit: &str) -> Option<Self> {
        let (_, months, nanos) = UNITS.into_iter().find(|(name, ..)| *name == unit)?;
        let months = i64::from(months).checked_mul(number)?;
        Some(Self {
            months: i32::try_from(months).ok()?,
            nanos: nanos.checked_mul(number)?,
        })
    }

    /// Returns the name of the unit at the start of a text.
    pub(crate) fn unit_prefix(text: &str) -> Option<&'static str> {
        let mut names = UNITS.into_iter().map(|(name, ..)| name);
        names.find(|name| text.starts_with(name))
    }

    /// Returns the sum; `None` if it is out of range.
    pub(crate) fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            months: self.months.checked_add(other.months)?,
            nanos: self.nanos.checked_add(other.nanos)?,
        })
    }

    /// Returns the duration with the opposite sign; `None` if it is out of range.
    pub(crate) fn checked_neg(self) -> Option<Self> {
        Some(Self {
            months: self.months.checked_neg()?,
            nanos: self.nanos.checked_neg()?,
        })
    }

    /// Returns whether it is longer than nothing, and has months or nanoseconds only, as the length of windows must.
    pub(crate) fn is_interval(self) -> bool {
        (self.months > 0 && self.nanos == 0) || (self.months == 0 && self.nanos > 0)
    }

    /// Returns a time later by this duration, in nanoseconds since the Unix epoch; `None` if it is out of range. Months are
    /// added first. A day that the month does not have becomes its last day.
    pub(crate) fn after(self, time: i64) -> Option<i64> {
        let date = DateTime::from_timestamp_nanos(time);
        let months = Months::new(self.months.unsigned_abs());
        let moved = if self.months < 0 {
            date.checked_sub_months(months)?
        } else {
            date.checked_add_months(months)?
        };
        moved.timestamp_nanos_opt()?.checked_add(self.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_nanos_opt().unwrap()
    }

    #[test]
    fn months_are_added_before_shorter_units() {
        let after = |time: &str, months, nanos_of_day: i64| {
            let duration = FluxDuration { months, nanos: nanos_of_day * 86_400_000_000_000 };
            DateTime::from_timestamp_nanos(duration.after(nanos(time)).unwrap()).to_rfc3339()
        };
        // The examples of the specification of Flux.
        assert_eq!(after("2018-01-31T00:00:00Z", 1, 0), "2018-02-28T00:00:00+00:00");
        assert_eq!(after("2018-01-28T00:00:00Z", 1, 2), "2018-03-02T00:00:00+00:00");
        assert_eq!(after("2018-01-31T00:00:00Z", 1, 1), "2018-03-01T00:00:00+00:00");
        assert_eq!(after("2018-03-31T00:00:00Z", -1, 0), "2018-02-28T00:00:00+00:00");
    }

    #[test]
    fn times_out_of_range_are_none() {
        for (months, nanos) in [(i32::MAX, 0), (i32::MIN, 0), (0, i64::MAX)] {
            assert_eq!(FluxDuration { months, nanos }.after(i64::MAX / 2 + 1), None);
        }
        assert_eq!(FluxDuration::from_unit(i64::MAX, "h"), None);
        assert_eq!(FluxDuration::from_unit(1, "parsec"), None);
    }
}
