//! Aligned ranges of days, whose sections become one when they are over.

use neap_bucket::StoreTime;
use neap_manifest::day_of;

/// Width of the narrowest ranges, as a power of two: 4 days.
pub(super) const NARROWEST_RANGE_BITS: u32 = 2;

/// Returns whether the aligned range of `1 << bits` days that contains a day ended before yesterday.
pub(super) fn is_range_over(day: i32, bits: u32, now: StoreTime) -> bool {
    let today = day_of(now.micros().saturating_mul(1_000));
    let last_day = day >> bits << bits | ((1 << bits) - 1);
    last_day < today - 1
}
