//! The PUTs that a lane may start: a token bucket.
//!
//! A token is worth one flush interval. Time adds tokens, a PUT takes one, and the bucket holds the burst and one more:
//!
//! ```text
//! PUTs in a time t  ≤  t / interval + 1 + burst       without full batches, which do not wait
//! wait for a PUT    ≤  interval since the PUT before, whatever the burst
//! ```
//!
//! With a burst of 0, this is the rule of one PUT per interval.

use std::time::Duration;

/// The rate of PUTs and the capacity of the bucket. They change with the pressure on the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PutRate {
    /// The time in which a token accrues. Zero: PUTs are not limited.
    pub(crate) interval: Duration,
    /// The tokens that accrue beyond the first one while there is no PUT.
    pub(crate) burst: u32,
}

impl PutRate {
    /// PUTs that are not limited.
    pub(crate) const UNLIMITED: Self = Self { interval: Duration::ZERO, burst: 0 };

    /// Returns the value of a full bucket.
    fn capacity(self) -> Duration {
        self.interval.saturating_add(self.interval.saturating_mul(self.burst))
    }
}

/// The token bucket of a lane. A new bucket is full.
#[derive(Debug, Default)]
pub(crate) struct PutBudget {
    last: Option<LastPut>,
}

#[derive(Clone, Copy, Debug)]
struct LastPut {
    /// The start of the PUT, by the monotonic clock.
    started_at: Duration,
    /// The value of the tokens that the PUT left.
    balance: Duration,
}

impl PutBudget {
    /// Returns the time until there is a token; zero if there is one now.
    pub(crate) fn wait(&self, now: Duration, rate: PutRate) -> Duration {
        rate.interval.saturating_sub(self.balance(now, rate))
    }

    /// Takes a token for a PUT that starts now. A PUT that does not wait for a token leaves the bucket empty.
    ///
    /// Returns whether the PUT takes a saved token: it starts less than an interval after the one before.
    pub(crate) fn take(&mut self, now: Duration, rate: PutRate) -> bool {
        let balance = self.balance(now, rate);
        let is_early = self
            .last
            .is_some_and(|last| now.saturating_sub(last.started_at) < rate.interval);
        self.last = Some(LastPut {
            started_at: now,
            balance: balance.saturating_sub(rate.interval),
        });
        is_early && balance >= rate.interval
    }

    fn balance(&self, now: Duration, rate: PutRate) -> Duration {
        let full = rate.capacity();
        self.last.map_or(full, |last| {
            let accrued = now.saturating_sub(last.started_at);
            last.balance.saturating_add(accrued).min(full)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    fn rate(burst: u32) -> PutRate {
        PutRate { interval: SECOND, burst }
    }

    /// Starts a PUT after each delay that follows the end of its wait. Returns the starts.
    fn starts(rate: PutRate, delays: impl IntoIterator<Item = Duration>) -> Vec<Duration> {
        let (mut budget, mut now) = (PutBudget::default(), Duration::ZERO);
        let mut start = |delay| {
            now += delay;
            now += budget.wait(now, rate);
            budget.take(now, rate);
            now
        };
        delays.into_iter().map(&mut start).collect()
    }

    #[test]
    fn an_hour_of_writes_costs_the_interval_and_the_burst() {
        let hour = Duration::from_secs(3600);
        for burst in [0, 1, 60, 1_000] {
            let all = starts(rate(burst), std::iter::repeat_n(MS, 100_000));
            let first_hour = all.iter().filter(|start| **start - MS < hour).count();
            assert_eq!(first_hour, 3600 + burst as usize);
            let after = |start: &&Duration| (hour..hour * 2).contains(*start);
            assert_eq!(all.iter().filter(after).count(), 3600, "a steady stream");
        }
    }

    #[test]
    fn an_idle_time_refills_the_bucket_up_to_its_capacity() {
        let burst = || std::iter::repeat_n(Duration::ZERO, 61);
        let idle = |time: Duration| burst().chain([time]).chain(burst());
        let count = |time: Duration| {
            let all = starts(rate(60), idle(time));
            all.iter().filter(|start| **start == time).count()
        };
        assert_eq!(count(30 * SECOND), 30);
        assert_eq!(count(61 * SECOND), 61);
        assert_eq!(count(7_200 * SECOND), 61);
    }

    #[test]
    fn a_put_that_does_not_wait_empties_the_bucket_and_owes_nothing() {
        let mut budget = PutBudget::default();
        for _ in 0..10 {
            budget.take(SECOND, rate(2));
        }
        assert_eq!(budget.wait(SECOND, rate(2)), SECOND);
        assert_eq!(budget.wait(SECOND + 400 * MS, rate(2)), 600 * MS);
        assert_eq!(budget.wait(SECOND * 2, rate(2)), Duration::ZERO);
    }

    #[test]
    fn puts_within_the_interval_use_the_burst() {
        let mut budget = PutBudget::default();
        let used = [0, 1, 2, 3, 2_000].map(|ms| budget.take(ms * MS, rate(2)));
        assert_eq!(used, [false, true, true, false, false]);
    }

    #[test]
    fn a_slower_rate_discards_saved_tokens() {
        let mut budget = PutBudget::default();
        let slow = PutRate { interval: SECOND * 2, burst: 0 };
        budget.take(Duration::ZERO, rate(60));
        assert_eq!(budget.wait(SECOND, slow), Duration::ZERO);
        budget.take(SECOND, slow);
        assert_eq!(budget.wait(SECOND, slow), SECOND * 2);
        assert_eq!(budget.wait(SECOND, rate(60)), SECOND);
    }

    #[test]
    fn an_interval_of_zero_does_not_limit() {
        let all = starts(PutRate::UNLIMITED, [Duration::ZERO; 1_000]);
        assert_eq!(all.last(), Some(&Duration::ZERO));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn no_window_has_more_puts_and_no_put_waits_longer_than_without_a_burst(
            burst in 0_u32..20,
            delays in proptest::collection::vec(0_u64..3_000, 1..200),
        ) {
            let delays = delays.into_iter().map(Duration::from_millis);
            let all = starts(rate(burst), delays);
            for (index, first) in all.iter().enumerate() {
                for (more, start) in all[index..].iter().enumerate() {
                    let within = u32::try_from(more + 1).unwrap();
                    prop_assert!(SECOND * within <= *start - *first + SECOND * (burst + 1));
                }
            }
            let mut budget = PutBudget::default();
            for start in all {
                budget.take(start, rate(burst));
                prop_assert!(budget.wait(start, rate(burst)) <= SECOND);
            }
        }
    }
}
