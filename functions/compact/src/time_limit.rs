//! The time that an invocation has.

use std::time::Duration;

use neap_bucket::{Bucket, Moment};

/// A part of an invocation that did not end may take so long at least: what it has begun is worth being ended.
const LEAST_PART: Duration = Duration::from_secs(30);

/// The time of an invocation or of a part of it. When it is over, nothing more is begun.
#[derive(Clone, Debug)]
pub(crate) struct TimeLimit<'a> {
    bucket: &'a Bucket,
    begun: Moment,
    limit: Option<Duration>,
}

impl<'a> TimeLimit<'a> {
    /// Begins now.
    pub(crate) fn new(bucket: &'a Bucket, limit: Option<Duration>) -> Self {
        Self {
            bucket,
            begun: bucket.world().moment(),
            limit,
        }
    }

    /// What is left, if there is a limit.
    pub(crate) fn left(&self) -> Option<Duration> {
        let spent = self.bucket.world().elapsed(&self.begun);
        self.limit.map(|limit| limit.saturating_sub(spent))
    }

    /// Whether nothing more may be begun.
    pub(crate) fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// Half of what is left, so that no database takes the time of all others.
    pub(crate) fn part(&self) -> Self {
        Self::new(self.bucket, self.left().map(|left| left / 2))
    }

    /// Runs a job that is cut short when the time is over, but not before 30 s; `None` then.
    pub(crate) async fn run<T>(&self, job: impl Future<Output = T>) -> Option<T> {
        match self.limit {
            None => Some(job.await),
            Some(limit) => {
                let world = self.bucket.world();
                world.timeout(limit.max(LEAST_PART), job).await
            }
        }
    }
}
