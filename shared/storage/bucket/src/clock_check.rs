//! The condition for everything that destroys or hides data by its age: the clocks agree.
//!
//! A clock that is hours ahead makes all data look old. A deletion is final, so each job calls [`Bucket::removal_time`] before it
//! deletes, and a query hides expired rows by [`Bucket::retention_base`].

use std::time::Duration;

use crate::{Bucket, Stamp, StoreTime};

/// Maximum difference between the store's clock, the local clock and the newest stamps. If it is larger, one clock is
/// wrong; if that is the store's, acknowledged writes could become void, and data could expire early.
pub const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(5 * 60);

/// Reason why data must not be removed by the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum ClockDoubt {
    #[error("the store's responses have no Date header")]
    NoDate,
    /// The store's clock and the local clock differ too much.
    #[error(
        "the clocks of the store and of this machine differ by {} s: set the one that is wrong (`neap fsck --clock` \
         sets the time of a directory), or pass --trust-store-clock if it is this machine's",
        .0.as_secs()
    )]
    Difference(Duration),
    #[error(
        "the newest stamp is {} s ahead of the store's clock: expired data is kept until then, or until \
         --trust-store-clock is passed",
        .0.as_secs()
    )]
    StampAhead(Duration),
    #[error(
        "the directory's time has leapt ahead by {} h: if it was unused for so long, wait 10 minutes or pass \
         --trust-store-clock, otherwise set this machine's clock and see `neap fsck --clock`",
        .0.as_secs() / 3600
    )]
    Leap(Duration),
}

impl Bucket {
    /// Checks that the store's clock, which has just shown `date`, and the local clock agree.
    ///
    /// # Errors
    /// They differ by more than [`MAX_CLOCK_DIFFERENCE`], and the store's clock is not trusted.
    pub fn check_clocks(&self, date: StoreTime) -> Result<(), ClockDoubt> {
        let difference = date.distance(self.wall_time());
        if difference > MAX_CLOCK_DIFFERENCE && !self.trusts_store_clock() {
            return Err(ClockDoubt::Difference(difference));
        }
        Ok(())
    }

    /// Returns the time of the store by which data may be removed because of its age. `newest` is the newest stamp that
    /// the caller knows, or [`Stamp::ZERO`].
    ///
    /// # Errors
    /// The clocks or the stamp disagree, or the store's time has just leapt ahead, and its clock is not trusted.
    pub fn removal_time(&self, newest: Stamp) -> Result<StoreTime, ClockDoubt> {
        let now = self.clock().now().ok_or(ClockDoubt::NoDate)?;
        if self.trusts_store_clock() {
            return Ok(now);
        }
        self.check_clocks(now)?;
        let ahead = newest.time().since(now);
        if ahead > MAX_CLOCK_DIFFERENCE {
            return Err(ClockDoubt::StampAhead(ahead));
        }
        match self.recent_leap() {
            Some(leap) => Err(ClockDoubt::Leap(leap)),
            None => Ok(now),
        }
    }

    /// Returns the time from which the retention of visible rows counts back at the store's time `now`. If the clocks
    /// disagree, it is the time of the earlier one, because new rows must not vanish by the other one.
    pub fn retention_base(&self, now: StoreTime) -> StoreTime {
        match self.check_clocks(now) {
            Ok(()) => now,
            Err(_) => now.min(self.wall_time()),
        }
    }

    fn wall_time(&self) -> StoreTime {
        StoreTime::from_micros(self.world().clock.wall_micros())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Clock, ListRequest, MemoryStore, World, wall_clock::WallClock};

    const HOUR: i64 = 3_600_000_000;
    const START: i64 = 1_700_000_000_000_000;

    /// Returns a bucket whose store shows `START`, and the clock of the machine.
    async fn bucket() -> (Bucket, Arc<WallClock>) {
        let store_clock: Arc<dyn Clock> = Arc::new(WallClock::new(START));
        let clock = Arc::new(WallClock::new(START));
        let world = World { clock: Arc::<WallClock>::clone(&clock), ..World::system() };
        let bucket = Bucket::new(Arc::new(MemoryStore::new(store_clock)), world);
        bucket.list(ListRequest::new("")).await.unwrap();
        (bucket, clock)
    }

    fn stamp(micros: i64) -> Stamp {
        Stamp::end_of(StoreTime::from_micros(micros))
    }

    #[tokio::test]
    async fn data_is_removed_only_while_clocks_and_stamps_agree() {
        let (bucket, wall) = bucket().await;
        let now = StoreTime::from_micros(START);
        let limit = i64::try_from(MAX_CLOCK_DIFFERENCE.as_micros()).unwrap();
        for difference in [-limit, 0, limit] {
            wall.set(START + difference);
            assert_eq!(bucket.removal_time(stamp(START + limit - 1)), Ok(now));
            assert_eq!(bucket.retention_base(now), now);
        }
        for hours in [-100, 100] {
            wall.set(START + hours * HOUR);
            let difference = Duration::from_secs(100 * 3600);
            assert_eq!(bucket.removal_time(Stamp::ZERO), Err(ClockDoubt::Difference(difference)));
        }
        wall.set(START);
        assert!(matches!(
            bucket.removal_time(stamp(START + HOUR)),
            Err(ClockDoubt::StampAhead(_))
        ));
    }

    #[tokio::test]
    async fn the_earlier_of_two_clocks_hides_rows() {
        let (bucket, wall) = bucket().await;
        let now = StoreTime::from_micros(START);
        wall.set(START - 100 * HOUR);
        assert_eq!(bucket.retention_base(now).micros(), START - 100 * HOUR);
        wall.set(START + 100 * HOUR);
        assert_eq!(bucket.retention_base(now), now);
    }

    #[tokio::test]
    async fn a_trusted_store_clock_counts_alone() {
        let (bucket, wall) = bucket().await;
        let bucket = bucket.trusting_store_clock(true);
        let now = StoreTime::from_micros(START);
        wall.set(START - 100 * HOUR);
        assert_eq!(bucket.removal_time(stamp(START + HOUR)), Ok(now));
        assert_eq!(bucket.retention_base(now), now);
    }
}
