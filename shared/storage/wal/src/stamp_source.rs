//! The stamps of an instance: strictly increasing, above every followed stamp, never far ahead of the store's clock.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use neap_bucket::{Entropy, MAX_STAMP_LEAD, ProtocolRules, Stamp, StoreTime};

/// The maximum by which a followed stamp may be ahead of the store's clock. The clocks of correct instances differ by
/// the skew of their hosts and the resolution of a `Date`, 1 s. Following a stamp that is further ahead would move the
/// stamps of every instance into a future in which no write is acknowledged.
const MAX_FOLLOWED_AHEAD: Duration = Duration::from_secs(5);

/// Reasons why a write can't be ordered after the stamp that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum StampError {
    /// The stamp is ahead of the store's clock, by so little that the write can be retried soon.
    #[error("stamp {after} is {} ms ahead of the store's clock; try again", ahead.as_millis())]
    Ahead {
        after: Stamp,
        /// The distance from the store's clock to the stamp.
        ahead: Duration,
        /// The time to wait until the stamp can be followed.
        wait: Duration,
    },
    /// The stamp is so far ahead that no instance issued it.
    #[error("stamp {after} is {} s ahead of the store's clock", ahead.as_secs())]
    FarAhead {
        after: Stamp,
        /// The distance from the store's clock to the stamp.
        ahead: Duration,
    },
}

/// Issues the stamps of an instance.
#[derive(Debug)]
pub struct StampSource {
    salt: u16,
    followed_ahead: Duration,
    last: Mutex<Stamp>,
    not_followed: AtomicU64,
}

impl StampSource {
    /// Creates a source with a salt drawn from `entropy`.
    ///
    /// The source follows stamps up to 5 s ahead, or up to the acknowledgement limit if that is less, because a write
    /// whose stamp is further ahead than the limit can't be acknowledged and must not be put.
    pub fn new(entropy: &Entropy, rules: &ProtocolRules) -> Self {
        // The truncation keeps random bits; the salt has 12 bits.
        let [low, high, ..] = entropy.next_u64().to_le_bytes();
        Self {
            salt: u16::from_le_bytes([low, high]) & 0x0fff,
            followed_ahead: MAX_FOLLOWED_AHEAD.min(rules.acknowledgement_limit),
            last: Mutex::new(Stamp::ZERO),
            not_followed: AtomicU64::new(0),
        }
    }

    /// The 12 bits that distinguish this instance's stamps from those of other instances.
    pub fn salt(&self) -> u16 {
        self.salt
    }

    /// The maximum by which a followed stamp may be ahead of the store's clock.
    pub(crate) fn followed_ahead(&self) -> Duration {
        self.followed_ahead
    }

    /// The number of stamps of other instances that were too far ahead to be followed.
    pub fn not_followed(&self) -> u64 {
        self.not_followed.load(Ordering::Relaxed)
    }

    /// Checks whether a write can be ordered after this stamp now (the rule for `x-neap-stamp`).
    pub fn admit(&self, now: StoreTime, after: Stamp) -> Result<(), StampError> {
        let ahead = after.time().since(now);
        if ahead <= self.followed_ahead {
            Ok(())
        } else if ahead <= MAX_STAMP_LEAD {
            let wait = ahead.saturating_sub(self.followed_ahead);
            Err(StampError::Ahead { after, ahead, wait })
        } else {
            Err(StampError::FarAhead { after, ahead })
        }
    }

