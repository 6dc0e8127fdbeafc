//! Time limits of invocations.

use std::time::Duration;

use neap_bucket::{Bucket, ClockReading};

/// Minimum time before a part of an invocation is cut short, because started work is worth finishing.
const MIN_PART_TIME: Duration = Duration::from_secs(30);

/// Time limit of an invocation or of a part of it. No work starts after the limit.
#[derive(Clone, Debug)]
pub(crate) struct TimeLimit<'a> {
    bucket: &'a Bucket,
    started_at: ClockReading,
    limit: Option<Duration>,
}

impl<'a> TimeLimit<'a> {
    /// Starts the limit now.
    pub(crate) fn new(bucket: &'a Bucket, limit: Option<Duration>) -> Self {
        Self { bucket, started_at: bucket.world().clock_reading(), limit }
    }

    /// Returns the remaining time, or `None` without a limit.
    pub(crate) fn left(&self) -> Option<Duration> {
        let spent = self.bucket.world().elapsed(&self.started_at);
        self.limit.map(|limit| limit.saturating_sub(spent))
    }

    /// Returns whether the time is over, so that no work may start.
    pub(crate) fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// Returns a limit of half the remaining time, so that one database does not use the time of all others.
    pub(crate) fn part(&self) -> Self {
        Self::new(self.bucket, self.left().map(|left| left / 2))
    }

    /// Runs a job and cancels it when the time is over, but not before 30 s. Returns `None` if it was cancelled.
    pub(crate) async fn run<T>(&self, job: impl Future<Output = T>) -> Option<T> {
        match self.limit {
            None => Some(job.await),
            Some(limit) => {
                let world = self.bucket.world();
                world.timeout(limit.max(MIN_PART_TIME), job).await
            }
        }
    }
}
