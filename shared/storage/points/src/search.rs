//! Searches for the end of those numbers of a range for which a condition holds, and which come first.

use std::ops::Range;

/// Returns the first number of a range for which a condition does not hold, or the end of the range. The condition must
/// hold for all numbers before that, and for none after it.
pub fn partition_point(range: Range<usize>, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Returns what [`partition_point`] returns, and tests fewer numbers if it is near the start of the range.
pub fn gallop(range: Range<usize>, holds: impl Fn(usize) -> bool) -> usize {
    let (mut start, mut step) = (range.start, 1);
    loop {
        let probe = start + step - 1;
        if probe >= range.end || !holds(probe) {
            return partition_point(start..probe.min(range.end), holds);
        }
        start = probe + 1;
        step *= 2;
    }
}