    /// Returns the next stamp: of the present time, above every stamp issued before, every followed stamp, and `after`.
    pub fn next(&self, now: StoreTime, after: Option<Stamp>) -> Result<Stamp, StampError> {
        if let Some(after) = after {
            self.admit(now, after)?;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let floor = after.map_or(*last, |after| after.max(*last));
        let present = Stamp::new(now, self.salt);
        *last = if present > floor {
            present
        } else {
            floor.next_microsecond(self.salt)
        };
        Ok(*last)
    }

    /// Orders later stamps after all stamps of the present microsecond, of any salt. Returns the stamp that all later
    /// stamps exceed.
    pub fn pass(&self, now: StoreTime) -> Stamp {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Stamp::end_of(now).max(*last);
        *last
    }

    /// Orders later stamps after a stamp of another instance.
    ///
    /// # Errors
    /// The stamp is too far ahead to be followed.
    pub fn follow(&self, stamp: Stamp, now: StoreTime) -> Result<(), StampError> {
        if let Err(error) = self.admit(now, stamp) {
            self.not_followed.fetch_add(1, Ordering::Relaxed);
            return Err(error);
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = stamp.max(*last);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use neap_bucket::ProtocolMargins;
    use proptest::prelude::*;

    use super::*;

    fn source() -> StampSource {
        StampSource::new(&Entropy::from_seed(1), &ProtocolRules::new(ProtocolMargins::NETWORK))
    }

    fn seconds(seconds: i64) -> StoreTime {
        StoreTime::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn stamps_increase_strictly_even_if_the_clock_steps_back(
            steps in proptest::collection::vec((-100_i64..100, any::<u16>(), any::<bool>()), 1..100),
        ) {
            let source = source();
            let mut now = seconds(0).micros();
            let mut last = Stamp::ZERO;
            for (step, salt, seen) in steps {
                now += step;
                let time = StoreTime::from_micros(now);
                let other = Stamp::new(StoreTime::from_micros(now + step), salt);
                if seen {
                    source.follow(other, time).unwrap();
                }
                let stamp = source.next(time, (!seen).then_some(other)).unwrap();
                prop_assert!(stamp > last);
                prop_assert!(stamp > other);
                prop_assert_eq!(stamp.as_u64() & 0xfff, u64::from(source.salt()));
                last = stamp;
            }
        }
    }

    #[test]
    fn a_stamp_has_the_time_of_the_store_clock() {
        assert_eq!(source().next(seconds(3), None).unwrap().time(), seconds(3));
    }

    #[test]
    fn a_write_is_ordered_after_a_stamp_of_up_to_five_seconds_ahead() {
        let source = source();
        let after = Stamp::new(seconds(5), 0);
        assert!(source.next(seconds(0), Some(after)).unwrap() > after);
        assert!(source.next(seconds(0), None).unwrap() > after);
    }

    #[test]
    fn a_stamp_of_up_to_a_minute_ahead_can_be_followed_later() {
        for ahead in [6, 60] {
            let after = Stamp::new(seconds(ahead), 0);
            let error = source().next(seconds(0), Some(after)).unwrap_err();
            let StampError::Ahead { wait, .. } = error else {
                panic!("{error}");
            };
            let later = seconds(0).plus(wait);
            assert!(source().next(later, Some(after)).is_ok());
        }
    }

    #[test]
    fn a_stamp_of_more_than_a_minute_ahead_is_refused() {
        for after in [Stamp::new(seconds(61), 0), Stamp::from_u64(u64::MAX)] {
            let error = source().next(seconds(0), Some(after)).unwrap_err();
            assert!(matches!(error, StampError::FarAhead { .. }), "{error}");
        }
    }

    #[test]
    fn a_refused_stamp_does_not_change_later_stamps() {
        let source = source();
        assert!(source.next(seconds(0), Some(Stamp::new(seconds(30), 0))).is_err());
        let ahead = Stamp::new(seconds(6), 0);
        assert!(source.follow(ahead, seconds(0)).is_err());
        assert_eq!(source.not_followed(), 1);
        assert_eq!(source.next(seconds(1), None).unwrap().time(), seconds(1));
    }

    #[test]
    fn no_stamp_is_further_ahead_than_the_acknowledgement_limit() {
        let source =
            StampSource::new(&Entropy::from_seed(1), &ProtocolRules::new(ProtocolMargins::LOCAL));
        let after = Stamp::new(seconds(3), 0);
        assert!(matches!(source.next(seconds(0), Some(after)), Err(StampError::Ahead { .. })));
        assert!(source.next(seconds(1), Some(after)).is_ok());
    }
}
