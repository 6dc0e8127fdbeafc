//! Stamps, which order all writes, and times of a store's clock.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A time of a store's clock, in microseconds since the Unix epoch. HTTP stores give whole seconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct StoreTime(i64);

impl StoreTime {
    /// The time at this many microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Returns the duration from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns the absolute difference of two times.
    pub fn distance(self, other: Self) -> Duration {
        Duration::from_micros(self.0.abs_diff(other.0))
    }

    /// This time plus `duration`.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// This time minus `duration`.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }

    /// Returns the row time that is `age` before this time, in nanoseconds since the Unix epoch. Saturates at the
    /// bounds of `i64`.
    pub fn nanos_before(self, age: Duration) -> i64 {
        let age = i128::try_from(age.as_nanos()).unwrap_or(i128::MAX);
        let nanos = (i128::from(self.0) * 1_000).saturating_sub(age);
        let beyond = if nanos < 0 { i64::MIN } else { i64::MAX };
        i64::try_from(nanos).unwrap_or(beyond)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The position of a segment in the order of all writes: 52 bits of microseconds since the Unix epoch and 12 bits of
/// instance salt. Sufficient until the year 2112.
///
/// # Examples
///
/// ```
/// use neap_bucket::{Stamp, StoreTime};
///
/// let first = Stamp::new(StoreTime::from_micros(1_700_000_000_000_000), 7);
/// let second = first.next_microsecond(3);
/// assert!(first < second);
/// assert_eq!(second.time(), StoreTime::from_micros(1_700_000_000_000_001));
/// assert_eq!(first.to_string().parse::<Stamp>()?, first);
/// # Ok::<(), std::num::ParseIntError>(())
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Stamp(u64);

/// The number of bits that hold the instance's salt.
const SALT_BITS: u32 = 12;

impl Stamp {
    /// Sorts below every segment. The low-water mark of a database that was never flushed.
    pub const ZERO: Self = Self(0);

    /// The number of decimal digits of a stamp in a key.
    pub const DIGITS: usize = 20;

    /// Returns the stamp of `time` for an instance with this salt; only its low 12 bits count. Clamps times out of
    /// range.
    pub fn new(time: StoreTime, salt: u16) -> Self {
        let micros = u64::try_from(time.micros()).unwrap_or(0).min(u64::MAX >> SALT_BITS);
        Self(micros << SALT_BITS | u64::from(salt) & Self::SALT_MASK)
    }

    const SALT_MASK: u64 = (1 << SALT_BITS) - 1;

    /// Returns the largest stamp of this microsecond. A cut at it never divides equal stamps.
    pub fn end_of(time: StoreTime) -> Self {
        Self(Self::new(time, 0).0 | Self::SALT_MASK)
    }

    /// The stamp with this number.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The time in the stamp.
    pub fn time(self) -> StoreTime {
        StoreTime(i64::try_from(self.0 >> SALT_BITS).unwrap_or(i64::MAX))
    }

    /// Returns the stamp of the next microsecond for an instance with this salt.
    pub fn next_microsecond(self, salt: u16) -> Self {
        Self::new(StoreTime(self.time().0.saturating_add(1)), salt)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The order of a write relative to the writes of other instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteOrder {
    /// By the store's clock. Writes that reach different instances in quick succession may be reordered.
    #[default]
    Clock,
    /// After every write and delete that any instance acknowledged before the request arrived.
    Strict,
}

/// Error for text that names no write order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`clock` or `strict` is expected")]
pub struct UnknownWriteOrder;

impl FromStr for WriteOrder {
    type Err = UnknownWriteOrder;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "clock" => Ok(Self::Clock),
            "strict" => Ok(Self::Strict),
            _ => Err(UnknownWriteOrder),
        }
    }
}

impl fmt::Display for WriteOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clock => "clock",
            Self::Strict => "strict",
        })
    }
}

impl FromStr for Stamp {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_order_by_time_then_salt() {
        let early = Stamp::new(StoreTime::from_micros(1_700_000_000_000_000), 4095);
        let late = Stamp::new(StoreTime::from_micros(1_700_000_000_000_001), 0);
        assert!(early < late);
        assert_eq!(early.time().micros(), 1_700_000_000_000_000);
        assert_eq!(Stamp::end_of(early.time()), early);
        assert_eq!(early.next_microsecond(7), Stamp::new(late.time(), 7));
    }

    #[test]
    fn times_out_of_range_do_not_wrap() {
        assert_eq!(Stamp::new(StoreTime::from_micros(-1), 0), Stamp::ZERO);
        assert!(Stamp::new(StoreTime::from_micros(i64::MAX), 0) > Stamp::ZERO);
        assert_eq!(StoreTime::from_micros(5).since(StoreTime::from_micros(9)), Duration::ZERO);
    }
}
