//! A clock of tests.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::{Clock, SystemClock};

/// Clocks that follow Tokio's time, which a test pauses. The monotonic clock starts at zero.
#[derive(Debug)]
pub struct PausedClock {
    start: Instant,
    start_micros: i64,
    step_micros: AtomicI64,
}

impl PausedClock {
    /// Starts the wall clock at `start_micros`, in microseconds since the Unix epoch.
    pub fn new(start_micros: i64) -> Self {
        Self {
            start: Instant::now(),
            start_micros,
            step_micros: AtomicI64::new(0),
        }
    }

    /// Sets the wall clock forward.
    pub fn step_wall_clock(&self, step: Duration) {
        self.step_micros.fetch_add(micros(step), Ordering::Relaxed);
    }
}

/// Returns a time in microseconds.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Clock for PausedClock {
    fn wall_micros(&self) -> i64 {
        let step = self.step_micros.load(Ordering::Relaxed);
        self.start_micros
            .saturating_add(micros(self.start.elapsed()))
            .saturating_add(step)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        SystemClock::new().sleep(duration)
    }
}
