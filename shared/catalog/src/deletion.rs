//! Dropping databases and tables: hidden and renamed at once, their data gone later.

use std::time::Duration;

use chrono::DateTime;
use neap_bucket::StoreTime;
use serde::{Deserialize, Serialize};

/// That a database or table is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When it was dropped, by the store's clock.
    pub deleted_at: StoreTime,
    /// From when on its data may be deleted; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard_delete_at: Option<StoreTime>,
}

/// When the data of what is dropped may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HardDelete {
    /// Some time after the drop.
    After(Duration),
    /// At a time; a past one means at once.
    At(StoreTime),
    /// Never.
    Never,
}

impl HardDelete {
    /// The delay of InfluxDB 3 (`--hard-delete-default-duration`): 72 hours.
    pub const DEFAULT: Self = Self::After(Duration::from_secs(72 * 60 * 60));

    /// As soon as possible.
    pub const NOW: Self = Self::After(Duration::ZERO);

    /// The time at which this allows the deletion, for something that is dropped at `now`.
    pub(crate) fn time(self, now: StoreTime) -> Option<StoreTime> {
        match self {
            Self::After(delay) => Some(now.plus(delay)),
            Self::At(time) => Some(time.max(now)),
            Self::Never => None,
        }
    }
}

/// The name that something has after it was dropped, `<name>-YYYYMMDDTHHMMSS` as in InfluxDB 3.
pub(crate) fn deleted_name(name: &str, now: StoreTime) -> String {
    let time = DateTime::from_timestamp_micros(now.micros()).unwrap_or_default();
    format!("{name}-{}", time.format("%Y%m%dT%H%M%S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_names_end_with_the_time_of_the_drop() {
        let now = StoreTime::from_micros(1_757_510_705_999_999);
        assert_eq!(deleted_name("db/rp", now), "db/rp-20250910T132505");
    }

    #[test]
    fn a_past_time_of_deletion_means_now() {
        let now = StoreTime::from_micros(1_000);
        assert_eq!(
            HardDelete::At(StoreTime::from_micros(1)).time(now),
            Some(now)
        );
        assert_eq!(HardDelete::NOW.time(now), Some(now));
        assert_eq!(HardDelete::Never.time(now), None);
        assert_eq!(
            HardDelete::DEFAULT.time(now),
            Some(StoreTime::from_micros(1_000 + 72 * 3_600_000_000))
        );
    }
}
