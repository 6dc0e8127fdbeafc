//! A clock of tests.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::{Clock, SystemClock};

/// Clocks that follow Tokio's time, which a test pauses. The monotonic clock starts at zero.
#[derive(Debug)]
pub struct PausedClock {
    start: Instant,
    start_micros: i64,
}

impl PausedClock {
    /// Starts the wall clock at `start_micros`, in microseconds since the Unix epoch.
    pub fn new(start_micros: i64) -> Self {
        Self {
            start: Instant::now(),
            start_micros,
        }
    }
}

impl Clock for PausedClock {
    fn wall_micros(&self) -> i64 {
        let elapsed = i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX);
        self.start_micros.saturating_add(elapsed)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        SystemClock::new().sleep(duration)
    }
}
