//! An instance's estimate of the store's clock.
//!
//! An answer's `Date` was generated before the answer arrived, and HTTP stores truncate it to whole seconds. Therefore
//! `Date` plus the monotonic time since the arrival is a lower bound of the time of the host that answered, and the
//! greatest bound of several answers is the tightest.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{StoreTime, World};

/// Number of slots of the window. Each slot holds the greatest bound of the answers that arrived during it.
const SLOTS: usize = 6;

/// Duration of a slot. The window is 60 s.
const SLOT_DURATION: Duration = Duration::from_secs(10);

/// A lower bound of the store's time: a `Date`, and the monotonic time at which it arrived.
#[derive(Clone, Copy, Debug)]
struct ClockAnchor {
    date: StoreTime,
    arrived: Duration,
}

impl ClockAnchor {
    fn at(&self, monotonic: Duration) -> StoreTime {
        self.date.plus(monotonic.saturating_sub(self.arrived))
    }
}

/// An instance's estimate of the store's clock: the maximum, over the answers of the last minute, of `Date` plus the
/// monotonic time since its arrival.
///
/// The estimate does not use the wall clock, so it is ahead of the store by at most the clock difference between the
/// store's hosts. A host whose clock is ahead affects it for one minute. If the monotonic clock stopped, the estimate
/// is too old, and the acknowledgement limit refuses writes that use it.
#[derive(Debug)]
pub struct StoreClock {
    world: World,
    anchors: Mutex<AnchorWindow>,
}

/// The greatest bounds of the window.
#[derive(Debug, Default)]
struct AnchorWindow {
    /// Indexed by slot number modulo [`SLOTS`]. Each entry holds its slot number, because indexes repeat after a
    /// minute.
    slots: [Option<(u64, ClockAnchor)>; SLOTS],
    /// The last answer, which counts at any age.
    last: Option<ClockAnchor>,
}

impl AnchorWindow {
    fn number(arrived: Duration) -> u64 {
        arrived.as_secs() / SLOT_DURATION.as_secs()
    }

    fn add(&mut self, anchor: ClockAnchor) {
        let number = Self::number(anchor.arrived);
        let place = usize::try_from(number % SLOTS as u64).unwrap_or(0);
        if let Some(slot) = self.slots.get_mut(place) {
            let best = slot.filter(|(of, best)| {
                *of == number && best.at(anchor.arrived) >= anchor.at(anchor.arrived)
            });
            *slot = best.or(Some((number, anchor)));
        }
        self.last = Some(anchor);
    }

    fn at(&self, monotonic: Duration) -> Option<StoreTime> {
        let oldest = (Self::number(monotonic) + 1).saturating_sub(SLOTS as u64);
        let recent = self.slots.iter().flatten().filter(|(number, _)| *number >= oldest);
        let bounds = recent.map(|(_, anchor)| anchor).chain(&self.last);
        bounds.map(|anchor| anchor.at(monotonic)).max()
    }
}

impl StoreClock {
    pub(crate) fn new(world: World) -> Self {
        Self { world, anchors: Mutex::default() }
    }

    /// Returns the estimated time of the store; `None` before its first answer.
    pub fn now(&self) -> Option<StoreTime> {
        let monotonic = self.world.clock.monotonic();
        let anchors = self.anchors.lock().unwrap_or_else(PoisonError::into_inner);
        anchors.at(monotonic)
    }

    /// Records the `Date` of an answer that has just arrived.
    pub(crate) fn saw(&self, date: Option<StoreTime>) {
        if let Some(date) = date {
            let arrived = self.world.clock.monotonic();
            let mut anchors = self.anchors.lock().unwrap_or_else(PoisonError::into_inner);
            anchors.add(ClockAnchor { date, arrived });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(millis: i64) -> StoreTime {
        StoreTime::from_micros(1_700_000_000_000_000 + millis * 1000)
    }

    fn after(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Adds an answer whose `Date` is truncated to whole seconds.
    fn answer(anchors: &mut AnchorWindow, store_millis: i64, arrived_millis: u64) {
        anchors.add(ClockAnchor {
            date: time(store_millis.div_euclid(1000) * 1000),
            arrived: after(arrived_millis),
        });
    }

    #[test]
    fn whole_seconds_do_not_take_the_clock_back() {
        let mut anchors = AnchorWindow::default();
        assert_eq!(anchors.at(after(0)), None);
        answer(&mut anchors, 10_010, 10);
        assert_eq!(anchors.at(after(900)), Some(time(10_890)));
        // The same second, almost over: this `Date` alone would be 900 ms behind.
        answer(&mut anchors, 10_910, 910);
        assert_eq!(anchors.at(after(910)), Some(time(10_900)));
        answer(&mut anchors, 11_005, 1_005);
        assert_eq!(anchors.at(after(1_005)), Some(time(11_000)));
    }

    #[test]
    fn a_host_that_is_ahead_counts_for_a_minute_at_most() {
        let mut anchors = AnchorWindow::default();
        answer(&mut anchors, 7_000, 2_000);
        for second in 3..120 {
            let arrived = second * 1000;
            answer(&mut anchors, i64::try_from(arrived).unwrap(), arrived);
            let seen = anchors.at(after(arrived)).unwrap();
            let ahead = seen.since(time(i64::try_from(arrived).unwrap()));
            if second < 50 {
                assert_eq!(ahead, after(5_000), "at {second} s");
            } else if second > 62 {
                assert_eq!(ahead, Duration::ZERO, "at {second} s");
            }
        }
    }

    #[test]
    fn the_last_answer_counts_at_any_age() {
        let mut anchors = AnchorWindow::default();
        answer(&mut anchors, 0, 0);
        assert_eq!(anchors.at(after(3_600_000)), Some(time(3_600_000)));
    }

    #[test]
    fn the_next_answer_corrects_a_clock_that_stopped() {
        let mut anchors = AnchorWindow::default();
        answer(&mut anchors, 1_000, 1_000);
        answer(&mut anchors, 100_000, 1_500);
        assert_eq!(anchors.at(after(2_000)), Some(time(100_500)));
    }
}
