//! A clock that the generator moves.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use futures::future::{self, BoxFuture};
use neap_bucket::Clock;

/// The time at the start, in nanoseconds since the Unix epoch.
pub(crate) const START_NS: i64 = 1_700_000_000_000_000_000;

/// A clock that only [`SteppedClock::advance`] moves, in microseconds since the start.
#[derive(Debug, Default)]
pub(crate) struct SteppedClock(AtomicI64);

impl SteppedClock {
    pub(crate) fn advance(&self, duration: Duration) {
        let micros = i64::try_from(duration.as_micros()).expect("a short time");
        self.0.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Clock for SteppedClock {
    fn wall_micros(&self) -> i64 {
        START_NS / 1_000 + self.0.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed).unsigned_abs())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        // Short waits collect the writes of others, of which there are none. Long ones are time limits.
        if duration < Duration::from_secs(1) {
            Box::pin(future::ready(()))
        } else {
            Box::pin(future::pending())
        }
    }
}
