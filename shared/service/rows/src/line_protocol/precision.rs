//! The unit of the timestamps of a body.

/// The unit of the timestamps in a body.
///
/// # Examples
///
/// ```
/// use neap_rows::line_protocol::Precision;
///
/// assert_eq!(Precision::Millisecond.to_nanos(5), Some(5_000_000));
/// assert_eq!(Precision::Auto.to_nanos(1_700_000_000), Some(1_700_000_000_000_000_000));
/// assert_eq!(Precision::Second.truncate(1_999_999_999), 1_000_000_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Derived from the magnitude of each timestamp: below 5e9 seconds, below 5e12 milliseconds, below 5e15
    /// microseconds, otherwise nanoseconds (InfluxDB 3).
    #[default]
    Auto,
    /// Hours (InfluxDB 1).
    Hour,
    /// Minutes (InfluxDB 1).
    Minute,
    /// Seconds.
    Second,
    /// Milliseconds.
    Millisecond,
    /// Microseconds.
    Microsecond,
    /// Nanoseconds.
    Nanosecond,
}

impl Precision {
    /// Converts a timestamp in this unit to nanoseconds; `None` if the result does not fit in 64 bits.
    pub fn to_nanos(self, timestamp: i64) -> Option<i64> {
        timestamp.checked_mul(self.unit_nanos(timestamp))
    }

    /// Truncates a time in nanoseconds toward zero to this unit; `Auto` does not truncate.
    pub fn truncate(self, nanos: i64) -> i64 {
        nanos - nanos % self.nanos()
    }

    /// Returns the unit of one timestamp in nanoseconds.
    pub fn unit_nanos(self, timestamp: i64) -> i64 {
        self.resolve(timestamp).nanos()
    }

    /// Returns the unit of one timestamp.
    fn resolve(self, timestamp: i64) -> Self {
        match (self, timestamp.unsigned_abs() / 1_000_000_000) {
            (Self::Auto, 0..5) => Self::Second,
            (Self::Auto, 5..5_000) => Self::Millisecond,
            (Self::Auto, 5_000..5_000_000) => Self::Microsecond,
            (Self::Auto, _) => Self::Nanosecond,
            (given, _) => given,
        }
    }

    fn nanos(self) -> i64 {
        match self {
            Self::Hour => 3_600_000_000_000,
            Self::Minute => 60_000_000_000,
            Self::Second => 1_000_000_000,
            Self::Millisecond => 1_000_000,
            Self::Microsecond => 1_000,
            Self::Nanosecond | Self::Auto => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_derives_the_unit_from_the_magnitude_of_each_timestamp() {
        for (timestamp, nanos) in [
            (0, 0),
            (1, 1_000_000_000),
            (-5, -5_000_000_000),
            (4_999_999_999, 4_999_999_999_000_000_000),
            (5_000_000_000, 5_000_000_000_000_000),
            (1_704_096_200_001, 1_704_096_200_001_000_000),
            (4_999_999_999_999, 4_999_999_999_999_000_000),
            (5_000_000_000_000, 5_000_000_000_000_000),
            (4_999_999_999_999_999, 4_999_999_999_999_999_000),
            (5_000_000_000_000_000, 5_000_000_000_000_000),
            (i64::MAX, i64::MAX),
            (i64::MIN, i64::MIN),
        ] {
            assert_eq!(Precision::Auto.to_nanos(timestamp), Some(nanos), "{timestamp}");
        }
    }

    #[test]
    fn a_scaled_timestamp_must_fit_64_bits() {
        assert_eq!(Precision::Second.to_nanos(9_223_372_036), Some(9_223_372_036_000_000_000));
        assert_eq!(Precision::Second.to_nanos(9_223_372_037), None);
        assert_eq!(Precision::Minute.to_nanos(-2), Some(-2 * 60 * 1_000_000_000));
        assert_eq!(Precision::Hour.to_nanos(1), Some(3_600_000_000_000));
        assert_eq!(Precision::Hour.to_nanos(2_562_048), None);
        assert_eq!(Precision::Microsecond.to_nanos(i64::MIN), None);
        assert_eq!(Precision::Nanosecond.to_nanos(i64::MIN), Some(i64::MIN));
    }

    #[test]
    fn the_default_time_is_truncated_toward_zero() {
        assert_eq!(Precision::Second.truncate(1_999_999_999), 1_000_000_000);
        assert_eq!(Precision::Second.truncate(-1_999_999_999), -1_000_000_000);
        assert_eq!(Precision::Millisecond.truncate(1_234_567), 1_000_000);
        assert_eq!(Precision::Auto.truncate(1_234_567), 1_234_567);
    }
}
