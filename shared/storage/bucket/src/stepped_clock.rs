//! A clock of tests that only they advance.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use futures::future::{self, BoxFuture};
use tokio::sync::watch;

use crate::{Clock, paused_clock::micros};

/// 14 November 2023, 22:13:20, in microseconds since the Unix epoch.
const START_MICROS: i64 = 1_700_000_000_000_000;

/// Waits shorter than this, such as back-offs, are over at once, because no test code runs then.
const SHORT: Duration = Duration::from_secs(1);

/// Clocks that a test advances. The wall clock starts on 14 November 2023, 22:13:20, and the monotonic clock at zero.
#[derive(Debug)]
pub struct SteppedClock {
    elapsed_micros: watch::Sender<i64>,
    step_micros: AtomicI64,
    short_waits_take_time: bool,
}

impl SteppedClock {
    /// Short waits take no time.
    pub fn stopped() -> Self {
        Self {
            elapsed_micros: watch::Sender::new(0),
            step_micros: AtomicI64::new(0),
            short_waits_take_time: false,
        }
    }

    /// Short waits advance the clocks.
    pub fn self_advancing() -> Self {
        Self { short_waits_take_time: true, ..Self::stopped() }
    }

    /// Advances both clocks.
    pub fn advance(&self, time: Duration) {
        self.elapsed_micros.send_modify(|now| *now += micros(time));
    }

    /// Sets the wall clock forward.
    pub fn step_wall_clock(&self, step: Duration) {
        self.step_micros.fetch_add(micros(step), Ordering::Relaxed);
    }
}

impl Clock for SteppedClock {
    fn wall_micros(&self) -> i64 {
        START_MICROS + *self.elapsed_micros.borrow() + self.step_micros.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.elapsed_micros.borrow().unsigned_abs())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if duration < SHORT {
            if self.short_waits_take_time {
                self.advance(duration);
            }
            return Box::pin(future::ready(()));
        }
        let until = self.monotonic().saturating_add(duration).as_micros();
        let mut now = self.elapsed_micros.subscribe();
        Box::pin(async move {
            let is_over = |now: &i64| u128::from(now.unsigned_abs()) >= until;
            // The test may end before that time, and drop its clock.
            if now.wait_for(is_over).await.is_err() {
                future::pending().await
            }
        })
    }
}
