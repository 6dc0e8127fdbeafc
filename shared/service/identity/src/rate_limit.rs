//! Rate limits of attempts by key, for passwords and tokens, in bounded memory.
//!
//! Own code instead of the crate `governor`, which can neither return a permit nor report a wait without taking one, and
//! whose keyed state has no bound.

use std::{collections::BTreeMap, mem, time::Duration};

/// A rate limit: at most `number` permits, one of which is returned after each interval.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// Maximum number of permits.
    pub number: u32,
    /// Time after which one permit is returned.
    pub interval: Duration,
}

/// The use of a rate limit: the time until all permits are returned, as of a point in time. Times are those of the
/// monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateUsage {
    owed: Duration,
    as_of: Duration,
}

impl RateUsage {
    fn owed(&self, now: Duration) -> Duration {
        self.owed.saturating_sub(now.saturating_sub(self.as_of))
    }

    /// Returns the time until a permit is available; `None` if one is available.
    pub fn wait(&self, rate: RateLimit, now: Duration) -> Option<Duration> {
        // A permit is available if at most `number - 1` intervals are owed.
        let max_owed = rate.interval.saturating_mul(rate.number.saturating_sub(1));
        let wait = self.owed(now).saturating_sub(max_owed);
        (!wait.is_zero()).then_some(wait)
    }

    /// Takes a permit. If none is available, the wait for the next one starts anew.
    pub fn take(&mut self, rate: RateLimit, now: Duration) {
        let max_owed = rate.interval.saturating_mul(rate.number);
        self.owed = self.owed(now).saturating_add(rate.interval).min(max_owed);
        self.as_of = now;
    }

    /// Returns a permit that was taken.
    pub fn put_back(&mut self, rate: RateLimit, now: Duration) {
        self.owed = self.owed(now).saturating_sub(rate.interval);
        self.as_of = now;
    }
}

/// Values of the keys that were used most recently: at least `MAX_KEYS` of them, and at most twice as many.
#[derive(Debug)]
pub struct RecentKeys<K, V, const MAX_KEYS: usize> {
    recent: BTreeMap<K, V>,
    older: BTreeMap<K, V>,
}

impl<K, V, const MAX_KEYS: usize> Default for RecentKeys<K, V, MAX_KEYS> {
    fn default() -> Self {
        Self { recent: BTreeMap::new(), older: BTreeMap::new() }
    }
}

impl<K: Copy + Ord, V: Default, const MAX_KEYS: usize> RecentKeys<K, V, MAX_KEYS> {
    /// Returns the value of a key, and marks the key as recently used.
    pub fn value_mut(&mut self, key: K) -> &mut V {
        if !self.recent.contains_key(&key) && self.recent.len() >= MAX_KEYS {
            self.older = mem::take(&mut self.recent);
        }
        let before = &mut self.older;
        self.recent
            .entry(key)
            .or_insert_with(|| before.remove(&key).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bounded_and_active_keys_are_kept() {
        let mut keys = RecentKeys::<u32, u32, 100>::default();
        *keys.value_mut(0) = 1;
        for key in 1..1_000 {
            keys.value_mut(key);
            if key % 10 == 0 {
                assert_eq!(*keys.value_mut(0), 1);
            }
            assert!(keys.recent.len() <= 100 && keys.older.len() <= 100);
        }
        assert_eq!(*keys.value_mut(0), 1);
    }

    #[test]
    fn permits_are_returned_after_each_interval() {
        const SECOND: Duration = Duration::from_secs(1);
        let rate = RateLimit { number: 2, interval: SECOND };
        let mut usage = RateUsage::default();
        usage.take(rate, SECOND);
        assert_eq!(usage.wait(rate, SECOND), None);
        usage.take(rate, SECOND);
        assert_eq!(usage.wait(rate, SECOND), Some(SECOND));
        assert_eq!(usage.wait(rate, 2 * SECOND), None);
        usage.put_back(rate, SECOND);
        assert_eq!(usage.wait(rate, SECOND), None);
    }
}
