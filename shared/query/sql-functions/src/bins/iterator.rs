//! Iterates over all bins between two instants.

use arrow::array::timezone::Tz;

use super::{Binning, Stride, floor, zone};

const DAY: i64 = 86_400_000_000_000;

/// An iterator over the starts of bins, strictly ascending. It computes each bin on demand, in constant space.
#[derive(Debug, Clone)]
pub(crate) struct BinIterator {
    binning: Binning,
    upper: i64,
    next: BinIteratorState,
}

#[derive(Debug, Clone)]
enum BinIteratorState {
    /// The start of the next bin.
    Nanos(Option<i64>),
    /// The index of the next bin, counted from the origin.
    Months(Option<i64>),
    Wallclock(WallClockBins),
    Done,
}

/// A period in which the zone's offset is constant, and the current position in it.
#[derive(Debug, Clone)]
struct WallClockBins {
    zone: Tz,
    stride: i64,
    /// The last instant of the period.
    end: i64,
    offset: i64,
    /// The next bin's start in local time.
    local: Option<i64>,
    /// The last bin returned. The first bin of a period may already have been returned by the previous period.
    last: Option<i64>,
}

impl Binning {
    /// Returns the bins from the bin of `lower` to the bin of `upper`, both inclusive, in time order.
    pub(crate) fn between(self, lower: i64, upper: i64) -> BinIterator {
        BinIterator::new(self, lower, upper)
    }
}

impl BinIterator {
    fn new(binning: Binning, lower: i64, upper: i64) -> Self {
        let next = match (binning.stride, binning.zone) {
            _ if lower > upper => BinIteratorState::Done,
            (Stride::Nanos(_), None) => BinIteratorState::Nanos(binning.start(lower)),
            (Stride::Months(stride), _) => {
                BinIteratorState::Months(binning.month_index(lower, stride))
            }
            (Stride::Nanos(stride), Some(zone)) => BinIteratorState::Wallclock(
                WallClockBins::from(zone, stride, binning.origin, lower, upper, None),
            ),
        };
        Self { binning, upper, next }
    }
}

impl Iterator for BinIterator {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        let (binning, upper) = (self.binning, self.upper);
        let bin = match (&mut self.next, self.binning.stride) {
            (BinIteratorState::Nanos(next), Stride::Nanos(stride)) => {
                let bin = next.filter(|bin| *bin <= upper);
                *next = bin.and_then(|bin| bin.checked_add(stride));
                bin
            }
            (BinIteratorState::Months(next), Stride::Months(stride)) => {
                let bin = next.and_then(|index| binning.month_start(index, stride));
                *next = next.map(|index| index + 1);
                bin.filter(|bin| *bin <= upper)
            }
            (BinIteratorState::Wallclock(wallclock), _) => wallclock.next(binning.origin, upper),
            _ => None,
        };
        if bin.is_none() {
            self.next = BinIteratorState::Done;
        }
        bin
    }
}

impl WallClockBins {
    /// Returns the period that starts at `start` and ends before the zone's next shift, after one day, or at `upper`,
    /// whichever comes first.
    fn from(zone: Tz, stride: i64, origin: i64, start: i64, upper: i64, last: Option<i64>) -> Self {
        let end = start.saturating_add(DAY).min(upper);
        let offset = zone::offset_at(zone, start);
        let local = start.checked_add(offset).and_then(|local| floor(local, stride, origin));
        Self {
            zone,
            stride,
            end: zone::last_before_shift(zone, start, end),
            offset,
            local,
            last,
        }
    }

    fn next(&mut self, origin: i64, upper: i64) -> Option<i64> {
        loop {
            let end = self.end.saturating_add(self.offset);
            while let Some(local) = self.local.filter(|local| *local <= end) {
                self.local = local.checked_add(self.stride);
                let bin = zone::instant_of(self.zone, local, self.offset, self.stride);
                if bin.is_some() && bin > self.last {
                    self.last = bin;
                    return bin;
                }
            }
            if self.end >= upper {
                return None;
            }
            *self = Self::from(self.zone, self.stride, origin, self.end + 1, upper, self.last);
        }
    }
}
