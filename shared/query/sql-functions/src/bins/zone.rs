//! Wall clock time of a zone: converts instants to local times and back, also around clock shifts.
//!
//! All times are nanoseconds: instants since 1970-01-01T00:00:00Z, local times since 1970-01-01T00:00:00 local time.

use arrow::array::timezone::Tz;
use chrono::{DateTime, LocalResult, Offset, TimeZone};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;

/// Maximum hours to step back over a gap. The longest jump of any zone's clock is a day (Samoa skipped 2011-12-30).
const LONGEST_GAP_HOURS: i64 = 25;

/// Returns the nanoseconds to add to the instant `time` to get the zone's local time.
pub(super) fn offset_at(zone: Tz, time: i64) -> i64 {
    let time = DateTime::from_timestamp_nanos(time).naive_utc();
    nanos(&zone.offset_from_utc_datetime(&time))
}

/// Returns the instant at which the zone's clock shows `local`, or `None` if it cannot be represented.
///
/// A local time that occurs twice is the earlier instant if `stride` is longer than the shift, otherwise the instant
/// whose offset is `offset`. A skipped local time is converted with the offset from before the shift, that is, counted
/// from the start of the day. These are the rules of InfluxDB 3's `date_bin_wallclock`.
pub(super) fn instant_of(zone: Tz, local: i64, offset: i64, stride: i64) -> Option<i64> {
    let chosen = match offsets_of(zone, local) {
        LocalResult::Single(single) => single,
        LocalResult::Ambiguous(a, b) => {
            // The larger offset belongs to the earlier instant.
            let (earlier, later) = (a.max(b), a.min(b));
            if stride <= earlier - later && offset == later {
                later
            } else {
                earlier
            }
        }
        LocalResult::None => (1..=LONGEST_GAP_HOURS).find_map(|hours| {
            match offsets_of(zone, local.checked_sub(hours * HOUR)?) {
                LocalResult::Single(before) => Some(before),
                LocalResult::Ambiguous(a, b) => Some(a.min(b)),
                LocalResult::None => None,
            }
        })?,
    };
    local.checked_sub(chosen)
}

/// Returns the last instant in `start..=end` before the zone's offset changes. The range must contain at most one
/// shift.
pub(super) fn last_before_shift(zone: Tz, start: i64, end: i64) -> i64 {
    let offset = offset_at(zone, start);
    if offset_at(zone, end) == offset {
        return end;
    }
    let (mut before, mut after) = (start, end);
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if offset_at(zone, middle) == offset {
            before = middle
        } else {
            after = middle
        }
    }
    before
}

fn offsets_of(zone: Tz, local: i64) -> LocalResult<i64> {
    let local = DateTime::from_timestamp_nanos(local).naive_utc();
    zone.offset_from_local_datetime(&local).map(|offset| nanos(&offset))
}

fn nanos(offset: &impl Offset) -> i64 {
    i64::from(offset.fix().local_minus_utc()) * SECOND
}
