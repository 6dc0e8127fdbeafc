//! When the flushes look at all databases.

use std::time::Duration;

use neap_memory::PressureLevel;

pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Time from the start of a process to its first sweep. The first queries, which load the unflushed rows that an earlier
/// process wrote, have the processors until then: a flush of the same rows takes as long as they do.
pub(super) const FIRST_SWEEP_DELAY: Duration = Duration::from_secs(5);

/// Decides when the next sweep is due. Times are those of a monotonic clock.
#[derive(Debug)]
pub(super) struct SweepSchedule {
    next: Duration,
    /// Whether the next sweep is the first one.
    is_first: bool,
}

impl SweepSchedule {
    /// The schedule of a task that starts now.
    pub(super) fn starting(now: Duration) -> Self {
        Self { next: now + FIRST_SWEEP_DELAY, is_first: true }
    }

    /// Whether a sweep is due. If so, the next one is due after the interval. If memory is short, the first sweep is due at
    /// once, because the rows that queries have in memory may be its cause.
    pub(super) fn take_due(&mut self, now: Duration, pressure: PressureLevel) -> bool {
        let is_due = now >= self.next || self.is_first && pressure > PressureLevel::Low;
        if is_due {
            self.next = now + SWEEP_INTERVAL;
            self.is_first = false;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sweep_leaves_the_first_queries_time_and_the_others_come_at_intervals() {
        let start = Duration::from_secs(100);
        let mut sweeps = SweepSchedule::starting(start);
        let mut seconds = (0..1_300).filter(|second| {
            let now = start + Duration::from_secs(*second);
            sweeps.take_due(now, PressureLevel::Low)
        });
        assert_eq!(seconds.next(), Some(5));
        assert_eq!(seconds.next(), Some(605));
        assert_eq!(seconds.next(), Some(1_205));
        assert_eq!(seconds.next(), None);
    }

    #[test]
    fn the_first_sweep_comes_at_once_if_memory_is_short() {
        let mut sweeps = SweepSchedule::starting(Duration::ZERO);
        assert!(!sweeps.take_due(Duration::from_secs(1), PressureLevel::Low));
        assert!(sweeps.take_due(Duration::from_secs(2), PressureLevel::High));
        assert!(!sweeps.take_due(Duration::from_secs(3), PressureLevel::Full));
        assert!(sweeps.take_due(Duration::from_secs(602), PressureLevel::Low));
    }

    #[test]
    fn a_sweep_that_comes_late_does_not_bring_the_next_one_forward() {
        let mut sweeps = SweepSchedule::starting(Duration::ZERO);
        assert!(sweeps.take_due(Duration::from_secs(300), PressureLevel::Low));
        assert!(!sweeps.take_due(Duration::from_secs(899), PressureLevel::Low));
        assert!(sweeps.take_due(Duration::from_secs(900), PressureLevel::Low));
    }
}
